"""Strips over time: what was up and what was not, and where data is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo

from .cells import Cells
from .configuration.models import Panel
from .items import Item, items_of, name_of, over_all, rules_on
from .line_charts import distinct_groups
from .panels import KEPT_ROWS, Limit, Status, Strip, Strips
from .render import numbers
from .render.status import rank
from .rules import MetricThreshold, MetricType, Selection
from .series import Labels
from .sources import Sources, limit_of
from .timeline import MINUTE_SECONDS, from_minute
from .value_cache import Window

STRIP_POINTS = 96
"""A quarter of an hour each in 24 h."""
_ANY = -1
"""Stands for any series at all, among the selections that are looked for."""


def timeline_panel(sources: Sources, panel: Panel, panel_id: str) -> Strips:
    """A strip for each group of each item: within its limit, beyond it, or without data.

    An item that no rule is about is judged by the limit of availability.
    """
    items = items_of(sources, panel)
    strips = [strip for item in items for strip in _strips_of(sources, item, len(items))]
    return _panel(sources, panel, panel_id, strips, len(strips))


def gaps_panel(sources: Sources, panel: Panel, panel_id: str, zone: tzinfo = UTC) -> Strips:
    """A strip for each item: data, none, or nothing of anything yet."""
    items = items_of(sources, panel)
    selections = tuple(item.query.select for item in items)
    present = _present(sources, selections)
    began = next((minute for minute in _minutes(sources) if _ANY in present.get(minute, ())), None)
    strips = [
        _gaps(sources, item.name, [index in present.get(minute, ()) for minute in _minutes(sources)], began, zone)
        for index, item in enumerate(items)
    ]
    return _panel(sources, panel, panel_id, strips, len(strips))


def _panel(sources: Sources, panel: Panel, panel_id: str, strips: Sequence[Strip], total: int) -> Strips:
    windows = sources.steps(STRIP_POINTS)
    occurring = {state for strip in strips for state in strip.states}
    words = tuple((status, word) for status, word in _words(panel) if status in occurring)
    ordered = sorted(strips, key=lambda strip: rank(strip.status))[:KEPT_ROWS] if len(strips) > KEPT_ROWS else strips
    return Strips(
        id=panel_id,
        title=panel.title,
        start=from_minute(windows[0].end - windows[0].seconds),
        end=from_minute(sources.end),
        step_seconds=windows[0].seconds,
        strips=tuple(ordered),
        words=words,
        total=total,
    )


def _words(panel: Panel) -> Sequence[tuple[Status, str]]:
    gaps = panel.kind.value == "gaps"
    return (
        (Status.OK, "data" if gaps else "within its limit"),
        (Status.LOW, "beyond its limit"),
        (Status.WARNING, "beyond its limit"),
        (Status.CRITICAL, "beyond its limit"),
        (Status.UNKNOWN, "no data"),
    )


def _strips_of(sources: Sources, item: Item, among: int) -> list[Strip]:
    steps = [sources.values(item.query, window) for window in sources.steps(STRIP_POINTS)]
    groups = sorted(distinct_groups(steps))[:KEPT_ROWS] or [()]
    began = next((index for index, step in enumerate(steps) if step), len(steps))
    rules = rules_on(sources, item.query)
    rule = min(rules, key=lambda one: one.severity.rank, default=None)
    threshold = rule.threshold if rule else sources.config.get_threshold(MetricType.AVAILABILITY)
    whole = over_all(sources, item.query)
    return [_strip(item, labels, among, steps, began, threshold, whole) for labels in groups]


def _strip(
    item: Item,
    labels: Labels,
    among: int,
    steps: Sequence[Mapping[Labels, float]],
    began: int,
    threshold: MetricThreshold | None,
    whole: Mapping[Labels, float],
) -> Strip:
    limit = limit_of(threshold)
    states = tuple(_state(step.get(labels), limit, index < began) for index, step in enumerate(steps))
    value = whole.get(labels)
    beyond = sum(1 for state in states if state in (Status.CRITICAL, Status.WARNING, Status.LOW))
    missing = sum(1 for state in states if state is Status.UNKNOWN)
    told = [f"beyond its limit in {beyond} of {len(states)} steps"] if beyond else []
    told += [f"without data in {missing}"] if missing else []
    return Strip(
        name_of(item, labels, among), value, item.unit, _state(value, limit, began == len(steps)), states, limit,
        ", ".join(told),
    )  # fmt: skip


def _state(value: float | None, limit: Limit | None, before: bool) -> Status:
    if value is None:
        return Status.EMPTY if before else Status.UNKNOWN
    if limit is not None and limit.operator.holds(value, limit.value):
        return Status.of(limit.severity)
    return Status.OK


def _minutes(sources: Sources) -> range:
    """The minutes of the time of the sources, oldest first."""
    return range(sources.start + MINUTE_SECONDS, sources.end + MINUTE_SECONDS, MINUTE_SECONDS)


def _present(sources: Sources, selections: tuple[Selection, ...]) -> dict[int, frozenset[int]]:
    """Which of some selections each minute has series of, by index; ``_ANY`` for a minute that has any."""
    key = ("present", selections)
    found = {}
    for minute in _minutes(sources):
        there = sources.computed(key, Window(minute, MINUTE_SECONDS), lambda minutes: _found(minutes, selections))
        if there:
            found[minute] = frozenset(int(labels[0][1]) for labels in there)
    return found


def _found(minutes: Sequence[Cells], selections: Sequence[Selection]) -> dict[Labels, float]:
    series = [name for cells in minutes for name in cells.series]
    found = [
        index
        for index, selection in enumerate(selections)
        if any(name.metric == selection.metric and name.matches(selection.labels) for name in series)
    ]
    return {(("index", str(index)),): 1.0 for index in ([_ANY, *found] if series else [])}


def _gaps(sources: Sources, name: str, there: Sequence[bool], began: int | None, zone: tzinfo) -> Strip:
    minutes = list(_minutes(sources))
    expected = [minute for minute in minutes if began is not None and minute >= began]
    has = dict(zip(minutes, there, strict=True))
    missing = [minute for minute in expected if not has[minute]]
    states = tuple(_gap_state(window, has, began) for window in sources.steps(STRIP_POINTS))
    share = 100 * (len(expected) - len(missing)) / len(expected) if expected else None
    status = Status.EMPTY if not any(there) else Status.UNKNOWN if missing else Status.OK
    return Strip(name, share, "%", status, states, None, _told(sources, missing, any(there), zone))


def _gap_state(window: Window, has: Mapping[int, bool], began: int | None) -> Status:
    inside = [
        minute
        for minute in range(window.end - window.seconds + MINUTE_SECONDS, window.end + MINUTE_SECONDS, MINUTE_SECONDS)
        if minute in has
    ]
    if began is None or all(minute < began for minute in inside):
        return Status.EMPTY
    return Status.OK if all(has[minute] for minute in inside if minute >= began) else Status.UNKNOWN


def _told(sources: Sources, missing: Sequence[int], ever: bool, zone: tzinfo) -> str:
    """How much is missing, and the longest stretch of it."""
    if not ever:
        return "nothing received"
    if not missing:
        return "nothing missing"
    longest = _longest(missing)
    began = from_minute(longest[0] - MINUTE_SECONDS)
    span = numbers.age(len(longest) * MINUTE_SECONDS)
    total = numbers.age(len(missing) * MINUTE_SECONDS)
    if len(longest) == len(missing):
        return f"{total} missing, from {numbers.moment(began, zone, sources.now)}"
    return f"{total} missing, longest {span} from {numbers.moment(began, zone, sources.now)}"


def _longest(minutes: Sequence[int]) -> list[int]:
    """The longest run of minutes without a hole; the first of equals."""
    best: list[int] = []
    run: list[int] = []
    for minute in minutes:
        if run and run[-1] == minute - MINUTE_SECONDS:
            run.append(minute)
        else:
            run = [minute]
        best = [*run] if len(run) > len(best) else best
    return best
