"""A dashboard for a terminal: at most 100 columns whatever the names, in the specification's own columns.

The name starts in column 5, the value ends in column 43, ``[HEALTHY]`` starts in column 55 (counted from 1); the
gap between holds the change against last week, and what follows the 24 h spark and the limit. Times are UTC.
Colours are the eight basic ones, so that they follow the reader's own terminal theme.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from itertools import groupby

from ..panels import (
    SHOWN_ALERTS,
    SHOWN_LINES,
    SHOWN_ROWS,
    AlertRow,
    Board,
    Cell,
    Health,
    Overview,
    Page,
    Shown,
    Signal,
    Status,
)
from . import howto, numbers
from .pen import COLOURS, Pen
from .plain import clean, columns, cut, left, right, to_ascii, value_text, wrap
from .status import TERMINAL_WORDS, WORDS
from .text_panels import panel_lines

WIDTH = 100
_VALUE_ENDS = 43
_CHANGE = 10
_STATUS = 12
_SPARK = 24
_HEADLINE_LINES = 3
_REGION_NAME = 16
_REGION_CELL = 12
_NAMES: Mapping[str, str] = {
    "availability": "Global Availability",
    "error_rate": "Global Error Rate",
    "response_time_avg": "Average Response Time",
    "response_time_p95": "P95 Response Time",
    "cache_hit_rate": "Cache Hit Rate",
    "throughput": "Global Throughput",
    "cpu": "CPU Utilization",
}
"""The specification's names; a signal that it does not know keeps its own."""
_EVERYWHERE = ("", "all regions", "global", "24 h")
_SHORT_PLACES = {"northeast": "ne", "northwest": "nw", "southeast": "se", "southwest": "sw"}
_QUIET = (Status.OK, Status.RESOLVED)


def render_text(page: Shown, *, colour: bool = False, ascii_only: bool = False) -> str:
    """The page as lines of at most 100 columns, each ended by a newline.

    Without ``colour`` there is no escape sequence in it, with ``ascii_only`` no byte beyond ASCII.
    """
    screen = _Screen(page, Pen(colour, ascii_only))
    body = "\n".join(line.rstrip() for line in screen.lines()) + "\n"
    return to_ascii(body) if ascii_only else body


def text_name(signal: Signal, room: int) -> str:
    """A signal's name and where it was measured, its region shortened only when both do not fit ``room`` columns."""
    name = clean(_NAMES.get(signal.id, signal.name))
    scope = clean(signal.scope)
    if scope.lower() in _EVERYWHERE:
        return cut(name, room)
    if columns(name) + 1 + columns(scope) > room:
        for word, short in _SHORT_PLACES.items():
            scope = scope.replace(word, short)
    return cut(f"{name} {scope}", room)


def freshness(page: Page) -> str:
    """How old the data is; of a past range, which it is and where its data ends."""
    if page.until is None:
        if page.data_to is None or page.age_seconds is None:
            return "no data yet"
        return f"data to {page.data_to.astimezone(UTC):%H:%M:%S}, {numbers.age(page.age_seconds)} old"
    to = f"data to {page.data_to.astimezone(UTC):%H:%M:%S}" if page.data_to else "no data"
    return f"{numbers.stretch(page.start, page.until, UTC, page.now)} UTC, {to}"


