"""The backtest on an alert's page: what its rule would have done with other settings, by the tick's own decisions."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.alerts import fingerprint
from shared.backtest.run import Candidate, Span, backtest
from shared.backtest_strip import MOST_SECONDS, backtest_strip, farther, lane_of, values_of, variants
from shared.cells import Cells
from shared.monitoring_config import MonitoringConfig
from shared.panels import Status
from shared.rules import AlertRule, MetricThreshold, OnNoData, Operator
from shared.sources import Sources, read_sources
from tests.fakes import CountingStore
from tests.pages import page, run, world
from tests.world import World, labels, point

EUROPE = labels(region="europe-west1")
FIRED = fingerprint("high-response-time-critical", EUROPE)


@pytest.fixture(scope="module")
def slow() -> World:
    """Ten quiet minutes, two slow ones, three quiet ones, and seven slow ones."""
    running = world()
    for minutes, where in ((10, ""), (2, "europe-west1"), (3, ""), (7, "europe-west1")):
        run(running, minutes, slow=where)
    return running


def sources(running: World, hours: float = 1.0) -> Sources:
    """What a page reads now."""
    now = running.clock()
    found, _ = read_sources(running.services.config, running.services.reader, now - timedelta(hours=hours), now, now)
    return found


class OfSources:
    """The minutes of a page as a backtest reads them."""

    def __init__(self, minutes: Mapping[int, Cells]) -> None:
        self._minutes = minutes

    def read(self, minutes: Sequence[int]) -> Mapping[int, Cells]:
        """See ``backtest.run.Source``."""
        return {minute: self._minutes[minute] for minute in minutes if minute in self._minutes}


def fired_by_the_tick(read: Sources, rule: AlertRule, group: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    """When the rule's alert of a group changed its state, and why, as a backtest of the whole tick has it."""
    config = MonitoringConfig(replace(read.config.settings, rules=(rule,)))
    (done,) = backtest(OfSources(read.minutes), Span(read.start + 60, read.end), [Candidate(config)])
    mine = fingerprint(rule.id, group)
    return [(f"{one.at:%H:%M}", one.after.value) for one in done.transitions if one.fingerprint == mine]


