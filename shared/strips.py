"""Strips over time: what was up and what was not, and where data is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo
from functools import partial

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
    *present, anything = _present(sources, tuple(item.query.select for item in items))
    began = min((minute for minute in anything if minute > sources.start), default=None)
    strips = [_gaps(sources, item.name, there, began, zone) for item, there in zip(items, present, strict=True)]
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
    steps = sources.over(item.query, STRIP_POINTS).values
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
    known = sum(1 for state in states if state is not Status.EMPTY) - missing
    told = [f"beyond its limit in {beyond} of {known} steps"] if beyond else []
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


def _present(sources: Sources, selections: tuple[Selection, ...]) -> list[frozenset[int]]:
    """In which minutes there are series of each selection, and last in which there are any at all."""
    key = ("present", selections)
    found: list[set[int]] = [set() for _ in (*selections, None)]
    for window in sources.steps(STRIP_POINTS):
        masks = sources.of_minutes(key, window, partial(_masks, sources, window, selections))
        ends = _ends(window)
        for labels, mask in masks.items():
            bits = int(mask)
            found[int(labels[0][1])].update(end for index, end in enumerate(ends) if bits >> index & 1)
    return [frozenset(minutes) for minutes in found]


def _masks(sources: Sources, window: Window, selections: Sequence[Selection]) -> dict[Labels, float]:
    """For each selection, and last for any series, a bit for each minute: at most 45 of them, exact in a double."""
    masks = [0] * (len(selections) + 1)
    for index, end in enumerate(_ends(window)):
        cells = sources.minutes.get(end)
        if cells is not None and len(cells):
            masks[-1] |= 1 << index
            for place, selection in enumerate(selections):
                masks[place] |= _has(cells, selection) << index
    return {(("index", str(place)),): float(mask) for place, mask in enumerate(masks)}


def _has(cells: Cells, selection: Selection) -> bool:
    return any(name.metric == selection.metric and name.matches(selection.labels) for name in cells.series)


def _ends(window: Window) -> range:
    return range(window.end - window.seconds + MINUTE_SECONDS, window.end + MINUTE_SECONDS, MINUTE_SECONDS)


def _gaps(sources: Sources, name: str, there: frozenset[int], began: int | None, zone: tzinfo) -> Strip:
    expected = range(began, sources.end + MINUTE_SECONDS, MINUTE_SECONDS) if began is not None else range(0)
    missing = [minute for minute in expected if minute not in there]
    states = tuple(_gap_state(window, there, began) for window in sources.steps(STRIP_POINTS))
    share = 100 * (len(expected) - len(missing)) / len(expected) if expected else None
    ever = len(missing) < len(expected)
    status = Status.EMPTY if not ever else Status.UNKNOWN if missing else Status.OK
    return Strip(name, share, "%", status, states, None, _told(sources, missing, ever, zone))


def _gap_state(window: Window, there: frozenset[int], began: int | None) -> Status:
    expected = [minute for minute in _ends(window) if began is not None and minute >= began]
    if not expected:
        return Status.EMPTY
    return Status.OK if there.issuperset(expected) else Status.UNKNOWN


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
