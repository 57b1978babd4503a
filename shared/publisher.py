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

from .cells import MAX_MAGNITUDE, Observation, fold
from .errors import PermanentError, TransientError
from .formats.compact import CONTENT_TYPE, Chunk, Section, encode
from .series import Kind, Series, check_series, make_labels
from .timeline import minute_of_us, to_us

Send: TypeAlias = Callable[[bytes, Mapping[str, str]], object]
"""Publishes one message: its data and attributes. Raises TransientError to be asked again."""

ATTRIBUTES = {"content-type": CONTENT_TYPE}
MAX_OBSERVATIONS = 100_000
MAX_UNSENT_BYTES = 8 * 1024 * 1024


class Publisher:
    """Gathers observations of one process and publishes them. Safe to share between threads.

    Memory is bounded: above MAX_OBSERVATIONS between two flushes, or MAX_UNSENT_BYTES of encoded messages that
    the bus does not take, new observations are dropped and counted in ``dropped``.
    """

    def __init__(self, writer: str, boot: str, send: Send) -> None:
        self.dropped = 0
        self._writer = writer
        self._boot = boot
        self._send = send
        self._seq = 0
        self._gathered: list[Observation] = []
        self._unsent: deque[bytes] = deque()
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

        Raises TransientError when the bus does not answer; nothing is lost, and the next flush goes on there.
        """
        with self._sending:
            self._encode()
            sent = 0
            while self._unsent:
                self._send(self._unsent[0], ATTRIBUTES)
                self._unsent_bytes -= len(self._unsent.popleft())
                sent += 1
            return sent

    def _encode(self) -> None:
        with self._lock:
            gathered, self._gathered = self._gathered, []
            if not gathered:
                return
            minutes: dict[int, list[Observation]] = {}
            for observation in gathered:
                minutes.setdefault(minute_of_us(observation.at_us), []).append(observation)
            sections = tuple(Section(minute, fold(minutes[minute])) for minute in sorted(minutes))
            message = encode(Chunk(self._writer, self._boot, self._seq, sections))
            self._unsent.append(message)
            self._unsent_bytes += len(message)
            self._seq += 1


def _usable(observation: Observation) -> bool:
    try:
        check_series(observation.series)
    except PermanentError:
        return False
    return math.isfinite(observation.value) and abs(observation.value) <= MAX_MAGNITUDE


def try_flush(publisher: Publisher) -> bool:
    """Flush; False when the bus does not answer, and the messages wait for the next flush."""
    try:
        publisher.flush()
    except TransientError:
        return False
    return True
