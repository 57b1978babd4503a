"""The state of the in-process bus: who is owed which message, and when. No clock, no threads, no randomness of its own.

It keeps Pub/Sub's contract for push and pull subscriptions alike. A delivery leases a message for the subscription's
ack deadline; it ends by an ack, by a nack or by passing that deadline, and the last two bring the message back after
the retry policy's pause. A failed delivery number ``max_attempts`` moves a copy to the dead-letter topic instead: the
same data, Pub/Sub's own attributes added, a new message id. Nothing else removes a message: there is no retention
limit. What is held is bounded in bytes instead, counted once for each subscription that holds it, with a fixed
allowance for each message; a publish that would exceed the bound is refused as transient, a dead letter never is.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from ..bus import Message, Received, Subscription
from ..errors import ConfigError, PermanentError, TransientError
from ..timeline import iso
from .message_limits import check_message, message_bytes

DEFAULT_MAX_HELD_BYTES = 256 * 1024 * 1024
OVERHEAD_BYTES = 1024
"""Allowed for each held message beside its data and attributes, so that many tiny ones are bounded too."""

_SOURCE = "CloudPubSubDeadLetterSource"
"""How the attributes of a forwarded dead letter begin: https://cloud.google.com/pubsub/docs/handling-failures"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message on its way to a push subscription, until it is acked, nacked or its lease ends."""

    subscription: Subscription
    received: Received


@dataclass(frozen=True, slots=True, order=True)
class _Held:
    """A message owed to a subscription: deliverable from ``due``, or while leased, leased until ``due``."""

    due: datetime
    number: int
    attempts: int = field(compare=False)
    size_bytes: int = field(compare=False)
    message: Message = field(compare=False)


class _Backlog:
    """What one subscription is owed: ``waiting`` is a heap by due time, ``leased`` maps ack ids to messages."""

    __slots__ = ("leased", "subscription", "waiting")

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.waiting: list[_Held] = []
        self.leased: dict[str, _Held] = {}

    def __len__(self) -> int:
        return len(self.waiting) + len(self.leased)

    def pop(self, now: datetime, rng: random.Random | None = None) -> _Held | None:
        """Remove the message that has been due longest, or with ``rng`` any due one; None when none is."""
        if not self.waiting or self.waiting[0].due > now:
            return None
        if rng is None:
            return heapq.heappop(self.waiting)
        held = rng.choice([one for one in self.waiting if one.due <= now])
        self.waiting.remove(held)
        heapq.heapify(self.waiting)
        return held

    def next_due(self) -> datetime | None:
        """When something can next happen by itself: a message falls due or a lease ends; None when never."""
        return min([one.due for one in self.leased.values()] + [one.due for one in self.waiting[:1]], default=None)


