"""The panel model: what a page says, before any format. Every format renders this and nothing else.

Values are plain floats in the unit named beside them (None: there is no value), instants are aware UTC. A model
holds no markup; every string in it may be hostile and is escaped by the renderer of each format.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeAlias

from .rules import Operator, Severity

KEPT_ROWS = 200
"""Rows of a list that a page holds at most, the worst; the totals beside the lists count all."""
KEPT_LINES = 50
"""Lines of a chart that a page holds at most, the worst."""
SHOWN_ROWS = 20
"""Regions that a person is shown, with how many more there are."""
SHOWN_ALERTS = 10
"""Alerts that a person is shown, with how many more there are."""
SHOWN_LINES = 8
"""Lines of a chart that a person is shown: their labels fit beside it."""
STALE_AFTER = timedelta(minutes=2)
"""The age of the newest data from which on nothing is called current."""


class Status(StrEnum):
    """What a person should make of a signal; always shown as shape, word and colour together."""

    OK = "ok"
    LOW = "low"
    """A firing alert of severity low."""
    WARNING = "warning"
    """A firing alert of severity medium or high."""
    CRITICAL = "critical"
    PENDING = "pending"
    UNKNOWN = "unknown"
    """No data in the window, although there was some in the range shown."""
    EMPTY = "empty"
    """Nothing was received in the range shown."""
    STALE = "stale"
    """The last known value is shown, and is too old to be called current."""
    SILENCED = "silenced"
    MAINTENANCE = "maintenance"
    RESOLVED = "resolved"

    @staticmethod
    def of(severity: Severity) -> Status:
        """The status of a firing alert."""
        return {Severity.CRITICAL: Status.CRITICAL, Severity.LOW: Status.LOW}.get(severity, Status.WARNING)


@dataclass(frozen=True, slots=True)
class Limit:
    """A rule's threshold as drawn: a value beyond it (``operator``) is a violation."""

    value: float
    operator: Operator
    severity: Severity


@dataclass(frozen=True, slots=True)
class Signal:
    """One number of a page with what is needed to judge it.

    ``section`` is the heading it stands under in text formats (``SERVICE HEALTH``). ``change`` is against the
    same hour a week before, in ``change_unit`` (``pt`` for percentages, ``%`` for rates). ``spark`` is oldest
    first, one value per ``spark_step_seconds``, None where nothing was received. ``as_of`` is the end of the window
    that ``value`` was read from. ``publish`` names the metric that would fill an empty signal.
    """

    id: str
    name: str
    section: str
    scope: str
    value: float | None
    unit: str
    status: Status
    limit: Limit | None = None
    change: float | None = None
    change_unit: str = ""
    spark: tuple[float | None, ...] = ()
    spark_step_seconds: int = 60
    as_of: datetime | None = None
    publish: str = ""
    href: str = ""
    note: str = ""
    """What stands in place of the change: until when and by whom it is silenced."""
    usual: tuple[float, float] | None = None
    """The range it is normally in, drawn behind the spark."""
    detail: bool = False
    """Left to the text formats: the HTML page says it elsewhere (the mean, a region's P95)."""


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
class AlertRow:
    """One alert: pending or firing, worst first. ``since`` is when the state that is shown began.

    ``limit`` is None when its rule is no longer configured; ``rule`` is then the rule's id.
    """

    fingerprint: str
    rule: str
    scope: str
    severity: Severity
    status: Status
    value: float | None
    unit: str
    limit: Limit | None
    since: datetime
    note: str
    """Who has it, or ``pending, 2 of 3``."""
    count: int
    min_occurrences: int
    href: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """One number of a row; ``over`` says which status its bar is drawn in."""

    id: str
    title: str
    value: float | None
    unit: str
    limit: Limit | None = None
    maximum: float | None = None
    """The bar's full length, the same in all rows."""
    over: Status = Status.OK
    note: str = ""
    """In place of a value that cannot be (``primary``), or under a value that has no bar (``+4 in 1 h``)."""
    spark: tuple[float | None, ...] = ()
    """In place of a value: how it moved over the panel's time, oldest first."""
    spark_step_seconds: int = 60
    spark_end: datetime | None = None
    """Where the spark's last step ends; None: with the page."""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that is compared with others, such as a region: the same cells in the same order in every row."""

    name: str
    status: Status
    cells: tuple[Cell, ...]
    href: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """One part of a whole: a persona. ``ratio`` is 0..1, ``count`` the number behind it."""

    name: str
    ratio: float
    count: float
    change: float | None = None
    """Against last week, in points."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A number with its label and nothing to judge it by (requests today)."""

    name: str
    value: float | None
    unit: str = ""
    change: float | None = None
    """Against last week, in percent."""


