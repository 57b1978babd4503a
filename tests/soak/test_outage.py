"""What a server's absence does to the clients of it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise

import pytest

from shared.adapters.firestore_store import FirestoreStore
from shared.adapters.pubsub_bus import PubSubBus
from shared.errors import TransientError
from shared.store import Put

pytestmark = pytest.mark.soak

ATTEMPTS = 9


def _commits(host: str) -> tuple[Callable[[], object], Callable[[], None]]:
    store = FirestoreStore("ion-test", emulator_host=host)
    return lambda: store.commit([Put("a/1", {})]), store.close


def _publishes(host: str) -> tuple[Callable[[], object], Callable[[], None]]:
    bus = PubSubBus("ion-test", host, deadline_seconds=0.5)
    return lambda: bus.publish("topic", b"x"), bus.close


@pytest.mark.parametrize("client", [_commits, _publishes])
def test_a_server_that_was_away_is_asked_for_again_within_seconds(
    client: Callable[[str], tuple[Callable[[], object], Callable[[], None]]],
) -> None:
    """However long a server was away, a client does not wait much more than two seconds between two attempts.

    Left alone it waits longer each time, ten seconds and more at the eighth, until it is two minutes.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        call, close = client(f"127.0.0.1:{listener.getsockname()[1]}")
        attempts: list[float] = []

        def hang_up() -> None:
            while len(attempts) < ATTEMPTS:
                listener.accept()[0].close()
                attempts.append(time.monotonic())

        thread = threading.Thread(target=hang_up)
        thread.start()
        while thread.is_alive():
            with suppress(TransientError):
                call()
            thread.join(0.05)
        close()
    assert min(after - before for before, after in list(pairwise(attempts))[-3:]) < 5.0