class Broker:
    """Topics and subscriptions with their messages; every method takes the time, aware UTC, that it acts at.

    The dead-letter copy names ``project`` as its origin. Raises ``ConfigError`` for a subscription whose topic or
    dead-letter topic is not among ``topics``, or whose name is taken.
    """

    def __init__(
        self,
        topics: Sequence[str],
        subscriptions: Sequence[Subscription],
        project: str = "local",
        max_held_bytes: int = DEFAULT_MAX_HELD_BYTES,
    ) -> None:
        self._project = project
        self._max_held_bytes = max_held_bytes
        self._held_bytes = 0
        self._numbers = 0
        self._by_topic: dict[str, list[_Backlog]] = {topic: [] for topic in topics}
        self._backlogs: dict[str, _Backlog] = {}
        for subscription in subscriptions:
            self._subscribe(subscription)

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str], now: datetime) -> str:
        """Owe a message to every subscription of a topic and return its id.

        Raises ``PermanentError`` (``unknown_topic`` and what ``check_message`` refuses), or ``TransientError``
        (``bus_full``) when the bound on held bytes would be passed; then nothing is published.
        """
        check_message(data, attributes)
        if topic not in self._by_topic:
            raise PermanentError("unknown_topic", topic)
        size_bytes = message_bytes(data, attributes) + OVERHEAD_BYTES
        if self._held_bytes + size_bytes * len(self._by_topic[topic]) > self._max_held_bytes:
            raise TransientError("bus_full", f"{self._held_bytes} bytes held, at most {self._max_held_bytes}")
        return self._fan_out(topic, data, attributes, now)

    def take(self, subscription: str, limit: int, now: datetime, rng: random.Random | None = None) -> list[Received]:
        """Lease up to ``limit`` due messages, the longest due first or, with ``rng``, in any order.

        Raises ``PermanentError``: ``unknown_subscription``, or ``invalid_argument`` for a limit below 1.
        """
        if limit < 1:
            raise PermanentError("invalid_argument", f"limit: expected at least 1, got {limit}")
        backlog = self._backlog(subscription)
        self.reclaim(now)
        taken: list[Received] = []
        while len(taken) < limit and (held := backlog.pop(now, rng)) is not None:
            taken.append(self._lease(backlog, held, now))
        return taken

    def due(self, now: datetime) -> list[Subscription]:
        """The push subscriptions to which something can be delivered now."""
        self.reclaim(now)
        return [one.subscription for one in self._pushed() if one.waiting and one.waiting[0].due <= now]

    def step(self, now: datetime, rng: random.Random) -> Delivery | None:
        """Begin one delivery, any of those that are due on push subscriptions; None when none is.

        Whoever drives this then acks it, nacks it, or drops it as a crash does: it comes back by itself.
        """
        due = self.due(now)
        if not due:
            return None
        subscription = rng.choice(due)
        return Delivery(subscription, self.take(subscription.name, 1, now, rng)[0])

    def ack(self, subscription: str, ack_ids: Sequence[str], now: datetime) -> None:
        """Settle leased messages for good; an id that is unknown or has expired is passed over."""
        for _, held in self._released(subscription, ack_ids, now):
            self._held_bytes -= held.size_bytes

    def nack(self, subscription: str, ack_ids: Sequence[str], now: datetime) -> None:
        """End leases as failed deliveries; an id that is unknown or has expired is passed over."""
        for backlog, held in self._released(subscription, ack_ids, now):
            self._failed(backlog, held, now)

    def repeat(self, delivery: Delivery, now: datetime) -> None:
        """Make the same attempt due again at once, as a bus may at any time; the first one's ack settles nothing."""
        for backlog, held in self._released(delivery.subscription.name, [delivery.received.ack_id], now):
            heapq.heappush(backlog.waiting, replace(held, due=now, attempts=held.attempts - 1))

    def reclaim(self, now: datetime) -> bool:
        """End the leases that have passed their ack deadline as failed deliveries; tell whether there were any."""
        expired = [
            (backlog, ack_id)
            for backlog in self._backlogs.values()
            for ack_id, held in backlog.leased.items()
            if held.due <= now
        ]
        for backlog, ack_id in expired:
            held = backlog.leased.pop(ack_id)
            self._failed(backlog, held, held.due)
        return bool(expired)

    def next_due(self, subscription: str) -> datetime | None:
        """When a subscription can next have something to deliver without a publish; None when never."""
        return self._backlog(subscription).next_due()

    def undelivered(self) -> dict[str, int]:
        """How many messages each subscription is owed, delivered but unsettled ones included."""
        return {name: len(backlog) for name, backlog in self._backlogs.items()}

    def is_idle(self) -> bool:
        """Whether no push subscription is owed anything. Pull subscriptions wait for someone to ask."""
        return not any(self._pushed())

    def subscription(self, name: str) -> Subscription:
        """The subscription of a name. Raises ``PermanentError`` (``unknown_subscription``)."""
        return self._backlog(name).subscription

    def subscriptions(self) -> list[Subscription]:
        """Every subscription, in the order given."""
        return [backlog.subscription for backlog in self._backlogs.values()]

    def _subscribe(self, subscription: Subscription) -> None:
        for topic in (subscription.topic, subscription.dead_letter_topic):
            if topic is not None and topic not in self._by_topic:
                raise ConfigError(f"subscriptions[{subscription.name}]: no topic {topic!r}")
        if subscription.name in self._backlogs:
            raise ConfigError(f"subscriptions[{subscription.name}]: the name is taken")
        backlog = self._backlogs[subscription.name] = _Backlog(subscription)
        self._by_topic[subscription.topic].append(backlog)

    def _pushed(self) -> Iterator[_Backlog]:
        return (one for one in self._backlogs.values() if one.subscription.push is not None)

    def _backlog(self, subscription: str) -> _Backlog:
        if subscription not in self._backlogs:
            raise PermanentError("unknown_subscription", subscription)
        return self._backlogs[subscription]

    def _next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _fan_out(self, topic: str, data: bytes, attributes: Mapping[str, str], now: datetime) -> str:
        message = Message(data, dict(attributes), str(self._next_number()), now)
        size_bytes = message_bytes(data, attributes) + OVERHEAD_BYTES
        for backlog in self._by_topic[topic]:
            heapq.heappush(backlog.waiting, _Held(now, self._next_number(), 0, size_bytes, message))
            self._held_bytes += size_bytes
        return message.message_id

    def _lease(self, backlog: _Backlog, held: _Held, now: datetime) -> Received:
        subscription = backlog.subscription
        until = now + timedelta(seconds=subscription.ack_deadline_seconds)
        leased = replace(held, due=until, attempts=held.attempts + 1)
        ack_id = f"{subscription.name}:{self._next_number()}"
        backlog.leased[ack_id] = leased
        counted = leased.attempts if subscription.dead_letter_topic is not None else 0
        return Received(ack_id, held.message, counted)

    def _released(self, subscription: str, ack_ids: Sequence[str], now: datetime) -> Iterator[tuple[_Backlog, _Held]]:
        backlog = self._backlog(subscription)
        self.reclaim(now)
        for ack_id in ack_ids:
            held = backlog.leased.pop(ack_id, None)
            if held is not None:
                yield backlog, held

    def _failed(self, backlog: _Backlog, held: _Held, at: datetime) -> None:
        subscription = backlog.subscription
        if subscription.dead_letter_topic is not None and held.attempts >= subscription.max_attempts:
            self._held_bytes -= held.size_bytes
            copy = {**held.message.attributes, **self._source(subscription, held)}
            self._fan_out(subscription.dead_letter_topic, held.message.data, copy, at)
        else:
            pause = timedelta(seconds=subscription.retry.delay_seconds(held.attempts))
            heapq.heappush(backlog.waiting, replace(held, due=at + pause))

    def _source(self, subscription: Subscription, held: _Held) -> dict[str, str]:
        """What Pub/Sub adds to a dead letter it forwards."""
        return {
            f"{_SOURCE}DeliveryCount": str(held.attempts),
            f"{_SOURCE}Subscription": subscription.name,
            f"{_SOURCE}SubscriptionProject": self._project,
            f"{_SOURCE}TopicPublishTime": iso(held.message.publish_time),
        }
