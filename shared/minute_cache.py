"""Settled minutes as pages hold them: read once, and again as soon as the evaluator has changed them.

Rollups change only while the evaluator runs, and a run that judged a minute moves the cursor. So while the cursor
stands, nothing is read again, for at most ``RECHECK_AFTER`` (a run that ended early moves no cursor); when it has
moved, two kinds of update times say what changed:

- of an hour that has ended, the hour's own: it is built again whenever one of its minutes changes. One read an hour;
  when it differs, the hour's minutes are read. An hour that is not there holds no data, and costs no more reads. Of
  series that an hour has no room for (beyond 10,000) a change is seen with the next one of any other.
- of the hour that still runs, each minute's. At most 60 reads, and one more for each that is new or changed.

Late data is therefore on the first page after the evaluation that rolled it up again, and an absence is never
believed for longer than that. Nothing is held of minutes after the cursor, nor before there is one.

Reads: 60 for each hour of a range that is seen for the first time or has changed; after an evaluation one for each
hour that has ended, at most 60 for the one that runs, and one for each of its minutes that is new or changed;
otherwise none. Memory: about 1.5 MB an hour at 105 series, for at most ``MAX_HOURS`` hours.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Lock

from .buckets import expired
from .cells import Cells
from .errors import PermanentError
from .hours import hour_of, hour_path, minutes_of
from .rollups import read_rollups, rollup_path
from .series import Series
from .store import Document, Store
from .timeline import HOUR_SECONDS, MINUTE_SECONDS

RECHECK_AFTER = timedelta(minutes=1)
MAX_HOURS = 80
"""72 hours, and what a window and a step reach back before them."""
MAX_SERIES = 50_000
"""Series that minutes share instead of holding one each."""
_UNREADABLE = ("unknown_version", "malformed_chunk", "chunk_too_large", "invalid_series")


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the evaluator stands: the last minute it judged (Unix seconds), and when it did.

    ``first`` is the first that it ever judged; 0 where that is not known.
    """

    minute: int
    decided_at: datetime
    first: int = 0


@dataclass(frozen=True, slots=True)
class Minutes:
    """The minutes of a range that have data, by their end (Unix seconds).

    ``serials`` has a number for each, another whenever it was read again. ``unreadable`` are those that this version
    cannot read: they are there, and nobody knows what they say.
    """

    cells: Mapping[int, Cells] = field(default_factory=dict)
    serials: Mapping[int, int] = field(default_factory=dict)
    unreadable: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class _Held:
    """A minute: None is one that cannot be read. ``version`` is its own update time while its hour runs."""

    cells: Cells | None
    serial: int
    version: datetime | None


@dataclass(frozen=True, slots=True)
class _Hour:
    """An hour as it was checked last, at ``at`` and under ``cursor``; ``version`` is its update time once ended."""

    cursor: Cursor
    at: datetime
    version: datetime | None
    minutes: Mapping[int, _Held]

    def is_current(self, cursor: Cursor, now: datetime) -> bool:
        return self.cursor == cursor and now - self.at < RECHECK_AFTER


