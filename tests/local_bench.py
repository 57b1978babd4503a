"""The in-process bus for tests: in virtual time, on two topics named ``topic`` and ``dead``."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from shared.adapters.local_bus import LocalBus
from shared.bus import Subscription
from tests.bus_contract import FUNCTION, Bench, Function, Names

START = datetime(2025, 10, 18, 12, 0, tzinfo=UTC)

PUSH = Subscription("push", "topic", push=FUNCTION)
PULL = Subscription("pull", "topic")


def local_bus(clock: Callable[[], datetime], *subscriptions: Subscription, max_held_bytes: int = 1_000_000) -> LocalBus:
    """A bus with these subscriptions that holds up to a megabyte, or what is given."""
    return LocalBus(["topic", "dead"], subscriptions, clock, max_held_bytes=max_held_bytes)


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
