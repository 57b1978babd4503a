"""The in-process bus: the bus contract, its exact times and its bounds."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from shared.adapters.broker import OVERHEAD_BYTES, Broker, Delivery
from shared.adapters.local_bus import LocalBus
from shared.bus import Received, Subscription
from shared.errors import ConfigError, PermanentError, TransientError
from tests.bus_contract import Bench, BusContract, Names
from tests.local_bench import PULL, PUSH, START, Clock, LocalBench, local_bus


class TestLocalBus(BusContract):
    """The contract, kept in the process."""

    @pytest.fixture
    def bench(self) -> Bench:
        """A bus of this test's own."""
        return LocalBench(Names("bus"))


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
    bus = local_bus(clock, PULL)
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
    bus = local_bus(clock, PULL)
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
        bus = local_bus(clock, PULL)
        bus.publish("topic", b"x")
        received = _pull_one(bus)
        clock.advance(PULL.ack_deadline_seconds - early_seconds)
        bus.ack("pull", [received.ack_id])
        assert bus.undelivered() == {"pull": left}


def test_attempts_are_counted_only_with_a_dead_letter_topic() -> None:
    """As Pub/Sub does, the delivery attempt is 1, 2, ... with a dead-letter topic and 0 without one."""
    clock = Clock()
    counted = Subscription("counted", "topic", dead_letter_topic="dead")
    bus = local_bus(clock, PULL, counted)
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
        local_bus(Clock(), PUSH).pull("push", 1)
    assert refused.value.reason == "failed_precondition"


def test_a_full_bus_refuses_what_it_cannot_hold() -> None:
    """A publish beyond the bound, counted once for each subscription, is transient and succeeds after an ack."""
    size_bytes = 100 + OVERHEAD_BYTES
    bus = local_bus(Clock(), PULL, Subscription("second", "topic"), max_held_bytes=3 * size_bytes)
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
    bus = local_bus(Clock(), fatal, Subscription("dead", "dead"), max_held_bytes=1 + OVERHEAD_BYTES)
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
        local_bus(Clock(), *subscriptions)


def test_no_order_is_kept() -> None:
    """Different seeds deliver the same three messages in every one of their six orders."""
    orders = set()
    for seed in range(60):
        bus, rng = local_bus(Clock(), PUSH), random.Random(seed)
        for data in (b"a", b"b", b"c"):
            bus.publish("topic", data)
        deliveries = iter(lambda bus=bus, rng=rng: bus.step(rng), None)  # type: ignore[misc]
        orders.add(tuple(one.received.message.data for one in deliveries if one is not None))
    assert len(orders) == 6


def test_what_is_due_is_delivered_whatever_left_before() -> None:
    """Taking messages in random order hides none that falls due later: each second delivers exactly its own."""
    rng = random.Random(3)
    broker = Broker(["topic"], [PUSH])
    falls_due = [rng.randrange(20) for _ in range(200)]
    for second in falls_due:
        broker.publish("topic", b"%d" % second, {}, START + timedelta(seconds=second))
    for second in range(20):
        now = START + timedelta(seconds=second)
        taken = []
        while (delivery := broker.step(now, rng)) is not None:
            taken.append(int(delivery.received.message.data))
            broker.ack("push", [delivery.received.ack_id], now)
        assert taken == [second] * falls_due.count(second)


def test_a_repeated_delivery_is_a_parallel_duplicate() -> None:
    """After ``repeat`` the same message is under way twice, and only the later ack settles it."""
    bus = local_bus(Clock(), PUSH)
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
    bus = local_bus(clock, PUSH, PULL)
    bus.publish("topic", b"x")
    assert bus.next_due() == START
    delivery = _begin(bus)
    assert bus.next_due() == START + timedelta(seconds=PUSH.ack_deadline_seconds)
    bus.nack("push", [delivery.received.ack_id])
    assert bus.next_due() == START + timedelta(seconds=10)
    clock.advance(10.0)
    bus.ack("push", [_begin(bus).received.ack_id])
    assert bus.next_due() is None