class MinuteCache:
    """The minutes of one store. Safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._hours: OrderedDict[int, _Hour] = OrderedDict()
        self._series: dict[Series, Series] = {}
        self._serial = itertools.count(1)
        self._lock = Lock()

    def read(self, first: int, last: int, cursor: Cursor | None, now: datetime) -> Minutes:
        """The minutes from ``first`` to ``last`` (Unix seconds, both included), none after the cursor."""
        last = min(last, cursor.minute) if cursor else first - MINUTE_SECONDS
        if cursor is None or last < first:
            return Minutes()
        hours = self._checked(range(hour_of(first), hour_of(last) + HOUR_SECONDS, HOUR_SECONDS), cursor, now)
        held = {
            minute: one
            for hour in hours.values()
            for minute, one in sorted(hour.minutes.items())
            if first <= minute <= last and not expired(minute, now)
        }
        return Minutes(
            {minute: one.cells for minute, one in held.items() if one.cells is not None},
            {minute: one.serial for minute, one in held.items()},
            frozenset(minute for minute, one in held.items() if one.cells is None),
        )

    def _checked(self, hours: Sequence[int], cursor: Cursor, now: datetime) -> dict[int, _Hour]:
        """The hours, ascending; those that may have changed are looked at first."""
        with self._lock:
            held = {hour: one for hour in hours if (one := self._hours.get(hour)) and one.at <= now}
        due = [hour for hour in hours if hour not in held or not held[hour].is_current(cursor, now)]
        if due:
            held |= self._look_at(due, held, cursor, now)
        with self._lock:
            for hour in hours:
                self._hours[hour] = held[hour]
                self._hours.move_to_end(hour)
            while len(self._hours) > MAX_HOURS:
                self._hours.popitem(last=False)
        return {hour: held[hour] for hour in hours}

    def _look_at(
        self, due: Iterable[int], held: Mapping[int, _Hour], cursor: Cursor, now: datetime
    ) -> dict[int, _Hour]:
        """The hours as they are now: update times in one read, then what they say has changed in another."""
        minutes = {hour: [minute for minute in minutes_of(hour) if minute <= cursor.minute] for hour in due}
        heads = self._store.get([path for hour, some in minutes.items() for path in _watched(hour, some, cursor)])
        kept: dict[int, dict[int, _Held]] = {}
        missing: list[int] = []
        for hour, some in minutes.items():
            check = _unchanged if hour > cursor.minute else _unchanged_since_its_end
            kept[hour], changed = check(hour, some, heads, held.get(hour))
            missing += changed
        read = self._read(missing, heads, now)
        found: dict[int, _Hour] = {}
        for hour, some in minutes.items():
            head = heads.get(hour_path(hour))
            merged = {**kept[hour], **{minute: read[minute] for minute in some if minute in read}}
            found[hour] = _Hour(cursor, now, head.update_time if head else None, merged)
        return found

    def _read(self, minutes: Sequence[int], heads: Mapping[str, Document], now: datetime) -> dict[int, _Held]:
        """Some minutes; those that are not there are left out."""
        held: dict[int, _Held] = {}
        for minute, cells in (_readable(self._store, minutes, now) if minutes else {}).items():
            head = heads.get(rollup_path(minute))
            held[minute] = _Held(self._shared(cells), next(self._serial), head.update_time if head else None)
        return held

    def _shared(self, cells: Cells | None) -> Cells | None:
        """The cells with the series that other minutes have too: half of the memory."""
        if cells is None:
            return None
        with self._lock:
            if len(self._series) > MAX_SERIES:
                self._series.clear()
            return replace(cells, series=tuple(self._series.setdefault(name, name) for name in cells.series))


def _watched(hour: int, minutes: Iterable[int], cursor: Cursor) -> list[str]:
    """The documents whose update times tell whether an hour has changed."""
    return [rollup_path(minute) for minute in minutes] if hour > cursor.minute else [hour_path(hour)]


def _unchanged(
    _: int, minutes: Iterable[int], heads: Mapping[str, Document], before: _Hour | None
) -> tuple[dict[int, _Held], list[int]]:
    """Of the hour that runs: the minutes that are still what is held, and those to be read."""
    kept: dict[int, _Held] = {}
    missing: list[int] = []
    for minute in minutes:
        head, one = heads.get(rollup_path(minute)), before.minutes.get(minute) if before else None
        if head is not None and one is not None and one.version == head.update_time:
            kept[minute] = one
        elif head is not None:
            missing.append(minute)
    return kept, missing


def _unchanged_since_its_end(
    hour: int, minutes: Sequence[int], heads: Mapping[str, Document], before: _Hour | None
) -> tuple[dict[int, _Held], list[int]]:
    """Of an hour that has ended: all or none of its minutes are held."""
    head = heads.get(hour_path(hour))
    if head is None:
        return {}, []
    if before is not None and before.version == head.update_time:
        return {**before.minutes}, []
    return {}, [*minutes]


def _readable(store: Store, minutes: Sequence[int], now: datetime) -> dict[int, Cells | None]:
    """Some minutes, None for one that cannot be read: it is found by halving, so that it hides no other."""
    try:
        return {**read_rollups(store, minutes, now)}
    except PermanentError as error:
        if error.reason not in _UNREADABLE:
            raise
    if len(minutes) == 1:
        return {minutes[0]: None}
    middle = len(minutes) // 2
    return {**_readable(store, minutes[:middle], now), **_readable(store, minutes[middle:], now)}
