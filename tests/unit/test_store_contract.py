"""The contract on the stores that need no network: SQLite in memory and in a file, and the strict store on top."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.adapters.sqlite_store import SqliteStore
from shared.adapters.strict_store import StrictStore
from shared.store import Store
from tests.store_contract import StoreContract
from tests.store_contract_races import StoreRaceContract

NOON = datetime(2025, 10, 18, 12, tzinfo=UTC)


class JumpingClock:
    """A clock that goes back as often as forth, by up to a second; seeded."""

    def __init__(self) -> None:
        self._random = random.Random(1)

    def __call__(self) -> datetime:
        """Some time within a second of noon."""
        return NOON + timedelta(microseconds=self._random.randint(-1_000_000, 1_000_000))


class TestMemory(StoreContract, StoreRaceContract):
    """In memory, with a clock that stands still."""

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        """An empty store."""
        store = SqliteStore(":memory:", now=lambda: NOON)
        yield store
        store.close()


class TestFile(StoreContract, StoreRaceContract):
    """In a file, with a clock that jumps."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        """An empty store."""
        store = SqliteStore(tmp_path / "store.sqlite", JumpingClock(), synchronous="OFF")
        yield store
        store.close()


class TestStrict(StoreContract, StoreRaceContract):
    """The strict store on one in memory."""

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        """An empty store."""
        inner = SqliteStore(":memory:", now=lambda: NOON)
        yield StrictStore(inner, now=lambda: NOON, exempt=["a/*"])
        inner.close()
