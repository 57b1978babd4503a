"""Nights on call: exactly one firing and one resolution an episode, whatever happens; and no safeguard is spare.

``make soak`` plays 10,000 of them.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from shared import acks, evaluator, notify
from shared.alerts import AlertState
from shared.decided import decided, notifications_in
from shared.errors import MonitoringError
from shared.evaluator import Cursor, Evaluator
from shared.notifications import Notification
from shared.notify import Delivered, DeliveryState, Notify
from shared.store import Delete, Precondition, Put, Write
from shared.tick import TickResult
from tests.nights import run_night

NIGHTS = range(100)
AT_MOST = 300
"""Nights until a broken safeguard must have shown."""


@pytest.mark.parametrize("block", range(0, len(NIGHTS), 20))
def test_nights_on_call(block: int) -> None:
    """Each episode is told once to fire and once to end, in order, and nothing is judged twice, skipped or lost."""
    for seed in NIGHTS[block : block + 20]:
        run_night(seed)


def _cursor_without_condition(patch: pytest.MonkeyPatch) -> None:
    """The cursor is committed whatever it has become."""

    def put(path: str, fields: dict[str, object], precondition: Precondition) -> Put:
        assert precondition is not None
        return Put(path, fields)

    patch.setattr(evaluator, "Put", put)


def _alerts_before_the_cursor(patch: pytest.MonkeyPatch) -> None:
    """The alerts are read first and the cursor that guards them after."""
    read: dict[int, tuple[AlertState, ...]] = {}
    cursor_of, alerts_of = Evaluator._cursor, Evaluator._read_alerts

    def cursor(self: Evaluator, now: Any) -> Cursor:
        read[id(self)] = alerts_of(self)
        return cursor_of(self, now)

    patch.setattr(Evaluator, "_cursor", cursor)
    patch.setattr(Evaluator, "_read_alerts", lambda self: read[id(self)])


def _outbox_deleted_first(patch: pytest.MonkeyPatch) -> None:
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


def _acks_written_over(patch: pytest.MonkeyPatch) -> None:
    """The evaluator writes acknowledgements, too."""

    def with_acks(before: Sequence[AlertState], result: TickResult) -> list[Write]:
        known = [acks.Ack(one.fingerprint, one.fired_at, "nobody", result.at) for one in before if one.fired_at]
        return [*decided(before, result), *(replace(one.write(), precondition=None) for one in known)]

    patch.setattr(evaluator, "decided", with_acks)


def _taken_blindly(patch: pytest.MonkeyPatch) -> None:
    """Of two people the second has it."""
    patch.setattr(acks, "Absent", lambda: None)


def _acks_unread(patch: pytest.MonkeyPatch) -> None:
    """The evaluator asks for nobody's acknowledgement."""
    patch.setattr(evaluator, "escalation_due", lambda *_: False)


def _id_of_an_attempt(patch: pytest.MonkeyPatch) -> None:
    """A delivery is claimed and recorded under an id that names the attempt."""
    deliver, path_of = Notify._deliver, notify.delivery_path
    attempts: Counter[int] = Counter()

    def attempt(self: Notify, told: Notification, name: str) -> Delivered:
        attempts[threading.get_ident()] += 1
        return deliver(self, told, name)

    patch.setattr(Notify, "_deliver", attempt)
    patch.setattr(Notify, "_wait_for_earlier", lambda *_: None)
    patch.setattr(
        notify, "delivery_path", lambda told, name: path_of(f"{told}-{attempts[threading.get_ident()]}", name)
    )


def _claimed_blindly(patch: pytest.MonkeyPatch) -> None:
    """A delivery is claimed whatever it has become."""
    patch.setattr(notify, "_as_read", lambda _: None)


def _recorded_blindly(patch: pytest.MonkeyPatch) -> None:
    """The outcome of a delivery is recorded though somebody has taken over."""
    record = Notify._record

    def blindly(
        self: Notify, told: Notification, name: str, _: Precondition, state: DeliveryState, detail: str
    ) -> Delivered:
        return record(self, told, name, None, state, detail)  # type: ignore[arg-type]  # the safeguard that is missing

    patch.setattr(Notify, "_record", blindly)


def _sent_after_the_lease(patch: pytest.MonkeyPatch) -> None:
    """A sender that was frozen sends all the same."""
    patch.setattr(Notify, "_check_lease", lambda *_: None)


def _out_of_order(patch: pytest.MonkeyPatch) -> None:
    """A resolution does not wait for its firing."""
    patch.setattr(Notify, "_wait_for_earlier", lambda *_: None)


def _play_until_it_shows() -> None:
    for seed in range(AT_MOST):
        run_night(seed)


SAFEGUARDS: list[tuple[Callable[[pytest.MonkeyPatch], None], str]] = [
    (_cursor_without_condition, "every T is judged once"),
    (_alerts_before_the_cursor, "no state is skipped|states are what the definitions give"),
    (_outbox_deleted_first, "has seen"),
    (_acks_written_over, "no acknowledgement is lost"),
    (_taken_blindly, "no acknowledgement is lost|who has an alert"),
    (_acks_unread, "notifications are what the definitions give"),
    (_id_of_an_attempt, "what is sent is claimed under its id"),
    (_claimed_blindly, "one sends at a time|is not sent again"),
    (_recorded_blindly, "is not sent again|nor a dead letter"),
    (_sent_after_the_lease, "is not sent again"),
    (_out_of_order, "comes after"),
]


@pytest.mark.parametrize(("broken", "found"), SAFEGUARDS, ids=[one.__name__.strip("_") for one, _ in SAFEGUARDS])
def test_no_safeguard_is_spare(broken: Callable[[pytest.MonkeyPatch], None], found: str) -> None:
    """Without any one of the safeguards the nights find what it guards broken, and say how to play that night again."""
    with pytest.MonkeyPatch.context() as patch:
        broken(patch)
        with pytest.raises(AssertionError, match=found) as raised:
            _play_until_it_shows()
    assert "to play it again: python -c" in raised.value.__notes__[0]
