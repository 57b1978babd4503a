"""A board's panels for a terminal: a row for each line, group and strip, at most 100 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, tzinfo

from ..panels import SHOWN_LINES, SHOWN_ROWS, Board, Cell, Line, LineChart, Multiples, Page, Panel, Row, Strips, Table
from . import numbers, svg
from .caption import Caption
from .pen import Pen
from .plain import clean, columns, cut, left, right, value_text

WIDTH = 100
_NAME = 30
_NUMBER = 11
_SPARK = 24
_STRIP = 48
_CELL = 14
_TREND = 16


def panel_lines(page: Board, pen: Pen) -> Iterator[str]:
    """All panels, each with its title and an empty line behind it."""
    for panel in page.panels:
        yield from _panel(panel, page, pen)
        yield ""


def chart_text(chart: LineChart, caption: Caption, zone: tzinfo) -> str:
    """One chart for a terminal: whose it is, how old its data is, and a row for each line."""
    title = cut(clean(f"{caption.service} {caption.environment}").upper(), WIDTH)
    newest = "then" if caption.until else "last" if caption.stale else "now"
    lines = [title, f"Updated: {caption.now.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC   {caption.age(zone)}", ""]
    return "\n".join(line.rstrip() for line in (*lines, *_chart(chart, newest, Pen()))) + "\n"


def _panel(panel: Panel, page: Page, pen: Pen) -> Iterator[str]:
    if isinstance(panel, LineChart):
        return _chart(panel, page.newest_word, pen)
    if isinstance(panel, Multiples):
        return _multiples(panel, page, pen)
    if isinstance(panel, Strips):
        return _strips(panel, page, pen)
    return _table(panel, pen)


def _heads(title: str, newest: str, span: str, pen: Pen) -> Iterator[str]:
    """The title, and above the columns what they are; a title that has no room beside them stands above."""
    heads = "".join(right(head, _NUMBER) for head in (newest, "least", "greatest"))
    name = cut(clean(title), WIDTH)
    if columns(name) > _NAME + 3:
        yield pen.paint("1", name)
        name = ""
    yield pen.paint("1", left(name, _NAME + 4)) + pen.paint("2", heads) + f"   {pen.paint('2', span)}"


def _chart(panel: LineChart, newest: str, pen: Pen) -> Iterator[str]:
    span = numbers.span(round((panel.end - panel.start).total_seconds() / 3600) * 3600)
    yield from _heads(panel.title.upper(), newest, span, pen)
    if not panel.lines:
        yield pen.paint("2", "    nothing received")
    for line in panel.lines[:SHOWN_LINES]:
        yield _line(line, line.name, panel, pen)
    if panel.live_to is not None:
        yield pen.paint("2", cut(f"    {clean(so_far(panel))}", WIDTH))
    yield from _more(max(panel.lines_total, len(panel.lines)), min(len(panel.lines), SHOWN_LINES), pen)


def so_far(chart: LineChart) -> str:
    """The values of the minute that is not over, in one line; empty for none. Times are UTC."""
    if chart.live_to is None:
        return ""
    named = [(value_text(line.name), line.live) for line in chart.lines[:SHOWN_LINES]]
    told = [f"{name} {numbers.terminal_number(value, chart.unit)}" for name, value in named if value is not None]
    return f"{chart.live_to.astimezone(UTC):%H:%M} so far: {', '.join(told)}"


def _line(line: Line, name: str, chart: LineChart, pen: Pen) -> str:
    known = svg.known(line.values)
    ends = (line.values[-1] if line.values else None, min(known, default=None), max(known, default=None))
    limit = chart.limits[0] if chart.limits else None
    told = "".join(right(clean(numbers.terminal_number(one, chart.unit, limit)), _NUMBER) for one in ends)
    spark = pen.spark(line.values, chart.unit, _SPARK, max)
    return f"{pen.lead(line.status)}{left(clean(value_text(name)), _NAME)}{told}   {spark}"


def _multiples(panel: Multiples, page: Page, pen: Pen) -> Iterator[str]:
    span = numbers.span((page.end - page.start).total_seconds())
    yield from _heads(panel.title.upper(), page.newest_word, span, pen)
    for small in panel.charts:
        if small.heat is not None:
            yield _heat_line(small.name or panel.title, small.heat.over, small.heat.limit is not None, pen)
            continue
        for line in small.chart.lines:
            yield _line(line, f"{small.name} {line.name}".strip(), small.chart, pen)
        if small.chart.live_to is not None:
            yield pen.paint("2", cut(f"    {clean(value_text(small.name))} {clean(so_far(small.chart))}", WIDTH))
    yield from _more(max(panel.total, len(panel.charts)), len(panel.charts), pen)


def _heat_line(name: str, over: Sequence[float | None], judged: bool, pen: Pen) -> str:
    """The share beyond the limit: now, least, greatest, and as a spark."""
    if not judged:
        return f"{pen.lead(None)}{left(clean(value_text(name)), _NAME)} no limit"
    shares = [None if share is None else 100 * share for share in over]
    known = svg.known(shares)
    ends = (shares[-1] if shares else None, min(known, default=None), max(known, default=None))
    told = "".join(right(numbers.terminal_number(one, "%"), _NUMBER) for one in ends)
    named = left(f"{cut(clean(value_text(name)), _NAME - 11)} over limit", _NAME)
    return f"{pen.lead(None)}{named}{told}   {pen.spark(shares, '%', _SPARK, max)}"


def _table(panel: Table, pen: Pen) -> Iterator[str]:
    shown = panel.rows[:SHOWN_ROWS]
    note = f"  {clean(panel.note)}" if panel.note else ""
    yield pen.paint("1", cut(clean(panel.title.upper()), 60)) + pen.paint("2", cut(note, 38))
    if not shown:
        yield pen.paint("2", cut(f"    {clean(panel.empty)}", WIDTH))
        return
    widths = _widths(shown)
    name_width = WIDTH - 4 - sum(widths)
    heads = "".join(_head(cell, width) for cell, width in zip(shown[0].cells, widths, strict=False))
    yield pen.paint("2", left(f"    {clean(panel.head)}", 4 + name_width) + heads)
    for row in shown:
        cells = "".join(_cell(cell, width, pen) for cell, width in zip(row.cells, widths, strict=False))
        yield f"{pen.lead(row.status)}{left(clean(value_text(row.name)), name_width)}{cells}"
    yield from _more(max(panel.total, len(panel.rows)), len(shown), pen)


def _widths(rows: Sequence[Row]) -> list[int]:
    """The columns' widths; the last ones are left out where they do not fit beside a name."""
    widths = []
    for index, cell in enumerate(rows[0].cells):
        if any(row.cells[index].spark for row in rows if index < len(row.cells)):
            widths.append(_TREND + 2)
            continue
        longest = max(columns(_words(row.cells[index])) for row in rows if index < len(row.cells))
        widths.append(min(26, max(longest, columns(_title(cell)))) + 2)
    while sum(widths) > WIDTH - 4 - _CELL:
        widths.pop()
    return widths


