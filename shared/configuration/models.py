"""What a configuration holds besides the rules: metrics, views, dashboards, channels. All values are checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from ..formats.otlp_labels import DEFAULT_RULE, LabelRule
from ..rules import AlertRule, MetricType, Query, Severity
from ..series import Kind, Labels


@dataclass(frozen=True, slots=True)
class Region:
    """A place the service runs in: the cloud's name, and the short one that collections use (``us``)."""

    name: str
    short: str


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric that is known by name; others are stored too, but no rule or collection may ask for them.

    ``labels`` names what its series carry, each with the values that are allowed in a query; none means any.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MetricTypeQuery:
    """What a metric type asks when a rule has no query of its own, and the unit of the answer."""

    query: Query
    unit: str


@dataclass(frozen=True, slots=True)
class Collection:
    """A named view of one query. Its windows end ``evaluation_delay_seconds`` (a multiple of 60) before now."""

    name: str
    description: str
    unit: str
    query: Query
    evaluation_delay_seconds: int = 0


class PanelKind(StrEnum):
    """How a panel shows its collections and queries."""

    SIGNAL = "signal"
    """The newest value of each, with its change and a sparkline."""
    LINE = "line"
    MULTIPLES = "multiples"
    """A chart of its lines for each region, side by side on one scale."""
    HEAT = "heat"
    """How a distribution's values lay over time, for each region, side by side on one scale."""
    BARS = "bars"
    """The newest value of each group, side by side."""
    TABLE = "table"
    """A row for each group, a column for each collection and query, and how the first moved over the range."""
    TIMELINE = "timeline"
    """One strip over the range, coloured by whether a threshold is broken."""
    ALERTS = "alerts"
    """Pending and firing alerts, of ``metric_types`` only where it names any."""
    ANOMALIES = "anomalies"
    """The values outside their baseline."""
    GAPS = "gaps"
    """The minutes without data."""


@dataclass(frozen=True, slots=True)
class PanelQuery:
    """A query that a panel asks although it is no collection."""

    title: str
    unit: str
    query: Query


@dataclass(frozen=True, slots=True)
class Panel:
    """One part of a dashboard. ``collections`` are names, shown first.

    It is over the page's range, or over ``range_hours`` (1..72) where that is longer; 0 is the page's always.
    """

    title: str
    kind: PanelKind
    collections: tuple[str, ...] = ()
    queries: tuple[PanelQuery, ...] = ()
    metric_types: tuple[MetricType, ...] = ()
    range_hours: int = 0


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page: ``name`` is its URL part, ``title`` its heading."""

    name: str
    title: str
    description: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Slack:
    """``icons`` has an icon for each of critical, warning and info; ``mention`` is added to critical alerts."""

    channel: str
    mention: str = ""
    icons: Mapping[str, str] = field(default_factory=dict)
    max_per_minute: int = 20
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PagerDuty:
    """Urgency is high for ``high_urgency`` severities; escalates ``escalation_minutes`` without acknowledgement."""

    service: str
    high_urgency: tuple[Severity, ...] = (Severity.CRITICAL,)
    escalation_minutes: int = 30
    secrets: tuple[str, ...] = ()


class Digest(StrEnum):
    """How often a summary is mailed."""

    DAILY = "daily"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Email:
    """A recipient that ends in ``@`` is completed with ``domain``; without a domain it gets no mail."""

    recipients: tuple[str, ...]
    domain: str = ""
    digest: Digest = Digest.DAILY
    attach_dashboard: bool = True
    max_per_minute: int = 20
    secrets: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """The complete addresses, in the order of the recipients; empty when none can be completed."""
        completed = (r + self.domain if r.endswith("@") else r for r in self.recipients)
        return tuple(address for address in completed if not address.endswith("@"))


@dataclass(frozen=True, slots=True)
class Sentry:
    """``traces_sample_rate`` is 0..1, the share of transactions that is profiled."""

    environment: str
    traces_sample_rate: float = 0.1
    max_per_minute: int = 60
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Webhook:
    """A receiver of signed JSON by HTTP."""

    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Inbox:
    """Keeps notifications in the store: the receiver of local runs."""

    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """Something that has to keep reporting: a metric's series by the labels named, or all of them together.

    One that had data and has none for ``silent_after_seconds`` (a multiple of 60) alerts until it is back, for at most
    ``gone_after_seconds``; one that never had any is not missed. Without a ``name`` it has one made of the metric and
    the labels.
    """

    metric: str
    labels: Labels = ()
    group_by: tuple[str, ...] = ()
    silent_after_seconds: int = 300
    gone_after_seconds: int = 7 * 24 * 3600
    severity: Severity = Severity.HIGH
    name: str = ""
    evaluation_delay_seconds: int = 0
    notification_channels: tuple[str, ...] = ()
    runbook_url: str = ""


Channel: TypeAlias = Slack | PagerDuty | Email | Sentry | Webhook | Inbox
"""Settings of a channel. ``secrets`` names the environment variables that hold its secrets, never a secret."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where some alerts go instead: those with all of ``labels``, of any of ``rules`` (ids) and ``severities``.

    Empty ``rules`` or ``severities`` mean any. Empty ``channels`` mean that nobody is told.
    """

    channels: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[str, ...] = ()
    severities: tuple[Severity, ...] = ()

    def takes(self, rule_id: str, severity: Severity, labels: Mapping[str, str]) -> bool:
        """Whether an alert goes this way."""
        return (
            (not self.rules or rule_id in self.rules)
            and (not self.severities or severity in self.severities)
            and all(labels.get(name) == value for name, value in self.labels.items())
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """A whole configuration. Every reference in it resolves; sequences are in the document's order."""

    version: int
    service: str
    environment: str
    regions: tuple[Region, ...]
    metrics: tuple[Metric, ...]
    metric_types: Mapping[MetricType, MetricTypeQuery]
    collections: tuple[Collection, ...]
    channels: Mapping[str, Channel]
    routing: Mapping[str, tuple[Severity, ...]]
    rules: tuple[AlertRule, ...]
    dashboards: tuple[Dashboard, ...]
    routes: tuple[Route, ...] = ()
    sources: tuple[Source, ...] = ()
    otlp_labels: LabelRule = DEFAULT_RULE
