"""The state machine of one alert: what an evaluation makes of it.

An alert is one rule on one set of group labels. ``decide`` is the only place where a state changes; "resolved"
is a transition, not a state. Everything is decided from arguments, so a replay of the same values gives the same
transitions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from .rules import AlertRule, MetricThreshold, OnNoData, Severity, SourceRule
from .series import Labels

GONE_AFTER = timedelta(hours=24)
"""How long a rule misses a group without data: a region or instance that was taken away fires no longer than that.

A source, whose business it is, says itself.
"""


class State(StrEnum):
    """The three states of an alert."""

    INACTIVE = "inactive"
    """The last evaluation found nothing wrong."""
    PENDING = "pending"
    """Violating, for fewer consecutive evaluations than ``min_occurrences``; nobody is told."""
    FIRING = "firing"
    """Violating for at least ``min_occurrences`` consecutive evaluations, and not yet resolved."""


class AlertKind(StrEnum):
    """What an alert is about."""

    THRESHOLD = "threshold"
    """The value of a rule's query."""
    NO_DATA = "no_data"
    """There is no value any more, since an alert on it fired."""
    FAILURE = "failure"
    """The rule itself cannot be evaluated."""


class Reason(StrEnum):
    """Why an evaluation left or changed a state."""

    NONE = "none"
    STARTED = "started"
    CLEARED = "cleared"
    FIRED = "fired"
    RAISED = "raised"
    """Firing, and of a worse severity than before."""
    STILL = "still"
    KEPT = "kept_firing"
    RESOLVED = "resolved"
    NO_DATA = "no_data"
    FROZEN = "frozen"
    MISSING = "data_missing"
    """A no-data alert takes the place of one that ended for want of data."""
    BACK = "data_back"
    GONE = "gone"
    """It never came back, and nobody waits for it any more."""
    FAILED = "rule_failed"
    WORKS = "rule_works"
    REMOVED = "rule_removed"
    """The rule is no longer in the configuration, or disabled."""
    REGROUPED = "regrouped"
    """The rule groups by other labels than when this began, and none of its groups is this one any more."""


ENDINGS = frozenset(
    {Reason.RESOLVED, Reason.NO_DATA, Reason.BACK, Reason.GONE, Reason.WORKS, Reason.REMOVED, Reason.REGROUPED}
)
"""An episode is over."""
TRANSITIONS = ENDINGS | {
    Reason.STARTED, Reason.CLEARED, Reason.FIRED, Reason.RAISED, Reason.MISSING, Reason.FAILED,
}  # fmt: skip
"""What goes into the history."""