class _Screen:
    """One rendering: the page, and how signs and colours are put."""

    def __init__(self, page: Shown, pen: Pen) -> None:
        self._page = page
        self._pen = pen

    def lines(self) -> Iterator[str]:
        """Title, answer, signals by section, regions, business, alerts, own health."""
        yield from self._title()
        yield from self._answer()
        if self._page.data_to is None and self._page.until is None:
            yield from _how_to_publish(self._page)
        for section, signals in groupby(self._page.signals, key=lambda signal: signal.section):
            yield from self._section(section, list(signals))
        alerts = [*self._alerts(self._page.alerts)] if self._page.live else []
        if isinstance(self._page, Board):
            panels = panel_lines(self._page, self._pen)
            yield from (*alerts, *panels) if self._page.alerts_first else (*panels, *alerts)
        else:
            yield from self._regions(self._page)
            yield from self._business(self._page)
            yield from alerts
        if self._page.live:
            yield from self._own_health(self._page.health)
        yield "=" * WIDTH

    def _title(self) -> Iterator[str]:
        page = self._page
        title = clean(f"{page.service} {page.environment} dashboard").upper()
        if isinstance(page, Board):
            title = f"{title}: {clean(page.title).upper()}"
        if page.region:
            title = f"{title}, {clean(page.region)}"
        yield self._pen.paint("1", cut(title, WIDTH))
        yield self._pen.paint("2", f"Updated: {page.now.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC   {freshness(page)}")
        yield ""

    def _answer(self) -> Iterator[str]:
        headline = self._page.headline
        style = "1" if headline.status in _QUIET else COLOURS[headline.status]
        for index, line in enumerate(wrap(clean(headline.sentence), WIDTH - 3, _HEADLINE_LINES)):
            mark = f"{self._pen.glyph(headline.status)} " if index == 0 else "  "
            yield mark + self._pen.paint(style, line)
        for told in (f"{headline.detail} {headline.note}", *self._page.notes):
            for line in wrap(clean(told), WIDTH - 2, _HEADLINE_LINES):
                yield f"  {line}"
        yield from self._counts()
        yield ""

    def _counts(self) -> Iterator[str]:
        counts = [(status, count) for status, count in self._page.counts if count]
        if not counts:
            return
        parts = [f"{self._pen.glyph(s)} {self._pen.paint(COLOURS[s], f'{n} {WORDS[s].lower()}')}" for s, n in counts]
        yield f"  {'  '.join(parts)}  {self._pen.paint('2', f'of {self._page.checks} checks')}"

    def _section(self, section: str, signals: Sequence[Signal]) -> Iterator[str]:
        first = self._page.signals[0] is signals[0]
        yield self._heads(clean(section)) if first else self._pen.paint("1", cut(clean(section), WIDTH))
        for signal in signals:
            yield self._signal(signal)
            if signal.status is Status.EMPTY and signal.publish:
                yield self._pen.paint("2", cut(f"    Publish {clean(signal.publish)} to see it.", WIDTH))
        yield ""

    def _heads(self, section: str) -> str:
        seconds = self._page.spark_seconds
        last = f"{'' if self._page.until else 'last '}{numbers.span(seconds)}" if seconds else ""
        against = "vs last week" if self._page.is_compared else ""
        heads = f"{right(against, 13)}{' ' * 12}{left(last, 24)}{right('limit', 11)}"
        return self._pen.paint("1", left(section, 40)) + self._pen.paint("2", heads)

    def _signal(self, signal: Signal) -> str:
        value = cut(clean(numbers.terminal_number(signal.value, signal.unit, signal.limit)), 20)
        room = _VALUE_ENDS - 4 - columns(value) - 1
        name = left(text_name(signal, room), room)
        loud = signal.status not in _QUIET
        delta = numbers.terminal_change(signal.change, signal.change_unit, signal.limit)
        pen = self._pen
        word = left(f"[{TERMINAL_WORDS[signal.status]}]", _STATUS)
        return (
            f"{pen.lead(signal.status)}{pen.paint('1', name) if loud else name} {pen.paint('1', value)}"
            f"{pen.paint('2', right(delta, _CHANGE))} {pen.paint(COLOURS[signal.status], word)}"
            f"{pen.signal_spark(signal, _SPARK)}{pen.paint('2', right(numbers.acceptance(signal.limit), 10))}"
        )

    def _regions(self, page: Overview) -> Iterator[str]:
        if not page.regions:
            return
        total = max(page.regions_total, len(page.regions))
        regions = page.regions[:SHOWN_ROWS]
        rows = [[_cell(cell) for cell in region.cells] for region in regions]
        titles = [clean(numbers.heading(cell.title, cell.unit)) for cell in regions[0].cells]
        widths = _widths(titles, rows)
        heads = (right(title, width - 1) for title, width in zip(titles, widths, strict=False))
        yield self._pen.paint("1", left("REGIONS", 4 + _REGION_NAME)) + self._pen.paint("2", " " + " ".join(heads))
        for region, row in zip(regions, rows, strict=True):
            values = "".join(right(value, width) for value, width in zip(row, widths, strict=False))
            yield f"{self._pen.lead(region.status)}{left(clean(value_text(region.name)), _REGION_NAME)}{values}"
        yield from self._more(total, len(regions))
        yield ""

    def _business(self, page: Overview) -> Iterator[str]:
        facts = [
            clean(f"{f.name} {numbers.terminal_number(f.value, f.unit)}{_moved(f.change, '%')}") for f in page.facts
        ]
        total = max(page.personas_total, len(page.personas))
        largest = page.personas[:SHOWN_LINES]
        shares = [
            f"{clean(s.name)} {numbers.terminal_number(s.ratio * 100, '%')}{_moved(s.change, 'pt')}" for s in largest
        ]
        if not facts and not shares:
            return
        against = self._pen.paint("2", "  change vs last week") if page.has_moved else ""
        yield self._pen.paint("1", "BUSINESS AND PERSONAS") + against
        for parts in (facts, shares):
            if parts:
                yield f"    {cut('   '.join(parts), WIDTH - 4)}"
        yield from self._more(total, len(largest))
        yield ""

    def _alerts(self, alerts: Sequence[AlertRow]) -> Iterator[str]:
        title = clean(self._page.alerts_title).upper() if isinstance(self._page, Board) else "ACTIVE ALERTS"
        yield f"{self._pen.paint('1', cut(title, 60))}  {self._pen.paint('2', 'worst first' if alerts else 'none')}"
        for alert in alerts[:SHOWN_ALERTS]:
            yield self._alert(alert)
        yield from self._more(max(self._page.alerts_total, len(alerts)), min(len(alerts), SHOWN_ALERTS))
        yield ""

    def _more(self, total: int, shown: int) -> Iterator[str]:
        """What a list leaves out, if anything."""
        left_out = numbers.more(total, shown).replace(numbers.NARROW, " ")
        if left_out:
            yield self._pen.paint("2", f"    {left_out}")

    def _alert(self, alert: AlertRow) -> str:
        value = numbers.number(alert.value, alert.unit, alert.limit).replace(numbers.NARROW, " ")
        judged = clean(f"{value} {numbers.comparison(alert.limit)}".replace(numbers.NARROW, " "))
        age = numbers.age((self._page.at - alert.since).total_seconds())
        rule = left(clean(alert.rule), 29)
        room = min(max(columns(judged), 14), 18)  # a long comparison borrows from the age's column
        return (
            f"{self._pen.lead(alert.status)}{self._pen.paint('1', rule)} {left(clean(alert.scope), 15)}"
            f"{right(judged, room)} {right(age, 25 - room)}  {self._pen.paint('2', left(clean(alert.note), 23))}"
        )

    def _own_health(self, health: Health) -> Iterator[str]:
        state = Status.OK if health.ok else Status.WARNING
        word = self._pen.paint(COLOURS[state], "healthy" if health.ok else "needs you")
        parts = (
            f"collections {health.collections_fresh} of {health.collections_total} fresh",
            f"deliveries {health.deliveries_done} of {health.deliveries_total}",
            f"refusing: {', '.join(health.channels_gone)}" if health.channels_gone else "",
            f"dead letters {health.dead_letters}",
            _ingest(health),
        )
        told = "  ".join(part for part in parts if part)
        room = WIDTH - (22 if health.ok else 25)
        yield f"Monitoring {self._pen.glyph(state)} {word}  {self._pen.paint('2', cut(told, room))}"


