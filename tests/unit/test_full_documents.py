"""Full documents on SQLite, below the checks of production."""

from __future__ import annotations

import pytest

from shared.adapters.sqlite_store import SqliteStore
from shared.adapters.strict_store import StrictStore
from tests.fakes import Clock
from tests.full_documents import FullDocumentsSuite


class TestFullDocumentsOnSqlite(FullDocumentsSuite):
    """SQLite."""

    @pytest.fixture
    def clock(self) -> Clock:
        """A clock that is set."""
        return Clock()

    @pytest.fixture
    def store(self, clock: Clock) -> StrictStore:
        """An empty database."""
        return StrictStore(SqliteStore(":memory:", clock, "OFF"), clock, ("writers/*", "late/*"))
