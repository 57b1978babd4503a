"""Catch-up: what fired and ended while the evaluator was away is told in one summary, not alert by alert.

Evaluations of more than ten minutes ago tell nobody of a firing. What still fires when they are over is told then, as
ever; what has ended by then is in the summary, and in the history.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .alerts import fingerprint
from .monitoring_config import AlertRule, MetricThreshold, MetricType, MonitoringConfig
from .notifications import Notification, NotificationKind
from .rules import Operator, Severity
from .series import label_text, make_labels
from .telling import Hearing
from .tick import TickResult, Transition
from .timeline import iso

CATCH_UP_AFTER = timedelta(minutes=10)
MAX_EPISODES = 50
"""Named in a summary; of more, how many."""
RULE_ID = "~catch-up"
_NAME = "Evaluation was late"


@dataclass(frozen=True, slots=True)
class Missed:
    """What fired and ended since a catch-up began; ``since`` None: there is none, and nothing was missed."""

    since: datetime | None = None
    episodes: tuple[str, ...] = ()
    more: int = 0
    worst: Severity = Severity.LOW


def after_tick(
    config: MonitoringConfig, missed: Missed, result: TickResult, hearing: Hearing
) -> tuple[Missed, tuple[Notification, ...]]:
    """What was missed after a tick, and the summary when the catch-up is over and there is any."""
    for transition in result.unseen:
        missed = _with(missed, transition, _name_of(config, transition.rule_id), result.at)
    if hearing.catching_up:
        return missed, ()
    return Missed(), (_summary(config, missed, result.at),) if missed.since is not None else ()


def _with(missed: Missed, transition: Transition, name: str, at: datetime) -> Missed:
    severity = Severity(transition.severity)
    worst = min(missed.worst, severity, key=lambda one: one.rank)
    since = missed.since or transition.episode or at
    if len(missed.episodes) >= MAX_EPISODES:
        return Missed(since, missed.episodes, missed.more + 1, worst)
    where = f" ({label_text(transition.labels)})" if transition.labels else ""
    fired = iso(transition.episode) if transition.episode is not None else "?"
    line = f"{severity.value}: {name}{where}, {fired} to {iso(transition.at)}"
    return Missed(since, (*missed.episodes, line), missed.more, worst)


def _name_of(config: MonitoringConfig, rule_id: str) -> str:
    return next((rule.name for rule in config.list_alert_rules() if rule.id == rule_id), rule_id)


def _summary(config: MonitoringConfig, missed: Missed, at: datetime) -> Notification:
    count = len(missed.episodes) + missed.more
    rule = AlertRule(_NAME, "", MetricType.BUSINESS, MetricThreshold(0.0, severity=missed.worst))
    lines = [*missed.episodes, *([f"and {missed.more} more"] if missed.more else [])]
    return Notification(
        kind=NotificationKind.SUMMARY,
        fingerprint=fingerprint(RULE_ID, ()),
        rule_id=RULE_ID,
        rule_name=_NAME,
        description="\n".join([f"{count} alerts fired and ended before anybody could be told:", *lines]),
        severity=missed.worst,
        labels=make_labels({}),
        value=float(count),
        unit="alerts",
        operator=Operator.GREATER,
        threshold=0.0,
        fired_at=missed.since or at,
        at=at,
        reason="catch_up",
        channels=config.channels_for(rule, missed.worst),
        config_hash=config.hash,
    )


def missed_to_fields(missed: Missed) -> dict[str, Any]:
    """What was missed as a map; an empty one for nothing."""
    if missed.since is None:
        return {}
    return {
        "since": missed.since,
        "episodes": list(missed.episodes),
        "more": missed.more,
        "worst": missed.worst.value,
    }


def missed_from_fields(fields: Mapping[str, Any]) -> Missed:
    """The inverse of ``missed_to_fields``."""
    if not fields:
        return Missed()
    return Missed(fields["since"], tuple(fields["episodes"]), fields["more"], Severity(fields["worst"]))
