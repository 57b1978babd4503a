"""Line charts: a query over the range of a page, with what its rules say of it drawn in."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from .alerts import State
from .configuration.models import Collection
from .panels import Line, LineChart, Span, Status
from .rules import AlertRule, MetricType, Query
from .series import Labels
from .sources import Sources, limit_of, rules_of, scope_text, status_of, worst_alert
from .tick import Transition
from .timeline import from_minute

CHART_POINTS = 180


def response_time_chart(sources: Sources) -> LineChart:
    """The overview's own chart: P95 by region."""
    default = sources.config.settings.metric_types[MetricType.RESPONSE_TIME]
    rules = rules_of(sources.config, MetricType.RESPONSE_TIME)
    return _chart(sources, "response_time", "P95 response time by region", default.unit, default.query, rules)


def collection_chart(sources: Sources, collection: Collection) -> LineChart:
    """One collection, with the limits of the rules that ask the same of the same metric."""
    query = collection.query
    rules = [rule for rule in sources.config.list_alert_rules(enabled_only=True) if _same(sources, rule, query)]
    return _chart(sources, collection.name, collection.description, collection.unit, query, rules)


def _same(sources: Sources, rule: AlertRule, query: Query) -> bool:
    """Whether a rule and a query ask the same but for filter and groups."""
    asked = sources.config.query_for(rule)
    mine, other = ((one.select.metric, one.aggregation, one.per is None, one.complement) for one in (asked, query))
    return mine == other


def _chart(sources: Sources, name: str, title: str, unit: str, query: Query, rules: Sequence[AlertRule]) -> LineChart:
    step, points = sources.over(query, CHART_POINTS)
    groups = sorted({labels for point in points for labels in point})
    fixed = query.select.labels
    return LineChart(
        id=name,
        title=title,
        unit=unit,
        start=from_minute(sources.end - step * len(points)),
        step_seconds=step,
        lines=tuple(_line(sources, rules, labels, fixed, points) for labels in groups),
        limits=tuple(limit for rule in rules if (limit := limit_of(rule.threshold))),
        spans=_spans(sources, rules, fixed),
    )


def _line(
    sources: Sources,
    rules: Sequence[AlertRule],
    labels: Labels,
    fixed: Labels,
    points: Sequence[Mapping[Labels, float]],
) -> Line:
    """A group's line; ``fixed`` are the labels that the query's filter gives all its groups."""
    alert = worst_alert(a for rule in rules if (a := sources.alert(rule, tuple(sorted({*labels, *fixed})))))
    status = status_of(alert, 0.0, seen=True, stale=False)
    values = tuple(point.get(labels) for point in points)
    return Line(scope_text(labels or fixed), values, subject=status not in (Status.OK, Status.PENDING), status=status)


def _spans(sources: Sources, rules: Sequence[AlertRule], fixed: Labels) -> tuple[Span, ...]:
    """The stretches in which the most severe of some rules was firing, from the history of the range."""
    if not rules:
        return ()
    rule = min(rules, key=lambda rule: rule.severity.rank)
    about = [t for t in sources.transitions if t.rule_id == rule.id and set(fixed) <= set(t.labels)]
    mine = sorted(about, key=lambda t: (t.fingerprint, t.at))
    spans: list[Span] = []
    for _, episode in itertools.groupby(mine, key=lambda t: t.fingerprint):
        spans.extend(_firing_spans(rule, list(episode), from_minute(sources.start)))
    return tuple(spans)


def _firing_spans(rule: AlertRule, transitions: Sequence[Transition], start: datetime) -> Iterable[Span]:
    began: datetime | None = start if transitions[0].before is State.FIRING else None
    label = scope_text(transitions[0].labels)
    for transition in transitions:
        if transition.after is State.FIRING:
            began = transition.at
        elif began is not None:
            yield Span(began, transition.at, rule.severity, pending=False, label=label)
            began = None
    if began is not None:
        yield Span(began, None, rule.severity, pending=False, label=label)
