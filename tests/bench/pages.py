"""Pages of three days of the simulated fleet: how long they take once they were seen, and how large they are.

The minutes are an hour of the fleet, again and again; they are held as a page holds them, so that what is measured is
asking and drawing. Of pages that are looked at a second time, a minute later, only what is new is computed.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

from shared.adapters.sqlite_store import SqliteStore
from shared.cells import Cells, fold, merge_writers
from shared.chart_pages import build_chart, render_chart
from shared.dashboard import DashboardPages, PageRequest
from shared.local.fleet import REGIONS, SLICE_SECONDS, Fleet
from shared.local.incident import Incident
from shared.minute_cache import Cursor, Minutes
from shared.monitoring_config import MonitoringConfig
from shared.reader import Reader
from shared.timeline import HOUR_SECONDS, MINUTE_SECONDS, from_minute, minute_floor
from shared.urls import parse_chart
from tests.bench.figures import Figure, bounded, stated

HOURS = 72
ROUNDS = 21
MOST_PAGE_MS = 50.0
MOST_PICTURE_MS = 80.0
MOST_KILOBYTES = 15.0


class HeldReader(Reader):
    """A reader whose minutes are there already."""

    def __init__(self, store: SqliteStore, minutes: dict[int, Cells]) -> None:
        super().__init__(store)
        self.all = minutes

    def cursor(self) -> Cursor | None:
        """The newest minute."""
        newest = max(self.all)
        return Cursor(newest, from_minute(newest))

    def minutes(self, first: int, last: int, _cursor: Cursor | None, _now: datetime) -> Minutes:
        """Those of the range; a minute's serial is its own number."""
        wanted = range(first, last + MINUTE_SECONDS, MINUTE_SECONDS)
        cells = {minute: self.all[minute] for minute in wanted if minute in self.all}
        return Minutes(cells, {minute: minute for minute in cells})


def figures(now: datetime) -> Iterator[Figure]:
    """Each dashboard over 3 h and over 72 h, a picture, and one query."""
    newest = minute_floor(now)
    minutes = _three_days(newest)
    at = from_minute(newest) + timedelta(seconds=20)
    reader = HeldReader(SqliteStore(":memory:", lambda: at), minutes)
    config = MonitoringConfig()
    pages = DashboardPages(config, reader, lambda: at)
    yield stated("series of a minute", max(len(cells) for cells in minutes.values()))
    for dashboard in config.list_dashboards():
        for hours in ("3h", "72h"):
            asked = PageRequest(f"/dashboards/{dashboard.name}.html", query={"range": hours})
            body = pages(asked).body
            taken_ms = _p95_ms(partial(pages, asked))
            yield bounded(
                f"{dashboard.name}, {hours}, HTML, processor time, 95th percentile", taken_ms, MOST_PAGE_MS, "ms"
            )
            yield bounded(f"{dashboard.name}, {hours}, gzip", len(gzip.compress(body, 6)) / 1000, MOST_KILOBYTES, "kB")
    yield from _charts(config, reader, at)


def _charts(config: MonitoringConfig, reader: Reader, at: datetime) -> Iterator[Figure]:
    view = parse_chart("/charts/response_time_eu.png", {"range": "72h"}, None, at)
    collection = config.get_collection("response_time_eu")

    def drawn() -> None:
        render_chart(*build_chart(config, reader, collection, view, at), view)

    drawn()
    yield bounded("a chart of 72 h as PNG, processor time, 95th percentile", _p95_ms(drawn), MOST_PICTURE_MS, "ms")


def _three_days(newest: int) -> dict[int, Cells]:
    fleet = Fleet(1, Incident(newest - HOUR_SECONDS, 120))
    hour = [_minute(fleet, newest - HOUR_SECONDS + (index + 1) * MINUTE_SECONDS) for index in range(60)]
    count = HOURS * 60 + 120
    return {newest - index * MINUTE_SECONDS: hour[-1 - index % 60] for index in reversed(range(count))}


def _minute(fleet: Fleet, minute: int) -> Cells:
    ends = range(minute - MINUTE_SECONDS + SLICE_SECONDS, minute + SLICE_SECONDS, SLICE_SECONDS)
    parts = [
        fold([one for end in ends for one in fleet.observations(region, end)], writer)
        for writer, region in enumerate(REGIONS, start=1)
    ]
    return merge_writers(parts)


def _p95_ms(call: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        started = time.process_time()
        call()
        times.append(1000 * (time.process_time() - started))
    return sorted(times)[round(0.95 * (ROUNDS - 1))]
