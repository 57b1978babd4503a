"""The tick: what the rules make of the cells at one evaluation time. Pure; live, replay and backtest run this.

Evaluation times T are whole multiples of a rule's frequency. A rule looks at (T - delay - window, T - delay]. Each
transition of an alert is returned once; a notification goes with the first firing evaluation outside the cooldown
and with the end of every episode that had one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

from .alerts import AlertState, Decision, Reason, State, decide
from .cells import Cells
from .monitoring_config import AlertRule, MonitoringConfig, OnNoData
from .notifications import Notification, NotificationKind
from .series import Labels
from .timeline import to_us
from .windows import evaluate, read_window

Windows: TypeAlias = dict[tuple[int, int], Cells]
"""Merged windows by end (Unix seconds) and length: rules share most of them."""

MAX_ALERTS = 1000
"""Alerts of one rule that are remembered at once, about 330 KB; what violates beyond is a failure of the rule."""
_TRANSITIONS = {Reason.STARTED, Reason.CLEARED, Reason.FIRED, Reason.RESOLVED, Reason.NO_DATA}
_ENDINGS = {Reason.RESOLVED, Reason.NO_DATA}


@dataclass(frozen=True, slots=True)
class Transition:
    """An alert changed its state at ``at`` (aware UTC); what was judged, under which configuration.

    ``episode`` is when the alert fired (None: it never did).
    """

    fingerprint: str
    rule_id: str
    labels: Labels
    severity: str
    at: datetime
    before: State
    after: State
    reason: Reason
    value: float | None
    count: int
    episode: datetime | None
    config_hash: str


@dataclass(frozen=True, slots=True)
class RuleFailure:
    """A rule that could not be evaluated; its alerts keep their states and the other rules go on."""

    rule_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class TickResult:
    """The outcome at one T.

    ``states`` holds what has to be remembered: alerts that are pending or firing, and those in their cooldown; an
    alert it does not hold is inactive.
    """

    at: datetime
    states: tuple[AlertState, ...]
    transitions: tuple[Transition, ...]
    notifications: tuple[Notification, ...]
    failures: tuple[RuleFailure, ...]


def tick(
    config: MonitoringConfig, minutes: Mapping[int, Cells], states: Iterable[AlertState], at: datetime
) -> TickResult:
    """Evaluate every enabled rule that is due at ``at`` (aware UTC, on a whole minute).

    ``minutes`` are the cells of at least the longest window and delay before ``at``; ``states`` those of the tick
    before. Alerts of rules that are gone or disabled are dropped.
    """
    by_rule: dict[str, list[AlertState]] = {}
    for state in states:
        by_rule.setdefault(state.rule_id, []).append(state)
    windows: Windows = {}
    judged = [_evaluate_rule(config, rule, minutes, by_rule.get(rule.id, []), at, windows) for rule in _rules(config)]
    return TickResult(
        at,
        tuple(state for part in judged for state in part.states),
        tuple(transition for part in judged for transition in part.transitions),
        tuple(notification for part in judged for notification in part.notifications),
        tuple(failure for part in judged for failure in part.failures),
    )


def longest_reach_seconds(config: MonitoringConfig) -> int:
    """How far before T any enabled rule looks; 0 without rules."""
    return max((_reach_seconds(rule) for rule in _rules(config)), default=0)


def _reach_seconds(rule: AlertRule) -> int:
    """A rule that misses groups also looks at who was there an evaluation ago."""
    earlier = rule.evaluation_frequency if rule.on_no_data is OnNoData.ALERT else 0
    return rule.evaluation_window + rule.evaluation_delay_seconds + earlier


def _rules(config: MonitoringConfig) -> list[AlertRule]:
    return config.list_alert_rules(enabled_only=True)


def _evaluate_rule(
    config: MonitoringConfig, rule: AlertRule, minutes: Mapping[int, Cells], states: list[AlertState], at: datetime,
    windows: Windows,
) -> TickResult:  # fmt: skip
    """One rule at one T; not due, it keeps its states. A failure is contained here."""
    if to_us(at) // 1_000_000 % rule.evaluation_frequency:
        return TickResult(at, tuple(states), (), (), ())
    try:
        values = rule_values(config, rule, minutes, at, windows)
        before = _groups_before(config, rule, minutes, at, windows)
    except Exception as error:  # noqa: BLE001 - whatever a rule breaks by, it must not stop the others
        return TickResult(at, tuple(states), (), (), (RuleFailure(rule.id, f"{type(error).__name__}: {error}"),))
    return _judge(config, rule, values, {state.labels: state for state in states}, before, at)


def _groups_before(
    config: MonitoringConfig, rule: AlertRule, minutes: Mapping[int, Cells], at: datetime, windows: Windows
) -> set[Labels]:
    """Where missing data violate, the groups that had a value an evaluation ago: inactive ones are not remembered."""
    if rule.on_no_data is not OnNoData.ALERT:
        return set()
    return set(rule_values(config, rule, minutes, at - timedelta(seconds=rule.evaluation_frequency), windows))


def rule_values(
    config: MonitoringConfig,
    rule: AlertRule,
    minutes: Mapping[int, Cells],
    at: datetime,
    windows: Windows | None = None,
) -> dict[Labels, float]:
    """The values a rule judges at ``at``, one for each group that has one.

    ``windows`` keeps what was merged of the same ``minutes``, for the next rule.
    """
    windows = {} if windows is None else windows
    key = to_us(at) // 1_000_000 - rule.evaluation_delay_seconds, rule.evaluation_window
    if key not in windows:
        windows[key] = read_window(minutes, *key)
    return evaluate(windows[key], config.query_for(rule), rule.evaluation_window)


def _judge(
    config: MonitoringConfig, rule: AlertRule, values: Mapping[Labels, float], known: Mapping[Labels, AlertState],
    present_before: set[Labels], at: datetime,
) -> TickResult:  # fmt: skip
    states: list[AlertState] = []
    transitions: list[Transition] = []
    notifications: list[Notification] = []
    beyond = 0
    for labels in _judged_labels(config, rule, {*values, *present_before}, known):
        before = known.get(labels) or AlertState(rule.id, labels, rule.severity)
        decision = decide(rule, before, values.get(labels), at)
        if labels not in known and len(states) >= MAX_ALERTS:
            beyond += decision.alert.state is not State.INACTIVE
            continue
        alert, kind = _tell(rule, before, decision, at)
        if kind is not None:
            episode = alert.fired_at or before.fired_at or at
            notifications.append(_notification(config, rule, kind, alert, decision.reason, episode))
        if decision.reason in _TRANSITIONS:
            transitions.append(_transition(config, before, alert, decision.reason, at))
        if _remembered(rule, alert, at):
            states.append(alert)
    reason = f"too_many_alerts: {beyond} more groups violate than the {MAX_ALERTS} that are remembered"
    failures = (RuleFailure(rule.id, reason),) if beyond else ()
    return TickResult(at, tuple(states), tuple(transitions), tuple(notifications), failures)


def _judged_labels(
    config: MonitoringConfig, rule: AlertRule, groups: set[Labels], known: Mapping[Labels, AlertState]
) -> list[Labels]:
    """The groups to judge: what is remembered first. A rule without groups is judged on an empty window too."""
    ungrouped: set[Labels] = set() if config.query_for(rule).group_by else {()}
    return [*sorted(known), *sorted({*groups, *ungrouped} - set(known))]


def _tell(
    rule: AlertRule, before: AlertState, decision: Decision, at: datetime
) -> tuple[AlertState, NotificationKind | None]:
    """Whether this evaluation is one that somebody is told of: the ladder of reasons, first match wins."""
    alert = decision.alert
    if decision.reason in _ENDINGS:
        return alert, NotificationKind.RESOLVED if before.told else None
    if not alert.is_firing or alert.told:
        return alert, None
    if alert.told_at is not None and at - alert.told_at < timedelta(seconds=rule.cooldown_period):
        return alert, None
    return replace(alert, told=True, told_at=at), NotificationKind.FIRING


def _remembered(rule: AlertRule, alert: AlertState, at: datetime) -> bool:
    """Inactive alerts are forgotten when their cooldown is over."""
    if alert.state is not State.INACTIVE:
        return True
    return alert.told_at is not None and at - alert.told_at < timedelta(seconds=rule.cooldown_period)


def _transition(
    config: MonitoringConfig, before: AlertState, alert: AlertState, reason: Reason, at: datetime
) -> Transition:
    return Transition(
        fingerprint=alert.fingerprint,
        rule_id=alert.rule_id,
        labels=alert.labels,
        severity=alert.severity.value,
        at=at,
        before=before.state,
        after=alert.state,
        reason=reason,
        value=None if reason is Reason.NO_DATA else alert.value,
        count=alert.count,
        episode=alert.fired_at or before.fired_at,
        config_hash=config.hash,
    )


def _notification(
    config: MonitoringConfig,
    rule: AlertRule,
    kind: NotificationKind,
    alert: AlertState,
    reason: Reason,
    episode: datetime,
) -> Notification:
    return Notification(
        kind=kind,
        fingerprint=alert.fingerprint,
        rule_id=rule.id,
        rule_name=rule.name,
        description=rule.description,
        severity=alert.severity,
        labels=alert.labels,
        value=None if reason is Reason.NO_DATA else alert.value,
        unit=config.unit_for(rule),
        operator=rule.threshold.operator,
        threshold=rule.threshold.value,
        fired_at=episode,
        at=alert.evaluated_at or episode,
        reason=reason.value,
        channels=config.channels_for(rule),
        config_hash=config.hash,
        runbook_url=rule.runbook_url,
    )