def fired_by_the_lane(read: Sources, rule: AlertRule, group: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    """The same as the page's lane has it."""
    values = values_of(read, rule, group)
    lane = lane_of(rule, group, values, lambda _at, _value: rule)
    states = ["inactive", *(state.state.value for state in lane.states)]
    times = [f"{at:%H:%M}" for at, _ in values]
    return [(at, now) for at, before, now in zip(times, states, states[1:], strict=False) if before != now]


class TestLanes:
    """What the page shows."""

    def test_each_setting_has_its_verdict(self, slow: World) -> None:
        """Two slow minutes are an alert where one in a row is enough, and none of three; seven are one anyway."""
        rule = replace(slow.services.config.get_rule("high-response-time-critical"), evaluation_window=60)
        strips = backtest_strip(sources(slow), rule, EUROPE)
        assert [(one.name.replace("\u202f", " "), one.value, one.note, one.status) for one in strips.strips] == [
            ("As it is: > 200 ms, 3 in a row", 5, "1 alert", Status.CRITICAL),
            ("> 200 ms, 1 in a row", 9, "2 alerts", Status.CRITICAL),
            ("> 300 ms, 3 in a row", 5, "1 alert", Status.CRITICAL),
        ]
        assert {Status.EMPTY, Status.OK, Status.CRITICAL} == set(strips.strips[0].states)

    def test_the_present_lane_is_what_happened(self, slow: World) -> None:
        """The lane of the rule as it is changes its state when the alert did."""
        read, rule = sources(slow), slow.services.config.get_rule("high-response-time-critical")
        happened = [(f"{one.at:%H:%M}", one.after.value) for one in read.transitions if one.fingerprint == FIRED]
        assert fired_by_the_lane(read, rule, EUROPE) == happened
        assert [state for _, state in happened] == ["pending", "firing"]

    @pytest.mark.parametrize("form", ["html", "txt", "md", "json", "csv"])
    def test_every_format_has_it(self, slow: World, form: str) -> None:
        """The page of the alert says in each format what each setting comes to."""
        told = page(slow, f"/alerts/{FIRED}.{form}").body.decode()
        assert "other settings" in told.lower() or form == "json"
        assert "1 alert" in told

    def test_it_reads_nothing(self, slow: World) -> None:
        """Lanes are made of what the page has read."""
        read = sources(slow)
        store = CountingStore(slow.store)
        object.__setattr__(read, "reader", type(read.reader)(store))
        backtest_strip(read, slow.services.config.get_rule("high-response-time-critical"), EUROPE)
        assert not store.reads

    def test_of_a_long_range_the_newest_hours_are_tried(self, slow: World) -> None:
        """Of 72 h the lanes have the last 12."""
        strips = backtest_strip(sources(slow, 72.0), slow.services.config.get_rule("high-cpu-utilization"), EUROPE)
        assert strips.end - strips.start <= timedelta(seconds=MOST_SECONDS + strips.step_seconds)
        assert {one.note for one in strips.strips} == {"no alert"}

    def test_json_is_numbers(self, slow: World) -> None:
        """JSON has the minutes that each lane would have fired."""
        told = json.loads(page(slow, f"/alerts/{FIRED}.json").body)
        (strips,) = [one for one in told["panels"] if one["id"] == "backtest"]
        assert [one["unit"] for one in strips["strips"]] == ["min"] * 3
        assert [one["value"] > 0 for one in strips["strips"]] == [True] * 3


@pytest.mark.parametrize("seed", range(3))
def test_a_lane_is_what_the_whole_tick_does(seed: int) -> None:
    """Over seeded values with gaps, under every setting of a rule, a lane changes as the alert of the tick does."""
    drawn = random.Random(seed)
    running = world()
    for _ in range(50):
        at = running.clock() + timedelta(seconds=20)
        if drawn.random() < 0.8:
            running.publish(point("cpu_utilization", at, drawn.choice([40.0, 79.0, 85.0, 99.0]), region="europe-west1"))
        running.next_minute()
    read, rule = sources(running), running.services.config.get_rule("high-cpu-utilization")
    for on_no_data in OnNoData:
        for keep in (0, 180):
            base = replace(
                rule, on_no_data=on_no_data, keep_firing_for=keep, evaluation_window=60, no_data_after=120,
                min_occurrences=drawn.choice([1, 2, 3]), evaluation_frequency=drawn.choice([60, 120]),
            )  # fmt: skip
            for _, variant in variants(read, base):
                assert fired_by_the_lane(read, variant, EUROPE) == fired_by_the_tick(read, variant, EUROPE)


@pytest.mark.parametrize(
    ("value", "operator", "unit", "moved"),
    [
        (200.0, Operator.GREATER, "ms", 300.0),
        (1.0, Operator.GREATER, "%", 1.5),
        (80.0, Operator.GREATER, "%", 90.0),
        (99.95, Operator.LESS, "%", 99.925),
        (70.0, Operator.LESS, "%", 55.0),
        (30.0, Operator.LESS, "r/s", 20.0),
    ],
)
def test_a_limit_farther_away(value: float, operator: Operator, unit: str, moved: float) -> None:
    """A limit moves away from where values are good, and a percentage never beyond 100."""
    assert farther(MetricThreshold(value, operator), unit).value == pytest.approx(moved)


def test_a_rule_on_a_baseline_has_no_farther_limit(slow: World) -> None:
    """Of a limit that moves by itself only the occurrences are varied, and its name is its baseline."""
    rule = slow.services.config.get_rule("high-cpu-utilization")
    moving = replace(rule, threshold=replace(rule.threshold, baseline="3_sigma"), min_occurrences=1)
    names = [name for name, _ in variants(sources(slow), moving)]
    assert names == ["As it is: 3_sigma, 1 in a row", "3_sigma, 3 in a row"]
    assert {one.note for one in backtest_strip(sources(slow), moving, EUROPE).strips} == {"no alert"}
