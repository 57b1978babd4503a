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
MAX_LINE_CHARACTERS = 400
"""Of an episode's line: its labels may be longer."""
RULE_ID = "~catch-up"
_NAME = "Evaluation was late"


@dataclass(frozen=True, slots=True)
class Missed:
    """What fired and ended during a catch-up, a line each; ``more`` is how many others there are."""

    episodes: tuple[str, ...] = ()
    more: int = 0
    worst: Severity = Severity.LOW


def after_tick(
    config: MonitoringConfig, missed: Missed, result: TickResult, hearing: Hearing
) -> tuple[Missed, tuple[Notification, ...]]:
    """What was missed after a tick, and the summary when the catch-up is over and there is any."""
    for transition in result.unseen:
        missed = _with(missed, transition, _name_of(config, transition.rule_id))
    if hearing.catching_up:
        return missed, ()
    return Missed(), (_summary(config, missed, result.at),) if missed.episodes else ()


def _with(missed: Missed, transition: Transition, name: str) -> Missed:
    severity = Severity(transition.severity)
    worst = min(missed.worst, severity, key=lambda one: one.rank)
    if len(missed.episodes) >= MAX_EPISODES:
        return Missed(missed.episodes, missed.more + 1, worst)
    where = f" ({label_text(transition.labels)})" if transition.labels else ""
    fired = iso(transition.episode) if transition.episode is not None else "?"
    line = f"{severity.value}: {fired} to {iso(transition.at)}: {name}{where}"[:MAX_LINE_CHARACTERS]
    return Missed((*missed.episodes, line), missed.more, worst)


def _name_of(config: MonitoringConfig, rule_id: str) -> str:
    rule = config.find_rule(rule_id)
    return rule_id if rule is None else rule.name


def _summary(config: MonitoringConfig, missed: Missed, at: datetime) -> Notification:
    """The summary; an episode of its own, which fired at ``at``, because no T has two of them."""
    count = len(missed.episodes) + missed.more
    alerts = "1 alert" if count == 1 else f"{count} alerts"
    rule = AlertRule(_NAME, "", MetricType.BUSINESS, MetricThreshold(0.0, severity=missed.worst))
    lines = [*missed.episodes, *([f"and {missed.more} more"] if missed.more else [])]
    return Notification(
        kind=NotificationKind.SUMMARY,
        fingerprint=fingerprint(RULE_ID, ()),
        rule_id=RULE_ID,
        rule_name=_NAME,
        description="\n".join([f"{alerts} fired and ended before anybody could be told:", *lines]),
        severity=missed.worst,
        labels=make_labels({}),
        value=float(count),
        unit="alerts",
        operator=Operator.GREATER,
        threshold=0.0,
        fired_at=at,
        at=at,
        reason="catch_up",
        channels=config.channels_for(rule, missed.worst),
        config_hash=config.hash,
    )


def missed_to_fields(missed: Missed) -> dict[str, Any]:
    """What was missed as a map; an empty one for nothing."""
    if not missed.episodes:
        return {}
    return {"episodes": list(missed.episodes), "more": missed.more, "worst": missed.worst.value}


def missed_from_fields(fields: Mapping[str, Any]) -> Missed:
    """The inverse of ``missed_to_fields``."""
    if not fields:
        return Missed()
    return Missed(tuple(fields["episodes"]), fields["more"], Severity(fields["worst"]))
