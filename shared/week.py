"""What was so a week before: the hours that pages compare with, and what a number's change is called.

An hour of a week ago never changes any more, as nothing is stored that is older than 72 h; so each is read once, and at
most ``MAX_HOURS`` are held, about 0.5 MB each at 105 series. One that cannot be read compares with nothing.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime
from threading import Lock

import numpy as np

from .cells import Cells
from .errors import PermanentError
from .hours import Hour, hour_of, minutes_of, read_hours
from .rules import Aggregation, Query
from .series import Labels
from .store import Store
from .timeline import HOUR_SECONDS, MINUTE_SECONDS
from .windows import evaluate

WEEK_SECONDS = 7 * 86_400
MAX_HOURS = 26
"""A day's, and the one that it begins in."""
MOST_COMPARED_SECONDS = 24 * HOUR_SECONDS
"""A longer range is compared with none: that would be more reads than the page's own."""
_ADDED_UP = (Aggregation.SUM, Aggregation.COUNT)
_OWN_UNIT = ("ms", "s", "us", "µs")


class WeekCache:
    """The hours of one store that ended days ago. Safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._hours: OrderedDict[int, Hour | None] = OrderedDict()
        self._lock = Lock()

    def read(self, hours: Sequence[int], now: datetime) -> Mapping[int, Hour]:
        """Some hours (Unix seconds of their ends), those without data left out; one read for each at most."""
        with self._lock:
            held = {hour: self._hours[hour] for hour in hours if hour in self._hours}
        missing = [hour for hour in hours if hour not in held]
        if missing:
            found = _readable(self._store, missing, now)
            held |= {hour: found.get(hour) for hour in missing}
        with self._lock:
            for hour, one in held.items():
                self._hours[hour] = one
                self._hours.move_to_end(hour)
            while len(self._hours) > MAX_HOURS:
                self._hours.popitem(last=False)
        return {hour: one for hour, one in held.items() if one is not None}


def _readable(store: Store, hours: Sequence[int], now: datetime) -> Mapping[int, Hour]:
    try:
        return read_hours(store, hours, now)
    except PermanentError:
        return {}


def is_added_up(query: Query) -> bool:
    """Whether a query's values grow with the length of their window."""
    return query.per is None and query.aggregation in _ADDED_UP


def of_an_hour(cells: Cells, query: Query, window_seconds: int) -> Mapping[Labels, float]:
    """What an hour says of a window of so many seconds: a sum or count in proportion."""
    values = evaluate(cells, query, HOUR_SECONDS)
    if is_added_up(query):
        return {labels: value * window_seconds / HOUR_SECONDS for labels, value in values.items()}
    return values


def total_of(hours: Mapping[int, Hour], query: Query, start: int, end: int) -> dict[Labels, float]:
    """A sum's values over the minutes in (start, end] (Unix seconds); empty unless all their hours are there."""
    parts: dict[Labels, list[float]] = {}
    for ends in range(hour_of(start + MINUTE_SECONDS), hour_of(end) + 1, HOUR_SECONDS):
        if ends not in hours:
            return {}
        _add(parts, hours[ends], query, [start < minute <= end for minute in minutes_of(ends)])
    return {labels: query.scale * math.fsum(values) for labels, values in parts.items()}


def _add(parts: dict[Labels, list[float]], hour: Hour, query: Query, wanted: Sequence[bool]) -> None:
    where = np.array(wanted)
    for row, name in enumerate(hour.cells.series):
        if name.metric == query.select.metric and name.matches(query.select.labels):
            sums = hour.slots.sum[row, where & (hour.slots.count[row] > 0)]
            parts.setdefault(name.group(query.group_by), []).extend(sums.tolist())


def change_of(value: float | None, before: float | None, unit: str) -> tuple[float | None, str]:
    """How a number changed, and in which unit: points of a percentage, a duration in its own, anything else in percent.

    None where either is unknown, or there was nothing to be so many percent of.
    """
    if value is None or before is None:
        return None, ""
    if unit == "%":
        return value - before, "pt"
    if unit in _OWN_UNIT:
        return value - before, unit
    return (100 * (value - before) / before, "%") if before > 0 else (None, "")
