"""Why live and replay may differ, and what is known of it."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
from ..usual_store import Baselines, rule_key
from .run import Candidate, Source, Span
from .stored import History

LATE_METRIC = "ion_late_minutes"
"""In a minute's rollup when a chunk came after it may have been judged."""


class Cause(StrEnum):
    """Why live and replay differ; ``MEANINGS`` has a sentence for each."""

    LATE_DATA = "late data"
    CONFIGURATION = "changed configuration"
    BASELINE = "changed baseline"
    BEGAN_BEFORE = "began before"
    ROLLUP_FAILED = "rollup failed"
    SILENCE = "silence"
    ACKNOWLEDGEMENT = "acknowledgement"
    COOLDOWN = "cooldown"
    CATCH_UP = "catch-up"
    NOT_DELIVERED = "not delivered"
    UNEXPLAINED = "unexplained"


MEANINGS: Mapping[Cause, str] = {
    Cause.LATE_DATA: "a minute that the rule looked at changed after it had been judged",
    Cause.CONFIGURATION: "another configuration judged, or may have judged, than the one that was replayed",
    Cause.BASELINE: "the rule moves with what is usual, and the baseline that is kept was made later",
    Cause.BEGAN_BEFORE: "the alert was pending, firing or in its cooldown when the replay began",
    Cause.ROLLUP_FAILED: "a minute could not be rolled up, so live judged chunks that the replay did not have",
    Cause.SILENCE: "somebody had silenced it",
    Cause.ACKNOWLEDGEMENT: "somebody had taken it, so that it did not escalate",
    Cause.COOLDOWN: "what was told before was told at another time than the rules alone would have told it",
    Cause.CATCH_UP: "the evaluator had been away for more than ten minutes, and told the rest in one summary",
    Cause.NOT_DELIVERED: "no channel has taken it: none is set up, all refused, or it is on its way",
    Cause.UNEXPLAINED: "nothing that is known explains it: please report it",
}


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

    ``rolled_up_at`` says when minutes were rolled up last. ``first_judged`` is the first minute that was ever judged,
    where that is known: nothing began before it. ``baselines`` are what is usual now, and ``made_at`` since when, by
    key.
    """

    config: MonitoringConfig
    history: History
    rolled_up_at: Callable[[Sequence[int]], Mapping[int, datetime]]
    configs: Sequence[MonitoringConfig] = ()
    first_judged: int | None = None
    baselines: Baselines = field(default_factory=dict)
    made_at: Mapping[str, datetime] = field(default_factory=dict)


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

    def why(self, rule_id: str, began: int, minute: int) -> Cause | None:
        """The cause of a difference at T in an alert that had been inactive until ``began``; None: none is known."""
        if self.is_foreign(minute):
            return Cause.CONFIGURATION
        if self._knew_other(rule_id, began):
            return Cause.BASELINE
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

    def _knew_other(self, rule_id: str, minute: int) -> bool:
        """Whether a rule on a baseline judged T by another than the one that is kept, or by one that is not."""
        config = self._candidate.at(minute)
        rule = config.find_rule(rule_id)
        if rule is None or rule.threshold.baseline is None:
            return False
        made_at = self.then.made_at.get(rule_key(config, rule))
        return made_at is None or self._clock.decided_at(minute) < made_at

    def inhibitors(self, rule_id: str, minute: int) -> tuple[str, ...]:
        """The rules that keep one quiet at T."""
        rule = self._candidate.at(minute).find_rule(rule_id)
        return () if rule is None else rule.inhibited_by

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
