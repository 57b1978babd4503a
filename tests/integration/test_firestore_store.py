"""The contract on Firestore's emulator, and what the adapter makes of failing calls."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from grpc import RpcError, StatusCode

from shared.adapters.firestore_store import FirestoreStore, translate
from shared.errors import PermanentError, PreconditionFailed, TransientError
from shared.store import READ_LAG, Put, Store
from tests.emulators import Emulator
from tests.store_contract import StoreContract
from tests.store_contract_races import StoreRaceContract

_projects = itertools.count(1)


class TestEmulator(StoreContract, StoreRaceContract):
    """On the emulator, with a project for each test."""

    lag = READ_LAG

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


class Failure(RpcError):
    """A failed call, as gRPC raises it."""

    def __init__(self, code: StatusCode) -> None:
        super().__init__()
        self._code = code

    def code(self) -> StatusCode:
        """The status."""
        return self._code

    def details(self) -> str:
        """The server's words."""
        return "no"


EXPECTED = {
    StatusCode.ABORTED: TransientError,
    StatusCode.CANCELLED: TransientError,
    StatusCode.DEADLINE_EXCEEDED: TransientError,
    StatusCode.INTERNAL: TransientError,
    StatusCode.RESOURCE_EXHAUSTED: TransientError,
    StatusCode.UNAUTHENTICATED: TransientError,
    StatusCode.UNAVAILABLE: TransientError,
    StatusCode.UNKNOWN: TransientError,
    StatusCode.DATA_LOSS: PermanentError,
    StatusCode.INVALID_ARGUMENT: PermanentError,
    StatusCode.OUT_OF_RANGE: PermanentError,
    StatusCode.PERMISSION_DENIED: TransientError,
    StatusCode.UNIMPLEMENTED: PermanentError,
    StatusCode.ALREADY_EXISTS: PreconditionFailed,
    StatusCode.FAILED_PRECONDITION: PreconditionFailed,
    StatusCode.NOT_FOUND: PreconditionFailed,
}


@pytest.mark.parametrize("code", EXPECTED, ids=lambda code: str(code.name))
def test_each_status_code_has_its_meaning(code: StatusCode) -> None:
    """A failed commit means what its code says; only with a precondition in it can one have failed."""
    error = Failure(code)
    assert type(translate(error, conditional=True)) is EXPECTED[code]
    unconditional = PermanentError if EXPECTED[code] is PreconditionFailed else EXPECTED[code]
    assert type(translate(error, conditional=False)) is unconditional


def test_every_status_code_is_judged() -> None:
    """The table above leaves out no code that a failure can have."""
    assert set(StatusCode) - EXPECTED.keys() == {StatusCode.OK}


def test_a_store_that_is_away_is_transient() -> None:
    """Every call to a port where nothing listens is a transient failure."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: the port answers nobody and nobody else gets it
        store = FirestoreStore("ion-test", emulator_host=f"127.0.0.1:{taken.getsockname()[1]}")
        for call in (lambda: store.get(["a/1"]), lambda: store.list("a"), lambda: store.commit([Put("a/1", {})])):
            with pytest.raises(TransientError, match="store_unavailable"):
                call()
        store.close()


class Relay:
    """Passes bytes on between clients and a port, on connections of which some can go silent, open as they are."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._silent: set[socket.socket] = set()
        self.connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def host(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def go_silent(self) -> None:
        """Pass nothing on of the connections there are."""
        self._silent.update(self.connections)

    def close(self) -> None:
        """End everything."""
        self._listener.close()
        for one in self.connections:
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                self.connections += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if source not in self._silent:
                    target.sendall(data)


def test_a_connection_that_goes_silent_is_left(firestore_host: Emulator) -> None:
    """After a call that ran out of time on a silent connection, the next ones have another connection."""
    relay = Relay(firestore_host.port)
    store = FirestoreStore(
        f"{firestore_host.project}-silent", emulator_host=relay.host, commit_timeout_seconds=1, read_timeout_seconds=1
    )
    for call in (lambda: store.commit([Put("a/1", {})]), lambda: store.get(["a/1"])):
        assert _tries(call) is not None
        before = len(relay.connections)
        relay.go_silent()
        assert _tries(call) is not None
        assert len(relay.connections) > before
    store.close()
    relay.close()


def _tries(call: Callable[[], object]) -> int | None:
    """Which try of ten succeeds first; a loaded machine may need more than one, a silent connection none."""
    for number in range(10):
        with suppress(TransientError):
            call()
            return number
    return None
