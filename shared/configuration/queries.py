"""Reads queries, and checks that the metrics, labels and label values they name exist and bear the aggregation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..rules import Aggregation, Query, Selection
from ..series import MAX_LABEL_VALUE_BYTES, MAX_LABELS, Kind, Labels, make_labels
from .models import Metric
from .reader import Fields, Node, shown, suggestion

ANY_QUERY = Query(Selection(""))
"""Placeholder for a query that could not be read; only ever part of a document that is refused."""


@dataclass(frozen=True, slots=True)
class QueryReader:
    """What queries may name. ``metrics`` None means that the section itself is broken: then any name passes.

    A metric that is known by name but could not be read is None, and only its name is checked.
    """

    metrics: Mapping[str, Metric | None] | None
    regions: frozenset[str]

    def read(self, node: Node) -> Query:
        """A query with every name in it checked."""
        sound, query = node.sound(self._read)
        if sound:
            self._check(node, query)
        return query

    def _read(self, node: Node) -> Query:
        f = node.fields(["select"], ["aggregation", "per", "scale", "complement", "group_by", "min_count"])
        return Query(
            select=f.get("select", self.selection, ANY_QUERY.select),
            aggregation=f.get("aggregation", lambda n: n.choice(Aggregation), ANY_QUERY.aggregation),
            per=f.get("per", self.selection, None),
            scale=f.get("scale", Node.number, ANY_QUERY.scale),
            complement=f.get("complement", Node.flag, ANY_QUERY.complement),
            group_by=f.get("group_by", lambda n: n.distinct(Node.text), ANY_QUERY.group_by),
            min_count=f.get("min_count", lambda n: n.number(0), ANY_QUERY.min_count),
        )

    def selection(self, node: Node) -> Selection:
        """A metric, and a filter on its labels."""
        return self.select(node.fields(["metric"], ["labels"]))

    def select(self, f: Fields) -> Selection:
        """The selection whose fields stand among others."""
        metric = f.get("metric", self._metric, "")
        labels = f.get("labels", self._labels, ANY_QUERY.select.labels)
        definition = self._definition(metric)
        if definition is not None and "labels" in f.entries:
            self._check_labels(f.entries["labels"], labels, definition)
        return Selection(metric, labels)

    def group_by(self, f: Fields, selection: Selection) -> tuple[str, ...]:
        """Labels of a selection's metric."""
        names = f.get("group_by", lambda n: n.distinct(Node.text), ANY_QUERY.group_by)
        definition = self._definition(selection.metric)
        if definition is not None and "group_by" in f.entries:
            _check_groups(f.entries["group_by"], names, definition)
        return names

    def _metric(self, node: Node) -> str:
        return node.text() if self.metrics is None else node.reference("metric", self.metrics)

    def _definition(self, metric: str) -> Metric | None:
        return None if self.metrics is None else self.metrics.get(metric)

    def _labels(self, node: Node) -> Labels:
        entries = node.entries(MAX_LABELS)
        return make_labels({name: value.text(MAX_LABEL_VALUE_BYTES) for name, value in entries.items()})

    def _check_labels(self, node: Node, labels: Labels, metric: Metric) -> None:
        for name, value in labels:
            if name not in metric.labels:
                node.child(name, value).fail(f"unknown label of {shown(metric.name)}{suggestion(name, metric.labels)}")
                continue
            known = self._values(name, metric.labels[name])
            if value and known and value not in known:
                node.child(name, value).fail(f"unknown value {shown(value)}{suggestion(value, known)}")

    def _values(self, label: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
        """The values a label may have in a query: its own, or for ``region`` the configured ones; none is any."""
        return allowed or (tuple(sorted(self.regions)) if label == "region" else ())

    def _check(self, node: Node, query: Query) -> None:
        metric = self._definition(query.select.metric)
        per = None if query.per is None else self._definition(query.per.metric)
        if query.per is not None:
            _check_ratio(node, {"select": metric, "per": per})
        elif query.complement:
            node.child("complement", True).fail("only a ratio (per) has a complement")
        elif metric is not None:
            _check_aggregation(node.child("aggregation", query.aggregation), query.aggregation, metric)
        for part in filter(None, (metric, per)):
            _check_groups(node.child("group_by", query.group_by), query.group_by, part)


def _check_ratio(node: Node, parts: Mapping[str, Metric | None]) -> None:
    if isinstance(node.value, dict) and "aggregation" in node.value:
        node.child("aggregation", None).fail("a ratio (per) divides sums and has no aggregation")
    for name, part in parts.items():
        if part is not None and part.kind is Kind.GAUGE:
            node.child(name, None).fail(f"{shown(part.name)} is a gauge, and a ratio needs sums")


def _check_aggregation(node: Node, aggregation: Aggregation, metric: Metric) -> None:
    kind = metric.kind.name.lower()
    if aggregation.quantile is not None and metric.kind is not Kind.DISTRIBUTION:
        node.fail(f"{aggregation} needs a distribution, and {shown(metric.name)} is a {kind}")
    if aggregation is Aggregation.LAST_SUM and metric.kind is not Kind.GAUGE:
        node.fail(f"last_sum needs a gauge, and {shown(metric.name)} is a {kind}")


def _check_groups(node: Node, names: tuple[str, ...], metric: Metric) -> None:
    for i, name in enumerate(names):
        if name not in metric.labels:
            message = f"unknown label of {shown(metric.name)}{suggestion(name, metric.labels)}"
            node.problems.append(f"{node.path}[{i}]: {message}")
