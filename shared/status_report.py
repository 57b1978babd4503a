"""One process's own state as the dashboard's JSON has it: six figures, then each region's, then all collections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TypedDict

from .cells import Cells
from .monitoring_config import MonitoringConfig
from .rules import Aggregation, MetricType, Query, Selection
from .statistics import covered_seconds, worst
from .timeline import MINUTE_SECONDS, iso, minute_of_us, to_us
from .windows import evaluate, read_window

_OVERVIEW: Mapping[str, MetricType | Query] = {
    "availability": MetricType.AVAILABILITY,
    "error_rate": MetricType.ERROR_RATE,
    "response_time_avg": Query(Selection("response_time"), Aggregation.AVG),
    "response_time_p95": Query(Selection("response_time"), Aggregation.P95, group_by=("region",)),
    "cache_hit_rate": MetricType.CACHE_HIT_RATE,
    "throughput": MetricType.THROUGHPUT,
}
_BY_REGION: Mapping[str, Query] = {
    "response_time": Query(Selection("response_time"), Aggregation.P95, group_by=("region",)),
    "cpu_utilization": Query(Selection("cpu_utilization"), Aggregation.AVG, group_by=("region",)),
    "memory_utilization": Query(Selection("memory_utilization"), Aggregation.AVG, group_by=("region",)),
}


class Report(TypedDict):
    """The report without what became of the messages. All numbers are in the collections' units."""

    timestamp: str
    dashboard: dict[str, dict[str, object]]
    collections: dict[str, float]


def status_report(minutes: Mapping[int, Cells], config: MonitoringConfig, now: datetime, count: int) -> Report:
    """The report over the last ``count`` minutes; a figure without data is None, a region or collection left out."""
    end = minute_of_us(to_us(now))
    window = read_window(minutes, end, count * MINUTE_SECONDS)
    seconds = covered_seconds(minutes, end, count * MINUTE_SECONDS, now)

    def value(query: Query) -> float | None:
        return worst(evaluate(window, query, seconds))

    overview = {name: value(_query(config, asked)) for name, asked in _OVERVIEW.items()}
    regions: dict[str, object] = {}
    for name, query in _BY_REGION.items():
        for labels, found in evaluate(window, query, seconds).items():
            region = regions.setdefault(dict(labels).get("region", "").replace("-", "_"), dict.fromkeys(_BY_REGION))
            if isinstance(region, dict):
                region[name] = found
    values = {view.name: value(view.query) for view in config.list_collections()}
    return Report(
        timestamp=iso(now.replace(microsecond=0)),
        dashboard={"overview": dict(overview), "regions": regions},
        collections={name: found for name, found in values.items() if found is not None},
    )


def _query(config: MonitoringConfig, asked: MetricType | Query) -> Query:
    """A query as it is, or a metric type's, of however few requests: one process has few."""
    return asked if isinstance(asked, Query) else replace(config.settings.metric_types[asked].query, min_count=0.0)
