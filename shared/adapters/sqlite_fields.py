"""Fields as one blob, for SQLite: exact, canonical and quick.

Layout: the length of the JSON in 4 bytes (big-endian), the JSON (UTF-8, sorted keys, no blanks), then all bytes
values one after the other. JSON is the fastest reader and writer in the standard library and keeps int and float
apart, floats to the bit; bytes stay out of it because base64 would double the cost of the one kind of value that is
large here. What JSON lacks is a map of one key: ``{"$b": [offset, length]}`` and ``{"$t": Unix microseconds}``; a
map's own keys that start with ``$`` get another one. Equal fields give equal blobs, so a write that changes nothing
is found by comparing two blobs. (Not pickle or marshal: a database file may come from elsewhere, or from another
Python.)
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from ..store import Fields
from ..timeline import from_us, to_us

_BYTES = "$b"
_INSTANT = "$t"
_HEAD_BYTES = 4
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def encode(fields: Fields) -> bytes:
    """The blob for checked fields (see ``limits``)."""
    chunks: list[bytes] = []
    head = _to_json(_Packer(chunks).pack_map(fields)).encode()
    return b"".join((len(head).to_bytes(_HEAD_BYTES, "big"), head, *chunks))


def decode(blob: bytes) -> dict[str, Any]:
    """The inverse of ``encode``: new dicts and lists each time."""
    start = _HEAD_BYTES + int.from_bytes(blob[:_HEAD_BYTES], "big")

    def unpack(tree: dict[str, Any]) -> Any:
        if not any(name.startswith("$") for name in tree):
            return tree
        if _BYTES in tree:
            offset, length = tree[_BYTES]
            return blob[start + offset : start + offset + length]
        if _INSTANT in tree:
            return from_us(tree[_INSTANT])
        return {name[1:] if name.startswith("$") else name: value for name, value in tree.items()}

    # A document's own map is unpacked like any other; it cannot be a tagged one, as its keys are escaped.
    fields: dict[str, Any] = json.loads(blob[_HEAD_BYTES:start], object_hook=unpack)
    return fields


class _Packer:
    """Turns values into what JSON can hold, and collects the bytes values on the way."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks
        self._offset = 0

    def pack_map(self, fields: Fields) -> dict[str, Any]:
        """A map with escaped keys, in sorted order."""
        return {f"${name}" if name.startswith("$") else name: self._pack(fields[name]) for name in sorted(fields)}

    def _pack(self, value: Any) -> Any:
        if isinstance(value, bytes):
            return self._pack_bytes(value)
        if isinstance(value, dict):
            return self.pack_map(value)
        if isinstance(value, list):
            return [self._pack(item) for item in value]
        if isinstance(value, datetime):
            return {_INSTANT: to_us(value)}
        return value

    def _pack_bytes(self, value: bytes) -> dict[str, list[int]]:
        place = [self._offset, len(value)]
        self._chunks.append(value)
        self._offset += len(value)
        return {_BYTES: place}
