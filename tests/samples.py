"""Sample pages, seeded: the same numbers at every run.

The story: P95 response time in europe-west1 above 200 ms since 14:05, two minutes after a deploy, seen at 14:31:12
on 18 October 2025; with it a low L2 hit rate, a database lag that is pending, and a silenced CPU in Asia.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from shared.panels import (
    AlertRow,
    Cell,
    Fact,
    Headline,
    Health,
    InboxEntry,
    Limit,
    Line,
    LineChart,
    Mark,
    Overview,
    Row,
    Share,
    Signal,
    Span,
    Status,
    Tab,
)
from shared.rules import Operator, Severity

NOW = datetime(2025, 10, 18, 14, 31, 12, tzinfo=UTC)
DATA_TO = datetime(2025, 10, 18, 14, 31, tzinfo=UTC)
FIRED = datetime(2025, 10, 18, 14, 5, tzinfo=UTC)
_DAY = 1440
_EPISODE = 26
_P95_LIMIT = Limit(200, Operator.GREATER, Severity.CRITICAL)
_P95_WARNING = Limit(100, Operator.GREATER, Severity.HIGH)
_L2_LIMIT = Limit(70, Operator.LESS, Severity.LOW)
_CPU_LIMIT = Limit(80, Operator.GREATER, Severity.LOW)
_LAG_LIMIT = Limit(500, Operator.GREATER, Severity.MEDIUM)
_ERROR_LIMIT = Limit(0.5, Operator.GREATER, Severity.HIGH)
_SLA = Limit(99.95, Operator.LESS, Severity.CRITICAL)
_RISE = (260, 288, 306, 330, 352, 372, 390, 407, 420, 436, 448, 459, 467, 480, 485, 497, 488, 478, 470, 458, 455)


@functools.cache
def overview() -> Overview:
    """The page of the story: one critical, one warning, one low, one pending, one silenced, 31 ok."""
    return Overview(
        service="ION Mentoring",
        environment="production",
        title="Overview",
        now=NOW,
        data_to=DATA_TO,
        start=DATA_TO - timedelta(hours=3),
        end=DATA_TO,
        headline=Headline(
            Status.CRITICAL,
            "P95 response time in europe-west1 is 456 ms, 2.3 times its limit, since 14:05 (26 min)",
            "Began 2 min after deploy api 4.18.0 at 14:03. The slowest 17 % of requests are hit; "
            "P50 rose from 22 to 32 ms. The other regions are normal.",
            note="Maria Kessler has it, 14:11",
            action="Open incident",
            href="/alerts/3f2a9c5d10b4e871",
        ),
        counts=_counts(critical=1, warning=1, low=1, pending=1, silenced=1, ok=31),
        signals=_signals(),
        charts=(_p95_chart(),),
        alerts=_alerts(),
        regions=_regions(),
        facts=(Fact("Requests today", 468_123_456, change=2.3), Fact("Active users", 61_240, change=1.1)),
        personas=(
            Share("Lua", 0.341, 11_400_000, change=0.4),
            Share("Elro", 0.279, 9_300_000, change=-0.2),
            Share("Riri", 0.219, 7_300_000, change=0.1),
            Share("Nana", 0.161, 5_400_000, change=-0.3),
        ),
        health=Health(NOW - timedelta(seconds=7), 35, 35, 14, 14, 0, ingest_seconds=0.4),
        tabs=_tabs(),
        ranges=_ranges(),
    )


def all_ok() -> Overview:
    """A quiet page: every check is ok and no alert is open."""
    page = overview()
    return replace(
        page,
        headline=Headline(
            Status.OK,
            "All 36 checks are ok, quiet for 3 days 4 h",
            "P95 24 to 59 ms in three regions, errors 0.30 %. Last alert Wed 15 Oct.",
        ),
        counts=_counts(ok=36),
        signals=tuple(_quiet(signal) for signal in page.signals),
        charts=(replace(_p95_chart(quiet=True), spans=(), marks=()),),
        alerts=(),
        regions=tuple(_quiet_region(region) for region in page.regions),
        tabs=tuple(replace(tab, status=Status.OK) for tab in page.tabs),
    )


def stale() -> Overview:
    """The quiet page, its newest data five minutes old: nothing on it is called current."""
    page, data_to = all_ok(), DATA_TO - timedelta(minutes=5)
    return replace(
        page,
        data_to=data_to,
        headline=Headline(
            Status.STALE,
            "No data since 14:26 (5 min): this page may be wrong",
            "Ingest answers; no service has published. Last known values are grey.",
        ),
        counts=((Status.UNKNOWN, 36), (Status.OK, 0)),
        signals=tuple(
            replace(s, status=Status.STALE, as_of=data_to, spark=(*s.spark[:-5], *[None] * 5)) for s in page.signals
        ),
        health=replace(page.health, collections_fresh=0),
    )


def empty() -> Overview:
    """A page before any metric came."""
    page = overview()
    return replace(
        page,
        data_to=None,
        headline=Headline(Status.EMPTY, "Nothing received yet", "Publish metrics to see this page fill."),
        counts=((Status.UNKNOWN, 36), (Status.OK, 0)),
        signals=tuple(
            replace(s, value=None, change=None, spark=(), status=Status.EMPTY, as_of=None, note="", usual=None)
            for s in page.signals
        ),
        charts=(),
        alerts=(),
        regions=(),
        facts=(),
        personas=(),
        health=Health(None, 0, 35, 0, 0, 0),
        tabs=tuple(replace(tab, status=Status.EMPTY) for tab in page.tabs),
    )


def resolved() -> Overview:
    """The quiet page just after the episode ended."""
    return replace(
        all_ok(),
        headline=Headline(
            Status.RESOLVED,
            "Resolved after 37 min: P95 response time in europe-west1 was above 200 ms",
            "Sat 18 Oct 2025, 14:05 to 14:42 UTC.",
        ),
    )


def pages() -> dict[str, Overview]:
    """Every sample by name."""
    return {"incident": overview(), "ok": all_ok(), "stale": stale(), "empty": empty(), "resolved": resolved()}


def inbox() -> tuple[InboxEntry, ...]:
    """Two notifications of the story, newest first."""
    told = ("europe-west1 P95 response time 306 ms, limit 200 ms, 3 violations in a row.", "Began at 14:05 UTC.")
    return (
        InboxEntry(
            NOW, "escalated", Severity.CRITICAL, "High Response Time - Critical: still firing", told, ("slack",)
        ),
        InboxEntry(
            FIRED + timedelta(minutes=2, seconds=7),
            "firing",
            Severity.CRITICAL,
            "High Response Time - Critical in europe-west1",
            told,
            ("slack", "pagerduty", "email"),
            "/alerts/3f2a9c5d10b4e871",
        ),
    )


def _counts(
    critical: int = 0, warning: int = 0, low: int = 0, pending: int = 0, silenced: int = 0, ok: int = 0
) -> tuple[tuple[Status, int], ...]:
    named = {
        Status.CRITICAL: critical,
        Status.WARNING: warning,
        Status.LOW: low,
        Status.PENDING: pending,
        Status.SILENCED: silenced,
    }
    return (*((status, count) for status, count in named.items() if count), (Status.OK, ok))


def _walk(seed: str, level: float, noise: float, count: int = _DAY, swing: float = 0.0) -> list[float]:
    """A level with a slow daily swing and correlated noise."""
    rng, drift, values = random.Random(seed), 0.0, []
    for index in range(count):
        drift = 0.8 * drift + rng.gauss(0, noise * 0.6)
        values.append(round(level + swing * math.cos(2 * math.pi * index / _DAY) + drift, 4))
    return values


def _spark(
    seed: str,
    level: float,
    noise: float,
    swing: float = 0.0,
    after: Callable[[int], float] | None = None,
    episode: int = _EPISODE,
) -> tuple[float, ...]:
    """24 h of minutes; ``after`` gives the values of the episode at its end, by minutes since its start."""
    values = _walk(seed, level, noise, swing=swing)
    if after is not None:
        values[-episode:] = [after(minute) for minute in range(episode)]
    return tuple(values)


def _p95_europe(minute: int) -> float:
    return float(_RISE[minute]) if minute < len(_RISE) else 456.5 + 1.5 * math.sin(minute)


def _signals() -> tuple[Signal, ...]:
    return (
        Signal(
            "availability", "Availability", "SERVICE HEALTH", "24 h", 99.97, "%", Status.OK, _SLA, -0.01, "pt",
            _spark("availability", 99.97, 0.002), usual=(99.96, 99.98),
        ),
        Signal(
            "error_rate", "Error rate", "SERVICE HEALTH", "all regions", 0.31, "%", Status.OK, _ERROR_LIMIT, 0.01, "pt",
            _spark("errors", 0.3, 0.008, 0.01),
        ),
        Signal(
            "response_time_avg", "Average response time", "PERFORMANCE", "all regions", 46.4, "ms", Status.OK, None,
            21.5, "ms", _spark("avg", 24.9, 0.5, after=lambda minute: 25 + minute * 0.9), detail=True,
        ),
        Signal(
            "response_time_p95", "P95 response time", "PERFORMANCE", "europe-west1", 456.48, "ms", Status.CRITICAL,
            _P95_LIMIT, 420.3, "ms", _spark("p95", 38, 1.2, after=_p95_europe),
        ),
        Signal(
            "response_time_p95", "P95 response time", "PERFORMANCE", "asia-southeast1", 58.9, "ms", Status.OK,
            _P95_LIMIT, 1.2, "ms", _spark("p95-asia", 58, 1.5), detail=True,
        ),
        Signal(
            "response_time_p95", "P95 response time", "PERFORMANCE", "us-central1", 23.6, "ms", Status.OK,
            _P95_LIMIT, -0.4, "ms", _spark("p95-us", 24, 0.6), detail=True,
        ),
        Signal(
            "cache_hit_rate", "Cache hit rate", "CACHE PERFORMANCE", "L2 europe-west1", 80.3, "%", Status.LOW,
            _L2_LIMIT, -2.4, "pt", _spark("cache", 82.6, 0.4, after=lambda minute: 82.5 - minute * 0.085),
        ),
        Signal(
            "throughput", "Throughput", "CAPACITY", "all regions", 9270, "req/s", Status.OK, None, 2.1, "%",
            _spark("throughput", 8300, 40, 1000), usual=(8000, 9500),
        ),
        Signal(
            "cpu", "CPU", "CAPACITY", "asia-southeast1", 81.9, "%", Status.SILENCED, _CPU_LIMIT, 24.9, "pt",
            _spark("cpu", 57, 1.2, 3, after=lambda minute: 80 + math.sin(minute) * 1.5, episode=71),
            note="to 16:00, J. Lind", usual=(48, 62),
        ),
    )  # fmt: skip


def _p95_chart(quiet: bool = False) -> LineChart:
    """Three regions over three hours, one value a minute."""
    europe = _walk("chart-europe", 38, 1.0, 180)
    if not quiet:
        europe[-_EPISODE:] = [_p95_europe(minute) for minute in range(_EPISODE)]
        europe[-1] = 456.48
    asia, us = [*_walk("chart-asia", 61, 1.2, 179), 58.9], [*_walk("chart-us", 24, 0.5, 179), 23.6]
    status = Status.OK if quiet else Status.CRITICAL
    return LineChart(
        id="p95",
        title="P95 response time by region",
        unit="ms",
        start=DATA_TO - timedelta(hours=3),
        step_seconds=60,
        lines=(
            Line(
                "europe-west1",
                tuple(europe),
                subject=not quiet,
                status=status,
                usual=() if quiet else ((30.0, 48.0),) * 180,
            ),
            Line("asia-southeast1", tuple(asia)),
            Line("us-central1", tuple(us)),
        ),
        limits=(_P95_LIMIT, _P95_WARNING),
        spans=(Span(FIRED, None, Severity.CRITICAL, False, "since 14:05"),),
        marks=(Mark(FIRED - timedelta(minutes=2), "Deploy api 4.18.0, 14:03"),),
    )


def _alerts() -> tuple[AlertRow, ...]:
    europe, begun = "europe-west1", NOW - timedelta(minutes=26, seconds=5)
    return (
        AlertRow(
            "3f2a9c5d10b4e871", "High Response Time - Critical", europe, Severity.CRITICAL, Status.CRITICAL, 456.48,
            "ms", _P95_LIMIT, begun, "ack M. Kessler 14:11", 24, 3, "/alerts/3f2a9c5d10b4e871",
        ),
        AlertRow(
            "88d1c07be52fa943", "High Response Time - Warning", europe, Severity.HIGH, Status.WARNING, 456.48, "ms",
            _P95_WARNING, begun, "grouped with above", 24, 3,
        ),
        AlertRow(
            "0b7fe1a96c2d4385", "Low Cache Hit Rate", "L2 europe-west1", Severity.LOW, Status.LOW, 62.7, "%",
            _L2_LIMIT, NOW - timedelta(minutes=23, seconds=8), "not acknowledged", 21, 3,
        ),
        AlertRow(
            "c6a24f0e9d8b1357", "High Database Replication Lag", europe, Severity.MEDIUM, Status.PENDING, 512, "ms",
            _LAG_LIMIT, NOW - timedelta(minutes=2, seconds=9), "pending, 2 of 3", 2, 3,
        ),
        AlertRow(
            "57e90ad3b1c86f24", "High CPU Utilization", "asia-southeast1", Severity.LOW, Status.SILENCED, 81.9, "%",
            _CPU_LIMIT, NOW - timedelta(minutes=71, seconds=30), "silenced to 16:00", 69, 3,
        ),
    )  # fmt: skip


def _regions() -> tuple[Row, ...]:
    return (
        Row(
            "europe-west1", Status.CRITICAL,
            _cells(3060, 0.41, 32, 456.48, 62.7, 63, 62, 512, 16, "+4 in 1 h",
                   {"response_time_p95": Status.CRITICAL, "l2_hit_rate": Status.LOW, "database_lag": Status.PENDING}),
        ),
        Row(
            "asia-southeast1", Status.SILENCED,
            _cells(2090, 0.3, 35, 58.9, 82.9, 81.9, 62, 248, 12, "+5 in 1 h", {"cpu_utilization": Status.SILENCED}),
        ),
        Row("us-central1", Status.OK, _cells(4120, 0.23, 14, 23.6, 85.4, 47, 60, None, 14, "0 in 1 h", {})),
    )  # fmt: skip


def _cells(
    requests: float, errors: float, typical: float, p95: float, l2: float, cpu: float, memory: float,
    lag: float | None, instances: float, scaled: str, over: dict[str, Status],
) -> tuple[Cell, ...]:  # fmt: skip
    cells = (
        Cell("throughput", "Requests/s", requests, "req/s", None, 6000),
        Cell("error_rate", "Errors %", errors, "%", _ERROR_LIMIT, 1),
        Cell("response_time", "P50 ms", typical, "ms", None, 500),
        Cell("response_time_p95", "P95 ms", p95, "ms", _P95_LIMIT, 500),
        Cell("l2_hit_rate", "L2 hit %", l2, "%", _L2_LIMIT, 100),
        Cell("cpu_utilization", "CPU %", cpu, "%", _CPU_LIMIT, 100),
        Cell("memory_utilization", "Memory %", memory, "%", _CPU_LIMIT, 100),
        Cell("database_lag", "DB lag ms", lag, "ms", _LAG_LIMIT, 700, note="" if lag is not None else "primary"),
        Cell("instance_count", "Instances", instances, "", note=scaled),
    )
    return tuple(replace(cell, over=over.get(cell.id, Status.OK)) for cell in cells)


def _quiet(signal: Signal) -> Signal:
    values = {"response_time_p95": 38.4, "cpu": 57.2, "response_time_avg": 24.9, "cache_hit_rate": 82.6}
    if signal.status is Status.OK and signal.id != "response_time_avg":
        return signal
    spark = (*signal.spark[: -_EPISODE * 3], *signal.spark[: _EPISODE * 3])
    return replace(signal, value=values[signal.id], status=Status.OK, change=0.2, spark=spark, note="")


def _quiet_region(region: Row) -> Row:
    calm = {"response_time_p95": 38.4, "l2_hit_rate": 83.1, "database_lag": 180.0, "cpu_utilization": 57.2}
    cells = tuple(
        cell if cell.over is Status.OK else replace(cell, value=calm[cell.id], over=Status.OK) for cell in region.cells
    )
    return replace(region, status=Status.OK, cells=cells)


def _tabs() -> tuple[Tab, ...]:
    return (
        Tab("overview", "Overview", "/dashboards/overview", Status.CRITICAL, True),
        Tab("performance", "Performance", "/dashboards/performance", Status.CRITICAL, False),
        Tab("reliability", "Reliability", "/dashboards/reliability", Status.OK, False),
        Tab("cache", "Cache", "/dashboards/cache", Status.LOW, False),
        Tab("infrastructure", "Infrastructure", "/dashboards/infrastructure", Status.SILENCED, False),
    )


def _ranges() -> tuple[Tab, ...]:
    return tuple(
        Tab(name, title, f"/dashboards/overview?range={name}", Status.OK, name == "3h")
        for name, title in (("1h", "1 h"), ("3h", "3 h"), ("24h", "24 h"), ("72h", "72 h"))
    )
