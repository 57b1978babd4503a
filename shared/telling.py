"""Who hears of what an evaluation found. It changes no state, only what is told and what waits.

One ladder of reasons, first match wins. A firing is told once in an episode, a rise in severity and the escalation of
one that nobody acknowledged once each. Inhibition, a silence, catch-up and the cooldown hold a notification until they
are over; what still fires then is told. The end of an episode is told to every channel that heard of it, whatever
holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from .acks import ack_path_of
from .alerts import ENDINGS, AlertKind, AlertState, Decision, Reason, Told
from .monitoring_config import AlertRule, MonitoringConfig
from .notifications import Notification, NotificationKind
from .rules import Severity
from .series import Labels
from .silences import Silence, silenced_by
from .wording import describe


class Quiet(StrEnum):
    """Why nobody is told of an alert at an evaluation."""

    NOTHING = ""
    """There is nothing new to tell."""
    CATCH_UP = "catch_up"
    """The evaluation is of more than ten minutes ago."""
    INHIBITED = "inhibited"
    SILENCED = "silenced"
    COOLDOWN = "cooldown"


@dataclass(frozen=True, slots=True)
class Hearing:
    """What people said, and whether this is catch-up. ``acknowledged`` are paths of acknowledgements (``acks``)."""

    silences: Sequence[Silence] = ()
    acknowledged: frozenset[str] = frozenset()
    catching_up: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One alert's evaluation: its rule, the alert before it, what was decided, and what failed if it is about that."""

    rule: AlertRule
    before: AlertState
    decision: Decision
    detail: str = ""


class Firing:
    """All that fires at one T, found by rule and labels: in a storm, thousands of alerts are asked of thousands."""

    def __init__(self, alerts: Iterable[AlertState]) -> None:
        self._labels: dict[str, dict[tuple[str, ...], list[Labels]]] = {}
        self._parts: dict[tuple[str, tuple[str, ...], tuple[str, ...]], set[Labels]] = {}
        for alert in alerts:
            if alert.is_firing and alert.kind is AlertKind.THRESHOLD:
                names = tuple(name for name, _ in alert.labels)
                self._labels.setdefault(alert.rule_id, {}).setdefault(names, []).append(alert.labels)

    def fires(self, rule_id: str, labels: Labels) -> bool:
        """Whether a rule fires on some labels: on those that both have, at least."""
        mine = dict(labels)
        for names in self._labels.get(rule_id, ()):
            common = tuple(name for name in names if name in mine)
            if tuple((name, mine[name]) for name in common) in self._part(rule_id, names, common):
                return True
        return False

    def _part(self, rule_id: str, names: tuple[str, ...], common: tuple[str, ...]) -> set[Labels]:
        """The labels of the alerts that have all ``names``, without those that are not ``common``."""
        key = rule_id, names, common
        if key not in self._parts:
            found = self._labels[rule_id][names]
            self._parts[key] = {tuple(pair for pair in labels if pair[0] in common) for labels in found}
        return self._parts[key]


def tell(
    config: MonitoringConfig, step: Step, firing: Firing, hearing: Hearing, at: datetime
) -> tuple[AlertState, Notification | None]:
    """The alert after somebody was told or not, and the notification. ``firing`` is all that fires at ``at``."""
    alert = step.decision.alert
    verdict = _verdict(config, step, firing, hearing, at)
    if isinstance(verdict, Quiet):
        return replace(alert, held=verdict.value), None
    notification = _notification(config, step, verdict, at)
    if verdict is NotificationKind.RESOLVED:
        return alert, notification
    told = (*alert.told, Told(notification.id, notification.channels))
    if verdict is NotificationKind.ESCALATED:
        return replace(alert, told=told, escalated_at=at, held=""), notification
    return replace(alert, told=told, told_at=at, told_severity=alert.severity, held=""), notification


