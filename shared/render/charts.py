"""Line charts and sparks as drawings: what each macro needs, placed and worded, nothing left to decide.

Labels never overlap: end labels and limit labels are at least `_LABEL_GAP` percent of the plot apart, which is a
line of text at the smallest height at which a chart is shown (140 px). A limit is grey until it is crossed.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo

from ..panels import SHOWN_LINES, Limit, Line, LineChart, Signal, Span, Status, Style
from ..rules import Severity
from . import numbers, svg
from .plain import clean, cut, value_text
from .status import LIMIT_WORDS

_LABEL_GAP = 10.5
_SPARK_POINTS = 120
_BAND_POINTS = 24
"""Of each edge: what is usual changes by the hour."""
_INKS = 3
_TABLE_ROWS = 12
_FEW_TICKS = 5
_LABEL_COLUMNS = 19
"""Of an end label's value and name, for which there is room beside the plot."""
_LONG_FROM = 1e5
_NEAR_AN_EDGE = 4.0
_SUBJECT_WIDTH = 2.25
_WIDTHS = {Style.SERIES: 1.4, Style.BELOW: 1.1, Style.MAIN: 2.0, Style.ABOVE: 1.1}
_SERIES_DASHES = ("2 3", "6 3", "none")
_DASHES = {Style.BELOW: "none", Style.MAIN: "none", Style.ABOVE: "2 2.5"}
_SPAN_LABEL_WIDTH = 14.0
_MARK_LABEL_WIDTH = 30.0
_CLOSE_MARKS = 8.0
"""Flags this near to each other have the label of the newest beside them all."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick at a place in percent; ``anchor`` keeps its label inside, ``minor`` ones give way where it is narrow."""

    at: float
    label: str
    anchor: str = "middle"
    minor: bool = False


@dataclass(frozen=True, slots=True)
class DrawnLine:
    """One line: path data, its end (percent) and the label beside it, apart from the others'."""

    name: str
    """Cut to what there is room for beside the plot."""
    ink: int
    subject: bool
    path: str
    points: str
    """The value of each point of the path as the table has it, with ``|`` between; no number at a gap."""
    value: str
    end_x: float
    end_y: float
    label_y: float
    hollow: bool
    width: float
    dash: str
    """``none``, or a pattern that tells the line from others without colour."""
    faint: bool
    live_y: float | None
    """Where its value of the minute that is not over is, at the right edge."""


@dataclass(frozen=True, slots=True)
class DrawnLimit:
    """A limit line; ``status`` is empty until it is crossed, ``label_y`` is where its words stand."""

    y: float
    label: str
    label_y: float
    status: str
    strong: bool


@dataclass(frozen=True, slots=True)
class DrawnSpan:
    """A stretch from ``x`` of ``width`` percent; ``label`` is empty where there is no room for it."""

    x: float
    width: float
    status: str
    pending: bool
    label: str
    label_x: float
    anchor: str


@dataclass(frozen=True, slots=True)
class DrawnMark:
    """A flag; ``label`` is empty where there is no room for it, else it stands at ``label_x``."""

    at: float
    label: str
    label_x: float
    anchor: str


@dataclass(frozen=True, slots=True)
class DrawnBand:
    """The range in which a line is normally: a closed path, and the line's name."""

    path: str
    name: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """A line chart, ready to draw; percent of the plot, y down. It covers (start, end], in Unix seconds."""

    start_seconds: int
    end_seconds: int
    steps: int
    """Points of each line."""
    y_ticks: tuple[Tick, ...]
    x_ticks: tuple[Tick, ...]
    lines: tuple[DrawnLine, ...]
    limits: tuple[DrawnLimit, ...]
    spans: tuple[DrawnSpan, ...]
    marks: tuple[DrawnMark, ...]
    usual: DrawnBand | None
    left_out: str
    """How many more lines there are; empty for none."""
    sentence: str
    names: tuple[str, ...]
    """The heads of the table's columns."""
    table: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Spark:
    """A spark: path data in 1000 x 1000, the last point, the limit and the usual range (y, height)."""

    path: str
    end_x: int
    end_y: int
    hollow: bool
    limit_y: int | None
    crossed: bool
    usual: tuple[int, int] | None


