"""How well alerts meet labelled windows: what somebody marked as worth waking for.

An alert counts by the moment at which it fires, because that is when somebody is woken. It is true when it fires inside
a window, both ends included, and false otherwise; so one that fires for ever is one false alert and finds nothing. A
window is found when an alert fires inside it.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ..errors import ConfigError
from ..timeline import from_minute
from .episodes import Episode
from .run import Span


@dataclass(frozen=True, slots=True)
class Labelled:
    """A window that somebody labelled; both ends, aware UTC, are inside."""

    first: datetime
    last: datetime

    def holds(self, at: datetime) -> bool:
        """Whether an instant is inside."""
        return self.first <= at <= self.last


@dataclass(frozen=True, slots=True)
class Score:
    """Alerts against windows over some series and days. ``found`` are the times to detect of the windows found."""

    alerts: int = 0
    true_alerts: int = 0
    windows: int = 0
    found: tuple[timedelta, ...] = ()
    series_days: float = 0.0

    def __add__(self, other: Score) -> Score:
        return Score(
            self.alerts + other.alerts,
            self.true_alerts + other.true_alerts,
            self.windows + other.windows,
            self.found + other.found,
            self.series_days + other.series_days,
        )

    @property
    def precision(self) -> float | None:
        """The share of alerts that are true; None without any."""
        return self.true_alerts / self.alerts if self.alerts else None

    @property
    def recall(self) -> float | None:
        """The share of windows that are found; None without any."""
        return len(self.found) / self.windows if self.windows else None

    @property
    def false_alerts_per_series_day(self) -> float | None:
        """False alerts over the days of each series together; None for no time at all."""
        return (self.alerts - self.true_alerts) / self.series_days if self.series_days else None

    @property
    def median_to_detect(self) -> timedelta | None:
        """From a window's first instant to the first alert inside; None when none is found."""
        seconds = [one.total_seconds() for one in self.found]
        return timedelta(seconds=statistics.median(seconds)) if seconds else None


def score(episodes: Iterable[Episode], windows: Sequence[Labelled], span: Span, series: int = 1) -> Score:
    """The score over a span; windows that are wholly outside of it do not count. ``series`` had data there."""
    first, last = from_minute(span.first), from_minute(span.last)
    inside = [one for one in windows if one.first <= last and one.last >= first]
    fired = sorted(one.fired_at for one in episodes)
    found = [next((at - one.first for at in fired if one.holds(at)), None) for one in inside]
    return Score(
        alerts=len(fired),
        true_alerts=sum(any(one.holds(at) for one in inside) for at in fired),
        windows=len(inside),
        found=tuple(one for one in found if one is not None),
        series_days=series * span.days,
    )


def read_windows(text: str) -> Mapping[str, Sequence[Labelled]]:
    """Windows by what they are about, as ``{"folder/name.csv": [["2014-04-10 07:15:00", "2014-04-11 16:45:00"]]}``.

    Times without an offset are UTC. Raises ``ConfigError`` for anything else.
    """
    try:
        raw = json.loads(text)
        return {str(name): [_labelled(*ends) for ends in found] for name, found in raw.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"windows: expected a name with a list of pairs of times for each series: {error}") from error


def windows_of(windows: Mapping[str, Sequence[Labelled]], name: str) -> Sequence[Labelled] | None:
    """The windows of a file or rule: those under its name, or under the one that ends with ``/`` and its name.

    None when there is no such name, or more than one.
    """
    if name in windows:
        return windows[name]
    ending = [found for key, found in windows.items() if key.endswith(f"/{name}") or name.endswith(f"/{key}")]
    return ending[0] if len(ending) == 1 else None


def _labelled(first: str, last: str) -> Labelled:
    ends = [datetime.fromisoformat(text) for text in (first, last)]
    start, end = (one.astimezone(UTC) if one.tzinfo else one.replace(tzinfo=UTC) for one in ends)
    if start > end:
        raise ValueError(f"{first} is after {last}")
    return Labelled(start, end)
