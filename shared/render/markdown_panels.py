"""A board's panels in Markdown: one table each, the numbers that a person is shown."""

from __future__ import annotations

from collections.abc import Iterator

from ..panels import SHOWN_LINES, SHOWN_ROWS, Board, Cell, Line, LineChart, Multiples, Page, Panel, Strips, Table
from . import numbers, svg
from .markdown_parts import escape, heads, more, number, row
from .plain import value_text
from .status import GLYPHS, WORDS
from .text_panels import so_far


def panels(page: Board) -> Iterator[str]:
    """All panels, each with a heading."""
    for panel in page.panels:
        yield f"## {escape(panel.title)}"
        yield ""
        yield from _panel(panel, page)


def _panel(panel: Panel, page: Page) -> Iterator[str]:
    if isinstance(panel, LineChart):
        return _chart(panel, page)
    if isinstance(panel, Multiples):
        return _multiples(panel, page)
    if isinstance(panel, Strips):
        return _strips(panel)
    return _table(panel)


def _lines_heads(page: Page) -> Iterator[str]:
    return heads("Series", "Status", f"{page.newest_word.capitalize()}:", "Least:", "Greatest:")


def _chart(panel: LineChart, page: Page) -> Iterator[str]:
    if not panel.lines:
        yield from ("Nothing received.", "")
        return
    yield from _lines_heads(page)
    for line in panel.lines[:SHOWN_LINES]:
        yield _line(line, line.name, panel)
    yield from more(max(panel.lines_total, len(panel.lines)), min(len(panel.lines), SHOWN_LINES))
    if panel.live_to is not None:
        yield from (escape(so_far(panel)), "")


def _line(line: Line, name: str, chart: LineChart) -> str:
    known = svg.known(line.values)
    ends = (line.values[-1] if line.values else None, min(known, default=None), max(known, default=None))
    limit = chart.limits[0] if chart.limits else None
    status = f"{GLYPHS[line.status]} {WORDS[line.status]}"
    return row(escape(value_text(name)), status, *(number(one, chart.unit, limit) for one in ends))


def _multiples(panel: Multiples, page: Page) -> Iterator[str]:
    yield from _lines_heads(page)
    for small in panel.charts:
        status = f"{GLYPHS[small.status]} {WORDS[small.status]}"
        if small.heat is None:
            for line in small.chart.lines:
                yield _line(line, f"{small.name} {line.name}".strip(), small.chart)
        else:
            shares = [None if share is None else 100 * share for share in small.heat.over]
            known = svg.known(shares)
            ends = (shares[-1] if shares else None, min(known, default=None), max(known, default=None))
            name = f"{value_text(small.name or panel.title)} over limit"
            yield row(escape(name), status, *(number(one, "%") for one in ends))
    yield from more(max(panel.total, len(panel.charts)), len(panel.charts))
    for small in panel.charts:
        if small.heat is None and small.chart.live_to is not None:
            yield from (escape(f"{value_text(small.name)} {so_far(small.chart)}"), "")


def _table(panel: Table) -> Iterator[str]:
    if not panel.rows:
        yield from (escape(panel.empty) or "Nothing.", "")
        return
    shown = panel.rows[:SHOWN_ROWS]
    columns = [index for index, cell in enumerate(shown[0].cells) if not cell.spark]
    titles = [shown[0].cells[index] for index in columns]
    names = (f"{escape(numbers.heading(cell.title, cell.unit))}:" for cell in titles)
    yield from heads(escape(panel.head) or "Name", "Status", *names)
    for one in shown:
        values = (_cell(one.cells[index]) for index in columns)
        yield row(escape(value_text(one.name)), f"{GLYPHS[one.status]} {WORDS[one.status]}", *values)
    yield from more(max(panel.total, len(panel.rows)), len(shown))


def _cell(cell: Cell) -> str:
    if cell.value is None and cell.note:
        return escape(cell.note)
    return number(cell.value, cell.unit, cell.limit)


def _strips(panel: Strips) -> Iterator[str]:
    yield from heads("What", "Status", "Value:", "Note")
    for strip in panel.strips[:SHOWN_ROWS]:
        status = f"{GLYPHS[strip.status]} {WORDS[strip.status]}"
        value = number(strip.value, strip.unit, strip.limit)
        yield row(escape(value_text(strip.name)), status, value, escape(strip.note))
    yield from more(max(panel.total, len(panel.strips)), min(len(panel.strips), SHOWN_ROWS))
