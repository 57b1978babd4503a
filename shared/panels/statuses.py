"""What a page says of one thing: its status, its limit, and how much of a list is kept and shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from ..rules import Operator, Severity

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
