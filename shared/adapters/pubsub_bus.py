"""The bus on Google Cloud Pub/Sub, or on its emulator.

``publish`` returns when the server has the message, one call for each: a Cloud Function's CPU is frozen once it has
answered, so nothing may wait in a client-side batch. Every call has a deadline of seconds and retries an unavailable
server inside it; what fails is named as ``google_calls`` says, and ``unknown_topic`` or ``unknown_subscription``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from google.api_core import exceptions as google_errors
from google.api_core.retry import Retry
from google.pubsub_v1 import types
from google.pubsub_v1.services.publisher import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from ..bus import Message, Received, Subscription
from ..errors import ConfigError
from ..timeline import from_us, to_us
from .channels import emulator_channel, google_transport
from .google_calls import retries, translated
from .message_limits import check_message
from .per_process import PerProcess

MAX_IDS_PER_CALL = 1000
"""Pull returns, and one acknowledgement takes, at most this many: https://cloud.google.com/pubsub/quotas"""

RETENTION = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Clients:
    """The two halves of Pub/Sub's interface."""

    publisher: PublisherClient
    subscriber: SubscriberClient

    @classmethod
    def connect(cls, emulator_host: str | None) -> Clients:
        """Clients of an emulator at ``host:port``, else of the cloud with the environment's credentials."""
        if emulator_host is None:
            return cls(
                PublisherClient(transport=google_transport(PublisherGrpcTransport)),
                SubscriberClient(transport=google_transport(SubscriberGrpcTransport)),
            )
        channel = emulator_channel(emulator_host)
        return cls(
            PublisherClient(transport=PublisherGrpcTransport(channel=channel)),
            SubscriberClient(transport=SubscriberGrpcTransport(channel=channel)),
        )

    def close(self) -> None:
        """Close the connections."""
        self.publisher.transport.close()  # type: ignore[no-untyped-call]  # the library leaves it unannotated
        self.subscriber.transport.close()  # type: ignore[no-untyped-call]  # as above


class PubSubBus:
    """A ``Bus`` on one project's topics. Connects on first use, never on construction; safe between threads.

    ``deadline_seconds`` bounds every call with its retries; ``pull_wait_seconds`` is how long an empty pull may
    wait for a message. ``delivery_attempt`` is 0 in the cloud where the subscription has no dead-letter topic,
    because Pub/Sub counts only there.
    """

    def __init__(
        self,
        project: str,
        emulator_host: str | None = None,
        *,
        deadline_seconds: float = 10.0,
        pull_wait_seconds: float = 5.0,
    ) -> None:
        self._project = project
        self._deadline_seconds = deadline_seconds
        self._pull_wait_seconds = pull_wait_seconds
        self._retry = retries(deadline_seconds)
        self._clients = PerProcess(lambda: Clients.connect(emulator_host))

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str] | None = None) -> str:
        """Publish one message, wait for the server to hold it, and return its id."""
        check_message(data, attributes or {})
        message = types.PubsubMessage(data=data, attributes=dict(attributes or {}))
        with translated("unknown_topic"):
            response = self._clients.get().publisher.publish(
                topic=topic_path(self._project, topic),
                messages=[message],
                retry=self._retry,
                timeout=self._deadline_seconds,
            )
        return str(response.message_ids[0])

    def pull(self, subscription: str, limit: int) -> Sequence[Received]:
        """Up to ``limit`` (at least 1) due messages; the server may return fewer than there are."""
        request = types.PullRequest(
            subscription=subscription_path(self._project, subscription),
            max_messages=min(limit, MAX_IDS_PER_CALL),
        )
        with translated("unknown_subscription"), suppress(google_errors.DeadlineExceeded):
            response = self._clients.get().subscriber.pull(request, retry=None, timeout=self._pull_wait_seconds)
            return [_received(one) for one in response.received_messages]
        return []

    def ack(self, subscription: str, ack_ids: Sequence[str]) -> None:
        """Settle messages for good; an id that is unknown or has expired is passed over."""
        path = subscription_path(self._project, subscription)

        def settle(ids: list[str]) -> None:
            request = types.AcknowledgeRequest(subscription=path, ack_ids=ids)
            self._clients.get().subscriber.acknowledge(request, retry=self._retry, timeout=self._deadline_seconds)

        _for_each_batch(ack_ids, settle)

    def nack(self, subscription: str, ack_ids: Sequence[str]) -> None:
        """Ask for messages again, after the subscription's backoff."""
        path = subscription_path(self._project, subscription)

        def release(ids: list[str]) -> None:
            request = types.ModifyAckDeadlineRequest(subscription=path, ack_ids=ids, ack_deadline_seconds=0)
            self._clients.get().subscriber.modify_ack_deadline(
                request, retry=self._retry, timeout=self._deadline_seconds
            )

        _for_each_batch(ack_ids, release)

    def close(self) -> None:
        """Close the connections, if any; a later call connects again."""
        clients = self._clients.drop()
        if clients is not None:
            clients.close()


