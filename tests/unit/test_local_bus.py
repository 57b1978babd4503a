"""The in-process bus: the bus contract, its exact times, its bounds, and that no failure loses a message."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from shared.adapters.broker import OVERHEAD_BYTES, Delivery
from shared.adapters.local_bus import LocalBus, LocalBusRunner
from shared.bus import Message, Received, RetryPolicy, Subscription
from shared.errors import ConfigError, PermanentError, TransientError
from tests.bus_contract import FUNCTION, Bench, BusContract, Function, Names

START = datetime(2025, 10, 18, 12, 0, tzinfo=UTC)
SOON_SECONDS = 20.0
"""Far more than a thread needs here; nothing waits that long unless it fails."""


class Clock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.instant = START

    def __call__(self) -> datetime:
        """The time, aware UTC."""
        return self.instant

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.instant += timedelta(seconds=seconds)


class LocalBench(Bench):
    """The in-process bus, stepped by hand through virtual time."""

    def __init__(self, names: Names) -> None:
        self.clock = Clock()
        self.rng = random.Random(1)
        self.names = names
        self.function = Function()
        self.bus = self.local = LocalBus([names.topic, names.dead_topic], names.subscriptions(), self.clock)

    def now(self) -> datetime:
        """Virtual time."""
        return self.clock()

    def let_pass(self, seconds: float) -> None:
        """Deliver, a tenth of a second at a time."""
        for _ in range(round(seconds * 10)):
            self._deliver()
            self.clock.advance(0.1)

    def until(self, condition: Callable[[], object]) -> None:
        """Deliver, a tenth of a second at a time."""
        for _ in range(600):
            self._deliver()
            if condition():
                return
            self.clock.advance(0.1)
        raise AssertionError("it did not happen in time")

    def _deliver(self) -> None:
        while (delivery := self.local.step(self.rng)) is not None:
            at_seconds = (self.clock() - START).total_seconds()
            succeeded = self.function(delivery.received.message, at_seconds)
            settle = self.bus.ack if succeeded else self.bus.nack
            settle(delivery.subscription.name, [delivery.received.ack_id])


class TestLocalBus(BusContract):
    """The contract, kept in the process."""

    @pytest.fixture
    def bench(self) -> Bench:
        """A bus of this test's own."""
        return LocalBench(Names("bus"))


PUSH = Subscription("push", "topic", push=FUNCTION)
PULL = Subscription("pull", "topic")


def _bus(clock: Callable[[], datetime], *subscriptions: Subscription, max_held_bytes: int = 1_000_000) -> LocalBus:
    return LocalBus(["topic", "dead"], subscriptions, clock, max_held_bytes=max_held_bytes)


def _pull_one(bus: LocalBus, subscription: str = "pull") -> Received:
    (received,) = bus.pull(subscription, 1)
    return received


def _begin(bus: LocalBus) -> Delivery:
    delivery = bus.step(random.Random(0))
    assert delivery is not None
    return delivery


def test_nacked_deliveries_back_off_from_ten_seconds_to_ten_minutes() -> None:
    """The pauses after failures 1, 2, ... are 10, 20, 40, ... and at most 600 seconds, exactly."""
    clock = Clock()
    bus = _bus(clock, PULL)
    bus.publish("topic", b"x")
    pauses = []
    for _ in range(8):
        bus.nack("pull", [_pull_one(bus).ack_id])
        began = clock()
        while not (received := bus.pull("pull", 1)):
            clock.advance(5.0)
        pauses.append((clock() - began).total_seconds())
        bus.repeat(Delivery(PULL, received[0]))
    assert pauses == [10, 20, 40, 80, 160, 320, 600, 600]


