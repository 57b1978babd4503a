"""What one process knows of its own metrics: statistics over the minutes of its own cells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import TypedDict

from .cells import Cells
from .configuration.models import Collection
from .rules import Aggregation, Query
from .series import Labels, label_text
from .timeline import MINUTE_SECONDS, from_minute, iso, minute_of_us, to_us
from .windows import evaluate, read_window

MAX_MINUTES = 60


class MetricStatistics(TypedDict):
    """A collection over the last ``minutes``, the running one included. Numbers are in the collection's unit.

    ``value`` is its own aggregation, the worst group's where it has groups: ``groups`` has all, by their labels. The
    numbers beside it are of the observations it selects, for a ratio of what it is a ratio of; None without any, and
    percentiles None without a distribution.
    """

    name: str
    unit: str
    minutes: int
    value: float | None
    groups: dict[str, float]
    count: int
    sum: float | None
    avg: float | None
    min: float | None
    max: float | None
    last: float | None
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None


class Point(TypedDict):
    """A collection's value in one minute (RFC 3339 time of its end)."""

    timestamp: str
    value: float


def statistics(minutes: Mapping[int, Cells], view: Collection, now: datetime, count: int) -> MetricStatistics:
    """A collection's statistics over the last ``count`` minutes, at most those that are there."""
    end = minute_of_us(to_us(now))
    window = read_window(minutes, end, count * MINUTE_SECONDS)
    seconds = covered_seconds(minutes, end, count * MINUTE_SECONDS, now)
    groups = evaluate(window, view.query, seconds)
    chosen = view.query.per or view.query.select
    scale = 1.0 if view.query.per else view.query.scale

    def number(aggregation: Aggregation) -> float | None:
        return evaluate(window, Query(chosen, aggregation, scale=scale), seconds).get(())

    return MetricStatistics(
        name=view.name,
        unit=view.unit,
        minutes=count,
        value=worst(groups),
        groups={label_text(labels): value for labels, value in groups.items() if labels},
        count=int(evaluate(window, Query(chosen, Aggregation.COUNT), seconds).get((), 0)),
        sum=number(Aggregation.SUM),
        avg=number(Aggregation.AVG),
        min=number(Aggregation.MIN),
        max=number(Aggregation.MAX),
        last=number(Aggregation.LAST),
        p50=number(Aggregation.P50),
        p90=number(Aggregation.P90),
        p95=number(Aggregation.P95),
        p99=number(Aggregation.P99),
    )


def points(minutes: Mapping[int, Cells], view: Collection, now: datetime, count: int) -> list[Point]:
    """A collection's value in each of the last ``count`` minutes that has one, the oldest first."""
    end = minute_of_us(to_us(now))
    found: list[Point] = []
    for minute in sorted(minutes):
        if end - count * MINUTE_SECONDS < minute <= end:
            seconds = covered_seconds({minute: minutes[minute]}, minute, MINUTE_SECONDS, now)
            value = worst(evaluate(minutes[minute], view.query, seconds))
            if value is not None:
                found.append(Point(timestamp=iso(from_minute(minute)), value=value))
    return found


def covered_seconds(minutes: Mapping[int, Cells], end: int, seconds: int, now: datetime) -> int:
    """How much of a window there is data for: from the first minute that has any until now; at least 1."""
    within = [minute for minute in minutes if end - seconds < minute <= end]
    first = min(within, default=end) - MINUTE_SECONDS
    return max(1, min(end, math.ceil(now.timestamp())) - first)


def worst(groups: Mapping[Labels, float]) -> float | None:
    """The greatest of some groups' values; None without any."""
    return max(groups.values(), default=None)
