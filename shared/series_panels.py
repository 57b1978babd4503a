"""Panels of lines and distributions: several questions in one chart, or the same ones for each region side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from .anomalies import usual
from .bins import values_of
from .cells import Cells, merge
from .configuration.models import Panel
from .items import Item, items_of, name_of, rules_on
from .line_charts import chart_of, deploy_marks, distinct_groups, firing_spans
from .panels import KEPT_LINES, Heat, Line, LineChart, Multiples, Small, Status, Style
from .render.status import rank
from .rules import AlertRule, Query
from .series import Labels
from .sources import REGION, Sources, limit_of, status_of, worst_alert
from .timeline import from_minute

PANEL_POINTS = 90
HEAT_POINTS = 60
SHOWN_SMALL = 3
"""Regions side by side."""
_PER_DECADE = 10
"""Bins of a distribution that is drawn: each is 26 % wider than the one below."""
_MOST_BINS = 40
_BEYOND: Labels = (("beyond", ""),)
"""Stands among the bins for all that is beyond the limit."""
_LOG_FROM = 30.0
"""An axis is logarithmic when its greatest value is this many times its least."""


def line_panel(sources: Sources, panel: Panel, panel_id: str) -> LineChart:
    """The lines of all items, which have one unit, in one chart."""
    items = items_of(sources, panel)
    charts = [
        chart_of(sources, panel_id, panel.title, item.unit, item.query, rules_on(sources, item.query), PANEL_POINTS)
        for item in items
    ]
    if not charts:
        return LineChart(panel_id, panel.title, "", from_minute(sources.start), sources.end - sources.start, ())
    first = charts[0]
    pairs = list(zip(items, charts, strict=True))
    lines = [_named(item, line, len(items)) for item, chart in pairs for line in chart.lines]
    return replace(
        first,
        lines=tuple(lines[:KEPT_LINES]),
        limits=tuple(dict.fromkeys(limit for chart in charts for limit in chart.limits)),
        spans=tuple(dict.fromkeys(span for chart in charts for span in chart.spans)),
        marks=tuple(dict.fromkeys(mark for chart in charts for mark in chart.marks)),
        lines_total=sum(max(chart.lines_total, len(chart.lines)) for chart in charts),
    )


def _named(item: Item, line: Line, among: int) -> Line:
    """A line of one of several items has the item's name; one of a group has the group's too."""
    if among == 1:
        return line if item.query.group_by or item.query.select.labels else replace(line, name=item.name)
    return replace(line, name=f"{item.name} {line.name}" if item.query.group_by else item.name)


def multiples_panel(sources: Sources, panel: Panel, panel_id: str) -> Multiples:
    """A chart of the items' lines for each region, the worst first, on one scale."""
    items = items_of(sources, panel)
    places, total = _places(sources, items)
    charts = [
        Small(name, status, _judged(_chart(sources, panel, panel_id, items, name), status)) for name, status in places
    ]
    return _side_by_side(panel, panel_id, charts, total)


def _judged(chart: LineChart, status: Status) -> LineChart:
    """The chart of a place with its status on the line that is judged; a line that has ended is unknown."""

    def of(line: Line) -> Status:
        if not line.values or line.values[-1] is None:
            return Status.UNKNOWN
        return status if line.style is Style.MAIN else Status.OK

    return replace(chart, lines=tuple(replace(line, status=of(line)) for line in chart.lines))


def heat_panel(sources: Sources, panel: Panel, panel_id: str) -> Multiples:
    """The distribution over time of the first item's metric for each region, with the lines of the items for words."""
    items = items_of(sources, panel)
    places, total = _places(sources, items)
    charts = [
        Small(name, status, _chart(sources, panel, panel_id, items, name), _heat(sources, items[0], name))
        for name, status in places
    ]
    return _on_one_grid(_side_by_side(panel, panel_id, charts, total))


