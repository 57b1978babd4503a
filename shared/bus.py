"""The bus port: at least once, no order, redelivery with backoff, a dead letter after N attempts.

Two adapters keep Pub/Sub's contract: Pub/Sub itself, and one in the process for local runs and tests. A push
subscription delivers to a function, whose return acknowledges and whose exception does not; a pull subscription
is read with ``pull`` and settled with ``ack`` or ``nack``. Message ids are new for every publish and for every
dead-letter copy, so they identify nothing that is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from .timeline import parse_iso

MAX_MESSAGE_BYTES = 10 * 1000 * 1000
"""What Pub/Sub accepts: https://cloud.google.com/pubsub/quotas"""

PUBLISH_TIME_ATTRIBUTE = "ion_publish_time"
"""RFC 3339 time at which a message was first published; carried by dead letters, redriven and replayed messages."""

REASON_ATTRIBUTE = "ion_reason"
"""Why a function put a message on its dead-letter topic: a ``PermanentError.reason``."""

_FORWARDED_PUBLISH_TIME_ATTRIBUTE = "CloudPubSubDeadLetterSourceTopicPublishTime"
"""Set by Pub/Sub itself on a dead letter it forwards: https://cloud.google.com/pubsub/docs/handling-failures"""


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery of one message. ``publish_time`` is aware UTC: when the bus accepted this copy."""

    data: bytes
    attributes: Mapping[str, str]
    message_id: str
    publish_time: datetime

    def first_publish_time(self) -> datetime:
        """When the message was published first, through any number of dead letters and redrives; aware UTC.

        Raises ValueError when an attribute that should hold that time does not.
        """
        for name in (PUBLISH_TIME_ATTRIBUTE, _FORWARDED_PUBLISH_TIME_ATTRIBUTE):
            if name in self.attributes:
                return parse_iso(self.attributes[name])
        return self.publish_time


@dataclass(frozen=True, slots=True)
class Received:
    """A pulled message, held until ``ack`` or ``nack`` of its ``ack_id`` or until its ack deadline passes."""

    ack_id: str
    message: Message
    delivery_attempt: int


class Bus(Protocol):
    """Where messages travel. Safe to share between threads."""

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str] | None = None) -> str:
        """Publish one message to a topic (its short name) and return its id.

        Raises ``PermanentError`` (``message_too_large``, ``unknown_topic``) or ``TransientError``; after the latter
        the message may be on the bus or not, so publishing again may duplicate it.
        """
        ...

    def pull(self, subscription: str, limit: int) -> Sequence[Received]:
        """Up to ``limit`` messages that are due on a pull subscription; empty when there are none."""
        ...

    def ack(self, subscription: str, ack_ids: Sequence[str]) -> None:
        """Settle messages for good. An unknown or expired id is no error; the message may come again."""
        ...

    def nack(self, subscription: str, ack_ids: Sequence[str]) -> None:
        """Ask for messages again, after the subscription's backoff."""
        ...


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Seconds between attempts, doubling from ``minimum_seconds`` to ``maximum_seconds``."""

    minimum_seconds: float = 10.0
    maximum_seconds: float = 600.0

    def delay_seconds(self, attempt: int) -> float:
        """The pause after attempt 1, 2, ... has failed."""
        return min(self.maximum_seconds, self.minimum_seconds * 2.0 ** min(attempt - 1, 32))


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription's contract, the same for both adapters. ``push`` names the function it delivers to, if any."""

    name: str
    topic: str
    push: str | None = None
    dead_letter_topic: str | None = None
    max_attempts: int = 100
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    ack_deadline_seconds: int = 60
