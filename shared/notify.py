"""Notify: a notification reaches each of its channels, and all that belong together make one conversation there.

For each channel, apart from the others:

1. read the delivery, the conversation, and what went before (``turns``); a delivery that is done is done;
2. what tells of something that is over by now is superseded: the end, which waits behind it, tells it all;
3. what follows an earlier notification waits (transient) until that one's delivery is done, because push keeps no
   order; the end of a conversation waits ten minutes at most, and then goes first;
4. what begins a conversation beyond the channel's cap is held, and summed up when its minute is over (``caps``);
5. claim the delivery and the turn in the conversation, in one commit, on the condition that both are what was read:
   of any number of deliveries in a conversation one speaks; who was frozen until its lease had ended says nothing,
   because another may have taken over and the next be told already;
6. send; record the outcome and give the turn back, on the condition that the turn is still ours.

A crash after the send leaves the lease; when it has expired the notification is sent again, under the same key and
with the word that the receiver may know it (``Turn.attempted_at``): a duplicate is preferred to a loss. A sender that
outlived its lease learns so at the record; when the conversation has ended meanwhile, or is another message, it notes
that, and what it did is undone by it or by whoever comes next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from .acks import ack_path, read_acks
from .bus import Message
from .caps import hold_or_count, sum_up
from .channels import Answer, Busy, Channel, Evidence, Evidences, Gone, Partly, Turn, no_evidence
from .deliveries import HEARD, UNHEARD, Conversation, Delivery, DeliveryState
from .errors import PermanentError, TransientError
from .logs import log
from .notices import FALLBACKS, notice_of_outage
from .notifications import Notification, NotificationKind, notification_from_json
from .outages import Outage
from .store import Store
from .turns import Known, Turns

PATIENCE = timedelta(minutes=10)
"""How long the end of a conversation waits for what it ends."""
_FIRST = {"pagerduty"}
"""Channels that wake somebody wait for no other."""
_SUMMED = {NotificationKind.FIRING, NotificationKind.RESOLVED}
"""What may be told in one message with others."""
_ALONE = {NotificationKind.NOTICE, NotificationKind.SUMMARY}
"""What nothing follows."""


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
    evidence: Evidences = no_evidence

    def __call__(self, message: Message) -> list[Delivered]:
        """Deliver one notification to all its channels; a failing one never stops the others.

        Raises PermanentError for a message that is no notification, and TransientError once at the end when any
        channel has to be tried again; those that are done are not sent again then.
        """
        notification = notification_from_json(message.data)
        outcomes: list[Delivered] = []
        failed: list[TransientError] = []
        for name in sorted(notification.channels, key=lambda name: name not in _FIRST):
            try:
                outcomes.append(self._deliver(notification, name))
            except TransientError as error:
                failed.append(error)
        if failed:
            raise TransientError(failed[0].reason, "; ".join(str(error) for error in failed)) from failed[0]
        if _is_unheard(notification, [one.state for one in outcomes]):
            outcomes += self._elsewhere(notification, notification.channels)
        if notification.kind is NotificationKind.RESOLVED:
            told = {one.channel for one in outcomes}
            others = [name for name in self._turns.elsewhere(notification) if name in self.channels]
            outcomes += [self._deliver(notification, name) for name in others if name not in told]
        return outcomes

    @property
    def _turns(self) -> Turns:
        return Turns(self.store, self.now)

    def _elsewhere(self, notification: Notification, but: tuple[str, ...]) -> list[Delivered]:
        """Deliver through the first other channel that takes it: an alert is not lost with its channel.

        The conversation notes first who tells it, so that its end is told there too; after the end nothing is left to
        tell.
        """
        tried: list[Delivered] = []
        for name in FALLBACKS:
            if name in self.channels and name not in but:
                tried.append(self._instead(notification, name))
                if tried[-1].state in HEARD:
                    break
        return tried

    def _instead(self, notification: Notification, name: str) -> Delivered:
        """Deliver through a channel that was not asked for."""
        if notification.kind not in _ALONE:
            noted = self._turns.note_elsewhere(notification, name)
            delivery = self._turns.read(notification, name).delivery
            if noted.end not in ("", notification.id) and not delivery.is_done:
                self._check_free(delivery)
                return _told(self._turns.settle(delivery, DeliveryState.SUPERSEDED, noted.end))
        return self._deliver(notification, name)

    def _deliver(self, notification: Notification, name: str) -> Delivered:
        known = self._turns.read(notification, name)
        channel = self.channels.get(name)
        if known.conversation.late and channel is not None and not known.conversation.is_busy(self.now()):
            self._undo(notification, channel, known.conversation)
            known = self._turns.read(notification, name)
        if known.delivery.is_done:
            return _told(known.delivery)
        self._check_free(known.delivery)
        if channel is None:
            return _told(self._turns.settle(known.delivery, DeliveryState.SKIPPED, "not set up"))
        if known.outage is not None and known.outage.setup == channel.setup:
            self._tell_outage(notification, known.outage)
            if notification.ends_on(name) and not known.conversation.end:
                self._turns.note_end(replace(known.conversation, end=notification.id, ended_at=self.now()))
            return _told(self._turns.settle(known.delivery, DeliveryState.DISABLED, known.outage.why))
        if known.conversation.end not in ("", notification.id):
            return _told(self._turns.settle(known.delivery, DeliveryState.SUPERSEDED, known.conversation.end))
        conversation = self._with_end(notification, known)
        self._wait(replace(known, conversation=conversation))
        if self._may_be_too_much(notification, channel, conversation):
            summary = self._capped(notification, channel, known.delivery)
            if summary is not None:
                return summary
        return self._send(notification, channel, *self._turns.claim(known.delivery, conversation))

    def _check_free(self, delivery: Delivery) -> None:
        """Raise TransientError while somebody's lease holds: nobody else says what became of it, sent or not."""
        if delivery.state is DeliveryState.CLAIMED and not self._is_over(delivery):
            raise TransientError("delivery_claimed", f"{delivery.path} until {delivery.until}")

    def _check_lease(self, delivery: Delivery) -> None:
        """Raise TransientError when our lease is over before anything was sent: instances freeze for minutes."""
        if self._is_over(delivery):
            raise TransientError("delivery_lease_over", delivery.path)

    def _is_over(self, delivery: Delivery) -> bool:
        return delivery.until is not None and self.now() >= delivery.until

    def _with_end(self, notification: Notification, known: Known) -> Conversation:
        """The conversation with its end, when this is it; written at once when it has to wait."""
        if known.conversation.end or not notification.ends_on(known.delivery.channel):
            return known.conversation
        ended = replace(known.conversation, end=notification.id, ended_at=self.now())
        return self._turns.note_end(ended) if known.earlier or ended.is_busy(self.now()) else ended

    def _wait(self, known: Known) -> None:
        """Raise TransientError while it is not this notification's turn."""
        now, conversation, delivery = self.now(), known.conversation, known.delivery
        if conversation.is_busy(now):
            raise TransientError("conversation_busy", f"{conversation.path} until {conversation.until}")
        if delivery.not_before is not None and now < delivery.not_before:
            raise TransientError("told_to_wait", f"{delivery.path} until {delivery.not_before}")
        if known.earlier and (conversation.ended_at is None or now < conversation.ended_at + PATIENCE):
            raise TransientError("waiting_for_earlier", known.earlier[0].path)

    def _may_be_too_much(self, notification: Notification, channel: Channel, conversation: Conversation) -> bool:
        """Whether this begins a conversation, and on a channel that counts them."""
        begins = not conversation.handle and conversation.attempted_at is None
        return begins and channel.max_per_minute is not None and notification.kind in _SUMMED

    def _capped(self, notification: Notification, channel: Channel, delivery: Delivery) -> Delivered | None:
        """None where there is room; otherwise what became of the message that sums it up.

        Raises TransientError until that can be sent.
        """
        if delivery.state is not DeliveryState.HELD:
            held = hold_or_count(self.store, delivery.channel, notification, channel.max_per_minute or 0, self.now())
            if not held:
                return None
            self._turns.settle(replace(delivery, held_in=held), DeliveryState.HELD, "over the cap")
            raise TransientError("over_the_cap", f"{delivery.path} in {held}")
        summary = sum_up(self.store, delivery.held_in, notification, self.now())
        told = self._deliver(summary, delivery.channel)
        state = DeliveryState.SUMMED if told.state in HEARD else told.state
        return _told(self._turns.settle(delivery, state, summary.id))

    def _send(
        self, notification: Notification, channel: Channel, delivery: Delivery, conversation: Conversation
    ) -> Delivered:
        begun = self.now()
        unknown = replace(conversation, attempted_at=conversation.attempted_at or begun)
        turn = Turn(begun, conversation.handle, conversation.attempted_at, self._evidence(notification))
        self._check_lease(delivery)
        try:
            answer = channel.send(notification, turn)
        except PermanentError as error:
            refused = replace(delivery, state=DeliveryState.REFUSED, detail=str(error))
            _, after = self._turns.record(refused, conversation)
            log("delivery_refused", "ERROR", delivery=refused.path, reason=error.reason, detail=error.detail)
            if isinstance(error, Gone):
                self._disable(notification, delivery.channel, channel, error)
            if after.late:
                self._undo(notification, channel, after)
            return _told(refused)
        except TransientError as error:
            wish = error.not_before if isinstance(error, Busy) else None
            is_certain = isinstance(error, Busy) and error.is_certain
            if isinstance(error, Partly):
                conversation = replace(conversation, handle=error.handle)
            self._failed(delivery, conversation if is_certain else unknown, str(error), wish)
            raise
        except Exception as error:  # a channel that breaks is tried again, and stops no other
            self._failed(delivery, unknown, f"channel_broken: {type(error).__name__}")
            raise TransientError("channel_broken", f"{delivery.channel}: {type(error).__name__}") from error
        spoken = replace(conversation, handle=answer.handle or conversation.handle, attempted_at=None)
        sent = replace(delivery, state=DeliveryState.SENT, detail=answer.detail)
        try:
            _, after = self._turns.record(sent, spoken)
        except TransientError:
            self._late(notification, channel, delivery.channel, answer)
            raise
        if after.late:
            self._undo(notification, channel, after)
        return _told(sent)

    def _failed(
        self, delivery: Delivery, conversation: Conversation, detail: str, not_before: datetime | None = None
    ) -> None:
        failed = replace(delivery, state=DeliveryState.FAILED, detail=detail, not_before=not_before)
        self._turns.record(failed, conversation)

    def _evidence(self, notification: Notification) -> Evidence:
        """What else is known, with who has it."""
        known = self.evidence(notification)
        if notification.kind in _ALONE:
            return known
        path = ack_path(notification.fingerprint, notification.fired_at)
        return replace(known, ack=read_acks(self.store, [path], self.now()).get(path))

    def _late(self, notification: Notification, channel: Channel, name: str, answer: Answer) -> None:
        """Our send was so late that others went on without it: what it did beside them is undone.

        By us, or, while somebody else speaks, by them when they have done.
        """
        late = {**answer.handle, "notification": notification.id}
        current = self._turns.mark_late(notification.conversation_on(name), name, late)
        if not current.is_busy(self.now()):
            self._undo(notification, channel, current)

    def _undo(self, notification: Notification, channel: Channel, conversation: Conversation) -> None:
        """Put right what came too late. What the receiver refuses to have put right stays: nobody can do more."""
        turn = Turn(self.now(), conversation.handle, is_over=bool(conversation.end))
        for late in conversation.late:
            try:
                channel.undo(notification, late, turn)
            except PermanentError as error:
                log("not_undone", "WARNING", channel=conversation.channel, reason=error.reason, detail=error.detail)
        self._turns.mark_undone(conversation)

    def _disable(self, notification: Notification, name: str, channel: Channel, error: Gone) -> None:
        """Ask a channel no more, and tell it through another."""
        outage = Outage(name, self.now(), str(error), channel.setup)
        self.store.commit([outage.write()])
        log("channel_gone", "ERROR", channel=name, reason=error.reason, detail=error.detail)
        self._tell_outage(notification, outage)

    def _tell_outage(self, notification: Notification, outage: Outage) -> None:
        """Tell it once; a notice about another channel does not tell it, or two that refuse would tell for ever."""
        if outage.told or notification.kind is NotificationKind.NOTICE:
            return
        notice = notice_of_outage(outage, notification.config_hash)
        self._elsewhere(notice, (outage.channel,))
        self.store.commit([replace(outage, told=True).write()])


def _is_unheard(notification: Notification, states: list[DeliveryState]) -> bool:
    """Whether nobody heard who should have: all refuse it, or an alert goes where nothing is set up.

    A digest for which no channel is set up is told nowhere.
    """
    if any(state in HEARD for state in states):
        return False
    return any(state in UNHEARD for state in states) or (bool(states) and notification.kind not in _ALONE)


def _told(delivery: Delivery) -> Delivered:
    return Delivered(delivery.channel, delivery.state or DeliveryState.FAILED, delivery.detail)
