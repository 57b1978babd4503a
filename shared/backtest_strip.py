"""The backtest of an alert's page: when its rule fires over the range shown, and would with other settings.

Every evaluation time of the range is decided by ``alerts.decide`` on the values that the rule judges, as the tick does
for one group; a lane begins inactive. It reads nothing but what the page has read, and is of at most ``MOST_SECONDS``,
the newest. A lane is the rule as it is; once in a row is enough, or three times are needed where one is; and a limit
farther away, half as far again, which a rule on a baseline and one on a source have not.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

from .alerts import AlertState, Reason, State, decide
from .moving import rule_now
from .panels import Status, Strip, Strips
from .render import numbers
from .rules import AlertRule, MetricThreshold
from .series import Labels
from .sources import Sources, limit_of
from .strips import STRIP_POINTS
from .timeline import MINUTE_SECONDS, from_minute
from .usual_store import rule_key
from .value_cache import Window

MOST_SECONDS = 12 * 3600
OTHER_OCCURRENCES = 3
"""In a row, of a rule that fires at once."""
_FARTHER = 1.5
_UPPER_HALF = 50.0

Values: TypeAlias = Sequence[tuple[datetime, float | None]]
"""What a rule judges of one group, by evaluation time."""
NowOf: TypeAlias = Callable[[datetime, float | None], AlertRule]
"""The rule as it stands at an evaluation of a value."""


@dataclass(frozen=True, slots=True)
class Lane:
    """What a rule makes of some values: the severity that it fires with at each evaluation, and how often it fired."""

    states: tuple[AlertState, ...]
    fired: int


def backtest_strip(sources: Sources, rule: AlertRule, labels: Labels) -> Strips:
    """A lane for the rule as it is and for each other setting, over the range of the sources."""
    shown = sources.spanning(min(sources.end - sources.start, MOST_SECONDS))
    values = values_of(shown, rule, labels)
    windows = shown.steps(STRIP_POINTS)
    strips = tuple(_strip(shown, name, one, labels, values, windows) for name, one in variants(shown, rule))
    words = [(Status.of(one.severity), "would fire") for one in rule.thresholds]
    words += [(Status.OK, "would not"), (Status.UNKNOWN, "no data")]
    occurring = {state for strip in strips for state in strip.states}
    return Strips(
        id="backtest",
        title="This rule with other settings",
        start=from_minute(windows[0].end - windows[0].seconds),
        end=from_minute(shown.end),
        step_seconds=windows[0].seconds,
        strips=strips,
        words=tuple(dict.fromkeys((status, word) for status, word in words if status in occurring)),
        total=len(strips),
    )


def values_of(sources: Sources, rule: AlertRule, labels: Labels) -> Values:
    """What the rule judges of one group at each evaluation time of the range, oldest first."""
    query, delay = sources.config.query_for(rule), sources.config.delay_seconds_for(rule)
    first = -(-(sources.start + MINUTE_SECONDS) // rule.evaluation_frequency) * rule.evaluation_frequency
    times = range(first, sources.end + 1, rule.evaluation_frequency)
    windows = [Window(at - delay, rule.evaluation_window) for at in times]
    found = (sources.values(query, window).get(labels) for window in windows)
    return [(from_minute(at), value) for at, value in zip(times, found, strict=True)]


def lane_of(rule: AlertRule, labels: Labels, values: Values, now_of: NowOf) -> Lane:
    """Decide every evaluation, one after the other, as the tick does for one group.

    A group that is inactive is judged while it has a value, and once more when that is missing.
    """
    state = AlertState(rule.id, labels, rule.threshold.severity)
    always = not labels and not rule.is_source
    states, fired, known = [], 0, always
    for at, value in values:
        now = now_of(at, value)
        is_quiet = not known if value is None else now.violated_by(value) is None
        known = value is not None or always
        if state.state is not State.INACTIVE or not is_quiet:
            decision = decide(now, state, value, at)
            state = decision.alert
            fired += decision.reason is Reason.FIRED
        states.append(state)
    return Lane(tuple(states), fired)


def variants(sources: Sources, rule: AlertRule) -> Iterator[tuple[str, AlertRule]]:
    """The rule as it is, and with each other setting; each with its name."""
    unit = sources.config.unit_for(rule)
    other = 1 if rule.min_occurrences > 1 else OTHER_OCCURRENCES
    yield f"As it is: {_named(rule, unit)}", rule
    yield _named(once := replace(rule, min_occurrences=other), unit), once
    if rule.threshold.baseline is None and not rule.is_source:
        levels = tuple(farther(one, unit) for one in rule.levels)
        yield _named(lax := replace(rule, threshold=farther(rule.threshold, unit), levels=levels), unit), lax


def farther(threshold: MetricThreshold, unit: str) -> MetricThreshold:
    """A limit half as far again from where values are good: of a percentage near 100 % that is measured from there."""
    value, below = threshold.value, threshold.operator.value.startswith("<")
    if unit == "%" and value > _UPPER_HALF:
        room = 100.0 - value
        moved = 100.0 - (room * _FARTHER if below else room / 2)
    else:
        moved = value / _FARTHER if below else value * _FARTHER
    return replace(threshold, value=float(f"{moved:.5g}"), recovery_value=None)


def _named(rule: AlertRule, unit: str) -> str:
    limit = limit_of(rule.threshold)
    beyond = f"{limit.operator.value} {numbers.limit_number(limit, unit)}" if limit else str(rule.threshold.baseline)
    return f"{beyond}, {rule.min_occurrences} in a row"


def _strip(
    sources: Sources, name: str, rule: AlertRule, labels: Labels, values: Values, windows: Sequence[Window]
) -> Strip:
    lane = lane_of(rule, labels, values, _moving(sources, rule, labels))
    fires = [state for state in lane.states if state.is_firing]
    worst = min((state.severity for state in fires), key=lambda severity: severity.rank, default=None)
    minutes = len(fires) * rule.evaluation_frequency / 60
    return Strip(
        name,
        minutes,
        "min",
        Status.of(worst) if worst else Status.OK,
        tuple(_steps(lane, values, windows)),
        note=f"{lane.fired} alert{'' if lane.fired == 1 else 's'}" if lane.fired else "no alert",
    )


def _moving(sources: Sources, rule: AlertRule, labels: Labels) -> NowOf:
    """The rule as it stands at an evaluation: itself, unless its limit moves with what is usual."""
    if rule.threshold.baseline is None:
        return lambda _at, _value: rule
    usual = sources.reader.usual(rule_key(sources.config, rule), sources.now).get(labels)
    delay = timedelta(seconds=sources.config.delay_seconds_for(rule))
    return lambda at, value: rule_now(rule, usual, value, at - delay)


def _steps(lane: Lane, values: Values, windows: Sequence[Window]) -> Iterator[Status]:
    """The worst of each step: firing, then without data, then not; empty before the first value."""
    ends = [round(at.timestamp()) for at, _ in values]
    began = next((index for index, (_, value) in enumerate(values) if value is not None), len(values))
    for window in windows:
        inside = range(bisect_right(ends, window.end - window.seconds), bisect_right(ends, window.end))
        yield _worst(lane, values, inside, began)


def _worst(lane: Lane, values: Values, inside: Sequence[int], began: int) -> Status:
    severities = [lane.states[index].severity for index in inside if lane.states[index].is_firing]
    if severities:
        return Status.of(min(severities, key=lambda severity: severity.rank))
    if not any(index >= began for index in inside):
        return Status.EMPTY
    return Status.UNKNOWN if any(values[index][1] is None for index in inside if index >= began) else Status.OK
