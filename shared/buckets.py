"""Buckets: the stored truth. What a message becomes in the store, and how a minute is read back.

A chunk lies in map field ``c`` of ``buckets/{shard}-{minute}/writers/{document}`` under the message's key. Each
write is a blind merge of a value that depends on the message alone, so writing it again changes nothing.

What is larger than a chunk may be lies in parts, in documents of their own, ``{document}~{key}~{whole}~{number}``.
Under the key is only the name of the whole, 16 hex of its digest, which is written last. How a message is read may
change with a deploy, as its labels do, and its parts with that: only the parts of the whole that is named count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from .cells import Cells
from .formats.columns import too_large
from .formats.compact import MAX_BODY_BYTES, Chunk, Section, decode, encode
from .identity import Identity
from .series import Series
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
LOST_AFTER = EXPIRY_AFTER - timedelta(minutes=1)
"""What is stored at least this long after a minute's end may be shown by nobody: the next evaluation, which rolls it
up, is up to a minute away."""
MAX_WRITES = 400
MAX_BYTES = MAX_COMMIT_BYTES * 3 // 4
"""What one commit of ours holds, below the store's limits with room for paths and field names."""
MAX_TEXT_BYTES = MAX_BODY_BYTES
"""Names and labels of a message's rows, at most, counted for each row: in a message they stand once, and in the store
once for each minute and part, so that 20 KB of a message could become hundreds of MB."""
_LABEL_OVERHEAD_BYTES = 8
_FEW_ROWS = 1000
"""So few rows stay below ``MAX_TEXT_BYTES`` whatever they are called."""
_DOCUMENT_OVERHEAD_BYTES = 1024
_NAMES_PARTS = b"~"
"""What the name of a whole begins with, and no chunk does."""
_TILDES_OF_A_PART = 4
_WRITER_DIGITS = 16


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


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit's writes, and the minutes that they change."""

    puts: tuple[Put, ...]
    minutes: frozenset[int]


def commits_of(chunk: Chunk, identity: Identity) -> Iterator[Commit]:
    """The commits that store a chunk: one in the common case, more when it is larger than a commit may be.

    Each is safe to repeat, and a message is acknowledged only after the last; none for a chunk without rows.
    Raises PermanentError: ``chunk_too_large``, ``malformed_chunk`` for what could not be read back.
    """
    _check_text(chunk)
    batch: list[tuple[Put, int]] = []
    size = 0
    for section in filter(_has_rows, chunk.sections):
        for put, put_bytes in _puts(chunk, section, identity):
            if batch and (len(batch) == MAX_WRITES or size + put_bytes > MAX_BYTES):
                yield _commit(batch)
                batch, size = [], 0
            batch.append((put, section.minute))
            size += put_bytes
    if batch:
        yield _commit(batch)


def _has_rows(section: Section) -> bool:
    return len(section.cells) > 0


def _commit(batch: list[tuple[Put, int]]) -> Commit:
    return Commit(tuple(put for put, _ in batch), frozenset(minute for _, minute in batch))


def apart(puts: Iterable[Put], identity: Identity) -> list[Put]:
    """The same writes with none in the document that the message shares with others: each has one of its own.

    It is for a document that is full. Which of the two places a write goes to stays the same however often it is
    tried: a document only grows, so once it has refused a chunk it always will, and one that holds it takes it again.
    """
    return [
        replace(put, path=f"{put.path}~{identity.key}~0") if put.path.endswith(f"/{identity.document}") else put
        for put in puts
    ]


def _check_text(chunk: Chunk) -> None:
    """Refuse what takes little in a message, where all minutes share their series, and very much in the store."""
    if sum(len(section.cells) for section in chunk.sections) <= _FEW_ROWS:
        return
    known: dict[int, int] = {}
    total = 0
    for section in chunk.sections:
        for series in section.cells.series:
            size = known.get(id(series))
            if size is None:
                size = known[id(series)] = _text_bytes(series)
            total += size
    if total > MAX_TEXT_BYTES:
        raise too_large(f"its rows' names and labels have {total} bytes, at most {MAX_TEXT_BYTES}")


def _text_bytes(series: Series) -> int:
    labels = sum(len(name.encode()) + len(value.encode()) + _LABEL_OVERHEAD_BYTES for name, value in series.labels)
    return len(series.metric.encode()) + labels


