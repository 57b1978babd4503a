"""The safeguards of alerting, each taken away where it lives, to show that the nights notice.

Each takes a patch that whoever calls it undoes, and leaves one bug there: what somebody could write by mistake.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

import pytest

from shared import acks, caps, deliveries, evaluator, reactions, together
from shared.alerts import AlertState
from shared.decided import decided, notifications_in
from shared.deliveries import Conversation, Delivery
from shared.errors import MonitoringError
from shared.evaluator import Cursor, Evaluator
from shared.hooks import KNOWN_FOR, Hooks
from shared.notifications import Notification
from shared.notify import Delivered, Notify
from shared.store import Delete, Precondition, Put, Write
from shared.tick import TickResult
from shared.turns import Known, Turns
from tests.nights import run_night

Recorded = TypeVar("Recorded", Delivery, Conversation)
Breakage: TypeAlias = Callable[[pytest.MonkeyPatch], None]
"""Takes one safeguard away."""


def cursor_without_condition(patch: pytest.MonkeyPatch) -> None:
    """The cursor is committed whatever it has become."""

    def put(path: str, fields: dict[str, object], precondition: Precondition) -> Put:
        assert precondition is not None
        return Put(path, fields)

    patch.setattr(evaluator, "Put", put)


def alerts_before_the_cursor(patch: pytest.MonkeyPatch) -> None:
    """The alerts are read first and the cursor that guards them after."""
    read: dict[int, tuple[AlertState, ...]] = {}
    cursor_of, alerts_of = Evaluator._cursor, Evaluator._read_alerts

    def cursor(self: Evaluator, now: Any) -> Cursor:
        read[id(self)] = alerts_of(self)
        return cursor_of(self, now)

    patch.setattr(Evaluator, "_cursor", cursor)
    patch.setattr(Evaluator, "_read_alerts", lambda self: read[id(self)])


def outbox_deleted_first(patch: pytest.MonkeyPatch) -> None:
    """The outbox is emptied, and published after that."""

    def publish(self: Evaluator, refused: list[MonitoringError]) -> int:
        published = 0
        for document in () if refused else self.store.list("outbox").documents:
            self.store.commit([Delete(document.path)])
            try:
                for told, data in notifications_in(document):
                    self.bus.publish(self.notifications_topic, data, {"notification": told})
                    published += 1
            except MonitoringError as error:
                refused.append(error)
                break
        return published

    patch.setattr(Evaluator, "_publish_outbox", publish)


def acks_written_over(patch: pytest.MonkeyPatch) -> None:
    """The evaluator writes acknowledgements, too."""

    def with_acks(before: Sequence[AlertState], result: TickResult) -> list[Write]:
        known = [acks.Ack(one.fingerprint, one.fired_at, "nobody", result.at) for one in before if one.fired_at]
        return [*decided(before, result), *(replace(one.write(), precondition=None) for one in known)]

    patch.setattr(evaluator, "decided", with_acks)


def taken_blindly(patch: pytest.MonkeyPatch) -> None:
    """Of two people the second has it."""
    patch.setattr(acks, "Absent", lambda: None)


def acks_unread(patch: pytest.MonkeyPatch) -> None:
    """The evaluator asks for nobody's acknowledgement."""
    patch.setattr(evaluator, "escalation_due", lambda *_: False)


def id_of_an_attempt(patch: pytest.MonkeyPatch) -> None:
    """A delivery is claimed and recorded under an id that names the attempt."""
    deliver, path_of = Notify._deliver, deliveries.delivery_path
    attempts: Counter[int] = Counter()

    def attempt(self: Notify, told: Notification, name: str) -> Delivered:
        attempts[threading.get_ident()] += 1
        return deliver(self, told, name)

    patch.setattr(Notify, "_deliver", attempt)
    patch.setattr(
        deliveries, "delivery_path", lambda told, name: path_of(f"{told}-{attempts[threading.get_ident()]}", name)
    )


def claimed_blindly(patch: pytest.MonkeyPatch) -> None:
    """A delivery and the turn are claimed whatever they have become."""
    claim = Turns.claim

    def blindly(self: Turns, delivery: Delivery, conversation: Conversation) -> tuple[Delivery, Conversation]:
        return claim(self, _unread(delivery), _unread(conversation))

    patch.setattr(Turns, "claim", blindly)


def recorded_blindly(patch: pytest.MonkeyPatch) -> None:
    """The outcome of a delivery is recorded though somebody has taken over."""
    record = Turns.record

    def blindly(self: Turns, delivery: Delivery, conversation: Conversation) -> tuple[Delivery, Conversation]:
        return record(self, _unread(delivery), _unread(conversation))

    patch.setattr(Turns, "record", blindly)


def _unread(what: Recorded) -> Recorded:
    return replace(what, read=None)  # type: ignore[arg-type]  # the safeguard that is missing


def sent_after_the_lease(patch: pytest.MonkeyPatch) -> None:
    """A sender that was frozen sends all the same."""
    patch.setattr(Notify, "_check_lease", lambda *_: None)


def spoken_at_once(patch: pytest.MonkeyPatch) -> None:
    """In a conversation whoever comes speaks, whoever else does."""
    patch.setattr(Conversation, "is_busy", lambda *_: False)


def _known_as(patch: pytest.MonkeyPatch, change: Callable[[Known], Known]) -> None:
    read = Turns.read
    patch.setattr(Turns, "read", lambda self, told, channel: change(read(self, told, channel)))


