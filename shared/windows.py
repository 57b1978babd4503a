"""Windows: the one way from cells to a value, for rules, replays, backtests and dashboards alike."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .bins import Floats
from .cells import Cells
from .rules import Aggregation, Query, Selection
from .selections import Memo, Names, Selected
from .series import Kind, Labels
from .timeline import MINUTE_SECONDS


@dataclass(frozen=True, slots=True)
class Window:
    """The minutes of a window that there are, oldest first, and what was found in them."""

    minutes: Sequence[Cells]
    memo: Memo = field(default_factory=Memo)
    _selected: dict[tuple[Selection, Names], Selected] = field(default_factory=dict)
    _values: dict[tuple[Query, int], dict[Labels, float]] = field(default_factory=dict)

    def select(self, selection: Selection, names: Names) -> Selected:
        """What a selection takes of the window, by the labels named."""
        found = self._selected.get((selection, names))
        if found is None:
            parts = self.memo.parts(self.minutes, selection, names)
            found = self._selected[selection, names] = Selected(parts, names, self.memo)
        return found

    def values(self, query: Query, seconds: int) -> dict[Labels, float]:
        """See ``evaluate``; found once."""
        found = self._values.get((query, seconds))
        if found is None:
            found = self._values[query, seconds] = _evaluate(self, query, seconds)
        return found


class Windows(dict[tuple[int, int], Window]):
    """Windows of the same minutes by end (Unix seconds) and length: rules share most of them.

    Evaluations that follow one another share it, too: then ``forget`` what no later one needs.
    """

    def __init__(self) -> None:
        super().__init__()
        self._memo = Memo()

    def read(self, minutes: Mapping[int, Cells], end: int, seconds: int) -> Window:
        """The window, read the first time."""
        if (end, seconds) not in self:
            self[end, seconds] = read_window(minutes, end, seconds, self._memo)
        return self[end, seconds]

    def forget(self, before: int, kept: Iterable[Cells]) -> None:
        """Forget the windows that end before a minute, and what was found in any minute but those ``kept``."""
        for key in [key for key in self if key[0] < before]:
            del self[key]
        self._memo.keep(kept)


def read_window(minutes: Mapping[int, Cells], end: int, seconds: int, memo: Memo | None = None) -> Window:
    """The minutes of (end - seconds, end]; both are multiples of 60. Minutes that are absent are empty."""
    wanted = range(end - seconds + MINUTE_SECONDS, end + MINUTE_SECONDS, MINUTE_SECONDS)
    return Window([minutes[minute] for minute in wanted if minute in minutes], Memo() if memo is None else memo)


def evaluate(window: Window | Cells, query: Query, seconds: int) -> dict[Labels, float]:
    """A query's value for each of its groups that has one; empty when nothing matches. ``seconds`` is the window's.

    A window of one minute may be that minute's cells. The result is remembered: it must not be changed.
    """
    return (Window([window]) if isinstance(window, Cells) else window).values(query, seconds)


def _evaluate(window: Window, query: Query, seconds: int) -> dict[Labels, float]:
    selected = window.select(query.select, query.group_by)
    if query.per is not None:
        numerators = dict(zip(selected.groups, selected.sums(), strict=True))
        return _ratios(query, numerators, window.select(query.per, query.group_by))
    if not selected.groups:
        return {}
    counted = (selected.counts() >= max(query.min_count, 1)).tolist()
    scaled = [query.scale * value for value in _aggregate(selected, query.aggregation, seconds)]
    return _finite((key, value) for key, value, ok in zip(selected.groups, scaled, counted, strict=True) if ok)


def _finite(values: Iterable[tuple[Labels, float]]) -> dict[Labels, float]:
    """Only numbers: a percentile without bins is none, nor is a quotient that no double holds."""
    return {key: value for key, value in values if math.isfinite(value)}


def _ratios(query: Query, numerators: Mapping[Labels, float], per: Selected) -> dict[Labels, float]:
    """A missing numerator is 0; a denominator of 0, or below ``min_count``, has no value.

    Dividing last rounds once: 7 of 100 are 7 %, where 100 * (7 / 100) is more, and a limit of 7 is not exceeded.
    """
    result: dict[Labels, float] = {}
    for key, denominator in zip(per.groups, per.sums(), strict=True):
        if denominator == 0 or denominator < query.min_count:
            continue
        numerator = numerators.get(key, 0.0)
        result[key] = query.scale * (denominator - numerator if query.complement else numerator) / denominator
    return _finite(result.items())


def _aggregate(selected: Selected, aggregation: Aggregation, seconds: int) -> list[float]:
    quantile = aggregation.quantile
    if quantile is not None:
        return _listed(selected.percentiles(quantile))
    match aggregation:
        case Aggregation.AVG:
            means = np.array(selected.sums()) / selected.counts()
            return _listed(np.clip(means, selected.least(), selected.greatest()))  # equal values have no other mean
        case Aggregation.MIN:
            return _listed(selected.least())
        case Aggregation.MAX:
            return _listed(selected.greatest())
        case Aggregation.SUM:
            return selected.sums()
        case Aggregation.LAST:
            return _listed(selected.newest())
        case Aggregation.LAST_SUM:
            return selected.newest_of_writers()
        case Aggregation.RATE:
            added = np.where(selected.kinds() == Kind.COUNTER, selected.sums(), selected.counts())
            return _listed(added / seconds)
        case _:
            return _listed(selected.counts().astype(np.float64))


def _listed(column: Floats) -> list[float]:
    found: list[float] = column.tolist()
    return found
