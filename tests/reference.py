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

from shared.monitoring_config import MonitoringConfig
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
WORST_FIRST = ("critical", "high", "medium", "low")
US = 1_000_000
DAY_SECONDS = 86_400


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
    """What one evaluation (Unix seconds) found, and the severities of the thresholds that are violated."""

    at: int
    verdict: Verdict
    violated: frozenset[str] = frozenset()


class Said(NamedTuple):
    """A notification: its kind, when it was decided, which evaluation its episode fired at, how bad, and to whom."""

    kind: str
    at: int
    fired_at: int
    severity: str
    channels: tuple[str, ...]


class Episode(NamedTuple):
    """An episode that fires, or has just ended."""

    fired_at: int
    severity: str
    over: bool


@dataclass
class Expected:
    """One group of one rule: its state, the violations in a row, how bad it is; what was said so far.

    ``missing_since`` is when a no-data alert took its place, ``said_of_missing`` what was said of those. ``grouped_by``
    is what the rule grouped by when it was judged.
    """

    state: str = "inactive"
    count: int = 0
    severity: str = ""
    said: list[Said] = field(default_factory=list)
    episode: list[Found] = field(default_factory=list)
    missing_since: int | None = None
    missing_severity: str = ""
    said_of_missing: list[Said] = field(default_factory=list)
    grouped_by: frozenset[str] = frozenset()


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


def violated(rule: AlertRule, value: float | None) -> frozenset[str]:
    """The severities of the thresholds that a value violates; for none, of the rule's own and the milder ones."""
    limits = [rule.threshold, *rule.levels]
    if value is not None:
        return frozenset(one.severity for one in limits if COMPARE[one.operator.value](value, one.value))
    least = WORST_FIRST.index(rule.threshold.severity)
    missed = [one.severity for one in limits if WORST_FIRST.index(one.severity) >= least]
    return frozenset(missed if rule.on_no_data == "alert" else [])


def verdict(rule: AlertRule, value: float | None) -> Verdict:
    """What a value, or none, means to a rule."""
    if value is None:
        return {"ok": Verdict.GOOD, "alert": Verdict.BAD, "keep": Verdict.EMPTY}[rule.on_no_data.value]
    if violated(rule, value):
        return Verdict.BAD
    for limit in [rule.threshold, *rule.levels]:
        if limit.recovery_value is not None and COMPARE[limit.operator.value](value, limit.recovery_value):
            return Verdict.HELD
    return Verdict.GOOD


def state_of(rule: AlertRule, episode: Sequence[Found]) -> str:
    """The state after an episode's evaluations, the first of which was bad; inactive when it is over."""
    now, newest = episode[-1].at, episode[-1].verdict
    judged = _judged(episode)
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


def _judged(episode: Sequence[Found]) -> list[Found]:
    return [found for found in episode if found.verdict is not Verdict.EMPTY]


def has_fired(rule: AlertRule, episode: Sequence[Found]) -> bool:
    """Whether the first N evaluations that say anything were all bad."""
    first = _judged(episode)[: rule.min_occurrences]
    return len(first) == rule.min_occurrences and all(found.verdict is Verdict.BAD for found in first)


def fired_at(rule: AlertRule, episode: Sequence[Found]) -> int:
    """The evaluation at which an episode that fires fired."""
    return _judged(episode)[rule.min_occurrences - 1].at


def severity_of(rule: AlertRule, episode: Sequence[Found]) -> str:
    """The worst severity that held N times in a row in an episode that fired; before that, what the newest violates."""
    judged = _judged(episode)
    if not has_fired(rule, episode):
        return min(judged[-1].violated, key=WORST_FIRST.index, default="")
    runs = [judged[end - rule.min_occurrences : end] for end in range(rule.min_occurrences, len(judged) + 1)]
    held = [severity for run in runs for severity in WORST_FIRST if all(severity in found.violated for found in run)]
    return min(held, key=WORST_FIRST.index)


