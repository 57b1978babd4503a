"""What every bus keeps: one suite, run on the in-process bus and on the Pub/Sub emulator.

Each adapter's test module gives it a ``Bench``: a topic with one push and one pull subscription, a dead-letter topic
with one pull subscription, and a way to let time pass.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from shared.bus import MAX_MESSAGE_BYTES, Bus, Message, Received, RetryPolicy, Subscription
from shared.errors import PermanentError

FUNCTION = "function"
MAX_ATTEMPTS = 5
"""The least that Pub/Sub allows."""

RETRY = RetryPolicy(minimum_seconds=0.5, maximum_seconds=1.0)
ACK_DEADLINE_SECONDS = 2
"""Less than production allows (10 s); the emulator takes it."""

CLOCK_TOLERANCE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Names:
    """The topics and subscriptions of one test, all beginning alike."""

    prefix: str

    @property
    def topic(self) -> str:
        """Where tests publish."""
        return f"{self.prefix}-topic"

    @property
    def dead_topic(self) -> str:
        """Where the push subscription's dead letters go."""
        return f"{self.prefix}-dead-topic"

    @property
    def tap(self) -> str:
        """A pull subscription on the topic."""
        return f"{self.prefix}-tap"

    @property
    def dead(self) -> str:
        """A pull subscription on the dead-letter topic."""
        return f"{self.prefix}-dead"

    def subscriptions(self) -> list[Subscription]:
        """The push subscription and both pull subscriptions."""
        push = Subscription(f"{self.prefix}-push", self.topic, FUNCTION, self.dead_topic, MAX_ATTEMPTS, RETRY)
        tap = Subscription(self.tap, self.topic, retry=RETRY, ack_deadline_seconds=ACK_DEADLINE_SECONDS)
        dead = Subscription(self.dead, self.dead_topic, retry=RETRY, ack_deadline_seconds=60)
        return [push, tap, dead]


@dataclass(slots=True)
class Function:
    """A function behind the push subscription: fails its first ``failures`` deliveries, then succeeds."""

    failures: int = 0
    messages: list[Message] = field(default_factory=list)
    at_seconds: list[float] = field(default_factory=list)

    def __call__(self, message: Message, at_seconds: float) -> bool:
        """Take a delivery that arrives at some seconds since any fixed start; tell whether it succeeded."""
        self.messages.append(message)
        self.at_seconds.append(at_seconds)
        return len(self.messages) > self.failures


class Bench(abc.ABC):
    """A bus with the subscriptions of ``names``, whose push subscription delivers to ``function``."""

    bus: Bus
    names: Names
    function: Function

    @abc.abstractmethod
    def now(self) -> datetime:
        """The bus's own time, aware UTC."""

    @abc.abstractmethod
    def let_pass(self, seconds: float) -> None:
        """Let the bus work for that long."""

    @abc.abstractmethod
    def until(self, condition: Callable[[], object]) -> None:
        """Let the bus work until a condition holds; AssertionError when it takes more than a minute."""

    def pull_until(self, subscription: str) -> Sequence[Received]:
        """Pull until something comes."""
        received: list[Received] = []

        def has_come() -> bool:
            received.extend(self.bus.pull(subscription, 10))
            return bool(received)

        self.until(has_come)
        return received


