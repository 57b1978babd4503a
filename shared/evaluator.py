"""The evaluator: every minute, rollups, then the rules, then one commit of all that was decided.

One call:

1. reads the cursor ``evaluator/state`` and the alerts behind it;
2. publishes what is left in the outbox (a crash between commit and publish left it there); a bus that does not take
   it stops nothing of what follows, and is told once at the end;
3. rebuilds the minutes that ingest marked as late, and their hours;
4. for every minute T after the cursor, oldest first: waits until T + settle, rolls T up, reads what people said,
   ticks, and commits states, history, outbox and the cursor at once, on the condition that the cursor is still what
   was read. What a rollup breaks by stops no rule: T is judged with what there is, and the failure is told.

Two evaluators may run: whoever loses the race for the cursor writes nothing and stops. No T is judged twice, because
the cursor only moves with the commit that judged it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from .acks import ack_path_of
from .alerts import AlertState
from .buckets import SETTLE
from .bus import Bus
from .catch_up import CATCH_UP_AFTER, Missed, after_tick, missed_from_fields, missed_to_fields
from .cells import Cells
from .decided import decided, notifications_in
from .errors import MonitoringError, PermanentError, PreconditionFailed, TransientError
from .hours import hour_of, roll_up_hour
from .logs import log
from .monitoring_config import MonitoringConfig
from .records import alerts_in
from .retention import live
from .rollups import NOT_SETTLED, RolledUp, read_live, read_rollups, roll_up
from .silences import silence_from_fields
from .store import MAX_COMMIT_WRITES, Absent, Delete, Precondition, Put, Store, Unchanged, Write
from .telling import Hearing, escalation_due
from .tick import RuleFailure, TickResult, Transition, longest_reach_seconds, tick
from .timeline import MINUTE_SECONDS, from_minute, minute_floor, to_us

STATE_PATH = "evaluator/state"


CLOCK_SKEW_SECONDS = 10
PAST_SECONDS = 3600
"""How far back the first call ever rolls up; older minutes are rolled up when a late chunk comes for them."""


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
    """The last T that was judged (Unix seconds), and what must still hold when the next is committed.

    ``missed`` is what fired and ended during a catch-up that is not over; ``first`` the first T that was ever judged.
    """

    minute: int
    condition: Precondition
    missed: Missed = field(default_factory=Missed)
    first: int | None = None


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
            broken = self._read_minutes(minutes, minute)
            at = from_minute(minute)
            hearing = self._hearing(states, at)
            result = tick(self.config, minutes, states, at, hearing, broken)
            missed, summary = after_tick(self.config, cursor.missed, result, hearing)
            result = replace(result, notifications=(*result.notifications, *summary))
            try:
                cursor = self._commit(cursor, result, states, missed)
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
            return Cursor(minute_floor(now) - MINUTE_SECONDS, Absent(), first=minute_floor(now))
        missed = missed_from_fields(state.fields.get("missed", {}))
        first = state.fields.get("first_minute")
        return Cursor(int(state.fields["minute"]), Unchanged(state.update_time), missed, first)

    def _roll_up_past(self, newest: int) -> None:
        """Before the first evaluation ever: what came in time for the last hour, when nobody was there to see it."""
        for minute in range(newest - PAST_SECONDS + MINUTE_SECONDS, newest + MINUTE_SECONDS, MINUTE_SECONDS):
            with _contained([]):
                self._roll_up(minute)
                if minute == hour_of(minute):
                    roll_up_hour(self.store, minute, self.now())

    def _read_alerts(self) -> tuple[AlertState, ...]:
        documents = self.store.list("alerts").documents
        return tuple(alert for document in documents for alert in alerts_in(document))

    def _hearing(self, states: Sequence[AlertState], at: datetime) -> Hearing:
        """What people said: the silences, and of the alerts that are to be told again, who has acknowledged them."""
        late = self.now() - at > CATCH_UP_AFTER
        documents = live(self.store.list("silences").documents, self.now())
        silences = [silence_from_fields(document.id, document.fields) for document in documents]
        due = [ack_path_of(state) for state in states if escalation_due(self.config, state, at)]
        acknowledged = self.store.get([path for path in due if path is not None]) if due else {}
        return Hearing(silences, frozenset(acknowledged), late)

    def _wait_until_settled(self, minute: int) -> None:
        missing = from_minute(minute) + self.settle - self.now()
        if missing > timedelta(0):
            self.sleep(missing.total_seconds() + 0.05)

    def _read_minutes(self, minutes: dict[int, Cells], minute: int) -> list[str]:
        """Roll a minute up, and have all that the rules look back to: one read of what is not held yet; what failed."""
        first = minute - longest_reach_seconds(self.config) + MINUTE_SECONDS
        missing = [past for past in range(first, minute, MINUTE_SECONDS) if past not in minutes]
        broken: list[str] = []
        minutes.update(self._read_past(missing, broken))
        with _contained(broken):
            minutes[minute] = self._roll_up(minute).cells
        if broken:
            minutes[minute] = read_live(self.store, minute, self.now())
        if minute == hour_of(minute):
            with _contained(broken):
                roll_up_hour(self.store, minute, self.now())
        for past in [past for past in minutes if past < first]:
            del minutes[past]
        return broken

    def _read_past(self, minutes: Sequence[int], broken: list[str]) -> dict[int, Cells]:
        """The rollups of some minutes; of one that cannot be read, for good, what its chunks say."""
        found: dict[int, Cells] = {}
        with contextlib.suppress(PermanentError):
            return read_rollups(self.store, minutes, self.now()) if minutes else found
        for minute in minutes:
            failed: list[str] = []
            with _contained(failed):
                found |= read_rollups(self.store, [minute], self.now())
            if failed:
                found[minute] = read_live(self.store, minute, self.now())
            broken += failed
        return found

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
            with _contained([]):
                self._rebuild_hour(hour, due[hour])
                rebuilt += len(due[hour])
        return rebuilt

    def _rebuild_hour(self, hour: int, markers: dict[int, list[Write]]) -> None:
        """Rebuild the late minutes of an hour, then the hour, then delete each minute's markers.

        A minute's markers are deleted only if none was set again since they were read: otherwise all of them stay,
        and the next call rebuilds once more. So do they where a rollup fails for good, until they expire.
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

    def _commit(self, cursor: Cursor, result: TickResult, before: Sequence[AlertState], missed: Missed) -> Cursor:
        """All that a T decided, in one commit; idempotent, because the cursor it depends on moves with it."""
        minute = to_us(result.at) // 1_000_000
        state: dict[str, object] = {
            "minute": minute,
            "at": result.at,
            "config_hash": self.config.hash,
            "decided_at": self.now(),
            "missed": missed_to_fields(missed),
            "first_minute": cursor.first,
        }
        state["failures"] = [f"{failure.rule_id}: {failure.reason}" for failure in result.failures]
        writes = [Put(STATE_PATH, state, precondition=cursor.condition), *decided(before, result)]
        return Cursor(minute, Unchanged(self.store.commit(writes)), missed, cursor.first)

    def _publish_outbox(self, refused: list[MonitoringError]) -> int:
        """Publish what was decided and take it from the outbox; how many notifications.

        A crash between the two publishes again, under the same ids, which the deliveries make harmless. What the bus
        does not take stays; ``refused`` holds why, and once it does, nothing more is tried in this call.
        """
        published = 0
        for document in () if refused else self.store.list("outbox").documents:
            try:
                for notification_id, data in notifications_in(document):
                    self.bus.publish(self.notifications_topic, data, {"notification": notification_id})
                    published += 1
            except MonitoringError as error:
                refused.append(error)
                break
            self.store.commit([Delete(document.path)])
        return published


@contextlib.contextmanager
def _contained(failures: list[str]) -> Iterator[None]:
    """Note what fails for good in a rollup, and go on: whatever a minute breaks by, the rules must be judged."""
    try:
        yield
    except PermanentError as error:
        failures.append(str(error))
        log("rollup_failed", "ERROR", reason=error.reason, detail=error.detail)


def _report(ended: str, done: Sequence[TickResult], rebuilt: int, published: int) -> Report:
    return Report(
        ended,
        tuple(result.at for result in done),
        tuple(transition for result in done for transition in result.transitions),
        published,
        rebuilt,
        tuple(failure for result in done for failure in result.failures),
    )
