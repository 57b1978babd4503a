"""Hours: 60 minutes' rollups in one document, so that a day at full resolution is 24 reads.

An hour is named by its end, as a minute is: hour H holds the minutes H - 59 min .. H. It keeps each series' cells
merged over the hour, bins included, and sixty slots of its numbers. It is a pure function of the minutes' rollups;
it is built when its last minute is, and again when one of its minutes changed at or after its end. Both writers read
the hour before the minutes and write it only if it is still what they read, so the one with the older minutes loses.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np

from . import bins
from .bins import Floats, Ints
from .buckets import expired
from .cardinality import MAX_SERIES, beyond, fitting, named, shares_of
from .cells import EMPTY, Bins, Cells, beside, merge, percentiles
from .errors import PreconditionFailed, TransientError
from .formats.hour_columns import Slots, decode_hour, encode_hour
from .parts import ATTEMPTS, CONTENDED, pieces_of, read_parts, write_parts
from .retention import live
from .rollups import cells_of, read_documents
from .series import Series
from .store import Document, Store
from .timeline import HOUR_SECONDS, MINUTE_SECONDS, US_PER_SECOND, from_minute, minute_id

KEPT = timedelta(days=30)
MINUTES_AT_ONCE = 6
"""Read together."""
MAX_ROWS_AT_ONCE = 1000
"""About what a document holds of numbers that change; compressing many more only to find that they are too large takes
seconds."""
MAX_HELD_NUMBERS = 400_000
"""Rows and bins of minutes that are kept from the first pass to the second, about 10 MB; others are read again."""
MAX_GROUP_BINS = 200_000
"""Of the series that are merged together, which takes about 100 bytes for each."""
MAX_KNOWN_SERIES = 5 * MAX_SERIES
"""Of an hour, among which those are chosen that it holds."""
_SLOT_NUMBERS = ("count", "sum", "min", "max", "last", "last_sum")
_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class Minutes(Protocol):
    """Where the minutes of an hour are."""

    def get(self, minute: int, /) -> Cells | None:
        """A minute's cells, or None."""
        ...


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour: the cells merged over it, and the slots of its minutes in the same order of series.

    ``dropped`` says how many series of which metrics were too many; see ``cardinality.named``.
    """

    cells: Cells
    slots: Slots
    dropped: Mapping[str, int] = field(default_factory=dict)


def hour_of(minute: int) -> int:
    """The hour that holds a minute: its end, Unix seconds."""
    return -(-minute // HOUR_SECONDS) * HOUR_SECONDS


def minutes_of(hour: int) -> range:
    """The sixty minutes of an hour, ascending."""
    return range(hour - HOUR_SECONDS + MINUTE_SECONDS, hour + MINUTE_SECONDS, MINUTE_SECONDS)


def hour_path(hour: int) -> str:
    """Where an hour lies; its parts, where it is larger than 900 KiB, lie beside it."""
    return f"rollups/hour-{minute_id(hour)}"


def roll_up_hour(store: Store, hour: int, now: datetime) -> bool:
    """Build an hour from its minutes' rollups; whether it was written.

    An hour one of whose minutes is past its time to live is left as it is: it could only lose. An hour without any
    data that never was is not written. Raises TransientError ``rollup_contended``.
    """
    if expired(minutes_of(hour)[0], now):
        return False
    path = hour_path(hour)
    for _ in range(ATTEMPTS):
        before = store.get([path]).get(path)
        built = build_hour(hour, _Stored(store, hour, now))
        if not len(built.cells) and before is None:
            return False
        try:
            write_parts(
                store, path, _pieces(hour, built), from_minute(hour) + KEPT, before, {"dropped": dict(built.dropped)}
            )
        except PreconditionFailed:
            continue
        return True
    raise TransientError(CONTENDED, minute_id(hour))


class _Stored:
    """The minutes of an hour, as they are read: as many as memory allows are read once."""

    def __init__(self, store: Store, hour: int, now: datetime) -> None:
        self._store = store
        self._minutes = minutes_of(hour)
        self._now = now
        self._held: dict[int, Cells | None] = {}
        self._held_numbers = 0
        self._read: dict[int, Sequence[Document] | None] = {}

    def get(self, minute: int) -> Cells | None:
        """A minute's cells."""
        if minute in self._held:
            return self._held[minute]
        if minute not in self._read:
            at = self._minutes.index(minute) // MINUTES_AT_ONCE * MINUTES_AT_ONCE
            wanted = self._minutes[at : at + MINUTES_AT_ONCE]
            self._read = {}
            found = read_documents(self._store, wanted, self._now)
            self._read = {one: found.get(one) for one in wanted}
        documents = self._read[minute]
        cells = None if documents is None else cells_of(documents)
        self._held_numbers += 0 if cells is None else _numbers(cells)
        if self._held_numbers <= MAX_HELD_NUMBERS:
            self._held[minute] = cells
        return cells


