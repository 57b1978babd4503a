"""Rollups: a minute's chunks merged, a pure function of the truth, so it can be rebuilt at any time.

Beside the chunks' series a rollup holds what the chunks say about the monitoring itself (``self_watch``).
A minute is rolled up only from a listing whose read time is at least ``settle`` after its end. Ingest marks a minute
as late when it commits a chunk later than ``READ_LAG`` before that, so a chunk is either in the listing or behind a
marker. The rollup is written only if it is still what was read before the listing: of two evaluators the one with
the older listing loses and lists again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from .bins import Ints
from .buckets import EXPIRY_AFTER, writers_of
from .cells import EMPTY, Cells, merge
from .errors import PreconditionFailed, TransientError
from .formats.compact import Chunk, Section, decode, encode
from .minute_chunks import merge_chunks
from .parts import ATTEMPTS, CONTENDED, pieces_of, read_parts, write_parts
from .retention import live
from .self_watch import own_cells
from .store import Document, Store
from .timeline import from_minute, minute_id

NOT_SETTLED = "minute_not_settled"
"""The reason of the TransientError that says: ask again in a moment."""


def rollup_path(minute: int) -> str:
    """Where a minute's rollup lies; its parts, where it is larger than 900 KiB, lie beside it."""
    return f"rollups/minute-{minute_id(minute)}"


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
        documents = live(listing.documents, now)
        if not documents and before is None:
            return RolledUp(EMPTY, None)
        cells = _merged(minute, documents)
        pieces = _pieces(minute, cells)
        more = {"read_at": listing.read_time}
        try:
            return RolledUp(cells, write_parts(store, path, pieces, from_minute(minute) + EXPIRY_AFTER, before, more))
        except PreconditionFailed:
            continue
    raise TransientError(CONTENDED, minute_id(minute))


def _merged(minute: int, documents: Sequence[Document]) -> Cells:
    """A minute's chunks as far as a rollup may hold them, and what they say about the monitoring; a pure function."""
    kept, unreadable = merge_chunks(minute, documents)
    return merge([kept.cells, own_cells(minute, documents, unreadable, kept)])


def _pieces(minute: int, cells: Cells) -> list[bytes]:
    def encoded(rows: Ints) -> bytes:
        return encode(Chunk("", "", None, (Section(minute, cells.take(rows)),)), rollup=True)

    return pieces_of(len(cells), encoded, most=len(cells))


def read_rollups(store: Store, minutes: Sequence[int], now: datetime) -> dict[int, Cells]:
    """The rollups of some minutes; a minute without one, or past its time to live, is left out."""
    return {minute: cells_of(documents) for minute, documents in read_documents(store, minutes, now).items()}


def read_documents(store: Store, minutes: Sequence[int], now: datetime) -> dict[int, Sequence[Document]]:
    """The same, as they are stored: a tenth of the memory, until ``cells_of`` reads them."""
    wanted = {rollup_path(minute): minute for minute in minutes}
    found = read_parts(store, list(wanted))
    return {wanted[path]: documents for path, documents in found.items() if live(documents[:1], now)}


def rolled_up_at(store: Store, minutes: Sequence[int]) -> dict[int, datetime]:
    """When the chunks in some minutes' rollups were listed; a minute without a rollup is left out."""
    wanted = {rollup_path(minute): minute for minute in minutes}
    found = store.get(list(wanted)) if wanted else {}
    return {wanted[path]: head.fields["read_at"] for path, head in found.items()}


def cells_of(documents: Sequence[Document]) -> Cells:
    """The cells of a minute's rollup."""
    parts = [section.cells for document in documents for section in decode(document.fields["d"], rollup=True).sections]
    return parts[0] if len(parts) == 1 else merge(parts)


def read_live(store: Store, minute: int, now: datetime) -> Cells:
    """A minute's chunks as they are now, as far as a rollup may hold them, and not stored: for what has none yet."""
    kept, _ = merge_chunks(minute, live(store.list(writers_of(minute)).documents, now))
    return kept.cells
