"""Minute chunks: what a minute's chunks come to, in bounded memory whatever was put into them.

A chunk of 8 KB may hold a million bins. Up to ``MAX_HELD_BINS`` of a minute are merged at once. Of more, the rows are
merged without their bins, and then the bins of some series at a time, whose chunks are read again for that. Counts of
bins are exact in any order, so the result is the same to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from . import bins
from .bins import Ints
from .buckets import Stored, stored_in
from .cardinality import Kept, allowed_rows, within_limits
from .cells import EMPTY, Bins, Cells, merge, merge_writers
from .errors import PermanentError
from .formats.compact import Chunk, Section, decode, encode
from .store import Document

MAX_HELD_BINS = 500_000
"""Merging takes about 100 bytes for each."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One section of a chunk without its bins, how many each row has, and where they are read again."""

    rows: Cells
    lengths: Ints
    chunk: Stored
    section: int

    def whole(self) -> Cells:
        return self.chunk.cells()[self.section]


def merge_chunks(minute: int, documents: Sequence[Document], held_bins: int = MAX_HELD_BINS) -> tuple[Kept, int]:
    """A minute's chunks merged, as far as a rollup may hold them, and how many chunks could not be read.

    A chunk that cannot be read (written by a newer version) is passed over, so that nothing blocks the minute.
    """
    parts: list[_Part] = []
    whole: list[Cells] = []
    total = unreadable = 0
    for chunk in stored_in(documents):
        try:
            found = chunk.cells()
        except PermanentError:
            unreadable += 1
            continue
        for number, cells in enumerate(found):
            parts.append(_Part(_bare(cells), np.diff(cells.bin_start), chunk, number))
            total += len(cells.bin_key)
            whole.append(cells)
        if total > held_bins:
            whole.clear()
    if total <= held_bins:
        return within_limits(merge_writers(whole), whole), unreadable
    return _in_groups(minute, parts, held_bins), unreadable


def _bare(cells: Cells) -> Cells:
    none = EMPTY.bin_key
    return replace(cells, bin_start=np.zeros(len(cells) + 1, np.int64), bin_key=none, bin_count=none)


def _in_groups(minute: int, parts: Sequence[_Part], held_bins: int) -> Kept:
    """The same for more bins than may be held: each group's are encoded until it is known which series are kept."""
    bare = [part.rows for part in parts]
    rows = merge_writers(bare)
    number = {series: row for row, series in enumerate(rows.series)}
    at = [np.array([number[series] for series in part.series], np.int64) for part in bare]
    lengths = np.zeros(len(rows), np.int64)
    groups: list[tuple[Ints, bytes]] = []
    for group in _groups(len(rows), parts, at, held_bins):
        cells = _with_bins(rows, group, parts, at, held_bins)
        lengths[group] = np.diff(cells.bin_start)
        groups.append((group, encode(Chunk("", "", None, (Section(minute, cells),)), rollup=True)))
    allowed = allowed_rows(rows, lengths, bare)
    kept = [
        decode(data, rollup=True).sections[0].cells.take(np.flatnonzero(allowed.rows[group]))
        for group, data in groups
        if allowed.rows[group].any()
    ]
    return Kept(merge(kept), allowed.by_metric, allowed.by_writer)


def _groups(rows: int, parts: Sequence[_Part], at: Sequence[Ints], held_bins: int) -> Iterator[Ints]:
    """Rows, ascending in each, that have about ``held_bins`` together at most; those of one chunk side by side."""
    most = np.zeros(rows, np.int64)
    first = np.zeros(rows, np.int64)
    for index in reversed(range(len(parts))):
        most[at[index]] += parts[index].lengths
        first[at[index]] = index
    order = np.argsort(first, kind="stable")
    before = np.cumsum(np.minimum(most, bins.MAX_BINS)[order]) // held_bins
    for group in np.split(order, np.flatnonzero(np.diff(before)) + 1):
        yield np.sort(group)


def _with_bins(rows: Cells, group: Ints, parts: Sequence[_Part], at: Sequence[Ints], held_bins: int) -> Cells:
    """Some rows with their bins, added up whenever more than ``held_bins`` are there."""
    place = np.full(len(rows), -1, np.int64)
    place[group] = np.arange(len(group))
    scale = rows.scale[group]
    held: list[Bins] = []
    for part, rows_at in zip(parts, at, strict=True):
        mine = np.flatnonzero((place[rows_at] >= 0) & (part.lengths > 0))
        if not len(mine):
            continue
        held.append(_bins_of(part.whole().take(mine), place[rows_at[mine]]))
        if sum(len(one.keys) for one in held) > held_bins:
            start, key, count, scale = _joined(held).merged(scale)
            owners = np.repeat(np.arange(len(group)), np.diff(start))
            held = [Bins(owners, key, count, scale[owners])]
    start, key, count, scale = _joined(held).merged(scale)
    return replace(rows.take(group), scale=scale, bin_start=start, bin_key=key, bin_count=count)


def _bins_of(cells: Cells, owners: Ints) -> Bins:
    lengths = np.diff(cells.bin_start)
    return Bins(np.repeat(owners, lengths), cells.bin_key, cells.bin_count, np.repeat(cells.scale, lengths))


def _joined(held: Sequence[Bins]) -> Bins:
    """All of some bins below one another; none of none."""
    none = EMPTY.bin_key
    columns = zip(Bins(none, none, none, none), *held, strict=True)
    return Bins(*(np.concatenate(column) for column in columns))