class Reference:
    """One rule over points, evaluation by evaluation."""

    def __init__(self, rule: AlertRule, config: MonitoringConfig, points: Sequence[Point]) -> None:
        self.rule = rule
        self.query = config.query_for(rule)
        self.config = config
        self.delay = max([rule.evaluation_delay_seconds, *_delays_of_collection(config, rule)])
        self.points = points
        self.groups: dict[Group, Expected] = {}
        self.changed: list[tuple[Group, str, Episode]] = []

    def evaluate(self, at: int) -> dict[Group, float]:
        """Evaluate at a whole minute (Unix seconds); the values that were judged, none when the rule is not due."""
        self.changed = []
        if at % self.rule.evaluation_frequency:
            return {}
        known = [point for point in self.points if point.known_from <= at]
        judged = self._values(known, at)
        missed = self._values(known, at - self.rule.evaluation_frequency) if self.rule.on_no_data == "alert" else {}
        there: set[Group] = {*judged, *missed, *([] if self.query.group_by else [()])}
        self._regroup(there)
        running = {group for group, one in self.groups.items() if one.episode or one.missing_since}
        for group in there | running:
            one = self.groups.setdefault(group, Expected())
            one.grouped_by = frozenset(self.query.group_by)
            about = judge(self.rule, one, at, judged.get(group))
            self.changed += [(group, what, episode) for what, episode in about.items()]
        return judged

    def remove(self) -> None:
        """At an evaluation the rule is not there: what fires ends, what is pending is forgotten."""
        self.changed = []
        for group, one in self.groups.items():
            self._end(group, one)

    def _regroup(self, there: set[Group]) -> None:
        """What began under another grouping, and is no group of this one, ends."""
        for group, one in self.groups.items():
            if group not in there and one.grouped_by != frozenset(self.query.group_by):
                self._end(group, one)

    def _end(self, group: Group, one: Expected) -> None:
        if one.state == "firing":
            over = Episode(fired_at(self.rule, one.episode), one.severity, over=True)
            self.changed.append((group, "threshold", over))
        if one.missing_since is not None:
            self.changed.append((group, "no_data", Episode(one.missing_since, one.missing_severity, over=True)))
        one.state, one.count, one.episode, one.missing_since = "inactive", 0, [], None

    def say(
        self,
        others: Sequence[Reference],
        at: int,
        hushed: Callable[[Group, str, Episode], bool] = lambda *_: False,
        taken: Callable[[Group, str, Episode], bool] = lambda *_: False,
    ) -> None:
        """Decide who hears of what this evaluation found, when all rules have been evaluated.

        ``hushed`` says whether somebody wants quiet about an episode, ``taken`` whether somebody acknowledged it.
        """
        for group, about, episode in self.changed:
            one = self.groups[group]
            quiet = hushed(group, about, episode) or (about == "threshold" and self._is_inhibited(group, others))
            said = one.said if about == "threshold" else one.said_of_missing
            _say(self, said, episode, at, quiet=quiet, taken=taken(group, about, episode))

    def _is_inhibited(self, group: Group, others: Sequence[Reference]) -> bool:
        mine = dict(group)
        firing = [
            labels
            for other in others
            if other.rule.id in self.rule.inhibited_by
            for labels, one in other.groups.items()
            if one.state == "firing"
        ]
        return any(all(mine.get(name, value) == value for name, value in labels) for labels in firing)

    def routed(self, severity: str) -> tuple[str, ...]:
        """Who hears of a severity."""
        to = [name for name, severities in self.config.settings.routing.items() if severity in severities]
        return tuple(self.rule.notification_channels or to)

    def _values(self, known: Sequence[Point], at: int) -> dict[Group, float]:
        return values(self.query, known, at - self.delay, self.rule.evaluation_window)


def _delays_of_collection(config: MonitoringConfig, rule: AlertRule) -> list[int]:
    return [one.evaluation_delay_seconds for one in config.list_collections() if one.name == rule.collection]


def judge(rule: AlertRule, one: Expected, at: int, value: float | None) -> dict[str, Episode]:
    """One evaluation of one group at ``at`` (Unix seconds); ``value`` None: there is none.

    The episodes that fire or have just ended, by what they are about: the threshold, or that there are no data.
    """
    found = Found(at, verdict(rule, value), violated(rule, value))
    changed: dict[str, Episode] = {}
    if one.missing_since is not None:
        over = value is not None or at - one.missing_since >= DAY_SECONDS
        changed["no_data"] = Episode(one.missing_since, one.missing_severity, over)
        one.missing_since = None if over else one.missing_since
    if not one.episode and found.verdict is not Verdict.BAD:
        return changed
    one.episode.append(found)
    one.state = state_of(rule, one.episode)
    one.count = bad_in_a_row(one.episode) if one.state != "inactive" else 0
    one.severity = severity_of(rule, one.episode)
    over = one.state == "inactive"
    if has_fired(rule, one.episode):
        changed["threshold"] = Episode(fired_at(rule, one.episode), one.severity, over)
        if over and found.verdict is Verdict.EMPTY:
            one.missing_since, one.missing_severity = at, one.severity
            changed["no_data"] = Episode(at, one.severity, over=False)
    if over:
        one.episode = []
    return changed


def _say(rule: Reference, said: list[Said], episode: Episode, at: int, *, quiet: bool, taken: bool) -> None:
    """What is told of an episode, if anything: once that it fires, each rise, once that nobody took it, its end."""
    told = [one for one in said if one.fired_at == episode.fired_at]
    heard = [channel for one in told for channel in one.channels]
    fires = [one for one in said if one.kind in ("firing", "raised")]
    worse = bool(fires) and WORST_FIRST.index(episode.severity) < WORST_FIRST.index(fires[-1].severity)
    after, urgent = rule.config.escalation
    if episode.over:
        kind = "resolved" if told else ""
    elif quiet:
        kind = ""
    elif not told:
        cooling = bool(fires) and at - fires[-1].at < rule.rule.cooldown_period and not worse
        kind = "" if cooling else "firing"
    elif worse:
        kind = "raised"
    else:
        due = not taken and episode.severity in urgent and at - fires[-1].at >= after.total_seconds()
        kind = "escalated" if due and all(one.kind != "escalated" for one in told) else ""
    if kind:
        routed = rule.routed(episode.severity) if kind in ("firing", "raised") else ()
        channels = tuple(dict.fromkeys([*heard, *routed]))
        said.append(Said(kind, at, episode.fired_at, episode.severity, channels))
