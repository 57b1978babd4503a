"""How a board's panels stand on an HTML page: which beside which, and what each needs to be drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from itertools import groupby
from typing import Any

from ..panels import Board, Cell, LineChart, Multiples, Page, Panel, Row, Status, Strips, Table
from . import charts, grids, numbers, svg

SHOWN_STRIPS = 10
_WHOLE = " whole"


@dataclass(frozen=True, slots=True)
class Block:
    """One panel, or several that are drawn as one; ``wide`` is what its class has where it is as wide as the page."""

    kind: str
    panel: Any = None
    drawing: Any = None
    span: str = ""
    number: int = 0
    wide: str = ""
    more: str = ""


@dataclass(frozen=True, slots=True)
class DrawnSmall:
    """A chart of several side by side."""

    name: str
    status: Status
    drawing: charts.Drawing
    heat: grids.DrawnHeat | None


@dataclass(frozen=True, slots=True)
class DrawnRow:
    """Charts of one question side by side; ``more`` says how many regions are left out."""

    title: str
    unit: str
    note: str
    cells: tuple[DrawnSmall, ...]
    more: str


@dataclass(frozen=True, slots=True)
class DrawnTable:
    """A table as it is shown. ``loud``: a row has another status than ok, and so all have a glyph."""

    title: str
    head: str
    note: str
    empty: str
    rows: tuple[Row, ...]
    more: str
    loud: bool


def blocks(page: Board, zone: tzinfo) -> list[Block]:
    """The panels of a page in its order, and the alerts; two stand beside each other, a single one is wide."""
    alerts = [Block("alerts")] if page.has_alerts or page.alerts else []
    drawn = [*_drawn(page, zone)]
    return _paired([*alerts, *drawn] if page.alerts_first else [*drawn, *alerts])


def range_words(start: datetime, end: datetime, page: Page, zone: tzinfo) -> str:
    """A range shown: ``last 3 h``, or the instants of a past one."""
    if page.until is None:
        return f"last {numbers.span((end - start).total_seconds())}"
    return numbers.stretch(start, page.until, zone, page.now)


def trend(cell: Cell) -> str:
    """The path of a cell's spark, from 0."""
    values = svg.thin(cell.spark, _TREND_POINTS, svg.mean)
    return svg.path(values, svg.scale_for(svg.known(values), cell.unit))


_TREND_POINTS = 48


def _drawn(page: Board, zone: tzinfo) -> Iterator[Block]:
    number = 0
    for kind, group in groupby(page.panels, key=_kind):
        panels = list(group)
        if kind == "multiples":
            yield _multiples([panel for panel in panels if isinstance(panel, Multiples)], page, zone)
        for panel in panels:
            if not isinstance(panel, Multiples):
                number += 1
                yield _block(panel, page, zone, number)


def _kind(panel: Panel) -> str:
    return {LineChart: "chart", Multiples: "multiples", Table: "table", Strips: "strips"}[type(panel)]


def _block(panel: LineChart | Table | Strips, page: Board, zone: tzinfo, number: int) -> Block:
    if isinstance(panel, LineChart):
        longer = _is_longer(panel, page)
        span = _whole_hours(panel.start, panel.end, page, zone) if longer else _page_span(page, zone)
        return Block("chart", panel, charts.draw_chart(panel, zone), span, number)
    if isinstance(panel, Strips):
        shown = panel.strips[:SHOWN_STRIPS]
        span = _whole_hours(panel.start, panel.end, page, zone)
        few = Strips(panel.id, panel.title, panel.start, panel.end, panel.step_seconds, shown, panel.words)
        left_out = numbers.more(max(panel.total, len(panel.strips)), len(shown))
        return Block("strips", panel, grids.draw_strips(few, zone), span, wide=_WHOLE, more=left_out)
    return Block("table", _table(panel), wide=_WHOLE if panel.wide else "")


def _table(panel: Table) -> DrawnTable:
    rows = panel.rows[: panel.most]
    total = max(panel.total, len(panel.rows))
    loud = any(row.status is not Status.OK for row in rows)
    return DrawnTable(
        panel.title, panel.head, panel.note, panel.empty, rows, numbers.more(total, len(rows)), loud
    )  # fmt: skip


def _multiples(panels: Sequence[Multiples], page: Board, zone: tzinfo) -> Block:
    rows = []
    for panel in panels:
        cells = tuple(
            DrawnSmall(
                one.name,
                one.status,
                _small(one.chart, zone),
                grids.draw_heat(one.heat, one.name or panel.title, panel.unit) if one.heat else None,
            )
            for one in panel.charts
        )
        rows.append(DrawnRow(panel.title, panel.unit, panel.note, cells, numbers.more(panel.total, len(cells))))
    return Block("multiples", rows, span=_page_span(page, zone), wide=_WHOLE)


def _small(chart: LineChart, zone: tzinfo) -> charts.Drawing:
    """A drawing with less room for words: flags and spans have none, and a single line no name."""
    drawing = charts.draw_chart(chart, zone, with_table=False)
    lines = drawing.lines if len(drawing.lines) != 1 else (replace(drawing.lines[0], name=""),)
    marks = tuple(replace(mark, label="") for mark in drawing.marks)
    return replace(drawing, lines=lines, marks=marks, spans=tuple(replace(span, label="") for span in drawing.spans))


def _page_span(page: Board, zone: tzinfo) -> str:
    return range_words(page.start, page.end, page, zone)


def _is_longer(chart: LineChart, page: Board) -> bool:
    return (page.start - chart.start).total_seconds() > 2 * chart.step_seconds


def _whole_hours(start: datetime, end: datetime, page: Board, zone: tzinfo) -> str:
    """A range whose first step begins at a whole multiple: shown in whole hours."""
    if page.until is not None:
        return range_words(start, end, page, zone)
    return f"last {numbers.span(round((end - start).total_seconds() / 3600) * 3600 or (end - start).total_seconds())}"


def _paired(found: Sequence[Block]) -> list[Block]:
    paired: list[Block] = []
    alone: int | None = None
    for block in found:
        if block.wide:
            _widen(paired, alone)
            alone = None
        else:
            alone = len(paired) if alone is None else None
        paired.append(block)
    _widen(paired, alone)
    return paired


def _widen(paired: list[Block], place: int | None) -> None:
    if place is not None:
        one = paired[place]
        paired[place] = replace(one, wide=_WHOLE)
