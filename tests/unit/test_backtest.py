"""Backtests: what live ticks would have made of the same minutes, what a changed rule is, how windows are scored."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.alerts import AlertKind
from shared.backtest import Candidate, Recorded, Span, backtest
from shared.backtest.asked import Asked, outcome
from shared.backtest.changes import Place, changed, find
from shared.backtest.episodes import Episode, Telling
from shared.backtest.scores import Labelled, Score, read_windows, score, windows_of
from shared.backtest.table import Column, alerts, aligned, span_text
from shared.cells import Cells, Observation, fold, merge_writers
from shared.conformance.run import config_of
from shared.errors import ConfigError
from shared.hours import build_hour, minutes_in, minutes_of
from shared.local.fleet import REGIONS, Fleet
from shared.local.incident import Incident
from shared.local.series_file import read_series, target_of
from shared.monitoring_config import AlertState, MonitoringConfig
from shared.notifications import Notification
from shared.rules import Aggregation, Query, Selection, Severity
from shared.series import Kind, Series
from shared.tick import Transition, longest_reach_seconds, tick
from shared.timeline import MINUTE_SECONDS, US_PER_SECOND, from_minute, to_us
from shared.windows import evaluate, read_window
from tests.fakes import START
from tests.world import labels

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests" / "events" / "cpu_sample.csv"
FIRST = to_us(START) // US_PER_SECOND + MINUTE_SECONDS
CONFIG = MonitoringConfig()
CPU = "high-cpu-utilization"


def fleet_minutes(count: int, incident_after: int = 5) -> dict[int, Cells]:
    """Minutes of the simulated fleet, which goes through its incident; every seventh is missing."""
    fleet = Fleet(1, Incident(FIRST + incident_after * MINUTE_SECONDS, 180))
    found: dict[int, Cells] = {}
    for minute in range(FIRST, FIRST + count * MINUTE_SECONDS, MINUTE_SECONDS):
        slices = range(minute - 50, minute + 10, 10)
        parts = [
            fold([one for end in slices for one in fleet.observations(region, end)], writer)
            for writer, region in enumerate(REGIONS)
        ]
        if minute // MINUTE_SECONDS % 7:
            found[minute] = merge_writers(parts)
    return found


class Kept:
    """A source that notes what it is asked for."""

    def __init__(self, minutes: Mapping[int, Cells]) -> None:
        self._minutes = minutes
        self.asked: list[int] = []

    def read(self, minutes: Sequence[int]) -> Mapping[int, Cells]:
        """As the port says."""
        self.asked += minutes
        return {minute: self._minutes[minute] for minute in minutes if minute in self._minutes}


RULES: list[dict[str, object]] = [
    {"name": "Slow", "metric_type": "response_time", "threshold": {"value": 60, "severity": "critical"}},
    {
        "name": "Slow for long",
        "metric_type": "response_time",
        "threshold": {"value": 50},
        "evaluation_window": 1200,
        "evaluation_frequency": 120,
        "evaluation_delay_seconds": 120,
        "keep_firing_for": 240,
    },
    {
        "name": "Quiet",
        "metric_type": "business",
        "threshold": {"value": 1e9, "operator": ">"},
        "on_no_data": "alert",
        "evaluation_window": 60,
        "min_occurrences": 1,
        "query": {"select": {"metric": "requests"}, "aggregation": "sum", "group_by": ["region"]},
    },
    {"name": "Failing", "metric_type": "error_rate", "threshold": {"value": 1}, "min_occurrences": 2},
    {"name": "Busy", "metric_type": "cpu_utilization", "threshold": {"value": 45.123, "operator": ">="}},
]


def test_a_run_is_the_live_tick_at_every_evaluation_time_to_the_bit() -> None:
    """Transitions and notifications are those of ticks that keep nothing from one to the next and hold all minutes."""
    minutes = fleet_minutes(70)
    config = config_of(RULES)
    span = Span(FIRST, FIRST + 69 * MINUTE_SECONDS)
    states: tuple[AlertState, ...] = ()
    transitions: list[Transition] = []
    notifications: list[Notification] = []
    for minute in range(span.first, span.last + MINUTE_SECONDS, MINUTE_SECONDS):
        result = tick(config, minutes, states, from_minute(minute))
        states = result.states
        transitions += result.transitions
        notifications += result.notifications
    both = backtest(Kept(minutes), span, [Candidate(config), Candidate(CONFIG)])
    assert both[0].transitions == transitions
    assert both[0].notifications == notifications
    assert {one.rule_id for one in transitions} == {"slow", "slow-for-long", "quiet", "failing", "busy"}
    assert both[1].transitions == backtest(Kept(minutes), span, [Candidate(CONFIG)])[0].transitions


def test_every_minute_is_read_once_and_in_order() -> None:
    """A run reads what the first evaluation looks back to, then hour by hour, and nothing after its end."""
    source = Kept({})
    span = Span(FIRST + 7 * MINUTE_SECONDS, FIRST + 200 * MINUTE_SECONDS)
    told: list[tuple[int, int]] = []
    backtest(source, span, [Candidate(CONFIG)], lambda done, of: told.append((done, of)))
    reach = longest_reach_seconds(CONFIG)
    assert source.asked == list(range(span.first - reach + MINUTE_SECONDS, span.last + MINUTE_SECONDS, MINUTE_SECONDS))
    assert told[-1] == (194, 194) == (len(span), len(span))
    assert [done for done, _ in told[:-1]] == [53, 113, 173], "at the end of each hour"


def test_a_rule_that_fails_is_said_to() -> None:
    """A failing rule is counted at each evaluation and stops nothing; no span, no run."""
    broken = config_of([{**RULES[2], "name": "Broken"}])
    rule = broken.list_alert_rules()[0]
    object.__setattr__(rule, "query", None)
    object.__setattr__(broken.settings, "metric_types", {})
    (run,) = backtest(Kept({}), Span(FIRST, FIRST + 120), [Candidate(broken)])
    ((failure, count),) = run.failures.items()
    assert (failure.rule_id, count) == ("broken", 3)
    assert backtest(Kept({}), Span(FIRST, FIRST - 60), [Candidate(CONFIG)])[0].transitions == []


def cpu_source() -> Recorded:
    """The recorded series."""
    target = target_of(CONFIG, "cpu_utilization_us")
    return Recorded(Observation(target.series, target.kind, to_us(one.at), one.value) for one in read_series(SAMPLE))


def test_a_file_runs_from_its_first_minute_until_all_has_ended() -> None:
    """The span ends when no alert can fire any more but one about missing data; hours cut its beginning."""
    source = cpu_source()
    span = source.span([CONFIG])
    (run,) = backtest(source, span, [Candidate(CONFIG)])
    assert from_minute(span.first) == datetime(2014, 4, 15, 13, 24, tzinfo=UTC)
    assert all(one.ended_at for one in run.episodes() if one.kind == "threshold")
    shorter = source.span([CONFIG], 2)
    assert from_minute(shorter.first) == datetime(2014, 4, 16, 4, 0, tzinfo=UTC)
    assert shorter.last == span.last
    with pytest.raises(ConfigError, match="expected data"):
        Recorded([]).span([CONFIG])


GIVEN = {
    "threshold=250,min_occurrences=2": ("threshold.value=250.0", "min_occurrences=2"),
    'threshold={"value": 1, "operator": "<"}': ("threshold.value=1.0", "threshold.operator=<", "threshold.unit="),
    "threshold.severity=low": ("threshold.severity=low", "threshold.value=200.0"),
    "message=High {value}, and {rule}": ("message=High {value}, and {rule}",),
    'levels=[{"value": 300, "severity": "high"}],threshold.severity=low': ("levels=1", "threshold.severity=low"),
    "query.min_count=5": ("query.min_count=5.0", "query.group_by=('region',)"),
    'tags={"a": "b,c=d"}, cooldown_period = 0': ("tags={'a': 'b,c=d'}", "cooldown_period=0"),
    "evaluation_window=600": ("evaluation_window=600",),
    "name=Slow": ("id=slow",),
}


@pytest.mark.parametrize(("text", "expected"), GIVEN.items(), ids=GIVEN)
def test_a_setting_changes_a_field(text: str, expected: Sequence[str]) -> None:
    """A field is set as the configuration has it: JSON or plain text, several with commas, inner ones with dots."""
    place = find(CONFIG, "High Response Time - Critical")
    result = changed(CONFIG, place, [text])
    after = place.rule(result)
    for one in expected:
        path, _, wanted = one.partition("=")
        found: object = after
        for name in path.split("."):
            found = getattr(found, name)
        assert str(len(found) if path == "levels" and isinstance(found, tuple) else found) == wanted
    assert [one for one in result.list_alert_rules() if one is not after] == CONFIG.list_alert_rules()[1:]


REFUSED = {
    "treshold=3": 'rules[0].treshold: unknown key; did you mean "threshold"?',
    "threshold=abc": 'rules[0].threshold.value: expected a number, got "abc"',
    "min_occurrences=0": "rules[0].min_occurrences: expected a whole number from 1 to 100, got 0",
    "evaluation_window=90": "rules[0].evaluation_window: expected a multiple of 60, got 90",
    'notification_channels=["pager"]': "rules[0].notification_channels[0]: unknown channel",
    "250": 'expected field=value, got "250"',
    "=3": 'expected field=value, got "=3"',
    "name.first=3": "rules[0].name: expected an object, and name.first sets a field of it",
}


@pytest.mark.parametrize(("text", "message"), REFUSED.items(), ids=REFUSED)
def test_a_setting_is_checked_like_a_configuration(text: str, message: str) -> None:
    """A mistake gives the configuration reader's own message with its path."""
    with pytest.raises(ConfigError) as caught:
        changed(CONFIG, Place(False, 0), [text])
    assert message in caught.value.detail


