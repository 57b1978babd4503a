"""A rollup never misses a chunk on the real Firestore emulator: real threads, in rounds around the very moments."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from shared import parts
from shared.adapters.firestore_store import FirestoreStore
from tests.emulators import Emulator
from tests.rollup_promises import Weakness
from tests.rounds import run_rounds

ROUNDS = 4


@pytest.fixture
def store(firestore_host: Emulator) -> Iterator[FirestoreStore]:
    """An empty database: a project of its own."""
    store = FirestoreStore(f"test-{uuid4().hex[:12]}", emulator_host=firestore_host.host)
    yield store
    store.close()


def test_no_chunk_is_missed(store: FirestoreStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rollup is the merge of all acknowledged chunks, to the byte also when rebuilt, and none is read torn.

    The rollups are in several parts, so that there is something to tear. ``make soak`` plays a hundred rounds.
    """
    monkeypatch.setattr(parts, "MAX_PART_BYTES", 120)
    run_rounds(store, 1, ROUNDS)


def test_late_markers_are_not_spare(store: FirestoreStore) -> None:
    """On a store that forgets late markers the rounds find a rollup that misses a chunk."""
    with pytest.raises(AssertionError, match="all acknowledged chunks are in the rollup"):
        run_rounds(store, 2, 1, Weakness(forgets_markers=True))
