"""Reads sources, and makes of each the rule that is evaluated for it."""

from __future__ import annotations

from collections.abc import Collection as Names
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..rules import (
    Aggregation,
    AlertRule,
    MetricThreshold,
    MetricType,
    OnNoData,
    Operator,
    Query,
    Selection,
    Severity,
    SourceRule,
)
from ..timeline import HOUR_SECONDS, MINUTE_SECONDS
from .models import Source
from .queries import QueryReader
from .reader import Node, shown
from .rules_reader import MAX_WINDOW_SECONDS, delay, url

MAX_SOURCES = 50
MAX_PATIENCE_SECONDS = 30 * 24 * HOUR_SECONDS
_SOURCE = Source("")
_FIELDS = (
    "labels",
    "group_by",
    "silent_after_seconds",
    "gone_after_seconds",
    "severity",
    "name",
    "evaluation_delay_seconds",
    "notification_channels",
    "runbook_url",
)
_NEVER = MetricThreshold(0.0, Operator.LESS, unit="observations")
"""No number of observations violates it: only that there are none."""


@dataclass(frozen=True, slots=True)
class SourceReader:
    """What sources may refer to; ``rules`` are those whose ids are taken."""

    queries: QueryReader
    channels: Names[str]
    rules: Sequence[AlertRule]

    def read_all(self, node: Node) -> tuple[Source, ...]:
        """All sources, with ids that neither a rule nor another source has."""
        taken = {rule.id: "a rule" for rule in self.rules}
        found: list[Source] = []
        for item in node.items(MAX_SOURCES):
            sound, source = item.sound(self._read)
            if sound:
                _check_id(item, source, taken)
            found.append(source)
        return tuple(found)

    def _read(self, node: Node) -> Source:
        f = node.fields(["metric"], _FIELDS)
        selection = self.queries.select(f)
        return Source(
            metric=selection.metric,
            labels=selection.labels,
            group_by=self.queries.group_by(f, selection),
            silent_after_seconds=f.get("silent_after_seconds", _silence, _SOURCE.silent_after_seconds),
            gone_after_seconds=f.get("gone_after_seconds", _patience, _SOURCE.gone_after_seconds),
            severity=f.get("severity", lambda n: n.choice(Severity), _SOURCE.severity),
            name=f.get("name", Node.string, ""),
            evaluation_delay_seconds=f.get("evaluation_delay_seconds", delay, 0),
            notification_channels=f.get("notification_channels", self._channels, ()),
            runbook_url=f.get("runbook_url", url, ""),
        )

    def _channels(self, node: Node) -> tuple[str, ...]:
        return node.distinct(lambda n: n.reference("channel", self.channels))


def _silence(node: Node) -> int:
    return node.integer(MINUTE_SECONDS, MAX_WINDOW_SECONDS, MINUTE_SECONDS)


def _patience(node: Node) -> int:
    return node.integer(HOUR_SECONDS, MAX_PATIENCE_SECONDS, MINUTE_SECONDS)


def _check_id(node: Node, source: Source, taken: dict[str, str]) -> None:
    rule = rule_of(source)
    name = node.child("name", rule.name)
    if not rule.id:
        name.expected("a name with a letter a-z or a digit")
    elif rule.id in taken:
        name.fail(f"the id {shown(rule.id)} is taken by {taken[rule.id]}")
    taken[rule.id] = "a source before it"


def rule_of(source: Source) -> SourceRule:
    """The rule: how many observations there were in the last ``silent_after_seconds``; that there are none violates."""
    minutes = source.silent_after_seconds // MINUTE_SECONDS
    by = f" by {', '.join(source.group_by)}" if source.group_by else ""
    return SourceRule(
        name=source.name or f"No more {source.metric}{by}",
        description=f"{source.metric} has not been reported for {minutes} minute{'s' if minutes > 1 else ''}",
        metric_type=MetricType.BUSINESS,
        threshold=replace(_NEVER, severity=source.severity),
        evaluation_window=source.silent_after_seconds,
        min_occurrences=1,
        notification_channels=source.notification_channels,
        query=Query(Selection(source.metric, source.labels), Aggregation.COUNT, group_by=source.group_by),
        evaluation_delay_seconds=source.evaluation_delay_seconds,
        on_no_data=OnNoData.ALERT,
        runbook_url=source.runbook_url,
        gone_after_seconds=source.gone_after_seconds,
    )
