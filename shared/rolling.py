"""The evaluator's minutes: rolled up when they have settled, again when late data came, and kept for the rules.

What a minute or an hour breaks by for good stops nothing: the minute is judged from its chunks, the failure is noted,
and it is rolled up again by every call until that works.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from .cells import Cells
from .errors import PermanentError, PreconditionFailed, TransientError
from .hours import hour_of, roll_up_hour
from .logs import log
from .retention import live
from .rollups import NOT_SETTLED, RolledUp, read_live, read_rollups, roll_up
from .store import MAX_COMMIT_WRITES, Delete, Store, Unchanged, Write
from .timeline import MINUTE_SECONDS, from_minute, minute_id

CLOCK_SKEW_SECONDS = 10
PAST_SECONDS = 3600
"""How far back the first call ever rolls up; older minutes are rolled up when a late chunk comes for them."""
LATE_AT_ONCE = 1000
"""Markers of late minutes that are read together; a message of 8 KB may set 4,300."""
MAX_FAILED = 1440
"""Minutes that are remembered because they could not be rolled up: a day's, the newest."""


@dataclass(frozen=True, slots=True)
class Rolling:
    """One call's minutes on their ports.

    ``minutes`` are those that are held, ``failed`` those that could not be rolled up (Unix seconds).
    """

    store: Store
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    settle: timedelta
    minutes: dict[int, Cells] = field(default_factory=dict)
    failed: set[int] = field(default_factory=set)

    def wait_until_settled(self, minute: int) -> None:
        """Wait for a minute's end and what settles after it."""
        missing = from_minute(minute) + self.settle - self.now()
        if missing > timedelta(0):
            self.sleep(missing.total_seconds() + 0.05)

    def roll_up_past(self, newest: int) -> None:
        """Before the first evaluation ever: what came in time for the last hour, when nobody was there to see it."""
        for minute in range(newest - PAST_SECONDS + MINUTE_SECONDS, newest + MINUTE_SECONDS, MINUTE_SECONDS):
            with _contained([]):
                self._roll_up(minute)
                if minute == hour_of(minute):
                    roll_up_hour(self.store, minute, self.now())

    def read(self, minute: int, reach_seconds: int) -> list[str]:
        """Roll a minute up, and hold all of (minute - reach, minute]: one read of what is not held yet.

        What is wrong with minutes: with this one, with those that are held, with any that is not rolled up yet.
        """
        first = minute - reach_seconds + MINUTE_SECONDS
        missing = [past for past in range(first, minute, MINUTE_SECONDS) if past not in self.minutes]
        broken: list[str] = []
        self.minutes.update(self._read_past(missing, broken))
        broken += self._roll_up_now(minute)
        for past in [past for past in self.minutes if past < first]:
            del self.minutes[past]
        return broken or [f"{len(self.failed)} minutes are not rolled up yet"] * bool(self.failed)

    def _roll_up_now(self, minute: int) -> list[str]:
        """Roll a minute up that has just settled, and the hour that it ends; from its chunks alone where that fails."""
        broken: list[str] = []
        with _contained(broken):
            self.minutes[minute] = self._roll_up(minute).cells
            if minute == hour_of(minute):
                roll_up_hour(self.store, minute, self.now())
        if broken:
            self._remember([minute])
        if minute not in self.minutes:
            self.minutes[minute] = read_live(self.store, minute, self.now())
        return broken

    def _read_past(self, minutes: Sequence[int], broken: list[str]) -> dict[int, Cells]:
        """The rollups of some minutes; of one that has none because it failed, or whose cannot be read, its chunks."""
        found: dict[int, Cells] = {}
        for minute in self.failed.intersection(minutes):
            found[minute] = read_live(self.store, minute, self.now())
        wanted = [minute for minute in minutes if minute not in found]
        with contextlib.suppress(PermanentError):
            return found | (read_rollups(self.store, wanted, self.now()) if wanted else {})
        for minute in wanted:
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

    def rebuild(self, cursor_minute: int, deadline: datetime) -> int:
        """Roll late and failed minutes up again; what is left at the deadline waits for the next call.

        Those of the last hour, which rules may still look at, come before all others, and of each the oldest first: one
        message may mark thousands of minutes, and hold up no other for long. The number of minutes.
        """
        recent = cursor_minute - PAST_SECONDS
        done = self._rebuild_between(recent, cursor_minute, deadline)
        return len(done | self._rebuild_between(0, recent, deadline))

    def _rebuild_between(self, after: int, last: int, deadline: datetime) -> set[int]:
        """The same of the minutes in (after, last]; which were rolled up."""
        done: set[int] = set()
        for due in self._due(after, last):
            for hour, markers in sorted(due.items()):
                if self.now() > deadline:
                    return done
                failed: list[str] = []
                with _contained(failed):
                    rebuilt = self._rebuild_hour(hour, markers, deadline)
                    self.failed.difference_update(rebuilt)
                    done.update(rebuilt)
                if failed:
                    self._remember(markers)
        return done

    def _due(self, after: int, last: int) -> Iterator[dict[int, dict[int, list[Write]]]]:
        """The minutes to roll up again in (after, last], some at a time: by hour, with what deletes their markers."""
        start, end = minute_id(after + MINUTE_SECONDS), minute_id(last + MINUTE_SECONDS)
        failed = [minute for minute in self.failed if after < minute <= last]
        while True:
            page = self.store.list("late", start, end, LATE_AT_ONCE).documents
            due: dict[int, dict[int, list[Write]]] = {}
            for marker in live(page, self.now()):
                minute = int(marker.fields["minute"])
                deletions = due.setdefault(hour_of(minute), {}).setdefault(minute, [])
                deletions.append(Delete(marker.path, Unchanged(marker.update_time)))
            is_last = len(page) < LATE_AT_ONCE
            for minute in failed if is_last else ():
                due.setdefault(hour_of(minute), {}).setdefault(minute, [])
            yield due
            if is_last:
                return
            start = f"{page[-1].id}~"

    def _remember(self, minutes: Iterable[int]) -> None:
        self.failed.update(minutes)
        self.failed.difference_update(sorted(self.failed)[:-MAX_FAILED])

    def _rebuild_hour(self, hour: int, markers: dict[int, list[Write]], deadline: datetime) -> list[int]:
        """Rebuild the late minutes of an hour, then the hour, then delete each minute's markers; the minutes.

        An hour is rebuilt when it had ended by the time that one of its minutes was written: before that, whoever
        builds it first sees them. The markers go last, so a crash repeats all of it. A minute's are deleted only if
        none was set again since they were read: otherwise all of them stay, and the next call rebuilds once more. So do
        they where a rollup fails for good, until they expire.
        """
        written: dict[int, datetime | None] = {}
        for minute in sorted(markers):
            if self.now() > deadline:
                break
            written[minute] = self._roll_up(minute).committed_at
        if any(at is not None and at >= from_minute(hour) for at in written.values()):
            self._rebuild_ended(hour)
        for minute in written:
            self._delete_markers(markers[minute])
        return list(written)

    def _rebuild_ended(self, hour: int) -> None:
        """Rebuild an hour. One that cannot be, as a minute of it has expired, lacks what came late; the log says so."""
        if not roll_up_hour(self.store, hour, self.now()):
            log("hour_not_rebuilt", "WARNING", hour=minute_id(hour))

    def _delete_markers(self, deletions: list[Write]) -> None:
        for start in range(0, len(deletions), MAX_COMMIT_WRITES):
            try:
                self.store.commit(deletions[start : start + MAX_COMMIT_WRITES])
            except PreconditionFailed:
                return  # one was set again, or the other evaluator was quicker: the next call sees which


@contextlib.contextmanager
def _contained(failures: list[str]) -> Iterator[None]:
    """Note what fails for good in a rollup, and go on: whatever a minute breaks by, the rules must be judged."""
    try:
        yield
    except PermanentError as error:
        failures.append(str(error))
        log("rollup_failed", "ERROR", reason=error.reason, detail=error.detail)
