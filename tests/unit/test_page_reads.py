"""What a page reads, and that it is right at the first look."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from shared.panels import Overview
from shared.reader import Reader
from shared.rollups import rollup_path
from shared.store import Put
from shared.timeline import from_minute, minute_floor
from tests.fakes import START, CountingStore
from tests.pages import minute_of_traffic, newest_minute, overview, page, run, world
from tests.world import World

MINUTE = timedelta(minutes=1)


def publish_past(running: World, first: int, last: int) -> None:
    """Publish the traffic of some minutes before the start: -15 is a quarter of an hour before it."""
    for minute in range(first, last):
        running.publish(*minute_of_traffic(START + minute * MINUTE + timedelta(seconds=20)))
    running.deliver()


def known(shown: Overview) -> int:
    """How many points of the chart's first line there are."""
    return sum(value is not None for value in shown.charts[0].lines[0].values)


def numbers(shown: Overview) -> dict[str, float | None]:
    """The signals' values and the facts, by name."""
    return {one.id: one.value for one in shown.signals} | {fact.name: fact.value for fact in shown.facts}


def test_the_page_is_whole_as_soon_as_the_past_is_stored() -> None:
    """A page looked at after a quarter of an hour has all 180 minutes once they are rolled up."""
    running = world()
    publish_past(running, -15, 0)
    run(running, 1)
    assert known(overview(running)) == 16
    publish_past(running, -179, -15)
    run(running, 1)
    shown = overview(running)
    assert known(shown) == 180
    assert numbers(shown)["Requests, 3 h"] == 180 * 180_000.0


def test_a_look_before_the_first_evaluation_spoils_nothing() -> None:
    """A page that was asked for before there was a cursor has the numbers of one that is asked for first now."""
    running = world()
    publish_past(running, -15, 0)
    assert overview(running).data_to is None
    run(running, 3, slow="europe-west1")
    shown = overview(running)
    other = overview_by_a_new_reader(running)
    assert (shown.signals, shown.facts, shown.charts) == (other.signals, other.facts, other.charts)
    assert numbers(shown)["throughput"] == pytest.approx(3000.0)


def overview_by_a_new_reader(running: World, hours: float = 3.0) -> Overview:
    """The page as an instance shows it that has just started."""
    object.__setattr__(running.services, "reader", Reader(running.store))
    return overview(running, hours)


def test_a_number_never_stands_beside_another_one_in_its_alert() -> None:
    """The availability that is shown is the one that its alert was judged by, whenever the page was looked at."""
    running = world()
    for _ in range(8):
        overview(running)
        at = running.clock() + timedelta(seconds=20)
        points = minute_of_traffic(at)
        for one in points:
            one["value"] = 1500.0 if one["metric"] == "errors" else one.get("value", 0.0)
            if "values" in one:
                del one["value"]
        running.publish(*points)
        running.next_minute()
        shown = overview(running)
        alerts = {alert.rule: alert.value for alert in shown.alerts}
        if "Service Availability - SLA Breach" in alerts:
            assert numbers(shown)["availability"] == alerts["Service Availability - SLA Breach"]
    assert shown.alerts


def test_late_data_is_on_the_next_page() -> None:
    """Points that come after their minute was shown are on the first page after the next evaluation."""
    running = world()
    run(running, 4)
    before = numbers(overview(running, hours=1.0))["Requests, 1 h"]
    running.publish(*minute_of_traffic(START + 2 * MINUTE - timedelta(seconds=20)))
    run(running, 1)
    assert numbers(overview(running, hours=1.0))["Requests, 1 h"] == 6 * 180_000.0
    assert before == 4 * 180_000.0


def test_reads_of_a_page_are_bounded() -> None:
    """After its first look a page asks for the cursor alone, and after an evaluation for 4 hours' heads and 61 more."""
    running = world()
    publish_past(running, -179, 0)
    run(running, 2)
    store = CountingStore(running.store)
    object.__setattr__(running.services, "reader", Reader(store))

    def asked() -> int:
        store.reads.clear()
        assert page(running).status == 200
        return store.reads["evaluator"] + store.reads["rollups"]

    assert asked() <= 1 + 4 * 60 + 4 + 2 * 60
    assert asked() == 1
    run(running, 1)
    assert asked() <= 1 + 4 + 61
    assert asked() == 1


def test_lists_of_a_quiet_page_are_empty() -> None:
    """A page without alerts and notifications costs the one read of each query besides its minutes.

    What is usual of each signal is read at the first look, and then not for ten minutes.
    """
    running = world()
    run(running, 2)
    store = CountingStore(running.store)
    object.__setattr__(running.services, "reader", Reader(store))
    assert page(running).status == 200
    assert {name: reads for name, reads in store.reads.items() if name != "rollups"} == {
        "evaluator": 1, "alerts": 1, "history": 1, "deliveries": 1, "outages": 1, "baselines": 7, "buckets": 1,
    }  # fmt: skip
    assert page(running).status == 200
    assert store.reads["baselines"] == 7


@pytest.mark.parametrize("hours", [1.0, 3.0, 24.0, 72.0])
def test_values_do_not_depend_on_what_was_looked_at_before(hours: float) -> None:
    """A page that was watched minute by minute is the one that a new instance shows, at any range."""
    running = world()
    publish_past(running, -30, 0)
    for minute in range(7):
        run(running, 1, slow="europe-west1" if minute > 3 else "")
        overview(running, hours)
    watched, fresh = overview(running, hours), overview_by_a_new_reader(running, hours)
    assert (watched.signals, watched.charts, watched.facts) == (fresh.signals, fresh.charts, fresh.facts)


def test_steps_stay_while_the_range_moves_on() -> None:
    """Of a day's chart all values but those at its ends are the same a minute later."""
    running = world()
    publish_past(running, -90, 0)
    run(running, 3)
    before = overview(running, 24.0).charts[0]
    run(running, 1)
    after = overview(running, 24.0).charts[0]
    shift = int((after.start - before.start).total_seconds()) // before.step_seconds
    assert before.step_seconds == 480
    assert before.lines[0].values[shift : 180 - 2] == after.lines[0].values[: 180 - 2 - shift]
    assert after.end == from_minute(minute_floor(running.clock()))


@pytest.mark.parametrize("form", ["html", "txt", "json", "md"])
def test_minutes_of_another_version_are_said(form: str) -> None:
    """A page whose minutes are partly of an unknown version answers, says how many, and shows the others."""
    running = world()
    run(running, 6)
    spoil(running, newest_minute(running) - 120)
    answer = page(running, f"/dashboards/overview.{form}")
    assert answer.status == 200
    assert "1 minute cannot be read by this version" in answer.body.decode()
    assert numbers(overview(running))["Requests, 3 h"] == 5 * 180_000.0


def test_all_minutes_of_another_version_are_not_called_absent() -> None:
    """A page none of whose minutes can be read does not say that nothing was received."""
    running = world()
    run(running, 2)
    for minute in (newest_minute(running), newest_minute(running) - 60):
        spoil(running, minute)
    told = json.loads(page(running, "/dashboards/overview.json").body)
    assert told["status"] == "unknown"
    assert told["headline"]["sentence"] == "This version cannot read what is stored"


def spoil(running: World, minute: int) -> None:
    """Make a minute's rollup one of a version that does not exist."""
    path = rollup_path(minute)
    head = running.store.get([path])[path]
    running.store.commit([Put(path, {**head.fields, "d": b"\xff" + head.fields["d"][1:]})])
