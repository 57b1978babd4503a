"""Reads a whole document, section by section; what later sections refer to is read first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TypeVar

from ..formats.otlp_labels import DEFAULT_RULE
from ..own_collections import OWN_COLLECTIONS, OWN_METRICS
from ..rules import AlertRule, MetricType, Query, Severity
from ..series import MAX_LABEL_VALUE_BYTES, MAX_LABELS, Kind
from . import models
from .channels_reader import channels, routes, severities
from .labels_reader import label_rule
from .models import Dashboard, Metric, MetricTypeQuery, Panel, PanelKind, PanelQuery, Region, Settings
from .queries import ANY_QUERY, QueryReader
from .reader import Fields, Node, shown
from .rules_reader import RuleReader, delay, description
from .sources_reader import SourceReader

T = TypeVar("T")

VERSION = 1
MAX_RANGE_HOURS = 72
_REQUIRED = ("version", "service", "environment", "metrics", "metric_types", "rules")
_OPTIONAL = (
    "regions", "collections", "channels", "routing", "dashboards", "routes", "sources", "otlp_labels",
)  # fmt: skip

_KINDS = {kind.name.lower(): kind for kind in Kind}


def read_settings(node: Node) -> Settings:
    """The settings of a document; meaningless when ``node.problems`` is not empty afterwards."""
    f = node.fields(_REQUIRED, _OPTIONAL)
    version = f.get("version", lambda n: n.integer(VERSION, VERSION), VERSION)
    service, environment = f.get("service", Node.text, ""), f.get("environment", Node.text, "")
    regions: tuple[Region, ...] = f.get("regions", _regions, ())
    metrics, queries = _metrics(f, frozenset(region.name for region in regions))
    types, known_types = _metric_types(f, queries)
    views = _Views(queries)
    collections: tuple[models.Collection, ...] = f.get("collections", views.collections, ())
    found: dict[str, models.Channel] = f.get("channels", channels, {})
    reading = RuleReader(queries, known_types, found, _by_name(collections))
    rules: tuple[AlertRule, ...] = f.get("rules", reading.read_all, ())
    return Settings(
        version=version,
        service=service,
        environment=environment,
        regions=regions,
        metrics=metrics,
        metric_types=types,
        collections=collections,
        channels=found,
        routing=f.get("routing", lambda n: _routing(n, found), {}),
        rules=rules,
        dashboards=f.get("dashboards", lambda n: views.dashboards(n, _names([*collections, *OWN_COLLECTIONS])), ()),
        routes=f.get("routes", lambda n: routes(n, found, [rule.id for rule in rules]), ()),
        sources=f.get("sources", SourceReader(queries, found, rules).read_all, ()),
        otlp_labels=f.get("otlp_labels", label_rule, DEFAULT_RULE),
    )


def _by_name(collections: Iterable[models.Collection]) -> dict[str, models.Collection]:
    """The collections that rules may ask, the monitoring's own too."""
    return {one.name: one for one in (*collections, *OWN_COLLECTIONS)}


def _names(things: Iterable[Metric] | Iterable[models.Collection]) -> list[str]:
    return [thing.name for thing in things]


def _named(
    node: Node, read: Callable[[Node], T], names: Callable[[T], Iterable[str]], taken: Collection[str] = ()
) -> tuple[T, ...]:
    """The elements of a list, none of which has a name that one before it has, or that is ``taken``."""
    seen: set[str] = set(taken)
    found: list[T] = []
    for item in node.items():
        value = read(item)
        mine = {name for name in names(value) if name}
        for name in sorted(mine & seen):
            whose = "the monitoring itself" if name in taken else "one before it"
            item.fail(f"the name {shown(name)} is taken by {whose}")
        seen |= mine
        found.append(value)
    return tuple(found)


def _regions(node: Node) -> tuple[Region, ...]:
    return _named(node, _region, lambda region: [region.name, region.short])


def _region(node: Node) -> Region:
    f = node.fields(["name", "short"])
    return Region(f.get("name", Node.text, ""), f.get("short", Node.identifier, ""))


def _metrics(f: Fields, regions: frozenset[str]) -> tuple[tuple[Metric, ...], QueryReader]:
    """The catalogue, and what reads queries against it and the monitoring's own metrics.

    A metric that is not sound is known by name only.
    """
    known: dict[str, Metric | None] = {metric.name: metric for metric in OWN_METRICS}

    def read(node: Node) -> Metric:
        sound, metric = node.sound(_metric)
        known.setdefault(metric.name, metric if sound else None)
        return metric

    metrics: tuple[Metric, ...] = f.get(
        "metrics", lambda n: _named(n, read, lambda m: [m.name], _names(OWN_METRICS)), ()
    )
    broken = "metrics" not in f.entries or not isinstance(f.entries["metrics"].value, list) or "" in known
    return metrics, QueryReader(None if broken else known, regions)