def test_a_lease_ends_at_its_deadline_and_then_backs_off() -> None:
    """Unacked for exactly its deadline, a delivery has failed: the message is due one backoff later, not before."""
    clock = Clock()
    bus = _bus(clock, PULL)
    bus.publish("topic", b"x")
    first = _pull_one(bus)
    clock.advance(PULL.ack_deadline_seconds + 9.999999)
    assert not bus.pull("pull", 1)
    clock.advance(0.000001)
    assert _pull_one(bus).message == first.message


def test_an_ack_in_time_settles_and_one_too_late_does_not() -> None:
    """One microsecond before the deadline an ack settles; at the deadline it no longer does."""
    for early_seconds, left in ((0.000001, 0), (0.0, 1)):
        clock = Clock()
        bus = _bus(clock, PULL)
        bus.publish("topic", b"x")
        received = _pull_one(bus)
        clock.advance(PULL.ack_deadline_seconds - early_seconds)
        bus.ack("pull", [received.ack_id])
        assert bus.undelivered() == {"pull": left}


def test_attempts_are_counted_only_with_a_dead_letter_topic() -> None:
    """As Pub/Sub does, the delivery attempt is 1, 2, ... with a dead-letter topic and 0 without one."""
    clock = Clock()
    counted = Subscription("counted", "topic", dead_letter_topic="dead")
    bus = _bus(clock, PULL, counted)
    bus.publish("topic", b"x")
    seen = []
    for _ in range(2):
        for name in ("pull", "counted"):
            received = _pull_one(bus, name)
            seen.append(received.delivery_attempt)
            bus.nack(name, [received.ack_id])
        clock.advance(10.0)
    assert seen == [0, 1, 0, 2]


def test_a_push_subscription_cannot_be_pulled() -> None:
    """Pulling a push subscription is refused as Pub/Sub refuses it."""
    with pytest.raises(PermanentError) as refused:
        _bus(Clock(), PUSH).pull("push", 1)
    assert refused.value.reason == "failed_precondition"


def test_a_full_bus_refuses_what_it_cannot_hold() -> None:
    """A publish beyond the bound, counted once for each subscription, is transient and succeeds after an ack."""
    size_bytes = 100 + OVERHEAD_BYTES
    bus = _bus(Clock(), PULL, Subscription("second", "topic"), max_held_bytes=3 * size_bytes)
    bus.publish("topic", bytes(100))
    with pytest.raises(TransientError) as refused:
        bus.publish("topic", bytes(100))
    assert refused.value.reason == "bus_full"
    assert bus.undelivered() == {"pull": 1, "second": 1}
    bus.ack("pull", [_pull_one(bus).ack_id])
    bus.publish("topic", bytes(100))
    assert bus.undelivered() == {"pull": 1, "second": 2}


def test_a_full_bus_still_moves_a_dead_letter() -> None:
    """A dead letter replaces a held message, so a bus filled to the last byte does not lose it."""
    fatal = Subscription("pull", "topic", dead_letter_topic="dead", max_attempts=1)
    bus = _bus(Clock(), fatal, Subscription("dead", "dead"), max_held_bytes=1 + OVERHEAD_BYTES)
    bus.publish("topic", b"x")
    bus.nack("pull", [_pull_one(bus).ack_id])
    assert _pull_one(bus, "dead").message.data == b"x"
    assert bus.undelivered() == {"pull": 0, "dead": 1}


@pytest.mark.parametrize(
    ("subscriptions", "words"),
    [
        ([Subscription("a", "nowhere")], "no topic 'nowhere'"),
        ([Subscription("a", "topic", dead_letter_topic="nowhere")], "no topic 'nowhere'"),
        ([Subscription("a", "topic"), Subscription("a", "topic")], "the name is taken"),
    ],
    ids=["topic", "dead-letter-topic", "name"],
)
def test_a_topology_that_cannot_work_is_refused(subscriptions: list[Subscription], words: str) -> None:
    """A missing topic and a doubled name are configuration errors when the bus is made."""
    with pytest.raises(ConfigError, match=words):
        _bus(Clock(), *subscriptions)


