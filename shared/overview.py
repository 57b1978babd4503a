"""The overview: is anything wrong, where, and since when. Builds the panel model; pure but for its reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from .alerts import AlertState, AlertStateManager
from .configuration.models import Collection
from .dead_letters import REJECTED_METRIC
from .headline import Story, headline
from .line_charts import collection_chart, response_time_chart
from .minute_cache import Cursor
from .monitoring_config import MonitoringConfig
from .panels import (
    KEPT_ROWS,
    STALE_AFTER,
    AlertRow,
    Fact,
    Health,
    Overview,
    Share,
    Signal,
    Status,
)  # fmt: skip
from .reader import Reader
from .regions import region_rows
from .render.numbers import span
from .render.plain import value_text
from .rules import Aggregation, AlertRule, MetricThreshold, MetricType, Query, Selection
from .series import Labels
from .sources import (
    REGION,
    SPARK_POINTS,
    WINDOW_SECONDS,
    Sources,
    find_rule,
    limit_of,
    read_sources,
    rules_of,
    scope_text,
    status_of,
    worst_alert,
)  # fmt: skip
from .timeline import HOUR_SECONDS, from_minute, minute_floor

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
    region: str = "",
) -> Overview:
    """The overview of (start, end] at ``now`` (aware UTC), with the times in its sentences in ``zone``.

    Its chart is that of ``collection``, where one is given; with ``region`` it is about that region alone. Of a range
    that ended more than two minutes ago it says what was so then. Without any data every signal is empty.
    """
    sources, cursor = read_sources(config, reader, start, end, now, region)
    newest = _newest(sources)
    data_to = None if newest is None else from_minute(newest)
    stale = data_to is None or sources.about - data_to > STALE_AFTER
    alerts = AlertStateManager(sources.alerts).get_active_alerts()
    counts = _counts(sources)
    regions, regions_total = region_rows(sources)
    personas = _personas(sources)
    story = Story(
        config=config,
        alerts=alerts,
        elsewhere=sum(1 for alert in sources.others if alert.is_firing),
        transitions=sources.transitions,
        checks=sum(count for _, count in counts),
        data_to=data_to,
        at=sources.about,
        now=now,
        zone=zone,
        region=region,
        unreadable=len(sources.read.unreadable),
        range_seconds=sources.end - sources.start,
    )
    return Overview(
        service=config.settings.service,
        environment=config.settings.environment,
        title="Overview",
        now=now,
        data_to=data_to,
        start=from_minute(sources.start),
        end=from_minute(sources.end),
        headline=headline(story),
        counts=counts,
        signals=tuple(_signal(sources, wanted, stale) for wanted in _SIGNALS),
        charts=(collection_chart(sources, collection) if collection else response_time_chart(sources),),
        alerts=tuple(alert_row(config, alert) for alert in alerts[:KEPT_ROWS]),
        regions=regions,
        facts=_facts(sources),
        personas=personas[:KEPT_ROWS],
        health=_health(sources, cursor),
        until=sources.until,
        region=region,
        notes=_notes(sources),
        alerts_total=len(alerts),
        regions_total=regions_total,
        personas_total=len(personas),
    )


def _newest(sources: Sources) -> int | None:
    """The newest minute with data, of the page's region where one is given; None without any."""
    if not sources.region:
        return max(sources.minutes, default=None)
    here = (REGION, sources.region)
    newest_first = sorted(sources.minutes, reverse=True)
    return next((m for m in newest_first if any(here in name.labels for name in sources.minutes[m].series)), None)


def _notes(sources: Sources) -> tuple[str, ...]:
    """What qualifies the whole page."""
    unreadable = len(sources.read.unreadable)
    if not unreadable:
        return ()
    minutes = "1 minute" if unreadable == 1 else f"{unreadable} minutes"
    return (f"{minutes} cannot be read by this version: what is shown is incomplete.",)


