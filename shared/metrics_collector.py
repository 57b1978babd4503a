"""What a service calls: one line for each thing that it measures, and statistics of what it has measured.

    collector = ProductionMetricsCollector()
    collector.record_response_time("us-central1", "/process", 25.3)

Recording never raises and waits for nothing (``publishing``). Statistics are computed from the very cells that are
published, so what a process says of itself and what the dashboard shows of it agree. Without ``ION_PROJECT`` in the
environment nothing is published, and the statistics are there all the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from threading import RLock
from typing import TYPE_CHECKING, TypedDict

from .errors import ConfigError
from .instruments import Instrument
from .publishing import BackgroundPublisher
from .series import Kind
from .timeline import from_us, iso

if TYPE_CHECKING:  # these need numpy, or read the configuration, so they are loaded when they are asked for
    from .cells import Cells
    from .configuration.models import Collection
    from .monitoring_config import MonitoringConfig
    from .publisher_life import PublisherStats
    from .rules import Aggregation as AggregationMethod
    from .statistics import MetricStatistics, Point

__all__ = ["AggregationMethod", "MetricsCollection", "MetricsCollector", "ProductionMetricsCollector", "StatusReport"]

_REPORT_MINUTES = 5
_NO_LABELS: Mapping[str, str] = {}


def __getattr__(name: str) -> object:
    if name == "AggregationMethod":
        from .rules import Aggregation

        return Aggregation
    raise AttributeError(name)


class StatusReport(TypedDict):
    """What a process knows of itself: the keys of the dashboard's JSON, then every collection that has a value."""

    timestamp: str
    dashboard: dict[str, dict[str, object]]
    collections: dict[str, float]
    publisher: dict[str, object]


class MetricsCollector:
    """Records metrics by name, and answers for the configuration's collections of them. Safe between threads."""

    def __init__(self, publisher: BackgroundPublisher | None = None, config: MonitoringConfig | None = None) -> None:
        """Without a ``publisher`` the process's own, from its environment; without a ``config`` ION Mentoring's."""
        self.publisher = publisher or own_publisher()
        self._config = config

    @cached_property
    def config(self) -> MonitoringConfig:
        """The configuration whose collections it answers for."""
        from .monitoring_config import MonitoringConfig

        return self._config or MonitoringConfig()

    def distribution(self, metric: str, labels: Mapping[str, str] = _NO_LABELS) -> Instrument:
        """An instrument of single observations (``observe``), for a place that records often."""
        return self.publisher.instrument(metric, Kind.DISTRIBUTION, labels)

    def counter(self, metric: str, labels: Mapping[str, str] = _NO_LABELS) -> Instrument:
        """An instrument of what was added (``add``)."""
        return self.publisher.instrument(metric, Kind.COUNTER, labels)

    def gauge(self, metric: str, labels: Mapping[str, str] = _NO_LABELS) -> Instrument:
        """An instrument of levels (``set``)."""
        return self.publisher.instrument(metric, Kind.GAUGE, labels)

    def record(
        self, metric: str, value: float, kind: Kind = Kind.DISTRIBUTION, labels: Mapping[str, str] = _NO_LABELS
    ) -> None:
        """One observation of any metric."""
        self.publisher.record(metric, value, kind, labels)

    def publish_at_once(self, metric: str, *, above: float | None = None, below: float | None = None) -> None:
        """Publish within a second what is observed beyond a limit, not at the end of the quarter of a minute.

        At most once in five seconds.
        """
        self.publisher.publish_at_once(
            metric, lambda value: (above is not None and value > above) or (below is not None and value < below)
        )

    def collection(self, name: str) -> MetricsCollection:
        """A collection by its name, or of any metric that this process has recorded. Raises ``ConfigError``."""
        return MetricsCollection(self, self._view(name))

    @property
    def collections(self) -> dict[str, MetricsCollection]:
        """All collections of the configuration, by name."""
        return {view.name: MetricsCollection(self, view) for view in self.config.list_collections()}

    def get_metric_statistics(self, name: str, minutes: int = 60) -> MetricStatistics:
        """A collection's statistics over the last minutes (1..60). Raises ``ConfigError`` for an unknown one."""
        return self.collection(name).statistics(minutes)

    def export_metrics_json(self, name: str) -> str:
        """A collection of the last hour as JSON. Raises ``ConfigError`` for an unknown one."""
        return self.collection(name).export_metrics_json()

    def flush(self, timeout_seconds: float = 3.0) -> bool:
        """Publish all that was recorded; whether that was done in time."""
        return self.publisher.flush_now(timeout_seconds)

    def close(self) -> bool:
        """Publish all that was recorded and take nothing more; whether that was done in 3 seconds."""
        return self.publisher.close()

    def stats(self) -> PublisherStats:
        """What became of what was recorded."""
        return self.publisher.stats()

    def now(self) -> datetime:
        """The time by the publisher's clock; aware UTC."""
        return from_us(self.publisher.now_us())

    def _record(
        self,
        key: tuple[object, ...],
        value: float,
        metric: str,
        kind: Kind,
        labels: Mapping[str, str],
        counted: str | None = None,
    ) -> None:
        """One observation by an instrument that is remembered under ``key``."""
        try:
            found = self.publisher.called.get(key)
        except Exception:  # noqa: BLE001 - a service does not fail for its metrics
            found = None
        (found or self.publisher.remember(key, metric, kind, labels, counted)).observe(value)

    def _view(self, name: str) -> Collection:
        from .configuration.models import Collection
        from .rules import Query, Selection

        try:
            return self.config.get_collection(name)
        except ConfigError:
            metric = self.config.metric(name)
            recorded = any(
                series.metric == name for cells in self.publisher.recent().values() for series in cells.series
            )
            if metric is None and not recorded:
                raise
            unit, description = ("", "") if metric is None else (metric.unit, metric.description)
            return Collection(name, description, unit, Query(Selection(name)))


