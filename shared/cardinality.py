"""Cardinality: how much of a minute or an hour is rolled up, by writer and in all, and what is left out beyond it.

A rollup holds 10,000 series, 600,000 bins and 3 MB of names and labels; a fifth of each may come from one writer. A
series that several writers report costs each of them its part of it, and is kept when any of them has room for it, so
no number that is kept lacks a writer. Beyond the limits those go first that are one of very many, be it of their metric
or of the only writers that report them: neither a label that explodes nor a writer that does takes the room of others.
The same cells always give the same answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .bins import Bools, Floats, Ints
from .cells import Cells
from .series import Series

MAX_SERIES = 10_000
MAX_BINS = 600_000
MAX_NAME_BYTES = 3_000_000
WRITER_SHARE = 0.2
"""Of each of the three, for what one writer alone reports: 2,000 series."""
MAX_NAMED = 20
"""Metrics, and writers, of which a rollup says by name how many series were left out."""
OTHERS = "(others)"

_ROUNDING = 1e-9
"""Of sums of parts: a writer that is exactly at its limit is not beyond it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The cells within the limits, and how many series are beyond: of which metrics, and of which writers.

    A writer (the number that cells carry) is named with its series beyond a writer's own limit.
    """

    cells: Cells
    by_metric: Mapping[str, int] = field(default_factory=dict)
    by_writer: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Allowed:
    """Which rows are within the limits, and how many are beyond: as in ``Kept``."""

    rows: Bools
    by_metric: Mapping[str, int] = field(default_factory=dict)
    by_writer: Mapping[int, int] = field(default_factory=dict)


def within_limits(cells: Cells, parts: Sequence[Cells]) -> Kept:
    """What a rollup may hold of cells; ``parts`` are the chunks, each of one writer, that they were merged from."""
    allowed = allowed_rows(cells, np.diff(cells.bin_start), parts)
    kept = cells if allowed.rows.all() else cells.take(np.flatnonzero(allowed.rows))
    return Kept(kept, allowed.by_metric, allowed.by_writer)


def allowed_rows(cells: Cells, bins: Ints, parts: Sequence[Cells]) -> Allowed:
    """Which rows of cells a rollup may hold, with each one's number of bins, whether or not the cells have them."""
    shares = shares_of(cells.series, bins)
    if shares.sum(axis=0).max(initial=0.0) <= WRITER_SHARE:
        return Allowed(np.ones(len(cells), np.bool_))
    costs = shares / np.maximum(cells.writers, 1)[:, None]
    rows_of = _rows_by_writer(cells, parts)
    kept, by_writer = _within_writers(cells.series, rows_of, costs)
    kept = fitting(cells.series, shares, kept, _smallest_writer(rows_of, costs, kept))
    if kept.all():
        return Allowed(kept)
    return Allowed(kept, beyond(cells.series, kept), by_writer)


def shares_of(series: Sequence[Series], bins: Ints) -> Floats:
    """What part of each of the three limits a series takes, with its number of bins."""
    names = np.fromiter(map(_name_bytes, series), np.float64, len(series))
    return np.stack([np.full(len(series), 1 / MAX_SERIES), bins / MAX_BINS, names / MAX_NAME_BYTES], axis=1)


def fitting(series: Sequence[Series], shares: Floats, among: Bools, crowd: Floats | None = None) -> Bools:
    """Which of some series (ascending) a rollup has room for, all of them where it can.

    ``crowd`` is how much is reported together with each, where that is more than its metric.
    """
    rows = np.flatnonzero(among)
    if shares[rows].sum(axis=0).max(initial=0.0) <= 1.0 + _ROUNDING:
        return among
    together = _by_metric(series, rows, shares)
    ordered = _ordered(rows, together if crowd is None else np.maximum(together, crowd[rows]))
    found = np.zeros(len(series), np.bool_)
    found[ordered[_fits(shares[ordered], 1.0)]] = True
    return found


def beyond(series: Sequence[Series], kept: Bools) -> dict[str, int]:
    """How many series of which metric are not kept."""
    return dict(Counter(series[row].metric for row in np.flatnonzero(~kept).tolist()))


def named(counts: Mapping[str, int]) -> dict[str, int]:
    """The greatest counts by name, and the others' sum: what says what was left out is bounded, too."""
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    rest = sum(count for _, count in ordered[MAX_NAMED:])
    return dict(ordered[:MAX_NAMED]) | ({OTHERS: rest} if rest else {})


def _name_bytes(series: Series) -> int:
    """About the bytes of a series' names and labels: characters, of which most are one."""
    return len(series.metric) + sum(len(name) + len(value) for name, value in series.labels)


def _rows_by_writer(cells: Cells, parts: Sequence[Cells]) -> dict[int, Ints]:
    """The rows that each writer reports, ascending."""
    number = {series: row for row, series in enumerate(cells.series)}
    found: dict[int, set[int]] = {}
    for part in parts:
        if len(part):
            found.setdefault(int(part.last_writer[0]), set()).update(number[series] for series in part.series)
    return {writer: np.array(sorted(rows), np.int64) for writer, rows in found.items()}


def _within_writers(
    series: Sequence[Series], rows_of: Mapping[int, Ints], costs: Floats
) -> tuple[Bools, dict[int, int]]:
    """Which series any of their writers has room for, and how many others of each writer there are."""
    kept = np.zeros(len(series), np.bool_)
    crowded: dict[int, Ints] = {}
    for writer, rows in rows_of.items():
        within = rows
        if costs[rows].sum(axis=0).max() > WRITER_SHARE + _ROUNDING:
            ordered = _ordered(rows, _by_metric(series, rows, costs))
            within = ordered[_fits(costs[ordered], WRITER_SHARE)]
            crowded[writer] = rows
        kept[within] = True
    left_out = {writer: int((~kept[rows]).sum()) for writer, rows in sorted(crowded.items())}
    return kept, {writer: count for writer, count in left_out.items() if count}


def _smallest_writer(rows_of: Mapping[int, Ints], costs: Floats, kept: Bools) -> Floats:
    """For each row, how much of what is kept the smallest of its writers reports."""
    crowd = np.full(len(kept), np.inf)
    for rows in rows_of.values():
        crowd[rows] = np.minimum(crowd[rows], costs[rows[kept[rows]]].sum(axis=0).max(initial=0.0))
    return crowd


def _by_metric(series: Sequence[Series], rows: Ints, shares: Floats) -> Floats:
    """For each row, how much its metric takes with all of these rows."""
    number: dict[str, int] = {}
    metric = np.array([number.setdefault(series[row].metric, len(number)) for row in rows.tolist()], np.int64)
    sums = [np.bincount(metric, column, len(number)) for column in shares[rows].T]
    together: Floats = np.max(sums, axis=0)[metric]
    return together


def _ordered(rows: Ints, crowd: Floats) -> Ints:
    """Rows (ascending) from the smallest crowd to the greatest; where crowds are equal, as they are."""
    return rows[np.argsort(np.round(crowd, 9), kind="stable")]


def _fits(shares: Floats, limit: float) -> Bools:
    """Which of the rows, taken in order until a limit is reached, are within it."""
    within: Bools = np.all(np.cumsum(shares, axis=0) <= limit + _ROUNDING, axis=1)
    return within
