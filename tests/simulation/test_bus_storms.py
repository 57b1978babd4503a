"""Seeded storms on the in-process bus: no failure, crash, duplicate or late ack loses a message."""

from __future__ import annotations

import random

import pytest

from shared.adapters.broker import OVERHEAD_BYTES
from shared.bus import Received, RetryPolicy, Subscription
from shared.errors import TransientError
from tests.bus_contract import FUNCTION
from tests.local_bench import Clock, local_bus


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
        self.bus = local_bus(
            self.clock, *self.subscriptions, Subscription("dead", "dead"), max_held_bytes=self.HELD_BYTES
        )
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
