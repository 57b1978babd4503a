"""The overview: is anything wrong, where, and since when. Builds the panel model; pure but for its reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from .alerts import AlertState, AlertStateManager
from .configuration.models import Collection
from .dead_letters import REJECTED_METRIC
from .headline import headline
from .line_charts import collection_chart, response_time_chart
from .monitoring_config import MonitoringConfig
from .panels import (
    AlertRow,
    Fact,
    Health,
    Limit,
    Overview,
    Share,
    Signal,
    Status,
)  # fmt: skip
from .reader import Cursor, Reader
from .regions import region_rows
from .rules import Aggregation, MetricThreshold, MetricType, Query, Selection
from .series import Labels
from .sources import WINDOW_SECONDS, Sources, limit_of, read_sources, rules_of, scope_text, status_of, worst_alert
from .tick import rule_values
from .timeline import HOUR_SECONDS, from_minute

SPARK_POINTS = 60
DAY_SECONDS = 24 * HOUR_SECONDS
FRESH_SECONDS = 300
LATE_AFTER = timedelta(minutes=3)
"""Without an evaluation for this long the page says that the monitoring itself needs a person."""
_REQUESTS = Query(Selection("requests"), Aggregation.SUM)
_USERS = Query(Selection("users_active"), Aggregation.LAST_SUM)
_PERSONAS = Query(Selection("persona_requests"), Aggregation.SUM, group_by=("persona",))
_REJECTED = Query(Selection(REJECTED_METRIC), Aggregation.SUM)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A signal of the page; its query is its metric type's, unless it has one of its own."""

    id: str
    name: str
    section: str
    metric_type: MetricType
    query: Query | None = None
    publish: str = ""
    detail: bool = False


_SIGNALS = (
    _Wanted("availability", "Availability", "SERVICE HEALTH", MetricType.AVAILABILITY, publish="requests"),
    _Wanted("error_rate", "Error rate", "SERVICE HEALTH", MetricType.ERROR_RATE, publish="requests"),
    _Wanted("response_time_avg", "Average response time", "PERFORMANCE", MetricType.RESPONSE_TIME,
            Query(Selection("response_time"), Aggregation.AVG), "response_time", detail=True),
    _Wanted("response_time_p95", "P95 response time", "PERFORMANCE", MetricType.RESPONSE_TIME, publish="response_time"),
    _Wanted("cache_hit_rate", "Cache hit rate", "CACHE PERFORMANCE", MetricType.CACHE_HIT_RATE,
            publish="cache_requests"),
    _Wanted("throughput", "Throughput", "CAPACITY", MetricType.THROUGHPUT, publish="requests"),
    _Wanted("cpu", "CPU", "CAPACITY", MetricType.CPU_UTILIZATION, publish="cpu_utilization"),
)  # fmt: skip


def build_overview(
    config: MonitoringConfig,
    reader: Reader,
    start: datetime,
    end: datetime,
    now: datetime,
    zone: tzinfo = UTC,
    collection: Collection | None = None,
) -> Overview:
    """The overview of (start, end] at ``now`` (aware UTC), with the times in its sentences in ``zone``.

    Its chart is that of ``collection``, where one is given. Without any data every signal is empty.
    """
    sources, cursor = read_sources(config, reader, start, end, now)
    data_to = max(sources.minutes, default=None)
    stale = data_to is None or (now - from_minute(data_to)) > timedelta(minutes=2)
    signals = tuple(_signal(sources, wanted, stale) for wanted in _SIGNALS)
    alerts = AlertStateManager(sources.alerts).get_active_alerts()
    counts = _counts(sources)
    rows = tuple(alert_row(config, alert) for alert in alerts)
    return Overview(
        service=config.settings.service,
        environment=config.settings.environment,
        title="Overview",
        now=now,
        data_to=None if data_to is None else from_minute(data_to),
        start=from_minute(sources.start),
        end=from_minute(sources.end),
        headline=headline(config, alerts, sources.transitions, sum(count for _, count in counts), data_to, now, zone),
        counts=counts,
        signals=signals,
        charts=(collection_chart(sources, collection) if collection else response_time_chart(sources),),
        alerts=rows,
        regions=region_rows(sources),
        facts=_facts(sources),
        personas=_personas(sources),
        health=_health(sources, cursor),
    )


