"""What the strict store refuses and warns of beyond the contract."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.adapters.sqlite_store import SqliteStore
from shared.adapters.strict_store import StrictStore, index_entries
from shared.errors import PermanentError, PreconditionFailed
from shared.store import Absent, Put, Store

NOON = datetime(2025, 10, 18, 12, tzinfo=UTC)
MANY = {f"k{i}": i for i in range(19_999)}
"""With the map itself exactly 40,000 index entries."""


class HandClock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        """The time it shows."""
        return self.now


@pytest.fixture
def inner() -> Iterator[Store]:
    """The store inside."""
    store = SqliteStore(":memory:", now=lambda: NOON)
    yield store
    store.close()


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, 2), ({}, 2), ({"x": 1, "y": {"z": None}}, 8), ([], 2), ([1, 2, {"x": 1}], 5)],
)
def test_index_entries(value: Any, expected: int) -> None:
    """Two for each value, one for each element of a list."""
    assert index_entries(value) == expected


def test_too_many_index_entries_are_refused(inner: Store) -> None:
    """40,000 entries pass and two more do not, whether put at once or merged."""
    strict = StrictStore(inner, now=lambda: NOON)
    strict.commit([Put("a/1", {"m": MANY})])
    for put in (Put("a/2", {"m": MANY, "x": 1}), Put("a/1", {"m": {"more": 1}}, merge=True)):
        with pytest.raises(PermanentError, match="too_many_index_entries"):
            strict.commit([Put("ok/1", {}), put])
    assert inner.list("ok").documents == ()


@pytest.mark.parametrize("exempt", ["writers/m", "writers/*"])
def test_exempt_fields_have_no_index_entries(inner: Store, exempt: str) -> None:
    """An exemption holds for its collection wherever that lies, and for no other."""
    strict = StrictStore(inner, now=lambda: NOON, exempt=[exempt])
    strict.commit([Put("buckets/1/writers/1", {"m": {**MANY, "more": 1}})])
    with pytest.raises(PermanentError, match="too_many_index_entries"):
        strict.commit([Put("buckets/1", {"m": {**MANY, "more": 1}})])


@pytest.mark.parametrize(("every_seconds", "warnings"), [(1.0, 0), (0.99, 1)], ids=["one a second", "a little more"])
def test_more_than_one_write_a_second_warns(inner: Store, every_seconds: float, warnings: int) -> None:
    """Eleven writes to one document within ten seconds warn, ten do not; another document counts apart."""
    clock = HandClock()
    strict = StrictStore(inner, clock)
    for i in range(11):
        clock.now = NOON + timedelta(seconds=every_seconds * i)
        strict.commit([Put("a/1", {"i": i}), Put(f"b/{i}", {})])
    assert len(strict.warnings) == warnings
    assert all(warning.startswith("a/1: 11 writes in 10 s") for warning in strict.warnings)


def test_a_burst_is_no_warning_and_a_failed_commit_no_write(inner: Store) -> None:
    """Ten writes at once are within the limit, and commits that fail do not count."""
    strict = StrictStore(inner, now=lambda: NOON)
    for i in range(10):
        strict.commit([Put("a/1", {"i": i})])
    with pytest.raises(PreconditionFailed):
        strict.commit([Put("a/1", {}, precondition=Absent())])
    assert strict.warnings == []