def _places(sources: Sources, items: Sequence[Item]) -> tuple[list[tuple[str, Status]], int]:
    """Up to ``SHOWN_SMALL`` regions with their status, the worst first, and how many there are; "" is all at once."""
    if not items:
        return [], 0
    config, query = sources.config, items[0].query
    metric = config.metric(query.select.metric)
    fixed = dict(query.select.labels).get(REGION)
    if fixed is not None:
        return [(fixed, Status.OK)], 1
    if metric is not None and REGION not in metric.labels:
        return [("", Status.OK)], 1
    here = _by_region(query)
    groups = distinct_groups(sources.over(here, PANEL_POINTS).values)
    reporting = {dict(labels)[REGION] for labels in groups if labels}
    names = dict.fromkeys([*(region.name for region in config.settings.regions), *sorted(reporting)])
    statuses = {name: _status(sources, name, name in reporting) for name in names}
    worst = sorted(names, key=lambda name: rank(statuses[name]))
    return [(name, statuses[name]) for name in worst[:SHOWN_SMALL]], len(names)


def _status(sources: Sources, region: str, reports: bool) -> Status:
    """The worst of the page's alerts in a region: the same in all panels, so that regions keep their order."""
    mine = [alert for alert in sources.alerts if (REGION, region) in alert.labels]
    return status_of(worst_alert(mine), 0.0 if reports else None, seen=True, stale=False)


def _by_region(query: Query) -> Query:
    return replace(query, group_by=(REGION,))


def _chart(sources: Sources, panel: Panel, panel_id: str, items: Sequence[Item], region: str) -> LineChart:
    labels: Labels = ((REGION, region),) if region else ()
    steps = sources.over(_by_region(items[0].query) if region else items[0].query, PANEL_POINTS)
    rules = [rule for item in items for rule in rules_on(sources, item.query)]
    lines = tuple(_line(sources, item, items, labels, rules) for item in items)
    return LineChart(
        id=f"{panel_id}-{region}" if region else panel_id,
        title=f"{panel.title} in {region}" if region else panel.title,
        unit=items[0].unit,
        start=from_minute(steps.start),
        step_seconds=steps.seconds,
        lines=lines,
        limits=tuple(limit for rule in rules if (limit := limit_of(rule.threshold)))[:1],
        spans=tuple(replace(span, label="") for span in firing_spans(sources, rules, labels)),
        marks=deploy_marks(sources, region),
        until=from_minute(sources.end),
        live_to=sources.live_to if any(line.live is not None for line in lines) else None,
    )


def _line(sources: Sources, item: Item, items: Sequence[Item], labels: Labels, rules: Sequence[AlertRule]) -> Line:
    query = _by_region(item.query) if labels else item.query
    values = tuple(point.get(labels) for point in sources.over(query, PANEL_POINTS).values)
    style = _style(item, items, rules, sources)
    band = _usual(sources, query, labels, values) if style is Style.MAIN else ()
    return Line(name_of(item, (), 2), values, style=style, usual=band, live=sources.live(query).get(labels))


def _usual(
    sources: Sources, query: Query, labels: Labels, values: Sequence[float | None]
) -> tuple[tuple[float, float], ...]:
    """What is usual of a line: by the hour of the week, and until that is learned by the values themselves."""
    learned = sources.usual_over(query, labels, sources.steps(PANEL_POINTS))
    usually = None if learned else usual(values)
    return (usually.band,) * len(values) if usually else learned


