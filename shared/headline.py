"""The headline: the answer in words, before any number."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo

from .alerts import AlertState, Reason
from .monitoring_config import MonitoringConfig
from .panels import Headline, Limit, Status
from .render.numbers import age, clock, number
from .rules import MetricType
from .tick import Transition
from .timeline import from_minute

RECENT = timedelta(minutes=15)
STALE_AFTER = timedelta(minutes=2)
_SUBJECTS = {
    MetricType.RESPONSE_TIME: "P95 response time",
    MetricType.ERROR_RATE: "Error rate",
    MetricType.CACHE_HIT_RATE: "Cache hit rate",
    MetricType.DATABASE_LAG: "Database replication lag",
    MetricType.CPU_UTILIZATION: "CPU utilization",
    MetricType.MEMORY_UTILIZATION: "Memory utilization",
    MetricType.AVAILABILITY: "Availability",
}


def headline(
    config: MonitoringConfig,
    alerts: Sequence[AlertState],
    transitions: Sequence[Transition],
    checks: int,
    data_to: int | None,
    now: datetime,
    zone: tzinfo = UTC,
) -> Headline:
    """What to say of some alerts (worst first) at ``now``, times in ``zone``; missing or old data comes first."""
    if data_to is None:
        return Headline(Status.EMPTY, "Nothing has been received yet", "Publish a metric and it appears here.")
    if now - from_minute(data_to) > STALE_AFTER:
        since = f"since {clock(from_minute(data_to), zone)} ({age((now - from_minute(data_to)).total_seconds())})"
        return Headline(Status.STALE, f"No data {since}: this page may be wrong", "The last known values are shown.")
    if not alerts:
        return _quiet(config, transitions, checks, now, zone)
    worst = alerts[0]
    if not worst.is_firing:
        return Headline(Status.PENDING, _pending_sentence(config, worst), "Nobody is told yet.")
    others = sum(1 for alert in alerts[1:] if alert.is_firing)
    detail = f"{others} more {'alert fires' if others == 1 else 'alerts fire'}." if others else "Nothing else fires."
    return Headline(Status.of(worst.severity), _firing_sentence(config, worst, now, zone), detail)


def _quiet(
    config: MonitoringConfig, transitions: Sequence[Transition], checks: int, now: datetime, zone: tzinfo
) -> Headline:
    ended = [t for t in transitions if t.reason in (Reason.RESOLVED, Reason.NO_DATA) and t.episode]
    if not ended:
        return Headline(Status.OK, f"All {checks} checks are ok", "Nothing has fired in the range shown.")
    last = max(ended, key=lambda t: t.at)
    lasted = age((last.at - (last.episode or last.at)).total_seconds())
    what = f"{_subject(config, last.rule_id)}{_where(last.labels)}"
    if now - last.at <= RECENT:
        return Headline(
            Status.RESOLVED,
            f"Resolved after {lasted}: {what} is back within its limit",
            f"All {checks} checks are ok since {clock(last.at, zone)}.",
        )
    quiet = age((now - last.at).total_seconds())
    return Headline(Status.OK, f"All {checks} checks are ok, quiet for {quiet}", f"Last alert: {what}, {lasted}.")


def _firing_sentence(config: MonitoringConfig, alert: AlertState, now: datetime, zone: tzinfo) -> str:
    rule = config.get_rule(alert.rule_id)
    limit = Limit(rule.threshold.value, rule.threshold.operator, rule.severity)
    value = number(alert.value, config.unit_for(rule), limit)
    since = alert.pending_since or alert.since or now
    when = f"since {clock(since, zone)} ({age((now - since).total_seconds())})"
    return f"{_subject(config, rule.id)}{_where(alert.labels)} is {value}, {_compared(alert.value, limit)}, {when}"


def _pending_sentence(config: MonitoringConfig, alert: AlertState) -> str:
    rule = config.get_rule(alert.rule_id)
    side = "below" if rule.threshold.operator.value.startswith("<") else "over"
    counted = f"{alert.count} of {rule.min_occurrences} evaluations"
    return f"{_subject(config, rule.id)}{_where(alert.labels)} is {side} its limit, {counted} so far"


def _compared(value: float | None, limit: Limit) -> str:
    """``2.3 times its limit`` where that says something, else ``over its limit of 80``."""
    if value is None:
        return "without data"
    if limit.operator.value.startswith("<"):
        return f"below its limit of {limit.value:g}"
    times = value / limit.value if limit.value > 0 else 0.0
    return f"{times:.1f} times its limit" if times >= 1.2 else f"over its limit of {limit.value:g}"


def _subject(config: MonitoringConfig, rule_id: str) -> str:
    rule = config.find_rule(rule_id)
    if rule is None:
        return rule_id
    return _SUBJECTS.get(rule.metric_type, rule.name)


def _where(labels: Sequence[tuple[str, str]]) -> str:
    return f" in {' '.join(value for _, value in labels)}" if labels else ""
