"""Rollups: a minute's chunks merged, a pure function of the truth, so it can be rebuilt at any time.

Beside the chunks' series a rollup holds what the chunks say about the monitoring itself (``self_watch``).
A minute is rolled up only from a listing whose read time is at least ``settle`` after its end. Ingest marks a minute
as late when it commits a chunk later than ``READ_LAG`` before that, so a chunk is either in the listing or behind a
marker. The rollup is written only if it is still what was read before the listing: of two evaluators the one with
the older listing loses and lists again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from .buckets import EXPIRY_AFTER, chunks_in, expired, writers_of
from .cells import EMPTY, Cells, merge, merge_writers
from .errors import PreconditionFailed, TransientError
from .formats.compact import Chunk, Section, decode, encode
from .self_watch import own_cells, within_limits
from .store import Absent, Document, Listing, Put, Store, Unchanged, Write
from .timeline import from_minute, minute_id

MAX_PART_BYTES = 900 * 1024
ATTEMPTS = 5
NOT_SETTLED = "minute_not_settled"
"""The reason of the TransientError that says: ask again in a moment."""


def rollup_path(minute: int, part: int = 0) -> str:
    """Where a minute's rollup lies; parts above 0 only where it is larger than 900 KiB."""
    return f"rollups/minute-{minute_id(minute)}" + (f"~{part}" if part else "")


@dataclass(frozen=True, slots=True)
class RolledUp:
    """A minute as it was rolled up. ``committed_at`` None: it is empty and never was anything else."""

    cells: Cells
    committed_at: datetime | None


def roll_up(store: Store, minute: int, now: datetime, settle: timedelta) -> RolledUp:
    """Merge a minute's chunks and write the rollup; an empty minute that never had one writes nothing.

    Raises TransientError ``NOT_SETTLED`` when the store's clock has not reached the minute's end + settle.
    """
    for _ in range(ATTEMPTS):
        path = rollup_path(minute)
        before = store.get([path]).get(path)
        listing = store.list(writers_of(minute))
        if listing.read_time < from_minute(minute) + settle:
            raise TransientError(NOT_SETTLED, f"{minute_id(minute)} read at {listing.read_time}")
        parts, unreadable = chunks_in(listing.documents, now)
        if not parts and not unreadable and before is None:
            return RolledUp(EMPTY, None)
        cells, dropped = within_limits(merge_writers(parts))
        cells = merge([cells, own_cells(minute, listing.documents, unreadable, cells, dropped)])
        try:
            return RolledUp(cells, store.commit(_writes(minute, cells, listing, before)))
        except PreconditionFailed:
            continue
    raise TransientError("rollup_contended", minute_id(minute))


def _writes(minute: int, cells: Cells, listing: Listing, before: Document | None) -> list[Write]:
    """The rollup's documents; idempotent, because they depend on the listing alone."""
    pieces = list(_pieces(minute, cells))
    expires_at = from_minute(minute) + EXPIRY_AFTER
    head = {
        "d": pieces[0],
        "parts": len(pieces),
        "read_at": listing.read_time,
        "expires_at": expires_at,
    }
    condition = Absent() if before is None else Unchanged(before.update_time)
    rest = [
        Put(rollup_path(minute, part), {"d": piece, "expires_at": expires_at})
        for part, piece in enumerate(pieces[1:], start=1)
    ]
    return [Put(rollup_path(minute), head, precondition=condition), *rest]


def _pieces(minute: int, cells: Cells) -> Iterable[bytes]:
    data = encode(Chunk("", "", None, (Section(minute, cells),)), rollup=True)
    if len(data) <= MAX_PART_BYTES or len(cells) == 1:
        return [data]
    halves = np.split(np.arange(len(cells)), [len(cells) // 2])
    return [piece for half in halves for piece in _pieces(minute, cells.take(half))]


def read_rollups(store: Store, minutes: Sequence[int], now: datetime) -> dict[int, Cells]:
    """The rollups of some minutes; a minute without one, or past its time to live, is left out."""
    wanted = {rollup_path(minute): minute for minute in minutes if not expired(minute, now)}
    found = store.get(list(wanted)) if wanted else {}
    more = [
        rollup_path(wanted[path], part)
        for path, document in found.items()
        for part in range(1, document.fields["parts"])
    ]
    rest = store.get(more) if more else {}
    return {wanted[path]: _cells(path, document, rest) for path, document in found.items()}


def _cells(path: str, document: Document, rest: dict[str, Document]) -> Cells:
    pieces = [
        document,
        *(rest[f"{path}~{part}"] for part in range(1, document.fields["parts"]) if f"{path}~{part}" in rest),
    ]
    parts = [section.cells for piece in pieces for section in decode(piece.fields["d"], rollup=True).sections]
    return parts[0] if len(parts) == 1 else merge(parts) if parts else EMPTY


def read_live(store: Store, minute: int, now: datetime) -> Cells:
    """A minute's chunks as they are now, merged and not stored: for what has not settled yet."""
    return merge_writers(chunks_in(store.list(writers_of(minute)).documents, now)[0])