class MetricsCollection:
    """A named view of what this process has recorded in the last hour."""

    def __init__(self, collector: MetricsCollector, view: Collection) -> None:
        self.name = view.name
        self.unit = view.unit
        self.description = view.description
        self._collector = collector
        self._view = view

    def statistics(self, minutes: int = 60) -> MetricStatistics:
        """Its statistics over the last minutes (1..60)."""
        from .statistics import statistics

        return statistics(self._minutes(), self._view, self._collector.now(), _checked(minutes))

    def aggregate(self, method: AggregationMethod, minutes: int = 60) -> float | None:
        """Another aggregation of what it selects, over the last minutes (1..60); None without data."""
        from dataclasses import replace

        from .rules import Query
        from .statistics import statistics

        query = self._view.query
        view = replace(
            self._view, query=Query(query.per or query.select, method, scale=1.0 if query.per else query.scale)
        )
        return statistics(self._minutes(), view, self._collector.now(), _checked(minutes))["value"]

    def points(self, minutes: int = 60) -> list[Point]:
        """Its value in each of the last minutes (1..60) that has one, the oldest first."""
        from .statistics import points

        return points(self._minutes(), self._view, self._collector.now(), _checked(minutes))

    def export_metrics_json(self, name: str | None = None) -> str:
        """The last hour as JSON: points and statistics; of another collection where one is named."""
        if name is not None and name != self.name:
            return self._collector.export_metrics_json(name)
        plain = {
            "name": self.name,
            "unit": self.unit,
            "description": self.description,
            "aggregation": "ratio" if self._view.query.per else self._view.query.aggregation.value,
            "exported_at": iso(self._collector.now()),
            "points": self.points(),
            "statistics": self.statistics(),
        }
        return json.dumps(plain, indent=2, allow_nan=False) + "\n"

    def _minutes(self) -> dict[int, Cells]:
        return self._collector.publisher.recent()


def _checked(minutes: int) -> int:
    from .statistics import MAX_MINUTES

    if not 1 <= minutes <= MAX_MINUTES:
        raise ValueError(f"minutes: expected 1 to {MAX_MINUTES}, got {minutes}")
    return minutes