def escalation_due(config: MonitoringConfig, alert: AlertState, at: datetime) -> bool:
    """Whether an alert that was told has to be told again at ``at``, unless somebody has acknowledged it."""
    if not alert.is_firing or not alert.told or alert.told_at is None or alert.escalated_at is not None:
        return False
    after, severities = config.escalation
    return alert.severity in severities and at - alert.told_at >= after


def _verdict(
    config: MonitoringConfig, step: Step, firing: Firing, hearing: Hearing, at: datetime
) -> NotificationKind | Quiet:
    alert = step.decision.alert
    if step.decision.reason in ENDINGS:
        return NotificationKind.RESOLVED if step.before.told else Quiet.NOTHING
    kind = _news(config, alert, hearing, at)
    if kind is None:
        return Quiet.NOTHING
    if _is_inhibited(step.rule, alert, firing):
        return Quiet.INHIBITED
    if silenced_by(hearing.silences, alert, at) is not None:
        return Quiet.SILENCED
    if hearing.catching_up:
        return Quiet.CATCH_UP
    if kind is NotificationKind.FIRING and _is_cooling(step.rule, alert, at):
        return Quiet.COOLDOWN
    return kind


def _news(config: MonitoringConfig, alert: AlertState, hearing: Hearing, at: datetime) -> NotificationKind | None:
    """What there is to tell of an alert that has not ended; None for nothing."""
    if not alert.is_firing:
        return None
    if not alert.told:
        return NotificationKind.FIRING
    if _is_worse(alert.severity, alert.told_severity):
        return NotificationKind.RAISED
    if escalation_due(config, alert, at) and ack_path_of(alert) not in hearing.acknowledged:
        return NotificationKind.ESCALATED
    return None


def _is_worse(severity: Severity, told: Severity | None) -> bool:
    return told is not None and severity.rank < told.rank


def _is_cooling(rule: AlertRule, alert: AlertState, at: datetime) -> bool:
    """Whether the last episode was told so lately that this one waits; one of a worse severity does not."""
    if alert.told_at is None or _is_worse(alert.severity, alert.told_severity):
        return False
    return at - alert.told_at < timedelta(seconds=rule.cooldown_period)


def _is_inhibited(rule: AlertRule, alert: AlertState, firing: Firing) -> bool:
    """Whether a rule that this one names fires on the same labels."""
    return alert.kind is AlertKind.THRESHOLD and any(firing.fires(one, alert.labels) for one in rule.inhibited_by)


def _channels(config: MonitoringConfig, step: Step, kind: NotificationKind) -> tuple[str, ...]:
    """Who hears: those to whom the severity is routed, and whoever has heard of this episode already."""
    heard = [channel for told in step.before.told for channel in told.channels]
    alert = step.decision.alert
    routed = config.channels_for(step.rule, alert.severity, alert.labels)
    new = routed if kind in (NotificationKind.FIRING, NotificationKind.RAISED) else ()
    return tuple(dict.fromkeys([*heard, *new]))


def _notification(config: MonitoringConfig, step: Step, kind: NotificationKind, at: datetime) -> Notification:
    rule, alert, reason = step.rule, step.decision.alert, step.decision.reason
    threshold = rule.threshold_of(alert.severity)
    about = AlertKind.NO_DATA if rule.is_source and alert.kind is AlertKind.THRESHOLD else alert.kind
    return Notification(
        kind=kind,
        fingerprint=alert.fingerprint,
        rule_id=alert.rule_id,
        rule_name=rule.name,
        description=describe(config, rule, alert, step.detail),
        severity=alert.severity,
        labels=alert.labels,
        value=None if reason is Reason.NO_DATA or about is not AlertKind.THRESHOLD else alert.value,
        unit="" if alert.kind is AlertKind.FAILURE else config.unit_for(rule),
        operator=threshold.operator,
        threshold=threshold.value,
        fired_at=alert.fired_at or step.before.fired_at or at,
        at=at,
        reason=reason.value,
        channels=_channels(config, step, kind),
        config_hash=config.hash,
        runbook_url=rule.runbook_url,
        about=about.value,
        follows=step.before.told,
        tags=tuple(sorted(rule.tags.items())),
    )
