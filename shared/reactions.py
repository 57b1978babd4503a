"""Reactions: what people do about alerts that were told in one conversation, and the notifications of it.

An alert is found by the conversation in which it was told (``Notification.conversation``), not by its episode: a
button stands under a message that may be about many. Wherever any of them was told it is told, once in each
conversation: one that got worse than the others may have gone to a channel that never heard of those. Asking again
changes nothing and tells the same again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from .acks import Ack
from .actions import firing_in, silence, take
from .alerts import AlertState
from .errors import PermanentError
from .monitoring_config import AlertRule, MetricThreshold, MetricType, MonitoringConfig
from .notifications import Member, Notification, NotificationKind
from .series import make_labels
from .silences import RULE, Matcher, Silence, matchers_of
from .store import Store
from .together import MAX_NAMED
from .wording import describe

SILENCED_FOR = timedelta(hours=1)
MAX_SILENCES = 10
"""Of one button: beyond that many alerts the whole rule is silenced."""


@dataclass(frozen=True, slots=True)
class Reaction:
    """What was done, and the notifications of it. ``ack`` is whose the first alert is, None for a silence."""

    kind: NotificationKind
    notifications: tuple[Notification, ...]
    ack: Ack | None
    is_new: bool


def acknowledge_conversation(
    store: Store, config: MonitoringConfig, conversation: str, author: str, now: datetime
) -> Reaction:
    """Take all alerts of a conversation that fire; of two people the first has each.

    Raises PermanentError: ``not_firing`` when none does (any more), ``invalid_acknowledgement``.
    """
    alerts = firing_in(store, conversation)
    taken = take(store, alerts, author, "", now)
    first = taken[0].ack
    kind = NotificationKind.ACKNOWLEDGED
    told = _notifications(config, alerts, kind, first.author, first.at, None)
    return Reaction(kind, told, first, any(one.is_new for one in taken))


def silence_conversation(
    store: Store, config: MonitoringConfig, conversation: str, silence_id: str, author: str, now: datetime
) -> Reaction:
    """Silence all alerts of a conversation that fire for an hour; ``silence_id`` is the request's own.

    Raises PermanentError: ``not_firing``, ``invalid_silence``.
    """
    alerts = firing_in(store, conversation)
    reach = [matchers_of(dict(one.labels), one.rule_id) for one in alerts[:MAX_SILENCES]]
    if len(alerts) > MAX_SILENCES:
        reach = [(Matcher(RULE, alerts[0].rule_id),)]
    made = [
        silence(store, f"{silence_id}-{number}", matchers, now, now + SILENCED_FOR, author, "From a message", now)
        for number, matchers in enumerate(reach)
    ]
    kind, by = NotificationKind.SILENCED, made[0]
    told = _notifications(config, alerts, kind, by.author, by.created_at, by.ends_at)
    return Reaction(kind, told, None, is_new=True)


def silenced(config: MonitoringConfig, alert: AlertState, silence: Silence) -> Notification:
    """What is told of a silence of one alert, in the conversation in which that was told."""
    kind = NotificationKind.SILENCED
    (told,) = _notifications(config, [alert], kind, silence.author, silence.created_at, silence.ends_at)
    return told


@dataclass(slots=True)
class _Part:
    """The alerts of some conversations in which the same one leads, by fingerprint, and the channels of those."""

    alerts: dict[str, AlertState] = field(default_factory=dict)
    channels: list[str] = field(default_factory=list)


def _parts(alerts: Sequence[AlertState]) -> list[_Part]:
    """A part for each alert that leads anywhere: the first of those that were told in a channel's conversation."""
    places: dict[tuple[str, str], list[AlertState]] = {}
    for alert in alerts:
        begun: dict[str, str] = {}
        for told in alert.told:
            for channel in told.channels:
                begun.setdefault(channel, told.notification_id)
        for place in begun.items():
            places.setdefault(place, []).append(alert)
    parts: dict[str, _Part] = {}
    for (channel, _), some in places.items():
        part = parts.setdefault(some[0].fingerprint, _Part())
        part.channels.append(channel)
        part.alerts.update((alert.fingerprint, alert) for alert in some)
    return list(parts.values())


def _notifications(
    config: MonitoringConfig,
    alerts: Sequence[AlertState],
    kind: NotificationKind,
    author: str,
    at: datetime,
    until: datetime | None,
) -> tuple[Notification, ...]:
    return tuple(_notification(config, part, kind, author, at, until) for part in _parts(alerts))


def _notification(
    config: MonitoringConfig, part: _Part, kind: NotificationKind, author: str, at: datetime, until: datetime | None
) -> Notification:
    lead, *others = part.alerts.values()
    rule = _rule(config, lead)
    threshold = rule.threshold_of(lead.severity)
    return Notification(
        kind=kind,
        fingerprint=lead.fingerprint,
        rule_id=lead.rule_id,
        rule_name=rule.name,
        description=describe(config, rule, lead),
        severity=lead.severity,
        labels=lead.labels,
        value=lead.value,
        unit=_unit(config, rule),
        operator=threshold.operator,
        threshold=threshold.value,
        fired_at=lead.fired_at or at,
        at=at,
        reason=kind.value,
        channels=tuple(part.channels),
        config_hash=config.hash,
        runbook_url=rule.runbook_url,
        about=lead.kind.value,
        follows=lead.told,
        also=tuple(Member(make_labels(dict(one.labels)), one.value) for one in others[:MAX_NAMED]),
        more=len(others[MAX_NAMED:]),
        still_firing=len(part.alerts),
        author=author,
        until=until,
    )


def _rule(config: MonitoringConfig, alert: AlertState) -> AlertRule:
    """The alert's rule; one that is gone from the configuration is known by its id."""
    try:
        return config.get_rule(alert.rule_id)
    except PermanentError:
        limit = MetricThreshold(0.0, severity=alert.severity)
        return AlertRule(alert.rule_id, "", MetricType.BUSINESS, limit)


def _unit(config: MonitoringConfig, rule: AlertRule) -> str:
    try:
        return config.unit_for(rule)
    except PermanentError:
        return ""
