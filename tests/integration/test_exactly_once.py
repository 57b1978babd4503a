"""The first promise on the real Firestore emulator.

The simulated clock begins two hours before the real one, whose commit times the emulator gives: every minute has
settled by then, and every chunk is late, which is the harder case.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from shared.adapters.firestore_store import FirestoreStore
from shared.timeline import from_minute, minute_floor
from tests.emulators import Emulator
from tests.exactly_once import ExactlyOnceSuite
from tests.fakes import Clock


class TestExactlyOnceOnFirestore(ExactlyOnceSuite):
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
