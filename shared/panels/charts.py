"""Charts of the panel model: lines over time, distributions, and several of them side by side."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from ..rules import Severity
from .statuses import Limit, Status


class Style(StrEnum):
    """How a line is drawn: as one of several series, or as one of several percentiles of the same thing."""

    SERIES = "series"
    BELOW = "below"
    MAIN = "main"
    ABOVE = "above"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart: ``values[i]`` belongs to ``start + (i + 1) * step`` of its chart; None is a gap."""

    name: str
    values: tuple[float | None, ...]
    subject: bool = False
    """Drawn heavier: the line that the page is about."""
    style: Style = Style.SERIES
    status: Status = Status.OK
    usual: tuple[tuple[float, float], ...] = ()
    """The range that each of the values is normally in; empty: that is not known, or not drawn."""
    place: int | None = None
    """Which of the colours it has, the same on every page; None: that of its name's place among the chart's lines."""
    live: float | None = None
    """So far, of the minute that is not settled."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time in which an alert was pending or firing. ``end`` None: it still is."""

    start: datetime
    end: datetime | None
    severity: Severity
    pending: bool
    label: str


@dataclass(frozen=True, slots=True)
class Mark:
    """An instant worth knowing on a chart: a deploy."""

    at: datetime
    label: str


@dataclass(frozen=True, slots=True)
class LineChart:
    """Lines over (start, start + n * step_seconds], all of the same unit and the same number of values.

    ``until`` is where the newest value's step ends, when that is before the last whole step does. ``lines`` are the
    worst of ``lines_total`` (0: they are all). ``holds`` are further values that its axis has room for, those of the
    charts beside it; with ``log`` the axis is logarithmic.
    """

    id: str
    title: str
    unit: str
    start: datetime
    step_seconds: int
    lines: tuple[Line, ...]
    limits: tuple[Limit, ...] = ()
    spans: tuple[Span, ...] = ()
    marks: tuple[Mark, ...] = ()
    until: datetime | None = None
    lines_total: int = 0
    holds: tuple[float, ...] = ()
    log: bool = False
    live_to: datetime | None = None
    """The end of the minute that the lines' ``live`` values are of; None: there is none."""

    @property
    def end(self) -> datetime:
        """Where the newest value's step ends."""
        most = max((len(line.values) for line in self.lines), default=1)
        whole = self.start + timedelta(seconds=max(1, most) * self.step_seconds)
        return whole if self.until is None else min(whole, self.until)

    def instant(self, index: int) -> datetime:
        """Where the step of a value ends."""
        return min(self.start + timedelta(seconds=(index + 1) * self.step_seconds), self.end)


@dataclass(frozen=True, slots=True)
class Heat:
    """How values were distributed over time: ``shares[i][j]`` (0 to 1) of the i-th step lies in the j-th bin.

    Bin j covers (low * ratio**j, low * ratio**(j + 1)]; all steps have the same number of bins. ``over`` is the share
    of the newest step beyond ``limit``, which is None where no limit applies.
    """

    start: datetime
    step_seconds: int
    low: float
    ratio: float
    shares: tuple[tuple[float, ...], ...]
    limit: Limit | None = None
    over: tuple[float | None, ...] = ()
    """The share beyond the limit in each step; empty without a limit, None for a step without data."""


@dataclass(frozen=True, slots=True)
class Small:
    """One of several charts side by side: of one region, or of another group."""

    name: str
    status: Status
    chart: LineChart
    heat: Heat | None = None
    """Drawn in place of the lines, which are then its percentiles."""


@dataclass(frozen=True, slots=True)
class Multiples:
    """The same question asked of each group, on one scale. ``charts`` are the worst of ``total`` (0: they are all)."""

    id: str
    title: str
    unit: str
    note: str
    charts: tuple[Small, ...]
    total: int = 0
