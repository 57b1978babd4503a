"""What rules must say, by the definitions alone: lists of points, fractions, and each episode's evaluations anew.

Nothing here calls the engine; a rule is only read for its fields. Slow on purpose: every state is derived from the
whole list of what its episode's evaluations found.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from math import ceil
from typing import NamedTuple, TypeAlias

from shared.rules import AlertRule, Query, Selection

Group: TypeAlias = tuple[tuple[str, str], ...]
COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
US = 1_000_000


class Point(NamedTuple):
    """One observation, and the evaluation (Unix seconds) that is the first to know of it."""

    metric: str
    kind: str
    labels: Group
    at_us: int
    value: float
    known_from: int


class Verdict(Enum):
    """What one evaluation found."""

    BAD = "the value violates, or there is none and that violates"
    HELD = "the value does not violate, and has not come back to the recovery value"
    GOOD = "the value is good, or there is none and that is good"
    EMPTY = "there is no value, and that says nothing"


class Found(NamedTuple):
    """What one evaluation (Unix seconds) found."""

    at: int
    verdict: Verdict


class Said(NamedTuple):
    """A notification: its kind, when it was decided, and which evaluation its episode fired at."""

    kind: str
    at: int
    fired_at: int


@dataclass
class Expected:
    """One group of one rule: its state and the violations in a row; what was said so far."""

    state: str = "inactive"
    count: int = 0
    said: list[Said] = field(default_factory=list)
    episode: list[Found] = field(default_factory=list)


def values(query: Query, points: Sequence[Point], end: int, seconds: int) -> dict[Group, float]:
    """The value of each group over (end - seconds, end]; both Unix seconds."""
    window = [point for point in points if (end - seconds) * US < point.at_us <= end * US]
    groups = grouped(window, query)
    if query.per is None:
        wanted = max(query.min_count, 1)
        found = {group: _aggregate(query, some, seconds) for group, some in groups.items() if len(some) >= wanted}
        return {group: query.scale * value for group, value in found.items() if value is not None}
    totals = {group: _sum(some) for group, some in _grouped(window, query.per, query.group_by).items()}
    parts = {group: _sum(groups.get(group, [])) for group in totals}
    return {
        group: float(Fraction(query.scale) * (whole - parts[group] if query.complement else parts[group]) / whole)
        for group, whole in totals.items()
        if whole != 0 and whole >= query.min_count
    }


def grouped(points: Sequence[Point], query: Query) -> dict[Group, list[Point]]:
    """The points that a query selects, by group."""
    return _grouped(points, query.select, query.group_by)


def _grouped(points: Sequence[Point], selection: Selection, names: Sequence[str]) -> dict[Group, list[Point]]:
    groups: dict[Group, list[Point]] = {}
    for point in points:
        labels = dict(point.labels)
        if point.metric == selection.metric and all(labels.get(name) == value for name, value in selection.labels):
            group = tuple(sorted((name, labels[name]) for name in names if name in labels))
            groups.setdefault(group, []).append(point)
    return groups


def _sum(points: Sequence[Point]) -> Fraction:
    return sum((Fraction(point.value) for point in points), Fraction(0))


def _aggregate(query: Query, points: Sequence[Point], seconds: int) -> float | None:
    """One number of a group's points; None for a percentile of what is no distribution."""
    name, numbers = query.aggregation.value, sorted(point.value for point in points)
    if name.startswith("p"):
        rank = ceil(Fraction(int(name[1:]), 100) * len(numbers))
        return numbers[rank - 1] if points[0].kind == "distribution" else None
    added = _sum(points) if points[0].kind == "counter" else Fraction(len(points))
    return {
        "avg": float(_sum(points) / len(points)),
        "min": numbers[0],
        "max": numbers[-1],
        "sum": float(_sum(points)),
        "count": float(len(points)),
        "last": max((point.at_us, point.value) for point in points)[1],
        "last_sum": sum(_last_of_each(points).values()),
        "rate": float(added / seconds),
    }[name]


def _last_of_each(points: Sequence[Point]) -> dict[Group, float]:
    newest: dict[Group, tuple[int, float]] = {}
    for point in points:
        newest[point.labels] = max(newest.get(point.labels, (-1, 0.0)), (point.at_us, point.value))
    return {labels: value for labels, (_, value) in newest.items()}


