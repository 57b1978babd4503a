"""The evaluator: every minute, rollups, then the rules, then one commit of all that was decided.

One call:

1. reads the cursor ``evaluator/state`` and the alerts behind it;
2. publishes what is left in the outbox (a crash between commit and publish left it there); a bus that does not take
   it stops nothing of what follows, and is told once at the end;
3. rebuilds the minutes that ingest marked as late or that failed, and their hours;
4. for every minute T after the cursor, oldest first: waits until T + settle, rolls T up, reads what people said,
   ticks, and commits states, history, outbox and the cursor at once, on the condition that the cursor is still what
   was read. What a rollup breaks by stops no rule: T is judged with what there is, and the failure is told.

Two evaluators may run: whoever loses the race for the cursor writes nothing and stops. No T is judged twice, because
the cursor only moves with the commit that judged it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from .acks import ack_path_of, read_acks
from .alerts import AlertState
from .buckets import SETTLE
from .bus import Bus
from .catch_up import CATCH_UP_AFTER, Missed, after_tick, missed_from_fields, missed_to_fields
from .decided import decided, notifications_in
from .errors import MonitoringError, PreconditionFailed, TransientError
from .monitoring_config import MonitoringConfig
from .records import alerts_in
from .rolling import Rolling
from .silences import read_silences
from .store import Absent, Delete, Precondition, Put, Store, Unchanged
from .telling import Hearing, escalation_due
from .tick import RuleFailure, TickResult, Transition, longest_reach_seconds, tick
from .timeline import MINUTE_SECONDS, from_minute, minute_floor, to_us

STATE_PATH = "evaluator/state"


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

    ``missed`` is what fired and ended during a catch-up that is not over, ``failed`` are minutes to roll up again,
    ``first`` is the first T that was ever judged.
    """

    minute: int
    condition: Precondition
    missed: Missed = field(default_factory=Missed)
    failed: tuple[int, ...] = ()
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
        rolling = Rolling(self.store, self.now, self.sleep, self.settle, failed=set(cursor.failed))
        rebuilt = rolling.rebuild(cursor.minute, started + self.budget / 2)
        if isinstance(cursor.condition, Absent):
            rolling.roll_up_past(cursor.minute)
        done: list[TickResult] = []
        ended = "caught_up"
        for minute in range(cursor.minute + MINUTE_SECONDS, minute_floor(started) + MINUTE_SECONDS, MINUTE_SECONDS):
            if self.now() - started > self.budget:
                ended = "out_of_time"
                break
            rolling.wait_until_settled(minute)
            broken = rolling.read(minute, longest_reach_seconds(self.config))
            at = from_minute(minute)
            hearing = self._hearing(states, at)
            result = tick(self.config, rolling.minutes, states, at, hearing, broken)
            missed, summary = after_tick(self.config, cursor.missed, result, hearing)
            result = replace(result, notifications=(*result.notifications, *summary))
            try:
                cursor = self._commit(cursor, result, states, missed, sorted(rolling.failed))
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
        failed, first = tuple(state.fields.get("failed_minutes", ())), state.fields.get("first_minute")
        return Cursor(int(state.fields["minute"]), Unchanged(state.update_time), missed, failed, first)

    def _read_alerts(self) -> tuple[AlertState, ...]:
        documents = self.store.list("alerts").documents
        return tuple(alert for document in documents for alert in alerts_in(document))

    def _hearing(self, states: Sequence[AlertState], at: datetime) -> Hearing:
        """What people said: the silences, and of the alerts that are to be told again, who has acknowledged them."""
        late = self.now() - at > CATCH_UP_AFTER
        due = [ack_path_of(state) for state in states if escalation_due(self.config, state, at)]
        acks = read_acks(self.store, [path for path in due if path is not None], self.now())
        return Hearing(read_silences(self.store, self.now()), frozenset(acks), late)

    def _commit(
        self, cursor: Cursor, result: TickResult, before: Sequence[AlertState], missed: Missed, failed: list[int]
    ) -> Cursor:
        """All that a T decided, in one commit; idempotent, because the cursor it depends on moves with it."""
        minute = to_us(result.at) // 1_000_000
        state: dict[str, object] = {
            "minute": minute,
            "at": result.at,
            "config_hash": self.config.hash,
            "decided_at": self.now(),
            "missed": missed_to_fields(missed),
            "first_minute": cursor.first,
            "failures": [f"{failure.rule_id}: {failure.reason}" for failure in result.failures],
            "failed_minutes": failed,
        }
        writes = [Put(STATE_PATH, state, precondition=cursor.condition), *decided(before, result)]
        return Cursor(minute, Unchanged(self.store.commit(writes)), missed, tuple(failed), cursor.first)

    def _publish_outbox(self, refused: list[MonitoringError]) -> int:
        """Publish what was decided and take it from the outbox; how many notifications.

        A crash between the two publishes again, under the same ids, which the deliveries make harmless. What the bus
        does not take stays; ``refused`` holds why, and once it does, nothing more is tried in this call. A document of
        which nothing can be read stays, too, for the version that can.
        """
        published = 0
        for document in () if refused else self.store.list("outbox").documents:
            found = notifications_in(document)
            if not found:
                continue
            try:
                for notification_id, data in found:
                    self.bus.publish(self.notifications_topic, data, {"notification": notification_id})
                    published += 1
            except MonitoringError as error:
                refused.append(error)
                break
            self.store.commit([Delete(document.path)])
        return published


def _report(ended: str, done: Sequence[TickResult], rebuilt: int, published: int) -> Report:
    return Report(
        ended,
        tuple(result.at for result in done),
        tuple(transition for result in done for transition in result.transitions),
        published,
        rebuilt,
        tuple(failure for result in done for failure in result.failures),
    )
