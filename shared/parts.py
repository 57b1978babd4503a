"""A document that may be larger than a document can be: a head, and parts whose paths name what is in them.

A part lies at ``{path}~{digest}~{number}``, where the digest is that of the whole. All parts are written before the
head that names them, or in one commit with it, so a head is never without its parts, a reader can never mix those of
two versions, and the size of a commit limits nothing. The head's commit deletes the parts of the version before it; a
reader whom that overtakes finds a part gone and reads the head again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

import numpy as np

from .bins import Ints
from .errors import PermanentError, TransientError
from .store import MAX_COMMIT_BYTES, Absent, Delete, Document, Put, Store, Unchanged, Write

MAX_PART_BYTES = 900 * 1024
MAX_PARTS_BYTES = MAX_COMMIT_BYTES * 5 // 8
"""Of the parts in one commit; the rest is room for a head of 900 KiB and the deletions."""
MAX_DELETIONS = 400
ATTEMPTS = 5
CONTENDED = "rollup_contended"
"""The reason of the TransientError that says: others wrote it each time that we looked."""


def pieces_of(rows: int, encode: Callable[[Ints], bytes], most: int) -> list[bytes]:
    """Some rows as pieces of at most 900 KiB: halves, quarters, ... where they are larger, or too large to encode.

    More than ``most`` rows are halved without a try. One piece when there is no row, or a single one, whatever its
    size. Raises what ``encode`` raises for one row.
    """
    return _halved(np.arange(rows), encode, most)


def _halved(rows: Ints, encode: Callable[[Ints], bytes], most: int) -> list[bytes]:
    data = _encoded(rows, encode) if len(rows) <= max(most, 1) else None
    if data is not None and (len(data) <= MAX_PART_BYTES or len(rows) <= 1):
        return [data]
    return [piece for half in np.split(rows, [len(rows) // 2]) for piece in _halved(half, encode, most)]


def _encoded(rows: Ints, encode: Callable[[Ints], bytes]) -> bytes | None:
    try:
        return encode(rows)
    except PermanentError as error:
        if error.reason != "chunk_too_large" or len(rows) <= 1:
            raise
        return None


def write_parts(
    store: Store,
    path: str,
    pieces: Sequence[bytes],
    expires_at: datetime,
    before: Document | None,
    more: Mapping[str, object] | None = None,
) -> datetime:
    """Write a head and its parts, unless the head is no longer ``before``; when the head was committed.

    ``more`` are further fields of the head. Raises ``PreconditionFailed``, with none but parts that no head names
    written, which expire.
    """
    digest = hashlib.sha256(b"".join(pieces)).hexdigest()[:16] if len(pieces) > 1 else ""
    head = {**(more or {}), "d": pieces[0], "parts": len(pieces), "digest": digest, "expires_at": expires_at}
    condition = Absent() if before is None else Unchanged(before.update_time)
    named = _part_paths(path, digest, len(pieces))
    parts = [Put(one, {"d": piece, "expires_at": expires_at}) for one, piece in zip(named, pieces[1:], strict=True)]
    *full, last = _batches(parts)
    for batch in full:
        store.commit(batch)
    gone: list[Write] = [Delete(one) for one in _paths_of(before) if one not in named]
    return store.commit([Put(path, head, precondition=condition), *last, *gone[:MAX_DELETIONS]])


def read_parts(store: Store, paths: Sequence[str]) -> dict[str, list[Document]]:
    """The documents at ``paths`` that exist, by path: each head and its parts in order, all of one version.

    One some of whose parts are gone for good, as they expire one by one, is left out. Raises TransientError
    ``rollup_contended`` where a version was replaced each time that it was read.
    """
    found: dict[str, list[Document]] = {}
    seen: dict[str, str] = {}
    missing = list(paths)
    for _ in range(ATTEMPTS):
        heads = store.get(missing) if missing else {}
        wanted = [part for head in heads.values() for part in _paths_of(head)]
        parts = store.get(wanted) if wanted else {}
        whole = {path: head for path, head in heads.items() if all(part in parts for part in _paths_of(head))}
        found |= {path: [head, *(parts[part] for part in _paths_of(head))] for path, head in whole.items()}
        torn = {path: head.fields["digest"] for path, head in heads.items() if path not in whole}
        missing = [path for path, digest in torn.items() if seen.get(path) != digest]
        seen |= torn
        if not missing:
            return found
    raise TransientError(CONTENDED, ", ".join(missing[:3]))


def _paths_of(head: Document | None) -> list[str]:
    return [] if head is None else _part_paths(head.path, head.fields["digest"], head.fields["parts"])


def _part_paths(path: str, digest: str, parts: int) -> list[str]:
    return [f"{path}~{digest}~{number}" for number in range(1, parts)]


def _batches(parts: Sequence[Put]) -> Iterator[list[Put]]:
    """Parts by commit; the last may be empty, and there is always one."""
    batch: list[Put] = []
    size = 0
    for part in parts:
        if batch and size + len(part.fields["d"]) > MAX_PARTS_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(part)
        size += len(part.fields["d"])
    yield batch
