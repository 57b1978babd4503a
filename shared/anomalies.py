"""Anomalies of a series by its own past: what lies beyond three of its usual deviations.

The usual deviation is 1.4826 times the median distance from the median, which half of the values can be anything
without changing: an incident does not widen what is usual. A series that hardly moves has at least one percent of its
median. Fewer than ``LEAST_VALUES`` values have nothing usual.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

SIGMAS = 3.0
LEAST_VALUES = 12
MOST_SIGMAS = 50.0
"""Beyond this the number says nothing more."""
_TO_SIGMA = 1.4826
_LEAST_SHARE = 0.01
_LEAST_SIGMA = 1e-9


@dataclass(frozen=True, slots=True)
class Usual:
    """What a series usually is: its median and one deviation."""

    median: float
    sigma: float

    @property
    def band(self) -> tuple[float, float]:
        """The least and the greatest value that are usual."""
        return self.median - SIGMAS * self.sigma, self.median + SIGMAS * self.sigma

    def sigmas(self, value: float) -> float:
        """How many deviations a value is away from the median, within +-``MOST_SIGMAS``."""
        return max(-MOST_SIGMAS, min(MOST_SIGMAS, (value - self.median) / self.sigma))


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A stretch of values from index ``first`` to ``last`` that were all unusual; ``peak`` is the farthest."""

    first: int
    last: int
    peak: float
    sigmas: float


def usual(values: Sequence[float | None]) -> Usual | None:
    """What is usual of a series; None for too few values."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if len(known) < LEAST_VALUES:
        return None
    median = statistics.median(known)
    spread = _TO_SIGMA * statistics.median(abs(value - median) for value in known)
    return Usual(median, max(spread, _LEAST_SHARE * abs(median), _LEAST_SIGMA))


def find(values: Sequence[float | None], usually: Usual) -> list[Anomaly]:
    """The stretches beyond the usual band, oldest first; a gap ends a stretch."""
    found: list[Anomaly] = []
    for index, value in enumerate(values):
        if value is None or not math.isfinite(value) or abs(usually.sigmas(value)) <= SIGMAS:
            continue
        one = Anomaly(index, index, value, usually.sigmas(value))
        if found and found[-1].last == index - 1:
            one = _joined(found.pop(), one)
        found.append(one)
    return found


def _joined(before: Anomaly, one: Anomaly) -> Anomaly:
    worst = max(before, one, key=lambda anomaly: abs(anomaly.sigmas))
    return Anomaly(before.first, one.last, worst.peak, worst.sigmas)
