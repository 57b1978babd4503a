"""Cells: mergeable summaries of series over one interval, as columns (row i belongs to ``series[i]``).

Counts, minima, maxima and bins merge exactly, in any order. ``sum`` is ``math.fsum`` over the parts: the correctly
rounded sum of what is merged at once, equal bit for bit when the same parts are merged again in any order, and within
1 ulp of the greatest partial sum when merges are nested once. ``last`` is the value of the greatest (time, value,
writer).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np

from . import bins
from .bins import Bools, Floats, Ints
from .series import Kind, Series

MAX_MAGNITUDE = 1e200
"""Greatest absolute value of an observation: above it sums could overflow."""

_LEAST_EXPONENT = -1074
"""Of a double: all are multiples of two to its power."""
_KEY_BITS = 19
"""Keys are within 2 * OFFSET, so that they take 19 bits."""
_NO_FLOATS: Floats = np.zeros(0)
_NO_INTS: Ints = np.zeros(0, np.int64)


class Observation(NamedTuple):
    """One measured number. ``at_us`` is Unix microseconds; ``value`` is finite and within MAX_MAGNITUDE."""

    series: Series
    kind: Kind
    at_us: int
    value: float


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Columns of cells; series are strictly ascending. All integer columns are int64, all others float64.

    ``last_writer`` is the writer id as an unsigned 64-bit number, stored as uint64. ``last_sum`` is the sum over
    ``writers`` writers of each one's last value. Row i's bins are ``bin_key[bin_start[i]:bin_start[i + 1]]``,
    ascending, at ``scale[i]``; only distributions have any.
    """

    series: tuple[Series, ...]
    kind: Ints
    count: Ints
    sum: Floats
    min: Floats
    max: Floats
    last_at_us: Ints
    last: Floats
    last_writer: np.ndarray[tuple[int], np.dtype[np.uint64]]
    last_sum: Floats
    writers: Ints
    scale: Ints
    bin_start: Ints
    bin_key: Ints
    bin_count: Ints

    def __len__(self) -> int:
        return len(self.series)

    def take(self, rows: Ints) -> Cells:
        """The cells of some rows, in the order given (ascending, without repeats)."""
        lengths = np.diff(self.bin_start)[rows]
        start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        at = np.repeat(self.bin_start[rows] - start[:-1], lengths) + np.arange(start[-1])
        columns = {name: getattr(self, name)[rows] for name in _ROW_COLUMNS}
        return Cells(
            series=tuple(self.series[row] for row in rows.tolist()),
            bin_start=start,
            bin_key=self.bin_key[at],
            bin_count=self.bin_count[at],
            **columns,
        )

    def written_by(self, writer: int) -> Cells:
        """The same cells with one writer (unsigned 64 bits) for every row."""
        return replace(self, last_writer=np.full(len(self), writer, np.uint64))


_ROW_COLUMNS = (
    "kind", "count", "sum", "min", "max", "last_at_us", "last", "last_writer", "last_sum", "writers", "scale",
)  # fmt: skip


def fold(observations: Sequence[Observation], writer: int = 0) -> Cells:
    """Summarise observations of one interval; none give no rows. Pure: order changes nothing.

    Where observations of one series differ in kind, all take the greatest.
    """
    if not observations:
        return EMPTY
    names, kinds, at_us, numbers = zip(*observations, strict=True)
    ordered, ids = _union([names])
    values: Floats = np.array(numbers, np.float64) + 0.0  # -0.0 becomes 0.0
    kind = np.array(kinds, np.int64)
    if len(ordered) < len(names):
        kind = _greatest(kind, ids[0])
    counted = kind == Kind.DISTRIBUTION
    rows = Cells(
        series=names,
        kind=kind,
        count=np.ones(len(values), np.int64),
        sum=values,
        min=values,
        max=values,
        last_at_us=np.array(at_us, np.int64),
        last=values,
        last_writer=np.full(len(values), writer, np.uint64),
        last_sum=values,
        writers=np.ones(len(values), np.int64),
        scale=np.full(len(values), bins.SCALE, np.int64),
        bin_start=np.concatenate([[0], np.cumsum(counted)]).astype(np.int64),
        bin_key=bins.keys_of(values[counted]),
        bin_count=np.ones(int(counted.sum()), np.int64),
    )
    if len(ordered) == len(rows):
        return rows.take(np.argsort(ids[0]))  # one observation each, as in most messages: nothing to merge
    return _reduce(rows, ids[0], ordered, add_writers=False)


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """Observations as columns, series by series: ``names[i]`` (ascending) has the next ``count[i]``, at least 1."""

    names: tuple[Series, ...]
    kinds: Ints
    count: Ints
    at_us: Ints
    values: Floats

    def where(self, kept: Bools) -> Segments:
        """Those of some observations."""
        count = np.bincount(np.repeat(np.arange(len(self.names)), self.count)[kept], minlength=len(self.names))
        rows = np.flatnonzero(count)
        names = tuple(self.names[row] for row in rows.tolist())
        return Segments(names, self.kinds[rows], count[rows], self.at_us[kept], self.values[kept])