def draw_spark(signal: Signal) -> Spark | None:
    """The spark of a signal; None when no value was received in its time."""
    values = svg.thin(signal.spark, _SPARK_POINTS, svg.worst_for(signal))
    last = max((index for index, value in enumerate(values) if value is not None), default=None)
    if last is None:
        return None
    scale, end = svg.spark_scale(signal), values[last] or 0.0
    limit = signal.limit
    return Spark(
        path=svg.path(values, scale),
        end_x=round(svg.UNIT * last / max(1, len(values) - 1)),
        end_y=scale.y(end),
        hollow=values[-1] is None,
        limit_y=scale.y(limit.value) if limit else None,
        crossed=bool(limit and signal.value is not None and limit.operator.holds(signal.value, limit.value)),
        usual=_band(signal.usual, scale),
    )


def draw_chart(chart: LineChart, zone: tzinfo, *, with_table: bool = True) -> Drawing:
    """A line chart, its times in ``zone``; without any value it has axes and limits only.

    Of many lines it draws the first, which are the worst.
    """
    chart = replace(chart, lines=chart.lines[:SHOWN_LINES], lines_total=max(chart.lines_total, len(chart.lines)))
    end = chart.end
    everything = [value for line in chart.lines for value in svg.known([*line.values, line.live])]
    scale, ticks = _scale(chart, [*everything, *chart.holds, *(limit.value for limit in chart.limits)])
    return Drawing(
        start_seconds=round(chart.start.timestamp()),
        end_seconds=round(end.timestamp()),
        steps=min(svg.MOST_POINTS, max((len(line.values) for line in chart.lines), default=0)) or 1,
        y_ticks=tuple(
            Tick(scale.percent(tick), numbers.tick(tick), minor=len(ticks) > _FEW_TICKS and index % 2 == 1)
            for index, tick in enumerate(ticks)
        ),
        x_ticks=_time_ticks(chart, end, zone),
        lines=_lines(chart, scale),
        limits=_limits(chart, scale),
        spans=_spans(chart, end),
        marks=_marks(chart, end),
        usual=_usual(chart, scale),
        left_out=numbers.more(chart.lines_total, len(chart.lines)),
        sentence=_sentence(chart, zone),
        names=tuple(line.name for line in chart.lines),
        table=_table(chart, zone) if with_table else (),
    )


def _scale(chart: LineChart, values: Sequence[float]) -> tuple[svg.Scale, list[float]]:
    positive = [value for value in values if value > 0]
    return svg.log_ticks(min(positive), max(positive)) if chart.log and positive else svg.y_ticks(values, chart.unit)


def _time_ticks(chart: LineChart, end: datetime, zone: tzinfo) -> tuple[Tick, ...]:
    ticks = svg.x_ticks(chart.start, end, zone)
    drawn = []
    for index, (instant, label) in enumerate(ticks):
        at = svg.across(instant, chart.start, end)
        drawn.append(Tick(at, label, anchor_of(at), minor=index % 2 == 1))
    return tuple(drawn)


def anchor_of(at: float) -> str:
    """Which end of a label stands at a place in percent, so that it stays inside."""
    if at < _NEAR_AN_EDGE:
        return "start"
    return "end" if at > 100 - _NEAR_AN_EDGE else "middle"


def _marks(chart: LineChart, end: datetime) -> tuple[DrawnMark, ...]:
    """The flags, oldest first; one whose label would meet that of a newer one has none."""
    drawn: list[DrawnMark] = []
    marks = sorted(chart.marks, key=lambda mark: mark.at, reverse=True)
    places = [svg.across(mark.at, chart.start, end) for mark in marks]
    for index, (mark, at) in enumerate(zip(marks, places, strict=True)):
        taken = any(other.label and abs(other.at - at) < _MARK_LABEL_WIDTH for other in drawn)
        anchor = "start" if at < 50 else "end"
        label_x = at if anchor == "start" else _left_of(places[index:])
        drawn.append(DrawnMark(at, "" if taken else mark.label, label_x, anchor))
    return tuple(reversed(drawn))


