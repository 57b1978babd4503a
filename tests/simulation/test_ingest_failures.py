"""Ingest under misfortune: every store and bus call fails in turn, in every way, before and after its effect.

Each message is delivered while the n-th call of ingest's ports fails, for every n, and comes again until it is
acknowledged. What is left is compared with what an undisturbed delivery leaves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import pytest

from shared import buckets, ingest
from shared.adapters import message_limits
from shared.adapters.sqlite_store import SqliteStore
from shared.adapters.strict_store import StrictStore
from shared.bus import REASON_ATTRIBUTE, Message
from shared.errors import PermanentError, TransientError
from shared.identity import identify, rejection
from shared.redrive import redrive
from shared.store import MAX_DOCUMENT_BYTES, Fields, Put
from shared.timeline import iso, minute_of_us, to_us
from tests.events import otlp_make
from tests.fakes import START, Clock, Countdown, CountingStore, Crash, Unexpected
from tests.otel import export, message_of
from tests.world import World, point

MAX_CALLS = 20
LETTERS = "metrics-dead-letter-pull"
EXEMPT = ("writers/*", "late/*")
REFUSED = "store_refused"
NOW = START + timedelta(seconds=40)
FAILURES: dict[str, Callable[[], BaseException]] = {
    "crash": Crash,
    "transient": lambda: TransientError("unavailable", "injected"),
    "unexpected": Unexpected,
    "refused": lambda: PermanentError(REFUSED, "injected"),
}


@dataclass(frozen=True, slots=True)
class Sent:
    """A message, the reason of its dead letter if it has one, and what its writer's document holds already."""

    data: bytes
    attributes: Mapping[str, str]
    reason: str = ""
    held: bytes = b""


def _json(*points: Mapping[str, Any], **envelope: object) -> bytes:
    return json.dumps({"version": 1, "points": points, **envelope}).encode()


def _sound() -> Sent:
    return Sent(_json(point("users_active", NOW, 1.0), writer="w", seq=1), {})


def _late() -> Sent:
    return Sent(_json(*(point("users_active", NOW - timedelta(hours=hours), 1.0) for hours in range(3))), {})


def _refused() -> Sent:
    return Sent(b'{"version": 1}', {"from": "test"}, "malformed_message")


def _partly_refused() -> Sent:
    data, attributes = message_of(export(otlp_make.record, delta=False, at_ns=_ns(NOW)), "protobuf")
    return Sent(data, attributes, "cumulative_temporality")


def _partly_too_old() -> Sent:
    old = point("users_active", NOW - timedelta(hours=73), 1.0)
    return Sent(_json(point("users_active", NOW, 1.0), old), {}, "point_too_old")


def _many_parts() -> Sent:
    points = [point(f"m{at}", NOW, 1.1 * at, key=str(at)) for at in range(40)]
    return Sent(_json(*points, writer="w", seq=1), {})


def _many_commits() -> Sent:
    return Sent(_json(*(point("users_active", START - timedelta(minutes=at), 1.0) for at in range(11))), {})


def _full_document() -> Sent:
    """Its document has no room for it beside what another process sent under the same name and numbers."""
    return Sent(_sound().data, {}, held=bytes(MAX_DOCUMENT_BYTES - 190))


MESSAGES = {
    make.__name__.strip("_"): make
    for make in (
        _sound, _late, _refused, _partly_refused, _partly_too_old, _many_parts, _many_commits, _full_document,
    )
}  # fmt: skip


def _ns(at: datetime) -> int:
    return to_us(at) * 1000


