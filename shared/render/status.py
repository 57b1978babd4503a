"""How a status is said and drawn in every format: always a word, and a shape of its own."""

from __future__ import annotations

from collections.abc import Mapping

from ..panels import Status
from ..rules import Severity

WORDS: Mapping[Status, str] = {
    Status.OK: "OK",
    Status.LOW: "Low",
    Status.WARNING: "Warning",
    Status.CRITICAL: "Critical",
    Status.PENDING: "Pending",
    Status.UNKNOWN: "Unknown",
    Status.EMPTY: "No data",
    Status.STALE: "Stale",
    Status.SILENCED: "Silenced",
    Status.MAINTENANCE: "Maintenance",
    Status.RESOLVED: "Resolved",
}

TERMINAL_WORDS: Mapping[Status, str] = {
    **{status: word.upper() for status, word in WORDS.items()},
    Status.OK: "HEALTHY",
    Status.MAINTENANCE: "PLANNED",
}
"""At most 9 characters, so that the columns of the specification's example hold."""

GLYPHS: Mapping[Status, str] = {
    Status.OK: "✓",
    Status.LOW: "△",
    Status.WARNING: "▲",
    Status.CRITICAL: "◆",
    Status.PENDING: "◔",
    Status.UNKNOWN: "◌",
    Status.EMPTY: "◌",
    Status.STALE: "◌",
    Status.SILENCED: "⊘",
    Status.MAINTENANCE: "□",
    Status.RESOLVED: "✓",
}

ASCII_GLYPHS: Mapping[Status, str] = {
    **dict.fromkeys(Status, "-"),
    Status.OK: "OK",
    Status.LOW: "!",
    Status.WARNING: "!",
    Status.CRITICAL: "!!",
    Status.PENDING: "~",
    Status.RESOLVED: "OK",
}

LIMIT_WORDS: Mapping[Severity, str] = {
    Severity.CRITICAL: "Critical",
    Severity.HIGH: "Warning",
    Severity.MEDIUM: "Warning",
    Severity.LOW: "Low",
}

_WORST_FIRST = (
    Status.CRITICAL,
    Status.WARNING,
    Status.LOW,
    Status.PENDING,
    Status.STALE,
    Status.UNKNOWN,
    Status.OK,
    Status.RESOLVED,
    Status.MAINTENANCE,
    Status.SILENCED,
    Status.EMPTY,
)


def rank(status: Status) -> int:
    """0 for critical; what nobody has to act on comes last."""
    return _WORST_FIRST.index(status)