def _signal(sources: Sources, wanted: _Wanted, stale: bool) -> Signal:
    """One signal, over the window of the rule that judges it.

    Of several groups it is about the one with the worst alert, else about the one with the worst value.
    """
    config = sources.config
    default = config.settings.metric_types[wanted.metric_type]
    query = wanted.query or default.query
    rules = [] if wanted.query else rules_of(config, wanted.metric_type)
    alert = worst_alert(a for a in sources.alerts if a.rule_id in {rule.id for rule in rules})
    rule = config.get_rule(alert.rule_id) if alert else min(rules, key=lambda one: one.severity.rank, default=None)
    values = sources.at(query, rule.evaluation_window if rule else WINDOW_SECONDS)
    threshold = rule.threshold if rule else None
    labels = alert.labels if alert else _worst(values, threshold)
    step, past = sources.over(query, SPARK_POINTS)
    spark = tuple(point.get(labels) for point in past)
    value = values.get(labels)
    return Signal(
        id=wanted.id,
        name=wanted.name,
        section=wanted.section,
        scope=scope_text(labels),
        value=value,
        unit=default.unit,
        status=status_of(alert, value, any(point is not None for point in spark), stale),
        limit=limit_of(threshold),
        spark=spark,
        spark_step_seconds=step,
        as_of=from_minute(sources.end),
        publish=wanted.publish,
        detail=wanted.detail,
    )


def _worst(values: Mapping[Labels, float], threshold: MetricThreshold | None) -> Labels:
    """The group nearest to its threshold; the first of equals, no labels when there is no group."""
    if not values:
        return ()
    low_is_bad = threshold is not None and threshold.operator.value.startswith("<")
    return min(sorted(values), key=lambda labels: values[labels] if low_is_bad else -values[labels])


def _counts(sources: Sources) -> tuple[tuple[Status, int], ...]:
    """How many checks are in each status: a rule on one group is one check, a rule without data one that is unknown."""
    found: dict[Status, int] = {}
    for rule in sources.config.list_alert_rules(enabled_only=True):
        values = rule_values(sources.config, rule, sources.minutes, from_minute(sources.end))
        groups = {*values, *(alert.labels for alert in sources.alerts if alert.rule_id == rule.id)}
        for labels in groups or {()}:
            status = status_of(sources.alert(rule, labels), values.get(labels), seen=True, stale=False)
            found[status] = found.get(status, 0) + 1
    order = (Status.CRITICAL, Status.WARNING, Status.LOW, Status.PENDING, Status.UNKNOWN, Status.OK)
    return tuple((status, found[status]) for status in order if status in found)


def alert_row(config: MonitoringConfig, alert: AlertState) -> AlertRow:
    """One line of the list of active alerts."""
    rule = config.get_rule(alert.rule_id)
    note = "" if alert.is_firing else f"pending, {alert.count} of {rule.min_occurrences}"
    return AlertRow(
        fingerprint=alert.fingerprint,
        rule=rule.name,
        scope=scope_text(alert.labels),
        severity=alert.severity,
        status=Status.of(alert.severity) if alert.is_firing else Status.PENDING,
        value=alert.value,
        unit=config.unit_for(rule),
        limit=Limit(rule.threshold.value, rule.threshold.operator, rule.severity),
        since=alert.since or alert.evaluated_at or from_minute(0),
        note=note,
        count=alert.count,
        min_occurrences=rule.min_occurrences,
    )


def _facts(sources: Sources) -> tuple[Fact, ...]:
    hours = max(1, round((sources.end - sources.start) / HOUR_SECONDS))
    requests = sources.at(_REQUESTS, sources.end - sources.start).get(())
    return (Fact(f"Requests, {hours} h", requests), Fact("Active users", sources.at(_USERS).get(())))


def _personas(sources: Sources) -> tuple[Share, ...]:
    counts = sources.at(_PERSONAS, sources.end - sources.start)
    total = sum(counts.values())
    shares = [Share(scope_text(labels).capitalize(), count / total, count) for labels, count in counts.items() if total]
    return tuple(sorted(shares, key=lambda share: (-share.ratio, share.name)))


def _health(sources: Sources, cursor: Cursor | None) -> Health:
    collections = sources.config.list_collections()
    fresh = sum(1 for collection in collections if sources.at(collection.query, FRESH_SECONDS))
    deliveries = sources.reader.deliveries(sources.end - DAY_SECONDS, sources.now)
    rejected = sources.at(_REJECTED, sources.end - sources.start).get((), 0.0)
    return Health(
        evaluated_at=cursor.decided_at if cursor else None,
        late=cursor is None or sources.now - cursor.decided_at > LATE_AFTER,
        collections_fresh=fresh,
        collections_total=len(collections),
        deliveries_done=deliveries.done,
        deliveries_total=deliveries.total,
        dead_letters=int(rejected),
    )