class BusContract:
    """Inherit it, and give it a fixture ``bench``."""

    def test_a_message_arrives_as_it_was_published(self, bench: Bench) -> None:
        """Every byte and every attribute reach both kinds of subscription unchanged, under the id publish returned."""
        data, attributes = bytes(range(256)), {"plain": "value", "ünïcode ✓": "Ω 𝄞", "empty": ""}
        message_id = bench.bus.publish(bench.names.topic, data, attributes)
        pulled = [one.message for one in bench.pull_until(bench.names.tap)]
        bench.until(lambda: bench.function.messages)
        for message in (*pulled, *bench.function.messages):
            assert (message.data, dict(message.attributes), message.message_id) == (data, attributes, message_id)
        assert len(pulled) == len(bench.function.messages) == 1

    def test_data_may_be_missing(self, bench: Bench) -> None:
        """A message of attributes alone arrives with empty data."""
        bench.bus.publish(bench.names.topic, b"", {"only": "attributes"})
        bench.until(lambda: bench.function.messages)
        assert (bench.function.messages[0].data, bench.function.messages[0].attributes) == (b"", {"only": "attributes"})
        assert bench.pull_until(bench.names.tap)[0].message.data == b""

    def test_a_large_message_arrives(self, bench: Bench) -> None:
        """A message near the limit, over gRPC's own default of 4 MiB, is published and pulled whole."""
        data = b"\x00\xff" * (MAX_MESSAGE_BYTES // 2 - 1000)
        bench.bus.publish(bench.names.topic, data)
        assert bench.pull_until(bench.names.tap)[0].message.data == data

    def test_publish_time_is_when_the_bus_accepted_it(self, bench: Bench) -> None:
        """The publish time is aware UTC and lies between the call and its return."""
        before = bench.now()
        bench.bus.publish(bench.names.topic, b"x")
        after = bench.now()
        message = bench.pull_until(bench.names.tap)[0].message
        assert message.publish_time.utcoffset() == timedelta(0)
        assert before - CLOCK_TOLERANCE <= message.publish_time <= after + CLOCK_TOLERANCE
        assert message.first_publish_time() == message.publish_time

    def test_a_failed_push_comes_again_and_a_successful_one_does_not(self, bench: Bench) -> None:
        """Two failures give three deliveries of one id, the last after the backoff, and none follows the success."""
        bench.function.failures = 2
        bench.bus.publish(bench.names.topic, b"x")
        bench.until(lambda: len(bench.function.messages) >= 3)
        bench.let_pass(4 * RETRY.maximum_seconds)
        assert len(bench.function.messages) == 3
        assert len({message.message_id for message in bench.function.messages}) == 1
        second, third = bench.function.at_seconds[1:]
        assert third - second >= RETRY.minimum_seconds

    def test_an_unacked_message_comes_again(self, bench: Bench) -> None:
        """A pulled message is held back until its ack deadline passes, then comes again under another ack id."""
        bench.bus.publish(bench.names.topic, b"x")
        first = bench.pull_until(bench.names.tap)[0]
        assert not bench.bus.pull(bench.names.tap, 10)
        again = bench.pull_until(bench.names.tap)[0]
        assert again.message == first.message
        assert again.ack_id != first.ack_id

    def test_an_acked_message_does_not_come_again(self, bench: Bench) -> None:
        """After an ack the message stays away beyond its ack deadline and its backoff."""
        bench.bus.publish(bench.names.topic, b"x")
        bench.bus.ack(bench.names.tap, [bench.pull_until(bench.names.tap)[0].ack_id])
        bench.let_pass(ACK_DEADLINE_SECONDS + 2 * RETRY.maximum_seconds)
        assert not bench.bus.pull(bench.names.tap, 10)

    def test_a_nacked_message_comes_again(self, bench: Bench) -> None:
        """After a nack the message comes again; acked then, it stays away."""
        bench.bus.publish(bench.names.topic, b"x")
        first = bench.pull_until(bench.names.tap)[0]
        bench.bus.nack(bench.names.tap, [first.ack_id])
        again = bench.pull_until(bench.names.tap)[0]
        assert again.message == first.message
        bench.bus.ack(bench.names.tap, [again.ack_id])
        bench.let_pass(ACK_DEADLINE_SECONDS + 2 * RETRY.maximum_seconds)
        assert not bench.bus.pull(bench.names.tap, 10)

    def test_unknown_ack_ids_are_passed_over(self, bench: Bench) -> None:
        """A malformed or settled ack id is no error, and the good one beside it is settled."""
        bench.bus.publish(bench.names.topic, b"x")
        ack_id = bench.pull_until(bench.names.tap)[0].ack_id
        bench.bus.ack(bench.names.tap, ["no such id", ack_id])
        bench.bus.ack(bench.names.tap, [ack_id])
        bench.bus.nack(bench.names.tap, [ack_id, "no such id"])
        bench.bus.ack(bench.names.tap, [])
        bench.let_pass(ACK_DEADLINE_SECONDS + 2 * RETRY.maximum_seconds)
        assert not bench.bus.pull(bench.names.tap, 10)

    def test_subscriptions_are_independent(self, bench: Bench) -> None:
        """Acking a pulled message does not stop a failing push of it, which comes again."""
        bench.function.failures = 1
        bench.bus.publish(bench.names.topic, b"x")
        bench.bus.ack(bench.names.tap, [bench.pull_until(bench.names.tap)[0].ack_id])
        bench.until(lambda: len(bench.function.messages) >= 2)
        assert not bench.bus.pull(bench.names.tap, 10)

    def test_a_message_that_keeps_failing_is_dead_lettered(self, bench: Bench) -> None:
        """After ``max_attempts`` pushes one copy, new in id alone, that knows its origin replaces the message."""
        bench.function.failures = 1000
        message_id = bench.bus.publish(bench.names.topic, b"poison", {"kept": "yes"})
        received = bench.pull_until(bench.names.dead)
        copy, pushed = received[0].message, bench.function.messages
        bench.let_pass(3 * RETRY.maximum_seconds)
        assert (len(received), len(pushed)) == (1, MAX_ATTEMPTS)
        assert copy.data == b"poison"
        assert copy.message_id != message_id
        assert copy.first_publish_time() == pushed[0].publish_time <= copy.publish_time
        source = {name.removeprefix("CloudPubSubDeadLetterSource"): value for name, value in copy.attributes.items()}
        assert source.pop("TopicPublishTime")
        assert source.pop("SubscriptionProject")
        assert source == {
            "kept": "yes",
            "DeliveryCount": str(MAX_ATTEMPTS),
            "Subscription": f"{bench.names.prefix}-push",
        }

    @pytest.mark.parametrize(
        ("reason", "data", "attributes"),
        [
            ("message_too_large", bytes(MAX_MESSAGE_BYTES + 1), {}),
            ("message_too_large", bytes(MAX_MESSAGE_BYTES - 1), {"k": "v"}),
            ("empty_message", b"", {}),
            ("invalid_attributes", b"x", {"k" * 257: "v"}),
            ("invalid_attributes", b"x", {"": "v"}),
            ("invalid_attributes", b"x", {"k": "é" * 513}),
            ("invalid_attributes", b"x", {"k": "\ud800"}),
            ("invalid_attributes", b"x", {f"k{i}": "v" for i in range(101)}),
        ],
        ids=["data", "with-attributes", "empty", "key", "empty-key", "value", "surrogate", "count"],
    )
    def test_what_production_refuses_is_refused(
        self, bench: Bench, reason: str, data: bytes, attributes: dict[str, str]
    ) -> None:
        """A message beyond Pub/Sub's limits is a permanent error by name and reaches no subscription."""
        with pytest.raises(PermanentError) as refused:
            bench.bus.publish(bench.names.topic, data, attributes)
        assert refused.value.reason == reason
        assert not bench.bus.pull(bench.names.tap, 1)

    def test_the_limits_themselves_are_allowed(self, bench: Bench) -> None:
        """A hundred attributes, with the longest key and value allowed, arrive."""
        attributes = {f"k{i}": "v" for i in range(99)} | {"k" * 256: "v" * 1024}
        bench.bus.publish(bench.names.topic, b"x", attributes)
        assert bench.pull_until(bench.names.tap)[0].message.attributes == attributes

    def test_unknown_names_are_permanent_errors(self, bench: Bench) -> None:
        """A topic or subscription that does not exist is named in a permanent error, for every verb."""
        bus = bench.bus
        calls: list[tuple[str, Callable[[], object]]] = [
            ("unknown_topic", lambda: bus.publish("no-such-topic", b"x")),
            ("unknown_subscription", lambda: bus.pull("no-such-subscription", 1)),
            ("unknown_subscription", lambda: bus.ack("no-such-subscription", ["no-such-subscription:1"])),
            ("unknown_subscription", lambda: bus.nack("no-such-subscription", ["no-such-subscription:1"])),
            ("invalid_argument", lambda: bus.pull(bench.names.tap, 0)),
        ]
        for reason, call in calls:
            with pytest.raises(PermanentError) as refused:
                call()
            assert refused.value.reason == reason
