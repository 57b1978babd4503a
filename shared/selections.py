"""What a selection takes of some minutes, by group: only its rows are read, and only the columns that are asked for.

Everything is what merging the minutes series by series, and then the series by group, gives bit for bit: counts,
extremes, newest values and bins do not depend on the order; sums are rounded once a series and once a group.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from .bins import Floats, Ints
from .cells import Bins, Cells, percentiles_of, runs_of, starts_of
from .rules import Selection
from .series import Labels, Series

MAX_LAYOUTS = 512
"""Remembered by a memo: the series of a selection change with what occurs, such as kinds of errors."""
Names: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Some series, ascending, and the groups that they make, ascending.

    ``owner[i]`` is the group of ``series[i]``; ``order`` are the series by group; ``first`` is where each group begins
    there.
    """

    series: tuple[Series, ...]
    groups: tuple[Labels, ...]
    owner: Ints
    order: Ints
    first: Ints


def layout_of(series: tuple[Series, ...], names: Names) -> Layout:
    """The groups that some series make by the labels named."""
    if not names:
        everything = np.arange(len(series))
        return Layout(series, ((),) if series else (), np.zeros(len(series), np.int64), everything, everything[:1])
    keys = [one.group(names) for one in series]
    groups = tuple(sorted(set(keys)))
    number = {key: index for index, key in enumerate(groups)}
    owner: Ints = np.fromiter((number[key] for key in keys), np.int64, len(keys))
    order = np.argsort(owner, kind="stable")
    return Layout(series, groups, owner, order, runs_of(owner[order]))


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The rows of a selection in one minute."""

    cells: Cells
    rows: Ints
    layout: Layout
    _bins: list[Bins] = field(default_factory=list)

    def bins(self) -> Bins:
        """The bins of each group, merged once however many windows hold the minute."""
        if not self._bins:
            self._bins.append(self._merged_bins())
        return self._bins[0]

    def _merged_bins(self) -> Bins:
        begin = self.cells.bin_start[self.rows]
        lengths = self.cells.bin_start[self.rows + 1] - begin
        start = starts_of(lengths)
        at = np.repeat(begin - start[:-1], lengths) + np.arange(start[-1])
        scale = self.cells.scale[self.rows]
        found = Bins(
            np.repeat(self.layout.owner, lengths),
            self.cells.bin_key[at],
            self.cells.bin_count[at],
            np.repeat(scale, lengths),
        )
        lowest = np.minimum.reduceat(scale[self.layout.order], self.layout.first)
        start, key, count, scales = found.merged(lowest)
        lengths = np.diff(start)
        return Bins(np.repeat(np.arange(len(lengths)), lengths), key, count, np.repeat(scales, lengths))


class Memo:
    """What selections took of minutes, for all windows that hold them."""

    def __init__(self) -> None:
        self._parts: dict[tuple[Selection, Names], dict[int, Part]] = {}
        self._layouts: dict[tuple[tuple[Series, ...], Names], Layout] = {}

    def parts(self, minutes: Sequence[Cells], selection: Selection, names: Names) -> list[Part]:
        """The rows that a selection takes of some minutes, which must never change."""
        known = self._parts.setdefault((selection, names), {})
        for cells in minutes:
            if id(cells) not in known:  # what is known holds its cells, so that the id stays theirs
                rows, series = _rows(cells.series, selection)
                known[id(cells)] = Part(cells, rows, self.layout(series, names))
        return [known[id(cells)] for cells in minutes]

    def layout(self, series: tuple[Series, ...], names: Names) -> Layout:
        """The layout of some series: the same object for equal ones, while it is remembered."""
        found = self._layouts.get((series, names))
        if found is None:
            if len(self._layouts) >= MAX_LAYOUTS:
                self._layouts.clear()
            found = self._layouts[series, names] = layout_of(series, names)
        return found

    def keep(self, held: Iterable[Cells]) -> None:
        """Forget all minutes but these."""
        ids = {id(cells) for cells in held}
        for known in self._parts.values():
            for gone in [key for key in known if key not in ids]:
                del known[gone]


def _rows(series: tuple[Series, ...], selection: Selection) -> tuple[Ints, tuple[Series, ...]]:
    """The rows of a selection: a metric's series stand together, because series ascend."""
    low = bisect_left(series, (selection.metric,))
    high = bisect_left(series, (selection.metric + "\0",), low)
    if not selection.labels:
        return np.arange(low, high), series[low:high]
    rows = [row for row in range(low, high) if series[row].matches(selection.labels)]
    return np.array(rows, np.int64), tuple(series[row] for row in rows)


