"""Hours: 60 minutes' rollups in one document, so that a day at full resolution is 24 reads.

An hour is named by its end, as a minute is: hour H holds the minutes H - 59 min .. H. It keeps each series' cells
merged over the hour, bins included, and sixty slots of its numbers. It is a pure function of the minutes' rollups;
it is built when its last minute is, and again when one of its minutes changed at or after its end. Both writers read
the hour before the minutes and write it only if it is still what they read, so the one with the older minutes loses.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np

from . import bins
from .bins import Floats, Ints
from .buckets import expired
from .cardinality import MAX_SERIES, beyond, fitting, named, shares_of
from .cells import EMPTY, Bins, Cells, merge, percentiles
from .errors import PreconditionFailed, TransientError
from .formats.hour_columns import Slots, decode_hour, encode_hour
from .parts import ATTEMPTS, CONTENDED, pieces_of, read_parts, write_parts
from .retention import live
from .rollups import read_rollups
from .series import Series
from .store import Document, Store
from .timeline import HOUR_SECONDS, MINUTE_SECONDS, US_PER_SECOND, from_minute, minute_id

KEPT = timedelta(days=30)
MINUTES_AT_ONCE = 12
"""Read together."""
MAX_ROWS_AT_ONCE = 1000
"""About what a document holds of numbers that change; compressing many more only to find that they are too large takes
seconds."""
MAX_HELD_NUMBERS = 1_000_000
"""Rows and bins of minutes that are kept from the first pass to the second, about 20 MB; others are read again."""
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

    def get(self, minute: int) -> Cells | None:
        """A minute's cells."""
        if minute not in self._held:
            at = self._minutes.index(minute) // MINUTES_AT_ONCE * MINUTES_AT_ONCE
            wanted = self._minutes[at : at + MINUTES_AT_ONCE]
            found = read_rollups(self._store, wanted, self._now)
            if sum(len(cells) + len(cells.bin_key) for cells in self._held.values() if cells) > MAX_HELD_NUMBERS:
                self._held = {}
            self._held |= {one: found.get(one) for one in wanted}
        return self._held[minute]


def build_hour(hour: int, minutes: Minutes) -> Hour:
    """The hour of some minutes; a minute that is absent leaves its slot empty. Pure."""
    series, dropped = _series_of(hour, minutes)
    number = {name: row for row, name in enumerate(series)}
    shape = (len(series), len(minutes_of(hour)))
    slots = Slots(np.zeros(shape, np.int64), *(np.full(shape, np.nan) for _ in range(8)))
    merged = EMPTY
    for at in range(0, len(minutes_of(hour)), MINUTES_AT_ONCE):
        parts: list[Cells] = []
        for slot, minute in enumerate(minutes_of(hour)[at : at + MINUTES_AT_ONCE], start=at):
            cells = minutes.get(minute)
            if cells is not None:
                parts.append(cells.take(np.flatnonzero([name in number for name in cells.series])))
                _fill(slots, slot, parts[-1], _rows(parts[-1].series, number))
        merged = merge([merged, *parts])
    if len(merged) < len(series):  # a minute was written again between the passes
        slots = slots.take(_rows(merged.series, number))
    return Hour(replace(merged, sum=_sums(slots)), slots, dropped)


def _series_of(hour: int, minutes: Minutes) -> tuple[list[Series], dict[str, int]]:
    """The series that an hour holds, ascending, and how many of which metrics are too many."""
    known: dict[Series, int] = {}
    for minute in minutes_of(hour):
        cells = minutes.get(minute)
        if cells is not None:
            for name, bins in zip(cells.series, np.diff(cells.bin_start).tolist(), strict=True):
                if name in known or len(known) < MAX_KNOWN_SERIES:
                    known[name] = max(known.get(name, 0), bins)
    series = sorted(known)
    shares = shares_of(series, np.array([known[name] for name in series], np.int64))
    kept = fitting(series, shares, np.ones(len(series), np.bool_))
    return [series[row] for row in np.flatnonzero(kept).tolist()], named(beyond(series, kept))


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
