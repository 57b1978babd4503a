"""The bus inside one process, for local runs and tests: a ``Broker`` behind a lock, and threads that push from it.

``LocalBus`` keeps the bus's contract at the time its ``now`` tells, and needs no thread: a simulation steps it.
``LocalBusRunner`` delivers for real. Each push subscription has its own workers, as each function has its own
instances, so that a slow one holds up no other; they sleep on a condition until a message is published, falls due,
or loses its lease.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from ..bus import Message, Received, Subscription
from ..errors import ConfigError, PermanentError
from .broker import DEFAULT_MAX_HELD_BYTES, Broker, Delivery

Handler = Callable[[Message, Subscription], None]
"""Receives one delivery: returning acknowledges it, any exception does not."""

FailureHook = Callable[[Delivery, Exception], None]
"""Told of each failed delivery, so that it can be logged; must not raise."""


class LocalBus:
    """A ``Bus`` that holds its messages in memory: they end with the process.

    ``now`` returns aware UTC. Publishing raises ``TransientError`` (``bus_full``) while ``max_held_bytes`` of
    messages are undelivered, dead letters that nobody pulls included. Safe to share between threads.
    """

    def __init__(
        self,
        topics: Sequence[str],
        subscriptions: Sequence[Subscription],
        now: Callable[[], datetime],
        *,
        project: str = "local",
        max_held_bytes: int = DEFAULT_MAX_HELD_BYTES,
    ) -> None:
        self._broker = Broker(topics, subscriptions, project, max_held_bytes)
        self._now = now
        self._changed = threading.Condition()

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str] | None = None) -> str:
        """Publish one message and return its id; see ``Broker.publish`` for what is refused."""
        with self._changed:
            message_id = self._broker.publish(topic, data, attributes or {}, self._caught_up())
            self._changed.notify_all()
        return message_id

    def pull(self, subscription: str, limit: int) -> Sequence[Received]:
        """Up to ``limit`` due messages of a pull subscription, at once; empty when there are none.

        Raises ``PermanentError``: ``unknown_subscription``, ``failed_precondition`` for a push subscription, or
        ``invalid_argument`` for a limit below 1.
        """
        with self._changed:
            if self._broker.subscription(subscription).push is not None:
                raise PermanentError("failed_precondition", f"{subscription} is a push subscription")
            return self._broker.take(subscription, limit, self._caught_up())

    def ack(self, subscription: str, ack_ids: Sequence[str]) -> None:
        """Settle messages for good; an id that is unknown or has expired is passed over."""
        with self._changed:
            self._broker.ack(subscription, ack_ids, self._caught_up())
            self._changed.notify_all()

    def nack(self, subscription: str, ack_ids: Sequence[str]) -> None:
        """Ask for messages again, after the subscription's backoff."""
        with self._changed:
            self._broker.nack(subscription, ack_ids, self._caught_up())
            self._changed.notify_all()

    def step(self, rng: random.Random) -> Delivery | None:
        """Begin one push delivery, any of those that are due; None when none is. See ``Broker.step``."""
        with self._changed:
            return self._broker.step(self._caught_up(), rng)

    def repeat(self, delivery: Delivery) -> None:
        """Make the same attempt due again at once, as a bus may at any time; see ``Broker.repeat``."""
        with self._changed:
            self._broker.repeat(delivery, self._caught_up())
            self._changed.notify_all()

    def next_due(self) -> datetime | None:
        """When a push subscription can next have something to deliver without a publish; None when never."""
        with self._changed:
            times = [self._broker.next_due(one.name) for one in self._broker.subscriptions() if one.push is not None]
        return min((time for time in times if time is not None), default=None)

    def undelivered(self) -> dict[str, int]:
        """How many messages each subscription is owed, delivered but unsettled ones included."""
        with self._changed:
            self._caught_up()
            return self._broker.undelivered()

    def is_idle(self) -> bool:
        """Whether no push subscription is owed anything, now or after a backoff."""
        with self._changed:
            return self._broker.is_idle()

    def wait_until_idle(self, timeout_seconds: float) -> bool:
        """Wait for ``is_idle``; False when the time passes first."""
        with self._changed:
            return self._changed.wait_for(self._broker.is_idle, timeout_seconds)

    def push_subscriptions(self) -> list[Subscription]:
        """The subscriptions that deliver to a function."""
        with self._changed:
            return [one for one in self._broker.subscriptions() if one.push is not None]

    def wait_for_delivery(self, subscription: Subscription, is_stopping: Callable[[], bool]) -> Delivery | None:
        """Wait until a message is due on a push subscription and begin its delivery; None once stopping."""
        with self._changed:
            while not is_stopping():
                now = self._caught_up()
                taken = self._broker.take(subscription.name, 1, now)
                if taken:
                    return Delivery(subscription, taken[0])
                due = self._broker.next_due(subscription.name)
                self._changed.wait(None if due is None else (due - now).total_seconds())
        return None

    def wake(self) -> None:
        """Have everyone who waits look again."""
        with self._changed:
            self._changed.notify_all()

    def _caught_up(self) -> datetime:
        """The time, once what it has ended by itself, leases past their deadline, is dealt with."""
        now = self._now()
        if self._broker.reclaim(now):
            self._changed.notify_all()
        return now


class LocalBusRunner:
    """Threads that deliver a ``LocalBus``'s messages to ``handlers``, named as the subscriptions' ``push``.

    At most ``workers`` deliveries of one subscription run at once. Runs once: start, then stop. Raises
    ``ConfigError`` for a push subscription without a handler.
    """

    def __init__(
        self, bus: LocalBus, handlers: Mapping[str, Handler], on_failure: FailureHook, *, workers: int = 2
    ) -> None:
        self._bus = bus
        self._handlers = dict(handlers)
        self._on_failure = on_failure
        self._stopping = threading.Event()
        self._ended = threading.Condition()
        self._running = 0
        self._threads = [
            threading.Thread(target=self._work, args=(one, self._handler(one)), name=f"{one.name}-{i}", daemon=True)
            for one in bus.push_subscriptions()
            for i in range(workers)
        ]

    def start(self) -> None:
        """Start delivering. Raises RuntimeError when called again."""
        self._running = len(self._threads)
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> bool:
        """Begin no more deliveries and wait for those under way; False when some outlast the time.

        What is undelivered stays on the bus.
        """
        self._stopping.set()
        self._bus.wake()
        with self._ended:
            if not self._ended.wait_for(lambda: self._running == 0, timeout_seconds):
                return False
        for thread in self._threads:
            if thread.is_alive():  # it has reported its end: this returns at once
                thread.join()
        return True

    def _handler(self, subscription: Subscription) -> Handler:
        handler = self._handlers.get(subscription.push or "")
        if handler is None:
            raise ConfigError(f"subscriptions[{subscription.name}].push: no handler {subscription.push!r}")
        return handler

    def _work(self, subscription: Subscription, handler: Handler) -> None:
        try:
            while (delivery := self._bus.wait_for_delivery(subscription, self._stopping.is_set)) is not None:
                self._deliver(delivery, handler)
        finally:
            with self._ended:
                self._running -= 1
                self._ended.notify_all()

    def _deliver(self, delivery: Delivery, handler: Handler) -> None:
        ack_ids = [delivery.received.ack_id]
        try:
            handler(delivery.received.message, delivery.subscription)
        except Exception as error:  # noqa: BLE001 — whatever a function raises is a nack, as a 500 is to Pub/Sub
            self._bus.nack(delivery.subscription.name, ack_ids)
            self._on_failure(delivery, error)
        else:
            self._bus.ack(delivery.subscription.name, ack_ids)
