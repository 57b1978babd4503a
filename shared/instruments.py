"""Instruments: where a service's observations wait for the next cut, in 16 bytes each, series by series.

Recording adds a time and a value to the series' bytes, in one step that no other thread and no signal can come between:
no lock, no look at labels, and nothing left for the garbage collector. What has gathered is folded into cells, by
minute, when somebody asks for it, or by whoever records when many wait: at most MAX_WAITING observations, or MIN_EACH
a series where there are very many. Names and labels take at most MAX_SERIES_BYTES; what has no room is counted by
metric. A series that nobody holds and that has nothing waiting makes room when half is taken.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from struct import Struct
from threading import RLock
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from .errors import PermanentError
from .series import Kind, Series, check_series, make_labels

if TYPE_CHECKING:
    from .cells import Cells

MAX_WAITING = 200_000
MAX_EACH = 4_096
MIN_EACH = 4
MAX_SERIES_BYTES = 32 * 1024 * 1024
"""Of the names and labels of different series, each with _SERIES_BYTES for its objects."""
_SERIES_BYTES = 300
MAX_NAMED = 20
"""Metrics of which it is said by name how many observations had no room."""
OTHERS = "(others)"
_MAX_PARTS = 32
"""Cells of one minute that wait to be merged."""

PAIR = Struct("2d")
Pair: TypeAlias = bytes
"""Unix seconds and a value, as PAIR packs them."""
_pack = PAIR.pack


class Gathered(NamedTuple):
    """One series' pairs, end to end, and what counts them."""

    series: Series
    kind: Kind
    counted: Series | None
    pairs: bytearray

    @property
    def observations(self) -> int:
        """How many they are."""
        return len(self.pairs) // PAIR.size


class Instrument:
    """Gathers the observations of one series. Shared between threads; made by ``Instruments.bind``.

    ``counted`` is a counter that grows by one with each observation. ``hold`` adds a pair to what waits.
    """

    __slots__ = ("_add", "_clock", "_held", "_limit", "_room", "counted", "hold", "kind", "series")

    def __init__(self, series: Series, kind: Kind, room: Instruments, counted: Series | None) -> None:
        self.series = series
        self.kind = kind
        self.counted = counted
        self._room = room
        self._clock = room.clock
        self._held = bytearray()
        self.hold: Callable[[Pair], object] = self._held.extend
        self._add: Callable[[Pair], object] = self._begin
        self._limit = PAIR.size * MAX_EACH

    def observe(self, value: float) -> None:
        """Gather one observation, made now. Never raises and never waits; what is no number is counted as dropped."""
        try:
            self._add(_pack(self._clock(), value))
        except Exception:  # noqa: BLE001 - a service does not fail for its metrics
            self._room.lose()
        if len(self._held) >= self._limit:
            self._room.fold_one(self)

    add = observe
    """For a counter: what was added since the last time."""
    set = observe
    """For a gauge: the level now."""

    def begin_again(self) -> None:
        """Forget what has gathered, and begin with the next observation; for a forked child."""
        self._held.clear()
        self.begin_anew()

    def begin_anew(self) -> None:
        """Ask with the next observation again where it goes; what has gathered stays."""
        self._add = self._begin

    def refuse(self, count: Callable[[Pair], object]) -> None:
        """Have what comes from now on counted, and dropped."""
        self._add = count

    def share(self, each: int) -> None:
        """Let so many observations wait, then fold them."""
        self._limit = PAIR.size * each

    def take(self) -> bytearray:
        """The pairs that have gathered, end to end; they are not there any more. One caller at a time."""
        count = len(self._held)
        taken = self._held[:count]
        del self._held[:count]  # what came meanwhile stands behind it
        return taken

    @property
    def waiting(self) -> int:
        """How many observations have gathered."""
        return len(self._held) // PAIR.size

    @property
    def is_of_a_series(self) -> bool:
        """False for one that drops all it gets, since what it was asked for is no series or has no room."""
        return bool(self.series.metric)

    @property
    def own_references(self) -> int:
        """How many references to itself it holds."""
        return 0 if self._add is self.hold else 1

    def _begin(self, pair: Pair) -> None:
        """The first observation of a process: begin its life, and from now on add, or hand on, plainly."""
        self._add = self._room.begin(self)
        self._add(pair)