def fold_segments(given: Segments) -> Cells:
    """The same for columns, which have no negative zeros; none give no rows."""
    names, kinds, count, at_us, values = given.names, given.kinds, given.count, given.at_us, given.values
    if not names:
        return EMPTY
    start = starts_of(count)
    first, owner = start[:-1], np.repeat(np.arange(len(names)), count)
    newest_us = np.maximum.reduceat(at_us, first)
    last = np.maximum.reduceat(np.where(at_us == newest_us[owner], values, -np.inf), first)
    counted, numbers = owner, values
    if kinds.min() < Kind.DISTRIBUTION:
        in_bins = (kinds == Kind.DISTRIBUTION)[owner]
        counted, numbers = owner[in_bins], values[in_bins]
    single = _count_equal(counted, bins.keys_of(numbers))
    bin_start, key, bin_count, scale = _narrowed(*single, np.full(len(names), bins.SCALE, np.int64))
    return Cells(
        series=names,
        kind=kinds,
        count=count,
        sum=_exact_sums(values, first),
        min=np.minimum.reduceat(values, first),
        max=np.maximum.reduceat(values, first),
        last_at_us=newest_us,
        last=last,
        last_writer=np.zeros(len(names), np.uint64),
        last_sum=last,
        writers=np.ones(len(names), np.int64),
        scale=scale,
        bin_start=bin_start,
        bin_key=key,
        bin_count=bin_count,
    )


def _greatest(kinds: Ints, ids: Ints) -> Ints:
    """Each row's kind replaced by the greatest among the rows with its id."""
    greatest: Ints = np.zeros(int(ids.max()) + 1, np.int64)
    np.maximum.at(greatest, ids, kinds)
    return greatest[ids]


def merge(parts: Sequence[Cells]) -> Cells:
    """Merge cells along time; ``last_sum`` and ``writers`` are those of the newest row. No parts, no rows."""
    stacked, ids, ordered = _stack(parts)
    return _reduce(stacked, ids, ordered, add_writers=False)


def beside(parts: Sequence[Cells]) -> Cells:
    """The rows of parts that have no series in common, and each only greater ones than the part before it."""
    stacked, _, names = _stack(parts)
    return replace(stacked, series=names)