class ProductionMetricsCollector(MetricsCollector):
    """The metrics of ION Mentoring: all that the configuration's 35 collections ask for.

    ``region`` is the process's own: given, or ION_REGION in its environment, or empty.

    Regions are named as the cloud names them (``us-central1``), endpoints by their route (``/users/{id}``, not
    ``/users/17``); a slash at the front is added. Times are milliseconds, shares percent.
    """

    def __init__(
        self,
        publisher: BackgroundPublisher | None = None,
        config: MonitoringConfig | None = None,
        region: str | None = None,
    ) -> None:
        """As its base says."""
        super().__init__(publisher, config)
        self.region = own_region() if region is None else region

    def record_response_time(self, region: str, endpoint: str, ms: float) -> None:
        """A request that was answered, however: its response time, and one request."""
        key = ("response_time", region, endpoint)
        try:
            self.publisher.called[key].observe(ms)
        except Exception:  # noqa: BLE001 - a service does not fail for its metrics
            labels = {"region": region, "endpoint": route(endpoint)}
            self.publisher.remember(key, "response_time", Kind.DISTRIBUTION, labels, "requests").observe(ms)

    def record_error(self, endpoint: str, region: str, error_type: str) -> None:
        """A request that failed. Its response time, or ``record_throughput``, counts it as a request."""
        labels = {"region": region, "endpoint": route(endpoint), "type": error_type}
        self._record(("errors", endpoint, region, error_type), 1.0, "errors", Kind.COUNTER, labels)

    def record_function_time(self, region: str, function: str, ms: float, error_type: str = "") -> None:
        """How long a piece of the service took, which is no request; ``error_type`` where it failed."""
        labels = _given(region=region, function=function)
        self._record(("function_time", region, function), ms, "function_time", Kind.DISTRIBUTION, labels)
        if error_type:
            labels = _given(region=region, function=function, type=error_type)
            self._record(
                ("function_errors", region, function, error_type), 1.0, "function_errors", Kind.COUNTER, labels
            )

    def record_throughput(self, region: str, requests: float = 1.0, endpoint: str = "") -> None:
        """Requests whose response time is not recorded; those whose is are counted by it."""
        labels = _given(region=region, endpoint=route(endpoint, ""))
        self._record(("requests", region, endpoint), requests, "requests", Kind.COUNTER, labels)

    def record_cache_hit(self, level: str, cache: str = "", count: float = 1.0) -> None:
        """A look-up that hit, in level ``l1`` or ``l2``; ``cache`` names what was looked up."""
        self._record_cache(level, cache, "hit", count)

    def record_cache_miss(self, level: str, cache: str = "", count: float = 1.0) -> None:
        """A look-up that missed."""
        self._record_cache(level, cache, "miss", count)

    def record_cache_eviction(self, level: str, cache: str = "", count: float = 1.0) -> None:
        """An entry that was dropped for room."""
        labels = _given(level=level, cache=cache)
        self._record(("cache_evictions", level, cache), count, "cache_evictions", Kind.COUNTER, labels)

    def record_cache_ttl(self, level: str, cache: str, age_seconds: float, ttl_seconds: float) -> None:
        """How much of its time to live an entry had lived when it was last of use, in percent.

        Much at 100 says that entries end while they are still wanted, little that they are kept for nothing.
        """
        labels = {"level": level, "cache": cache}
        key = ("cache_ttl_effectiveness", level, cache)
        self._record(key, _percent(age_seconds, ttl_seconds), "cache_ttl_effectiveness", Kind.DISTRIBUTION, labels)

    def record_database_lag(self, region: str, ms: float) -> None:
        """How far the replica in a region is behind the primary."""
        self._record(("database_lag", region), ms, "database_lag", Kind.GAUGE, {"region": region})

    def record_query_time(self, ms: float, region: str = "") -> None:
        """How long a query to the database took."""
        labels = _given(region=region)
        self._record(("database_query_time", region), ms, "database_query_time", Kind.DISTRIBUTION, labels)

    def record_connection_pool(self, in_use: int, size: int, pool: str = "default") -> None:
        """How many connections of a pool are in use."""
        key = ("connection_pool_utilization", pool)
        share = _percent(in_use, size)
        self._record(key, share, "connection_pool_utilization", Kind.GAUGE, {"pool": pool})

    def record_cpu(self, region: str, percent: float) -> None:
        """Processor time in use."""
        self._record(("cpu_utilization", region), percent, "cpu_utilization", Kind.GAUGE, {"region": region})

    def record_memory(self, region: str, percent: float) -> None:
        """Memory in use."""
        self._record(("memory_utilization", region), percent, "memory_utilization", Kind.GAUGE, {"region": region})

    def record_instances(self, region: str, count: int) -> None:
        """Instances that run in a region, as one process knows it for all."""
        self._record(("instance_count", region), count, "instance_count", Kind.GAUGE, {"region": region})

    def record_availability(self, region: str, up: bool) -> None:
        """Whether a region answered its probe."""
        self._record(("up", region), 1.0 if up else 0.0, "up", Kind.GAUGE, {"region": region})

    def record_persona(self, persona: str, count: float = 1.0) -> None:
        """A request that a persona (``lua``, ``elro``, ``riri``, ``nana``) answered."""
        self._record(("persona_requests", persona), count, "persona_requests", Kind.COUNTER, {"persona": persona})

    def record_users_active(self, count: int) -> None:
        """Users in a session with this process now; the collection adds the processes up."""
        self._record(("users_active",), count, "users_active", Kind.GAUGE, _NO_LABELS)

    def get_current_status_report(self) -> StatusReport:
        """The last five minutes of this process, in the shape of the dashboard's JSON."""
        from .status_report import status_report

        found = status_report(self.publisher.recent(), self.config, self.now(), _REPORT_MINUTES)
        return StatusReport(**found, publisher=_plain(self.stats()))

    def _record_cache(self, level: str, cache: str, result: str, count: float) -> None:
        labels = _given(level=level, result=result, cache=cache)
        self._record(("cache_requests", level, cache, result), count, "cache_requests", Kind.COUNTER, labels)


