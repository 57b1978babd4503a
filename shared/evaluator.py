"""The evaluator: every minute, rollups, then the rules, then one commit of all that was decided.

One call:

1. reads the cursor ``evaluator/state`` and the alerts behind it;
2. publishes what is left in the outbox (a crash between commit and publish left it there); a bus that does not take
   it stops nothing of what follows, and is told once at the end;
3. rebuilds the minutes that ingest marked as late, and their hours;
4. for every minute T after the cursor, oldest first: waits until T + settle, rolls T up, ticks, and commits states,
   history, outbox and the cursor at once, on the condition that the cursor is still what was read.

Two evaluators may run: whoever loses the race for the cursor writes nothing and stops. No T is judged twice, because
the cursor only moves with the commit that judged it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from .alerts import AlertState
from .buckets import SETTLE
from .bus import Bus
from .cells import Cells
from .errors import MonitoringError, PreconditionFailed, TransientError
from .hours import hour_of, roll_up_hour
from .monitoring_config import MonitoringConfig
from .records import alert_from_fields, alert_to_fields, transition_to_fields
from .retention import live
from .rollups import NOT_SETTLED, RolledUp, read_rollups, roll_up
from .store import MAX_COMMIT_WRITES, Absent, Delete, Precondition, Put, Store, Unchanged, Write
from .tick import RuleFailure, TickResult, Transition, longest_reach_seconds, tick
from .timeline import MINUTE_SECONDS, from_minute, minute_floor, minute_id, to_us

STATE_PATH = "evaluator/state"
HISTORY_KEPT = timedelta(days=90)
PER_DOCUMENT = 200
"""Transitions or notifications in one document: about 1 KB each, a fifth of what a document holds."""
CLOCK_SKEW_SECONDS = 10
PAST_SECONDS = 3600
"""How far back the first call ever rolls up; older minutes are rolled up when a late chunk comes for them."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Report:
    """What one call did. ``ended`` names why it stopped: caught_up, out_of_time or lost_race."""

    ended: str
    evaluated: tuple[datetime, ...] = ()
    transitions: tuple[Transition, ...] = ()
    published: int = 0
    rebuilt_minutes: int = 0
    failures: tuple[RuleFailure, ...] = ()


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last T that was judged (Unix seconds), and what must still hold when the next is committed."""

    minute: int
    condition: Precondition


@dataclass(frozen=True, slots=True)
class Evaluator:
    """The function ``evaluate`` on its ports. ``now`` reads the clock (aware UTC), ``sleep`` waits seconds."""

    store: Store
    bus: Bus
    config: MonitoringConfig
    notifications_topic: str
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    settle: timedelta = SETTLE
    budget: timedelta = timedelta(seconds=50)

    def __call__(self) -> Report:
        """Evaluate every T that is due. Raises TransientError; calling again goes on where this stopped.

        ``outbox_unpublished`` says that all was judged and committed, but the bus did not take the notifications.
        """
        started = self.now()
        cursor = self._cursor(started)
        states = self._read_alerts()
        refused: list[MonitoringError] = []
        published = self._publish_outbox(refused)
        rebuilt = self._rebuild_late(cursor.minute, started + self.budget / 2)
        if isinstance(cursor.condition, Absent):
            self._roll_up_past(cursor.minute)
        minutes: dict[int, Cells] = {}
        done: list[TickResult] = []
        ended = "caught_up"
        for minute in range(cursor.minute + MINUTE_SECONDS, minute_floor(started) + MINUTE_SECONDS, MINUTE_SECONDS):
            if self.now() - started > self.budget:
                ended = "out_of_time"
                break
            self._wait_until_settled(minute)
            self._read_minutes(minutes, minute)
            result = tick(self.config, minutes, states, from_minute(minute))
            try:
                cursor = self._commit(cursor, result, states)
            except PreconditionFailed:
                ended = "lost_race"
                break
            states = result.states
            done.append(result)
            published += self._publish_outbox(refused) if result.notifications else 0
        if refused:
            raise TransientError("outbox_unpublished", str(refused[0])) from refused[0]
        return _report(ended, done, rebuilt, published)

    def _cursor(self, now: datetime) -> Cursor:
        """Where the evaluator stands; the first call ever begins with the newest minute that has ended."""
        state = self.store.get([STATE_PATH]).get(STATE_PATH)
        if state is None:
            return Cursor(minute_floor(now) - MINUTE_SECONDS, Absent())
        return Cursor(int(state.fields["minute"]), Unchanged(state.update_time))

    def _roll_up_past(self, newest: int) -> None:
        """Before the first evaluation ever: what came in time for the last hour, when nobody was there to see it."""
        for minute in range(newest - PAST_SECONDS + MINUTE_SECONDS, newest + MINUTE_SECONDS, MINUTE_SECONDS):
            self._roll_up(minute)
            if minute == hour_of(minute):
                roll_up_hour(self.store, minute, self.now())

    def _read_alerts(self) -> tuple[AlertState, ...]:
        documents = self.store.list("alerts").documents
        return tuple(alert_from_fields(raw) for document in documents for raw in document.fields["alerts"].values())

    def _wait_until_settled(self, minute: int) -> None:
        missing = from_minute(minute) + self.settle - self.now()
        if missing > timedelta(0):
            self.sleep(missing.total_seconds() + 0.05)

    def _read_minutes(self, minutes: dict[int, Cells], minute: int) -> None:
        """Roll a minute up, and have all that the rules look back to: one read of what is not held yet."""
        first = minute - longest_reach_seconds(self.config) + MINUTE_SECONDS
        missing = [past for past in range(first, minute, MINUTE_SECONDS) if past not in minutes]
        found = read_rollups(self.store, missing, self.now()) if missing else {}
        minutes.update({past: found[past] for past in missing if past in found})
        minutes[minute] = self._roll_up(minute).cells
        if minute == hour_of(minute):
            roll_up_hour(self.store, minute, self.now())
        for past in [past for past in minutes if past < first]:
            del minutes[past]

    def _roll_up(self, minute: int) -> RolledUp:
        """Roll a minute up; where the store's clock is behind ours, wait for it."""
        for _ in range(CLOCK_SKEW_SECONDS):
            try:
                return roll_up(self.store, minute, self.now(), self.settle)
            except TransientError as error:
                if error.reason != NOT_SETTLED:
                    raise
                self.sleep(1.0)
        return roll_up(self.store, minute, self.now(), self.settle)

    def _rebuild_late(self, cursor_minute: int, deadline: datetime) -> int:
        """Roll late minutes up again, hour by hour, newest first; what is left at the deadline waits.

        An hour is rebuilt with its minutes when it had ended by the time that one of them was written: before that,
        whoever builds it first sees them. The markers go last, so a crash repeats all of it.
        """
        due: dict[int, dict[int, list[Write]]] = {}
        for marker in live(self.store.list("late").documents, self.now()):
            minute = int(marker.fields["minute"])
            if minute <= cursor_minute:
                markers = due.setdefault(hour_of(minute), {})
                markers.setdefault(minute, []).append(Delete(marker.path, Unchanged(marker.update_time)))
        rebuilt = 0
        for hour in sorted(due, reverse=True):
            if self.now() > deadline:
                break
            self._rebuild_hour(hour, due[hour])
            rebuilt += len(due[hour])
        return rebuilt

    def _rebuild_hour(self, hour: int, markers: dict[int, list[Write]]) -> None:
        """Rebuild the late minutes of an hour, then the hour, then delete each minute's markers.

        A minute's markers are deleted only if none was set again since they were read: otherwise all of them stay,
        and the next call rebuilds once more.
        """
        written = [self._roll_up(minute).committed_at for minute in sorted(markers)]
        if any(at is not None and at >= from_minute(hour) for at in written):
            roll_up_hour(self.store, hour, self.now())
        for deletions in markers.values():
            self._delete_markers(deletions)

    def _delete_markers(self, deletions: list[Write]) -> None:
        for start in range(0, len(deletions), MAX_COMMIT_WRITES):
            try:
                self.store.commit(deletions[start : start + MAX_COMMIT_WRITES])
            except PreconditionFailed:
                return  # one was set again, or the other evaluator was quicker: the next call sees which

    def _commit(self, cursor: Cursor, result: TickResult, before: Sequence[AlertState]) -> Cursor:
        """All that a T decided, in one commit; idempotent, because the cursor it depends on moves with it."""
        minute = to_us(result.at) // 1_000_000
        state: dict[str, object] = {
            "minute": minute,
            "at": result.at,
            "config_hash": self.config.hash,
            "decided_at": self.now(),
        }
        state["failures"] = [f"{failure.rule_id}: {failure.reason}" for failure in result.failures]
        writes: list[Write] = [Put(STATE_PATH, state, precondition=cursor.condition)]
        writes += _alert_writes(before, result.states)
        writes += _history_writes(result)
        writes += _outbox_writes(result)
        return Cursor(minute, Unchanged(self.store.commit(writes)))

    def _publish_outbox(self, refused: list[MonitoringError]) -> int:
        """Publish what was decided and take it from the outbox; how many notifications.

        A crash between the two publishes again, under the same ids, which the deliveries make harmless. What the bus
        does not take stays; ``refused`` holds why, and once it does, nothing more is tried in this call.
        """
        published = 0
        for document in () if refused else self.store.list("outbox").documents:
            try:
                for notification_id, data in sorted(document.fields["notifications"].items()):
                    self.bus.publish(self.notifications_topic, data, {"notification": notification_id})
                    published += 1
            except MonitoringError as error:
                refused.append(error)
                break
            self.store.commit([Delete(document.path)])
        return published