@pytest.fixture(autouse=True)
def small_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four writes fill a commit, and a thousand bytes a chunk, so that small messages take several of each."""
    for module in (buckets, ingest):
        monkeypatch.setattr(module, "MAX_WRITES", 4)
    monkeypatch.setattr(buckets, "MAX_CHUNK_BYTES", 1000)


@cache
def _sent(name: str) -> Sent:
    return MESSAGES[name]()


class Bench:
    """A deployment on a store that counts what is written, after one publish of a message."""

    def __init__(self, sent: Sent) -> None:
        self.sent = sent
        self.clock = Clock(NOW)
        self.store = CountingStore(StrictStore(SqliteStore(":memory:", self.clock, "OFF"), self.clock, EXEMPT))
        self.world = World(self.store, self.clock)
        if sent.held:
            self._hold(sent.held)
        self.world.bus.publish("metrics", sent.data, sent.attributes)

    def _hold(self, held: bytes) -> None:
        document = identify(self.sent.data, "w", "", 1).document
        fields = {"c": {"s1_held": held}, "writer": "w", "boot": "", "expires_at": NOW + timedelta(hours=80)}
        self.store.commit([Put(f"{buckets.writers_of(minute_of_us(to_us(NOW)))}/{document}", fields)])

    def deliver(self, countdown: Countdown) -> None:
        """Deliver once on ports that fail, then on sound ones until the message is acknowledged."""
        self.world.deliver(self.world.crashing(countdown))
        self.world.settle_deliveries()
        assert self.world.bus.is_idle()

    def buckets(self) -> dict[str, Fields]:
        """All that is stored of the message; not that it was rejected."""
        paths = [path for path in self.store.written if path.startswith("buckets/")]
        found = {path: document.fields for path, document in self.store.get(paths).items()}
        return {path: fields for path, fields in found.items() if rejection(self.sent.data).wid not in path}

    def late(self) -> set[str]:
        """The minutes that are marked as late, each with its writer."""
        return {one.id for one in self.store.list("late").documents if rejection(self.sent.data).wid not in one.id}

    def rejections(self) -> int:
        """How often the message was counted as rejected."""
        paths = [path for path in self.store.written if rejection(self.sent.data).wid in path and "late/" not in path]
        return sum(len(document.fields["c"]) for document in self.store.get(paths).values())

    def letters(self) -> list[Message]:
        """The dead letters, which stay where they are."""
        letters = self.world.bus.pull(LETTERS, 100)
        self.world.bus.nack(LETTERS, [one.ack_id for one in letters])
        self.clock.sleep(600)
        return [one.message for one in letters]


@cache
def _undisturbed(name: str) -> Bench:
    bench = Bench(_sent(name))
    bench.deliver(Countdown())
    return bench


def _disturbed(name: str, failure: str, *, after: bool) -> Iterator[tuple[Bench, Countdown]]:
    """The message delivered once for each call that fails."""
    for call in range(MAX_CALLS):
        bench, countdown = Bench(_sent(name)), Countdown(call, after=after, failure=FAILURES[failure])
        bench.deliver(countdown)
        if countdown.calls <= call:
            assert call >= 1, "no call was made"
            return
        yield bench, countdown
    pytest.fail(f"more than {MAX_CALLS} calls")


@pytest.mark.parametrize("name", MESSAGES)
def test_an_undisturbed_delivery_leaves_what_it_should(name: str) -> None:
    """Each message stores something or is dead-lettered whole with its reason and counted once, or both."""
    bench, sent = _undisturbed(name), _sent(name)
    assert bool(bench.buckets()) == (name != "refused")
    assert [one.attributes[REASON_ATTRIBUTE] for one in bench.letters()] == ([sent.reason] if sent.reason else [])
    assert bench.rejections() == bool(sent.reason)


def test_every_kind_of_call_is_among_them() -> None:
    """Commits of chunks in several parts and documents, of markers and of counts, and publishes of letters."""
    calls = {}
    for name in MESSAGES:
        countdown = Countdown()
        Bench(_sent(name)).deliver(countdown)
        calls[name] = countdown.calls
    assert calls == {
        "sound": 1, "late": 2, "refused": 2, "partly_refused": 3, "partly_too_old": 3, "many_parts": 1,
        "many_commits": 6, "full_document": 2,
    }  # fmt: skip


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("failure", [name for name in FAILURES if name != "refused"])
@pytest.mark.parametrize("name", MESSAGES)
def test_a_failure_at_any_call_changes_nothing(name: str, failure: str, after: bool) -> None:
    """After redelivery the store holds what it would, late minutes are marked, and letters are there iff they should.

    A letter may be there more than once; the message is counted as rejected once.
    """
    clean, sent = _undisturbed(name), _sent(name)
    for bench, _ in _disturbed(name, failure, after=after):
        assert bench.buckets() == clean.buckets()
        assert bench.late() >= clean.late()
        assert {(one.data, one.attributes[REASON_ATTRIBUTE]) for one in bench.letters()} == (
            {(sent.data, sent.reason)} if sent.reason else set()
        )
        assert bench.rejections() == bool(sent.reason)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", MESSAGES)
def test_a_refusal_at_any_call_loses_nothing(name: str, after: bool) -> None:
    """A store or bus that refuses for good leaves the whole message in the store or in a letter that can be redriven.

    Redriven, it counts once; what ingest adds of its own is tried again instead.
    """
    clean, sent = _undisturbed(name), _sent(name)
    for bench, _ in _disturbed(name, "refused", after=after):
        letters = bench.letters()
        assert {one.data for one in letters} <= {sent.data}
        assert {one.attributes[REASON_ATTRIBUTE] for one in letters} <= {REFUSED, sent.reason}
        assert letters or (bench.buckets() == clean.buckets() and not sent.reason)
        redrive(bench.world.bus, LETTERS, "metrics", 100, now=bench.world.clock())
        bench.world.settle_deliveries()
        assert bench.buckets() == clean.buckets()
        assert bench.late() >= clean.late()
        assert bench.rejections() == bool(letters)


@pytest.fixture
def small_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bus takes a thousand bytes a message."""
    monkeypatch.setattr(message_limits, "MAX_MESSAGE_BYTES", 1000)


@pytest.mark.usefixtures("small_bus")
def test_a_dead_letter_without_room_for_its_reason_is_left_to_the_bus() -> None:
    """A message as large as the bus takes is retried, counted once, and after the last attempt forwarded whole."""
    data = bytes(980)
    bench = Bench(Sent(data, {"content-type": "none"}))
    bench.world.settle_deliveries()
    (letter,) = bench.letters()
    assert letter.data == data
    assert REASON_ATTRIBUTE not in letter.attributes
    assert letter.first_publish_time() == NOW
    assert bench.rejections() == 1


@pytest.mark.usefixtures("small_bus")
def test_a_large_dead_letter_says_why_and_how_to_read_it() -> None:
    """Where there is no room for all attributes, the letter has the reason and what tells the format."""
    data = bytes(800)
    bench = Bench(Sent(data, {"content-type": "application/vnd.ion.chunk", "more": "x" * 150}))
    bench.world.settle_deliveries()
    (letter,) = bench.letters()
    assert letter.data == data
    assert letter.attributes.keys() == {"content-type", "ion_publish_time", REASON_ATTRIBUTE}
    assert letter.attributes["ion_publish_time"] == iso(NOW)
    assert letter.attributes[REASON_ATTRIBUTE] == "unknown_version"
