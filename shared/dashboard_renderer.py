"""The specification's dashboards by hand: numbers that somebody already has, rendered as the live pages are.

The public face of ``panels`` and ``render``: a ``DashboardMetric`` is one number with its unit and threshold, a
``DashboardRenderer`` puts a list of them into text, JSON, HTML or Markdown, and a ``DashboardBuilder`` makes the
specification's JSON documents. The live dashboards (``dashboard``) are made of the same model by the same renderers:
nothing is drawn twice, and a hostile name is as inert here as there.

Wherever metrics are asked for, these are taken: a sequence of ``DashboardMetric``; a mapping of the specification's
overview keys (``availability``, ``error_rate``, ``response_time_avg``, ``response_time_p95``, ``cache_hit_rate``,
``throughput``) to numbers; or a whole document of a builder or of a collector's status report. Instants are aware UTC.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from .errors import ConfigError
from .monitoring_config import MonitoringConfig
from .panels import Cell, Headline, Health, Limit, Overview, Row, Signal, Status
from .render.html import render_html
from .render.json_page import OVERVIEW_KEYS, dumped
from .render.markdown import render_markdown
from .render.numbers import number
from .render.status import rank
from .render.text import render_text
from .rules import MetricThreshold, MetricType, Operator, Severity
from .sources import limit_of, rules_of
from .timeline import iso
from .urls import View

__all__ = ["DashboardBuilder", "DashboardMetric", "DashboardRenderer"]

Metrics: TypeAlias = "Sequence[DashboardMetric] | Mapping[str, Any]"
_SECTIONS: Mapping[str, tuple[str, str, str, MetricType]] = {
    "availability": ("Availability", "SERVICE HEALTH", "%", MetricType.AVAILABILITY),
    "error_rate": ("Error rate", "SERVICE HEALTH", "%", MetricType.ERROR_RATE),
    "response_time_avg": ("Average response time", "PERFORMANCE", "ms", MetricType.RESPONSE_TIME),
    "response_time_p95": ("P95 response time", "PERFORMANCE", "ms", MetricType.RESPONSE_TIME),
    "cache_hit_rate": ("Cache hit rate", "CACHE PERFORMANCE", "%", MetricType.CACHE_HIT_RATE),
    "throughput": ("Throughput", "CAPACITY", "r/s", MetricType.THROUGHPUT),
}
_UNJUDGED = ("response_time_avg",)
"""Keys whose metric type has rules on another number."""
_UNITS = {"response_time": "ms", "cpu_utilization": "%", "memory_utilization": "%", "error_rate": "%"}
_RANGE = timedelta(hours=3)


@dataclass(frozen=True, slots=True)
class DashboardMetric:
    """One number with what it needs to be judged. ``value`` is in ``unit``; None: there is none.

    ``threshold`` is a limit of the configuration, or a number above which a value is critical. ``status`` overrules
    what the threshold says of the value. ``history`` is oldest first, one value per ``step_seconds``.
    """

    name: str
    value: float | None
    unit: str = ""
    threshold: MetricThreshold | float | None = None
    status: Status | None = None
    section: str = "METRICS"
    id: str = ""
    scope: str = ""
    change: float | None = None
    """Against the same hour a week before."""
    history: tuple[float | None, ...] = ()
    step_seconds: int = 60

    @property
    def limit(self) -> Limit | None:
        """The threshold as it is drawn."""
        if isinstance(self.threshold, MetricThreshold):
            return limit_of(self.threshold)
        return None if self.threshold is None else Limit(self.threshold, Operator.GREATER, Severity.CRITICAL)

    @property
    def judged(self) -> Status:
        """The status: as it was given, or what the threshold says of the value."""
        if self.status is not None:
            return self.status
        if self.value is None or not math.isfinite(self.value):
            return Status.UNKNOWN
        limit = self.limit
        return Status.of(limit.severity) if limit and limit.operator.holds(self.value, limit.value) else Status.OK

    def signal(self, now: datetime) -> Signal:
        """The metric in the panel model, at ``now``."""
        return Signal(
            id=self.id or self.name,
            name=self.name,
            section=self.section,
            scope=self.scope,
            value=self.value,
            unit=self.unit,
            status=self.judged,
            limit=self.limit,
            change=self.change,
            change_unit="pt" if self.unit == "%" else self.unit,
            spark=self.history,
            spark_step_seconds=self.step_seconds,
            as_of=now,
        )


class DashboardRenderer:
    """Renders metrics in every format. ``now`` is the clock that the pages are dated by."""

    def __init__(
        self, config: MonitoringConfig | None = None, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._config = config or MonitoringConfig()
        self._now = now

    def render_overview_text(self, metrics: Metrics, *, colour: bool = False, ascii_only: bool = False) -> str:
        """The specification's terminal look, at most 100 columns."""
        return render_text(self._page(metrics, "Overview"), colour=colour, ascii_only=ascii_only)

    def render_json(self, data: Metrics) -> str:
        """A document as indented JSON in ASCII; of metrics the specification's overview. NaN and infinity are null."""
        document = data if isinstance(data, Mapping) else DashboardBuilder.build_overview_dashboard(data)
        return dumped(_finite(document))

    def render_html(self, metrics: Metrics, title: str = "Dashboard") -> str:
        """One file that needs no other: an HTML page with its style sheet in it and no script."""
        page = self._page(metrics, title)
        return render_html(page, View(start=page.start, end=page.end), standalone=True)

    def render_markdown(self, metrics: Metrics) -> str:
        """CommonMark with tables."""
        return render_markdown(self._page(metrics, "Overview"))

    def _page(self, metrics: Metrics, title: str) -> Overview:
        """The metrics as an overview of the last hours that knows neither alerts nor the monitoring's own health."""
        now = self._now()
        found = metrics_of(metrics, self._config)
        signals = tuple(metric.signal(now) for metric in found)
        settings = self._config.settings
        counted: dict[Status, int] = {}
        for signal in sorted(signals, key=lambda one: rank(one.status)):
            counted[signal.status] = counted.get(signal.status, 0) + 1
        return Overview(
            service=settings.service,
            environment=settings.environment,
            title=title,
            now=now,
            data_to=now,
            start=now - _RANGE,
            end=now,
            headline=_headline(signals),
            counts=tuple(counted.items()),
            signals=signals,
            alerts=(),
            health=Health(None, 0, 0, 0, 0, 0),
            live=False,
            charts=(),
            regions=_regions(metrics),
            facts=(),
            personas=(),
        )


