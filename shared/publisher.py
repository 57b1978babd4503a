"""The publisher's core: observations in, compact chunks out, each exactly once on the dashboard.

A publisher is one writer: a name and a boot id, and a sequence number for each message. What has been encoded is
kept, byte for byte, until the bus has accepted it, so a retry of any kind is the same message and counts once. A
``Journal`` may keep the same on disk. ``publishing`` gives it a thread and an end.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from operator import index
from threading import Lock, RLock
from typing import TypeAlias

import numpy as np

from .bus import MAX_MESSAGE_BYTES
from .cells import MAX_MAGNITUDE, Cells, Observation, fold, merge, total_count
from .errors import PermanentError, TransientError
from .formats.compact import CONTENT_TYPE, MAX_MINUTE, MAX_SECTIONS, Chunk, Section, encode
from .identity import check_writer
from .instruments import MAX_NAMED, MAX_SERIES_BYTES, OTHERS, Instruments, series_bytes
from .journal import NO_LIMIT_US, Encoded, Journal, Left
from .logs import try_log
from .recent import History
from .series import Kind, Series, check_series, make_labels
from .timeline import US_PER_SECOND, minute_of_us, to_us

Send: TypeAlias = Callable[[bytes, Mapping[str, str]], object]
"""Publishes one message: its data and attributes. Raises TransientError to be asked again."""

ATTRIBUTES = {"content-type": CONTENT_TYPE}
MAX_OBSERVATIONS = 100_000
MAX_UNSENT_BYTES = 8 * 1024 * 1024
_MAX_DATA_BYTES = MAX_MESSAGE_BYTES - 1024
"""A message's data; the rest is for the attributes."""
_MAX_AT_US = MAX_MINUTE * US_PER_SECOND
_NOT_THE_MESSAGE = "unknown_topic"
"""What the bus refuses for good for this reason is not to blame: a topic can be made."""