@dataclass(frozen=True, slots=True)
class Told:
    """A notification of the running episode: its id, and the channels that it went to."""

    notification_id: str
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AlertState:
    """One alert as of ``evaluated_at``. All instants are aware UTC evaluation times.

    ``count`` is the number of consecutive violating evaluations, ``counts`` that of each severity's threshold;
    ``value`` is the last one judged (None: no data). ``since`` is the evaluation at which the current state began;
    ``pending_since`` and ``fired_at`` belong to the running episode. ``good_since`` is the first good evaluation
    while it still fires, ``no_data_since`` the first empty one. ``told`` are the running episode's notifications, and
    ``held`` names why the next one waits. ``told_at`` is when this fingerprint last had a firing notification, and
    ``told_severity`` of which severity; both are kept through the cooldown, even when inactive. ``grouped_by`` are the
    names of the labels by which the rule grouped when it was judged, sorted; None where that is not on record.
    """

    rule_id: str
    labels: Labels
    severity: Severity
    state: State = State.INACTIVE
    value: float | None = None
    count: int = 0
    since: datetime | None = None
    pending_since: datetime | None = None
    fired_at: datetime | None = None
    good_since: datetime | None = None
    no_data_since: datetime | None = None
    told_at: datetime | None = None
    told: tuple[Told, ...] = ()
    evaluated_at: datetime | None = None
    kind: AlertKind = AlertKind.THRESHOLD
    counts: tuple[tuple[Severity, int], ...] = ()
    told_severity: Severity | None = None
    escalated_at: datetime | None = None
    held: str = ""
    grouped_by: tuple[str, ...] | None = None

    @property
    def fingerprint(self) -> str:
        """16 hex digits of the rule, the group labels and the kind: the same for ever."""
        return fingerprint(self.rule_id, self.labels, self.kind)

    @property
    def is_firing(self) -> bool:
        """Whether somebody has to know."""
        return self.state is State.FIRING

    def fired(self, at: datetime) -> AlertState:
        """The same alert, whose episode begins at ``at``."""
        begun = self.pending_since or at
        return replace(
            self, state=State.FIRING, since=at, pending_since=begun, fired_at=at, told=(), escalated_at=None, held=""
        )

    def cleared(self, at: datetime) -> AlertState:
        """The alert after its episode; only the memory of the last notification stays, for the cooldown."""
        return AlertState(
            self.rule_id,
            self.labels,
            self.severity,
            kind=self.kind,
            value=self.value,
            since=at,
            told_at=self.told_at,
            told_severity=self.told_severity,
            evaluated_at=at,
            grouped_by=self.grouped_by,
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """What an evaluation made of an alert, and why."""

    alert: AlertState
    reason: Reason


def fingerprint(rule_id: str, labels: Labels, kind: AlertKind = AlertKind.THRESHOLD) -> str:
    """16 hex digits of a rule, its group labels, whatever characters they hold, and what the alert is about."""
    parts: list[object] = [rule_id, *labels]
    text = json.dumps(parts if kind is AlertKind.THRESHOLD else [kind.value, *parts])
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def decide(rule: AlertRule, alert: AlertState, value: float | None, now: datetime) -> Decision:
    """Advance one alert by one evaluation at ``now`` (aware UTC); ``value`` None is an empty window.

    The severity of an alert that fires only rises until its episode ends.
    """
    judged = alert.value if value is None else value
    keeps = alert.state is not State.INACTIVE and alert.severity in {one.severity for one in rule.thresholds}
    severity = alert.severity if keeps else rule.threshold.severity
    alert = replace(alert, value=judged, severity=severity, evaluated_at=now)
    if value is None:
        return _without_data(rule, alert, now)
    alert = replace(alert, no_data_since=None)
    if rule.violated_by(value) is not None:
        return _violating(rule, alert, value, now)
    return _good(rule, alert, value, now)


def _without_data(rule: AlertRule, alert: AlertState, now: datetime) -> Decision:
    """An empty window: what it means is the rule's to say."""
    if rule.on_no_data is OnNoData.OK:
        return _good(rule, alert, None, now)
    if rule.on_no_data is OnNoData.ALERT:
        return _silent(rule, alert, now)
    return _frozen(rule, alert, now)


def _silent(rule: AlertRule, alert: AlertState, now: datetime) -> Decision:
    """``on_no_data: alert``: violating; what is gone for long is no longer missed, and its end says so."""
    since = alert.no_data_since or now
    for_ever = not alert.labels and not rule.is_source
    patience = timedelta(seconds=rule.gone_after_seconds) if isinstance(rule, SourceRule) else GONE_AFTER
    if for_ever or now - since < patience:
        return _violating(rule, replace(alert, no_data_since=since), None, now)
    if alert.state is State.INACTIVE:
        return Decision(alert, Reason.NONE)
    return Decision(replace(alert.cleared(now), no_data_since=since), Reason.GONE)


def _frozen(rule: AlertRule, alert: AlertState, now: datetime) -> Decision:
    """``on_no_data: keep``: frozen, and ended after ``no_data_after`` seconds."""
    if alert.state is State.INACTIVE:
        return Decision(alert, Reason.NONE)
    since = alert.no_data_since or now
    if now - since < timedelta(seconds=rule.no_data_after):
        return Decision(replace(alert, no_data_since=since), Reason.FROZEN)
    return Decision(alert.cleared(now), Reason.NO_DATA)


def _violating(rule: AlertRule, alert: AlertState, value: float | None, now: datetime) -> Decision:
    """One more violation in a row: N of them fire, N = ``min_occurrences``, so that N = 1 is never pending."""
    counts = _counted(rule, alert, value)
    alert = replace(alert, count=alert.count + 1, counts=counts, good_since=None)
    worst = next((severity for severity, count in counts if count >= rule.min_occurrences), None)
    if alert.is_firing:
        return _still_firing(alert, worst)
    if alert.count >= rule.min_occurrences:
        return Decision(replace(alert, severity=worst or alert.severity).fired(now), Reason.FIRED)
    alert = replace(alert, severity=next((severity for severity, count in counts if count), alert.severity))
    if alert.state is State.PENDING:
        return Decision(alert, Reason.STILL)
    return Decision(replace(alert, state=State.PENDING, since=now, pending_since=now), Reason.STARTED)


def _counted(rule: AlertRule, alert: AlertState, value: float | None) -> tuple[tuple[Severity, int], ...]:
    """Violations in a row of each threshold, the worst first.

    Missing data violate the rule's own threshold and, as any value that violates it, the milder ones.
    """
    before = dict(alert.counts)

    def violated(one: MetricThreshold) -> bool:
        return one.severity.rank >= rule.threshold.severity.rank if value is None else one.violated_by(value)

    return tuple((one.severity, before.get(one.severity, 0) + 1 if violated(one) else 0) for one in rule.thresholds)


def _still_firing(alert: AlertState, worst: Severity | None) -> Decision:
    if worst is not None and worst.rank < alert.severity.rank:
        return Decision(replace(alert, severity=worst), Reason.RAISED)
    return Decision(alert, Reason.STILL)


def _good(rule: AlertRule, alert: AlertState, value: float | None, now: datetime) -> Decision:
    """A good evaluation ends pending at once, and firing unless recovery or ``keep_firing_for`` holds it."""
    if alert.state is State.INACTIVE:
        return Decision(alert, Reason.NONE)
    if alert.state is State.PENDING:
        return Decision(alert.cleared(now), Reason.CLEARED)
    alert = replace(alert, count=0, counts=())
    if value is not None and not rule.recovered_by(value):
        return Decision(replace(alert, good_since=None), Reason.KEPT)
    good_since = alert.good_since or now
    if now - good_since < timedelta(seconds=rule.keep_firing_for):
        return Decision(replace(alert, good_since=good_since), Reason.KEPT)
    return Decision(alert.cleared(now), Reason.RESOLVED)


class AlertStateManager:
    """The alerts that are not inactive, by fingerprint; what a program that asks "what fires?" holds.

    It decides nothing: ``decide`` makes states, this keeps the newest of each.
    """

    def __init__(self, alerts: Iterable[AlertState] = ()) -> None:
        self._alerts: dict[str, AlertState] = {}
        for alert in alerts:
            self.add_alert(alert)

    def add_alert(self, alert: AlertState) -> None:
        """Keep an alert in place of the one with its fingerprint; an inactive one is forgotten."""
        if alert.state is State.INACTIVE:
            self._alerts.pop(alert.fingerprint, None)
        else:
            self._alerts[alert.fingerprint] = alert

    def get_active_alerts(self) -> list[AlertState]:
        """Pending and firing alerts: firing first, then worst severity, then oldest, then fingerprint."""
        return sorted(self._alerts.values(), key=_worst_first)

    def get_critical_alerts(self) -> list[AlertState]:
        """The critical alerts that fire, in the same order; empty when none does."""
        return [a for a in self.get_active_alerts() if a.is_firing and a.severity is Severity.CRITICAL]


def _worst_first(alert: AlertState) -> tuple[bool, int, float, str]:
    began = alert.since.timestamp() if alert.since else 0.0
    return (not alert.is_firing, alert.severity.rank, began, alert.fingerprint)
