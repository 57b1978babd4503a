"""Minutes that are not settled: what was stored a moment ago is on the page, and is never taken for a whole minute."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest

from shared.live_minutes import HELD, MOST_MINUTES
from shared.reader import Reader
from tests.fakes import CountingStore
from tests.pages import overview, page, run, world
from tests.world import World, point

REGION = "us-central1"


def storing(running: World, value: float, at_seconds: float = 10.0) -> None:
    """Publish a response time of the running minute, and let ingest acknowledge it."""
    at = running.clock().replace(second=0, microsecond=0) + timedelta(seconds=at_seconds)
    running.clock.time = max(running.clock.time, at)
    running.publish(point("response_time", at, value, region=REGION, endpoint="/process"))
    running.deliver()


def chart(running: World, name: str = "response_time_us") -> dict[str, Any]:
    """A collection's chart as a program sees it now."""
    found: dict[str, Any] = json.loads(page(running, f"/charts/{name}.json").body)["chart"]
    return found


@pytest.fixture
def running() -> World:
    """Five minutes of traffic."""
    made = world()
    run(made, 5)
    return made


def test_a_point_is_visible_half_a_second_after_it_was_stored(running: World) -> None:
    """A page that was just looked at shows, half a second later, what ingest acknowledged in between."""
    assert chart(running)["live_to"] is None
    storing(running, 400.0)
    running.clock.time += HELD
    shown = chart(running)
    assert shown["lines"][0]["live"] == pytest.approx(400.0, rel=0.02)
    assert shown["live_to"] == "2025-10-18T12:06:00Z"
    storing(running, 800.0, 20.0)
    running.clock.time += HELD
    assert chart(running)["lines"][0]["live"] == pytest.approx(800.0, rel=0.02)


def test_a_part_of_a_minute_is_no_minute(running: World) -> None:
    """Signals, alerts and a chart's values stay those of settled minutes; once it is settled nothing is so far."""
    before = overview(running)
    storing(running, 40_000.0)
    running.clock.time += HELD
    after = overview(running)
    assert (after.alerts, after.counts) == (before.alerts, before.counts)
    assert [one.value for one in after.signals] == [one.value for one in before.signals]
    assert [one.values for one in after.charts[0].lines] == [one.values for one in before.charts[0].lines]
    run(running, 1)
    settled = chart(running)
    assert settled["live_to"] is None
    assert settled["lines"][0]["values"][-1] == pytest.approx(20.0, rel=0.02)


def test_a_rate_says_nothing_of_part_of_a_minute(running: World) -> None:
    """Throughput and counts have no value so far; a ratio has."""
    at = running.clock() + timedelta(seconds=5)
    running.publish(point("requests", at, 100.0, region=REGION), point("errors", at, 7.0, region=REGION))
    running.deliver()
    running.clock.time += timedelta(seconds=6)
    assert chart(running, "throughput_global")["live_to"] is None
    assert chart(running, "error_rate_global")["lines"][0]["live"] == 7.0


def test_every_format_says_so_far(running: World) -> None:
    """HTML and SVG have a ring and say it in words, text and Markdown a line, CSV a record at the end of its minute."""
    storing(running, 432.0)
    running.clock.time += HELD
    for path, told in (
        ("/dashboards/overview.html", "so far in the minute that runs"),
        ("/charts/response_time_us.svg", "so far in the minute that runs"),
        ("/charts/response_time_us.txt", "12:06 so far: us-central1 432"),
        ("/dashboards/performance.txt", "us-central1 12:06 so far: P50 432"),
        ("/dashboards/performance.md", "us-central1 12:06 so far: P50 432"),
    ):
        assert told in page(running, path).body.decode().replace("\\", ""), path
    rings = page(running, "/charts/response_time_us.svg").body.decode().count('r="4" fill="none"')
    records = [*csv.DictReader(io.StringIO(page(running, "/charts/response_time_us.csv").body.decode()))]
    (live,) = [one for one in records if one["series"] == "us-central1, so far"]
    assert (rings, live["time"]) == (1, "2025-10-18T12:06:00Z")
    assert float(live["value"]) == pytest.approx(432.0, rel=0.02)


def test_the_past_is_over(running: World) -> None:
    """A page about a past range has nothing of the minute that runs."""
    run(running, 5)
    storing(running, 400.0)
    asked = {"from_": "2025-10-18T12:00:00Z", "to": "2025-10-18T12:04:00Z"}
    told = json.loads(page(running, "/charts/response_time_us.json", **asked).body)["chart"]
    assert told["live_to"] is None


def test_reads_are_bounded(running: World) -> None:
    """Of an evaluator that is far behind at most three minutes are listed, once in half a second."""
    store = CountingStore(running.store)
    object.__setattr__(running.services, "reader", Reader(store))
    running.clock.time += timedelta(minutes=30)
    page(running)
    assert store.reads["buckets"] == MOST_MINUTES
    page(running)
    assert store.reads["buckets"] == MOST_MINUTES
    running.clock.time += HELD
    page(running)
    assert store.reads["buckets"] == 2 * MOST_MINUTES
