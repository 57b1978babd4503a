"""Line charts: a query over the range of a page, with what its rules say of it drawn in."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from .alerts import State
from .configuration.models import Collection
from .panels import KEPT_LINES, KEPT_ROWS, SHOWN_LINES, Line, LineChart, Span, Status
from .render.status import rank
from .rules import AlertRule, MetricType, Query
from .series import Labels
from .sources import CHART_POINTS, Sources, limit_of, rules_of, scope_text, status_of, worst_alert
from .tick import Transition
from .timeline import from_minute


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
    asked = sources.narrowed(query)
    steps = sources.over(asked or query, CHART_POINTS)
    points = steps.values if asked else ()
    groups = sorted({labels for groups in _distinct_groups(points) for labels in groups})
    fixed = asked.select.labels if asked else ()
    shown = _worst_groups(sources, rules, groups, fixed, points)
    return LineChart(
        id=name,
        title=title,
        unit=unit,
        start=from_minute(steps.start),
        step_seconds=steps.seconds,
        lines=tuple(_line(sources, rules, labels, asked or query, points) for labels in shown),
        limits=tuple(limit for rule in rules if (limit := limit_of(rule.threshold))),
        spans=_spans(sources, rules, fixed, shown if len(groups) > SHOWN_LINES else None),
        until=from_minute(sources.end),
        lines_total=len(groups),
    )


def _distinct_groups(points: Sequence[Mapping[Labels, float]]) -> Iterable[Iterable[Labels]]:
    """The groups of some values, each set of them once: a thousand of them are shared by most steps."""
    return {id(groups): groups for point in points for groups in [getattr(point, "groups", point)]}.values()


def _worst_groups(
    sources: Sources,
    rules: Sequence[AlertRule],
    groups: Sequence[Labels],
    fixed: Labels,
    points: Sequence[Mapping[Labels, float]],
) -> list[Labels]:
    """Up to ``SHOWN_LINES`` groups as they are; of more the worst ``KEPT_LINES``, worst first.

    That is by alert, then by the newest value: the lowest where low is bad, else the greatest; then by labels.
    """
    if len(groups) <= SHOWN_LINES:
        return list(groups)
    low_is_bad = bool(rules) and rules[0].threshold.operator.value.startswith("<")
    newest = points[-1] if points else {}

    def badness(labels: Labels) -> tuple[int, float, Labels]:
        value = newest.get(labels)
        distance = math.inf if value is None else value if low_is_bad else -value
        return rank(_status(sources, rules, labels, fixed)), distance, labels

    return sorted(groups, key=badness)[:KEPT_LINES]


def _status(sources: Sources, rules: Sequence[AlertRule], labels: Labels, fixed: Labels) -> Status:
    alert = worst_alert(a for rule in rules if (a := sources.alert(rule, tuple(sorted({*labels, *fixed})))))
    return status_of(alert, 0.0, seen=True, stale=False)


def _line(
    sources: Sources,
    rules: Sequence[AlertRule],
    labels: Labels,
    query: Query,
    points: Sequence[Mapping[Labels, float]],
) -> Line:
    """A group's line; a group without labels is named by the query's filter, which gives all its groups some."""
    fixed = query.select.labels
    status = _status(sources, rules, labels, fixed)
    values = tuple(point.get(labels) for point in points)
    subject = status not in (Status.OK, Status.PENDING)
    return Line(
        scope_text(labels or fixed, query.group_by),
        values,
        subject=subject,
        status=status,
        usual=sources.usual(query, labels) if subject else None,
        place=_place(sources, labels or fixed),
    )


def _place(sources: Sources, labels: Labels) -> int | None:
    """The place of a line that is a configured region's: its colour wherever it is drawn. None for any other."""
    names = sorted(region.name for region in sources.config.settings.regions)
    (value, *others) = [value for _, value in labels] or [""]
    return names.index(value) if not others and value in names else None


def _spans(
    sources: Sources, rules: Sequence[AlertRule], fixed: Labels, shown: Sequence[Labels] | None
) -> tuple[Span, ...]:
    """The stretches in which the most severe of some rules was firing, from the history of the range.

    Where lines were left out, only those of ``shown`` have any.
    """
    if not rules:
        return ()
    rule = min(rules, key=lambda rule: rule.severity.rank)
    about = [t for t in sources.transitions if t.rule_id == rule.id and set(fixed) <= set(t.labels)]
    if shown is not None:
        drawn = {tuple(sorted({*labels, *fixed})) for labels in shown}
        about = [transition for transition in about if transition.labels in drawn]
    mine = sorted(about, key=lambda t: (t.fingerprint, t.at))
    spans: list[Span] = []
    for _, episode in itertools.groupby(mine, key=lambda t: t.fingerprint):
        spans.extend(_firing_spans(rule, list(episode), from_minute(sources.start)))
    return tuple(sorted(spans, key=lambda span: span.start)[-KEPT_ROWS:])


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
