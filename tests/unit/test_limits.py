"""What the limits count."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.firestore_store import FirestoreStore
from shared.limits import commit_bytes, document_bytes, quoted_name
from shared.store import Put, Unchanged
from tests.store_cases import FIELDS

NOON = datetime(2025, 10, 18, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("path", "fields", "expected"),
    [
        ("users/jeff/tasks/my_task_id", {}, 44 + 32),
        (
            "users/jeff/tasks/my_task_id",
            {"type": "Personal", "done": False, "priority": 1, "description": "Learn Cloud Firestore"},
            147,
        ),
        ("a/é", {"é": "é", "b": b"12", "t": NOON, "n": None, "f": 1.0, "l": [1, ""], "m": {"x": True}}, 102),
    ],
    ids=["name", "vendor's example", "every type"],
)
def test_document_bytes(path: str, fields: dict[str, Any], expected: int) -> None:
    """A document counts as https://cloud.google.com/firestore/docs/storage-size does."""
    assert document_bytes(path, fields) == expected


@given(fields=FIELDS, merge=st.booleans())
def test_a_request_is_never_larger_than_counted(fields: dict[str, Any], merge: bool) -> None:
    """The count of a commit bounds what Firestore is sent, so every adapter refuses what Firestore would."""
    writes = [Put("a/1", fields, merge, Unchanged(NOON))]
    request = FirestoreStore("a-project-of-thirty-characters").commit_request(writes)
    assert request.ByteSize() <= commit_bytes(writes)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a", "a"), ("_a9", "_a9"), ("9a", "`9a`"), ("a.b", "`a.b`"), ("`\\", r"`\`\\`"), ("a\n", "`a\n`"), ("é", "`é`")],
)
def test_quoted_name(name: str, expected: str) -> None:
    """Only a plain word stands unquoted; backticks and backslashes are escaped."""
    assert quoted_name(name) == expected