def test_one_rule_runs_with_those_that_keep_it_quiet() -> None:
    """What keeps the rule quiet runs, too, and so on, and nothing else; only the rule's own alerts are shown."""
    names = ("A", "B", "C", "D")
    plain = [{**RULES[4], "name": name, "inhibited_by": [other.lower()] if other else []}
             for name, other in zip(names, ("B", "C", "", "A"), strict=True)]  # fmt: skip
    config = config_of(plain)
    asked = Asked.read(config, "a", ["threshold=45"])
    for one in asked.configs():
        assert [rule.id for rule in one.list_alert_rules(enabled_only=True)] == ["a", "b", "c"]
    found = outcome(asked, Kept(fleet_minutes(20)), Span(FIRST, FIRST + 19 * 60), lambda *_: None)
    assert {one.rule_id for column in found.columns for one in column.episodes} == {"a"}
    assert [column.heading for column in found.columns] == ["CHANGED", "AS IT IS"]
    assert "nobody: inhibited" in "\n".join(found.lines())


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("", ["threshold=1"], "a setting changes a rule: name it"),
        ("high-cpu", [], 'unknown rule "high-cpu"'),
        (CPU, ["enabled=false"], f"{CPU} is not enabled; the setting enabled=true tries it"),
    ],
)
def test_what_cannot_be_asked(name: str, settings: list[str], message: str) -> None:
    """A setting without a rule, an unknown rule, and one that is not enabled are refused in one line."""
    with pytest.raises(ConfigError) as caught:
        Asked.read(CONFIG, name, settings)
    assert message in caught.value.detail


