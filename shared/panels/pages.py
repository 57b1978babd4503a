"""Whole pages: what every one says, and the two kinds there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from ..rules import Severity
from .charts import LineChart, Multiples
from .rows import AlertRow, Fact, Row, Share, Signal, Strips, Table
from .statuses import STALE_AFTER, Status


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
    def newest_word(self) -> str:
        """What its newest values are called: ``then`` of a past range, ``last`` of old data, else ``now``."""
        return "then" if self.until else "last" if self.stale else "now"

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
