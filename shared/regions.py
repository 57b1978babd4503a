"""The regions side by side: the same numbers for each, worst region first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .alerts import AlertState
from .panels import KEPT_ROWS, Cell, Row, Status
from .rules import Aggregation, MetricThreshold, MetricType, Query, Selection
from .series import Labels
from .sources import REGION, Sources, limit_of, rules_of, status_of, worst_alert

_BY_REGION = (REGION,)
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


@dataclass(frozen=True, slots=True)
class _Judged:
    """A column with what it is judged by and all its values."""

    column: _Column
    rule_ids: frozenset[str]
    threshold: MetricThreshold | None
    values: Mapping[Labels, float]
    greatest: float

    @classmethod
    def of(cls, sources: Sources, column: _Column) -> _Judged:
        """Ask a column's question of the window that ends with the page."""
        kind, values = column.metric_type, sources.at(column.query)
        rules = rules_of(sources.config, kind) if kind else []
        threshold = sources.config.get_threshold(kind) if kind else None
        return cls(column, frozenset(rule.id for rule in rules), threshold, values, max(values.values(), default=0.0))

    def full_length(self, limit: float) -> float | None:
        """The bar's full length: 100 for a percentage of something, else a little over the greatest; None for none."""
        if self.column.unit == "%" and self.column.id != "error_rate":
            return 100.0
        top = max(self.greatest, limit * 1.6)
        return top if top > 0 else None


def region_rows(sources: Sources) -> tuple[tuple[Row, ...], int]:
    """One row for each region that is configured or that reports, worst first, then by name; at most ``KEPT_ROWS``.

    The second item is how many there are.
    """
    columns = [_Judged.of(sources, column) for column in _COLUMNS]
    names = {region.name for region in sources.config.settings.regions}
    names |= {dict(labels)[REGION] for column in columns for labels in column.values if labels}
    here = _by_region(sources)
    statuses = {name: _status(columns, name, here.get(name, [])) for name in names}
    worst = sorted(names, key=lambda name: (_RANK.index(statuses[name]), name))[:KEPT_ROWS]
    return tuple(_row(sources, columns, name, statuses[name], here.get(name, [])) for name in worst), len(names)


def _by_region(sources: Sources) -> dict[str, list[AlertState]]:
    """The alerts of each region that has any, whichever the page is about."""
    found: dict[str, list[AlertState]] = {}
    for alert in (*sources.alerts, *sources.others):
        for name, value in alert.labels:
            if name == REGION:
                found.setdefault(value, []).append(alert)
    return found


def _status(columns: Sequence[_Judged], name: str, here: Sequence[AlertState]) -> Status:
    """The worst of a region's alerts, else whether it reports anything."""
    reports = any(((REGION, name),) in column.values for column in columns)
    return status_of(worst_alert(here), 0.0 if reports else None, seen=True, stale=False)


def _row(sources: Sources, columns: Sequence[_Judged], name: str, status: Status, here: Sequence[AlertState]) -> Row:
    labels: Labels = ((REGION, name),)
    return Row(name, status, tuple(_cell(sources, column, labels, here) for column in columns))


def _cell(sources: Sources, judged: _Judged, labels: Labels, here: Sequence[AlertState]) -> Cell:
    """A cell's limit is that of the worst rule on it that fires, else its metric type's."""
    alert = worst_alert(alert for alert in here if alert.rule_id in judged.rule_ids)
    threshold = judged.threshold if alert is None else sources.config.get_rule(alert.rule_id).threshold
    value = judged.values.get(labels)
    return Cell(
        id=judged.column.id,
        title=judged.column.title,
        value=value,
        unit=judged.column.unit,
        limit=limit_of(threshold),
        maximum=judged.full_length(threshold.value if threshold else 0.0),
        over=status_of(alert, value, seen=True, stale=False),
    )