def test_a_disabled_rule_can_be_tried() -> None:
    """Enabling it shows what it would do, beside nothing."""
    off = config_of([{**RULES[4], "enabled": False}])
    found = outcome(
        Asked.read(off, "busy", ["enabled=true"]), Kept(fleet_minutes(20)), Span(FIRST, FIRST + 1140), lambda *_: None
    )
    assert [bool(column.episodes) for column in found.columns] == [True, False]


def at(minutes: float) -> datetime:
    """Minutes after the start."""
    return START + timedelta(minutes=minutes)


def episode(minute: float, lasting: float | None = 3, **fields: Any) -> Episode:
    """An alert that fires at a minute."""
    ended_at = None if lasting is None else at(minute + lasting)
    known = {"fingerprint": "f", "rule_id": CPU, "labels": labels(region="eu"), "kind": AlertKind.THRESHOLD}
    rest = {"severity": Severity.LOW, "value": 91.25, "ended_at": ended_at}
    return Episode(**{**known, "fired_at": at(minute), **rest, **fields})


SPAN = Span(FIRST, FIRST + 1439 * MINUTE_SECONDS)
WINDOWS = [Labelled(at(10), at(20)), Labelled(at(100), at(120)), Labelled(at(-90), at(-80))]


@pytest.mark.parametrize(
    ("minutes", "precision", "recall", "false_alerts", "detect"),
    [
        pytest.param([15], 1.0, 0.5, 0.0, 5, id="one found"),
        pytest.param([10, 120], 1.0, 1.0, 0.0, 10, id="both ends are inside"),
        pytest.param([9, 21, 99, 121], 0.0, 0.0, 4.0, None, id="just outside"),
        pytest.param([1], 0.0, 0.0, 1.0, None, id="one that fires from before a window finds nothing"),
        pytest.param([12, 14, 16, 50], 0.75, 0.5, 1.0, 2, id="several in a window are all true, the first detects"),
        pytest.param([], None, 0.0, 0.0, None, id="no alert"),
    ],
)
def test_alerts_are_scored_by_when_they_fire(
    minutes: list[float], precision: float | None, recall: float, false_alerts: float, detect: float | None
) -> None:
    """Precision, recall, false alerts a series-day, the median time to detect; windows outside of the span are none."""
    found = score([*map(episode, minutes)], WINDOWS, SPAN)
    assert (found.precision, found.recall, found.false_alerts_per_series_day) == (precision, recall, false_alerts)
    assert found.median_to_detect == (None if detect is None else timedelta(minutes=detect))


