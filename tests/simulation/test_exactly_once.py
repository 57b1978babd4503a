"""The first promise on the embedded adapter."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.adapters.sqlite_store import SqliteStore
from tests.exactly_once import ExactlyOnceSuite
from tests.fakes import Clock


class TestExactlyOnceOnSqlite(ExactlyOnceSuite):
    """SQLite."""

    @pytest.fixture
    def clock(self) -> Clock:
        """A clock that is set."""
        return Clock()

    @pytest.fixture
    def store(self, clock: Clock, tmp_path: Path) -> SqliteStore:
        """A fresh database."""
        return SqliteStore(tmp_path / "store.sqlite", clock)
