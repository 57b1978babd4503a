"""Alerts about a rule itself: its data stopped while it fired, it cannot be evaluated, or it was taken away.

They have no pending state: what they say is certain at the first evaluation. Data that came back, a rule that works
again and a day of silence end them. Everything is decided from arguments, as in ``alerts``.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from .alerts import GONE_AFTER, AlertKind, AlertState, Decision, Reason, State
from .rules import AlertRule, MetricThreshold, MetricType, Severity

FAILURE_SEVERITY = Severity.HIGH
"""Of a rule that cannot be evaluated: nobody would hear what it watches."""
ROLLUP_ID = "~rollup"
"""What stands for a rule's id in the failure of the minutes themselves; no rule has such a one."""
ROLLUP = AlertRule(
    "Rollup of minutes",
    "Minutes cannot be rolled up; rules are judged from their chunks meanwhile.",
    MetricType.BUSINESS,
    MetricThreshold(0.0),
)


def missing(before: AlertState, ended: Decision, now: datetime) -> Decision:
    """A no-data alert fires in place of an alert that fired and ended for want of data, with its severity."""
    alert = replace(before, severity=ended.alert.severity, value=ended.alert.value, count=1, evaluated_at=now)
    return Decision(alert.fired(now), Reason.MISSING)


def still_missing(alert: AlertState, has_value: bool, now: datetime) -> Decision:
    """A no-data alert ends with the first value, or after a day without any."""
    if alert.state is State.INACTIVE:
        return Decision(alert, Reason.NONE)
    alert = replace(alert, count=alert.count + 1, evaluated_at=now)
    if has_value:
        return Decision(alert.cleared(now), Reason.BACK)
    if alert.fired_at is not None and now - alert.fired_at >= GONE_AFTER:
        return Decision(alert.cleared(now), Reason.GONE)
    return Decision(alert, Reason.STILL)


def failing(before: AlertState | None, rule_id: str, failed: bool, now: datetime) -> Decision | None:
    """The alert that a rule cannot be evaluated; None when it can and nothing was said of it."""
    if before is None and not failed:
        return None
    alert = before or AlertState(rule_id, (), FAILURE_SEVERITY, kind=AlertKind.FAILURE)
    alert = replace(alert, severity=FAILURE_SEVERITY, evaluated_at=now)
    if failed and not alert.is_firing:
        return Decision(replace(alert, count=1).fired(now), Reason.FAILED)
    if failed:
        return Decision(replace(alert, count=alert.count + 1), Reason.STILL)
    if alert.is_firing:
        return Decision(alert.cleared(now), Reason.WORKS)
    return Decision(alert, Reason.NONE)


def removed(alert: AlertState, now: datetime) -> Decision:
    """An alert whose rule is gone or disabled ends at once; one that is inactive is forgotten."""
    return _ended(alert, Reason.REMOVED, now)


def regrouped(alert: AlertState, now: datetime) -> Decision:
    """The same for an alert of a group that its rule, which groups by other labels now, does not have any more."""
    return _ended(alert, Reason.REGROUPED, now)


def _ended(alert: AlertState, reason: Reason, now: datetime) -> Decision:
    return Decision(alert.cleared(now), Reason.NONE if alert.state is State.INACTIVE else reason)


def no_data_alert(ended: AlertState, severity: Severity) -> AlertState:
    """The no-data alert of the group of an alert that ended, before it ever fired."""
    return AlertState(ended.rule_id, ended.labels, severity, kind=AlertKind.NO_DATA, grouped_by=ended.grouped_by)
