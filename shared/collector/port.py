"""What the collector asks of Cloud Monitoring, and what comes back; an adapter speaks to the service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias


class Align(StrEnum):
    """What becomes of one series' points of a minute: the service makes one of them."""

    DELTA = "delta"
    """What was added in the minute, of counters and distributions, cumulative ones too."""
    MEAN = "mean"
    MAX = "max"
    MIN = "min"


class Reduce(StrEnum):
    """What becomes of all series of one minute that differ only in labels that are not kept."""

    SUM = "sum"
    MEAN = "mean"
    """Of distributions, the mean of what they hold."""
    MAX = "max"
    MIN = "min"


@dataclass(frozen=True, slots=True)
class Distribution:
    """How many values lie between bounds: ``counts[0]`` below ``bounds[0]``, the last at or above the last bound.

    Trailing zeros may be left out. ``mean`` is exact; ``low`` and ``high`` are the extremes, where they are known.
    """

    count: int
    mean: float
    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    low: float | None = None
    high: float | None = None


Value: TypeAlias = float | Distribution


@dataclass(frozen=True, slots=True)
class TimeSeries:
    """One series: its labels, as ``resource.location`` or ``metric.state``, and its values by the minute's end."""

    labels: Mapping[str, str]
    points: Mapping[int, Value]


@dataclass(frozen=True, slots=True)
class Request:
    """One metric type over (start, end], both whole minutes in Unix seconds, by the labels of ``group_by``."""

    metric_type: str
    filter: str
    start: int
    end: int
    align: Align
    reduce: Reduce
    group_by: tuple[str, ...]


class MonitoringApi(Protocol):
    """Cloud Monitoring. Safe to share between threads.

    Both calls raise ``PermanentError`` (``not_found``: the project has no such metric; ``invalid_argument``;
    ``too_many_points``) or ``TransientError`` under the service's name for it, such as ``resource_exhausted`` for a
    quota, or ``partial_unavailable`` for an answer that lacks something.
    """

    def ingest_delay_seconds(self, metric_type: str) -> int:
        """How long after a minute's end the service may not have all of its points yet."""
        ...

    def list(self, request: Request) -> tuple[TimeSeries, ...]:
        """All series of a request, from all pages; none when there are no points."""
        ...
