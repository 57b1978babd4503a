"""What a page is built from, read once, and the few judgements that all its parts share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from .alerts import AlertState, AlertStateManager, State
from .cells import Cells
from .monitoring_config import MonitoringConfig
from .panels import Limit, Status
from .reader import Cursor, Reader
from .rules import AlertRule, MetricThreshold, MetricType, Query
from .series import Labels
from .tick import Transition, longest_reach_seconds
from .timeline import MINUTE_SECONDS, minute_floor
from .windows import Windows, evaluate

WINDOW_SECONDS = 300
"""The window of every number that no rule gives another."""


@dataclass(frozen=True, slots=True)
class Sources:
    """All that was read for a page. ``end`` is its newest minute (Unix seconds), ``start`` the one before its first."""

    config: MonitoringConfig
    reader: Reader
    minutes: dict[int, Cells]
    alerts: tuple[AlertState, ...]
    transitions: tuple[Transition, ...]
    start: int
    end: int
    now: datetime
    windows: Windows = field(default_factory=Windows)
    """The windows that end with the page, and what was found in them."""

    def at(self, query: Query, seconds: int = WINDOW_SECONDS) -> dict[Labels, float]:
        """A query's values over the window that ends with the page."""
        return evaluate(self.windows.read(self.minutes, self.end, seconds), query, seconds)

    def over(self, query: Query, points: int) -> tuple[int, list[dict[Labels, float]]]:
        """A query's values over the range, oldest first, in at most about ``points`` steps: step seconds, values."""
        step = max(1, -(-(self.end - self.start) // MINUTE_SECONDS // points)) * MINUTE_SECONDS
        ends = range(self.end - (self.end - self.start) // step * step + step, self.end + step, step)
        return step, [self.reader.value(self.minutes, query, end, step) for end in ends]

    def alert(self, rule: AlertRule, labels: Labels) -> AlertState | None:
        """The alert of a rule on some labels, unless it is inactive."""
        return next((a for a in self.alerts if a.rule_id == rule.id and a.labels == labels), None)


def read_sources(
    config: MonitoringConfig, reader: Reader, start: datetime, end: datetime, now: datetime
) -> tuple[Sources, Cursor | None]:
    """Read what the page shows of (start, end]; nothing after the evaluator's cursor, which is None before any."""
    cursor = reader.cursor()
    newest = min(cursor.minute if cursor else minute_floor(now), minute_floor(end))
    first = min(minute_floor(start), newest - WINDOW_SECONDS)
    reach = max(longest_reach_seconds(config), WINDOW_SECONDS)
    minutes = reader.minutes(min(first + MINUTE_SECONDS, newest - reach), newest, now)
    alerts = tuple(alert for alert in reader.alerts() if alert.state is not State.INACTIVE)
    transitions = tuple(reader.transitions(first, newest, now))
    sources = Sources(config, reader, minutes, alerts, transitions, first, newest, now)
    return sources, cursor


def limit_of(threshold: MetricThreshold | None) -> Limit | None:
    """A threshold as a page draws it."""
    return None if threshold is None else Limit(threshold.value, threshold.operator, threshold.severity)


def worst_alert(alerts: Iterable[AlertState]) -> AlertState | None:
    """Firing before pending, then by severity; None of none."""
    return next(iter(AlertStateManager(alerts).get_active_alerts()), None)


def status_of(alert: AlertState | None, value: float | None, seen: bool, stale: bool) -> Status:
    """The status of one number: its alert's, or what its value alone says."""
    if value is None:
        return Status.UNKNOWN if seen else Status.EMPTY
    if stale:
        return Status.STALE
    if alert is None:
        return Status.OK
    return Status.of(alert.severity) if alert.is_firing else Status.PENDING


def scope_text(labels: Labels) -> str:
    """Where a number holds, in a few words: the label values, or "all regions"."""
    return " ".join(value for _, value in labels) or "all regions"


def rules_of(config: MonitoringConfig, metric_type: MetricType) -> list[AlertRule]:
    """The enabled rules of a metric type."""
    return [rule for rule in config.list_alert_rules(enabled_only=True) if rule.metric_type is metric_type]
