"""Tuning: for each rule what it did over a span, and the threshold that its own values recommend.

Three numbers are named, and the most careful of them is recommended, so that what is recommended never wakes anybody
for what was normal. By sigma: mean and 3, 2 or 1 standard deviations of the values without outliers, or the 95th
percentile, after the severity. By backtest: the tightest limit that would have fired at most as often as is wanted;
with labelled windows the one with the best F-score, which then is recommended as it stands. The floor: as many times
the mean as in the specification's example (10 ms, and 50, 30, 20 and 15 ms), of percentages as many times what is
missing to 100 where low is bad, and no more than a part of the room below 100 where high is.

Values more than ten robust deviations from their group's median are incidents where they are rare: an alert on them is
no false one, so they do not loosen what the backtest recommends.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from .backtest.episodes import Episode
from .backtest.run import Candidate, Source, Span, backtest
from .backtest.scores import Labelled
from .baselines import BaselineAnalyzer, BaselineMetric, quantile
from .configuration.document import rule_to_plain
from .errors import ConfigError
from .judged import Judged, judged_values
from .monitoring_config import AlertRule, MonitoringConfig
from .render.numbers import span as span_text
from .rules import Operator, Severity
from .timeline import HOUR_SECONDS, from_minute, iso
from .usual_store import Baselines

WANTED_PER_WEEK = 1.0
FLOOR_TIMES = {Severity.CRITICAL: 5.0, Severity.HIGH: 3.0, Severity.MEDIUM: 2.0, Severity.LOW: 1.5}
FLOOR_ROOM = {Severity.CRITICAL: 0.8, Severity.HIGH: 0.6, Severity.MEDIUM: 0.4, Severity.LOW: 0.3}
LEAST_VALUES = 60
"""Fewer, or over less than ``LEAST_SECONDS``, say nothing about what is normal."""
LEAST_SECONDS = 6 * HOUR_SECONDS
DAY_SECONDS = 86_400
"""What is recommended of less says so: nobody knows yet what the rest of a day is like."""
FLAP_SECONDS = 1800
"""An alert that fires again so soon after its end flaps."""
_ORDERED = (Operator.GREATER, Operator.GREATER_EQUAL, Operator.LESS, Operator.LESS_EQUAL)
_SHARES = (0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 1.0)
_BEYOND = (1.05, 1.1, 1.2, 1.5, 2.0)
_STEPS = 20
_SIGMA_PER_MAD = 1.4826
_INCIDENT_SIGMAS, _INCIDENT_SHARE = 10.0, 0.05
_NEAR = 0.05
"""A recommendation so near to the present limit, of its distance from the mean, is none."""
_DIGITS = 4
_UNTRIED = (
    "The values were always the same: nothing says how far from that is normal, so nothing tighter is recommended."
)


@dataclass(frozen=True, slots=True)
class Did:
    """What a rule did over a span. ``flaps`` are alerts that fired again within half an hour of their end."""

    fired: int = 0
    firing_minutes: int = 0
    notifications: int = 0
    flaps: int = 0


@dataclass(frozen=True, slots=True)
class Advice:
    """One rule, its values and what they recommend; ``recommended`` None: nothing, for the reason in ``note``.

    ``fired_then`` is how often the recommended limit would have fired. ``setting`` is the patch, as a backtest takes
    it; empty when there is nothing to change.
    """

    rule_id: str
    name: str
    severity: Severity
    operator: str
    unit: str
    present: float
    did: Did
    groups: int
    baseline: BaselineMetric | None = None
    stability: float | None = None
    by_sigma: float | None = None
    by_backtest: float | None = None
    floor: float | None = None
    recommended: float | None = None
    fired_then: int | None = None
    setting: str = ""
    note: str = ""


def advise(
    config: MonitoringConfig,
    source: Source,
    span: Span,
    wanted_per_week: float = WANTED_PER_WEEK,
    windows: Mapping[str, Sequence[Labelled]] | None = None,
    baselines: Baselines | None = None,
) -> list[Advice]:
    """What every enabled rule did over a span, and what its values recommend, in the configuration's order.

    ``windows`` are what was worth an alert, by a rule's id; ``baselines`` what is usual, for the rules on it. Raises
    ValueError for a wish that is negative or no number, ``ConfigError`` for windows of which none is in the span or
    that are about no enabled rule, and what the source raises.
    """
    if not 0 <= wanted_per_week < math.inf:
        raise ValueError(f"expected a number of alerts a week from 0 on, got {wanted_per_week!r}")
    worth = _in_span(config, windows or {}, span)
    (run,) = backtest(source, span, [Candidate(config, baselines=baselines or {})])
    episodes = run.episodes()
    allowed = math.floor(wanted_per_week * span.days / 7)
    return [
        _advice(config, judged, _did(episodes, judged.rule, span), allowed, worth.get(judged.rule.id, ()))
        for judged in judged_values(config, source, span)
    ]


def _in_span(
    config: MonitoringConfig, windows: Mapping[str, Sequence[Labelled]], span: Span
) -> dict[str, list[Labelled]]:
    """The windows that a span touches, by rule."""
    first, last = from_minute(span.first), from_minute(span.last)
    known = [rule.id for rule in config.list_alert_rules(enabled_only=True)]
    found = {}
    for name, labelled in windows.items():
        if name not in known:
            raise ConfigError(f"windows: {json.dumps(name)} is no enabled rule; there are {', '.join(known)}")
        found[name] = [one for one in labelled if one.first <= last and one.last >= first]
        if not found[name]:
            raise ConfigError(f"windows: none of {name} is between {iso(first)} and {iso(last)}")
    return found


def _did(episodes: Iterable[Episode], rule: AlertRule, span: Span) -> Did:
    mine = [one for one in episodes if one.rule_id == rule.id]
    ends: dict[str, datetime] = {}
    flaps = 0
    for one in mine:
        before = ends.get(one.fingerprint)
        flaps += before is not None and (one.fired_at - before).total_seconds() <= FLAP_SECONDS
        if one.ended_at is not None:
            ends[one.fingerprint] = one.ended_at
    minutes = sum(one.duration(from_minute(span.last)).total_seconds() / 60 for one in mine)
    return Did(len(mine), round(minutes), sum(len(one.told) for one in mine), flaps)


def _advice(config: MonitoringConfig, judged: Judged, did: Did, allowed: int, windows: Sequence[Labelled]) -> Advice:
    rule, values = judged.rule, judged.values
    limit = rule.threshold
    advice = Advice(
        rule_id=rule.id,
        name=rule.name,
        severity=limit.severity,
        operator=limit.operator.value,
        unit=config.unit_for(rule),
        present=limit.value,
        did=did,
        groups=len(judged.groups),
    )
    if limit.baseline is not None:
        return replace(advice, note="The limit moves with what is usual.")
    if len(values) < LEAST_VALUES:
        return replace(advice, note=f"{len(values)} values: at least {LEAST_VALUES} say what is normal")
    if judged.seconds < LEAST_SECONDS:
        short = f"{span_text(judged.seconds)} of values: at least {span_text(LEAST_SECONDS)} say what is normal"
        return replace(advice, note=short)
    if limit.operator not in _ORDERED:
        return replace(advice, note=f"operator {limit.operator} has no tighter or looser limit")
    try:
        return _recommended(advice, judged, allowed, windows)
    except ValueError as error:  # values that a rule can judge, and of which no deviation can be told
        return replace(advice, note=str(error))


def _recommended(advice: Advice, judged: Judged, allowed: int, windows: Sequence[Labelled]) -> Advice:
    rule, analyzer = judged.rule, BaselineAnalyzer()
    upper = advice.operator.startswith(">")
    baseline = analyzer.calculate_baseline(analyzer.remove_outliers(judged.values, "mad"), rule.id)
    by_sigma = sigma_limit(baseline, advice.severity, upper)
    floor = floor_limit(baseline.mean, advice.severity, advice.unit, upper)
    by_backtest = _best(judged, windows, upper) if windows else _tightest(_calm(judged), allowed, upper)
    found = (by_backtest,) if windows else (by_sigma, floor, by_backtest)
    recommended = _rounded(max(found) if upper else min(found), upper)
    near = abs(recommended - advice.present) <= _NEAR * abs(advice.present - baseline.mean)
    untried = not windows and _never_erred(baseline) and (recommended < advice.present) is upper
    if near or untried:
        recommended = advice.present
    return replace(
        advice,
        baseline=baseline,
        stability=analyzer.get_stability_score(judged.values),
        by_sigma=by_sigma,
        by_backtest=by_backtest,
        floor=floor,
        recommended=recommended,
        fired_then=len(judged.fired_at(recommended)),
        setting="" if recommended == advice.present else _setting(rule, recommended, advice.unit),
        note=" ".join([_UNTRIED if untried else _note(rule, recommended, upper), *_more(judged, recommended, windows)]),
    )


def _more(judged: Judged, recommended: float, windows: Sequence[Labelled]) -> Iterator[str]:
    """What a reader has to know of what a recommendation comes from."""
    if windows:
        now, then = (f_score(judged.fired_at(one), windows) for one in (judged.rule.threshold.value, recommended))
        count = "1 labelled window" if len(windows) == 1 else f"{len(windows)} labelled windows"
        yield f"F-score {then:.2f} on {count}, now {now:.2f}."
    if judged.seconds < DAY_SECONDS:
        yield f"Learned from {span_text(judged.seconds)} only, less than a day."


def _never_erred(baseline: BaselineMetric) -> bool:
    """Whether all values were 0 or 100, as of errors where there were none: that says nothing of how bad is normal."""
    return baseline.std_dev == 0 and baseline.mean in (0.0, 100.0)


def sigma_limit(baseline: BaselineMetric, severity: Severity, upper: bool) -> float:
    """The specification's threshold for a severity, above the mean or mirrored below it."""
    return baseline.get_recommended_thresholds()[f"{severity.value}_{'upper' if upper else 'lower'}"]