class Selected:
    """A selection's rows of all minutes of a window. Arrays have an element for each of ``groups``."""

    def __init__(self, parts: Sequence[Part], names: Names, memo: Memo) -> None:
        self._parts = [part for part in parts if len(part.rows)]
        layouts = list({id(part.layout): part.layout for part in self._parts}.values())
        if len(layouts) == 1:
            self._layout = layouts[0]
            self._line_up()
        else:
            self._layout = memo.layout(tuple(sorted({one for layout in layouts for one in layout.series})), names)
            self._look_up(layouts)
        self.groups = self._layout.groups
        self._columns: dict[str, Any] = {}

    def _line_up(self) -> None:
        """The order of rows by group and series where all minutes have the same series."""
        minutes, series = len(self._parts), len(self._layout.series)
        self._order = (self._layout.order[:, None] + np.arange(minutes) * series).ravel()
        self._series = np.arange(series) * minutes
        self._first = self._layout.first * minutes
        self._same_groups = True

    def _look_up(self, layouts: Sequence[Layout]) -> None:
        """The same where they differ."""
        place = np.empty(len(self._layout.series), np.int64)
        place[self._layout.order] = np.arange(len(place))
        number = dict(zip(self._layout.series, place.tolist(), strict=True))
        places = {id(one): np.array([number[name] for name in one.series], np.int64) for one in layouts}
        ids = _joined([places[id(part.layout)] for part in self._parts])
        self._order = np.argsort(ids, kind="stable")
        ordered = ids[self._order]
        self._series = runs_of(ordered)
        self._first = self._series[self._layout.first]
        self._same_groups = all(one.groups == self._layout.groups for one in layouts)

    def counts(self) -> Ints:
        """The observations of each group."""
        found: Ints = self._reduced(np.add, "count")
        return found

    def least(self) -> Floats:
        """The least observation."""
        found: Floats = self._reduced(np.minimum, "min")
        return found

    def greatest(self) -> Floats:
        """The greatest observation."""
        found: Floats = self._reduced(np.maximum, "max")
        return found

    def kinds(self) -> Ints:
        """The greatest kind."""
        found: Ints = self._reduced(np.maximum, "kind")
        return found

    def sums(self) -> list[float]:
        """The correctly rounded sum over each group of each series' correctly rounded sum."""
        if "sums" not in self._columns:
            self._columns["sums"] = self._added(_sums(self._column("sum").tolist(), self._series))
        found: list[float] = self._columns["sums"]
        return found

    def newest(self) -> Floats:
        """The value of each group's newest observation, the greatest of several."""
        at_us, last = self._column("last_at_us"), self._column("last")
        group = np.repeat(np.arange(len(self.groups)), np.diff(np.append(self._first, len(self._order))))
        order = np.lexsort((last, at_us, group))
        newest: Floats = last[order[_ends(self._first, len(order))]]
        return newest

    def newest_of_writers(self) -> list[float]:
        """The sum over each group of each series' newest ``last_sum``."""
        series = np.repeat(np.arange(len(self._series)), np.diff(np.append(self._series, len(self._order))))
        told = ("writers", "last_sum", "last_writer", "last", "last_at_us")
        order = np.lexsort((*(self._column(name) for name in told), series))
        newest = order[_ends(self._series, len(order))]
        return self._added(self._column("last_sum")[newest].tolist())

    def percentiles(self, quantile: float) -> Floats:
        """The nearest-rank percentile of each group; NaN without bins."""
        if not self._parts:
            return np.zeros(0)
        parts = [self._bins(part) for part in self._parts]
        found = Bins(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        value = percentiles_of(*found.merged(self._reduced(np.minimum, "scale")), quantile)
        return np.clip(value, self.least(), self.greatest())

    def _bins(self, part: Part) -> Bins:
        found = part.bins()
        if self._same_groups:
            return found
        number = {labels: index for index, labels in enumerate(self.groups)}
        numbers = np.array([number[labels] for labels in part.layout.groups], np.int64)
        return found._replace(owners=numbers[found.owners])

    def _column(self, name: str) -> Any:
        """A column by group, series and age."""
        if name not in self._columns:
            column = _joined([getattr(part.cells, name)[part.rows] for part in self._parts])
            self._columns[name] = column[self._order]
        return self._columns[name]

    def _reduced(self, operation: Any, name: str) -> Any:
        column = self._column(name)
        return operation.reduceat(column, self._first) if len(column) else column

    def _added(self, by_series: list[float]) -> list[float]:
        return _sums(by_series, self._layout.first)


def _joined(columns: Sequence[Any]) -> Any:
    return np.concatenate(columns) if columns else np.zeros(0, np.int64)


def _ends(first: Ints, length: int) -> Ints:
    """The last place of each run that begins at ``first``."""
    return np.append(first[1:], length)[: len(first)] - 1


def _sums(numbers: list[float], first: Ints) -> list[float]:
    """The correctly rounded sum of each run."""
    if len(first) == len(numbers):
        return numbers
    begins = first.tolist()
    return [math.fsum(numbers[a:b]) for a, b in zip(begins, [*begins[1:], len(numbers)], strict=True)]
