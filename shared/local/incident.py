"""The incident that the simulated fleet walks through: a bad release in one region, again every half hour."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ..timeline import MINUTE_SECONDS, minute_floor

REGION = "europe-west1"
"""Where the bad release goes."""
EVERY_SECONDS = 1800
SLOW_SECONDS = 240
ERROR_RATIO = 0.10
"""Of the region's requests; at the region's night, with a fifth of the traffic there, still 2 % of all."""
SLOW_RATIO = 0.3
"""Of the region's requests: within one minute more than 5 % of a five-minute window, so its P95 is a slow one."""
SLOW_MS = 390.0
"""The median of a slow answer; the P95 of all is then about 450 ms."""
BAD_RELEASE = "4.18.0"
GOOD_RELEASE = "4.17.2"
"""What the bad release is rolled back to, as the slow answers end."""
_SLICE_SECONDS = 10
_LATE_IN_MINUTE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong during one slice of time: shares of the requests (0 to 1), and the release that went out in it."""

    errors: float = 0.0
    slow: float = 0.0
    release: str = ""


NONE = Trouble()


@dataclass(frozen=True, slots=True)
class Incident:
    """Errors for ``error_seconds`` and slow answers for ``SLOW_SECONDS`` from ``start`` (Unix seconds).

    Both come again every ``EVERY_SECONDS``, and never before ``start``.
    """

    start: int
    error_seconds: int

    def trouble(self, region: str, second: int) -> Trouble:
        """What is wrong in a region in the slice of time that ends at ``second`` (Unix)."""
        elapsed = second - self.start
        if region != REGION or elapsed <= 0:
            return NONE
        phase = (elapsed - 1) % EVERY_SECONDS + 1
        return Trouble(
            ERROR_RATIO if phase <= self.error_seconds else 0.0,
            SLOW_RATIO if phase <= SLOW_SECONDS else 0.0,
            {1: BAD_RELEASE, SLOW_SECONDS // _SLICE_SECONDS: GOOD_RELEASE}.get((phase - 1) // _SLICE_SECONDS + 1, ""),
        )


def incident_at_start(started: datetime) -> Incident:
    """The incident of a run that starts at ``started`` (aware UTC).

    Errors begin with the last minute that has ended, so that the first evaluation finds them, and end one minute
    after that or, late in a minute, two: the second evaluation fires, and the resolution comes within 155 seconds.
    """
    newest = minute_floor(started)
    late = started.second >= _LATE_IN_MINUTE_SECONDS
    return Incident(newest - MINUTE_SECONDS, MINUTE_SECONDS * (3 if late else 2))