def create_resources(
    project: str,
    emulator_host: str,
    topics: Sequence[str],
    subscriptions: Sequence[Subscription],
    endpoints: Mapping[str, str],
    deadline_seconds: float = 10.0,
) -> None:
    """Create topics and subscriptions on an emulator; ``endpoints`` maps a ``push`` name to its URL.

    What exists is left as it is, but for the push URL, which is set again: a local run's ports change. In the
    cloud Terraform owns them. A push subscription gets no retry policy, and so is pushed to again after a second: with
    one, the emulator forgets about all that failed when two messages fell due in the same millisecond.
    Raises ``ConfigError`` for a push name without a URL, ``PermanentError`` for what the emulator refuses,
    ``TransientError`` when it does not answer.
    """
    requests = [_subscription_request(project, one, endpoints) for one in subscriptions]
    retry = retries(deadline_seconds)
    clients = Clients.connect(emulator_host)
    try:
        with translated("unknown_topic"):
            for topic in topics:
                with suppress(google_errors.AlreadyExists):
                    name = topic_path(project, topic)
                    clients.publisher.create_topic(name=name, retry=retry, timeout=deadline_seconds)
            for request in requests:
                _create_or_repoint(clients.subscriber, request, retry, deadline_seconds)
    finally:
        clients.close()


def topic_path(project: str, topic: str) -> str:
    """The full name of a topic."""
    return f"projects/{project}/topics/{topic}"


def subscription_path(project: str, subscription: str) -> str:
    """The full name of a subscription."""
    return f"projects/{project}/subscriptions/{subscription}"


def _received(delivered: types.ReceivedMessage) -> Received:
    inner = delivered.message
    message = Message(
        data=bytes(inner.data),
        attributes=dict(inner.attributes),
        message_id=inner.message_id,
        publish_time=from_us(to_us(cast("datetime", inner.publish_time))),
    )
    return Received(delivered.ack_id, message, delivered.delivery_attempt)


def _for_each_batch(ack_ids: Sequence[str], settle: Callable[[list[str]], None]) -> None:
    """Settle ids in batches; one malformed id, which Pub/Sub answers by refusing its whole batch, holds up no other."""
    for start in range(0, len(ack_ids), MAX_IDS_PER_CALL):
        batch = list(ack_ids[start : start + MAX_IDS_PER_CALL])
        with translated("unknown_subscription"):
            try:
                settle(batch)
            except google_errors.InvalidArgument:
                for one in batch:
                    with suppress(google_errors.InvalidArgument):
                        settle([one])


def _subscription_request(project: str, one: Subscription, endpoints: Mapping[str, str]) -> types.Subscription:
    request = types.Subscription(
        name=subscription_path(project, one.name),
        topic=topic_path(project, one.topic),
        ack_deadline_seconds=one.ack_deadline_seconds,
        message_retention_duration=RETENTION,
        expiration_policy=types.ExpirationPolicy(),  # without a time to live: never
    )
    if one.push is None:
        request.retry_policy = types.RetryPolicy(
            minimum_backoff=timedelta(seconds=one.retry.minimum_seconds),
            maximum_backoff=timedelta(seconds=one.retry.maximum_seconds),
        )
    else:
        if one.push not in endpoints:
            raise ConfigError(f"subscriptions[{one.name}].push: no URL is given for {one.push!r}")
        request.push_config = types.PushConfig(push_endpoint=endpoints[one.push])
    if one.dead_letter_topic is not None:
        request.dead_letter_policy = types.DeadLetterPolicy(
            dead_letter_topic=topic_path(project, one.dead_letter_topic), max_delivery_attempts=one.max_attempts
        )
    return request


def _create_or_repoint(
    subscriber: SubscriberClient, request: types.Subscription, retry: Retry, deadline_seconds: float
) -> None:
    try:
        subscriber.create_subscription(request, retry=retry, timeout=deadline_seconds)
    except google_errors.AlreadyExists:
        change = types.ModifyPushConfigRequest(subscription=request.name, push_config=request.push_config)
        subscriber.modify_push_config(change, retry=retry, timeout=deadline_seconds)