def _style(item: Item, items: Sequence[Item], rules: Sequence[AlertRule], sources: Sources) -> Style:
    """Of several percentiles the one that a rule judges is the main one, else the middle one."""
    judged = next((one for one in items if rules_on(sources, one.query)), items[len(items) // 2]) if rules else None
    main = judged or items[len(items) // 2]
    if item is main:
        return Style.MAIN
    return Style.BELOW if items.index(item) < items.index(main) else Style.ABOVE


def _side_by_side(panel: Panel, panel_id: str, charts: Sequence[Small], total: int) -> Multiples:
    """The charts with one scale: each has room for the values of all."""
    lists = [line.values for small in charts for line in small.chart.lines]
    everything = [value for values in lists for value in values if value is not None and math.isfinite(value)]
    ends = (min(everything, default=0.0), max(everything, default=0.0))
    log = 0 < ends[0] * _LOG_FROM < ends[1]
    scaled = [replace(small, chart=replace(small.chart, holds=ends, log=log)) for small in charts]
    unit = charts[0].chart.unit if charts else ""
    note = "log scale" if log else "from 0" if unit != "%" else ""
    return Multiples(panel_id, panel.title, unit, note, tuple(scaled), total)


def _heat(sources: Sources, item: Item, region: str) -> Heat:
    """How the metric's values lay in each step of the time of the sources."""
    windows = sources.steps(HEAT_POINTS)
    rules = rules_on(sources, item.query)
    worst = min(rules, key=lambda rule: rule.severity.rank, default=None)
    limit = limit_of(worst.threshold) if worst else None
    select = item.query.select
    fixed = tuple(sorted({*select.labels, *(((REGION, region),) if region else ())}))
    key = ("heat", select.metric, fixed, limit.value if limit else None)

    def shares(minutes: Sequence[Cells]) -> dict[Labels, float]:
        return _shares(minutes, select.metric, fixed, limit.value if limit else None)

    found = [sources.computed(key, window, shares) for window in windows]
    over = tuple(step.get(_BEYOND) for step in found) if limit else ()
    steps = [{int(labels[0][1]): share for labels, share in step.items() if labels != _BEYOND} for step in found]
    low, bins = _range_of(steps)
    return Heat(
        start=from_minute(windows[0].end - windows[0].seconds),
        step_seconds=windows[0].seconds,
        low=10 ** (low / _PER_DECADE),
        ratio=10 ** (1 / _PER_DECADE),
        shares=tuple(tuple(step.get(place, 0.0) for place in range(low, low + bins)) for step in steps),
        limit=limit,
        over=over,
    )


def _shares(minutes: Sequence[Cells], metric: str, fixed: Labels, limit: float | None) -> dict[Labels, float]:
    """The share of the observations in each bin, and beyond the limit; empty without any."""
    some = merge([_rows_of(cells, metric, fixed) for cells in minutes])
    counts = some.bin_count.astype(np.float64)
    if not counts.sum():
        return {}
    values = values_of(some.bin_key, np.repeat(some.scale, np.diff(some.bin_start)))
    share = counts / counts.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        bins = np.floor(np.log10(values) * _PER_DECADE)
    places = np.where(np.isfinite(bins), bins, np.inf).astype(np.float64)
    finite = np.isfinite(places)
    lowest = places[finite].min() if finite.any() else 0.0
    found: dict[Labels, float] = {}
    for place, part in zip(np.where(finite, places, lowest).tolist(), share.tolist(), strict=True):
        found[_bin(int(place))] = found.get(_bin(int(place)), 0.0) + part
    if limit is not None:
        found[_BEYOND] = float(share[values > limit].sum())
    return found


def _rows_of(cells: Cells, metric: str, fixed: Labels) -> Cells:
    rows = [row for row, name in enumerate(cells.series) if name.metric == metric and name.matches(fixed)]
    return cells.take(np.array(rows, np.int64))


def _bin(place: int) -> Labels:
    return (("bin", str(place)),)


def _range_of(steps: Sequence[Mapping[int, float]]) -> tuple[int, int]:
    """The lowest bin that occurs and how many there are up to the highest, at most ``_MOST_BINS``: the highest."""
    places = {place for step in steps for place in step}
    if not places:
        return 0, 0
    low = max(min(places), max(places) - _MOST_BINS + 1)
    return low, max(places) - low + 1


def _on_one_grid(panel: Multiples) -> Multiples:
    """The same with distributions of the same bins: those of all charts."""
    heats = [small.heat for small in panel.charts if small.heat and small.heat.shares and small.heat.shares[0]]
    if not heats:
        return panel
    ratio = heats[0].ratio
    lows = [round(math.log(heat.low, ratio)) for heat in heats]
    high = max(low + len(heat.shares[0]) for low, heat in zip(lows, heats, strict=True))
    first = max(min(lows), high - _MOST_BINS)
    charts = [replace(one, heat=_placed(one.heat, first, high - first)) if one.heat else one for one in panel.charts]
    return replace(panel, note="share of requests, log scale", charts=tuple(charts))


def _placed(heat: Heat, first: int, count: int) -> Heat:
    """The same with ``count`` bins from the ``first`` one on; what lies below is left out."""
    own = round(math.log(heat.low, heat.ratio)) if heat.shares and heat.shares[0] else first
    before, cut = (0.0,) * max(0, own - first), max(0, first - own)
    shares = ((*before, *step[cut:]) for step in heat.shares)
    padded = tuple((*step, *(0.0,) * (count - len(step))) for step in shares)
    return replace(heat, low=heat.ratio**first, shares=padded)
