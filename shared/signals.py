"""Signals: one number with its status, limit and spark, over the window of the rule that judges it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .panels import Signal
from .render.plain import value_text
from .rules import AlertRule, MetricThreshold, Query
from .series import Labels
from .sources import (
    SPARK_POINTS,
    WINDOW_SECONDS,
    Sources,
    limit_of,
    or_beyond,
    scope_text,
    status_of,
    worst_alert,
)
from .timeline import HOUR_SECONDS, from_minute
from .value_cache import Window
from .week import change_of


@dataclass(frozen=True, slots=True)
class Wanted:
    """A signal to be made. ``rules`` judge it: the first is the one it has its window and limit from."""

    id: str
    name: str
    section: str
    unit: str
    query: Query
    rules: Sequence[AlertRule] = ()
    limit: MetricThreshold | None = None
    """That of a rule on something wider, drawn where no rule judges the signal itself."""
    publish: str = ""
    detail: bool = False
    scope: str = ""
    """Where it holds, when its labels do not say so."""


def make_signal(sources: Sources, wanted: Wanted, stale: bool) -> Signal:
    """One signal at the page's end.

    Of several groups it is about the one with the worst alert, else about the one with the worst value: that of the
    window, or the newest there is. One that no rule judges by itself, such as a region's part of what is judged as a
    whole, has the status of the limit beside it.
    """
    query = sources.narrowed(wanted.query)
    alert = worst_alert(a for a in sources.alerts if a.rule_id in {rule.id for rule in wanted.rules})
    rule = sources.config.get_rule(alert.rule_id) if alert else min(wanted.rules, key=_rank, default=None)
    values = sources.at(query, rule.evaluation_window if rule else WINDOW_SECONDS) if query else {}
    threshold = rule.threshold if rule else wanted.limit
    past = sources.over(query, SPARK_POINTS) if query else None
    known = values or next((step for step in reversed(past.values if past else ()) if step), values)
    labels = alert.labels if alert else worst_group(known, threshold)
    spark = tuple(point.get(labels) for point in past.values) if past else ()
    value = values.get(labels)
    before = sources.week_before(query).get(labels) if query and not stale else None
    status = status_of(alert, value, any(point is not None for point in spark), stale)
    if not any(labels in sources.judged(one) for one in wanted.rules):
        status = or_beyond(status, value, limit_of(threshold))
    change, change_unit = change_of(value, before, wanted.unit)
    return Signal(
        id=wanted.id,
        name=wanted.name,
        section=wanted.section,
        scope=wanted.scope or _scope(sources, labels, query, values),
        value=value,
        unit=wanted.unit,
        status=status,
        limit=limit_of(threshold),
        usual=_usual(sources, query, labels, past.seconds) if query and past else None,
        change=change,
        change_unit=change_unit,
        spark=spark,
        spark_step_seconds=past.seconds if past else HOUR_SECONDS,
        as_of=from_minute(sources.end),
        publish="" if sources.until else wanted.publish,
        detail=wanted.detail,
    )


def _usual(sources: Sources, query: Query, labels: Labels, seconds: int) -> tuple[float, float] | None:
    """The range that the spark's steps are normally in at the page's end."""
    band = sources.usual_over(query, labels, [Window(sources.end, seconds)])
    return band[0] if band else None


def worst_group(values: Mapping[Labels, float], threshold: MetricThreshold | None) -> Labels:
    """The group nearest to its threshold; the first of equals, no labels when there is no group."""
    if not values:
        return ()
    low_is_bad = threshold is not None and threshold.operator.value.startswith("<")
    return min(sorted(values), key=lambda labels: values[labels] if low_is_bad else -values[labels])


def _rank(rule: AlertRule) -> int:
    return rule.severity.rank


def _scope(sources: Sources, labels: Labels, query: Query | None, values: Mapping[Labels, float]) -> str:
    """Where a signal holds; before there is a group to name, where it was asked for."""
    if sources.region and not labels:
        return value_text(sources.region)
    return scope_text(labels, query.group_by if query and labels in values else ())
