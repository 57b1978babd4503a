"""Full documents on the real Firestore emulator. The simulated clock is two hours behind the real one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from shared.adapters.firestore_store import FirestoreStore
from shared.timeline import from_minute, minute_floor
from tests.emulators import Emulator
from tests.fakes import Clock
from tests.full_documents import FullDocumentsSuite


class TestFullDocumentsOnFirestore(FullDocumentsSuite):
    """Firestore."""

    @pytest.fixture
    def clock(self) -> Clock:
        """A clock that is set, two hours ago."""
        return Clock(from_minute(minute_floor(datetime.now(UTC) - timedelta(hours=2))))

    @pytest.fixture
    def store(self, firestore_host: Emulator) -> Iterator[FirestoreStore]:
        """An empty database: a project of its own."""
        store = FirestoreStore(f"test-{uuid4().hex[:12]}", emulator_host=firestore_host.host)
        yield store
        store.close()