def _left_of(places: Sequence[float]) -> float:
    """Where the label of the first flag ends; of the others, which are older, it runs through none that is close."""
    at = places[0]
    for older in places[1:]:
        at = older if at - older < _CLOSE_MARKS else at
    return at


def _lines(chart: LineChart, scale: svg.Scale) -> tuple[DrawnLine, ...]:
    """The lines with a value, the subject last, so that it is on top; inks follow the names' order."""
    names = sorted(line.name for line in chart.lines)
    shown = [line for line in chart.lines if svg.known(line.values)]
    places = svg.spread([scale.percent(_last(line)[1]) for line in shown], _LABEL_GAP, 2.0, 98.0)
    drawn = [
        _line(line, _ink(line, names), scale, place, chart.unit) for line, place in zip(shown, places, strict=True)
    ]
    if len(drawn) == 1 and drawn[0].dash != "none":
        drawn = [replace(drawn[0], dash="none", width=_WIDTHS[Style.MAIN])]  # there is none to tell it from
    return tuple(sorted(drawn, key=lambda line: line.subject))


def _ink(line: Line, names: Sequence[str]) -> int:
    """Percentiles of one thing have the ink of text."""
    if line.style is not Style.SERIES:
        return _INKS
    return (names.index(line.name) if line.place is None else line.place) % _INKS


def _line(line: Line, ink: int, scale: svg.Scale, label_y: float, unit: str) -> DrawnLine:
    values = svg.thin(line.values, svg.MOST_POINTS, max)
    index, value = _last(line)
    now = _end_value(line.values[-1], unit)
    return DrawnLine(
        name=cut(clean(value_text(line.name)), _LABEL_COLUMNS - len(now)),
        ink=ink,
        subject=line.subject,
        path=svg.path(values, scale, 1 / max(1, len(values))),
        points="|".join([*(_cell(value, unit) for value in values[:-1]), now]),
        value=now,
        end_x=round(100 * (index + 1) / len(line.values), 1),
        end_y=scale.percent(value),
        label_y=label_y,
        hollow=index != len(line.values) - 1,
        width=_SUBJECT_WIDTH if line.subject else _WIDTHS[line.style],
        dash="none" if line.subject else _DASHES.get(line.style, _SERIES_DASHES[ink % _INKS]),
        faint=line.style is Style.BELOW,
        live_y=_live_y(line, scale),
    )


def _live_y(line: Line, scale: svg.Scale) -> float | None:
    """Where the ring of a line is; of several percentiles the main one has it."""
    known = svg.known([line.live]) if line.style in (Style.SERIES, Style.MAIN) else []
    return scale.percent(known[0]) if known else None


def _end_value(value: float | None, unit: str) -> str:
    """A value as its end label shows it: at most seven characters."""
    if value is None or not abs(value) >= _LONG_FROM:
        return _cell(value, unit)
    return numbers.tick(float(f"{value:.3g}"))


def _last(line: Line) -> tuple[int, float]:
    """The index and value of the last known value of a line that has one."""
    return next((i, v) for i, v in reversed(list(enumerate(line.values))) if svg.known([v]) and v is not None)


def _limits(chart: LineChart, scale: svg.Scale) -> tuple[DrawnLimit, ...]:
    """Worst first; only the worst limit that is crossed has its colour."""
    limits = sorted(chart.limits, key=lambda limit: limit.severity.rank)
    crossed = next((limit for limit in limits if _crossed(chart, limit)), None)
    places = svg.spread([scale.percent(limit.value) for limit in limits], _LABEL_GAP, 4.0, 100.0)
    return tuple(
        DrawnLimit(
            y=scale.percent(limit.value),
            label=f"{LIMIT_WORDS[limit.severity]} {numbers.limit_number(limit, chart.unit)}",
            label_y=place,
            status=Status.of(limit.severity).value if limit is crossed else "",
            strong=limit.severity is Severity.CRITICAL,
        )
        for limit, place in zip(limits, places, strict=True)
    )