class Publisher:
    """Gathers observations of one process and publishes them. Safe to share between threads.

    Memory is bounded: above MAX_OBSERVATIONS or MAX_SERIES_BYTES between two flushes, or MAX_UNSENT_BYTES of encoded
    messages that the bus does not take, new observations are dropped and counted in ``dropped``; so are those that
    cannot be used, and those of a message that the bus refuses for good. ``crowded`` says of which metrics there were
    too many series: observations of the first twenty metrics that had any, and of all others together.
    """

    def __init__(
        self,
        writer: str,
        boot: str,
        send: Send,
        *,
        journal: Journal | None = None,
        left: Left | None = None,
        instruments: Instruments | None = None,
        history: History | None = None,
        half_full: Callable[[], object] = lambda: None,
    ) -> None:
        """``instruments`` are cut together with what is recorded here; ``history`` gets the cells of each cut.

        ``half_full`` is called, by whoever records, when half of MAX_OBSERVATIONS have been gathered since the last
        cut: one is wanted soon.

        Raises PermanentError ``invalid_writer`` for a name or boot id that no message can carry.
        """
        check_writer(writer, boot)
        left = left or Left()
        self.dropped = 0
        self.crowded: dict[str, int] = {}
        self.sent = 0
        self.refused = ""
        """Why the bus refused the last message that was sent; empty where it took it."""
        self._writer = writer
        self._boot = boot
        self._send = send
        self._journal = journal
        self._instruments = instruments
        self._history = history
        self._half_full = half_full
        self._seq = left.next_seq
        self._gathered = list(left.observations)
        self._carried: list[Observation] = []
        self._unsent = deque(left.messages)
        self._unsent_bytes = sum(len(message.data) for message in left.messages)
        self._called: dict[tuple[object, ...], Series] = {}
        self._known: dict[Series, Series] = {}
        self._known_bytes = 0
        self._lock = RLock()  # a finalizer or signal handler may record in the midst of recording
        self._sending = Lock()
        self._cutting = RLock()

    @property
    def waiting(self) -> int:
        """How many observations are in no message yet."""
        instruments = 0 if self._instruments is None else self._instruments.waiting
        return len(self._gathered) + len(self._carried) + instruments

    def peek(self) -> dict[int, Cells]:
        """By minute, the cells of what is in no message yet."""
        with self._lock:
            waiting = self._carried + self._gathered
        found = self._folded(waiting, peeking=True)
        for minute, parts in ({} if self._instruments is None else self._instruments.peek()).items():
            found.setdefault(minute, []).extend(parts)
        return {minute: merge(parts) for minute, parts in found.items()}

    def recent(self) -> dict[int, Cells]:
        """By minute, the cells of the history and of what is in no message yet."""
        with self._cutting:  # what is cut meanwhile would be in neither
            waiting = self.peek()
            return waiting if self._history is None else self._history.minutes(waiting)

    @property
    def unsent(self) -> tuple[int, int]:
        """How many messages the bus has not accepted yet, and their bytes."""
        return len(self._unsent), self._unsent_bytes

    def record(self, metric: str, value: float, at: datetime, kind: Kind, labels: Mapping[str, str]) -> None:
        """Gather one observation made at ``at`` (aware UTC). Never raises for want of room."""
        self.record_us(metric, value, to_us(at), kind, labels)

    def record_us(self, metric: str, value: float, at_us: int, kind: Kind, labels: Mapping[str, str]) -> None:
        """The same, at Unix microseconds. The dearest part, a series' check, is done once for each between flushes."""
        try:
            called = (metric, *labels.items())
            series = self._called.get(called)
            if series is None:
                series = self._intern(Series(metric, make_labels(labels)))
                if len(self._called) < MAX_OBSERVATIONS:
                    self._called[called] = series
            observation = _usable(series, kind, at_us, value)
        except _UNUSABLE:
            self._drop(1)
        else:
            self._gather(observation)

    def observe(self, observation: Observation) -> None:
        """Gather one observation; one that ingest would refuse is dropped and counted here already."""
        self.observe_us(*observation)

    def observe_us(self, series: Series, kind: Kind, at_us: int, value: float) -> None:
        """The same by its parts."""
        try:
            usable = _usable(self._known.get(series) or self._intern(series), kind, at_us, value)
        except _UNUSABLE:
            self._drop(1)
        else:
            self._gather(usable)

    def cut(self, until_us: int = NO_LIMIT_US) -> None:
        """Encode what was observed up to ``until_us``; what is later stays, at most until the next cut."""
        with self._sending:
            self._cut(until_us)

    def flush(self) -> int:
        """Publish what was gathered, after what is left from before; how many messages the bus took.

        Raises TransientError when the bus does not answer; nothing is lost, and the next flush goes on there. A
        message that the bus refuses for good is dropped, so that it holds up no other.
        """
        with self._sending:
            self._cut(NO_LIMIT_US)
            return self._send_all()

    def send(self) -> int:
        """Publish what was cut, as ``flush`` does."""
        with self._sending:
            return self._send_all()

    def _gather(self, observation: Observation) -> None:
        with self._lock:
            if len(self._gathered) < MAX_OBSERVATIONS and self._unsent_bytes <= MAX_UNSENT_BYTES:
                if self._journal is not None:
                    self._journal.append(observation)
                self._gathered.append(observation)
                is_half_full = len(self._gathered) == MAX_OBSERVATIONS // 2
            else:
                self.dropped += 1
                is_half_full = False
        if is_half_full:
            self._half_full()

    def _intern(self, series: Series) -> Series:
        """One object for equal series that ingest takes. Raises one of _UNUSABLE for others, and for want of room."""
        known = self._known.get(series)
        if known is not None:
            return known
        size = series_bytes(check_series(series))
        with self._lock:
            if self._known_bytes + size > MAX_SERIES_BYTES:
                name = series.metric if series.metric in self.crowded or len(self.crowded) < MAX_NAMED else OTHERS
                self.crowded[name] = self.crowded.get(name, 0) + 1
                raise PermanentError("too_many_series")
            self._known_bytes += size
            return self._known.setdefault(series, series)

    def _cut(self, until_us: int) -> None:
        with self._cutting:
            minutes, rotated = self._take(until_us)
            if self._history is not None:
                self._history.add(minutes)
        messages = self._encode(minutes)
        if self._journal is not None and rotated:
            self._journal.keep(messages, self._seq, until_us)
        self._unsent.extend(messages)
        with self._lock:
            self._unsent_bytes += sum(len(message.data) for message in messages)

    def _take(self, until_us: int) -> tuple[dict[int, Cells], bool]:
        """The cells to be sent now, by minute, and whether the journal has begun another generation."""
        found: dict[int, list[Cells]] = {}
        rotated = False
        with self._lock:
            gathered, self._gathered = self._gathered, []
            if gathered or self._carried:
                rotated = True
                if self._journal is not None:
                    self._journal.rotate()
                if self._known_bytes > MAX_SERIES_BYTES // 2 or len(self._called) > MAX_OBSERVATIONS // 2:
                    self._called, self._known, self._known_bytes = {}, {}, 0
        if rotated:
            due = self._carried + [one for one in gathered if one.at_us <= until_us]
            self._carried = [one for one in gathered if one.at_us > until_us]
            found = self._folded(due)
        if self._instruments is not None:
            for minute, parts in self._instruments.take(minute_of_us(until_us)).items():
                found.setdefault(minute, []).extend(parts)
        return {
            minute: found[minute][0] if len(found[minute]) == 1 else merge(found[minute]) for minute in sorted(found)
        }, rotated

    def _folded(self, observations: list[Observation], *, peeking: bool = False) -> dict[int, list[Cells]]:
        """Cells by minute. Where one observation cannot be folded it alone is dropped."""
        minutes: dict[int, list[Observation]] = {}
        for observation in observations:
            minutes.setdefault(minute_of_us(observation.at_us), []).append(observation)
        try:
            return {minute: [fold(within)] for minute, within in minutes.items()}
        except Exception:  # noqa: BLE001 - whatever one of them does to numpy, the others must arrive
            if len(observations) == 1:
                self._drop(0 if peeking else 1)
                return {}
        middle = len(observations) // 2
        found = self._folded(observations[:middle], peeking=peeking)
        for minute, parts in self._folded(observations[middle:], peeking=peeking).items():
            found.setdefault(minute, []).extend(parts)
        return found

    def _send_all(self) -> int:
        taken = 0
        while self._unsent:
            taken += self._send_first()
        return taken

    def _send_first(self) -> bool:
        """Send the oldest message and forget it; False when it was refused."""
        message = self._unsent[0]
        try:
            self._send(message.data, ATTRIBUTES)
            self.sent += 1
            self.refused = ""
            taken = True
        except PermanentError as error:
            if error.reason == _NOT_THE_MESSAGE:
                raise TransientError(error.reason, error.detail) from error
            self._drop(message.observations)
            self.refused = error.reason
            try_log(
                "message_dropped",
                "ERROR",
                reason=error.reason,
                detail=error.detail,
                observations=message.observations,
            )
            taken = False
        self._unsent.popleft()
        with self._lock:
            self._unsent_bytes -= len(message.data)
        if self._journal is not None:
            self._journal.forget(message.seq)
        return taken

    def _encode(self, minutes: Mapping[int, Cells]) -> list[Encoded]:
        """Cells by minute as messages: one in the common case, halves where it would be too large."""
        if not minutes:
            return []
        count = total_count(minutes.values())
        data = self._message(minutes)
        if data is not None:
            self._seq += 1
            return [Encoded(self._seq - 1, data, count)]
        halves = _halves(minutes)
        if not halves:
            self._drop(count)
        return [message for half in halves for message in self._encode(half)]

    def _message(self, minutes: Mapping[int, Cells]) -> bytes | None:
        """The next message; None when these cells do not fit into one, or one of them into none."""
        if len(minutes) > MAX_SECTIONS:
            return None
        sections = tuple(Section(minute, cells) for minute, cells in minutes.items())
        try:
            message = encode(Chunk(self._writer, self._boot, self._seq, sections))
        except Exception:  # noqa: BLE001 - whatever one of them does to numpy, the others must arrive
            return None
        return message if len(message) <= _MAX_DATA_BYTES else None

    def _drop(self, count: int) -> None:
        with self._lock:
            self.dropped += count


