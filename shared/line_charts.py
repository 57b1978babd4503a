"""Line charts: a query over the range of a page, with what its rules say of it drawn in."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from .alerts import State
from .configuration.models import Collection
from .items import rules_on
from .panels import KEPT_LINES, KEPT_ROWS, SHOWN_LINES, Line, LineChart, Mark, Span, Status
from .render.status import rank
from .rules import Aggregation, AlertRule, MetricType, Query, Selection
from .series import Labels
from .sources import CHART_POINTS, REGION, Sources, limit_of, rules_of, scope_text, status_of, worst_alert
from .tick import Transition
from .timeline import MINUTE_SECONDS, from_minute
from .value_cache import Window

SHOWN_MARKS = 8
"""The newest deploys that a chart has flags of."""
_DEPLOYS = Query(Selection("deploys"), Aggregation.SUM, group_by=("region", "service", "version"))


def response_time_chart(sources: Sources) -> LineChart:
    """The overview's own chart: P95 by region."""
    default = sources.config.settings.metric_types[MetricType.RESPONSE_TIME]
    rules = rules_of(sources.config, MetricType.RESPONSE_TIME)
    return chart_of(sources, "response_time", "P95 response time by region", default.unit, default.query, rules)


def collection_chart(sources: Sources, collection: Collection) -> LineChart:
    """One collection, with the limits of the rules that ask the same of the same metric."""
    rules = rules_on(sources, collection.query)
    return chart_of(sources, collection.name, collection.description, collection.unit, collection.query, rules)


def chart_of(
    sources: Sources,
    name: str,
    title: str,
    unit: str,
    query: Query,
    rules: Sequence[AlertRule],
    points: int = CHART_POINTS,
) -> LineChart:
    """A query over the time of the sources, of the page's region where one is given."""
    asked = sources.narrowed(query)
    steps = sources.over(asked or query, points)
    values = steps.values if asked else ()
    live = sources.live(asked) if asked else {}
    groups = sorted(distinct_groups(values) | live.keys())
    fixed = asked.select.labels if asked else ()
    shown = _worst_groups(sources, rules, groups, fixed, values)
    lines = [replace(_line(sources, rules, labels, asked or query, values), live=live.get(labels)) for labels in shown]
    return LineChart(
        id=name,
        title=title,
        unit=unit,
        start=from_minute(steps.start),
        step_seconds=steps.seconds,
        lines=_with_usual(sources, asked or query, shown, lines, points),
        limits=tuple(limit for rule in rules if (limit := limit_of(rule.threshold))),
        spans=firing_spans(sources, rules, fixed, shown if len(groups) > SHOWN_LINES else None),
        marks=deploy_marks(sources, dict(fixed).get(REGION, sources.region)),
        until=from_minute(sources.end),
        lines_total=len(groups),
        live_to=sources.live_to if live else None,
    )


def distinct_groups(points: Sequence[Mapping[Labels, float]]) -> set[Labels]:
    """All groups of some values; a thousand of them are shared by most steps, and looked at once."""
    lists = {id(groups): groups for point in points for groups in [getattr(point, "groups", point)]}
    return {labels for groups in lists.values() for labels in groups}


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
    if status is Status.OK and (not values or values[-1] is None):
        status = Status.UNKNOWN
    return Line(
        scope_text(labels or fixed, query.group_by),
        values,
        subject=subject,
        status=status,
        place=_place(sources, labels or fixed),
    )


def _with_usual(
    sources: Sources, query: Query, groups: Sequence[Labels], lines: Sequence[Line], points: int
) -> tuple[Line, ...]:
    """The lines, one of them with what is usual of it: the first subject, or the only one."""
    about = next((index for index, line in enumerate(lines) if line.subject), 0 if len(lines) == 1 else None)
    if about is None:
        return tuple(lines)
    usual = sources.usual_over(query, groups[about], sources.steps(points))
    return tuple(replace(line, usual=usual) if index == about else line for index, line in enumerate(lines))


def deploy_marks(sources: Sources, region: str = "") -> tuple[Mark, ...]:
    """The newest deploys of the time of the sources, to the minute; with ``region`` those of it and those of none."""
    key = "deploys", sources.start, region
    if key not in sources.memo:
        sources.memo[key] = _deploy_marks(sources, region)
    found: tuple[Mark, ...] = sources.memo[key]
    return found


def _deploy_marks(sources: Sources, region: str) -> tuple[Mark, ...]:
    steps = sources.over(_DEPLOYS, CHART_POINTS)
    ends = [window.end for window in sources.steps(CHART_POINTS)]
    found = [
        (end, labels)
        for end, groups in zip(ends, steps.values, strict=True)
        for labels in groups
        if _is_deployed_to(labels, region)
    ]
    return tuple(_mark(sources, labels, end, steps.seconds) for end, labels in found[-SHOWN_MARKS:])


def _mark(sources: Sources, labels: Labels, end: int, seconds: int) -> Mark:
    minutes = range(end - seconds + MINUTE_SECONDS, end, MINUTE_SECONDS)
    first = next((one for one in minutes if labels in sources.values(_DEPLOYS, Window(one, MINUTE_SECONDS))), end)
    named = dict(labels)
    what = " ".join(filter(None, (named.get("service"), named.get("version"))))
    return Mark(from_minute(first), f"Deploy {what}".strip())


def _is_deployed_to(labels: Labels, region: str) -> bool:
    return not region or dict(labels).get(REGION, region) == region


def _place(sources: Sources, labels: Labels) -> int | None:
    """The place of a line that is a configured region's: its colour wherever it is drawn. None for any other."""
    names = sorted(region.name for region in sources.config.settings.regions)
    (value, *others) = [value for _, value in labels] or [""]
    return names.index(value) if not others and value in names else None


def firing_spans(
    sources: Sources, rules: Sequence[AlertRule], fixed: Labels, shown: Sequence[Labels] | None = None
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
