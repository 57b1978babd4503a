"""Questions to Prometheus that a seed draws: rules and series of a story, as far as it has words for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from shared.rules import AlertRule, OnNoData, Query
from shared.timeline import MINUTE_SECONDS
from tests.prometheus.promtool import Question
from tests.reference import US, Point, grouped
from tests.stories import FIRST, MINUTES, story

SECONDS = (MINUTES - 1) * MINUTE_SECONDS


def questions(seed: int) -> Iterator[Question]:
    """The rules of a story that Prometheus can judge, each over the story's points."""
    told = story(seed)
    points = tuple(_points(told.points))
    for drawn in told.config.list_alert_rules():
        rule = replace(drawn, levels=(), inhibited_by=())
        query = rule.query
        if query is not None and _is_known(query, points):
            yield Question(_without_keep(rule, query), query, points, FIRST, SECONDS // _step(rule) * _step(rule))


def _step(rule: AlertRule) -> int:
    return rule.evaluation_frequency


def _points(points: tuple[Point, ...]) -> Iterator[Point]:
    """Whole seconds, one value each, nothing late nor before the start; and only values whose sums are exact."""
    known: dict[tuple[object, ...], Point] = {}
    for point in points:
        seconds = -(-point.at_us // US)
        if seconds >= FIRST:
            value = 10.0 if point.value == 0.1 else point.value
            moved = point._replace(at_us=seconds * US, known_from=FIRST, value=value)
            known[point.metric, point.labels, seconds] = moved
    yield from known.values()


def _is_known(query: Query, points: tuple[Point, ...]) -> bool:
    """Percentiles are interpolated there, the newest of several series has no word, and a rate needs a counter."""
    several = any(len({point.labels for point in some}) > 1 for some in grouped(points, query).values())
    counted = all(point.kind == "counter" for point in points if point.metric == query.select.metric)
    name = query.aggregation.value
    return query.aggregation.quantile is None and not (name == "last" and several) and (name != "rate" or counted)


def _without_keep(rule: AlertRule, query: Query) -> AlertRule:
    """An empty window is good, or a violation where one expression can say so: ``keep`` has no counterpart."""
    absent = rule.on_no_data is OnNoData.ALERT and not query.group_by and rule.threshold.recovery_value is None
    return rule if absent else replace(rule, on_no_data=OnNoData.OK)
