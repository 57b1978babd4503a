"""The threads that push from the in-process bus: what they deliver, how many run at once, and that they end."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from shared.adapters.broker import Delivery
from shared.adapters.local_bus import LocalBus, LocalBusRunner
from shared.bus import Message, RetryPolicy, Subscription
from shared.errors import ConfigError
from tests.bus_contract import FUNCTION, Function
from tests.local_bench import PUSH, Clock, local_bus

SOON_SECONDS = 20.0
"""Far more than a thread needs here; nothing waits that long unless it fails."""


def _wall_clock() -> datetime:
    return datetime.now(UTC)


def _wait(event: threading.Event) -> None:
    assert event.wait(SOON_SECONDS)


FAST = RetryPolicy(minimum_seconds=0.001, maximum_seconds=0.002)


class Runs:
    """Starts runners and stops each at the end of the test, checking that its threads end."""

    def __init__(self) -> None:
        self.failures: list[tuple[str, str]] = []
        self._runners: list[LocalBusRunner] = []

    def start(self, bus: LocalBus, workers: int = 2, **handlers: Callable[[Message], None]) -> LocalBusRunner:
        """A started runner on a bus; each handler is named as the ``push`` it serves."""
        adapted = {name: lambda message, _, one=one: one(message) for name, one in handlers.items()}
        runner = LocalBusRunner(bus, adapted, self._failed, workers=workers)
        self._runners.append(runner)
        runner.start()
        return runner

    def stop_all(self) -> None:
        """Stop every runner."""
        stopped = [runner.stop(SOON_SECONDS) for runner in self._runners]
        assert all(stopped)

    def _failed(self, delivery: Delivery, error: Exception) -> None:
        self.failures.append((delivery.subscription.name, str(error)))


@pytest.fixture
def runs() -> Iterator[Runs]:
    """Runners that end with the test."""
    runs = Runs()
    yield runs
    runs.stop_all()


def test_the_runner_delivers_what_is_published_later(runs: Runs) -> None:
    """Workers that sleep on an empty bus wake for a publish, deliver it, and leave the bus idle."""
    bus = local_bus(_wall_clock, PUSH)
    seen: list[bytes] = []
    runs.start(bus, function=lambda message: seen.append(message.data))
    bus.publish("topic", b"x")
    assert bus.wait_until_idle(SOON_SECONDS)
    assert seen == [b"x"]


def test_an_exception_is_a_nack_that_the_hook_hears_of(runs: Runs) -> None:
    """A handler that raises twice gets its message three times, and each failure is reported."""
    bus = local_bus(_wall_clock, Subscription("push", "topic", FUNCTION, retry=FAST))
    function = Function(failures=2)

    def handle(message: Message) -> None:
        if not function(message, 0.0):
            raise ValueError("no")

    runs.start(bus, function=handle)
    bus.publish("topic", b"x")
    assert bus.wait_until_idle(SOON_SECONDS)
    assert len(function.messages) == 3
    assert runs.failures == [("push", "no")] * 2


def test_at_most_the_given_number_run_at_once(runs: Runs) -> None:
    """With three workers three deliveries meet, and no fourth begins while they are under way."""
    bus = local_bus(_wall_clock, PUSH)
    met, most, lock = threading.Barrier(3, timeout=SOON_SECONDS), [0, 0], threading.Lock()

    def handle(_: Message) -> None:
        with lock:
            most[0] += 1
            most[1] = max(most)
        met.wait()
        with lock:
            most[0] -= 1

    runs.start(bus, workers=3, function=handle)
    for _ in range(9):
        bus.publish("topic", b"x")
    assert bus.wait_until_idle(SOON_SECONDS)
    assert most[1] == 3
    assert not runs.failures


def test_a_stuck_subscription_holds_up_no_other(runs: Runs) -> None:
    """While every worker of one subscription hangs, another subscription's messages are delivered."""
    bus = local_bus(_wall_clock, PUSH, Subscription("other", "topic", "other"))
    release, served = threading.Event(), threading.Semaphore(0)
    runs.start(bus, function=lambda _: _wait(release), other=lambda _: served.release())
    for _ in range(5):
        bus.publish("topic", b"x")
    assert all(served.acquire(timeout=SOON_SECONDS) for _ in range(5))
    assert bus.undelivered()["push"] == 5
    release.set()
    assert bus.wait_until_idle(SOON_SECONDS)


