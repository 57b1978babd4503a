"""Hours: 60 minutes' rollups in one document, so that a day at full resolution is 24 reads.

An hour is named by its end, as a minute is: hour H holds the minutes H - 59 min .. H. It keeps each series' cells
merged over the hour, bins included, and sixty slots of its numbers. It is a pure function of the minutes' rollups;
it is built when its last minute is, and again when one of its minutes changed at or after its end. Both writers read
the hour before the minutes and write it only if it is still what they read, so the one with the older minutes loses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from .bins import Floats, Ints
from .buckets import expired
from .cells import EMPTY, Cells, merge, percentiles
from .errors import PreconditionFailed, TransientError
from .formats.hour_columns import Slots, decode_hour, encode_hour
from .rollups import ATTEMPTS, read_rollups
from .series import Series
from .store import Absent, Document, Put, Store, Unchanged, Write
from .timeline import HOUR_SECONDS, MINUTE_SECONDS, from_minute, minute_id

KEPT = timedelta(days=30)
MAX_PART_BYTES = 900 * 1024
_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour: the cells merged over it, and the slots of its minutes in the same order of series."""

    cells: Cells
    slots: Slots


def hour_of(minute: int) -> int:
    """The hour that holds a minute: its end, Unix seconds."""
    return -(-minute // HOUR_SECONDS) * HOUR_SECONDS


def minutes_of(hour: int) -> range:
    """The sixty minutes of an hour, ascending."""
    return range(hour - HOUR_SECONDS + MINUTE_SECONDS, hour + MINUTE_SECONDS, MINUTE_SECONDS)


def hour_path(hour: int, part: int = 0) -> str:
    """Where an hour lies; parts above 0 only where it is larger than 900 KiB."""
    return f"rollups/hour-{minute_id(hour)}" + (f"~{part}" if part else "")


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
        minutes = read_rollups(store, minutes_of(hour), now)
        if not minutes and before is None:
            return False
        try:
            store.commit(_writes(hour, build_hour(hour, minutes), before))
        except PreconditionFailed:
            continue
        return True
    raise TransientError("rollup_contended", minute_id(hour))


def build_hour(hour: int, minutes: Mapping[int, Cells]) -> Hour:
    """The hour of some minutes; a minute that is absent leaves its slot empty. Pure."""
    cells = merge([minutes[minute] for minute in minutes_of(hour) if minute in minutes])
    number = {name: row for row, name in enumerate(cells.series)}
    shape = (len(cells), len(minutes_of(hour)))
    slots = Slots(np.zeros(shape, np.int64), *(np.full(shape, np.nan) for _ in range(8)))
    for slot, minute in enumerate(minutes_of(hour)):
        if minute in minutes:
            _fill(slots, slot, minutes[minute], _rows(minutes[minute].series, number))
    return Hour(cells, slots)


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


def _writes(hour: int, built: Hour, before: Document | None) -> list[Write]:
    """The hour's documents; idempotent, because they depend on the minutes alone."""
    pieces = list(_pieces(hour, built))
    expires_at = from_minute(hour) + KEPT
    condition = Absent() if before is None else Unchanged(before.update_time)
    head = Put(
        hour_path(hour), {"d": pieces[0], "parts": len(pieces), "expires_at": expires_at}, precondition=condition
    )
    rest = [
        Put(hour_path(hour, part), {"d": piece, "expires_at": expires_at})
        for part, piece in enumerate(pieces[1:], start=1)
    ]
    return [head, *rest]


def _pieces(hour: int, built: Hour) -> Iterable[bytes]:
    data = encode_hour(hour, built.cells, built.slots)
    if len(data) <= MAX_PART_BYTES or len(built.cells) <= 1:
        return [data]
    halves = np.split(np.arange(len(built.cells)), [len(built.cells) // 2])
    return [piece for half in halves for piece in _pieces(hour, Hour(built.cells.take(half), built.slots.take(half)))]


def read_hours(store: Store, hours: Sequence[int], now: datetime) -> dict[int, Hour]:
    """Some hours, as they are stored; one that is not there, or past its 30 days, is left out."""
    wanted = {hour_path(hour): hour for hour in hours if now < from_minute(hour) + KEPT}
    found = store.get(list(wanted)) if wanted else {}
    more = [hour_path(wanted[path], part) for path, one in found.items() for part in range(1, one.fields["parts"])]
    rest = store.get(more) if more else {}
    return {wanted[path]: _joined(path, document, rest) for path, document in found.items()}


def _joined(path: str, document: Document, rest: Mapping[str, Document]) -> Hour:
    others = [rest[f"{path}~{part}"] for part in range(1, document.fields["parts"]) if f"{path}~{part}" in rest]
    pieces = [decode_hour(piece.fields["d"]) for piece in [document, *others]]
    if len(pieces) == 1:
        return Hour(*pieces[0])
    cells = merge([cells for cells, _ in pieces]) if pieces else EMPTY
    return Hour(cells, Slots.joined([slots for _, slots in pieces]))
