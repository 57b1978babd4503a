"""The contract on Firestore's emulator, and what the adapter makes of failing calls."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator

import grpc
import pytest
from google.api_core import exceptions

from shared.adapters.firestore_store import FirestoreStore, translate
from shared.errors import MonitoringError, PermanentError, PreconditionFailed, TransientError
from shared.store import Put, Store
from tests.emulators import Emulator
from tests.store_contract import StoreContract
from tests.store_contract_races import StoreRaceContract

_projects = itertools.count(1)


class TestEmulator(StoreContract, StoreRaceContract):
    """On the emulator, with a project for each test."""

    @pytest.fixture
    def store(self, firestore_host: Emulator) -> Iterator[Store]:
        """An empty store."""
        store = FirestoreStore(f"{firestore_host.project}-{next(_projects)}", emulator_host=firestore_host.host)
        yield store
        store.close()

    def test_databases_are_apart(self, firestore_host: Emulator, store: FirestoreStore) -> None:
        """A named database of the same project holds none of the default one's documents."""
        store.commit([Put("a/1", {})])
        other = FirestoreStore(f"{firestore_host.project}-1", "other", firestore_host.host)
        assert other.list("a").documents == ()
        other.close()