def route(endpoint: str, empty: str = "/") -> str:
    """An endpoint with a slash at the front: the specification's ``process`` and ``/process`` are one."""
    if not isinstance(endpoint, str) or endpoint.startswith("/"):  # what is no text is refused as a label, later
        return endpoint
    return f"/{endpoint}" if endpoint else empty


def _given(**labels: str) -> dict[str, str]:
    """Labels without those that are empty."""
    return {name: value for name, value in labels.items() if not isinstance(value, str) or value}


def _percent(part: float, whole: float) -> float:
    """NaN, which is counted as dropped, where there is no whole."""
    try:
        return 100.0 * part / whole
    except Exception:  # noqa: BLE001 - a service does not fail for its metrics
        return float("nan")


def _plain(stats: PublisherStats) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(stats)


_own: list[BackgroundPublisher] = []
_own_collector: list[ProductionMetricsCollector] = []
_making = RLock()


def _after_fork() -> None:
    """Another thread may have held the lock at the fork."""
    global _making
    _making = RLock()


os.register_at_fork(after_in_child=_after_fork)


def own_publisher() -> BackgroundPublisher:
    """The one publisher of this process, as its environment says: made once, and never a reason to fail."""
    with _making:
        if not _own:
            from .client import publisher_from_environment

            _own.append(publisher_from_environment())
        return _own[0]


def own_region() -> str:
    """The region in this process's environment; empty where there is none."""
    from .client import region_from_environment

    return region_from_environment()


def own_collector() -> ProductionMetricsCollector:
    """The one collector of this process, for who is given none."""
    with _making:
        if not _own_collector:
            _own_collector.append(ProductionMetricsCollector())
        return _own_collector[0]
