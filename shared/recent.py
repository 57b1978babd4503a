"""What one process has published lately: the cells of each cut, by minute, for its own statistics.

The last KEPT_MINUTES minutes, and of those the newest that hold MAX_ROWS series together: about 40 MB at the very most.
What is stamped further ahead than EARLY_SECONDS is not remembered: it would be refused by ingest, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock

from .cells import Cells, merge
from .timeline import MINUTE_SECONDS

KEPT_MINUTES = 61
EARLY_SECONDS = 300
MAX_ROWS = 50_000
_MAX_PARTS = 8


class History:
    """Cells by minute, of one process. Safe between threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """``clock`` is Unix seconds."""
        self._clock = clock
        self._parts: dict[int, list[Cells]] = {}
        self._lock = Lock()

    def add(self, minutes: Mapping[int, Cells]) -> None:
        """Remember the cells of one cut, and forget what is too old or too much."""
        with self._lock:
            for minute, cells in minutes.items():
                parts = self._parts.setdefault(minute, [])
                parts.append(cells)
                if len(parts) > _MAX_PARTS:
                    self._parts[minute] = [merge(parts)]
            self._forget()

    def minutes(self, waiting: Mapping[int, Cells]) -> dict[int, Cells]:
        """Cells by minute, together with those that are in no cut yet."""
        with self._lock:
            found = {minute: list(parts) for minute, parts in self._parts.items()}
        for minute, cells in waiting.items():
            found.setdefault(minute, []).append(cells)
        return {minute: merge(parts) for minute, parts in found.items()}

    def begin_again(self) -> None:
        """In a forked child: what was published was the parent's."""
        self._parts, self._lock = {}, Lock()

    def _forget(self) -> None:
        now = self._clock()
        rows = 0
        for minute in sorted(self._parts, reverse=True):
            rows += sum(map(len, self._parts[minute]))
            remembered = now - KEPT_MINUTES * MINUTE_SECONDS < minute <= now + EARLY_SECONDS
            if not remembered or rows > MAX_ROWS:
                rows -= sum(map(len, self._parts.pop(minute)))
