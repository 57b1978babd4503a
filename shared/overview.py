"""The overview: is anything wrong, where, and since when. Builds the panel model; pure but for its reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo

from .configuration.models import Collection
from .frame import aged_chart, aged_rows, frame, is_stale
from .line_charts import collection_chart, response_time_chart
from .monitoring_config import MonitoringConfig
from .panels import KEPT_ROWS, Fact, Overview, Share
from .reader import Reader
from .regions import region_rows
from .render.numbers import span
from .rules import Aggregation, MetricType, Query, Selection
from .series import Labels
from .signals import Wanted, make_signal
from .sources import Sources, read_sources, rules_of, scope_text
from .week import change_of

_REQUESTS = Query(Selection("requests"), Aggregation.SUM)
_USERS = Query(Selection("users_active"), Aggregation.LAST_SUM)
_PERSONAS = Query(Selection("persona_requests"), Aggregation.SUM, group_by=("persona",))


@dataclass(frozen=True, slots=True)
class _Signal:
    """A signal of the page; its query is its metric type's, unless it has one of its own."""

    id: str
    name: str
    section: str
    metric_type: MetricType
    query: Query | None = None
    publish: str = ""
    detail: bool = False


_SIGNALS = (
    _Signal("availability", "Availability", "SERVICE HEALTH", MetricType.AVAILABILITY, publish="requests"),
    _Signal("error_rate", "Error rate", "SERVICE HEALTH", MetricType.ERROR_RATE, publish="requests"),
    _Signal("response_time_avg", "Average response time", "PERFORMANCE", MetricType.RESPONSE_TIME,
            Query(Selection("response_time"), Aggregation.AVG), "response_time", detail=True),
    _Signal("response_time_p95", "P95 response time", "PERFORMANCE", MetricType.RESPONSE_TIME, publish="response_time"),
    _Signal("cache_hit_rate", "Cache hit rate", "CACHE PERFORMANCE", MetricType.CACHE_HIT_RATE,
            publish="cache_requests"),
    _Signal("throughput", "Throughput", "CAPACITY", MetricType.THROUGHPUT, publish="requests"),
    _Signal("cpu", "CPU", "CAPACITY", MetricType.CPU_UTILIZATION, publish="cpu_utilization"),
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
    stale = is_stale(sources)
    regions, regions_total = region_rows(sources)
    personas = _personas(sources)
    chart = collection_chart(sources, collection) if collection else response_time_chart(sources)
    return Overview(
        **frame(sources, cursor, config.list_alert_rules(enabled_only=True), zone),
        title="Overview",
        signals=tuple(make_signal(sources, _wanted(config, signal), stale) for signal in _SIGNALS),
        charts=(aged_chart(chart) if stale else chart,),
        regions=aged_rows(regions) if stale else regions,
        facts=tuple(replace(fact, change=None) for fact in _facts(sources)) if stale else _facts(sources),
        personas=personas[:KEPT_ROWS],
        regions_total=regions_total,
        personas_total=len(personas),
    )


def _wanted(config: MonitoringConfig, signal: _Signal) -> Wanted:
    default = config.settings.metric_types[signal.metric_type]
    return Wanted(
        id=signal.id,
        name=signal.name,
        section=signal.section,
        unit=default.unit,
        query=signal.query or default.query,
        rules=() if signal.query else rules_of(config, signal.metric_type),
        publish=signal.publish,
        detail=signal.detail,
    )


def _facts(sources: Sources) -> tuple[Fact, ...]:
    """Numbers of the range and of its end; of a page about one region only those that a region has."""
    requests, users = sources.narrowed(_REQUESTS), sources.narrowed(_USERS)
    facts = []
    if requests:
        counted, before = _only(sources.total(requests)), _only(sources.total_week_before(requests))
        facts.append(_fact(f"Requests, {span(sources.end - sources.start)}", counted, before))
    if users:
        facts.append(_fact("Active users", _only(sources.at(users)), _only(sources.week_before(users))))
    return tuple(facts)


def _only(values: Mapping[Labels, float]) -> float | None:
    """The value of a query that has one group."""
    return next(iter(values.values()), None)


def _fact(name: str, value: float | None, before: float | None) -> Fact:
    return Fact(name, value, change=change_of(value, before, "")[0])


def _personas(sources: Sources) -> tuple[Share, ...]:
    query = sources.narrowed(_PERSONAS)
    counts = sources.total(query) if query else {}
    before = sources.total_week_before(query) if query else {}
    total, total_before = sum(counts.values()), sum(before.values())
    shares = [
        Share(scope_text(labels, _PERSONAS.group_by).capitalize(), count / total, count,
              100 * (count / total - before.get(labels, 0.0) / total_before) if total_before else None)
        for labels, count in counts.items() if total
    ]  # fmt: skip
    return tuple(sorted(shares, key=lambda share: (-share.ratio, share.name)))