def build_hour(hour: int, minutes: Minutes) -> Hour:
    """The hour of some minutes; a minute that is absent leaves its slot empty. Pure."""
    series, groups, dropped = _series_of(hour, minutes)
    number = {name: row for row, name in enumerate(series)}
    shape = (len(series), len(minutes_of(hour)))
    slots = Slots(np.zeros(shape, np.int64), *(np.full(shape, np.nan) for _ in range(8)))
    merging = _Merging(groups)
    for slot, minute in enumerate(minutes_of(hour)):
        _take(minutes.get(minute), number, slots, slot, merging)
    merged = merging.done()
    if len(merged) < len(series):  # a minute was written again between the passes
        slots = slots.take(_rows(merged.series, number))
    return Hour(replace(merged, sum=_sums(slots)), slots, dropped)


def _take(cells: Cells | None, number: Mapping[Series, int], slots: Slots, slot: int, merging: _Merging) -> None:
    """Put a minute's cells where they belong. Nothing holds them when the next minute's are read."""
    if cells is not None:
        part = cells.take(np.flatnonzero([name in number for name in cells.series]))
        _fill(slots, slot, part, _rows(part.series, number))
        merging.add(part)


class _Merging:
    """Minutes that are merged, group by group of series, whenever many numbers have come together.

    ``groups`` are the first series of each, ascending. Their bins are those of 60 minutes: where they become more than
    ``MAX_GROUP_BINS``, the widest are made coarser, as a cell's are that has too many.
    """

    def __init__(self, groups: Sequence[Series]) -> None:
        self._ends = [*groups[1:], None]
        self._merged = [EMPTY for _ in self._ends]
        self._waiting: list[Cells] = []
        self._numbers = 0

    def add(self, part: Cells) -> None:
        """Take the next minute's cells."""
        self._waiting.append(part)
        self._numbers += _numbers(part)
        if self._numbers > MAX_HELD_NUMBERS // 2:
            self._merge()

    def done(self) -> Cells:
        """All that was taken."""
        self._merge()
        return beside(self._merged)

    def _merge(self) -> None:
        starts = [0] * len(self._waiting)
        for group, end in enumerate(self._ends):
            ends = [len(part) if end is None else bisect_left(part.series, end) for part in self._waiting]
            parts = [
                part.take(np.arange(first, last))
                for part, first, last in zip(self._waiting, starts, ends, strict=True)
                if first < last
            ]
            self._merged[group] = _narrowed(merge([self._merged[group], *parts]), MAX_GROUP_BINS)
            starts = ends
        self._waiting, self._numbers = [], 0


def _narrowed(cells: Cells, most: int) -> Cells:
    """The same with at most so many bins: those with the most are made coarser. Each may keep ``most`` / rows."""
    most_each = bins.MAX_BINS
    while len(cells.bin_key) > most:
        most_each //= 2
        lengths = np.diff(cells.bin_start)
        owners = np.repeat(np.arange(len(cells)), lengths)
        parts = Bins(owners, cells.bin_key, cells.bin_count, np.repeat(cells.scale, lengths))
        start, key, count, scale = parts.merged(cells.scale, most_each)
        cells = replace(cells, bin_start=start, bin_key=key, bin_count=count, scale=scale)
    return cells


def _numbers(cells: Cells) -> int:
    return len(cells) + len(cells.bin_key)


def _series_of(hour: int, minutes: Minutes) -> tuple[list[Series], list[Series], dict[str, int]]:
    """The series that an hour holds, ascending, the first of each group, and how many of which metrics are too many.

    A group has about half of ``MAX_GROUP_BINS`` in a minute.
    """
    known: dict[Series, int] = {}
    for minute in minutes_of(hour):
        _note(minutes.get(minute), known)
    series = sorted(known)
    most = np.array([known[name] for name in series], np.int64)
    kept = fitting(series, shares_of(series, most), np.ones(len(series), np.bool_))
    held = [series[row] for row in np.flatnonzero(kept).tolist()]
    group = np.cumsum(most[kept]) // (MAX_GROUP_BINS // 2)
    firsts = [0, *(np.flatnonzero(np.diff(group)) + 1).tolist()] if held else []
    return held, [held[row] for row in firsts], named(beyond(series, kept))


def _note(cells: Cells | None, known: dict[Series, int]) -> None:
    """Note the series of a minute, and the most bins that each has had."""
    if cells is not None:
        for name, populated in zip(cells.series, np.diff(cells.bin_start).tolist(), strict=True):
            if name in known or len(known) < MAX_KNOWN_SERIES:
                known[name] = max(known.get(name, 0), populated)