class Instruments:
    """All instruments of a process. Safe between threads.

    ``begin`` is told of the first observation that each instrument gets in a process; what it returns takes that one
    and all that follow: the instrument's ``hold``, or what records elsewhere. ``dropped`` and ``crowded`` count as in
    ``Publisher``.
    """

    def __init__(self, clock: Callable[[], float], begin: Callable[[Instrument], Callable[[Pair], object]]) -> None:
        """``clock`` is Unix seconds."""
        self.clock = clock
        self.begin = begin
        self.dropped = 0
        self.crowded: dict[str, int] = {}
        self.called: dict[tuple[object, ...], Instrument] = {}
        """Instruments under whatever a caller found them by: cleared now and then."""
        self._bound: dict[Series, Instrument] = {}
        self._leaving: list[Instrument] = []
        self._bytes = 0
        self._parts: dict[int, list[Cells]] = {}
        self._counts: dict[int, dict[Series, int]] = {}
        self._each = MAX_EACH
        self._waited: set[int] = set()
        self._lock = RLock()  # a signal handler may record in the midst of this
        self._busy = False
        self._ended = False

    def bind(self, metric: str, kind: Kind, labels: Mapping[str, str], counted: str | None = None) -> Instrument:
        """The instrument of a series, the same each time; where kinds differ it has the greater.

        ``counted`` names the counter of the same labels that counts its observations. Raises PermanentError,
        AttributeError or TypeError for what is no series, and PermanentError ``too_many_series`` for want of room.
        """
        series = Series(metric, make_labels(labels))
        found = self._bound.get(series)
        if found is None:
            beside = None if counted is None else check_series(Series(counted, series.labels))
            found = self._add(check_series(series), kind, beside)
        found.kind = max(found.kind, kind)
        return found

    def refusing(self, metric: str | None) -> Instrument:
        """One that drops and counts: for want of room of a metric's, or else as unusable."""
        made = Instrument(Series(""), Kind.GAUGE, self, None)
        made.refuse(self.lose if metric is None else lambda _: self.crowd(metric))
        return made

    def crowd(self, metric: str) -> None:
        """An observation had no room."""
        with self._lock:
            name = metric if metric in self.crowded or len(self.crowded) < MAX_NAMED else OTHERS
            self.crowded[name] = self.crowded.get(name, 0) + 1
            self.dropped += 1

    def lose(self, *_: object) -> None:
        """An observation could not be used."""
        with self._lock:
            self.dropped += 1

    @property
    def waiting(self) -> int:
        """How many observations have gathered and are in no message yet."""
        parts = [part for parts in list(self._parts.values()) for part in list(parts)]
        counts = sum(len(counts) for counts in list(self._counts.values()))
        return sum(one.waiting for one in self._all()) + sum(int(part.count.sum()) for part in parts) + counts

    def take(self, until_minute: int) -> dict[int, list[Cells]]:
        """Cells up to a minute; those of later ones wait for the next time, and no longer."""
        with self._lock:
            self._fold(self._all())
            due = {minute for minute in self._parts if minute <= until_minute or minute in self._waited}
            taken = {minute: self._parts[minute] + self._counted(minute) for minute in due}
            for minute in due:
                del self._parts[minute]
                self._counts.pop(minute, None)
            self._waited = set(self._parts)
            self._make_room()
        return taken

    def peek(self) -> dict[int, list[Cells]]:
        """The cells that the next ``take`` of everything would give."""
        with self._lock:
            self._fold(self._all())
            return {minute: parts + self._counted(minute) for minute, parts in self._parts.items()}

    def fold_one(self, instrument: Instrument) -> None:
        """Fold what one has gathered; while another thread is at it, let as much more wait instead."""
        if self._lock.acquire(blocking=False):
            try:
                self._fold([instrument])
            finally:
                self._lock.release()
        else:
            instrument.share(instrument.waiting + self._each)

    def begin_again(self) -> None:
        """In a forked child: what had gathered is the parent's."""
        self._lock = RLock()
        self._busy = self._ended = False
        self._parts, self._counts, self._waited = {}, {}, set()
        self.dropped, self.crowded = 0, {}
        for one in self._all():
            one.begin_again()

    def begin_anew(self, metric: str) -> None:
        """Have ``begin`` told of a metric's instruments with their next observation again."""
        with self._lock:
            for one in self._all():
                if one.series.metric == metric and not self._ended:
                    one.begin_anew()

    def end(self) -> None:
        """Take nothing more."""
        with self._lock:
            self._ended = True
            for one in self._all():
                one.refuse(self.lose)

    def _add(self, series: Series, kind: Kind, counted: Series | None) -> Instrument:
        with self._lock:
            size = series_bytes(series)
            if self._bytes + size > MAX_SERIES_BYTES:
                raise PermanentError("too_many_series")
            made = Instrument(series, kind, self, counted)
            made.share(self._each)
            if self._ended:
                made.refuse(self.lose)
            found = self._bound.setdefault(series, made)
            if found is made:
                self._bytes += size
                self._share()
            return found

    def _share(self) -> None:
        """Divide the room for what waits anew, when there are twice as many series as before, or half."""
        each = max(MIN_EACH, min(MAX_EACH, MAX_WAITING // max(len(self._bound), 1)))
        if not self._each // 2 < each <= self._each:
            self._each = each
            for one in self._all():
                one.share(each)

    def _all(self) -> list[Instrument]:
        return [*self._bound.values(), *self._leaving]

    def _fold(self, instruments: Iterable[Instrument]) -> None:
        """Make cells of what has gathered. Holding the lock; a call in the midst of another does nothing."""
        if self._busy:
            return
        self._busy = True
        taken: list[Gathered] = []
        try:
            for one in instruments:
                one.share(self._each)  # again: more may have waited while another thread was here
                if pairs := one.take():
                    taken.append(Gathered(one.series, one.kind, one.counted, pairs))
            if taken:
                self._add_parts(taken)
        except Exception:  # noqa: BLE001 - whoever records gets none
            self.dropped += sum(one.observations for one in taken)
        finally:
            self._busy = False

    def _add_parts(self, taken: list[Gathered]) -> None:
        from .cells import merge  # with numpy, so not before there is something to fold
        from .gathering import fold_gathered

        minutes, refused = fold_gathered(taken)
        self.dropped += refused
        counted = {one.series: one.counted for one in taken if one.counted is not None}
        for minute, cells in minutes.items():
            parts = self._parts.setdefault(minute, [])
            parts.append(cells)
            if len(parts) > _MAX_PARTS:
                self._parts[minute] = [merge(parts)]
            if counted:
                self._count(counted, cells, self._counts.setdefault(minute, {}))

    def _count(self, counted: Mapping[Series, Series], cells: Cells, counts: dict[Series, int]) -> None:
        """Add the observations of cells to what counts them."""
        for series, count in zip(cells.series, cells.count.tolist(), strict=True):
            if (counter := counted.get(series)) is not None:
                counts[counter] = counts.get(counter, 0) + count

    def _counted(self, minute: int) -> list[Cells]:
        """The counters that count a minute's observations, one delta each."""
        from .gathering import counters

        counts = self._counts.get(minute)
        return [counters(counts, max(int(part.last_at_us.max()) for part in self._parts[minute]))] if counts else []

    def _make_room(self) -> None:
        """Let go of series that nobody holds, when half the room is taken.

        First an instrument is out of every reader's reach, then it is seen whether anyone has it still: who does may
        observe with it, and it is read until nobody does.
        """
        if self._bytes > MAX_SERIES_BYTES // 2:
            self.called.clear()
            self._leaving += self._bound.values()
            self._bound.clear()
        elif not self._leaving:
            return
        leaving, self._leaving = self._leaving, []
        while leaving:
            one = leaving.pop()
            unheld = sys.getrefcount(one) - one.own_references == _OWN_REFERENCES
            if unheld and not one.waiting:
                self._bytes -= series_bytes(one.series)
            elif self._bound.setdefault(one.series, one) is not one:
                self._leaving.append(one)
        self._share()


_OWN_REFERENCES = 2
"""Of an object that one variable holds, as ``getrefcount`` counts: the variable, and its own argument."""


def series_bytes(series: Series) -> int:
    """What a series takes of MAX_SERIES_BYTES."""
    return (
        _SERIES_BYTES + len(series.metric.encode()) + sum(len(text.encode()) for pair in series.labels for text in pair)
    )
