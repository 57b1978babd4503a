"""What the store contract is tried with: fields of every kind, and commits that break or just keep each limit."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from shared.limits import document_bytes
from shared.store import MAX_COMMIT_WRITES, MAX_DOCUMENT_BYTES, Delete, Fields, Put

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.datetimes(timezones=st.just(UTC))
)
_NAMES = st.text("ab.`\\$é_ \x00😀", min_size=1, max_size=4).filter(lambda name: not (name[:2] == name[-2:] == "__"))


def _containers(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    items = values.filter(lambda value: not isinstance(value, list))
    return st.dictionaries(_NAMES, values, max_size=3) | st.lists(items, max_size=3)


EAST = timezone(timedelta(hours=14))
FIELDS = st.dictionaries(_NAMES, st.recursive(_SCALARS, _containers, max_leaves=6), max_size=4)

HOSTILE_NAMES = (
    "a.b",
    "`",
    "\\",
    "\\`",
    "a`b\\c",
    "$b",
    "$$",
    "é",
    "e\u0301",
    "a b",
    "__x",
    "0",
    "\x00",
    "a/b",
    "*",
    "😀",
)

_FEW_NAMES = st.sampled_from(["a", "a.b", "`"])
COLLIDING_FIELDS = st.dictionaries(
    _FEW_NAMES,
    st.recursive(st.integers(0, 1) | st.lists(st.integers(0, 1), max_size=1), lambda v: st.dictionaries(_FEW_NAMES, v)),
)


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal in type too, at any depth; NaN equals NaN."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right) or (isinstance(left, float) and math.isnan(left) and math.isnan(right))


def nested(parts: int) -> dict[str, Any]:
    """Fields whose only leaf has a path of so many parts."""
    fields: dict[str, Any] = {"k": 1}
    for _ in range(parts - 1):
        fields = {"k": fields}
    return fields


def sized(path: str, shape: Callable[[str], Fields]) -> Fields:
    """Fields that make a document of exactly 1 MiB, where ``shape`` places a text of the length needed."""
    return shape("x" * (MAX_DOCUMENT_BYTES - document_bytes(path, shape(""))))


REFUSED = {
    "too many writes": ([Put(f"a/{i}", {}) for i in range(MAX_COMMIT_WRITES + 1)], "commit_too_large"),
    "too many bytes": ([Put(f"a/{i}", {"x": b"x" * 900_000}) for i in range(5)], "commit_too_large"),
    "too many small values": ([Put(f"a/{i}", {"x": [None] * 70_000}) for i in range(2)], "commit_too_large"),
    "large document": ([Put("a/1", {"x": b"x" * 600_000, "y": b"y" * 600_000})], "document_too_large"),
    "large value": ([Put("a/1", {"x": b"x" * (MAX_DOCUMENT_BYTES - 88)})], "document_too_large"),
    "one document twice": ([Put("a/1", {}), Delete("a/1")], "duplicate_write"),
    "collection path": ([Put("a", {})], "invalid_document_path"),
    "three parts": ([Put("a/1/b", {})], "invalid_document_path"),
    "empty id": ([Put("a/", {})], "invalid_document_path"),
    "dot": ([Put("a/.", {})], "invalid_document_path"),
    "two dots": ([Delete("a/..")], "invalid_document_path"),
    "reserved id": ([Put("a/__x__", {})], "invalid_document_path"),
    "reserved collection": ([Put("__a__/x", {})], "invalid_document_path"),
    "long id": ([Put("a/" + "é" * 751, {})], "invalid_document_path"),
    "long path": ([Put("/".join(["x" * 1000] * 8), {})], "invalid_document_path"),
    "surrogate in id": ([Put("a/\ud800", {})], "invalid_document_path"),
    "empty name": ([Put("a/1", {"m": {"": 1}})], "invalid_field"),
    "reserved name": ([Put("a/1", {"m": {"__x__": 1}}, merge=True)], "invalid_field"),
    "long name": ([Put("a/1", {"x" * 1500: 1})], "invalid_field"),
    "long field path": ([Put("a/1", {"x" * 749: {"y" * 750: 1}})], "invalid_field"),
    "surrogate in name": ([Put("a/1", {"\ud800": 1})], "invalid_field"),
    "surrogate in text": ([Put("a/1", {"x": "\udfff"})], "invalid_field"),
    "list in list": ([Put("a/1", {"x": [[1]]})], "invalid_field"),
    "deep": ([Put("a/1", nested(21))], "invalid_field"),
    "int of 65 bits": ([Put("a/1", {"x": 2**63})], "invalid_field"),
    "naive time": ([Put("a/1", {"x": datetime(2025, 1, 1)})], "invalid_field"),  # noqa: DTZ001 - the case at hand
    "time before year 1": ([Put("a/1", {"x": datetime.min.replace(tzinfo=EAST)})], "invalid_field"),
    "tuple": ([Put("a/1", {"x": (1, 2)})], "invalid_field"),
}


ACCEPTED = {
    "500 writes": [Put(f"a/{i}", {}) for i in range(MAX_COMMIT_WRITES)],
    "almost 4 MiB": [Put(f"a/{i}", {"x": b"x" * 1_040_000}) for i in range(4)],
    "1 MiB in fields": [Put("a/1", sized("a/1", lambda x: {"x": x[:500_000], "y": x[500_000:]}))],
    "1 MiB below maps": [Put("a/1/b/2", sized("a/1/b/2", lambda x: {"m": {"n": [x[:500_000], x[500_000:], 1, None]}}))],
    "long id": [Put("a/" + "é" * 750, {})],
    "long name": [Put("a/1", {"`" * 1499: 1}, merge=True), Put("a/2", {"`" * 749: {"é" * 374 + "x": 1}}, merge=True)],
    "20 parts": [Put("a/1", nested(20)), Put("a/2", nested(20), merge=True)],
    "odd ids": [Put("a/\x00", {}), Put("a/__x", {}), Put("a/ ", {}), Put("a/.x", {})],
}
