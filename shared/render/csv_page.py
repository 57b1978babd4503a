"""The series of a dashboard as CSV (RFC 4180): one value a line, oldest first, gaps as empty values.

The columns are ``time`` (RFC 3339, the end of the step), ``panel``, ``series``, ``unit`` and ``value``. Spreadsheets
make formulas of text that begins with certain signs; such text is given an apostrophe first, so that it stays text.
A number is written as a number.

A page about the monitoring itself has its tables, too: a cell a line, of now, and text as the value.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from ..panels import Board, LineChart, Multiples, Overview, Shown, Signal, Table
from ..timeline import iso
from .plain import clean

HEADS = ("time", "panel", "series", "unit", "value")
_FORMULA = tuple("=+-@|%\t\r")
"""What a spreadsheet takes for the beginning of a formula or a command, after spaces too."""

_Record = tuple[str, str, str, str, str]


def render_csv(page: Shown) -> str:
    """All series of a page: the signals' sparks, then the charts' lines."""
    return _written(_records(page))


def chart_csv(chart: LineChart) -> str:
    """The series of one chart."""
    return _written(_chart(chart, chart.title))


def inert(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    text = clean(text)
    return f"'{text}" if text.lstrip(" '\"").startswith(_FORMULA) else text


def _written(records: Iterable[_Record]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(HEADS)
    writer.writerows(records)
    return out.getvalue()


def _records(page: Shown) -> Iterator[_Record]:
    for signal in page.signals:
        yield from _signal(signal)
    if isinstance(page, Overview):
        for chart in page.charts:
            yield from _chart(chart, chart.title)
    if isinstance(page, Board):
        for panel in page.panels:
            if isinstance(panel, LineChart):
                yield from _chart(panel, panel.title)
            elif isinstance(panel, Multiples):
                for small in panel.charts:
                    yield from _chart(small.chart, small.chart.title)
            elif isinstance(panel, Table) and page.has_own:
                yield from _table(panel, page.now)


def _table(table: Table, now: datetime) -> Iterator[_Record]:
    for row in table.rows:
        for cell in row.cells:
            value = inert(cell.note) if cell.value is None else _number(cell.value)
            yield iso(now), inert(table.title), inert(f"{row.name}, {cell.title}"), inert(cell.unit), value


def _signal(signal: Signal) -> Iterator[_Record]:
    if signal.as_of is None:
        return
    name = f"{signal.name}, {signal.scope}" if signal.scope else signal.name
    step = timedelta(seconds=signal.spark_step_seconds)
    last = len(signal.spark) - 1
    times = [signal.as_of - (last - index) * step for index in range(len(signal.spark))]
    yield from _series(times, signal.section.capitalize(), name, signal.unit, signal.spark)


def _chart(chart: LineChart, panel: str) -> Iterator[_Record]:
    for line in chart.lines:
        times = [chart.instant(index) for index in range(len(line.values))]
        yield from _series(times, panel, line.name, chart.unit, line.values)
        if line.usual:
            lows, highs = zip(*line.usual, strict=True)
            yield from _series(times, panel, f"{line.name}, usual low", chart.unit, lows)
            yield from _series(times, panel, f"{line.name}, usual high", chart.unit, highs)


def _series(
    times: Sequence[datetime], panel: str, name: str, unit: str, values: Sequence[float | None]
) -> Iterator[_Record]:
    for at, value in zip(times, values, strict=True):
        yield iso(at), inert(panel), inert(name), inert(unit), _number(value)


def _number(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.9g}"