class DashboardBuilder:
    """Builds the specification's documents of numbers that somebody already has."""

    @staticmethod
    def build_overview_dashboard(data: Metrics) -> dict[str, Any]:
        """The six figures of the overview, null where there is none, and the regions that the data has."""
        document = _document(data)
        figures = document.get("overview", document)
        regions = document.get("regions", {})
        overview = {key: figures.get(key) for key in OVERVIEW_KEYS}
        return {"timestamp": _timestamp(data), "dashboard": {"overview": overview, "regions": dict(regions)}}

    @staticmethod
    def build_regional_dashboard(data: Metrics) -> dict[str, Any]:
        """The regions side by side: the same figures for each, null where a region has none."""
        regions = _document(data).get("regions", {})
        names = sorted({figure for region in regions.values() for figure in region})
        table = {name: {figure: region.get(figure) for figure in names} for name, region in regions.items()}
        return {"timestamp": _timestamp(data), "dashboard": {"regions": table}}


def metrics_of(metrics: Metrics, config: MonitoringConfig) -> list[DashboardMetric]:
    """Metrics as they were given, or the overview's figures with the configuration's thresholds.

    Raises ``ConfigError`` for a mapping without any figure of the overview.
    """
    if not isinstance(metrics, Mapping):
        return list(metrics)
    document = _document(metrics)
    figures = document.get("overview", document)
    known = [key for key in OVERVIEW_KEYS if key in figures]
    if not known and "regions" not in document:
        raise ConfigError(f"metrics: expected some of {', '.join(OVERVIEW_KEYS)}")
    return [_figure(key, figures[key], config) for key in known]


def _figure(key: str, value: float | None, config: MonitoringConfig) -> DashboardMetric:
    """A figure, judged by the worst rule of its metric type that it violates."""
    name, section, unit, metric_type = _SECTIONS[key]
    rules = [] if key in _UNJUDGED else sorted(rules_of(config, metric_type), key=lambda rule: rule.severity.rank)
    violated = next((r for r in rules if value is not None and r.violated_by(value)), None)
    rule = violated or next(iter(rules), None)
    return DashboardMetric(name, value, unit, rule.threshold if rule else None, section=section, id=key)


def _document(data: Metrics) -> Mapping[str, Any]:
    """What a document says below ``dashboard``; of metrics their values by id."""
    if isinstance(data, Mapping):
        inner = data.get("dashboard", data)
        return inner if isinstance(inner, Mapping) else {}
    return {metric.id or metric.name: metric.value for metric in data}


def _timestamp(data: Metrics) -> str:
    """The document's own time, else now, to the second."""
    given = data.get("timestamp") if isinstance(data, Mapping) else None
    return given if isinstance(given, str) else iso(datetime.now(UTC).replace(microsecond=0))


def _headline(signals: Sequence[Signal]) -> Headline:
    """The worst metric in words."""
    worst = min(signals, key=lambda one: rank(one.status), default=None)
    if worst is None:
        return Headline(Status.EMPTY, "There is no metric", "")
    if worst.status in (Status.CRITICAL, Status.WARNING, Status.LOW):
        value, limit = number(worst.value, worst.unit, worst.limit), worst.limit
        beyond = f", beyond its limit of {limit.value:g}" if limit else ""
        return Headline(worst.status, f"{worst.name} is {value}{beyond}", "")
    unknown = sum(signal.status is Status.UNKNOWN for signal in signals)
    if unknown:
        return Headline(Status.UNKNOWN, f"{unknown} of {len(signals)} metrics have no value", "")
    return Headline(Status.OK, f"All {len(signals)} metrics are ok", "")


def _regions(metrics: Metrics) -> tuple[Row, ...]:
    if not isinstance(metrics, Mapping):
        return ()
    regional = DashboardBuilder.build_regional_dashboard(metrics)["dashboard"]["regions"]
    return tuple(
        Row(name, Status.OK, tuple(_cell(figure, value) for figure, value in figures.items()))
        for name, figures in regional.items()
    )


def _cell(figure: str, value: float | None) -> Cell:
    unit = _UNITS.get(figure, "")
    return Cell(figure, figure.replace("_", " ").capitalize(), value, unit, maximum=100.0 if unit == "%" else None)


def _finite(value: Any) -> Any:
    """A JSON document without the numbers that JSON does not have."""
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
