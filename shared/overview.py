"""The overview: is anything wrong, where, and since when. Builds the panel model; pure but for its reader."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from .alerts import AlertState, AlertStateManager, State
from .dead_letters import REJECTED_METRIC
from .headline import headline
from .monitoring_config import MonitoringConfig
from .panels import (
    AlertRow,
    Fact,
    Health,
    Limit,
    Line,
    LineChart,
    Overview,
    Share,
    Signal,
    Span,
    Status,
)  # fmt: skip
from .reader import Cursor, Reader
from .regions import region_rows
from .rules import Aggregation, AlertRule, MetricThreshold, MetricType, Query, Selection
from .series import Labels
from .sources import WINDOW_SECONDS, Sources, limit_of, read_sources, rules_of, scope_text, status_of, worst_alert
from .tick import Transition, rule_values
from .timeline import HOUR_SECONDS, from_minute

CHART_POINTS = 180
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
    config: MonitoringConfig, reader: Reader, start: datetime, end: datetime, now: datetime, zone: tzinfo = UTC
) -> Overview:
    """The overview of (start, end] at ``now`` (aware UTC), with the times in its sentences in ``zone``.

    Without any data every signal is empty.
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
        charts=(_response_time_chart(sources),),
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


def _response_time_chart(sources: Sources) -> LineChart:
    config = sources.config
    default = config.settings.metric_types[MetricType.RESPONSE_TIME]
    rules = rules_of(config, MetricType.RESPONSE_TIME)
    step, points = sources.over(default.query, CHART_POINTS)
    regions = sorted({labels for point in points for labels in point})
    return LineChart(
        id="response_time",
        title="P95 response time by region",
        unit=default.unit,
        start=from_minute(sources.end - step * len(points)),
        step_seconds=step,
        lines=tuple(_line(sources, rules, labels, points) for labels in regions),
        limits=tuple(limit for rule in rules if (limit := limit_of(rule.threshold))),
        spans=_spans(sources, rules),
    )


def _line(
    sources: Sources, rules: Sequence[AlertRule], labels: Labels, points: Sequence[Mapping[Labels, float]]
) -> Line:
    alert = worst_alert(a for rule in rules if (a := sources.alert(rule, labels)))
    status = status_of(alert, 0.0, seen=True, stale=False)
    values = tuple(point.get(labels) for point in points)
    return Line(scope_text(labels), values, subject=status not in (Status.OK, Status.PENDING), status=status)


def _spans(sources: Sources, rules: Sequence[AlertRule]) -> tuple[Span, ...]:
    """The stretches in which the most severe of some rules was firing, from the history of the range."""
    if not rules:
        return ()
    rule = min(rules, key=lambda rule: rule.severity.rank)
    mine = sorted((t for t in sources.transitions if t.rule_id == rule.id), key=lambda t: (t.fingerprint, t.at))
    spans: list[Span] = []
    for _, episode in itertools.groupby(mine, key=lambda t: t.fingerprint):
        spans.extend(_firing_spans(rule, list(episode), from_minute(sources.start)))
    return tuple(spans)


def _firing_spans(rule: AlertRule, transitions: Sequence[Transition], start: datetime) -> Iterable[Span]:
    began: datetime | None = start if transitions[0].before is State.FIRING else None
    label = scope_text(transitions[0].labels)
    for transition in transitions:
        if transition.after is State.FIRING:
            began = transition.at
        elif began is not None:
            yield Span(began, transition.at, rule.severity, pending=False, label=label)
            began = None
    if began is not None:
        yield Span(began, None, rule.severity, pending=False, label=label)


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
    deliveries = sources.reader.deliveries(sources.end - DAY_SECONDS)
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