def test_no_order_is_kept() -> None:
    """Different seeds deliver the same three messages in every one of their six orders."""
    orders = set()
    for seed in range(60):
        bus, rng = _bus(Clock(), PUSH), random.Random(seed)
        for data in (b"a", b"b", b"c"):
            bus.publish("topic", data)
        deliveries = iter(lambda bus=bus, rng=rng: bus.step(rng), None)  # type: ignore[misc]
        orders.add(tuple(one.received.message.data for one in deliveries if one is not None))
    assert len(orders) == 6


def test_a_repeated_delivery_is_a_parallel_duplicate() -> None:
    """After ``repeat`` the same message is under way twice, and only the later ack settles it."""
    bus = _bus(Clock(), PUSH)
    bus.publish("topic", b"x")
    first = _begin(bus)
    bus.repeat(first)
    second = _begin(bus)
    assert second.received.message == first.received.message
    bus.ack("push", [first.received.ack_id])
    assert not bus.is_idle()
    bus.ack("push", [second.received.ack_id])
    assert bus.is_idle()


def test_next_due_is_the_next_thing_to_happen_to_a_push() -> None:
    """It is the publish, then the end of the lease, then the end of the backoff, then nothing."""
    clock = Clock()
    bus = _bus(clock, PUSH, PULL)
    bus.publish("topic", b"x")
    assert bus.next_due() == START
    delivery = _begin(bus)
    assert bus.next_due() == START + timedelta(seconds=PUSH.ack_deadline_seconds)
    bus.nack("push", [delivery.received.ack_id])
    assert bus.next_due() == START + timedelta(seconds=10)
    clock.advance(10.0)
    bus.ack("push", [_begin(bus).received.ack_id])
    assert bus.next_due() is None


class Storm:
    """A seeded run in which deliveries fail, crash, come twice, out of order and late; then a calm that drains it."""

    HELD_BYTES = 40 * OVERHEAD_BYTES
    RETRY = RetryPolicy(minimum_seconds=1.0, maximum_seconds=8.0)

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.clock = Clock()
        self.subscriptions = [
            Subscription("guarded", "topic", FUNCTION, "dead", 5, self.RETRY, 5),
            Subscription("endless", "topic", FUNCTION, None, 5, self.RETRY, 5),
            Subscription("pulled", "topic", None, "dead", 5, self.RETRY, 5),
        ]
        self.bus = _bus(self.clock, *self.subscriptions, Subscription("dead", "dead"), max_held_bytes=self.HELD_BYTES)
        self.published: set[bytes] = set()
        self.acked: set[tuple[str, bytes]] = set()
        self.dead: set[tuple[str, bytes]] = set()
        self.refused = 0
        self.under_way: list[tuple[str, Received]] = []

    def run(self) -> None:
        """Storm for 400 actions, then drain."""
        for _ in range(400):
            self.rng.choice([self._publish, self._begin, self._begin, self._settle, self._settle, self._pass_time])()
        while any(self.bus.undelivered().values()):
            self.clock.advance(1.0)
            self._begin()
            self._collect_dead()
            for name, received in self.under_way:
                self._ack(name, received)
            self.under_way.clear()

    def _publish(self) -> None:
        data = b"%d" % len(self.published)
        try:
            self.bus.publish("topic", data)
            self.published.add(data)
        except TransientError:
            self.refused += 1
            self._collect_dead()

    def _begin(self) -> None:
        self.under_way += [("pulled", one) for one in self.bus.pull("pulled", 2)]
        delivery = self.bus.step(self.rng)
        if delivery is None:
            return
        self.under_way.append((delivery.subscription.name, delivery.received))
        if self.rng.random() < 0.2:
            self.bus.repeat(delivery)

    def _settle(self) -> None:
        """Ack, nack or forget any delivery under way, in time or long after."""
        if self.under_way:
            name, received = self.under_way.pop(self.rng.randrange(len(self.under_way)))
            outcome = self.rng.random()
            if outcome < 0.4:
                self._ack(name, received)
            elif outcome < 0.8:
                self.bus.nack(name, [received.ack_id])

    def _ack(self, name: str, received: Received) -> None:
        """Count only an ack that the bus took: it may come after the lease has ended."""
        before = self.bus.undelivered()[name]
        self.bus.ack(name, [received.ack_id])
        if self.bus.undelivered()[name] < before:
            self.acked.add((name, received.message.data))

    def _pass_time(self) -> None:
        self.clock.advance(self.rng.choice([0.1, 1.0, 6.0]))

    def _collect_dead(self) -> None:
        for received in self.bus.pull("dead", 100):
            attributes = received.message.attributes
            assert attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
            origin = (attributes["CloudPubSubDeadLetterSourceSubscription"], received.message.data)
            assert origin not in self.dead
            self.dead.add(origin)
            self.bus.ack("dead", [received.ack_id])


