"""A rollup never misses a chunk, at length."""

from __future__ import annotations

from uuid import uuid4

import pytest

from shared import parts, rolling
from shared.adapters.firestore_store import FirestoreStore
from tests.emulators import Emulator
from tests.races import run_race
from tests.rounds import run_rounds

pytestmark = pytest.mark.soak


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rollup has several parts, and late markers are read one by one."""
    monkeypatch.setattr(parts, "MAX_PART_BYTES", 120)
    monkeypatch.setattr(rolling, "LATE_AT_ONCE", 1)


@pytest.mark.parametrize("block", range(1000, 11_000, 500))
def test_no_chunk_is_missed(block: int) -> None:
    """Ten thousand stories, of which a test elsewhere plays a hundred, find no rollup that misses a chunk."""
    for seed in range(block, block + 500):
        run_race(seed)


@pytest.mark.usefixtures("small_parts")
def test_no_rollup_is_read_torn() -> None:
    """A thousand stories of rollups in several parts find no reader that mixes two versions."""
    for seed in range(1000):
        run_race(seed, watched=True)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("seed", range(25))
def test_no_chunk_is_missed_on_the_emulator(firestore_host: Emulator, seed: int) -> None:
    """A hundred rounds of real threads on the real emulator find no rollup that misses a chunk or is read torn."""
    store = FirestoreStore(f"test-{uuid4().hex[:12]}", emulator_host=firestore_host.host)
    try:
        run_rounds(store, seed, 4)
    finally:
        store.close()