def out_of_order(patch: pytest.MonkeyPatch) -> None:
    """What is told next does not wait for what was told before."""
    _known_as(patch, lambda known: replace(known, earlier=()))


def end_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A conversation does not know that it has ended."""
    _known_as(patch, lambda known: replace(known, conversation=replace(known.conversation, end="", ended_at=None)))


def one_for_all_channels(patch: pytest.MonkeyPatch) -> None:
    """What began on one channel is the conversation on all."""
    patch.setattr(Notification, "conversation_on", lambda self, _: self.conversation)


def told_apart(patch: pytest.MonkeyPatch) -> None:
    """Alerts that fire together are told one by one."""
    patch.setattr(evaluator, "together", lambda result: result)


def led_by_nobody(patch: pytest.MonkeyPatch) -> None:
    """An alert that was told with others does not remember under whose name."""
    patch.setattr(together, "_led", lambda state, _: state)


def left_undone(patch: pytest.MonkeyPatch) -> None:
    """What a sender did after others had gone on without it stays."""
    patch.setattr(Notify, "_undo", lambda *_: None)


def told_nowhere_instead(patch: pytest.MonkeyPatch) -> None:
    """What a channel refuses is told by no other."""
    patch.setattr(Notify, "_elsewhere", lambda *_: [])


def end_told_to_its_own(patch: pytest.MonkeyPatch) -> None:
    """The end of what another channel told in place of its own is not told there."""
    patch.setattr(Turns, "elsewhere", lambda *_: [])


def told_where_the_first_was(patch: pytest.MonkeyPatch) -> None:
    """What somebody does about several alerts is told where the first of them was told, and nowhere else."""
    parts = reactions._parts
    patch.setattr(reactions, "_parts", lambda alerts: parts(alerts)[:1])


def known_before_it_is_done(patch: pytest.MonkeyPatch) -> None:
    """A request counts as answered as soon as it is read."""
    unknown = Hooks._unknown

    def noted(self: Hooks, signature: bytes) -> str:
        path = unknown(self, signature)
        self.store.commit([Put(path, {"expires_at": self.now() + KNOWN_FOR})])
        return path

    patch.setattr(Hooks, "_unknown", noted)


def wish_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A receiver that asks to be left alone until a time is asked again at once."""
    _known_as(patch, lambda known: replace(known, delivery=replace(known.delivery, not_before=None)))


def summary_of_an_attempt(patch: pytest.MonkeyPatch) -> None:
    """Whoever comes first after the minute names itself alone in the summary."""
    hold = caps._hold

    def alone(known: dict[str, Any], told: Notification) -> None:
        known["held"] = {}
        hold(known, told)

    patch.setattr(caps, "_hold", alone)


SHOWN_SOON: dict[str, tuple[Breakage, str]] = {
    "no condition on the cursor": (cursor_without_condition, "every T is judged once"),
    "outbox deleted before it is published": (outbox_deleted_first, "has seen"),
    "acknowledgements written over by the evaluator": (
        acks_written_over,
        "no acknowledgement is lost|who has an alert",
    ),
    "acknowledgements are not read": (acks_unread, "notifications are what the definitions give"),
    "an id that names the attempt": (id_of_an_attempt, "what is sent is claimed under its id"),
    "no condition on the claim": (claimed_blindly, "one sends at a time|is not sent again"),
    "no wait for what was told before": (out_of_order, "comes after"),
    "an end that is forgotten": (end_forgotten, "nothing is told after the end|comes after"),
    "alerts that are told apart": (told_apart, "told together"),
    "no name of the conversation": (led_by_nobody, "knows what was told"),
    "what is refused is told nowhere": (told_nowhere_instead, "is told elsewhere"),
    "the end is told to its own channels only": (end_told_to_its_own, "sees is the end"),
    "a request that is known before it is done": (
        known_before_it_is_done,
        "who presses a button has the alert|told where it was told",
    ),
}
"""What shows within a few nights, and what promise is found broken."""
SHOWN_LATE: dict[str, tuple[Breakage, str]] = {
    "of two who take an alert the second has it": (taken_blindly, "no acknowledgement is lost|who has an alert"),
    "no condition on the record": (recorded_blindly, "is not sent again|nor a dead letter|has seen"),
    "alerts read before the cursor": (
        alerts_before_the_cursor,
        "no state is skipped|states are what the definitions give",
    ),
    "two speak at once": (spoken_at_once, "one speaks at a time|one sends at a time"),
    "one conversation for all channels": (one_for_all_channels, "only what is over is superseded"),
    "what came too late stays": (left_undone, "too late is undone"),
    "a wish to be left alone is forgotten": (wish_forgotten, "asks to be left alone"),
    "a summary of one attempt": (summary_of_an_attempt, "is in the summary"),
    "what people do is told where the first was": (told_where_the_first_was, "told where it was told"),
    "sent after the lease": (sent_after_the_lease, "is not sent again|one sends at a time|comes after"),
}
"""What shows in one of forty nights, or of some hundreds."""


def play_until_it_shows(nights: int) -> None:
    """Play nights one after the other; whatever is found in one is raised."""
    for seed in range(nights):
        run_night(seed)


def expect(breakage: Breakage, found: str, nights: int) -> None:
    """Within some nights a broken safeguard must break what it guards, and the night says how to play it again."""
    with pytest.MonkeyPatch.context() as patch:
        breakage(patch)
        with pytest.raises(AssertionError, match=found) as raised:
            play_until_it_shows(nights)
    assert "to play it again: .venv/bin/python -c" in raised.value.__notes__[0]
