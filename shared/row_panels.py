"""Panels of rows: the groups of some queries side by side, and what was unusual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo

from .anomalies import MOST_SIGMAS, SIGMAS, Anomaly, Usual, find, usual
from .configuration.models import Panel
from .frame import is_stale
from .items import Item, items_of, judges, name_of, newest, rules_on
from .line_charts import distinct_groups, firing_spans
from .panels import KEPT_LINES, KEPT_ROWS, Cell, Row, Status, Table
from .render import numbers
from .render.status import rank
from .rules import AlertRule, Query
from .series import Labels
from .sources import (
    CHART_POINTS,
    SPARK_POINTS,
    WINDOW_SECONDS,
    Sources,
    Steps,
    limit_of,
    or_beyond,
    scope_text,
    status_of,
    worst_alert,
)
from .timeline import from_minute

_OVER_A_LIMIT = 1.6
"""A bar has room for this many times the limit."""


@dataclass(frozen=True, slots=True)
class _Column:
    """An item with its values, and what judges them."""

    item: Item
    values: Mapping[Labels, float]
    rule: AlertRule | None
    judged: Sequence[AlertRule]

    @classmethod
    def of(cls, sources: Sources, item: Item) -> _Column:
        rules = rules_on(sources, item.query)
        rule = min(rules, key=lambda one: one.severity.rank, default=None)
        seconds = rule.evaluation_window if rule else WINDOW_SECONDS
        judging = [one for one in rules if judges(sources, one, item.query)]
        return cls(item, newest(sources, item.query, seconds), rule, judging)

    @property
    def low_is_bad(self) -> bool:
        return self.rule is not None and self.rule.threshold.operator.value.startswith("<")

    @property
    def full_length(self) -> float | None:
        """A bar's full length; None where none can be drawn."""
        limit = self.rule.threshold.value * _OVER_A_LIMIT if self.rule else 0.0
        top = max([*self.values.values(), limit], default=0.0)
        if self.item.unit == "%" and top > 50:
            top = 100.0
        return top if top > 0 and min(self.values.values(), default=0.0) >= 0 else None


def table_panel(sources: Sources, panel: Panel, panel_id: str) -> Table:
    """A row for each group and a column for each item; of a single item a row for each group, and its share."""
    items = items_of(sources, panel)
    columns = [_Column.of(sources, item) for item in items]
    if not columns:
        return Table(panel_id, panel.title, "", (), empty="Nothing here is of this region.")
    groups = {labels for column in columns for labels in column.values}
    ordered = sorted(groups, key=lambda labels: _badness(columns[0], labels))
    rows = [_row(sources, columns, labels) for labels in ordered[:KEPT_ROWS]]
    head = ", ".join(columns[0].item.query.group_by).capitalize()
    return Table(panel_id, panel.title, head, tuple(rows), _when(sources, columns), _nothing(items), len(groups))


def bars_panel(sources: Sources, panel: Panel, panel_id: str) -> Table:
    """The newest value of each group of each item, one below the other."""
    items = items_of(sources, panel)
    columns = [_Column.of(sources, item) for item in items]
    bars = [(column, labels) for column in columns for labels in column.values]
    bars.sort(key=lambda bar: _badness(bar[0], bar[1]))
    top = max((length for column in columns if (length := column.full_length)), default=None)
    rows = [
        Row(
            name_of(column.item, labels, len(items)),
            Status.OK,
            (
                _cell(sources, column, labels, top, _newest_word(sources).capitalize()),
                _trend(sources, column.item, labels),
            ),
        )
        for column, labels in bars[:KEPT_ROWS]
    ]
    head = ", ".join(_named_by(items[0].query)).capitalize() if items else ""
    rows = [Row(row.name, row.cells[0].over, row.cells) for row in rows]
    return Table(panel_id, panel.title, head, tuple(rows), _when(sources, columns), _nothing(items), len(bars))


def _named_by(query: Query) -> Sequence[str]:
    """The labels that tell its bars from others': those it groups by, or else those that it selects by."""
    return list(query.group_by) or [key for key, _ in query.select.labels]


def anomalies_panel(sources: Sources, panel: Panel, panel_id: str, zone: tzinfo = UTC) -> Table:
    """What was unusual of the items' series in the panel's time, the farthest first."""
    items = items_of(sources, panel)
    found: list[tuple[float, Row]] = []
    for item in items:
        steps = sources.over(item.query, CHART_POINTS)
        for labels in sorted(distinct_groups(steps.values))[:KEPT_LINES]:
            found += _anomalies(sources, item, labels, steps, len(items), zone)
    worst = [row for _, row in sorted(found, key=lambda pair: (-pair[0], pair[1].name))]
    hours = numbers.span(sources.end - sources.start)
    empty = f"Nothing was beyond {SIGMAS:g} σ of the usual in {hours}."
    note = f"beyond {SIGMAS:g} σ of the usual, {hours}"
    return Table(panel_id, panel.title, "Series", tuple(worst[:KEPT_ROWS]), note, empty, len(worst), wide=True)


def _anomalies(
    sources: Sources, item: Item, labels: Labels, steps: Steps, among: int, zone: tzinfo
) -> list[tuple[float, Row]]:
    values = _without_beginnings([point.get(labels) for point in steps.values])
    usually = usual(values)
    if usually is None:
        return []
    name = name_of(item, labels, among)
    unusual = find(values, usually)
    worst = max(unusual, key=lambda one: abs(one.sigmas), default=None)
    if worst is None:
        return []
    return [(abs(worst.sigmas), _anomaly_row(sources, item, labels, name, steps, usually, worst, len(unusual), zone))]