def verdict(rule: AlertRule, value: float | None) -> Verdict:
    """What a value, or none, means to a rule."""
    if value is None:
        return {"ok": Verdict.GOOD, "alert": Verdict.BAD, "keep": Verdict.EMPTY}[rule.on_no_data.value]
    limit = rule.threshold
    violates = COMPARE[limit.operator.value]
    if violates(value, limit.value):
        return Verdict.BAD
    if limit.recovery_value is not None and violates(value, limit.recovery_value):
        return Verdict.HELD
    return Verdict.GOOD


def state_of(rule: AlertRule, episode: Sequence[Found]) -> str:
    """The state after an episode's evaluations, the first of which was bad; inactive when it is over."""
    now, newest = episode[-1]
    judged = [found for found in episode if found.verdict is not Verdict.EMPTY]
    silent = [found.at for found in episode if found.at > judged[-1].at]
    if silent and now - silent[0] >= rule.no_data_after:
        return "inactive"
    first = judged[: rule.min_occurrences]
    if any(found.verdict is not Verdict.BAD for found in first):
        return "inactive"
    if len(first) < rule.min_occurrences:
        return "pending"
    if newest is not Verdict.GOOD:
        return "firing"
    not_good = [found.at for found in judged if found.verdict is not Verdict.GOOD]
    good_since = min(found.at for found in judged if found.at > not_good[-1])
    return "firing" if now - good_since < rule.keep_firing_for else "inactive"


def bad_in_a_row(episode: Sequence[Found]) -> int:
    """How many evaluations violated since the last that did not; those without a verdict say nothing."""
    count = 0
    for found in episode:
        if found.verdict is not Verdict.EMPTY:
            count = count + 1 if found.verdict is Verdict.BAD else 0
    return count


def fired_at(rule: AlertRule, episode: Sequence[Found]) -> int:
    """The evaluation at which an episode that fires fired."""
    return [found.at for found in episode if found.verdict is not Verdict.EMPTY][rule.min_occurrences - 1]


class Reference:
    """One rule over points, evaluation by evaluation."""

    def __init__(self, rule: AlertRule, query: Query, points: Sequence[Point]) -> None:
        self.rule = rule
        self.query = query
        self.points = points
        self.groups: dict[Group, Expected] = {}

    def evaluate(self, at: int) -> dict[Group, float]:
        """Evaluate at a whole minute (Unix seconds); the values that were judged, none when the rule is not due."""
        if at % self.rule.evaluation_frequency:
            return {}
        known = [point for point in self.points if point.known_from <= at]
        judged = self._values(known, at)
        missed = self._values(known, at - self.rule.evaluation_frequency) if self.rule.on_no_data == "alert" else {}
        running = {group for group, one in self.groups.items() if one.episode}
        for group in {*judged, *missed, *running, *([] if self.query.group_by else [()])}:
            judge(self.rule, self.groups.setdefault(group, Expected()), at, judged.get(group))
        return judged

    def _values(self, known: Sequence[Point], at: int) -> dict[Group, float]:
        return values(self.query, known, at - self.rule.evaluation_delay_seconds, self.rule.evaluation_window)


def judge(rule: AlertRule, one: Expected, at: int, value: float | None) -> None:
    """One evaluation of one group at ``at`` (Unix seconds); ``value`` None: there is none."""
    found = Found(at, verdict(rule, value))
    if not one.episode and found.verdict is not Verdict.BAD:
        return
    before = one.state
    one.episode.append(found)
    one.state = state_of(rule, one.episode)
    one.count = bad_in_a_row(one.episode) if one.state != "inactive" else 0
    _say(rule, one, before, at)
    if one.state == "inactive":
        one.episode = []


def _say(rule: AlertRule, one: Expected, before: str, at: int) -> None:
    if "firing" not in (before, one.state):
        return
    fired = fired_at(rule, one.episode)
    told = [said for said in one.said if said.kind == "firing"]
    this_one = any(said.fired_at == fired for said in told)
    if one.state == "inactive":
        one.said += [Said("resolved", at, fired)] if this_one else []
    elif not this_one and (not told or at - told[-1].at >= rule.cooldown_period):
        one.said.append(Said("firing", at, fired))
