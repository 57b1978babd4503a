"""What is usual for a series at a time of the week: a robust level and spread for each of its 168 hours, in UTC.

Learned from hours (up to 30 days: levels by hour of day and of week) and from windows as rules judge them (up to 72
hours: how far single values are from those levels). Levels are medians. Where there is little data they lean on what
there is more of: an hour of the week with n weeks of data weighs n - 1, the hour of the day 1, an hour of the day with
n days weighs n, and the whole a half. Levels are as of the end of the data where the days have a trend. Between the
middles of two hours a level is in proportion. A spread is a robust standard deviation, never below half a percent of
the level. What is far out at the same half hour of several days is a habit of that time of day, such as a short job
every night, and is known there and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from .bins import Bools, Floats, Ints
from .cells import MAX_MAGNITUDE
from .timeline import HOUR_SECONDS

HOURS_OF_WEEK = 168
LEAST_VALUES = 60
"""Fewer, over less than ``LEAST_SECONDS``, say nothing about what is usual."""
LEAST_SECONDS = 6 * HOUR_SECONDS
RECORD_MARGIN = 1.15
"""An anomaly is so many times as far out as anything that is known."""
LEAST_SIGMAS = 4.5
"""And so many spreads."""
_INCIDENT_SPREADS, _INCIDENT_SHARE = 10.0, 0.02
_SLOT_SECONDS, _SLOTS = 1800, 48
_HABIT_DAYS, _HABIT_SHARE = 2, 1 / 8
"""What comes on so many days, and such a share of them, is a habit: two nights of three, once a week in a month."""
_HABIT_MARGIN = 2.0
"""A short peak in windows that are learned every five minutes is seen at least half."""
_LEAN_DAY, _LEAN_WEEK = 0.5, 1.0
_TREND_DAYS = 7
_LEAST_SPREAD_RATIO = 0.005
_MAD_PER_SIGMA = 0.6744897501960817
_MONDAY_SECONDS = 4 * 86_400
"""The epoch was a Thursday; the first Monday after it began so much later."""
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Expected:
    """What is usual at an instant, in the series' own unit; ``spread`` is above 0 unless all is 0."""

    level: float
    spread: float
    farthest_below: float
    farthest_above: float

    def limits(self, sigmas: float) -> tuple[float, float]:
        """The level and so many spreads to both sides."""
        return self.level - sigmas * self.spread, self.level + sigmas * self.spread

    def anomalous(self) -> tuple[float, float]:
        """The limits beyond which a value is farther out than anything known, and than ``LEAST_SIGMAS`` spreads."""
        least = LEAST_SIGMAS * self.spread
        below = max(RECORD_MARGIN * self.farthest_below, least)
        return self.level - below, self.level + max(RECORD_MARGIN * self.farthest_above, least)

    def sigmas(self, value: float) -> float:
        """How far a value is from the level, in spreads; at most 1,000 either way."""
        distance = value - self.level
        if distance == 0:
            return 0.0
        return max(-1000.0, min(1000.0, distance / self.spread)) if self.spread else math.copysign(1000.0, distance)


