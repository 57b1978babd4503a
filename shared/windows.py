"""Windows: the one way from cells to a value, for rules, replays, backtests and dashboards alike."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from .bins import Floats, Ints
from .cells import Cells, group, merge, percentiles
from .rules import Aggregation, Query, Selection
from .series import Kind, Labels, Series
from .timeline import MINUTE_SECONDS


def read_window(minutes: Mapping[int, Cells], end: int, seconds: int) -> Cells:
    """The cells of (end - seconds, end] merged; both are multiples of 60. Minutes that are absent are empty."""
    wanted = range(end - seconds + MINUTE_SECONDS, end + MINUTE_SECONDS, MINUTE_SECONDS)
    return merge([minutes[minute] for minute in wanted if minute in minutes])


def evaluate(window: Cells, query: Query, seconds: int) -> dict[Labels, float]:
    """A query's value for each of its groups that has one; empty when nothing matches. ``seconds`` is the window's."""
    groups, cells = _grouped(window, query.select, query.group_by)
    if query.per is None:
        values = _aggregate(cells, query.aggregation, seconds)
        counted = cells.count >= max(query.min_count, 1)
        scaled = [query.scale * value for value in values.tolist()]
        return _finite((key, value) for key, value, ok in zip(groups, scaled, counted, strict=True) if ok)
    numerators = dict(zip(groups, cells.sum.tolist(), strict=True))
    return _ratios(query, numerators, *_grouped(window, query.per, query.group_by))


def _finite(values: Iterable[tuple[Labels, float]]) -> dict[Labels, float]:
    """Only numbers: a percentile without bins is none, nor is a quotient that no double holds."""
    return {key: value for key, value in values if math.isfinite(value)}


def _ratios(
    query: Query, numerators: Mapping[Labels, float], groups: list[Labels], cells: Cells
) -> dict[Labels, float]:
    """A missing numerator is 0; a denominator of 0, or below ``min_count``, has no value.

    Dividing last rounds once: 7 of 100 are 7 %, where 100 * (7 / 100) is more, and a limit of 7 is not exceeded.
    """
    result: dict[Labels, float] = {}
    for key, denominator in zip(groups, cells.sum.tolist(), strict=True):
        if denominator == 0 or denominator < query.min_count:
            continue
        numerator = numerators.get(key, 0.0)
        result[key] = query.scale * (denominator - numerator if query.complement else numerator) / denominator
    return _finite(result.items())


def _grouped(window: Cells, selection: Selection, names: tuple[str, ...]) -> tuple[list[Labels], Cells]:
    """The selected rows merged by their values of the group labels, ascending."""
    rows = [
        row
        for row, name in enumerate(window.series)
        if name.metric == selection.metric and name.matches(selection.labels)
    ]
    keys = [window.series[row].group(names) for row in rows]
    groups = sorted(set(keys))
    number = {key: index for index, key in enumerate(groups)}
    ids: Ints = np.array([number[key] for key in keys], np.int64)
    named = tuple(Series(selection.metric, key) for key in groups)
    return groups, group(window, np.array(rows, np.int64), ids, named)


def _aggregate(cells: Cells, aggregation: Aggregation, seconds: int) -> Floats:
    quantile = aggregation.quantile
    if quantile is not None:
        return percentiles(cells, quantile)
    match aggregation:
        case Aggregation.AVG:
            return np.clip(cells.sum / cells.count, cells.min, cells.max)  # equal values have no other mean
        case Aggregation.MIN:
            return cells.min
        case Aggregation.MAX:
            return cells.max
        case Aggregation.SUM:
            return cells.sum
        case Aggregation.LAST:
            return cells.last
        case Aggregation.LAST_SUM:
            return cells.last_sum
        case Aggregation.RATE:
            return np.where(cells.kind == Kind.COUNTER, cells.sum, cells.count) / seconds
        case _:
            return cells.count.astype(np.float64)