def _sums(slots: Slots) -> Floats:
    """The correctly rounded sums over the minutes."""
    rows = zip(slots.sum, slots.count > 0, strict=True)
    return np.array([math.fsum(numbers[held].tolist()) for numbers, held in rows], np.float64)


def _rows(names: Iterable[Series], number: Mapping[Series, int]) -> Ints:
    return np.array([number[name] for name in names], np.int64)


def _fill(slots: Slots, slot: int, cells: Cells, rows: Ints) -> None:
    columns: dict[str, Floats] = {
        "sum": cells.sum,
        "min": cells.min,
        "max": cells.max,
        "last": cells.last,
        "last_sum": cells.last_sum,
        **{name: percentiles(cells, quantile) for name, quantile in _QUANTILES.items()},
    }
    slots.count[rows, slot] = cells.count
    for name, column in columns.items():
        getattr(slots, name)[rows, slot] = column


def _pieces(hour: int, built: Hour) -> list[bytes]:
    def encoded(rows: Ints) -> bytes:
        return encode_hour(hour, built.cells.take(rows), built.slots.take(rows))

    return pieces_of(len(built.cells), encoded, MAX_ROWS_AT_ONCE)


def read_hours(store: Store, hours: Sequence[int], now: datetime) -> dict[int, Hour]:
    """Some hours, as they are stored; one that is not there, or past its 30 days, is left out."""
    wanted = {hour_path(hour): hour for hour in hours}
    found = read_parts(store, list(wanted))
    return {wanted[path]: _joined(documents) for path, documents in found.items() if live(documents[:1], now)}


def _joined(documents: Sequence[Document]) -> Hour:
    dropped = documents[0].fields["dropped"]
    pieces = [decode_hour(document.fields["d"]) for document in documents]
    cells = pieces[0][0] if len(pieces) == 1 else merge([cells for cells, _ in pieces])
    return Hour(cells, Slots.joined([slots for _, slots in pieces]), dropped)


def minutes_in(hour: int, held: Hour) -> dict[int, Cells]:
    """The minutes of an hour as its slots have them; one without data is left out.

    All is what it was but for the bins, times and writers: of a distribution's observations the half below the median,
    those up to the 95th and the 99th percentile and the rest stand at that percentile and the maximum. So a minute's
    own percentiles are kept, and those of several minutes together are never too low. Last values are stamped at the
    minute's end.
    """
    found: dict[int, Cells] = {}
    for slot, minute in enumerate(minutes_of(hour)):
        rows = np.flatnonzero(held.slots.count[:, slot])
        if len(rows):
            found[minute] = _minute_in(held, slot, minute, rows)
    return found


def _minute_in(held: Hour, slot: int, minute: int, rows: Ints) -> Cells:
    columns = {name: getattr(held.slots, name)[rows, slot] for name in _SLOT_NUMBERS}
    start, key, count = _bins_in(held.slots, slot, rows)
    return Cells(
        series=tuple(held.cells.series[row] for row in rows.tolist()),
        kind=held.cells.kind[rows],
        last_at_us=np.full(len(rows), minute * US_PER_SECOND, np.int64),
        last_writer=np.zeros(len(rows), np.uint64),
        writers=np.ones(len(rows), np.int64),
        scale=np.full(len(rows), bins.SCALE, np.int64),
        bin_start=start,
        bin_key=key,
        bin_count=count,
        **columns,
    )


def _bins_in(slots: Slots, slot: int, rows: Ints) -> tuple[Ints, Ints, Ints]:
    """The bins of the rows' percentiles, each with the observations from the percentile below up to it."""
    total = slots.count[rows, slot]
    counted = np.flatnonzero(~np.isnan(slots.p50[rows, slot]))
    steps = np.array([round(quantile * 1000) for quantile in _QUANTILES.values()])
    ranks = np.maximum(-(-total[counted, None] * steps // 1000), 1)
    counts = np.diff(np.hstack([ranks, total[counted, None]]), prepend=0, axis=1)
    values = np.stack([getattr(slots, name)[rows[counted], slot] for name in (*_QUANTILES, "max")], axis=1)
    keys = bins.keys_of(values.ravel()).reshape(values.shape)
    owner = np.repeat(counted, counts.shape[1])
    some = counts.ravel() > 0
    parts = Bins(owner[some], keys.ravel()[some], counts.ravel()[some], np.full(int(some.sum()), bins.SCALE))
    start, key, count, _ = parts.merged(np.full(len(rows), bins.SCALE, np.int64))
    return start, key, count