@dataclass(frozen=True, slots=True)
class Health:
    """How the monitoring itself is: shown on every page."""

    evaluated_at: datetime | None
    collections_fresh: int
    collections_total: int
    deliveries_done: int
    deliveries_total: int
    dead_letters: int
    ingest_seconds: float | None = None
    """From publishing to storage, of the newest message."""

    late: bool = False
    """Whether the evaluator is behind: then nobody would be told of anything."""

    channels_gone: tuple[str, ...] = ()
    """Channels that refuse everything, until they are set up anew."""

    @property
    def ok(self) -> bool:
        """Whether nothing of the monitoring itself needs a person."""
        told = self.deliveries_done == self.deliveries_total and not self.channels_gone
        return self.evaluated_at is not None and not self.late and self.dead_letters == 0 and told


@dataclass(frozen=True, slots=True)
class Headline:
    """The answer in words: is anything wrong, where, since when."""

    status: Status
    sentence: str
    detail: str
    note: str = ""
    """Who has it, and since when."""
    action: str = ""
    """The words on the button that leads to ``href``: ``Open incident``; empty for none."""
    href: str = ""


@dataclass(frozen=True, slots=True)
class Tab:
    """A link to a dashboard, with the worst status on it."""

    name: str
    title: str
    href: str
    status: Status
    current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What every dashboard says. ``data_to`` is the end of the newest minute that was read; None before any data came.

    ``counts`` holds how many checks (a rule on one group) are in each status, worst first, ok last. ``until`` is the
    end of a past range: then all that the page says is of that instant; None: it is of ``now``. ``region`` is the
    one that the page is about; empty for all. ``notes`` are sentences that qualify the whole page. ``alerts`` are the
    worst of ``alerts_total`` (0: they are all).
    """

    service: str
    environment: str
    title: str
    now: datetime
    data_to: datetime | None
    start: datetime
    end: datetime
    headline: Headline
    counts: tuple[tuple[Status, int], ...]
    signals: tuple[Signal, ...]
    alerts: tuple[AlertRow, ...]
    health: Health
    live: bool = True
    """False: the numbers were given by hand, and neither alerts nor the monitoring itself are known."""
    name: str = "overview"
    """Its part of the address."""
    tabs: tuple[Tab, ...] = ()
    ranges: tuple[Tab, ...] = ()
    until: datetime | None = None
    region: str = ""
    notes: tuple[str, ...] = ()
    alerts_total: int = 0
    everywhere: str = ""
    """The address of this page for all regions."""
    firing: tuple[tuple[str, Severity], ...] = ()
    """Which rules fire, on this page or another, and the worst severity of each."""
    has_own: bool = False
    """Whether its panels are of the monitoring itself, and there before any data came."""

    @property
    def at(self) -> datetime:
        """The instant that the page is about."""
        return self.now if self.until is None else self.until

    @property
    def age_seconds(self) -> float | None:
        """How old the newest data is at the instant that the page is about; None before any data came."""
        return None if self.data_to is None else (self.at - self.data_to).total_seconds()

    @property
    def stale(self) -> bool:
        """Whether the newest data is more than two minutes old: then nothing on the page is called current."""
        return self.age_seconds is None or self.age_seconds > STALE_AFTER.total_seconds()

    @property
    def spark_seconds(self) -> float:
        """What the sparks span: the range, to which whole steps add a little, or a time of their own; 0 without any."""
        longest = max(self.signals, key=lambda one: len(one.spark) * one.spark_step_seconds, default=None)
        if longest is None or not longest.spark:
            return 0.0
        spanned, range_seconds = (
            len(longest.spark) * longest.spark_step_seconds,
            (self.end - self.start).total_seconds(),
        )
        return range_seconds if abs(spanned - range_seconds) <= longest.spark_step_seconds else float(spanned)

    @property
    def is_compared(self) -> bool:
        """Whether the same hour of last week is known of any signal."""
        return any(signal.change is not None for signal in self.signals)

    @property
    def checks(self) -> int:
        """How many checks there are in all."""
        return sum(count for _, count in self.counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview(Page):
    """The overview. ``regions`` and ``personas`` are the worst or largest of their totals (0: they are all)."""

    charts: tuple[LineChart, ...]
    regions: tuple[Row, ...]
    facts: tuple[Fact, ...]
    personas: tuple[Share, ...]
    regions_total: int = 0
    personas_total: int = 0

    @property
    def has_moved(self) -> bool:
        """Whether last week is known of any fact or persona."""
        facts, shares = (any(one.change is not None for one in some) for some in (self.facts, self.personas))
        return facts or shares


@dataclass(frozen=True, slots=True)
class Table:
    """Things compared, worst first: ``rows`` are the first of ``total`` (0: they are all).

    ``head`` says what the rows are, ``note`` over which time or in which order. ``empty`` is said without any row.
    """

    id: str
    title: str
    head: str
    rows: tuple[Row, ...]
    note: str = ""
    empty: str = ""
    total: int = 0
    wide: bool = False
    """Too wide to stand beside another panel."""
    most: int = 8
    """Rows that an HTML page shows."""


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


@dataclass(frozen=True, slots=True)
class Strip:
    """One thing over time: ``states[i]`` belongs to the i-th step. ``value`` is of all steps together."""

    name: str
    value: float | None
    unit: str
    status: Status
    states: tuple[Status, ...]
    limit: Limit | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Strips:
    """Strips over (start, start + n * step_seconds], all of the same number of states; the worst of ``total``.

    ``words`` says what each status that occurs means, in the order in which a legend has them.
    """

    id: str
    title: str
    start: datetime
    end: datetime
    step_seconds: int
    strips: tuple[Strip, ...]
    words: tuple[tuple[Status, str], ...]
    note: str = ""
    total: int = 0


Panel: TypeAlias = LineChart | Multiples | Table | Strips
"""A part of a dashboard."""


@dataclass(frozen=True, slots=True)
class Deeds:
    """What can be done about an alert: taken, when ``fired_at`` is there, and silenced. ``token`` is the reader's."""

    path: str
    token: str
    asked_at: datetime
    fired_at: datetime | None = None
    hours: tuple[int, ...] = ()
    author: str = ""
    """Who the reader is known to be; empty where they say so themselves."""


@dataclass(frozen=True, slots=True)
class Endings:
    """Silences that can be ended: their ids, with what each is about. ``token`` and ``author`` are as in ``Deeds``."""

    silences: tuple[tuple[str, str], ...]
    token: str
    author: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Board(Page):
    """A dashboard that consists of what its configuration names: signals first, then panels in their order.

    ``has_alerts``: its configuration asks for the alerts; they are also there when there are any.
    """

    panels: tuple[Panel, ...]
    has_alerts: bool = False
    alerts_first: bool = False
    """Whether an HTML page shows the alerts before the panels."""
    alerts_title: str = "Active alerts"
    open_episode: datetime | None = None
    """When the alert that the page is about fired, as long as it fires and nobody has it."""
    deeds: Deeds | None = None
    """What its reader can do about the alert that the page is about; None: nothing."""
    endings: Endings | None = None
    """The silences that its reader can end; None: none."""


Shown: TypeAlias = Overview | Board
"""A dashboard of either kind."""


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """One notification as the local inbox received it. ``lines`` is its body as plain text."""

    received_at: datetime
    kind: str
    """``firing``, ``resolved``, ``escalated``, ``summary`` or ``no_data``."""
    severity: Severity
    title: str
    lines: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    href: str = ""
