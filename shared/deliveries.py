"""Deliveries and conversations: what is recorded of a notification on a channel, and of all that belong together.

``deliveries/{notification}~{channel}`` says what became of a notification. ``conversations/{conversation}~{channel}``
holds whose turn it is to speak there, what the channel keeps of it (``handle``), and whether it has ended. Both are
written by notify alone, each time on the condition that they are what was read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from .retention import live
from .store import Absent, Document, Precondition, Put, Unchanged

LEASE = timedelta(minutes=2)
KEPT = timedelta(days=30)
CONVERSATION_KEPT = timedelta(days=90)


class DeliveryState(StrEnum):
    """What became of a notification on a channel."""

    CLAIMED = "claimed"
    """Somebody is sending it, until the lease ends."""
    FAILED = "failed"
    """The last attempt failed in a way that another may mend."""
    HELD = "held"
    """It was too much for its minute, and waits to be summed up."""
    SENT = "sent"
    SUMMED = "summed"
    """It was told in one message with others that were too much for their minute."""
    SUPERSEDED = "superseded"
    """What it would tell was over before it could be told; the end tells it all."""
    REFUSED = "refused"
    """The receiver said no for good."""
    DISABLED = "disabled"
    """The channel has refused everything since an earlier time, and is not asked."""
    SKIPPED = "skipped"
    """The channel is not set up here."""


TERMINAL = frozenset(DeliveryState) - {DeliveryState.CLAIMED, DeliveryState.FAILED, DeliveryState.HELD}
HEARD = frozenset({DeliveryState.SENT, DeliveryState.SUMMED, DeliveryState.SUPERSEDED})
"""The channel has told it, or needs not to."""
UNHEARD = frozenset({DeliveryState.REFUSED, DeliveryState.DISABLED})
"""Somebody has to look after the channel."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A notification on a channel, as it was read. ``attempt`` counts claims; ``not_before`` is a receiver's wish.

    ``read`` is the condition under which it may be written.
    """

    notification: str
    channel: str
    read: Precondition = field(default_factory=Absent)
    state: DeliveryState | None = None
    detail: str = ""
    attempt: int = 0
    until: datetime | None = None
    not_before: datetime | None = None
    held_in: str = ""

    @property
    def path(self) -> str:
        """Where it lies."""
        return delivery_path(self.notification, self.channel)

    @property
    def is_done(self) -> bool:
        """Whether nothing more will be tried."""
        return self.state in TERMINAL

    def write(self, now: datetime) -> Put:
        """The document, on the condition that it is what was read."""
        fields: dict[str, Any] = {
            "notification": self.notification,
            "channel": self.channel,
            "state": self.state.value if self.state else "",
            "detail": self.detail,
            "attempt": self.attempt,
            "at": now,
            "expires_at": now + KEPT,
        }
        optional = {"until": self.until, "not_before": self.not_before, "held_in": self.held_in or None}
        fields |= {name: value for name, value in optional.items() if value is not None}
        return Put(self.path, fields, precondition=self.read)


def read_delivery(notification: str, channel: str, document: Document | None, now: datetime) -> Delivery:
    """The delivery of a document; one that is absent, or past its time, has not begun."""
    begun = Delivery(notification, channel, Absent() if document is None else Unchanged(document.update_time))
    if document is None or not live([document], now):
        return begun
    fields = document.fields
    return replace(
        begun,
        state=DeliveryState(fields["state"]),
        detail=fields["detail"],
        attempt=fields.get("attempt", 0),
        until=fields.get("until"),
        not_before=fields.get("not_before"),
        held_in=fields.get("held_in", ""),
    )


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation on a channel, as it was read.

    ``holder`` names the attempt whose turn it is, until ``until``. ``attempted_at`` is when the first attempt began
    whose outcome nobody recorded; ``ended_at`` when its end was seen first; ``end`` is the notification of it.
    ``late`` are the handles of what was sent after others had gone on without it, and has to be undone; the
    ``notification`` of each says of what. ``elsewhere`` are the channels that tell it in place of this one.
    """

    id: str
    channel: str
    read: Precondition = field(default_factory=Absent)
    handle: Mapping[str, str] = field(default_factory=dict)
    holder: str = ""
    until: datetime | None = None
    attempted_at: datetime | None = None
    end: str = ""
    ended_at: datetime | None = None
    late: tuple[Mapping[str, str], ...] = ()
    elsewhere: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Where it lies."""
        return f"conversations/{self.id}~{self.channel}"

    def is_busy(self, now: datetime) -> bool:
        """Whether somebody is speaking."""
        return bool(self.holder) and self.until is not None and self.until > now

    def write(self, now: datetime) -> Put:
        """The document, on the condition that it is what was read."""
        fields: dict[str, Any] = {
            "handle": dict(self.handle),
            "holder": self.holder,
            "end": self.end,
            "late": [dict(one) for one in self.late],
            "expires_at": now + CONVERSATION_KEPT,
        }
        optional: dict[str, Any] = {"until": self.until, "attempted_at": self.attempted_at, "ended_at": self.ended_at}
        optional["elsewhere"] = list(self.elsewhere) or None
        fields |= {name: value for name, value in optional.items() if value is not None}
        return Put(self.path, fields, precondition=self.read)


def read_conversation(conversation: str, channel: str, document: Document | None, now: datetime) -> Conversation:
    """The conversation of a document; one that is absent, or past its time, has not begun."""
    begun = Conversation(conversation, channel, Absent() if document is None else Unchanged(document.update_time))
    if document is None or not live([document], now):
        return begun
    fields = document.fields
    return replace(
        begun,
        handle=dict(fields["handle"]),
        holder=fields["holder"],
        until=fields.get("until"),
        attempted_at=fields.get("attempted_at"),
        end=fields["end"],
        late=tuple(dict(one) for one in fields["late"]),
        ended_at=fields.get("ended_at"),
        elsewhere=tuple(fields.get("elsewhere", ())),
    )


def delivery_path(notification_id: str, channel: str) -> str:
    """Where the delivery of a notification on a channel is recorded."""
    return f"deliveries/{notification_id}~{channel}"
