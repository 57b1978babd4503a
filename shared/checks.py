"""What every page says of the checks, the alerts and the monitoring itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from .alerts import AlertState
from .dead_letters import REJECTED_METRIC
from .minute_cache import Cursor
from .monitoring_config import MonitoringConfig
from .panels import AlertRow, Health, Status
from .rules import Aggregation, AlertRule, Query, Selection
from .sources import REGION, Sources, limit_of, scope_text, status_of
from .timeline import HOUR_SECONDS, from_minute, minute_floor

DAY_SECONDS = 24 * HOUR_SECONDS
FRESH_SECONDS = 300
LATE_AFTER = timedelta(minutes=3)
"""Without an evaluation for this long the page says that the monitoring itself needs a person."""
_REJECTED = Query(Selection(REJECTED_METRIC), Aggregation.SUM)
_ORDER = (Status.CRITICAL, Status.WARNING, Status.LOW, Status.PENDING, Status.UNKNOWN, Status.OK)


def newest_minute(sources: Sources) -> int | None:
    """The newest minute with data, of the page's region where one is given; None without any."""
    if not sources.region:
        return max(sources.minutes, default=None)
    here = (REGION, sources.region)
    newest_first = sorted(sources.minutes, reverse=True)
    return next((m for m in newest_first if any(here in name.labels for name in sources.minutes[m].series)), None)


def notes_of(sources: Sources) -> tuple[str, ...]:
    """What qualifies the whole page."""
    unreadable = len(sources.read.unreadable)
    if not unreadable:
        return ()
    minutes = "1 minute" if unreadable == 1 else f"{unreadable} minutes"
    return (f"{minutes} cannot be read by this version: what is shown is incomplete.",)


def count_checks(sources: Sources, rules: Sequence[AlertRule]) -> tuple[tuple[Status, int], ...]:
    """How many checks are in each status, worst first.

    A rule on one group is one check, and a rule without data one that is unknown. So is an alert whose rule is none of
    ``rules``, as long as ``sources`` has it: it is no longer configured.
    """
    found: dict[Status, int] = {}
    of_rule: dict[str, list[AlertState]] = {rule.id: [] for rule in rules}
    for alert in sources.alerts:
        of_rule.setdefault(alert.rule_id, []).append(alert)
    for rule in rules:
        for status in _checks(sources, rule, of_rule.pop(rule.id)):
            found[status] = found.get(status, 0) + 1
    for alert in (alert for alerts in of_rule.values() for alert in alerts):
        status = status_of(alert, 0.0, seen=True, stale=False)
        found[status] = found.get(status, 0) + 1
    return tuple((status, found[status]) for status in _ORDER if status in found)


def _checks(sources: Sources, rule: AlertRule, alerts: Sequence[AlertState]) -> list[Status]:
    """The status of each group of a rule; of a page about one region only its. What fires does so without data."""
    values = sources.judged(rule)
    groups = {*values, *(alert.labels for alert in alerts)}
    if not groups and not sources.region:
        groups = {()}
    return [_check(sources.alert(rule, one), values.get(one)) for one in groups]


def _check(alert: AlertState | None, value: float | None) -> Status:
    if alert is not None and alert.is_firing:
        return Status.of(alert.severity)
    return status_of(alert, value, seen=True, stale=False)


def alert_row(config: MonitoringConfig, alert: AlertState) -> AlertRow:
    """One line of the list of active alerts; an alert whose rule is no longer configured has the rule's id."""
    rule = config.find_rule(alert.rule_id)
    occurrences = rule.min_occurrences if rule else max(alert.count, 1)
    note = "" if alert.is_firing else f"pending, {alert.count} of {occurrences}"
    return AlertRow(
        fingerprint=alert.fingerprint,
        rule=rule.name if rule else alert.rule_id,
        scope=scope_text(alert.labels, config.query_for(rule).group_by if rule else ()),
        severity=alert.severity,
        status=Status.of(alert.severity) if alert.is_firing else Status.PENDING,
        value=alert.value,
        unit=config.unit_for(rule) if rule else "",
        limit=limit_of(rule.threshold) if rule and not rule.is_source else None,
        since=alert.since or alert.evaluated_at or from_minute(0),
        note=note if rule else "its rule is no longer configured",
        count=alert.count,
        min_occurrences=occurrences,
        href=f"/alerts/{alert.fingerprint}",
    )


def health_of(sources: Sources, cursor: Cursor | None) -> Health:
    """How the monitoring itself is now; what is fresh, and what was rejected, are of the range."""
    collections = sources.config.list_collections()
    fresh = sum(1 for collection in collections if sources.at(collection.query, FRESH_SECONDS))
    deliveries = sources.reader.deliveries(minute_floor(sources.now) - DAY_SECONDS, sources.now)
    return Health(
        evaluated_at=cursor.decided_at if cursor else None,
        late=cursor is None or sources.now - cursor.decided_at > LATE_AFTER,
        collections_fresh=fresh,
        collections_total=len(collections),
        deliveries_done=deliveries.done,
        deliveries_total=deliveries.total,
        dead_letters=int(sources.total(_REJECTED).get((), 0.0)),
        channels_gone=sources.reader.channels_gone(sources.now),
    )
