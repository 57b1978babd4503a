"""What a store refuses before it is asked: one set of checks for every adapter, so that all give the same verdict.

The numbers are production's (https://cloud.google.com/firestore/quotas), counted as
https://cloud.google.com/firestore/docs/storage-size does; the size of a document agrees with the emulator to the
byte. Refused besides what that page names: an empty field name, text that is no UTF-8 (lone surrogates), an int
beyond 64 bits, a naive datetime, and any type that is not one of ``Fields``. Map keys may hold anything else: dots,
backticks, backslashes, NUL. Everything raised here is a ``PermanentError``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from .errors import PermanentError
from .store import MAX_COMMIT_BYTES, MAX_COMMIT_WRITES, MAX_DOCUMENT_BYTES, Fields, Put, Write

MAX_ID_BYTES = 1500
MAX_PATH_BYTES = 6 * 1024
MAX_FIELD_PATH_BYTES = 1499
"""Of a field's name with those of all maps around it, joined by dots. One less than documented: the emulator refuses
a merge at 1,500."""

MAX_FIELD_DEPTH = 20
"""Parts of a field's path, where a list counts as a part: a top-level field has one."""

MAX_VALUE_BYTES = MAX_DOCUMENT_BYTES - 89
_DOCUMENT_OVERHEAD_BYTES = 32
_NAME_OVERHEAD_BYTES = 16
_WIRE_VALUE_BYTES = 32
"""At most what a protobuf adds to one value and its name: tags, lengths and a number's ten bytes."""

_WIRE_MASK_BYTES = 48
"""At most what quotes, tags and lengths add to one field path of a merge, besides twice its bytes for escapes."""

_WIRE_WRITE_BYTES = 512
"""At most what a protobuf adds to one write: the database's name twice, the precondition, tags and lengths."""

_SIMPLE_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_INT_LIMIT = 1 << 63


class _Measure(NamedTuple):
    """``size`` in stored bytes, the number of ``values``, and the bytes of all leaves' field paths."""

    size: int
    values: int
    paths: int


def check_commit(writes: Sequence[Write]) -> None:
    """Raise unless a commit keeps every limit. An empty one is a ValueError.

    Raises ``PermanentError``: ``commit_too_large``, ``document_too_large``, ``invalid_document_path``,
    ``invalid_field``, ``duplicate_write``.
    """
    if not writes:
        raise ValueError("a commit needs at least one write")
    if len(writes) > MAX_COMMIT_WRITES:
        raise PermanentError("commit_too_large", f"{len(writes)} writes, at most {MAX_COMMIT_WRITES}")
    check_paths([write.path for write in writes])
    if len({write.path for write in writes}) < len(writes):
        raise PermanentError("duplicate_write", "a commit holds two writes to one document")
    check_commit_bytes(commit_bytes(writes))


def commit_bytes(writes: Sequence[Write]) -> int:
    """At least the bytes of the request for some writes. Raises ``document_too_large`` and ``invalid_field``."""
    return sum(_wire_bytes(write) for write in writes)


def check_commit_bytes(size: int) -> None:
    """Raise ``commit_too_large`` when a request of ``size`` bytes is above 4 MiB."""
    if size > MAX_COMMIT_BYTES:
        raise PermanentError("commit_too_large", f"{size} bytes, at most {MAX_COMMIT_BYTES}")


def check_document(path: str, fields: Fields) -> None:
    """Raise ``document_too_large`` above 1 MiB, and ``invalid_field``; for merges, what they result in."""
    _check_size(path, _measure_fields(fields, 0, 0).size)


def check_paths(paths: Sequence[str]) -> None:
    """Raise ``invalid_document_path`` unless every path is ``collection/id``, once or more, with sound ids."""
    for path in paths:
        _check_path(path, remainder=0)