def _signal(sources: Sources, wanted: _Wanted, stale: bool) -> Signal:
    """One signal, over the window of the rule that judges it.

    Of several groups it is about the one with the worst alert, else about the one with the worst value.
    """
    config = sources.config
    default = config.settings.metric_types[wanted.metric_type]
    query = sources.narrowed(wanted.query or default.query)
    rules = [] if wanted.query else rules_of(config, wanted.metric_type)
    alert = worst_alert(a for a in sources.alerts if a.rule_id in {rule.id for rule in rules})
    rule = config.get_rule(alert.rule_id) if alert else min(rules, key=lambda one: one.severity.rank, default=None)
    seconds = rule.evaluation_window if rule else WINDOW_SECONDS
    values = sources.at(query, seconds) if query else {}
    threshold = rule.threshold if rule else None
    labels = alert.labels if alert else _worst(values, threshold)
    past = sources.over(query, SPARK_POINTS) if query else None
    spark = tuple(point.get(labels) for point in past.values) if past else ()
    value = values.get(labels)
    return Signal(
        id=wanted.id,
        name=wanted.name,
        section=wanted.section,
        scope=_scope(sources, labels, query, values),
        value=value,
        unit=default.unit,
        status=status_of(alert, value, any(point is not None for point in spark), stale),
        limit=limit_of(threshold),
        spark=spark,
        spark_step_seconds=past.seconds if past else HOUR_SECONDS,
        as_of=from_minute(sources.end),
        publish="" if sources.until else wanted.publish,
        detail=wanted.detail,
    )


def _scope(sources: Sources, labels: Labels, query: Query | None, values: Mapping[Labels, float]) -> str:
    """Where a signal holds; before there is a group to name, where it was asked for."""
    if sources.region and not labels:
        return value_text(sources.region)
    return scope_text(labels, query.group_by if query and labels in values else ())


def _worst(values: Mapping[Labels, float], threshold: MetricThreshold | None) -> Labels:
    """The group nearest to its threshold; the first of equals, no labels when there is no group."""
    if not values:
        return ()
    low_is_bad = threshold is not None and threshold.operator.value.startswith("<")
    return min(sorted(values), key=lambda labels: values[labels] if low_is_bad else -values[labels])


def _counts(sources: Sources) -> tuple[tuple[Status, int], ...]:
    """How many checks are in each status.

    A rule on one group is one check, and a rule without data one that is unknown. So is an alert whose rule is no
    longer configured, as long as it is there.
    """
    found: dict[Status, int] = {}
    rules = sources.config.list_alert_rules(enabled_only=True)
    of_rule: dict[str, list[AlertState]] = {rule.id: [] for rule in rules}
    for alert in sources.alerts:
        of_rule.setdefault(alert.rule_id, []).append(alert)
    for rule in rules:
        for status in _checks(sources, rule, of_rule.pop(rule.id)):
            found[status] = found.get(status, 0) + 1
    for alert in (alert for alerts in of_rule.values() for alert in alerts):
        status = status_of(alert, 0.0, seen=True, stale=False)
        found[status] = found.get(status, 0) + 1
    order = (Status.CRITICAL, Status.WARNING, Status.LOW, Status.PENDING, Status.UNKNOWN, Status.OK)
    return tuple((status, found[status]) for status in order if status in found)


def _checks(sources: Sources, rule: AlertRule, alerts: Sequence[AlertState]) -> list[Status]:
    """The status of each group of a rule; of a page about one region only its groups."""
    values = sources.judged(rule)
    groups = {*values, *(alert.labels for alert in alerts)}
    if not groups and not sources.region:
        groups = {()}
    return [status_of(sources.alert(rule, one), values.get(one), seen=True, stale=False) for one in groups]


def alert_row(config: MonitoringConfig, alert: AlertState) -> AlertRow:
    """One line of the list of active alerts; an alert whose rule is no longer configured has the rule's id."""
    rule = find_rule(config, alert.rule_id)
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
        limit=limit_of(rule.threshold) if rule else None,
        since=alert.since or alert.evaluated_at or from_minute(0),
        note=note if rule else "its rule is no longer configured",
        count=alert.count,
        min_occurrences=occurrences,
    )


def _facts(sources: Sources) -> tuple[Fact, ...]:
    """Numbers of the range and of its end; of a page about one region only those that a region has."""
    requests, users = sources.narrowed(_REQUESTS), sources.narrowed(_USERS)
    facts = []
    if requests:
        counted = next(iter(sources.total(requests).values()), None)
        facts.append(Fact(f"Requests, {span(sources.end - sources.start)}", counted))
    if users:
        facts.append(Fact("Active users", sources.at(users).get(())))
    return tuple(facts)


def _personas(sources: Sources) -> tuple[Share, ...]:
    query = sources.narrowed(_PERSONAS)
    counts = sources.total(query) if query else {}
    total = sum(counts.values())
    shares = [
        Share(scope_text(labels, _PERSONAS.group_by).capitalize(), count / total, count)
        for labels, count in counts.items() if total
    ]  # fmt: skip
    return tuple(sorted(shares, key=lambda share: (-share.ratio, share.name)))


def _health(sources: Sources, cursor: Cursor | None) -> Health:
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
