"""The publisher's core: observations in, compact chunks out, each exactly once on the dashboard.

A publisher is one writer: a name and a boot id, and a sequence number for each message. What has been encoded is
kept, byte for byte, until the bus has accepted it, so a retry of any kind is the same message and counts once.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from threading import Lock
from typing import TypeAlias

from .bus import MAX_MESSAGE_BYTES
from .cells import MAX_MAGNITUDE, Observation, fold
from .errors import PermanentError, TransientError
from .formats.compact import CONTENT_TYPE, MAX_MINUTE, MAX_SECTIONS, MAX_WRITER_BYTES, Chunk, Section, encode
from .series import Kind, Series, check_series, make_labels
from .timeline import minute_of_us, to_us

Send: TypeAlias = Callable[[bytes, Mapping[str, str]], object]
"""Publishes one message: its data and attributes. Raises TransientError to be asked again."""

ATTRIBUTES = {"content-type": CONTENT_TYPE}
MAX_OBSERVATIONS = 100_000
MAX_UNSENT_BYTES = 8 * 1024 * 1024
_MAX_DATA_BYTES = MAX_MESSAGE_BYTES - 1024
"""A message's data; the rest is for the attributes."""


class Publisher:
    """Gathers observations of one process and publishes them. Safe to share between threads.

    Memory is bounded: above MAX_OBSERVATIONS between two flushes, or MAX_UNSENT_BYTES of encoded messages that
    the bus does not take, new observations are dropped and counted in ``dropped``; so are those that cannot be used,
    and those of a message that the bus refuses for good.
    """

    def __init__(self, writer: str, boot: str, send: Send) -> None:
        """Raises PermanentError ``invalid_writer`` for a name or boot id that no message can carry."""
        if max(_utf8_bytes(writer), _utf8_bytes(boot)) > MAX_WRITER_BYTES:
            raise PermanentError("invalid_writer", f"writer and boot have at most {MAX_WRITER_BYTES} bytes")
        self.dropped = 0
        self._writer = writer
        self._boot = boot
        self._send = send
        self._seq = 0
        self._gathered: list[Observation] = []
        self._unsent: deque[tuple[bytes, int]] = deque()
        self._unsent_bytes = 0
        self._lock = Lock()
        self._sending = Lock()

    def record(self, metric: str, value: float, at: datetime, kind: Kind, labels: Mapping[str, str]) -> None:
        """Gather one observation made at ``at`` (aware UTC). Never raises for want of room."""
        self.observe(Observation(Series(metric, make_labels(labels)), kind, to_us(at), value))

    def observe(self, observation: Observation) -> None:
        """Gather one observation; one that ingest would refuse is dropped and counted here already."""
        usable = _usable(observation)
        with self._lock:
            if usable and len(self._gathered) < MAX_OBSERVATIONS and self._unsent_bytes <= MAX_UNSENT_BYTES:
                self._gathered.append(observation)
            else:
                self.dropped += 1

    def flush(self) -> int:
        """Publish what was gathered, after what is left from before; how many messages the bus took.

        Raises TransientError when the bus does not answer; nothing is lost, and the next flush goes on there. A
        message that the bus refuses for good is dropped, so that it holds up no other.
        """
        with self._sending:
            with self._lock:
                gathered, self._gathered = self._gathered, []
            self._encode(gathered)
            sent = 0
            while self._unsent:
                sent += self._send_first()
            return sent

    def _send_first(self) -> bool:
        """Send the oldest message and forget it; False when it was refused."""
        message, count = self._unsent[0]
        try:
            self._send(message, ATTRIBUTES)
            taken = True
        except PermanentError:
            self._drop(count)
            taken = False
        self._unsent.popleft()
        with self._lock:
            self._unsent_bytes -= len(message)
        return taken

    def _encode(self, observations: list[Observation]) -> None:
        """Queue observations as messages: one in the common case, halves where it would be too large."""
        if not observations:
            return
        message = self._message(observations)
        if message is not None:
            self._unsent.append((message, len(observations)))
            with self._lock:
                self._unsent_bytes += len(message)
            self._seq += 1
        elif len(observations) == 1:
            self._drop(1)
        else:
            middle = len(observations) // 2
            self._encode(observations[:middle])
            self._encode(observations[middle:])

    def _message(self, observations: list[Observation]) -> bytes | None:
        """The next message; None when these observations do not fit into one."""
        minutes: dict[int, list[Observation]] = {}
        for observation in observations:
            minutes.setdefault(minute_of_us(observation.at_us), []).append(observation)
        if len(minutes) > MAX_SECTIONS:
            return None
        sections = tuple(Section(minute, fold(minutes[minute])) for minute in sorted(minutes))
        try:
            message = encode(Chunk(self._writer, self._boot, self._seq, sections))
        except PermanentError:
            return None
        return message if len(message) <= _MAX_DATA_BYTES else None

    def _drop(self, count: int) -> None:
        with self._lock:
            self.dropped += count


def _usable(observation: Observation) -> bool:
    """Whether ingest would take it; what is no text or no number at all is not, and raises nothing here."""
    try:
        check_series(observation.series)
        in_time = 0 < minute_of_us(observation.at_us) <= MAX_MINUTE
        return in_time and math.isfinite(observation.value) and abs(observation.value) <= MAX_MAGNITUDE
    except (PermanentError, ArithmeticError, AttributeError, TypeError, ValueError):
        return False


def _utf8_bytes(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise PermanentError("invalid_writer", "not UTF-8") from error


def try_flush(publisher: Publisher) -> bool:
    """Flush; False when the bus does not answer, and the messages wait for the next flush."""
    try:
        publisher.flush()
    except TransientError:
        return False
    return True
