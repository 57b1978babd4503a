"""Notify: a notification reaches each of its channels, claimed before it is sent and recorded after.

For each channel, apart from the others:

1. read ``deliveries/{notification}~{channel}``; a terminal one is done;
2. what follows an earlier notification of its episode waits (transient) until that one's delivery on the channel is
   terminal, because push keeps no order;
3. claim the delivery with a lease, on the condition that it is what was read: of two deliveries one sends; who was
   frozen until its lease had ended sends nothing, because another may have taken over and the next be told already;
4. send; record the outcome on the condition that the claim is still ours.

A crash after the send leaves the lease; when it has expired the notification is sent again under the same key: a
duplicate is preferred to a loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from .bus import Message
from .channels import Channel
from .errors import PermanentError, PreconditionFailed, TransientError
from .notifications import Notification, notification_from_json
from .retention import live
from .store import Absent, Document, Precondition, Put, Store, Unchanged

LEASE = timedelta(minutes=2)
KEPT = timedelta(days=30)


class DeliveryState(StrEnum):
    """What became of a notification on a channel."""

    CLAIMED = "claimed"
    """Somebody is sending it, until the lease ends."""
    FAILED = "failed"
    """The last attempt failed in a way that another may mend."""
    SENT = "sent"
    REFUSED = "refused"
    """The receiver said no for good."""
    SKIPPED = "skipped"
    """The channel is not set up here."""


TERMINAL = {DeliveryState.SENT, DeliveryState.REFUSED, DeliveryState.SKIPPED}


@dataclass(frozen=True, slots=True)
class Delivered:
    """The outcome on one channel."""

    channel: str
    state: DeliveryState
    detail: str


@dataclass(frozen=True, slots=True)
class Notify:
    """The function ``notify`` on its ports. ``channels`` are those that are set up here, by name."""

    store: Store
    channels: Mapping[str, Channel]
    now: Callable[[], datetime]

    def __call__(self, message: Message) -> list[Delivered]:
        """Deliver one notification to all its channels; a failing one never stops the others.

        Raises PermanentError for a message that is no notification, and TransientError once at the end when any
        channel has to be tried again; those that are terminal are not sent again then.
        """
        notification = notification_from_json(message.data)
        outcomes: list[Delivered] = []
        failed: list[TransientError] = []
        for name in notification.channels:
            try:
                outcomes.append(self._deliver(notification, name))
            except TransientError as error:
                failed.append(error)
        if failed:
            raise TransientError(failed[0].reason, "; ".join(str(error) for error in failed)) from failed[0]
        return outcomes

    def _deliver(self, notification: Notification, name: str) -> Delivered:
        path = delivery_path(notification.id, name)
        before = self.store.get([path]).get(path)
        known = _live(before, self.now())
        if known is not None and DeliveryState(known.fields["state"]) in TERMINAL:
            return Delivered(name, DeliveryState(known.fields["state"]), known.fields["detail"])
        self._check_free(name, before)
        channel = self.channels.get(name)
        if channel is None:
            return self._record(notification, name, _as_read(before), DeliveryState.SKIPPED, "not set up")
        self._wait_for_earlier(notification, name)
        until = self.now() + LEASE
        claim = self._claim(notification, name, before, until)
        self._check_lease(name, until)
        try:
            answer = channel.send(notification)
        except PermanentError as error:
            return self._record(notification, name, claim, DeliveryState.REFUSED, str(error))
        except TransientError as error:
            self._record(notification, name, claim, DeliveryState.FAILED, str(error))
            raise
        except Exception as error:  # a channel that breaks is tried again, and stops no other
            self._record(notification, name, claim, DeliveryState.FAILED, f"channel_broken: {type(error).__name__}")
            raise TransientError("channel_broken", f"{name}: {type(error).__name__}") from error
        return self._record(notification, name, claim, DeliveryState.SENT, answer.detail)

    def _wait_for_earlier(self, notification: Notification, name: str) -> None:
        """A notification waits until what was told of its episode before is done with on this channel.

        A record older than deliveries are kept has expired, and what is as old as that is done with.
        """
        paths = [delivery_path(told, name) for told in notification.before_on(name)]
        if not paths or self.now() >= notification.fired_at + KEPT:
            return
        found = self.store.get(paths)
        for path in paths:
            earlier = _live(found.get(path), self.now())
            if earlier is None or DeliveryState(earlier.fields["state"]) not in TERMINAL:
                raise TransientError("waiting_for_earlier", path)

    def _check_free(self, name: str, before: Document | None) -> None:
        """Raise TransientError while somebody's lease holds: also a version without the channel waits for one with."""
        if (
            before is not None
            and before.fields["state"] == DeliveryState.CLAIMED
            and before.fields["until"] > self.now()
        ):
            raise TransientError("delivery_claimed", f"{name}: until {before.fields['until']}")

    def _claim(self, notification: Notification, name: str, before: Document | None, until: datetime) -> Precondition:
        """Take the lease; whoever holds it is the only sender until it ends."""
        fields = self._fields(notification, name, DeliveryState.CLAIMED, "") | {"until": until}
        try:
            return Unchanged(
                self.store.commit([Put(delivery_path(notification.id, name), fields, precondition=_as_read(before))])
            )
        except PreconditionFailed as error:
            raise TransientError("delivery_claimed", name) from error

    def _check_lease(self, name: str, until: datetime) -> None:
        """Raise TransientError when the lease is over before anything was sent: instances freeze for minutes."""
        if self.now() >= until:
            raise TransientError("delivery_lease_over", name)

    def _record(
        self, notification: Notification, name: str, condition: Precondition, state: DeliveryState, detail: str
    ) -> Delivered:
        """Record the outcome, unless the lease ended and somebody else took over: then theirs counts."""
        fields = self._fields(notification, name, state, detail)
        try:
            self.store.commit([Put(delivery_path(notification.id, name), fields, precondition=condition)])
        except PreconditionFailed as error:
            raise TransientError("delivery_taken_over", name) from error
        return Delivered(name, state, detail)

    def _fields(self, notification: Notification, name: str, state: DeliveryState, detail: str) -> dict[str, Any]:
        now = self.now()
        return {
            "notification": notification.id,
            "channel": name,
            "state": state.value,
            "detail": detail,
            "at": now,
            "expires_at": now + KEPT,
        }


def _live(document: Document | None, now: datetime) -> Document | None:
    """A document that is there and not past its time to live."""
    return document if document is not None and live([document], now) else None


def _as_read(before: Document | None) -> Precondition:
    return Absent() if before is None else Unchanged(before.update_time)


def delivery_path(notification_id: str, channel: str) -> str:
    """Where the delivery of a notification on a channel is recorded."""
    return f"deliveries/{notification_id}~{channel}"
