"""Changes against last week: of signals, of what is added up, and where nothing is known."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest

from shared.hours import hour_of, hour_path, roll_up_hour
from shared.panels import Overview
from shared.reader import Reader
from shared.rollups import roll_up
from shared.store import Put
from shared.timeline import MINUTE_SECONDS, from_minute
from shared.week import WEEK_SECONDS, change_of
from tests.fakes import START, CountingStore
from tests.pages import minute_of_traffic, newest_minute, overview, page, run, world
from tests.world import World, point

WEEK = timedelta(seconds=WEEK_SECONDS)
PERSONAS = {"Lua": 30.0, "Elro": 70.0}


@pytest.fixture(scope="module")
def running() -> World:
    """Five minutes of traffic, and four hours of last week around the same time: half the requests, in 10 ms."""
    made = world()
    made.clock.time = START - WEEK + timedelta(hours=1)
    first = hour_of(newest_minute(made)) - 4 * 3600
    for minute in range(first + MINUTE_SECONDS, first + 4 * 3600 + 1, MINUTE_SECONDS):
        at = from_minute(minute) - timedelta(seconds=30)
        made.publish(*(_last_week(one) for one in minute_of_traffic(at)), *_personas(PERSONAS, at))
    made.deliver()
    for hour in range(first + 3600, first + 4 * 3600 + 1, 3600):
        for minute in range(hour - 3600 + MINUTE_SECONDS, hour + 1, MINUTE_SECONDS):
            roll_up(made.store, minute, made.clock(), timedelta(0))
        assert roll_up_hour(made.store, hour, made.clock())
    made.clock.time = START
    for _ in range(5):
        made.publish(*_personas({"Lua": 50.0, "Elro": 50.0}, made.clock() + timedelta(seconds=20)))
        run(made, 1)
    return made


def _last_week(one: dict[str, object]) -> dict[str, object]:
    if "values" in one:
        return {**one, "values": [10.0] * 20}
    return {**one, "value": 30_000.0} if one["metric"] == "requests" else one


def _personas(counts: dict[str, float], at: datetime) -> list[dict[str, object]]:
    return [point("persona_requests", at, count, persona=name) for name, count in counts.items()]


def throughput(shown: Overview) -> float | None:
    """The throughput's change."""
    return next(one.change for one in shown.signals if one.id == "throughput")


def test_signals_change_in_their_own_terms(running: World) -> None:
    """A rate has changed in percent, a percentage in points and a duration in milliseconds."""
    shown = overview(running)
    changes = {one.id: (None if one.change is None else round(one.change, 9), one.change_unit) for one in shown.signals}
    assert changes["throughput"] == (100.0, "%")
    assert changes["error_rate"] == (-0.01, "pt")
    assert changes["response_time_avg"] == (10.0, "ms")
    assert changes["cpu"] == (0.0, "pt")


def test_what_is_added_up_is_compared_over_the_same_range(running: World) -> None:
    """Five minutes' requests are compared with those of the same three hours, personas' shares with their shares."""
    shown = overview(running)
    requests = next(one for one in shown.facts if one.name == "Requests, 3 h")
    assert requests.change == pytest.approx(100 * (5 * 180_000 / (180 * 90_000) - 1))
    assert {one.name: one.change for one in shown.personas} == pytest.approx({"Lua": 20.0, "Elro": -20.0})


def test_a_range_that_is_not_known_as_a_whole_is_not_compared(running: World) -> None:
    """Of six hours of which four are known last week, as of 72 h, sums have no change."""
    for hours in (6.0, 72.0):
        shown = overview(running, hours)
        assert [one.change for one in shown.facts] == [None, None]
        assert [one.change for one in shown.personas] == [None, None]
        assert throughput(shown) == pytest.approx(100.0)


@pytest.mark.parametrize(
    ("form", "words"), [("html", "↑ 100"), ("txt", "+100.0%"), ("md", "+100.0%"), ("json", '"change": 100.0')]
)
def test_every_format_has_the_change(running: World, form: str, words: str) -> None:
    """A page says by how much its signals changed, and since when."""
    told = page(running, f"/dashboards/overview.{form}").body.decode()
    assert words in told
    assert form == "json" or "last week" in told


def test_without_last_week_no_format_speaks_of_it() -> None:
    """A deployment of five minutes has no change, and no column for any."""
    fresh = world()
    run(fresh, 5)
    for form in ("html", "txt", "md"):
        assert "last week" not in page(fresh, f"/dashboards/overview.{form}").body.decode()
    told = json.loads(page(fresh, "/dashboards/overview.json").body)
    assert {one["change"] for one in told["signals"]} == {None}


def test_an_hour_of_last_week_is_read_once(running: World) -> None:
    """The overview of 3 h reads four hours of last week at its first look, and none at the next."""
    store = CountingStore(running.store)
    object.__setattr__(running.services, "reader", Reader(store))
    page(running)
    first = store.reads["rollups"]
    page(running)
    assert store.reads["rollups"] == first
    object.__setattr__(running.services, "reader", Reader(running.store))


def test_a_spoilt_hour_of_last_week_spoils_no_page(running: World) -> None:
    """A page whose hour of last week cannot be read is the page without a change."""
    path = hour_path(hour_of(newest_minute(running) - WEEK_SECONDS))
    head = running.store.get([path])[path]
    running.store.commit([Put(path, {**head.fields, "d": b"\xff"})])
    object.__setattr__(running.services, "reader", Reader(running.store))
    shown = overview(running)
    assert throughput(shown) is None
    assert shown.facts[0].value == 5 * 180_000.0
    running.store.commit([Put(path, head.fields)])


@pytest.mark.parametrize(
    ("value", "before", "unit", "change"),
    [
        (None, 1.0, "ms", (None, "")),
        (1.0, None, "%", (None, "")),
        (5.0, 0.0, "r/s", (None, "")),
        (0.0, 4.0, "r/s", (-100.0, "%")),
        (3.0, 0.0, "%", (3.0, "pt")),
    ],
)
def test_what_cannot_be_compared_has_no_change(
    value: float | None, before: float | None, unit: str, change: tuple[float | None, str]
) -> None:
    """An unknown value or hour gives no change, nor does a count that was 0."""
    assert change_of(value, before, unit) == change