def test_scores_of_several_series_are_pooled() -> None:
    """Adding scores adds alerts, windows, times to detect and days."""
    one = score([episode(15)], WINDOWS, SPAN)
    both = one + score([episode(1), episode(104)], WINDOWS[1:], SPAN)
    assert (both.alerts, both.true_alerts, both.windows, both.series_days) == (3, 2, 3, 2.0)
    assert both.median_to_detect == timedelta(minutes=4.5)
    assert Score().false_alerts_per_series_day is None
    assert Score().recall is None


def test_windows_are_read_and_found_by_name() -> None:
    """Times without an offset are UTC; a name may leave out the folders that tell one file from another."""
    windows = read_windows(
        '{"cloud/cpu.csv": [["2025-10-18 12:10:00", "2025-10-18T14:20:00+02:00"]], "a/x.csv": [], "b/x.csv": []}'
    )
    assert windows_of(windows, "cpu.csv") == [WINDOWS[0]] == windows_of(windows, "data/cloud/cpu.csv")
    assert windows_of(windows, "a/x.csv") == []
    assert windows_of(windows, "x.csv") is None
    assert windows_of(windows, "y.csv") is None


@pytest.mark.parametrize("text", ["[]", "{", '{"a": 1}', '{"a": [["x", "y"]]}', '{"a": [["2025-10-18"]]}',
                                  '{"a": [["2025-10-19 00:00:00", "2025-10-18 00:00:00"]]}'])  # fmt: skip
def test_what_is_no_windows_is_refused(text: str) -> None:
    """Anything but names with pairs of times, the earlier first, is a configuration error."""
    with pytest.raises(ConfigError, match="windows: "):
        read_windows(text)


