"""The two kinds of failure: permanent ones that a retry cannot mend, and transient ones that it can.

An entry point translates them: a permanent failure is recorded under its reason and acknowledged, a transient
one is raised, so that Pub/Sub or Cloud Scheduler delivers again. Every retry is safe, because every write is
idempotent (each says why where it is made).
"""

from __future__ import annotations


class MonitoringError(Exception):
    """Base of every error that this project raises on purpose.

    ``reason`` is a constant, snake_case name: it is what logs, dead letters, counters and tests compare.
    ``detail`` is for a person and may hold hostile text; whoever renders it escapes it.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class PermanentError(MonitoringError):
    """Trying again gives the same answer: malformed input, a refused request, a broken rule."""


class TransientError(MonitoringError):
    """Trying again may succeed: a time-out, an unavailable service, a lost race that must be run again."""


class ConfigError(PermanentError):
    """A configuration or environment that cannot be used; ``detail`` names the path and the accepted form."""

    def __init__(self, detail: str) -> None:
        super().__init__("invalid_configuration", detail)


class PreconditionFailed(MonitoringError):
    """A commit met a document that is no longer what was read. Nothing was written.

    Losing such a race is a normal outcome: the caller reads again or leaves the work to the winner.
    """

    def __init__(self, detail: str = "") -> None:
        super().__init__("precondition_failed", detail)
