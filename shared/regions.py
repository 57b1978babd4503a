"""The regions side by side: the same numbers for each, worst region first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .alerts import AlertState
from .panels import RegionCell, RegionRow, Status
from .rules import Aggregation, MetricType, Query, Selection
from .series import Labels
from .sources import Sources, limit_of, rules_of, status_of, worst_alert

_BY_REGION = ("region",)
_HITS = Selection("cache_requests", (("level", "l2"), ("result", "hit")))
_LOOKUPS = Selection("cache_requests", (("level", "l2"),))


@dataclass(frozen=True, slots=True)
class _Column:
    """A number of each region; the rules of ``metric_type`` give its limit and its alerts."""

    id: str
    title: str
    unit: str
    query: Query
    metric_type: MetricType | None = None


def _ask(metric: str, aggregation: Aggregation) -> Query:
    return Query(Selection(metric), aggregation, group_by=_BY_REGION)


_COLUMNS = (
    _Column("throughput", "Requests/s", "r/s", _ask("requests", Aggregation.RATE)),
    _Column("error_rate", "Errors", "%",
            Query(Selection("errors"), per=Selection("requests"), scale=100.0, group_by=_BY_REGION),
            MetricType.ERROR_RATE),
    _Column("response_time_p50", "P50", "ms", _ask("response_time", Aggregation.P50)),
    _Column("response_time", "P95", "ms", _ask("response_time", Aggregation.P95), MetricType.RESPONSE_TIME),
    _Column("cache_hit_rate_l2", "L2 hit", "%",
            Query(_HITS, per=_LOOKUPS, scale=100.0, group_by=_BY_REGION), MetricType.CACHE_HIT_RATE),
    _Column("cpu_utilization", "CPU", "%", _ask("cpu_utilization", Aggregation.AVG), MetricType.CPU_UTILIZATION),
    _Column("memory_utilization", "Memory", "%", _ask("memory_utilization", Aggregation.AVG),
            MetricType.MEMORY_UTILIZATION),
    _Column("database_lag", "DB lag", "ms", _ask("database_lag", Aggregation.AVG), MetricType.DATABASE_LAG),
    _Column("instance_count", "Instances", "", _ask("instance_count", Aggregation.LAST)),
)  # fmt: skip
_RANK = (Status.CRITICAL, Status.WARNING, Status.LOW, Status.PENDING, Status.UNKNOWN, Status.OK)


def region_rows(sources: Sources) -> tuple[RegionRow, ...]:
    """One row for each region that is configured or that reports, worst first, then by name."""
    values = {column.id: sources.at(column.query) for column in _COLUMNS}
    names = {region.name for region in sources.config.settings.regions}
    names |= {dict(labels)["region"] for found in values.values() for labels in found if labels}
    rows = [_row(sources, name, values) for name in sorted(names)]
    return tuple(sorted(rows, key=lambda row: _RANK.index(row.status)))


def _row(sources: Sources, name: str, values: Mapping[str, Mapping[Labels, float]]) -> RegionRow:
    labels: Labels = (("region", name),)
    here = [alert for alert in sources.alerts if labels[0] in alert.labels]
    cells = tuple(_cell(sources, column, values[column.id], labels, here) for column in _COLUMNS)
    anything = 0.0 if any(cell.value is not None for cell in cells) else None
    return RegionRow(name, status_of(worst_alert(here), anything, seen=True, stale=False), cells)


def _cell(
    sources: Sources, column: _Column, values: Mapping[Labels, float], labels: Labels, here: list[AlertState]
) -> RegionCell:
    """A cell's limit is that of the worst rule on it that fires, else its metric type's."""
    rules = rules_of(sources.config, column.metric_type) if column.metric_type else []
    alert = worst_alert(alert for alert in here if alert.rule_id in {rule.id for rule in rules})
    threshold = sources.config.get_threshold(column.metric_type) if column.metric_type else None
    if alert is not None:
        threshold = sources.config.get_rule(alert.rule_id).threshold
    value = values.get(labels)
    return RegionCell(
        id=column.id,
        title=column.title,
        value=value,
        unit=column.unit,
        limit=limit_of(threshold),
        maximum=_full_length(column, values, threshold.value if threshold else 0.0),
        over=status_of(alert, value, seen=True, stale=False),
    )


def _full_length(column: _Column, values: Mapping[Labels, float], limit: float) -> float | None:
    """The bar's full length: 100 for a percentage of something, else a little over the greatest; None for none."""
    if column.unit == "%" and column.id != "error_rate":
        return 100.0
    top = max([*values.values(), limit * 1.6])
    return top if top > 0 else None