def test_alerts_stand_beside_their_counterparts() -> None:
    """Each alert has its line, with what the others did at the same time; what only they did has its own."""
    told = (Telling("firing", at(10), ("slack", "inbox")), Telling("resolved", at(13), ("slack", "inbox")))
    tried = [episode(10, told=told), episode(100, lasting=None, held=("cooldown",))]
    tried.append(episode(200, 61, fingerprint="g", kind=AlertKind.NO_DATA, value=None))
    other = [episode(12, 70), episode(160), episode(300), episode(200, 61, fingerprint="g", severity=Severity.HIGH)]
    end = Span(FIRST, FIRST + 3 * 1440 * 60)
    lines = alerts(CONFIG, end, Column("CHANGED", tried), [Column("AS IT IS", other)])
    name = "High CPU Utilization region=eu"
    beside = "2025-10-18 14:40 for 3 min; 2025-10-18 17:00 for 3 min"
    assert [re.split("  +", line) for line in lines] == [
        ["FIRES (UTC)", "FOR", "RULE", "SEVERITY", "VALUE", "TELLS", "AS IT IS"],
        ["2025-10-18 12:10", "3 min", name, "low", "91.25 %", "slack inbox", "2025-10-18 12:12 for 1 h 10 min"],
        ["2025-10-18 13:40", "2 d 22 h +", name, "low", "91.25 %", "nobody: cooldown", beside],
        ["2025-10-18 15:20", "1 h 1 min", name.replace(" r", " (no data) r"), "low", "-", "nobody", "the same, high"],
    ]
    assert alerts(CONFIG, SPAN, Column("AS IT IS", []), []) == ["No alert fires."]
    (line,) = alerts(CONFIG, SPAN, Column("CHANGED", []), [Column("HISTORY", [episode(5)])])[1:]
    assert line.split() == [
        "-",
        "-",
        "High",
        "CPU",
        "Utilization",
        "region=eu",
        "-",
        "-",
        "-",
        "2025-10-18",
        "12:05",
        "for",
        "3",
        "min",
    ]


def test_a_hostile_label_moves_no_cursor() -> None:
    """Control characters of a label reach no terminal, and wide ones leave the columns aligned."""
    hostile = episode(10, labels=labels(region="\x1b[2J\n\u202e"), fingerprint="g")
    lines = alerts(CONFIG, SPAN, Column("AS IT IS", [hostile, episode(11)]), [])
    assert all(line.isprintable() for line in lines)
    assert aligned([["a", "日本", "x"], ["b", "c", "y"]]) == ["a  日本  x", "b  c     y"]


@pytest.mark.parametrize(
    ("minutes", "text"),
    [(0, "0 min"), (59, "59 min"), (60, "1 h 0 min"), (1439, "23 h 59 min"), (1440, "1 d 0 h"), (1.6, "2 min")],
)
def test_a_time_is_said_in_two_units(minutes: float, text: str) -> None:
    """Minutes, hours and minutes, days and hours."""
    assert span_text(timedelta(minutes=minutes)) == text


HOUR = -(-FIRST // 3600) * 3600


@pytest.mark.parametrize("aggregation", Aggregation)
def test_minutes_that_only_an_hour_holds_give_what_they_gave(aggregation: Aggregation) -> None:
    """Every aggregation of a minute is what it was, and of a longer window, too, but that a percentile is not lower."""
    rng = np.random.default_rng(1)
    minutes: dict[int, Cells] = {}
    for slot, minute in enumerate(minutes_of(HOUR)):
        at_us = minute * US_PER_SECOND - 1
        seen = [Observation(Series("m"), Kind.DISTRIBUTION, at_us, float(one)) for one in rng.lognormal(3, 1, slot * 3)]
        seen += [Observation(Series("n"), Kind.GAUGE, at_us, float(rng.normal())) for _ in range(slot % 4)]
        minutes[minute] = fold(seen)
    held = minutes_in(HOUR, build_hour(HOUR, minutes))
    assert list(held) == [minute for minute, cells in minutes.items() if len(cells)]
    percentile = aggregation.quantile is not None
    for query in (
        Query(Selection("m"), aggregation),
        Query(Selection("n"), Aggregation.AVG if percentile else aggregation),
    ):
        for minute in minutes_of(HOUR):
            then = evaluate(read_window(minutes, minute, 60), query, 60).get((), math.nan)
            now = evaluate(read_window(held, minute, 60), query, 60).get((), math.nan)
            longer = [evaluate(read_window(one, minute, 600), query, 600).get((), math.nan) for one in (minutes, held)]
            if aggregation is Aggregation.P90 and query.select.metric == "m":
                assert math.isnan(then) or now >= then
            else:
                assert now == then or (math.isnan(then) and math.isnan(now))
            if percentile and query.select.metric == "m":
                assert math.isnan(longer[0]) or longer[1] >= longer[0]
            else:
                assert longer[0] == longer[1] or all(map(math.isnan, longer))