def test_an_overlong_delivery_is_made_again(runs: Runs) -> None:
    """A handler still busy at its ack deadline gets the message a second time, in parallel, as from Pub/Sub."""
    clock = Clock()
    bus = local_bus(clock, PUSH)
    met = threading.Barrier(3, timeout=SOON_SECONDS)
    begun = threading.Semaphore(0)

    def handle(_: Message) -> None:
        begun.release()
        met.wait()

    runs.start(bus, function=handle)
    bus.publish("topic", b"x")
    assert begun.acquire(timeout=SOON_SECONDS)
    clock.advance(PUSH.ack_deadline_seconds + PUSH.retry.minimum_seconds)
    bus.wake()
    assert begun.acquire(timeout=SOON_SECONDS)
    met.wait()
    assert bus.wait_until_idle(SOON_SECONDS)


def test_a_dead_letter_of_an_ended_lease_wakes_its_subscriber(runs: Runs) -> None:
    """When anyone notices that the last lease has ended, the dead-letter topic's sleeping workers deliver the copy."""
    clock = Clock()
    grave = Subscription("grave", "dead", "grave")
    bus = local_bus(clock, Subscription("push", "topic", FUNCTION, "dead", max_attempts=1), grave)
    begun, buried = threading.Event(), threading.Event()

    def hang(_: Message) -> None:
        begun.set()
        _wait(buried)

    runs.start(bus, workers=1, function=hang, grave=lambda _: buried.set())
    bus.publish("topic", b"x")
    _wait(begun)
    clock.advance(PUSH.ack_deadline_seconds)
    assert bus.undelivered()["push"] == 0
    _wait(buried)


def test_stop_ends_sleeping_threads_at_once(runs: Runs) -> None:
    """Workers that sleep until a backoff of ten minutes ends stop without it, and the message stays on the bus."""
    slow = RetryPolicy(minimum_seconds=600.0)
    bus = local_bus(_wall_clock, Subscription("push", "topic", FUNCTION, retry=slow))
    failed = threading.Event()

    def handle(_: Message) -> None:
        failed.set()
        raise ValueError("no")

    before = threading.active_count()
    runner = runs.start(bus, function=handle)
    bus.publish("topic", b"x")
    assert failed.wait(SOON_SECONDS)
    assert runner.stop(SOON_SECONDS)
    assert bus.undelivered() == {"push": 1}
    assert not bus.is_idle()
    assert not bus.wait_until_idle(0.0)
    assert threading.active_count() == before


def test_stop_tells_of_a_delivery_that_outlasts_it(runs: Runs) -> None:
    """With a delivery under way ``stop`` gives up in time and says so; the delivery still completes and acks."""
    bus = local_bus(_wall_clock, PUSH)
    begun, release = threading.Event(), threading.Event()

    def handle(_: Message) -> None:
        begun.set()
        _wait(release)

    runner = runs.start(bus, function=handle)
    bus.publish("topic", b"x")
    assert begun.wait(SOON_SECONDS)
    assert not runner.stop(0.01)
    release.set()
    assert bus.wait_until_idle(SOON_SECONDS)


def test_a_push_without_a_handler_is_refused() -> None:
    """A runner for a push name that has no handler is a configuration error naming it."""
    with pytest.raises(ConfigError, match="no handler 'function'"):
        LocalBusRunner(local_bus(Clock(), PUSH), {}, lambda *_: None)


def test_many_threads_lose_and_invent_nothing(runs: Runs) -> None:
    """Four publishers against failing workers: every message succeeds exactly once in time, none is left."""
    bus = local_bus(_wall_clock, Subscription("push", "topic", FUNCTION, retry=FAST), max_held_bytes=10_000_000)
    seen: list[bytes] = []
    rng = random.Random(7)

    def handle(message: Message) -> None:
        if rng.random() < 0.3:
            raise ValueError("no")
        seen.append(message.data)

    def publish(publisher: int) -> None:
        for i in range(100):
            bus.publish("topic", b"%d-%d" % (publisher, i))

    runs.start(bus, workers=4, function=handle)
    publishers = [threading.Thread(target=publish, args=(number,)) for number in range(4)]
    for thread in publishers:
        thread.start()
    for thread in publishers:
        thread.join()
    assert bus.wait_until_idle(SOON_SECONDS)
    assert sorted(seen) == sorted(b"%d-%d" % (publisher, i) for publisher in range(4) for i in range(100))
    assert len(runs.failures) > 50
