"""A simulated deployment with three regions, and its overview."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from shared.adapters.sqlite_store import SqliteStore
from shared.dashboard import PageRequest, PageResponse
from shared.monitoring_config import MonitoringConfig
from shared.overview import build_overview
from shared.panels import Overview
from shared.timeline import minute_floor
from tests.fakes import Clock
from tests.world import World, point

REGIONS = ("us-central1", "europe-west1", "asia-southeast1")


def world(config: MonitoringConfig | None = None) -> World:
    """A deployment without data."""
    clock = Clock()
    return World(SqliteStore(":memory:", clock), clock, config=config)


def minute_of_traffic(at: datetime, *, slow: str = "") -> list[dict[str, object]]:
    """One minute's points of three regions; the region ``slow`` answers half of its requests in 400 ms."""
    points: list[dict[str, object]] = []
    for region in REGIONS:
        latency = point("response_time", at, 0.0, region=region, endpoint="/process")
        del latency["value"]
        values = [400.0] * 10 + [20.0] * 10 if region == slow else [20.0] * 20
        points.append({**latency, "values": values})
        points.append(point("requests", at, 60_000.0, region=region))
        points.append(point("errors", at, 6.0, region=region))
        points.append(point("cpu_utilization", at, 50.0, region=region))
    return points


def run(running: World, minutes: int, *, slow: str = "") -> None:
    """Let a deployment work for some minutes."""
    for _ in range(minutes):
        running.publish(*minute_of_traffic(running.clock() + timedelta(seconds=20), slow=slow))
        running.next_minute()


def overview(running: World, hours: float = 3.0, **wanted: Any) -> Overview:
    """The page now, of the hours before ``end`` (now)."""
    now = running.clock()
    end = wanted.pop("end", now)
    return build_overview(
        running.services.config, running.services.reader, end - timedelta(hours=hours), end, now, **wanted
    )


def page(running: World, path: str = "/", **query: str) -> PageResponse:
    """The dashboard's answer; a parameter that is a keyword has an underscore behind it."""
    asked = {name.rstrip("_"): value for name, value in query.items()}
    return running.services.dashboard()(PageRequest(path, query=asked, accept="text/html"))


def newest_minute(running: World) -> int:
    """The newest minute that has ended (Unix seconds)."""
    return minute_floor(running.clock())