def _crossed(chart: LineChart, limit: Limit) -> bool:
    """Whether any line's newest value is a violation."""
    ends = [line.values[-1] for line in chart.lines if line.values]
    return any(limit.operator.holds(value, limit.value) for value in svg.known(ends))


def _spans(chart: LineChart, end: datetime) -> tuple[DrawnSpan, ...]:
    """Worst first; a span inside one that is drawn already is left out, a label that would meet another too."""
    drawn: list[DrawnSpan] = []
    for span in sorted(chart.spans, key=lambda span: (span.severity.rank, span.pending, span.start)):
        x = svg.across(span.start, chart.start, end)
        width = round(svg.across(span.end or end, chart.start, end) - x, 1)
        if width > 0 and not any(other.x <= x and x + width <= other.x + other.width for other in drawn):
            drawn.append(_span(span, x, width, drawn))
    return tuple(drawn)


def _span(span: Span, x: float, width: float, drawn: Sequence[DrawnSpan]) -> DrawnSpan:
    at_end = x > 100 - _SPAN_LABEL_WIDTH
    label_x = round(x + width if at_end else x, 1)
    taken = any(other.label and abs(other.label_x - label_x) < _SPAN_LABEL_WIDTH for other in drawn)
    label = "" if taken or span.pending else span.label
    status = Status.of(span.severity).value
    return DrawnSpan(x, width, status, span.pending, label, label_x, "end" if at_end else "start")


def _usual(chart: LineChart, scale: svg.Scale) -> DrawnBand | None:
    """The usual range of the line that has one; of its points those that it needs."""
    line = next((line for line in chart.lines if line.usual), None)
    if line is None:
        return None
    lows, highs = zip(*line.usual, strict=True)
    return DrawnBand(svg.area(lows, highs, scale, _BAND_POINTS), line.name)


def _band(usual: tuple[float, float] | None, scale: svg.Scale) -> tuple[int, int] | None:
    if usual is None:
        return None
    top = scale.y(max(usual))
    return top, max(1, scale.y(min(usual)) - top)


def _sentence(chart: LineChart, zone: tzinfo) -> str:
    """The chart in words, for those who do not see it."""
    told = [f"{chart.title} in {chart.unit}" if chart.unit else chart.title]
    for line in chart.lines:
        values = [(v, i) for i, v in enumerate(line.values) if v is not None and svg.known([v])]
        if values:
            (low, _), (high, at) = min(values), max(values)
            time = numbers.clock(chart.instant(at), zone)
            now, least, most = (_cell(value, chart.unit) for value in (line.values[-1], low, high))
            so_far = _cell(line.live, chart.unit)
            running = f", {so_far} so far in the minute that runs" if line.live is not None else ""
            told.append(f"{line.name}: now {now}, lowest {least}, highest {most} at {time}{running}")
        else:
            told.append(f"{line.name}: no data")
    return ". ".join(told) + "."


def _table(chart: LineChart, zone: tzinfo) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Some twelve rows of time and values, newest first."""
    most = max((len(line.values) for line in chart.lines), default=0)
    rows = []
    if chart.live_to is not None:
        live = tuple(_cell(line.live, chart.unit) for line in chart.lines)
        rows.append((f"{numbers.clock(chart.live_to, zone)} so far", live))
    for index in range(most - 1, -1, -max(1, most // _TABLE_ROWS)):
        cells = (line.values[index] if index < len(line.values) else None for line in chart.lines)
        rows.append((numbers.clock(chart.instant(index), zone), tuple(_cell(value, chart.unit) for value in cells)))
    return tuple(rows)


@functools.lru_cache(16_384)  # a page that is looked at again has the same values but for the newest
def _cell(value: float | None, unit: str) -> str:
    """A value without its unit; whole counts of things have no decimals."""
    is_count = not unit and value is not None and float(value).is_integer() and abs(value) < _LONG_FROM
    return numbers.tick(value) if is_count and value is not None else numbers.figure(value, "ms")[0]
