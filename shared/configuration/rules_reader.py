"""Reads alert rules. Defaults are those of the dataclasses; limits are stated here."""

from __future__ import annotations

import re
from collections.abc import Collection as Names
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..rules import AlertRule, MetricThreshold, MetricType, OnNoData, Operator, Query, Severity
from ..series import MAX_LABELS
from ..templates import unknown_places
from ..timeline import HOUR_SECONDS, MINUTE_SECONDS
from .models import Collection
from .queries import QueryReader
from .reader import Fields, Node, shown

MAX_WINDOW_SECONDS = 72 * HOUR_SECONDS
"""As long as minutes are kept: no window, frequency or period is longer."""
MAX_DELAY_SECONDS = HOUR_SECONDS
MAX_OCCURRENCES = 100
MAX_RULES = 300
"""Their states and what they changed fit one commit, a document each."""
MAX_LEVELS = 3
MAX_DESCRIPTION_BYTES = 1000

_URL = re.compile(r"https?://[!-~]+")
_THRESHOLD = MetricThreshold(0.0)
_RULE = AlertRule("", "", MetricType.RESPONSE_TIME, _THRESHOLD)
_RULE_FIELDS = (
    "enabled",
    "evaluation_window",
    "evaluation_frequency",
    "min_occurrences",
    "cooldown_period",
    "notification_channels",
    "tags",
    "query",
    "evaluation_delay_seconds",
    "keep_firing_for",
    "on_no_data",
    "no_data_after",
    "runbook_url",
    "levels",
    "inhibited_by",
    "message",
    "collection",
)


def description(node: Node) -> str:
    """One line, possibly empty."""
    return node.string(MAX_DESCRIPTION_BYTES)


def delay(node: Node) -> int:
    """Seconds by which a window ends before now: whole minutes, up to an hour."""
    return node.integer(0, MAX_DELAY_SECONDS, MINUTE_SECONDS)


def threshold(node: Node) -> MetricThreshold:
    """A threshold whose recovery value lies on its good side."""
    sound, limit = node.sound(_threshold)
    if sound and limit.recovery_value is not None:
        _check_recovery(node.child("recovery_value", limit.recovery_value), limit, limit.recovery_value)
    return limit


def _threshold(node: Node) -> MetricThreshold:
    f = node.fields(["value"], ["operator", "severity", "unit", "recovery_value"])
    return MetricThreshold(
        value=f.get("value", Node.number, 0.0),
        operator=f.get("operator", lambda n: n.choice(Operator), _THRESHOLD.operator),
        severity=f.get("severity", lambda n: n.choice(Severity), _THRESHOLD.severity),
        unit=f.get("unit", Node.string, _THRESHOLD.unit),
        recovery_value=f.get("recovery_value", Node.number, None),
    )


def _check_recovery(node: Node, limit: MetricThreshold, recovery: float) -> None:
    """Recovering must be harder than not violating, or it would mean nothing."""
    if limit.operator in (Operator.EQUAL, Operator.NOT_EQUAL):
        node.fail(f"operator {limit.operator} has no recovery value")
    elif limit.operator in (Operator.GREATER, Operator.GREATER_EQUAL) and recovery > limit.value:
        node.fail(f"expected at most the threshold {limit.value:g}, got {recovery:g}")
    elif limit.operator in (Operator.LESS, Operator.LESS_EQUAL) and recovery < limit.value:
        node.fail(f"expected at least the threshold {limit.value:g}, got {recovery:g}")


_RISING = (Operator.GREATER, Operator.GREATER_EQUAL)
_FALLING = (Operator.LESS, Operator.LESS_EQUAL)


def _levels(node: Node, base: MetricThreshold) -> tuple[MetricThreshold, ...]:
    """Further thresholds: each of another severity, on the same side, the more severe beyond the less severe."""
    found = [base]
    for item in node.items(MAX_LEVELS):
        sound, level = item.sound(threshold)
        if sound:
            _check_level(item, level, found)
        found.append(level)
    return tuple(found[1:])


def _check_level(node: Node, level: MetricThreshold, others: list[MetricThreshold]) -> None:
    for other in others:
        if level.severity is other.severity:
            node.fail(f"the severity {level.severity} has a threshold already")
            return
        worse, milder = sorted((level, other), key=lambda one: one.severity.rank)
        rising = all(one.operator in _RISING for one in (level, other))
        falling = all(one.operator in _FALLING for one in (level, other))
        if not (rising and worse.value > milder.value) and not (falling and worse.value < milder.value):
            node.fail(
                f"{worse.severity} has to lie beyond {milder.severity} on the same side, got"
                f" {worse.operator} {worse.value:g} and {milder.operator} {milder.value:g}"
            )
            return