def floor_limit(mean: float, severity: Severity, unit: str, upper: bool) -> float:
    """The most sensitive limit that is ever recommended, whatever the deviation: see the module."""
    times, room = FLOOR_TIMES[severity], FLOOR_ROOM[severity]
    if unit == "%" and 0 <= mean <= 100:
        within = min(mean + room * (100 - mean), mean * times)
        return within if upper else max(100 - times * (100 - mean), 0.0)
    if upper:
        return mean * times if mean >= 0 else mean / times
    return mean / times if mean >= 0 else mean * times


def _calm(judged: Judged) -> Judged:
    """The values without incidents."""
    return replace(judged, groups={labels: _without_incidents(points) for labels, points in judged.groups.items()})


def _without_incidents(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    ordered = sorted(value for _, value in points)
    median = quantile(ordered, 0.5)
    spread = quantile(sorted(abs(value - median) for value in ordered), 0.5) * _SIGMA_PER_MAD
    calm = [(at, value) for at, value in points if abs(value - median) <= _INCIDENT_SIGMAS * spread]
    return calm if len(calm) >= (1 - _INCIDENT_SHARE) * len(points) else list(points)


def _candidates(judged: Judged, upper: bool) -> list[float]:
    """Limits to try, the tightest first."""
    ordered = sorted(judged.values) if upper else sorted(-one for one in judged.values)
    within = [quantile(ordered, share) for share in _SHARES]
    reach = max(within[-1] - within[0], abs(within[-1]) * 0.01)
    between = [within[0] + step / _STEPS * reach for step in range(_STEPS)]
    beyond = [within[0] + times * reach for times in _BEYOND]
    return [one if upper else -one for one in sorted({*within, *between, *beyond})]


def _tightest(judged: Judged, allowed: int, upper: bool) -> float:
    """The tightest limit from which on none fires more often than is allowed."""
    best = None
    for limit in reversed(_candidates(judged, upper)):
        if len(judged.fired_at(limit)) > allowed:
            break
        best = limit
    return best if best is not None else _candidates(judged, upper)[-1]


def _best(judged: Judged, windows: Sequence[Labelled], upper: bool) -> float:
    """The limit with the best F-score; of equals that with the fewest alerts, and then the loosest."""

    def worth(limit: float) -> tuple[float, int]:
        fired_at = judged.fired_at(limit)
        return f_score(fired_at, windows), -len(fired_at)

    return max(reversed(_candidates(judged, upper)), key=worth)


def f_score(fired_at: Sequence[datetime], windows: Sequence[Labelled]) -> float:
    """The harmonic mean of the share of alerts inside windows and of windows with an alert; 0 without either."""
    true = sum(any(one.holds(at) for one in windows) for at in fired_at)
    found = sum(any(one.holds(at) for at in fired_at) for one in windows)
    if not true or not found:
        return 0.0
    precision, recall = true / len(fired_at), found / len(windows)
    return 2 * precision * recall / (precision + recall)


def _rounded(limit: float, upper: bool) -> float:
    """Four digits, rounded to the side on which less fires."""
    if limit == 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(abs(limit))) - _DIGITS + 1)
    whole = math.ceil(limit / step - 1e-9) if upper else math.floor(limit / step + 1e-9)
    return float(f"{whole * step:.{_DIGITS + 3}g}")


