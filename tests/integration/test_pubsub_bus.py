"""The Pub/Sub bus against the real emulator, which pushes to a small HTTP server."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from shared.adapters.pubsub_bus import PubSubBus, create_resources
from shared.adapters.pubsub_http import HttpTopic
from shared.bus import Bus
from shared.errors import ConfigError, PermanentError, TransientError
from shared.push import message_from_cloud_event
from tests.bus_contract import FUNCTION, Bench, BusContract, Function, Names
from tests.emulators import Emulator

_NUMBERS = itertools.count()
_LIMIT_SECONDS = 60.0
_LOOK_EVERY_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class _Event:
    data: Any


@contextmanager
def served(function: Function) -> Iterator[str]:
    """The URL of an HTTP server that answers 204 or 500 as a function succeeds or fails."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            succeeded = function(message_from_cloud_event(_Event(body)), time.monotonic())
            self.send_response(204 if succeeded else 500)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


class PubSubBench(Bench):
    """The emulator's bus, in real time."""

    def __init__(self, bus: Bus, names: Names, function: Function) -> None:
        self.bus = bus
        self.names = names
        self.function = function

    def now(self) -> datetime:
        """The machine's clock, which the emulator reads too."""
        return datetime.now(UTC)

    def let_pass(self, seconds: float) -> None:
        """Wait: the emulator has no other clock."""
        time.sleep(seconds)

    def until(self, condition: Callable[[], object]) -> None:
        """Look often."""
        give_up = time.monotonic() + _LIMIT_SECONDS
        while not condition():
            assert time.monotonic() < give_up, "it did not happen in time"
            time.sleep(_LOOK_EVERY_SECONDS)


@pytest.fixture
def names() -> Names:
    """Names that no other test of the session uses."""
    return Names(f"bus-{next(_NUMBERS)}")


@pytest.fixture
def bus(pubsub_host: Emulator) -> Iterator[PubSubBus]:
    """A bus on the emulator."""
    bus = PubSubBus(pubsub_host.project, pubsub_host.host, pull_wait_seconds=1.0)
    yield bus
    bus.close()


def _create(emulator: Emulator, names: Names, url: str) -> None:
    topics = [names.topic, names.dead_topic]
    create_resources(emulator.project, emulator.host, topics, names.subscriptions(), {FUNCTION: url})


class TestPubSubBus(BusContract):
    """The contract, kept by Pub/Sub itself."""

    @pytest.fixture
    def bench(self, bus: PubSubBus, names: Names, pubsub_host: Emulator) -> Iterator[Bench]:
        """Subscriptions of this test's own."""
        function = Function()
        with served(function) as url:
            _create(pubsub_host, names, url)
            yield PubSubBench(bus, names, function)


def test_creating_resources_again_moves_the_push_endpoint(bus: PubSubBus, names: Names, pubsub_host: Emulator) -> None:
    """A second creation is no error and sends what is published from then on to the new URL alone."""
    before, after = Function(), Function()
    with served(before) as old, served(after) as new:
        _create(pubsub_host, names, old)
        _create(pubsub_host, names, new)
        bus.publish(names.topic, b"x")
        PubSubBench(bus, names, after).until(lambda: after.messages)
    assert not before.messages


def test_a_push_without_an_endpoint_is_refused_by_name(names: Names, pubsub_host: Emulator) -> None:
    """A push name that has no URL is a configuration error naming it, before anything is created."""
    with pytest.raises(ConfigError, match=f"no URL is given for '{FUNCTION}'"):
        create_resources(pubsub_host.project, pubsub_host.host, [names.topic], names.subscriptions(), {})


def test_a_subscription_to_no_topic_is_a_permanent_error(names: Names, pubsub_host: Emulator) -> None:
    """Creating a subscription whose topic is missing is refused as ``unknown_topic``."""
    with pytest.raises(PermanentError) as refused:
        create_resources(pubsub_host.project, pubsub_host.host, [], names.subscriptions()[1:2], {})
    assert refused.value.reason == "unknown_topic"


@pytest.mark.parametrize("verb", ["publish", "pull", "ack", "nack"])
def test_an_absent_server_is_transient_within_the_deadline(verb: str) -> None:
    """Each verb gives up on a server that is not there within its deadline, not gRPC's minutes, as transient."""
    bus = PubSubBus("ion-test", "127.0.0.1:1", deadline_seconds=0.5, pull_wait_seconds=0.5)
    calls: dict[str, Callable[[], object]] = {
        "publish": lambda: bus.publish("topic", b"x"),
        "pull": lambda: bus.pull("subscription", 1),
        "ack": lambda: bus.ack("subscription", ["id"]),
        "nack": lambda: bus.nack("subscription", ["id"]),
    }
    began = time.monotonic()
    with pytest.raises(TransientError) as failed:
        calls[verb]()
    assert failed.value.reason in {"unavailable", "deadline_exceeded"}
    assert time.monotonic() - began < 5.0
    bus.close()


def test_what_a_service_publishes_over_http(bus: PubSubBus, names: Names, pubsub_host: Emulator) -> None:
    """A client's message is pushed with its bytes and attributes; a topic that is not there may be made meanwhile."""
    function = Function()
    topic = HttpTopic(pubsub_host.project, names.topic, time.monotonic, host=pubsub_host.host)
    with pytest.raises(TransientError) as failed:
        topic(b"x", {})
    assert failed.value.reason == "unknown_topic"
    with served(function) as url:
        _create(pubsub_host, names, url)
        topic(bytes(range(256)), {"content-type": "application/vnd.ion.chunk"})
        PubSubBench(bus, names, function).until(lambda: function.messages)
    topic.close()
    (message,) = function.messages
    assert (message.data, message.attributes["content-type"]) == (bytes(range(256)), "application/vnd.ion.chunk")


def test_a_closed_bus_connects_again(bus: PubSubBus, names: Names, pubsub_host: Emulator) -> None:
    """After ``close`` the next call opens a new connection."""
    create_resources(pubsub_host.project, pubsub_host.host, [names.topic], [], {})
    first = bus.publish(names.topic, b"x")
    bus.close()
    assert bus.publish(names.topic, b"x") != first