@dataclass(frozen=True, slots=True)
class RuleReader:
    """What rules may refer to; ``types`` holds the metric types that have a query, None if those are broken."""

    queries: QueryReader
    types: Mapping[MetricType, Query] | None
    channels: Names[str]
    collections: Mapping[str, Collection]

    def read_all(self, node: Node) -> tuple[AlertRule, ...]:
        """All rules, with ids that are there and differ, and that keep one another quiet in no circle."""
        rules: list[AlertRule] = []
        items = node.items(MAX_RULES)
        for item in items:
            rule = self.read(item)
            self._check_id(item, rule, rules)
            rules.append(rule)
        quiet = _Inhibition({rule.id: rule.inhibited_by for rule in rules if rule.id})
        for item, rule in zip(items, rules, strict=True):
            quiet.check(item.child("inhibited_by", list(rule.inhibited_by)), rule)
        return tuple(rules)

    def read(self, node: Node) -> AlertRule:
        """One rule."""
        f = node.fields(["name", "metric_type", "threshold"], ["description", *_RULE_FIELDS])
        metric_type = f.get("metric_type", lambda n: n.choice(MetricType), None)
        view = f.entries.get("collection")
        asks_view = view is not None and view.value != ""
        if view is not None and asks_view and "query" in f.entries:
            view.fail("a rule asks a query or a collection, not both")
        elif metric_type is not None and not asks_view and "query" not in f.entries:
            self._check_type(f.entries["metric_type"], metric_type)
        sound, rule = node.sound(lambda _: self._rule(f, metric_type or _RULE.metric_type))
        if sound:
            self._check_message(node.child("message", rule.message), rule)
        return rule

    def _check_message(self, node: Node, rule: AlertRule) -> None:
        query = rule.query or (self.types or {}).get(rule.metric_type)
        if rule.collection in self.collections:
            query = self.collections[rule.collection].query
        unknown = unknown_places(rule.message, query.group_by) if query is not None else []
        if unknown:
            node.fail(f"nothing fills {shown('{' + unknown[0] + '}')}")

    def _rule(self, f: Fields, metric_type: MetricType) -> AlertRule:
        limit = f.get("threshold", threshold, _THRESHOLD)
        return AlertRule(
            name=f.get("name", Node.text, ""),
            description=f.get("description", description, ""),
            metric_type=metric_type,
            threshold=limit,
            enabled=f.get("enabled", Node.flag, _RULE.enabled),
            evaluation_window=f.get("evaluation_window", _minutes, _RULE.evaluation_window),
            evaluation_frequency=f.get("evaluation_frequency", _minutes, _RULE.evaluation_frequency),
            min_occurrences=f.get("min_occurrences", lambda n: n.integer(1, MAX_OCCURRENCES), _RULE.min_occurrences),
            cooldown_period=f.get("cooldown_period", _seconds, _RULE.cooldown_period),
            notification_channels=f.get("notification_channels", self._channels, ()),
            tags=f.get("tags", _tags, {}),
            query=f.get("query", self.queries.read, None),
            evaluation_delay_seconds=f.get("evaluation_delay_seconds", delay, _RULE.evaluation_delay_seconds),
            keep_firing_for=f.get("keep_firing_for", _seconds, _RULE.keep_firing_for),
            on_no_data=f.get("on_no_data", lambda n: n.choice(OnNoData), _RULE.on_no_data),
            no_data_after=f.get("no_data_after", _seconds, _RULE.no_data_after),
            runbook_url=f.get("runbook_url", url, ""),
            levels=f.get("levels", lambda n: _levels(n, limit), ()),
            inhibited_by=f.get("inhibited_by", lambda n: n.distinct(Node.text), ()),
            message=f.get("message", description, ""),
            collection=f.get("collection", self._collection, ""),
        )

    def _check_id(self, item: Node, rule: AlertRule, before: list[AlertRule]) -> None:
        if not rule.name:
            return
        name = item.child("name", rule.name)
        if not rule.id:
            name.expected("a name with a letter a-z or a digit")
        twin = next((i for i, other in enumerate(before) if other.id == rule.id), None)
        if rule.id and twin is not None:
            name.fail(f"the id {shown(rule.id)} is taken by the rule before it, number {twin}")

    def _check_type(self, node: Node, metric_type: MetricType) -> None:
        if self.types is not None and node.value == metric_type and metric_type not in self.types:
            node.fail(f"{metric_type} has no query in metric_types, so the rule needs a query")

    def _collection(self, node: Node) -> str:
        return "" if node.value == "" else node.reference("collection", self.collections)

    def _channels(self, node: Node) -> tuple[str, ...]:
        return node.distinct(lambda n: n.reference("channel", self.channels))


@dataclass(frozen=True, slots=True)
class _Inhibition:
    """Which rules each rule names, by id: each exists, and none waits for itself, or it would be quiet for ever."""

    names: Mapping[str, Names[str]]
    in_circles: set[str] = field(default_factory=set)

    def check(self, node: Node, rule: AlertRule) -> None:
        """Report what a rule names that is not there, and the circle it is in unless that was reported."""
        for item in node.items():
            if item.value and item.value not in self.names:
                item.reference("rule", self.names)
        circle = self._circle(rule.id)
        if circle and not self.in_circles.intersection(circle):
            way = f" by way of {', '.join(map(shown, circle[1:]))}" if circle[1:] else ""
            node.fail(f"{shown(rule.id)} would keep itself quiet{way}")
        self.in_circles.update(circle)

    def _circle(self, rule_id: str) -> list[str]:
        """The shortest way from a rule back to itself, without its end; empty when there is none."""
        ways = [[rule_id]]
        seen = set[str]()
        for way in ways:
            for name in self.names.get(way[-1], ()):
                if name == rule_id:
                    return way
                if name not in seen:
                    seen.add(name)
                    ways.append([*way, name])
        return []


def _minutes(node: Node) -> int:
    return node.integer(MINUTE_SECONDS, MAX_WINDOW_SECONDS, MINUTE_SECONDS)


def _seconds(node: Node) -> int:
    return node.integer(0, MAX_WINDOW_SECONDS)


def _tags(node: Node) -> dict[str, str]:
    return {name: entry.text() for name, entry in node.entries(MAX_LABELS, key=Node.text).items()}


def url(node: Node) -> str:
    """An http(s) URL, possibly empty."""
    text = node.string(2000)
    if text and not _URL.fullmatch(text):
        node.expected("a URL that begins with https://")
    return text