def check_range(collection: str, start: str, end: str | None, limit: int | None) -> None:
    """Raise ``invalid_document_path`` unless a collection's path and the bounds that are given are sound.

    Raises ValueError for a limit below 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"a listing has at least one document, not {limit}")
    _check_path(collection, remainder=1)
    for bound in (start, end):
        if bound:
            _check_id(bound)


def document_bytes(path: str, fields: Fields) -> int:
    """The stored size of a document in bytes. Raises ``invalid_field``."""
    return _stored_bytes(path, _measure_fields(fields, 0, 0).size)


def quoted_name(name: str) -> str:
    """A field name as a part of a field path: itself when it is a plain word, else escaped in backticks."""
    if _SIMPLE_NAME.fullmatch(name):
        return name
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _check_path(path: str, remainder: int) -> None:
    parts = path.split("/")
    if len(parts) % 2 != remainder:
        raise PermanentError("invalid_document_path", f"{len(parts)} parts in {path[:100]!r}")
    for part in parts:
        _check_id(part)
    if len(path.encode()) + 1 + _NAME_OVERHEAD_BYTES > MAX_PATH_BYTES:
        raise PermanentError("invalid_document_path", f"longer than {MAX_PATH_BYTES} bytes: {path[:100]!r}")


def _check_id(part: str) -> None:
    size = _utf8_bytes(part, "invalid_document_path")
    reserved = part in {".", ".."} or _is_reserved(part)
    if reserved or "/" in part or not 1 <= size <= MAX_ID_BYTES:
        raise PermanentError("invalid_document_path", f"not an id: {part[:100]!r}")


def _is_reserved(name: str) -> bool:
    return len(name) >= 4 and name.startswith("__") and name.endswith("__")


def _utf8_bytes(text: str, reason: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise PermanentError(reason, f"not UTF-8: {text[:100]!r}") from error


def _wire_bytes(write: Write) -> int:
    """At least the bytes that a write takes in a request, after checking its document."""
    overhead = _WIRE_WRITE_BYTES + 2 * len(write.path.encode())
    if not isinstance(write, Put):
        return overhead
    measure = _measure_fields(write.fields, 0, 0)
    _check_size(write.path, measure.size)
    mask = 2 * measure.paths + _WIRE_MASK_BYTES * measure.values if write.merge else 0
    return overhead + measure.size + _WIRE_VALUE_BYTES * measure.values + mask


def _check_size(path: str, fields_bytes: int) -> None:
    size = _stored_bytes(path, fields_bytes)
    if size > MAX_DOCUMENT_BYTES:
        raise PermanentError("document_too_large", f"{size} bytes, at most {MAX_DOCUMENT_BYTES}: {path[:100]!r}")


def _stored_bytes(path: str, fields_bytes: int) -> int:
    name_bytes = len(path.encode()) + 1 + _NAME_OVERHEAD_BYTES  # one byte a part; the slashes are the others'
    return name_bytes + fields_bytes + _DOCUMENT_OVERHEAD_BYTES


def _measure_fields(fields: Fields, depth: int, path_bytes: int) -> _Measure:
    size = values = paths = 0
    for name, value in fields.items():
        name_bytes = _check_name(name)
        inner_path_bytes = path_bytes + name_bytes + 1
        if inner_path_bytes - 1 > MAX_FIELD_PATH_BYTES:
            raise PermanentError("invalid_field", f"a field path above {MAX_FIELD_PATH_BYTES} bytes: {name[:100]!r}")
        inner = _measure(value, depth + 1, inner_path_bytes)
        size += name_bytes + 1 + inner.size
        values += inner.values
        paths += inner.paths
    return _Measure(size, values, paths)


def _check_name(name: object) -> int:
    """The bytes of a field name. Raises ``invalid_field``."""
    if not isinstance(name, str) or not name or _is_reserved(name):
        raise PermanentError("invalid_field", f"not a field name: {name!r:.100}")
    return _utf8_bytes(name, "invalid_field")


def _measure(value: Any, depth: int, path_bytes: int) -> _Measure:
    if depth > MAX_FIELD_DEPTH:
        raise PermanentError("invalid_field", f"nested deeper than {MAX_FIELD_DEPTH}")
    if isinstance(value, dict):
        inner = _measure_fields(value, depth, path_bytes)
        return _Measure(inner.size, inner.values + 1, max(inner.paths, path_bytes))
    if isinstance(value, list):
        return _measure_list(value, depth, path_bytes)
    return _Measure(_scalar_bytes(value), 1, path_bytes)


def _measure_list(items: list[Any], depth: int, path_bytes: int) -> _Measure:
    size = 0
    values = 1
    for item in items:
        if isinstance(item, list):
            raise PermanentError("invalid_field", "a list directly in a list")
        inner = _measure(item, depth + 1, path_bytes)
        size += inner.size
        values += inner.values
    return _Measure(size, values, path_bytes)


def _scalar_bytes(value: Any) -> int:
    """The stored size of a value that holds no others. Raises ``invalid_field`` for what is none of ``Fields``."""
    if value is None or isinstance(value, bool):
        return 1
    if isinstance(value, float) or (isinstance(value, int) and -_INT_LIMIT <= value < _INT_LIMIT):
        return 8
    if isinstance(value, str):
        return _checked_length(_utf8_bytes(value, "invalid_field")) + 1
    if isinstance(value, bytes):
        return _checked_length(len(value))
    if isinstance(value, datetime) and _is_instant(value):
        return 8
    raise PermanentError("invalid_field", f"cannot store the {type(value).__name__} {value!r:.100}")


def _is_instant(value: datetime) -> bool:
    """Whether the datetime is aware and, in UTC too, within the years 1 to 9999."""
    try:
        return value.utcoffset() is not None and value.astimezone(UTC) is not None
    except OverflowError:
        return False


def _checked_length(size: int) -> int:
    if size > MAX_VALUE_BYTES:
        raise PermanentError("document_too_large", f"a value of {size} bytes, at most {MAX_VALUE_BYTES}")
    return size