def _setting(rule: AlertRule, recommended: float, unit: str) -> str:
    """The change; recovery values and the rule's other levels move with the threshold, in proportion.

    There is none where they cannot, because the limit changes its sign, and would pass one of the levels.
    """
    if _passes_a_level(rule, recommended):
        return ""
    present, recovery = rule.threshold.value, rule.threshold.recovery_value
    settings = [f"threshold={recommended:g}"]
    if recovery is not None:
        settings.append(f"threshold.recovery_value={_moved(recovery, present, recommended, unit):g}")
    if rule.levels and _is_proportional(present, recommended):
        settings.append(f"levels={json.dumps(_levels(rule, recommended, unit))}")
    return ",".join(settings)


def _levels(rule: AlertRule, recommended: float, unit: str) -> list[dict[str, object]]:
    """The other levels as the configuration has them, their values in proportion to the threshold's."""
    plain: Any = rule_to_plain(rule)["levels"]
    moved = []
    for level, one in zip(plain, rule.levels, strict=True):
        numbers = {"value": one.value, "recovery_value": one.recovery_value}
        present = rule.threshold.value
        changes = {
            name: _moved(value, present, recommended, unit) for name, value in numbers.items() if value is not None
        }
        moved.append({**level, **changes})
    return moved


def _moved(value: float, present: float, recommended: float, unit: str) -> float:
    """A number beside a threshold, moved in proportion; of a percentage that would pass 100, in what is left to it."""
    if not _is_proportional(present, recommended):
        return recommended
    moved = value * recommended / present
    if unit == "%" and moved > 100 >= max(value, present, recommended) and present < 100:
        moved = 100 - (100 - value) * (100 - recommended) / (100 - present)
    return float(f"{moved:.{_DIGITS}g}")


def _is_proportional(present: float, recommended: float) -> bool:
    return present * recommended > 0


def _passes_a_level(rule: AlertRule, recommended: float) -> bool:
    """Whether a limit lies beyond a level that cannot move with it, or at it."""
    present = rule.threshold.value
    passes = any((one.value - present) * (one.value - recommended) <= 0 for one in rule.levels)
    return passes and not _is_proportional(present, recommended)


def _note(rule: AlertRule, recommended: float, upper: bool) -> str:
    if _passes_a_level(rule, recommended):
        return "It would pass another level of the rule, which cannot move in proportion: move them together."
    if recommended == rule.threshold.value:
        return "The threshold is as it should be."
    if (recommended < rule.threshold.value) is upper:
        return "Tighter would have woken nobody for what is normal."
    return "The present limit is within what is normal by one of the three."
