"""Evidence: what else is known of an alert that is told: what is usual, what contributes most, and a chart.

What contributes most comes from the rollups that were judged: the rule's own question, asked again for each value of
one more label. It is best effort: whatever fails here costs a line of a message, never the message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

from .alerts import AlertKind
from .channels import Evidence
from .errors import MonitoringError
from .logs import log
from .monitoring_config import AlertRule, MonitoringConfig
from .notifications import Notification, NotificationKind
from .render.numbers import number
from .render.plain import clean, value_text
from .rollups import read_rollups
from .rules import Operator
from .series import Labels
from .store import Store
from .timeline import MINUTE_SECONDS, from_minute, minute_floor
from .usual_store import read_baselines, rule_key
from .windows import Window, evaluate, read_window

Charts: TypeAlias = Callable[[Notification], bytes | None]
"""The chart of an alert as a PNG with its background filled; None where there is none."""
SHOWN = 3
USUAL_SIGMAS = 2.0
"""Within so many standard deviations of its level a value is called usual: 19 of 20."""
MAX_MINUTES = 15
"""Of a longer window the last minutes are looked at."""
_ABOUT_NOW = {
    NotificationKind.FIRING, NotificationKind.RAISED, NotificationKind.ESCALATED, NotificationKind.ACKNOWLEDGED,
}  # fmt: skip

_ABOUT_NO_RULE = {NotificationKind.SUMMARY, NotificationKind.NOTICE}


def no_chart(_: Notification) -> bytes | None:
    """Where nothing is drawn."""
    return None


@dataclass(frozen=True, slots=True)
class EvidenceFrom:
    """Evidence from a store and a drawer of charts, looked up once for each notification, and drawn once if at all."""

    store: Store
    config: MonitoringConfig
    chart: Charts = no_chart
    _known: dict[str, Evidence] = field(default_factory=dict)
    _drawn: dict[str, bytes | None] = field(default_factory=dict)

    def __call__(self, notification: Notification) -> Evidence:
        """What is known. Raises nothing that a store, a chart or a configuration could cause."""
        if notification.id not in self._known:
            draw = partial(self._draw, notification)
            self._known[notification.id] = Evidence(draw, self._usual(notification), self._worst(notification))
        return self._known[notification.id]

    def _draw(self, notification: Notification) -> bytes | None:
        if notification.id not in self._drawn:
            self._drawn[notification.id] = self._chart(notification)
        return self._drawn[notification.id]

    def _chart(self, notification: Notification) -> bytes | None:
        try:
            return self.chart(notification)
        except Exception as error:  # noqa: BLE001 - a drawing may break by anything, and no alert waits for it
            log("chart_failed", "WARNING", notification=notification.id, error=type(error).__name__)
            return None

    def _usual(self, notification: Notification) -> tuple[float, float] | None:
        """What is usual of the value at this time of the week; None where nothing was learned."""
        if notification.about != AlertKind.THRESHOLD.value or notification.kind in _ABOUT_NO_RULE:
            return None
        try:
            key = rule_key(self.config, self.config.get_rule(notification.rule_id))
            learned = read_baselines(self.store, [key], notification.at).get(key, {}).get(notification.labels)
        except MonitoringError as error:
            log("evidence_failed", "WARNING", notification=notification.id, reason=error.reason)
            return None
        return None if learned is None else learned.at(notification.at).limits(USUAL_SIGMAS)

    def _worst(self, notification: Notification) -> tuple[str, ...]:
        if notification.about != AlertKind.THRESHOLD.value or notification.kind not in _ABOUT_NOW:
            return ()
        try:
            rule = self.config.get_rule(notification.rule_id)
            seconds = min(rule.evaluation_window, MAX_MINUTES * MINUTE_SECONDS)
            end = minute_floor(notification.at) - self.config.delay_seconds_for(rule)
            minutes = range(end - seconds + MINUTE_SECONDS, end + MINUTE_SECONDS, MINUTE_SECONDS)
            window = read_window(read_rollups(self.store, list(minutes), from_minute(end)), end, seconds)
        except MonitoringError as error:
            log("evidence_failed", "WARNING", notification=notification.id, reason=error.reason)
            return ()
        return worst(self.config, rule, window, notification.labels, seconds)


def worst(config: MonitoringConfig, rule: AlertRule, window: Window, labels: Labels, seconds: int) -> tuple[str, ...]:
    """The values of one more label that violate the rule, the worst first: ``/recommend 688 ms``; at most three.

    Of several labels the first of the catalogue that tells any apart; none where no label does.
    """
    query = config.query_for(rule)
    unit, threshold = config.unit_for(rule), rule.threshold
    for name in _other_labels(config, rule):
        asked = replace(query, group_by=(*query.group_by, name), min_count=0.0)
        found = {
            dict(key).get(name, ""): value
            for key, value in evaluate(window, asked, seconds).items()
            if set(labels) <= set(key)
        }
        bad = sorted((pair for pair in found.items() if threshold.violated_by(pair[1])), key=lambda pair: pair[1])
        if len(found) > 1 and bad:
            first = bad if threshold.operator in (Operator.LESS, Operator.LESS_EQUAL) else bad[::-1]
            return tuple(f"{clean(value_text(text))} {number(value, unit)}" for text, value in first[:SHOWN])
    return ()


def _other_labels(config: MonitoringConfig, rule: AlertRule) -> Iterator[str]:
    """The labels of a rule's metric, and of what it is divided by, that its question leaves open."""
    query = config.query_for(rule)
    selections = [query.select] + ([query.per] if query.per is not None else [])
    metrics = [config.metric(one.metric) for one in selections]
    fixed = {*query.group_by, *(name for one in selections for name, _ in one.labels)}
    common = [set(one.labels) for one in metrics if one is not None]
    for name in metrics[0].labels if metrics[0] is not None else ():
        if name not in fixed and all(name in labels for labels in common):
            yield name
