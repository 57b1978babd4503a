"""Turns: who may speak in a conversation on a channel, and what is recorded of it. The store's side of notify.

Every change is on the condition that what it changes is what was read. A turn is a lease fenced by its holder's name,
``{notification}#{attempt}``, which no two attempts share: whoever finds another name there has been taken over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from .deliveries import (
    KEPT,
    LEASE,
    Conversation,
    Delivery,
    DeliveryState,
    delivery_path,
    read_conversation,
    read_delivery,
)
from .errors import PreconditionFailed, TransientError
from .notifications import Notification
from .outages import COLLECTION, Outage, outage_in
from .store import Store, Unchanged, Write

ATTEMPTS = 5
"""To write what happened, against others who note the end meanwhile."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is recorded of a notification on a channel. ``earlier`` are the deliveries before it that are not done."""

    delivery: Delivery
    conversation: Conversation
    outage: Outage | None
    earlier: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class Turns:
    """Reads and writes deliveries and conversations. ``now`` reads the clock (aware UTC)."""

    store: Store
    now: Callable[[], datetime]

    def read(self, notification: Notification, channel: str) -> Known:
        """All that decides, as of one instant.

        A record older than deliveries are kept has expired, and what is as old as that is done with.
        """
        now = self.now()
        before = notification.before_on(channel) if now < notification.fired_at + KEPT else []
        conversation = notification.conversation_on(channel)
        own, talk = Delivery(notification.id, channel).path, Conversation(conversation, channel).path
        outage = f"{COLLECTION}/{channel}"
        found = self.store.get([own, talk, outage, *(delivery_path(one, channel) for one in before)])
        earlier = [read_delivery(one, channel, found.get(delivery_path(one, channel)), now) for one in before]
        return Known(
            read_delivery(notification.id, channel, found.get(own), now),
            read_conversation(conversation, channel, found.get(talk), now),
            outage_in(found.get(outage), now),
            tuple(one for one in earlier if not one.is_done),
        )

    def settle(self, delivery: Delivery, state: DeliveryState, detail: str) -> Delivery:
        """Record an outcome for which nobody speaks. Raises TransientError when somebody else did meanwhile."""
        done = replace(delivery, state=state, detail=detail, until=None)
        self._commit([done.write(self.now())], "delivery_claimed", done.path)
        return done

    def note_end(self, conversation: Conversation) -> Conversation:
        """Let everybody know that a conversation is over, before its end can be told."""
        at = self._commit([conversation.write(self.now())], "conversation_busy", conversation.path)
        return replace(conversation, read=at)

    def claim(self, delivery: Delivery, conversation: Conversation) -> tuple[Delivery, Conversation]:
        """Take the turn. What is returned of the conversation still says what was unknown before this attempt."""
        now = self.now()
        claimed = replace(
            delivery, state=DeliveryState.CLAIMED, detail="", attempt=delivery.attempt + 1, until=now + LEASE,
            not_before=None,
        )  # fmt: skip
        taken = replace(conversation, holder=f"{claimed.notification}#{claimed.attempt}", until=now + LEASE)
        marked = replace(taken, attempted_at=conversation.attempted_at or now)
        at = self._commit([claimed.write(now), marked.write(now)], "delivery_claimed", claimed.path)
        return replace(claimed, read=at), replace(taken, read=at)

    def record(self, delivery: Delivery, conversation: Conversation) -> tuple[Delivery, Conversation]:
        """Record an outcome and give the turn back; both as they are then.

        Raises TransientError ``delivery_taken_over`` when the lease ended and others went on: then theirs counts.
        """
        done = replace(delivery, until=None)
        for _ in range(ATTEMPTS):
            now = self.now()
            given = replace(conversation, holder="", until=None)
            try:
                at = Unchanged(self.store.commit([done.write(now), given.write(now)]))
            except PreconditionFailed:
                conversation = self._still_ours(conversation)
                continue
            return replace(done, read=at), replace(given, read=at)
        raise TransientError("contended", conversation.path)

    def _still_ours(self, conversation: Conversation) -> Conversation:
        """What we hold, as it is by now: others may have noted its end."""
        current = self.conversation(conversation.id, conversation.channel)
        if current.holder != conversation.holder:
            raise TransientError("delivery_taken_over", conversation.path)
        return replace(
            conversation, read=current.read, end=current.end, ended_at=current.ended_at, late=current.late,
            elsewhere=current.elsewhere,
        )  # fmt: skip

    def conversation(self, conversation: str, channel: str) -> Conversation:
        """A conversation as it is."""
        path = Conversation(conversation, channel).path
        return read_conversation(conversation, channel, self.store.get([path]).get(path), self.now())

    def note_elsewhere(self, notification: Notification, other: str) -> Conversation:
        """Note that another channel tells it in place of its first, unless that conversation is over; as it is then."""
        channel = notification.channels[0]
        for _ in range(ATTEMPTS):
            current = self.conversation(notification.conversation_on(channel), channel)
            if other in current.elsewhere or current.end not in ("", notification.id):
                return current
            noted = replace(current, elsewhere=(*current.elsewhere, other))
            try:
                return replace(noted, read=Unchanged(self.store.commit([noted.write(self.now())])))
            except PreconditionFailed:
                continue
        raise TransientError("contended", f"{notification.conversation_on(channel)}~{channel}")

    def elsewhere(self, notification: Notification) -> list[str]:
        """The channels that tell its conversations in place of its own, each once."""
        talks = {name: Conversation(notification.conversation_on(name), name) for name in notification.channels}
        found = self.store.get([one.path for one in talks.values()])
        known = [read_conversation(one.id, name, found.get(one.path), self.now()) for name, one in talks.items()]
        return list(dict.fromkeys(other for one in known for other in one.elsewhere))

    def mark_late(self, conversation: str, channel: str, late: Mapping[str, str]) -> Conversation:
        """Note what has to be undone; the conversation then."""
        for _ in range(ATTEMPTS):
            current = self.conversation(conversation, channel)
            marked = replace(current, late=(*(one for one in current.late if one != late), late))
            try:
                return replace(marked, read=Unchanged(self.store.commit([marked.write(self.now())])))
            except PreconditionFailed:
                continue
        raise TransientError("contended", f"{conversation}~{channel}")

    def mark_undone(self, conversation: Conversation) -> None:
        """Note that what was late is undone; what somebody else has noted meanwhile stays."""
        for _ in range(ATTEMPTS):
            current = self.conversation(conversation.id, conversation.channel)
            left = tuple(one for one in current.late if one not in conversation.late)
            if left == current.late:
                return
            try:
                self.store.commit([replace(current, late=left).write(self.now())])
            except PreconditionFailed:
                continue
            return
        raise TransientError("contended", conversation.path)

    def _commit(self, writes: list[Write], reason: str, path: str) -> Unchanged:
        try:
            return Unchanged(self.store.commit(writes))
        except PreconditionFailed as error:
            raise TransientError(reason, path) from error