def _title(cell: Cell) -> str:
    return clean(cell.title if cell.spark else numbers.heading(cell.title, cell.unit))


def _head(cell: Cell, width: int) -> str:
    return f"  {left(_title(cell), width - 2)}" if cell.spark else right(_title(cell), width)


def _words(cell: Cell) -> str:
    if cell.value is None and cell.note:
        return clean(cell.note)
    return clean(" ".join(numbers.short(cell.value, cell.unit, cell.limit)).strip()).replace(numbers.NARROW, " ")


def _cell(cell: Cell, width: int, pen: Pen) -> str:
    if cell.spark:
        return f"  {pen.spark(cell.spark, cell.unit, width - 2, svg.mean)}"
    return right(cut(_words(cell), width - 1), width)


def _strips(panel: Strips, page: Page, pen: Pen) -> Iterator[str]:
    span = numbers.span(round((panel.end - panel.start).total_seconds() / 3600) * 3600)
    words = ", ".join(f"{pen.states([status], 1)} {clean(word)}" for status, word in panel.words)
    last = span if page.until else f"last {span}"
    yield pen.paint("1", cut(clean(panel.title.upper()), 40)) + pen.paint("2", cut(f"  {last}  {words}", 58))
    for strip in panel.strips[:SHOWN_ROWS]:
        value = clean(numbers.terminal_number(strip.value, strip.unit, strip.limit))
        name = left(clean(value_text(strip.name)), _NAME)
        yield f"{pen.lead(strip.status)}{name}{right(value, _NUMBER)}   {pen.states(strip.states, _STRIP)}".rstrip()
        if strip.note:
            yield pen.paint("2", cut(f"    {clean(strip.note)}", WIDTH))
    yield from _more(max(panel.total, len(panel.strips)), min(len(panel.strips), SHOWN_ROWS), pen)


def _more(total: int, shown: int, pen: Pen) -> Iterator[str]:
    left_out = numbers.more(total, shown).replace(numbers.NARROW, " ")
    if left_out:
        yield pen.paint("2", f"    {left_out}")
