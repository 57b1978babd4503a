"""What stands in rows: signals, alerts, tables and strips."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ..rules import Severity
from .statuses import Limit, Status


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