@dataclass(frozen=True, slots=True)
class Usual:
    """A series by hour of the week: Monday 00:00-01:00 UTC first. ``farthest`` are records below and above the level.

    ``trend_per_day`` is in the series' unit, 0 where a week of days does not show one; ``count`` is of all values.
    ``habits`` are the records of half hours of the day (0 to 47, UTC) in which more is usual, below and above.
    """

    levels: tuple[float, ...]
    spreads: tuple[float, ...]
    farthest: tuple[float, float]
    trend_per_day: float
    count: int
    habits: tuple[tuple[int, float, float], ...] = ()

    def at(self, instant: datetime) -> Expected:
        """What is usual at an instant (aware)."""
        place = ((instant.timestamp() - _MONDAY_SECONDS) / HOUR_SECONDS - 0.5) % HOURS_OF_WEEK
        before = int(place) % HOURS_OF_WEEK
        after, part = (before + 1) % HOURS_OF_WEEK, place - int(place)
        level = self.levels[before] + part * (self.levels[after] - self.levels[before])
        return Expected(level, max(self.spreads[before], self.spreads[after]), *self._farthest(instant))

    def _farthest(self, instant: datetime) -> tuple[float, float]:
        slot = (instant.timestamp() - 1) // _SLOT_SECONDS % _SLOTS
        below, above = self.farthest
        for one, more_below, more_above in self.habits:
            if one == slot:
                return max(below, more_below), max(above, more_above)
        return below, above

    def band(self, at: Sequence[int], sigmas: float) -> list[tuple[float, float]]:
        """What ``at(...).limits(sigmas)`` is at each of some instants (Unix seconds)."""
        place = ((np.array(at, np.float64) - _MONDAY_SECONDS) / HOUR_SECONDS - 0.5) % HOURS_OF_WEEK
        before = place.astype(np.int64) % HOURS_OF_WEEK
        after, part = (before + 1) % HOURS_OF_WEEK, place - place.astype(np.int64)
        levels, spreads = np.array(self.levels), np.array(self.spreads)
        level = levels[before] + part * (levels[after] - levels[before])
        spread = sigmas * np.maximum(spreads[before], spreads[after])
        return list(zip((level - spread).tolist(), (level + spread).tolist(), strict=True))

    def words(self, unit: str = "") -> str:
        """When it is high and low, and whether it grows, in one sentence; times are UTC."""
        days = np.array(self.levels).reshape(7, 24)
        by_hour = np.median(days, axis=0)
        spread = float(np.median(self.spreads))
        shape = f"about {_number(float(np.median(by_hour)), unit)} at all hours"
        if float(by_hour.max() - by_hour.min()) > 2 * spread:
            high, low = int(by_hour.argmax()), int(by_hour.argmin())
            shape = (
                f"highest from {_stretch(by_hour, high, high=True)} ({_number(float(by_hour[high]), unit)}), "
                f"lowest from {_stretch(by_hour, low, high=False)} ({_number(float(by_hour[low]), unit)}) UTC"
            )
        week, end = float(np.median(days[:5])), float(np.median(days[5:]))
        weekend = ""
        if abs(week - end) > 2 * spread:
            weekend = f"; at weekends {'lower' if end < week else 'higher'} ({_number(end, unit)})"
        trend = f"; {self.trend_per_day:+.3g} {unit}".rstrip() + " a day" if self.trend_per_day else ""
        return shape + weekend + trend

    def to_plain(self) -> dict[str, object]:
        """As JSON, numbers to five digits; ``from_plain`` makes a baseline of it."""
        return {
            "levels": [_short(one) for one in self.levels],
            "spreads": [_short(one) for one in self.spreads],
            "farthest": [_short(one) for one in self.farthest],
            "trend": _short(self.trend_per_day),
            "count": self.count,
            "habits": [[slot, _short(below), _short(above)] for slot, below, above in self.habits],
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Usual:
        """The baseline that was stored. Raises ValueError, TypeError or KeyError for anything else."""
        levels, spreads = tuple(map(float, plain["levels"])), tuple(map(float, plain["spreads"]))
        below, above = map(float, plain["farthest"])
        if len(levels) != HOURS_OF_WEEK or len(spreads) != HOURS_OF_WEEK:
            raise ValueError("expected 168 hours of a week")
        habits = tuple((int(slot), float(less), float(more)) for slot, less, more in plain.get("habits", ()))
        if not all(map(math.isfinite, (*levels, *spreads, below, above, *(far for one in habits for far in one)))):
            raise ValueError("expected finite numbers")
        return cls(levels, spreads, (below, above), float(plain["trend"]), int(plain["count"]), habits)


def learn(values: Sequence[tuple[int, float]], hours: Sequence[tuple[int, float]] = ()) -> Usual | None:
    """What is usual of a series' ``values`` (ends in Unix seconds, as rules judge them) and its ``hours`` before.

    Anything that is not finite, or beyond 1e200, is left out. None for too little.
    """
    at, value = _columns(values)
    if len(at) < LEAST_VALUES or at[-1] - at[0] < LEAST_SECONDS:
        return None
    hour_at, hour_value = _with_hours(at, value, *_columns(hours))
    trend = _trend(hour_at, hour_value)
    end = float(at[-1])
    levels = _levels(hour_at, hour_value - trend * (hour_at - end) / _DAY_SECONDS)
    rest = value - trend * (at - end) / _DAY_SECONDS - _interpolated(levels, at)
    hour_rest = hour_value - trend * (hour_at - end) / _DAY_SECONDS - _interpolated(levels, hour_at)
    spreads = np.maximum(_spreads(at, rest), _sigma(hour_rest))
    spreads = np.maximum(spreads, _LEAST_SPREAD_RATIO * np.abs(levels))
    every_at, every = np.concatenate([at, hour_at]), np.concatenate([rest, hour_rest])
    outside = np.abs(every) > _INCIDENT_SPREADS * float(np.median(spreads))
    habitual = np.concatenate([_habitual(at, outside[: len(at)]), _habitual(hour_at, outside[len(at) :])])
    far_out = outside & ~habitual
    ordinary = every[~outside] if not outside.all() and far_out.mean() < _INCIDENT_SHARE else every[~habitual]
    habits = _habits(every_at[habitual], every[habitual])
    return Usual(tuple(levels.tolist()), tuple(spreads.tolist()), _sides(ordinary), trend, len(at) + len(hours), habits)


def _sides(distances: Floats) -> tuple[float, float]:
    """The farthest below and above; 0 for none."""
    return float((-distances).max(initial=0.0)), float(distances.max(initial=0.0))


def _habitual(at: Ints, outside: Bools) -> Bools:
    """Which of what is far out came at about this half hour on enough days; half an hour more or less is the same."""
    slots = (at - 1) // _SLOT_SECONDS
    near = np.unique((slots[outside][:, None] + np.array([-1, 0, 1])).ravel())
    days = np.bincount(near % _SLOTS, minlength=_SLOTS)
    enough = max(_HABIT_DAYS, _HABIT_SHARE * len(np.unique((at - 1) // _DAY_SECONDS)))
    return outside & (days[slots % _SLOTS] >= enough)


def _habits(at: Ints, distances: Floats) -> tuple[tuple[int, float, float], ...]:
    """The records of the half hours of what is habitual, and of those beside them."""
    slots = (at - 1) // _SLOT_SECONDS
    found = []
    for slot in range(_SLOTS):
        near = (slots - slot + 1) % _SLOTS <= 2
        if near.any():
            below, above = _sides(_HABIT_MARGIN * distances[near])
            found.append((slot, below, above))
    return tuple(found)


def _columns(points: Sequence[tuple[int, float]]) -> tuple[Ints, Floats]:
    kept = sorted((at, value) for at, value in points if abs(value) <= MAX_MAGNITUDE)
    return np.array([at for at, _ in kept], np.int64), np.array([value for _, value in kept], np.float64)


def _with_hours(at: Ints, value: Floats, hour_at: Ints, hour_value: Floats) -> tuple[Ints, Floats]:
    """An hour's value from each hour of values, and the hours before them, moved to the values' own level.

    An hour's maximum or percentile is not that of a few minutes: where both are known they say by how much.
    """
    ends = -(-at // HOUR_SECONDS) * HOUR_SECONDS
    own_at, counts = np.unique(ends, return_counts=True)
    own_at = own_at[2 * counts >= counts.max()]  # part of an hour is not what the hour is like
    own = np.array([np.median(value[ends == one]) for one in own_at.tolist()])
    both = np.isin(hour_at, own_at)
    before = hour_at < own_at[0]
    if not before.any():
        return own_at, own
    shift = 0.0
    if both.any():
        shift = float(np.median(own[np.isin(own_at, hour_at)] - hour_value[both]))
    return np.concatenate([hour_at[before], own_at]), np.concatenate([hour_value[before] + shift, own])


def _trend(at: Ints, value: Floats) -> float:
    """The median slope between the days' medians, a day; 0 for less than a week, or where it is within the noise."""
    days = at // _DAY_SECONDS
    each = np.unique(days)
    if len(each) < _TREND_DAYS:
        return 0.0
    medians = np.array([np.median(value[days == day]) for day in each.tolist()])
    first, second = np.triu_indices(len(each), 1)
    slope = float(np.median((medians[second] - medians[first]) / (each[second] - each[first])))
    rest = medians - slope * (each - each[0])
    rest -= np.median(rest)
    return slope if abs(slope) * float(each[-1] - each[0]) > 3 * _sigma(rest) and slope else 0.0


def _levels(at: Ints, value: Floats) -> Floats:
    """The shrunken medians by hour of week."""
    hour = _hour_of_week(at)
    whole = float(np.median(value))
    of_day = np.full(24, whole)
    for one in range(24):
        mine = value[hour % 24 == one]
        if len(mine):
            of_day[one] = (len(mine) * float(np.median(mine)) + _LEAN_DAY * whole) / (len(mine) + _LEAN_DAY)
    levels = np.tile(of_day, 7)
    for one in range(HOURS_OF_WEEK):
        mine = value[hour == one]
        weight = len(mine) - 1
        if weight > 0:
            levels[one] = (weight * float(np.median(mine)) + _LEAN_WEEK * levels[one]) / (weight + _LEAN_WEEK)
    return levels


def _spreads(at: Ints, rest: Floats) -> Floats:
    """Robust standard deviations by hour of day, leaning on the whole's: a day is as good as any."""
    hour, whole = _hour_of_week(at) % 24, _sigma(rest)
    spreads = np.full(24, whole)
    for one in range(24):
        mine = rest[hour == one]
        if len(mine):
            weight = len(mine) / (len(mine) + LEAST_VALUES)
            spreads[one] = weight * _sigma(mine) + (1 - weight) * whole
    return np.tile(spreads, 7)


def _hour_of_week(at: Ints) -> Ints:
    """The hour that ends at or after an instant: a window that ends on the hour is of the hour before."""
    return (at - 1 - _MONDAY_SECONDS) // HOUR_SECONDS % HOURS_OF_WEEK


def _interpolated(levels: Floats, at: Ints) -> Floats:
    place = ((at - _MONDAY_SECONDS) / HOUR_SECONDS - 0.5) % HOURS_OF_WEEK
    before = place.astype(np.int64) % HOURS_OF_WEEK
    part = place - place.astype(np.int64)
    return levels[before] + part * (levels[(before + 1) % HOURS_OF_WEEK] - levels[before])


def _sigma(rest: Floats) -> float:
    """The median distance from 0 as a standard deviation; the mean one where more than half are 0."""
    distance = np.abs(rest)
    found = float(np.median(distance)) / _MAD_PER_SIGMA
    return found if found > 0 else float(np.mean(distance / max(len(rest), 1)) * len(rest)) * 1.2533141373155001


def _stretch(by_hour: Floats, peak: int, *, high: bool) -> str:
    """The hours around a peak that are nearer to it than to the middle: ``09:00 to 18:00``."""
    middle = (float(by_hour.max()) + float(by_hour.min())) / 2
    inside = by_hour > middle if high else by_hour < middle
    first, last = peak, peak
    while inside[(first - 1) % 24] and (last - first) < 23:
        first -= 1
    while inside[(last + 1) % 24] and (last - first) < 23:
        last += 1
    return f"{first % 24:02}:00 to {(last + 1) % 24:02}:00"


def _number(value: float, unit: str) -> str:
    return f"{value:.3g} {unit}".rstrip()


def _short(value: float) -> float:
    return float(f"{value:.5g}")