@pytest.mark.parametrize("seed", range(40))
def test_no_storm_loses_a_message(seed: int) -> None:
    """Whatever fails, crashes, repeats or comes late, each subscription acks or dead-letters each message, once."""
    storm = Storm(seed)
    storm.run()
    owed = {(one.name, data) for one in storm.subscriptions for data in storm.published}
    expired_acks = storm.acked & storm.dead
    assert storm.acked | storm.dead == owed
    assert not expired_acks
    assert not any(name == "endless" for name, _ in storm.dead)
    storm.bus.publish("dead", bytes(Storm.HELD_BYTES - OVERHEAD_BYTES))  # fits only if all bytes were given back


def test_storms_reach_every_outcome() -> None:
    """The seeds above see acks, dead letters and a full bus: what they prove is not proved of calm weather."""
    storms = [Storm(seed) for seed in range(10)]
    for storm in storms:
        storm.run()
    assert all(sum(len(getattr(storm, kind)) for storm in storms) > 50 for kind in ("acked", "dead"))
    assert sum(storm.refused for storm in storms) > 10


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
    bus = _bus(_wall_clock, PUSH)
    seen: list[bytes] = []
    runs.start(bus, function=lambda message: seen.append(message.data))
    bus.publish("topic", b"x")
    assert bus.wait_until_idle(SOON_SECONDS)
    assert seen == [b"x"]


def test_an_exception_is_a_nack_that_the_hook_hears_of(runs: Runs) -> None:
    """A handler that raises twice gets its message three times, and each failure is reported."""
    bus = _bus(_wall_clock, Subscription("push", "topic", FUNCTION, retry=FAST))
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
    bus = _bus(_wall_clock, PUSH)
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
    bus = _bus(_wall_clock, PUSH, Subscription("other", "topic", "other"))
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
    bus = _bus(clock, PUSH)
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


def test_stop_ends_sleeping_threads_at_once(runs: Runs) -> None:
    """Workers that sleep until a backoff of ten minutes ends stop without it, and the message stays on the bus."""
    slow = RetryPolicy(minimum_seconds=600.0)
    bus = _bus(_wall_clock, Subscription("push", "topic", FUNCTION, retry=slow))
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
    assert threading.active_count() <= before + 2  # a thread is counted until just after it reports its end


def test_stop_tells_of_a_delivery_that_outlasts_it(runs: Runs) -> None:
    """With a delivery under way ``stop`` gives up in time and says so; the delivery still completes and acks."""
    bus = _bus(_wall_clock, PUSH)
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
        LocalBusRunner(_bus(Clock(), PUSH), {}, lambda *_: None)


def test_many_threads_lose_and_invent_nothing(runs: Runs) -> None:
    """Four publishers against failing workers: every message succeeds exactly once in time, none is left."""
    bus = _bus(_wall_clock, Subscription("push", "topic", FUNCTION, retry=FAST), max_held_bytes=10_000_000)
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
