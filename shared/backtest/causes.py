"""Why live and replay may differ, and what is known of it."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ..acks import ack_path
from ..alerts import AlertState, State
from ..buckets import SETTLE
from ..catch_up import CATCH_UP_AFTER
from ..cells import Cells
from ..monitoring_config import MonitoringConfig
from ..rule_health import ROLLUP_ID
from ..series import Labels
from ..telling import Hearing
from ..tick import longest_reach_seconds
from ..timeline import from_minute, to_us
from .run import Candidate, Source, Span
from .stored import History

LATE_METRIC = "ion_late_minutes"
"""In a minute's rollup when a chunk came after it may have been judged."""


class Cause(StrEnum):
    """Why live and replay differ."""

    LATE_DATA = "late data"
    """A minute that the rule looked at changed after it was judged."""
    CONFIGURATION = "changed configuration"
    """Another configuration judged, or may have judged, than the one that was replayed."""
    BEGAN_BEFORE = "began before the replay"
    """The alert was pending, firing or in its cooldown when the replay began, which it does not know."""
    ROLLUP_FAILED = "a minute could not be rolled up"
    SILENCE = "silence"
    ACKNOWLEDGEMENT = "acknowledgement"
    COOLDOWN = "cooldown"
    """What was told before was told at another time than the rules alone would have."""
    CATCH_UP = "catch-up"
    """The evaluator had been away for more than ten minutes."""
    NOT_DELIVERED = "not delivered"
    """It was decided, but no channel has taken it: none is set up, all refused, or it is on its way."""
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True)
class Difference:
    """A transition or notification that only one side has, or that both have with other numbers.

    ``what`` is the transition's reason, or the notification's kind where ``told``.
    """

    at: datetime
    rule_id: str
    labels: Labels
    what: str
    live: bool
    replayed: bool
    cause: Cause
    told: bool = False


@dataclass(frozen=True, slots=True)
class Replayed:
    """What to compare with, and how: ``configs`` are those that are known besides the present one.

    ``rolled_up_at`` says when minutes were rolled up last; ``now`` is aware UTC. ``first_judged`` is the first minute
    that was ever judged, where that is known: nothing began before it.
    """

    config: MonitoringConfig
    history: History
    rolled_up_at: Callable[[Sequence[int]], Mapping[int, datetime]]
    now: datetime
    configs: Sequence[MonitoringConfig] = ()
    first_judged: int | None = None


def timeline(then: Replayed) -> list[tuple[int, MonitoringConfig]]:
    """The known configurations that judged before the present one, as history has them."""
    known = {one.hash: one for one in (*then.configs, then.config)}
    found: list[tuple[int, MonitoringConfig]] = []
    hashes = [(minute_of(change.at), change.config_hash) for change in then.history.transitions]
    for (_, before), (at, after) in itertools.pairwise(hashes):
        if before != after and before in known:
            found.append((at, known[before]))
    if hashes and hashes[-1][1] != then.config.hash and hashes[-1][1] in known:
        found.append((hashes[-1][0] + 1, known[hashes[-1][1]]))
    return found


def minute_of(at: datetime) -> int:
    """An evaluation time in Unix seconds."""
    return to_us(at) // 1_000_000


class LateMinutes:
    """A source that notes which of the minutes it reads say that they came late."""

    def __init__(self, inner: Source) -> None:
        self._inner = inner
        self.found: set[int] = set()

    def read(self, minutes: Sequence[int]) -> Mapping[int, Cells]:
        """See ``Source.read``."""
        found = self._inner.read(minutes)
        for minute, cells in found.items():
            if any(name.metric == LATE_METRIC for name in cells.series):
                self.found.add(minute)
        return found


class Clock:
    """When evaluations were made: known where they left a history, and never before one that was made earlier."""

    def __init__(self, history: History) -> None:
        known = sorted((history.decided_at or {}).items())
        self._minutes = [minute for minute, _ in known]
        self._instants = [at for _, at in known]

    def decided_at(self, minute: int) -> datetime:
        """When T was judged; the earliest that it can have been, where it left no history."""
        settled = from_minute(minute) + SETTLE
        place = bisect_right(self._minutes, minute)
        return max(settled, self._instants[place - 1]) if place else settled


@dataclass(frozen=True, slots=True)
class People:
    """What people had said by each evaluation."""

    history: History
    clock: Clock

    def hear(self, at: datetime, _alerts: Sequence[AlertState]) -> Hearing:
        """What the evaluation at ``at`` knew of silences and acknowledgements, and whether it caught up."""
        decided_at = self.clock.decided_at(minute_of(at))
        silences = [one for one in self.history.silences if one.created_at <= decided_at]
        acknowledged = {ack_path(one.fingerprint, one.fired_at) for one in self.history.acks if one.at <= decided_at}
        return Hearing(silences, frozenset(acknowledged), decided_at - at > CATCH_UP_AFTER)


class Facts:
    """What may explain a difference, other than people."""

    def __init__(self, then: Replayed, span: Span, candidate: Candidate, clock: Clock, late: Iterable[int]) -> None:
        self.then = then
        self.span = span
        self._candidate = candidate
        self._clock = clock
        self._changed_at = then.rolled_up_at(sorted(late))
        self._reach = max(longest_reach_seconds(config) for config in candidate.configs())
        self._hashes = {minute_of(change.at): change.config_hash for change in then.history.transitions}
        self._judged = sorted(self._hashes)
        self._rollup = [change for change in then.history.transitions if change.rule_id == ROLLUP_ID]

    def why(self, began: int, minute: int) -> Cause | None:
        """The cause of a difference at T in an alert that had been inactive until ``began``; None: none is known."""
        if self.is_foreign(minute):
            return Cause.CONFIGURATION
        if self._had_failed(minute):
            return Cause.ROLLUP_FAILED
        return Cause.LATE_DATA if self._came_late(began, minute) else None

    def is_foreign(self, minute: int) -> bool:
        """Whether the history at T, or else on either side of it, names another configuration than was replayed."""
        place = bisect_right(self._judged, minute)
        around = self._judged[max(place - 1, 0) : place]
        if around != [minute]:
            around += self._judged[place : place + 1]
        return any(self._hashes[one] != self._candidate.at(minute).hash for one in around)

    def _had_failed(self, minute: int) -> bool:
        """Whether minutes could not be rolled up at T, as the alert on it says."""
        at = from_minute(minute)
        before = [change for change in self._rollup if change.at <= at]
        return bool(before) and (before[-1].at == at or before[-1].after is State.FIRING)

    def _came_late(self, began: int, minute: int) -> bool:
        """Whether a minute that was looked at from ``began`` to T changed after it had been."""
        return any(
            began - self._reach < late <= minute and changed_at > self._clock.decided_at(max(late, began))
            for late, changed_at in self._changed_at.items()
        )
