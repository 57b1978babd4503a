"""A sample board with a panel of every kind: the story of ``samples`` as the performance dashboard tells it."""

from __future__ import annotations

import functools
from dataclasses import replace
from datetime import timedelta

from shared.panels import (
    Board,
    Cell,
    Heat,
    Limit,
    Line,
    LineChart,
    Mark,
    Multiples,
    Row,
    Small,
    Span,
    Status,
    Strip,
    Strips,
    Style,
    Table,
)
from shared.rules import Operator, Severity
from tests import samples

STEPS = 45
_LIMIT = Limit(200, Operator.GREATER, Severity.CRITICAL)
_SLA = Limit(99.95, Operator.LESS, Severity.CRITICAL)
_START = samples.DATA_TO - timedelta(hours=3)


@functools.cache
def board() -> Board:
    """Signals, lines, small multiples with a distribution, a table, strips and alerts."""
    page = samples.overview()
    return Board(
        service=page.service,
        environment=page.environment,
        name="performance",
        title="Performance",
        now=page.now,
        data_to=page.data_to,
        start=page.start,
        end=page.end,
        headline=page.headline,
        counts=page.counts,
        signals=page.signals[:2],
        alerts=page.alerts,
        health=page.health,
        tabs=page.tabs,
        ranges=page.ranges,
        panels=(_percentiles(), _distribution(), _lines(), _table(), _strips()),
    )


def stale() -> Board:
    """The same with its newest data five minutes old."""
    old = samples.stale()
    return replace(board(), data_to=old.data_to, headline=old.headline, signals=old.signals[:2])


def empty() -> Board:
    """The same before any data came."""
    none = samples.empty()
    return replace(
        board(), data_to=None, headline=none.headline, signals=none.signals[:2], alerts=(), health=none.health,
        panels=(LineChart("lines", "Lines", "ms", _START, 240, ()), Table("table", "Table", "What", (), empty="None.")),
    )  # fmt: skip


def boards() -> dict[str, Board]:
    """Every sample by name."""
    return {"board": board(), "stale board": stale(), "empty board": empty()}


def _values(level: float, last: float) -> tuple[float | None, ...]:
    return (*(level + index % 5 for index in range(STEPS - 2)), None, last)


def _chart(name: str, title: str, lines: tuple[Line, ...]) -> LineChart:
    return LineChart(
        name, title, "ms", _START, 240, lines, limits=(_LIMIT,), holds=(10.0, 500.0), log=True,
        spans=(Span(samples.FIRED, None, Severity.CRITICAL, False, "europe-west1"),),
        marks=(Mark(samples.FIRED - timedelta(minutes=2), "Deploy api 4.18.0"),),
    )  # fmt: skip


def _percentiles() -> Multiples:
    lines = (
        Line("P50", _values(22, 32.4), style=Style.BELOW),
        Line("P95", _values(38, 456.7), style=Style.MAIN, usual=((36.0, 45.0),) * STEPS, status=Status.CRITICAL),
        Line("P99", _values(50, 658.1), style=Style.ABOVE),
    )
    charts = (
        Small("europe-west1", Status.CRITICAL, _chart("p-1-eu", "Percentiles in europe-west1", lines)),
        Small("us-central1", Status.OK, _chart("p-1-us", "Percentiles in us-central1", lines[:1])),
    )
    return Multiples("p-1", "Response time percentiles", "ms", "log scale", charts, total=4)


def _distribution() -> Multiples:
    step = (0.1, 0.4, 0.2, 0.0, 0.0, 0.13, 0.17)
    heat = Heat(_START, 240, 10.0, 1.9, (step,) * STEPS, _LIMIT, over=(*[0.001] * (STEPS - 2), None, 0.1734))
    line = Line("P95", _values(38, 456.7), style=Style.MAIN)
    small = Small("europe-west1", Status.CRITICAL, _chart("p-2-eu", "Distribution in europe-west1", (line,)), heat)
    return Multiples("p-2", "Distribution of response time", "ms", "share of requests", (small,))


def _lines() -> LineChart:
    lines = (
        Line("europe-west1", _values(38, 456.7), subject=True, status=Status.CRITICAL),
        Line("us-central1", _values(22, 23.6)),
    )
    return replace(_chart("p-3", "P95 by region", lines), log=False, lines_total=9)


def _table() -> Table:
    def cells(value: float, share: float | None) -> tuple[Cell, ...]:
        over = Status.CRITICAL if value > 200 else Status.OK
        return (
            Cell("p95", "P95", value, "ms", _LIMIT, 700.0, over),
            Cell("share", "Share", share, "%"),
            Cell("since", "Since", None, "", note="14:05"),
            Cell("trend", "Last 3 h", None, "ms", spark=_values(30, value)),
        )

    rows = (
        Row("/recommend", Status.CRITICAL, cells(671.3, 58.2)),
        Row("/sessions", Status.OK, cells(14.1, None)),
    )
    return Table("p-4", "Endpoints", "Endpoint", rows, "now", total=7)


def _strips() -> Strips:
    states = (*[Status.EMPTY] * 10, *[Status.OK] * 70, Status.UNKNOWN, Status.UNKNOWN, *[Status.CRITICAL] * 14)
    words = ((Status.OK, "within its limit"), (Status.CRITICAL, "beyond its limit"), (Status.UNKNOWN, "no data"))
    strips = (
        Strip("Availability", 99.912, "%", Status.CRITICAL, states, _SLA, "beyond its limit in 14 of 96 steps"),
        Strip("Uptime", None, "%", Status.UNKNOWN, (Status.UNKNOWN,) * 96, _SLA),
    )
    end = samples.DATA_TO
    return Strips("p-5", "Uptime, 24 hours", end - timedelta(hours=24), end, 900, strips, words, total=3)