def _puts(chunk: Chunk, section: Section, identity: Identity) -> Iterator[tuple[Put, int]]:
    """The writes of a section, with about the bytes of each."""
    for document, data in _placed(list(_chunks_of(chunk, section)), identity):
        fields = {
            "c": {identity.key: data},
            "writer": chunk.writer,
            "boot": chunk.boot,
            "expires_at": from_minute(section.minute) + EXPIRY_AFTER,
        }
        put = Put(f"{writers_of(section.minute)}/{document}", fields, merge=True)
        yield put, len(data) + _DOCUMENT_OVERHEAD_BYTES


def _placed(pieces: Sequence[bytes], identity: Identity) -> Iterator[tuple[str, bytes]]:
    """The pieces of a section with their documents: parts first, and last what names them."""
    if len(pieces) == 1:
        yield identity.document, pieces[0]
        return
    whole = hashlib.sha256(b"".join(pieces)).hexdigest()[:16]
    for number, piece in enumerate(pieces):
        yield f"{identity.document}~{identity.key}~{whole}~{number}", piece
    yield identity.document, _NAMES_PARTS + whole.encode()


def _chunks_of(chunk: Chunk, section: Section) -> Iterable[bytes]:
    """A section as it is stored: a message of one minute as its writer encoded it, where it is a chunk already."""
    if chunk.encoded is not None and len(chunk.sections) == 1 and len(chunk.encoded) <= MAX_CHUNK_BYTES:
        return [chunk.encoded]
    return _parts(section)


def _parts(section: Section) -> Iterable[bytes]:
    """A section as chunks of at most 64 KiB: its rows in several pieces where it is larger."""
    data = encode(Chunk("", "", None, (section,)))
    rows = len(section.cells)
    if len(data) <= MAX_CHUNK_BYTES:
        return [data]
    if rows == 1:
        raise too_large(f"one series needs {len(data)} bytes, {MAX_CHUNK_BYTES} are allowed")
    pieces = np.array_split(np.arange(rows), min(rows, 1 + len(data) * 5 // 4 // MAX_CHUNK_BYTES))
    return [part for piece in pieces for part in _parts(Section(section.minute, section.cells.take(piece)))]


@dataclass(frozen=True, slots=True)
class Stored:
    """A chunk as it lies in the store, and its writer (unsigned 64 bits)."""

    writer: int
    data: bytes

    def cells(self) -> list[Cells]:
        """Its cells, each row with the writer. Raises PermanentError when a newer version wrote it."""
        return [section.cells.written_by(self.writer) for section in decode(self.data).sections]


def stored_in(documents: Iterable[Document]) -> Iterator[Stored]:
    """The chunks of one minute's documents that count, in order of document and key.

    What lies under a key of a shared document does not where the message has a document of its own (see ``apart``), and
    a part does not unless its whole is named.
    """
    held = [(document.id, key, data) for document in documents for key, data in sorted(document.fields["c"].items())]
    apart_from = {(id_.removesuffix(f"~{key}~0"), key) for id_, key, _ in held if id_.endswith(f"~{key}~0")}
    counting = [(id_, key, data) for id_, key, data in held if (id_, key) not in apart_from]
    named = {_whole(id_, key, data) for id_, key, data in counting if names_parts(data)}
    for id_, _, data in counting:
        is_part = id_.count("~") == _TILDES_OF_A_PART
        if not names_parts(data) and (not is_part or id_.rpartition("~")[0] in named):
            yield Stored(int(id_[:_WRITER_DIGITS], 16), data)


def names_parts(data: bytes) -> bool:
    """Whether what lies under a message's key is no chunk, but names its parts."""
    return data[:1] == _NAMES_PARTS


def _whole(id_: str, key: str, data: bytes) -> str:
    """What the ids of the parts begin with that are named under a document's key."""
    return "~".join([*id_.split("~")[:2], key, data[1:].decode("ascii", "replace")])


def writer_id(document: Document) -> str:
    """The 16 hex digits of the writer of a minute's document."""
    return document.id[:_WRITER_DIGITS]


def expired(minute: int, now: datetime) -> bool:
    """Whether a minute is past its time to live."""
    return now >= from_minute(minute) + EXPIRY_AFTER