def _without_beginnings(values: Sequence[float | None]) -> list[float | None]:
    """The values without those of steps in which data began: a part of a step is no measure of the whole."""
    before = [values[0] if values else None, *values]
    return [None if was is None else value for was, value in zip(before, values, strict=False)]


def _anomaly_row(
    sources: Sources,
    item: Item,
    labels: Labels,
    name: str,
    steps: Steps,
    usually: Usual,
    one: Anomaly,
    times: int,
    zone: tzinfo,
) -> Row:
    start = from_minute(steps.start + one.first * steps.seconds)
    end = from_minute(min(steps.start + (one.last + 1) * steps.seconds, sources.end))
    rules = rules_on(sources, item.query)
    where = tuple(sorted({*labels, *item.query.select.labels}))
    spans = firing_spans(sources, rules, where) if rules else ()
    told = next((span for span in spans if span.start <= end and (span.end or end) >= start), None)
    again = f", {times} times" if times > 1 else ""
    low, high = (numbers.short(value, item.unit)[0] for value in usually.band)
    return Row(
        f"{name}, {_what(item)}" if rules and name != _what(item) else name,
        Status.of(told.severity) if told else Status.OK,
        (
            Cell("since", "Since", None, "", note=f"{numbers.moment(start, zone, sources.now)}{again}"),
            Cell("value", "Farthest", one.peak, item.unit, over=Status.of(told.severity) if told else Status.OK),
            Cell("usual", "Usual", None, "", note=f"{low} to {high}"),
            _deviation(abs(one.sigmas)),
            Cell("told", "Told as", None, "", note=_told(sources, rules, told is not None)),
        ),
    )


def _deviation(sigmas: float) -> Cell:
    """How far out it was; of what is farther than is told no number."""
    most = f"> {MOST_SIGMAS:g}" if sigmas >= MOST_SIGMAS else ""
    return Cell("sigmas", "Deviation", None if most else sigmas, "σ", maximum=MOST_SIGMAS, note=most)


def _what(item: Item) -> str:
    return item.query.aggregation.value.upper() if item.query.aggregation.quantile else item.name


def _told(sources: Sources, rules: Sequence[AlertRule], fired: bool) -> str:
    if not fired:
        return "no alert"
    rule = sources.config.find_rule(min(rules, key=lambda one: one.severity.rank).id)
    return rule.name.replace(" - ", ", ") if rule else "an alert"


def _row(sources: Sources, columns: Sequence[_Column], labels: Labels) -> Row:
    first = columns[0]
    cells = [_cell(sources, first, labels, first.full_length)]
    cells += [_cell(sources, column, labels, None) for column in columns[1:]]
    if len(columns) == 1:
        total = sum(first.values.values())
        part = 100 * first.values.get(labels, 0.0) / total if total > 0 else None
        cells.append(Cell("share", "Share", part, "%"))
    cells.append(_trend(sources, first.item, labels))
    status = min((cell.over for cell in cells), key=rank)
    return Row(scope_text(labels, first.item.query.group_by), status, tuple(cells))


def _cell(sources: Sources, column: _Column, labels: Labels, full_length: float | None, title: str = "") -> Cell:
    value = column.values.get(labels)
    alert = worst_alert(a for rule in column.judged if (a := sources.alert(rule, labels)))
    limit = limit_of(column.rule.threshold) if column.rule else None
    return Cell(
        id=column.item.id,
        title=title or column.item.name,
        value=value,
        unit=column.item.unit,
        limit=limit,
        maximum=full_length,
        over=or_beyond(status_of(alert, value, seen=True, stale=False), value, limit),
    )


def _trend(sources: Sources, item: Item, labels: Labels) -> Cell:
    steps = sources.over(item.query, SPARK_POINTS)
    return Cell(
        f"{item.id}-trend", _range_title(sources), None, item.unit,
        spark=tuple(point.get(labels) for point in steps.values),
        spark_step_seconds=steps.seconds, spark_end=from_minute(sources.end),
    )  # fmt: skip


def _range_title(sources: Sources) -> str:
    span = numbers.span(sources.end - sources.start)
    return span if sources.until else f"Last {span}"


def _badness(column: _Column, labels: Labels) -> tuple[bool, float, Labels]:
    value = column.values.get(labels)
    return value is None, 0.0 if value is None else value if column.low_is_bad else -value, labels


def _when(sources: Sources, columns: Sequence[_Column]) -> str:
    """Over which time the values are: what is added up has the panel's, everything else is of now."""
    summed = any(c.item.query.per is None and c.item.query.aggregation.value in ("sum", "count") for c in columns)
    if summed:
        span = numbers.span(sources.end - sources.start)
        return span if sources.until else f"last {span}"
    return _newest_word(sources)


def _newest_word(sources: Sources) -> str:
    return "then" if sources.until else "last" if is_stale(sources) else "now"


def _nothing(items: Sequence[Item]) -> str:
    metric = items[0].query.select.metric if items else ""
    return f"Nothing received. Publish {metric} to see it." if metric else "Nothing received."