def merge_writers(parts: Sequence[Cells]) -> Cells:
    """Merge one interval's chunks of many writers: first each writer's own, then all, adding their last values."""
    stacked, ids, ordered = _stack(parts)
    writers, writer_ids = np.unique(stacked.last_writer, return_inverse=True)
    pair_ids, pairs = _dense(ids * max(len(writers), 1) + writer_ids)
    names = tuple(ordered[pair // max(len(writers), 1)] for pair in pairs.tolist())
    by_writer = _reduce(stacked, pair_ids, names, add_writers=False)
    return _reduce(by_writer, pairs // max(len(writers), 1), ordered, add_writers=True)


def _union(parts: Sequence[tuple[Series, ...]]) -> tuple[tuple[Series, ...], list[Ints]]:
    """All series, ascending, and each part's row numbers in it; equal tuples are looked up once."""
    ordered = tuple(sorted({name for names in {id(names): names for names in parts}.values() for name in names}))
    number = {name: index for index, name in enumerate(ordered)}
    known: dict[int, Ints] = {}
    for names in parts:
        if id(names) not in known:
            known[id(names)] = np.fromiter((number[name] for name in names), np.int64, len(names))
    return ordered, [known[id(names)] for names in parts]


def _stack(parts: Sequence[Cells]) -> tuple[Cells, Ints, tuple[Series, ...]]:
    """All rows of all parts below one another (series repeat), their ids and the series they stand for."""
    ordered, ids = _union([part.series for part in parts])
    columns = {name: _concat([getattr(part, name) for part in parts]) for name in _ROW_COLUMNS}
    columns["last_writer"] = columns["last_writer"].astype(np.uint64)
    lengths = _concat([np.diff(part.bin_start) for part in parts])
    stacked = Cells(
        series=(),
        bin_start=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        bin_key=_concat([part.bin_key for part in parts]),
        bin_count=_concat([part.bin_count for part in parts]),
        **columns,
    )
    return stacked, _concat(ids), ordered


def _concat(columns: list[Any]) -> Any:
    return np.concatenate(columns) if columns else _NO_INTS


def _dense(ids: Ints) -> tuple[Ints, Ints]:
    """Ids renumbered 0.. in ascending order, and what each number stood for."""
    distinct, dense = np.unique(ids, return_inverse=True)
    return dense.astype(np.int64), distinct


def _reduce(rows: Cells, ids: Ints, names: tuple[Series, ...], *, add_writers: bool) -> Cells:
    """One row per id: the rows with equal ids merged. Ids are 0 .. len(names) - 1, and each occurs."""
    if not len(ids):
        return EMPTY
    order = np.lexsort((rows.writers, rows.last_sum, rows.last_writer, rows.last, rows.last_at_us, ids))
    first = runs_of(ids[order])
    newest = order[np.append(first[1:], len(order)) - 1]
    scale = np.minimum.reduceat(rows.scale[order], first)
    start, key, count, scale = _merge_bins(rows, ids, scale)
    return Cells(
        series=names,
        kind=np.maximum.reduceat(rows.kind[order], first),
        count=np.add.reduceat(rows.count[order], first),
        sum=_exact_sums(rows.sum[order], first),
        min=np.minimum.reduceat(rows.min[order], first),
        max=np.maximum.reduceat(rows.max[order], first),
        last_at_us=rows.last_at_us[newest],
        last=rows.last[newest],
        last_writer=rows.last_writer[newest],
        last_sum=_exact_sums(rows.last_sum[order], first) if add_writers else rows.last_sum[newest],
        writers=np.add.reduceat(rows.writers[order], first) if add_writers else rows.writers[newest],
        scale=scale,
        bin_start=start,
        bin_key=key,
        bin_count=count,
    )


def _exact_sums(values: Floats, first: Ints) -> Floats:
    """The correctly rounded sum of each group that begins at ``first``, as ``math.fsum`` has it.

    All numbers are cut at one unit, so large that sums of its multiples are exact in any order; then what was cut off
    is, until nothing is left. Few cuts do: each takes 53 bits, less those of the numbers' count.
    """
    if len(first) == len(values):
        return values
    parts: list[Floats] = []
    bits = len(values).bit_length()
    while 0.0 < (greatest := float(np.abs(values).max())) < math.inf:
        anchor = math.ldexp(1.5, max(math.frexp(greatest)[1] + bits - 53, _LEAST_EXPONENT) + 52)
        cut = (values + anchor) - anchor
        parts.append(np.add.reduceat(cut, first))
        values = values - cut
    if len(parts) < 3:
        return sum(parts, np.zeros(len(first)))
    return np.array([math.fsum(group) for group in zip(*(part.tolist() for part in parts), strict=True)])


def _merge_bins(rows: Cells, ids: Ints, scale: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Every id's bins at its lowest scale, coarser where they would be more than MAX_BINS; ids are 0 .. n - 1."""
    lengths = np.diff(rows.bin_start)
    parts = Bins(np.repeat(ids, lengths), rows.bin_key, rows.bin_count, np.repeat(rows.scale, lengths))
    return parts.merged(scale)


class Bins(NamedTuple):
    """Bins as columns: whose each is, at which scale; the same bin of the same owner may stand here repeatedly."""

    owners: Ints
    keys: Ints
    counts: Ints
    scales: Ints

    def merged(self, scale: Ints, most: int = bins.MAX_BINS) -> tuple[Ints, Ints, Ints, Ints]:
        """Each owner's bins once, ascending: their start by owner, keys, counts, and each owner's scale.

        ``scale`` is each owner's, at most that of any of its bins; lower where they would be more than ``most``.
        """
        steps = self.scales - scale[self.owners]
        key = bins.coarser(self.keys, steps) if steps.any() else self.keys
        return _narrowed(*_add_equal(self.owners, key, self.counts), scale, most)


def _narrowed(
    owner: Ints, key: Ints, count: Ints, scale: Ints, most: int = bins.MAX_BINS
) -> tuple[Ints, Ints, Ints, Ints]:
    """Bins, ascending and each once, as ``Bins.merged`` gives them."""
    while True:
        populated = np.bincount(owner, minlength=len(scale))
        wide = populated > most
        if not wide.any():
            return starts_of(populated), key, count, scale
        scale = scale - wide
        owner, key, count = _add_equal(owner, bins.coarser(key, wide[owner].astype(np.int64)), count)


def runs_of(ordered: Ints) -> Ints:
    """Where each run of equal numbers begins; none in an empty column."""
    begins = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
    return np.flatnonzero(begins)


def starts_of(lengths: Ints) -> Ints:
    """Where each of some runs begins that follow one another, and where the last ends."""
    start: Ints = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=start[1:])
    return start


def lengths_of(first: Ints, total: int) -> Ints:
    """How long each of some runs is that begin there and end at ``total``."""
    length = np.empty_like(first)
    length[:-1], length[-1:] = first[1:], total
    length -= first
    return length


def _add_equal(owner: Ints, key: Ints, count: Ints) -> tuple[Ints, Ints, Ints]:
    """Add the counts of equal (owner, key) pairs; the result is ascending."""
    if not len(owner):
        return owner, key, count
    pair = _pairs(owner, key)
    order = np.argsort(pair, kind="stable")
    ordered = pair[order]
    first = runs_of(ordered)
    return *_unpaired(ordered[first]), np.add.reduceat(count[order], first)


def _count_equal(owner: Ints, key: Ints) -> tuple[Ints, Ints, Ints]:
    """The same of bins of one observation each."""
    ordered = np.sort(_pairs(owner, key))
    first = runs_of(ordered)
    return *_unpaired(ordered[first]), lengths_of(first, len(ordered))


def _pairs(owner: Ints, key: Ints) -> Ints:
    """One number for an owner and a key; it orders by owner, then key."""
    return (owner << _KEY_BITS) + (key + 2 * bins.OFFSET)


def _unpaired(pairs: Ints) -> tuple[Ints, Ints]:
    return pairs >> _KEY_BITS, (pairs & ((1 << _KEY_BITS) - 1)) - 2 * bins.OFFSET


def percentiles(cells: Cells, quantile: float) -> Floats:
    """Nearest-rank percentile of each row's bins, within its min and max; NaN without bins.

    ``quantile`` is above 0 and at most 1, taken to a thousandth, so that the rank is exact.
    """
    value = percentiles_of(cells.bin_start, cells.bin_key, cells.bin_count, cells.scale, quantile)
    return np.clip(value, cells.min, cells.max)


def percentiles_of(start: Ints, key: Ints, count: Ints, scale: Ints, quantile: float) -> Floats:
    """The same of bins alone: row i's are ``key[start[i]:start[i + 1]]``, ascending, at ``scale[i]``."""
    result = np.full(len(scale), np.nan)
    cumulative = np.cumsum(count)
    begin, end = start[:-1], start[1:]
    rows = np.flatnonzero(end > begin)
    if not len(rows):
        return result
    before = np.concatenate([[0], cumulative])[begin[rows]]
    total = cumulative[end[rows] - 1] - before
    rank = np.maximum(-(-total * round(quantile * 1000) // 1000), 1)
    at = np.searchsorted(cumulative, before + rank)
    result[rows] = bins.values_of(key[at], scale[rows])
    return result


EMPTY = Cells(
    series=(),
    kind=_NO_INTS,
    count=_NO_INTS,
    sum=_NO_FLOATS,
    min=_NO_FLOATS,
    max=_NO_FLOATS,
    last_at_us=_NO_INTS,
    last=_NO_FLOATS,
    last_writer=np.zeros(0, np.uint64),
    last_sum=_NO_FLOATS,
    writers=_NO_INTS,
    scale=_NO_INTS,
    bin_start=np.zeros(1, np.int64),
    bin_key=_NO_INTS,
    bin_count=_NO_INTS,
)
"""No cells."""


def equal(a: Cells, b: Cells) -> bool:
    """Whether two sets of cells are the same to the bit."""
    return all(_same(getattr(a, field.name), getattr(b, field.name)) for field in fields(Cells))


def _same(a: object, b: object) -> bool:
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) else a == b


def total_count(parts: Iterable[Cells]) -> int:
    """How many observations some cells hold."""
    return int(sum(int(part.count.sum()) for part in parts))
