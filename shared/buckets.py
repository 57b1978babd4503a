"""Buckets: the stored truth. What a message becomes in the store, and how a minute is read back.

A chunk lies in map field ``c`` of ``buckets/{shard}-{minute}/writers/{document}`` under the message's key. Each
write is a blind merge of a value that depends on the message alone, so writing it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from .cells import Cells
from .errors import PermanentError
from .formats.compact import Chunk, Section, decode, encode
from .identity import Identity
from .store import MAX_COMMIT_BYTES, READ_LAG, Document, Put
from .timeline import from_minute, minute_id

SHARD = 0
MAX_CHUNK_BYTES = 64 * 1024
EXPIRY_AFTER = timedelta(hours=76)
"""The time to live of a minute; readers show 72 h of it."""
SETTLE = timedelta(seconds=5)
"""A minute is rolled up from a listing read at least this long after its end."""
LATE_AFTER = SETTLE - READ_LAG
"""What is committed at least this long after a minute's end marks the minute as late: a listing may lack it."""
MAX_WRITES = 400
MAX_BYTES = MAX_COMMIT_BYTES * 3 // 4
"""What one commit of ours holds, below the store's limits with room for paths and field names."""
_DOCUMENT_OVERHEAD_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Late:
    """A minute that changed at ``at`` (aware UTC), after it may have been rolled up, by a writer."""

    minute: int
    wid: str
    at: datetime

    def write(self) -> Put:
        """The marker. ``at`` makes every marker a change, so its update time tells the evaluator of each."""
        fields = {"minute": self.minute, "at": self.at, "expires_at": self.at + EXPIRY_AFTER}
        return Put(f"late/{minute_id(self.minute)}~{self.wid}", fields)


def writers_of(minute: int) -> str:
    """The collection that holds a minute's chunks."""
    return f"buckets/{SHARD}-{minute_id(minute)}/writers"


def commits_of(chunk: Chunk, identity: Identity) -> Iterator[list[Put]]:
    """The commits that store a chunk: one in the common case, more when it is larger than a commit may be.

    Each is safe to repeat, and a message is acknowledged only after the last; none for a chunk without sections.
    """
    batch: list[Put] = []
    size = 0
    for put, put_bytes in _puts(chunk, identity):
        if batch and (len(batch) == MAX_WRITES or size + put_bytes > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(put)
        size += put_bytes
    if batch:
        yield batch


def _puts(chunk: Chunk, identity: Identity) -> Iterator[tuple[Put, int]]:
    for section in chunk.sections:
        for part, data in enumerate(_chunks_of(chunk, section)):
            document = f"{identity.document}~{identity.key}~{part}" if part else identity.document
            fields = {
                "c": {identity.key: data},
                "writer": chunk.writer,
                "boot": chunk.boot,
                "expires_at": from_minute(section.minute) + EXPIRY_AFTER,
            }
            yield (
                Put(f"{writers_of(section.minute)}/{document}", fields, merge=True),
                len(data) + _DOCUMENT_OVERHEAD_BYTES,
            )


def _chunks_of(chunk: Chunk, section: Section) -> Iterable[bytes]:
    """A section as it is stored: a message of one minute as its writer encoded it, where it is a chunk already."""
    if chunk.encoded is not None and len(chunk.sections) == 1 and len(chunk.encoded) <= MAX_CHUNK_BYTES:
        return [chunk.encoded]
    return _parts(section)


def _parts(section: Section) -> Iterable[bytes]:
    """A section as chunks of at most 64 KiB; halves, quarters, ... of its rows where it is larger."""
    data = encode(Chunk("", "", None, (section,)))
    rows = len(section.cells)
    if len(data) <= MAX_CHUNK_BYTES:
        return [data]
    if rows == 1:
        raise PermanentError("chunk_too_large", f"one series needs {len(data)} bytes, {MAX_CHUNK_BYTES} are allowed")
    halves = np.split(np.arange(rows), [rows // 2])
    return [piece for half in halves for piece in _parts(Section(section.minute, section.cells.take(half)))]


def chunks_in(documents: Sequence[Document]) -> tuple[list[Cells], int]:
    """The chunks of one minute's documents, each with its writer, in order of document and key.

    A chunk that cannot be read (written by a newer version) is passed over; the second item counts those, so that
    nothing blocks the minute.
    """
    parts: list[Cells] = []
    unreadable = 0
    for document in documents:
        writer = int(writer_id(document), 16)
        for _, data in sorted(document.fields["c"].items()):
            try:
                parts.extend(section.cells.written_by(writer) for section in decode(data).sections)
            except PermanentError:
                unreadable += 1
    return parts, unreadable


def writer_id(document: Document) -> str:
    """The 16 hex digits of the writer of a minute's document."""
    return document.id[:16]


def expired(minute: int, now: datetime) -> bool:
    """Whether a minute is past its time to live."""
    return now >= from_minute(minute) + EXPIRY_AFTER