def _metric(node: Node) -> Metric:
    f = node.fields(["name", "kind", "unit"], ["description", "labels"])
    return Metric(
        f.get("name", Node.text, ""),
        f.get("kind", _kind, Kind.GAUGE),
        f.get("unit", Node.string, ""),
        f.get("description", description, ""),
        f.get("labels", _label_values, {}),
    )


def _kind(node: Node) -> Kind:
    if isinstance(node.value, str) and node.value in _KINDS:
        return _KINDS[node.value]
    node.expected(f"one of {', '.join(_KINDS)}")
    return Kind.GAUGE


def _label_values(node: Node) -> dict[str, tuple[str, ...]]:
    entries = node.entries(MAX_LABELS, key=Node.text)
    return {name: entry.distinct(lambda n: n.text(MAX_LABEL_VALUE_BYTES)) for name, entry in entries.items()}


def _metric_types(
    f: Fields, queries: QueryReader
) -> tuple[dict[MetricType, MetricTypeQuery], dict[MetricType, Query] | None]:
    """The metric types, and the queries that rules may rely on; None when the section is broken."""

    def read(node: Node) -> dict[MetricType, MetricTypeQuery]:
        entries = node.fields([], list(MetricType)).entries
        return {MetricType(name): _metric_type(entry, queries) for name, entry in entries.items()}

    none: dict[MetricType, MetricTypeQuery] = {}
    sound, types = f.sound("metric_types", read, none)
    return types, {name: one.query for name, one in types.items()} if sound else None


def _metric_type(node: Node, queries: QueryReader) -> MetricTypeQuery:
    f = node.fields(["query", "unit"])
    return MetricTypeQuery(f.get("query", queries.read, ANY_QUERY), f.get("unit", Node.string, ""))


def _routing(node: Node, known: Collection[str]) -> dict[str, tuple[Severity, ...]]:
    entries = node.entries(key=lambda n: n.reference("channel", known))
    return {name: severities(entry) for name, entry in entries.items()}


@dataclass(frozen=True, slots=True)
class _Views:
    """What shows values: collections and dashboards."""

    queries: QueryReader

    def collections(self, node: Node) -> tuple[models.Collection, ...]:
        return _named(node, self._collection, lambda collection: [collection.name], _names(OWN_COLLECTIONS))

    def _collection(self, node: Node) -> models.Collection:
        f = node.fields(["name", "query", "unit"], ["description", "evaluation_delay_seconds"])
        return models.Collection(
            f.get("name", Node.identifier, ""),
            f.get("description", description, ""),
            f.get("unit", Node.string, ""),
            f.get("query", self.queries.read, ANY_QUERY),
            f.get("evaluation_delay_seconds", delay, 0),
        )

    def dashboards(self, node: Node, known: Collection[str]) -> tuple[Dashboard, ...]:
        return _named(node, lambda n: self._dashboard(n, known), lambda dashboard: [dashboard.name])

    def _dashboard(self, node: Node, known: Collection[str]) -> Dashboard:
        f = node.fields(["name", "title", "panels"], ["description"])
        return Dashboard(
            f.get("name", Node.identifier, ""),
            f.get("title", Node.text, ""),
            f.get("description", description, ""),
            f.get("panels", lambda n: n.each(lambda panel: self._panel(panel, known)), ()),
        )

    def _panel(self, node: Node, known: Collection[str]) -> Panel:
        sound, panel = node.sound(lambda n: self._panel_fields(n, known))
        if sound and panel.kind is not PanelKind.ALERTS and not (panel.collections or panel.queries):
            node.fail(f"a panel of kind {panel.kind} needs collections or queries")
        return panel

    def _panel_fields(self, node: Node, known: Collection[str]) -> Panel:
        f = node.fields(["title", "kind"], ["collections", "queries", "metric_types", "range_hours"])
        return Panel(
            f.get("title", Node.text, ""),
            f.get("kind", lambda n: n.choice(PanelKind), PanelKind.LINE),
            f.get("collections", lambda n: n.distinct(lambda name: name.reference("collection", known)), ()),
            f.get("queries", lambda n: n.each(self._panel_query), ()),
            f.get("metric_types", lambda n: n.distinct(lambda name: name.choice(MetricType)), ()),
            f.get("range_hours", lambda n: n.integer(0, MAX_RANGE_HOURS), 0),
        )

    def _panel_query(self, node: Node) -> PanelQuery:
        f = node.fields(["title", "unit", "query"])
        return PanelQuery(
            f.get("title", Node.text, ""), f.get("unit", Node.string, ""), f.get("query", self.queries.read, ANY_QUERY)
        )
