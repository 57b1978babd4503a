"""The minutes that no evaluation has settled yet, as pages hold them: what was stored a moment ago is in them.

They are merged from their chunks at most once in ``HELD`` for all viewers, so a point is on every page that is asked
for that long after ingest has acknowledged it. Reads: of at most ``MOST_MINUTES`` minutes, one a document of a writer,
and one a minute without any; nothing where the evaluator has caught up with the clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from threading import Lock

from .buckets import writers_of
from .cells import Cells
from .minute_chunks import merge_chunks
from .retention import live
from .store import Store
from .timeline import MINUTE_SECONDS, minute_of_us, to_us

HELD = timedelta(milliseconds=500)
MOST_MINUTES = 3
"""The running one, the one that settles, and one that is judged late; of an evaluator farther behind, the newest."""


class LiveMinutes:
    """The unsettled minutes of one store. Safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held: tuple[int, datetime, Mapping[int, Cells]] | None = None
        self._lock = Lock()

    def read(self, after: int, now: datetime) -> Mapping[int, Cells]:
        """The minutes after one (Unix seconds) that have data, up to the one that runs at ``now`` (aware UTC)."""
        with self._lock:
            held = self._held
        if held is not None and held[0] == after and timedelta(0) <= now - held[1] < HELD:
            return held[2]
        running = minute_of_us(to_us(now))
        first = max(after + MINUTE_SECONDS, running - (MOST_MINUTES - 1) * MINUTE_SECONDS)
        read = {minute: self._merged(minute, now) for minute in range(first, running + 1, MINUTE_SECONDS)}
        found = {minute: cells for minute, cells in read.items() if len(cells)}
        with self._lock:
            self._held = after, now, found
        return found

    def _merged(self, minute: int, now: datetime) -> Cells:
        kept, _ = merge_chunks(minute, live(self._store.list(writers_of(minute)).documents, now))
        return kept.cells
