"""From the service's series to observations and histograms of ours, minute by minute."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from ..cells import Observation, fold, merge
from ..errors import PermanentError
from ..formats.compact import Section
from ..formats.exponential import Histogram, cells_of
from ..series import Kind, Series
from ..timeline import US_PER_SECOND
from .histograms import histogram_of
from .port import Distribution, TimeSeries, Value
from .sources import Source

Row: TypeAlias = Observation | Histogram
Rows: TypeAlias = Mapping[int, Sequence[Row]]
"""Rows by the minute's end (Unix seconds)."""


def rows_of(source: Source, found: Iterable[TimeSeries]) -> dict[int, list[Row]]:
    """Everything that some series say, by minute; a minute without values is not there.

    Raises PermanentError: ``unexpected_value`` where a value is none of the source's kind, ``no_buckets``,
    ``invalid_series``.
    """
    rows: dict[int, list[Row]] = {}
    for one in found:
        series = source.series(one.labels)
        for minute, value in one.points.items():
            row = _row(source, series, minute * US_PER_SECOND, value)
            if row is not None:
                rows.setdefault(minute, []).append(row)
    return rows


def _row(source: Source, series: Series, at_us: int, value: Value) -> Row | None:
    if isinstance(value, Distribution) != (source.kind is Kind.DISTRIBUTION):
        shown = "a distribution" if isinstance(value, Distribution) else "a number"
        raise PermanentError("unexpected_value", f"{source.metric_type} gives {shown}")
    if isinstance(value, Distribution):
        return histogram_of(series, at_us, value, source.scale)
    number = value * source.scale
    if not math.isfinite(number) or (source.kind is Kind.COUNTER and number < 0):
        raise PermanentError("unexpected_value", f"{source.metric_type} gives {value}")
    return Observation(series, source.kind, at_us, number)


def section_of(minute: int, rows: Sequence[Row]) -> Section:
    """Rows of one minute as cells."""
    observations = [row for row in rows if isinstance(row, Observation)]
    histograms = [row for row in rows if isinstance(row, Histogram)]
    return Section(minute, merge([fold(observations), cells_of(histograms)]))