def _alert_writes(before: Sequence[AlertState], after: Sequence[AlertState]) -> list[Write]:
    """One document a rule, for the rules whose alerts changed."""
    rules = {alert.rule_id for alert in (*before, *after)}
    writes: list[Write] = []
    for rule_id in sorted(rules):
        old = [alert for alert in before if alert.rule_id == rule_id]
        new = [alert for alert in after if alert.rule_id == rule_id]
        if old != new:
            writes.append(Put(f"alerts/{rule_id}", {"alerts": {a.fingerprint: alert_to_fields(a) for a in new}}))
    return writes


def _history_writes(result: TickResult) -> list[Write]:
    """The transitions of a T, ``PER_DOCUMENT`` to a document, so that a storm fits one commit."""
    expires_at = result.at + HISTORY_KEPT
    return [
        Put(
            f"history/{_part_id(result.at, part)}",
            {"transitions": [*map(transition_to_fields, some)], "expires_at": expires_at},
        )
        for part, some in enumerate(_parts(result.transitions))
    ]


def _outbox_writes(result: TickResult) -> list[Write]:
    """The notifications of a T, ``PER_DOCUMENT`` to a document."""
    return [
        Put(f"outbox/{_part_id(result.at, part)}", {"notifications": {told.id: told.to_json() for told in some}})
        for part, some in enumerate(_parts(result.notifications))
    ]


def _part_id(at: datetime, part: int) -> str:
    return f"{minute_id(to_us(at) // 1_000_000)}~{part:03}"


def _parts(items: tuple[T, ...]) -> list[tuple[T, ...]]:
    return [items[start : start + PER_DOCUMENT] for start in range(0, len(items), PER_DOCUMENT)]


def _report(ended: str, done: Sequence[TickResult], rebuilt: int, published: int) -> Report:
    return Report(
        ended,
        tuple(result.at for result in done),
        tuple(transition for result in done for transition in result.transitions),
        published,
        rebuilt,
        tuple(failure for result in done for failure in result.failures),
    )