_UNUSABLE = (PermanentError, ArithmeticError, AttributeError, TypeError, ValueError)


def _usable(series: Series, kind: Kind, at_us: int, value: float) -> Observation:
    """An observation that ingest takes, in plain numbers. Raises one of _UNUSABLE for what is none."""
    if value.__class__ is not float:
        math.isfinite(value)  # refuses text, which float() would read
        value = float(value)
    if at_us.__class__ is not int:
        at_us = index(at_us)
    if kind.__class__ is not Kind:
        kind = Kind(kind)
    least = 0.0 if kind is Kind.COUNTER else -MAX_MAGNITUDE
    if least <= value <= MAX_MAGNITUDE and 0 < at_us <= _MAX_AT_US:
        return Observation(series, kind, at_us, value)
    raise PermanentError("invalid_observation")


def _halves(minutes: Mapping[int, Cells]) -> Sequence[dict[int, Cells]]:
    """The same cells in two: by minutes, or of one minute by series; none when there is one series only."""
    if len(minutes) > 1:
        ordered = list(minutes.items())
        return dict(ordered[: len(ordered) // 2]), dict(ordered[len(ordered) // 2 :])
    ((minute, cells),) = minutes.items()
    if len(cells) < 2:
        return ()
    middle = len(cells) // 2
    return {minute: cells.take(np.arange(middle))}, {minute: cells.take(np.arange(middle, len(cells)))}


def try_flush(publisher: Publisher) -> bool:
    """Flush; False when the bus does not answer, and the messages wait for the next flush."""
    try:
        publisher.flush()
    except TransientError:
        return False
    return True