def _moved(change: float | None, unit: str) -> str:
    """A change behind its number: `` (+2.3%)``; empty for none."""
    told = numbers.terminal_change(change, unit)
    return f" ({told})" if told else ""


def _how_to_publish(page: Page) -> Iterator[str]:
    yield "PUBLISH a first metric to the topic metrics:"
    yield from (f"  {line}" for line in howto.message(page.now).splitlines())
    yield ""


def _cell(cell: Cell) -> str:
    """Digits and the SI prefix only: the column's title names the unit."""
    if cell.value is None and cell.note:
        return clean(cell.note)
    digits, prefix = numbers.short(cell.value, cell.unit, cell.limit)
    return clean(f"{digits}{prefix}".replace(numbers.NARROW, " ").replace(numbers.MINUS, "-"))


def _widths(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """The columns' widths, two apart or, when that is too wide, one; the last ones are left out if they must."""
    room = WIDTH - 4 - _REGION_NAME
    natural = [
        min(_REGION_CELL, max(columns(title), *(columns(row[index]) for row in rows if index < len(row))))
        for index, title in enumerate(titles)
    ]
    gap = 2 if sum(natural) + 2 * len(natural) <= room else 1
    widths = [width + gap for width in natural]
    while sum(widths) > room:
        widths.pop()
    return widths


def _ingest(health: Health) -> str:
    if health.ingest_seconds is None:
        return ""
    return f"ingest {numbers.number(health.ingest_seconds, 's')}".replace(numbers.NARROW, " ")
