"""The central configuration: what is measured, when somebody is told, and what the dashboards show.

The public face of ``configuration``, ``rules`` and ``alerts``. A ``MonitoringConfig`` is complete and checked:
every reference in it resolves, and its ``hash`` names its content.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from .alerts import AlertState, AlertStateManager
from .configuration import document
from .configuration.models import Collection, Dashboard, Metric, PagerDuty, Panel, PanelKind, Region, Settings
from .configuration.reader import shown, suggestion
from .configuration.sources_reader import rule_of
from .errors import ConfigError
from .own_collections import OWN_COLLECTIONS
from .rules import Aggregation, AlertRule, MetricThreshold, MetricType, OnNoData, Operator, Query, Selection, Severity

__all__ = [
    "Aggregation",
    "AlertRule",
    "AlertState",
    "AlertStateManager",
    "Collection",
    "Dashboard",
    "Metric",
    "MetricThreshold",
    "MetricType",
    "MonitoringConfig",
    "OnNoData",
    "Operator",
    "Panel",
    "PanelKind",
    "Query",
    "Region",
    "Selection",
    "Severity",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MonitoringConfig:
    """A configuration; without arguments the one of ION Mentoring that comes with the program."""

    settings: Settings = field(default_factory=document.defaults)
    hash: str = field(init=False, compare=False)
    """12 hex digits of the content: equal configurations have equal ones."""
    source_rules: tuple[AlertRule, ...] = field(init=False, compare=False, repr=False)
    """What the sources are evaluated as, in their order; no rules of the configuration."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "hash", document.digest(self.settings))
        object.__setattr__(self, "source_rules", tuple(map(rule_of, self.settings.sources)))

    @classmethod
    def from_json(cls, text: str) -> MonitoringConfig:
        """The configuration in a JSON text. Raises ``ConfigError`` with one problem a line, at most 20."""
        return cls(document.parse(text))

    @classmethod
    def from_dict(cls, plain: object) -> MonitoringConfig:
        """The configuration in a parsed JSON document. Raises ``ConfigError`` as ``from_json`` does."""
        return cls(document.from_plain(plain))

    def to_dict(self) -> dict[str, object]:
        """The whole configuration as a JSON document; ``from_dict`` makes an equal one of it."""
        return document.export(self.settings)

    def to_json(self) -> str:
        """The whole configuration as indented JSON text, with a line feed at its end."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"

    def list_alert_rules(self, enabled_only: bool = False) -> list[AlertRule]:
        """The rules in the configuration's order."""
        return [rule for rule in self.settings.rules if rule.enabled or not enabled_only]

    def get_rule(self, rule_id: str) -> AlertRule:
        """A rule by id, a source's too. Raises ``ConfigError`` for an unknown one, as the others do."""
        return _find("rule", rule_id, (*self.settings.rules, *self.source_rules), lambda rule: rule.id)

    def find_rule(self, rule_id: str) -> AlertRule | None:
        """The same, and None for an unknown one."""
        return next((rule for rule in (*self.settings.rules, *self.source_rules) if rule.id == rule_id), None)

    def evaluated_rules(self) -> list[AlertRule]:
        """What is evaluated: the rules that are enabled, and the sources."""
        return [*self.list_alert_rules(enabled_only=True), *self.source_rules]

    def get_threshold(self, metric_type: MetricType) -> MetricThreshold | None:
        """The threshold of the most severe enabled rule of a type, the first of equals; None when it has none."""
        rules = [rule for rule in self.list_alert_rules(enabled_only=True) if rule.metric_type is metric_type]
        return min(rules, key=lambda rule: rule.severity.rank).threshold if rules else None

    def list_dashboards(self) -> list[Dashboard]:
        """The dashboards in the configuration's order."""
        return list(self.settings.dashboards)

    def get_dashboard(self, name: str) -> Dashboard:
        """A dashboard by name. Raises ``ConfigError``."""
        return _find("dashboard", name, self.settings.dashboards, lambda dashboard: dashboard.name)

    def list_collections(self) -> list[Collection]:
        """The collections in the configuration's order."""
        return list(self.settings.collections)

    def get_collection(self, name: str) -> Collection:
        """A collection by name, the monitoring's own (``ion_...``) too. Raises ``ConfigError``."""
        return _find(
            "collection", name, (*self.settings.collections, *OWN_COLLECTIONS), lambda collection: collection.name
        )

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The catalogue in the configuration's order."""
        return self.settings.metrics

    def metric(self, name: str) -> Metric | None:
        """A metric of the catalogue, or None."""
        return next((metric for metric in self.settings.metrics if metric.name == name), None)

    def query_for(self, rule: AlertRule) -> Query:
        """What a rule asks: its own query, or its metric type's. Raises ``ConfigError`` when there is neither."""
        if rule.query is not None:
            return rule.query
        if rule.collection:
            return self.get_collection(rule.collection).query
        if rule.metric_type not in self.settings.metric_types:
            raise ConfigError(f"rule {shown(rule.id)}: {rule.metric_type} has no query in metric_types")
        return self.settings.metric_types[rule.metric_type].query

    def delay_seconds_for(self, rule: AlertRule) -> int:
        """How long before T the windows of a rule end: its own delay or its collection's, whichever is longer."""
        view = self.get_collection(rule.collection) if rule.collection else None
        return max(rule.evaluation_delay_seconds, view.evaluation_delay_seconds if view is not None else 0)

    def unit_for(self, rule: AlertRule) -> str:
        """The unit of a rule's value: its threshold's, its collection's, or its metric type's; empty for none."""
        if rule.threshold.unit or rule.collection:
            return rule.threshold.unit or self.get_collection(rule.collection).unit
        default = self.settings.metric_types.get(rule.metric_type)
        return default.unit if default else ""

    def channels_for(self, rule: AlertRule, severity: Severity) -> tuple[str, ...]:
        """The channels that hear of a rule: its own, or those to which a severity is routed, in that order."""
        routing = self.settings.routing.items()
        routed = tuple(name for name, severities in routing if severity in severities)
        return tuple(rule.notification_channels) or routed

    @property
    def escalation(self) -> tuple[timedelta, tuple[Severity, ...]]:
        """After how long an alert that nobody acknowledged is told again, and of which severities: PagerDuty's."""
        settings = self.settings.channels.get("pagerduty")
        found = settings if isinstance(settings, PagerDuty) else PagerDuty("")
        return timedelta(minutes=found.escalation_minutes), found.high_urgency


def _find(word: str, name: str, among: Sequence[T], name_of: Callable[[T], str]) -> T:
    for item in among:
        if name_of(item) == name:
            return item
    known: Iterable[str] = [name_of(item) for item in among]
    raise ConfigError(f"unknown {word} {shown(name)}{suggestion(name, known)}")
