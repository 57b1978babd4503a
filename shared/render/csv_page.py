"""A dashboard as CSV (RFC 4180): one value a line, gaps as empty values; the series oldest first.

The columns are ``time`` (RFC 3339, the end of the step), ``panel``, ``series``, ``unit`` and ``value``. Spreadsheets
make formulas of text that begins with certain signs; such text is given an apostrophe first, so that it stays text.
A number is written as a number; what is a word on the page is a word, such as a status.

The first lines, of the panel ``Page``, say how old the data is and what the answer is, so that old values are never
taken for current ones. Then come the signals, each with its value, status and change before its series, and everything
else that the page shows, in its order. What a page shows of now has the time that it is about.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from ..panels import (
    AlertRow,
    Board,
    Heat,
    LineChart,
    Multiples,
    Overview,
    Page,
    Panel,
    Row,
    Shown,
    Signal,
    Small,
    Strips,
    Table,
)
from ..timeline import iso
from .caption import Caption
from .plain import clean

HEADS = ("time", "panel", "series", "unit", "value")
PAGE = "Page"
"""The panel of what the page says of itself."""
_FORMULA = tuple("=+-@|%\t\r")
"""What a spreadsheet takes for the beginning of a formula or a command, after spaces too."""

_Record = tuple[str, str, str, str, str]


def render_csv(page: Shown) -> str:
    """All that a page shows: its age and answer, the signals, the panels in their order, the alerts."""
    return _written(_records(page))


def chart_csv(chart: LineChart, caption: Caption) -> str:
    """The series of one chart, after how old its data is."""
    about = caption.until or caption.now
    age = None if caption.data_to is None else (about - caption.data_to).total_seconds()
    told = _data(about.replace(microsecond=0), age, caption.stale, caption.until is not None)
    return _written([*told, *_chart(chart, chart.title)])


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
    at = page.at.replace(microsecond=0)
    yield from _page(page, at)
    for signal in page.signals:
        yield from _signal(signal)
    if isinstance(page, Overview):
        yield from _overview(page, at)
    else:
        for panel in page.panels:
            yield from _panel(panel, at)
    title = page.alerts_title if isinstance(page, Board) else "Active alerts"
    for alert in page.alerts:
        yield from _alert(alert, title, at)


def _page(page: Page, at: datetime) -> Iterator[_Record]:
    yield from _data(at, page.age_seconds, page.stale, page.until is not None)
    yield _told(at, PAGE, "Status", "", page.headline.status.value)
    for sentence in (page.headline.sentence, page.headline.detail, *page.notes):
        if sentence:
            yield _told(at, PAGE, "Answer", "", inert(sentence))


def _data(at: datetime, age_seconds: float | None, stale: bool, past: bool) -> Iterator[_Record]:
    """Whether the data is current at the instant that is told of, and how old it is then."""
    state = "no data" if age_seconds is None else "stale" if stale else "past" if past else "current"
    yield _told(at, PAGE, "Data", "", state)
    yield _told(at, PAGE, "Age of the data", "s", _number(age_seconds))


def _signal(signal: Signal) -> Iterator[_Record]:
    if signal.as_of is None:
        return
    name = f"{signal.name}, {signal.scope}" if signal.scope else signal.name
    panel = signal.section.capitalize()
    yield _told(signal.as_of, panel, f"{name}, value", signal.unit, _number(signal.value))
    yield _told(signal.as_of, panel, f"{name}, status", "", signal.status.value)
    if signal.change is not None:
        yield _told(signal.as_of, panel, f"{name}, vs last week", signal.change_unit, _number(signal.change))
    times = _times(signal.as_of, signal.spark_step_seconds, len(signal.spark))
    yield from _series(times, panel, name, signal.unit, signal.spark)


def _overview(page: Overview, at: datetime) -> Iterator[_Record]:
    for chart in page.charts:
        yield from _chart(chart, chart.title)
    for row in page.regions:
        yield from _row(row, "Regions", at)
    for fact in page.facts:
        yield _told(at, "Business", fact.name, fact.unit, _number(fact.value))
        if fact.change is not None:
            yield _told(at, "Business", f"{fact.name}, vs last week", "%", _number(fact.change))
    for one in page.personas:
        yield _told(at, "Personas", f"{one.name}, share", "%", _number(100 * one.ratio))
        yield _told(at, "Personas", f"{one.name}, requests", "", _number(one.count))
        if one.change is not None:
            yield _told(at, "Personas", f"{one.name}, vs last week", "pt", _number(one.change))


def _panel(panel: Panel, at: datetime) -> Iterator[_Record]:
    if isinstance(panel, LineChart):
        yield from _chart(panel, panel.title)
    elif isinstance(panel, Multiples):
        for small in panel.charts:
            yield from _small(small)
    elif isinstance(panel, Strips):
        yield from _strips(panel)
    else:
        yield from _table(panel, at)


def _small(small: Small) -> Iterator[_Record]:
    yield from _chart(small.chart, small.chart.title)
    if small.heat is not None:
        yield from _heat(small.heat, small.chart)


def _chart(chart: LineChart, panel: str) -> Iterator[_Record]:
    for line in chart.lines:
        times = [chart.instant(index) for index in range(len(line.values))]
        yield from _series(times, panel, line.name, chart.unit, line.values)
        if line.live is not None and chart.live_to is not None:
            yield _told(chart.live_to, panel, f"{line.name}, so far", chart.unit, _number(line.live))
        if line.usual:
            lows, highs = zip(*line.usual, strict=True)
            yield from _series(times, panel, f"{line.name}, usual low", chart.unit, lows)
            yield from _series(times, panel, f"{line.name}, usual high", chart.unit, highs)


def _heat(heat: Heat, chart: LineChart) -> Iterator[_Record]:
    """The share of the observations in each bin that has some, and beyond the limit, step by step, in percent."""
    ends = [heat.start + timedelta(seconds=(index + 1) * heat.step_seconds) for index in range(len(heat.shares))]
    times = [min(end, chart.end) for end in ends]
    for place, shares in enumerate(zip(*heat.shares, strict=True)):
        low = heat.low * heat.ratio**place
        name = f"share from {low:.3g} to {low * heat.ratio:.3g} {chart.unit}"
        held = [(at, 100 * share) for at, share in zip(times, shares, strict=True) if share]
        yield from _series([at for at, _ in held], chart.title, name, "%", [share for _, share in held])
    if heat.limit is not None:
        over = [None if share is None else 100 * share for share in heat.over]
        yield from _series(times, chart.title, "share over limit", "%", over)


def _strips(panel: Strips) -> Iterator[_Record]:
    for strip in panel.strips:
        yield _told(panel.end, panel.title, strip.name, strip.unit, _number(strip.value))
        if strip.note:
            yield _told(panel.end, panel.title, f"{strip.name}, note", "", inert(strip.note))
        for at, state in zip(_times(panel.end, panel.step_seconds, len(strip.states)), strip.states, strict=True):
            yield _told(at, panel.title, f"{strip.name}, status", "", state.value)


def _table(table: Table, at: datetime) -> Iterator[_Record]:
    for row in table.rows:
        yield from _row(row, table.title, at)


def _row(row: Row, panel: str, at: datetime) -> Iterator[_Record]:
    for cell in row.cells:
        name = f"{row.name}, {cell.title}"
        if cell.spark:
            times = _times(cell.spark_end or at, cell.spark_step_seconds, len(cell.spark))
            yield from _series(times, panel, name, cell.unit, cell.spark)
        else:
            value = inert(cell.note) if cell.value is None else _number(cell.value)
            yield _told(at, panel, name, cell.unit, value)
    yield _told(at, panel, f"{row.name}, status", "", row.status.value)


def _alert(alert: AlertRow, title: str, at: datetime) -> Iterator[_Record]:
    name = f"{alert.rule}, {alert.scope}"
    yield _told(at, title, f"{name}, value", alert.unit, _number(alert.value))
    yield _told(at, title, f"{name}, status", "", alert.status.value)
    yield _told(at, title, f"{name}, since", "", iso(alert.since))
    if alert.note:
        yield _told(at, title, f"{name}, note", "", inert(alert.note))


def _times(end: datetime, step_seconds: int, count: int) -> list[datetime]:
    """The ends of so many steps of which the last ends at ``end``."""
    return [end - timedelta(seconds=(count - 1 - index) * step_seconds) for index in range(count)]


def _series(
    times: Sequence[datetime], panel: str, name: str, unit: str, values: Sequence[float | None]
) -> Iterator[_Record]:
    heads = inert(panel), inert(name), inert(unit)
    for at, value in zip(times, values, strict=True):
        yield iso(at), *heads, _number(value)


def _told(at: datetime, panel: str, name: str, unit: str, value: str) -> _Record:
    """One line; ``value`` is a number, or text that is inert."""
    return iso(at), inert(panel), inert(name), inert(unit), value


def _number(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.9g}"
