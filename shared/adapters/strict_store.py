"""A store for tests that refuses what production refuses and the emulator lets pass.

It wraps any other store and adds: the limits of ``limits`` whatever the wrapped store checks, at most 40,000 index
entries a document (https://cloud.google.com/firestore/quotas), and a warning for every document that is written
more than once a second for longer than ten seconds, which production slows down or answers with an error.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from .. import limits
from ..errors import PermanentError
from ..store import Document, Fields, Listing, Put, Store, Write
from .merging import merged

MAX_INDEX_ENTRIES = 40_000
SUSTAINED_SECONDS = 10
_ENTRIES_PER_VALUE = 2
"""One ascending, one descending: https://cloud.google.com/firestore/docs/query-data/index-overview"""


class StrictStore:
    """A ``Store`` around ``inner``. ``warnings`` grows by a sentence for each write that is too soon.

    ``exempt`` are the top-level fields without indexes, as ``collection/field`` with the collection's last part, or
    ``collection/*`` for all fields of one; ``now`` gives the aware UTC time of a write.
    """

    def __init__(self, inner: Store, now: Callable[[], datetime], exempt: Collection[str] = ()) -> None:
        self.warnings: list[str] = []
        self._inner = inner
        self._now = now
        self._exempt = frozenset(exempt)
        self._lock = threading.Lock()
        self._written: defaultdict[str, deque[datetime]] = defaultdict(deque)

    def get(self, paths: Sequence[str]) -> dict[str, Document]:
        """See ``Store.get``."""
        limits.check_paths(paths)
        return self._inner.get(paths)

    def list(self, collection: str, start: str = "", end: str | None = None, limit: int | None = None) -> Listing:
        """See ``Store.list``."""
        limits.check_range(collection, start, end, limit)
        return self._inner.list(collection, start, end, limit)

    def commit(self, writes: Sequence[Write]) -> datetime:
        """See ``Store.commit``; also raises ``PermanentError`` with ``too_many_index_entries``."""
        limits.check_commit(writes)
        self._check_results([write for write in writes if isinstance(write, Put)])
        commit_time = self._inner.commit(writes)
        with self._lock:
            at = self._now()
            for write in writes:
                self._note(write.path, at)
        return commit_time

    def _check_results(self, puts: Sequence[Put]) -> None:
        """Check the documents as they will be; a merge by another thread in between goes unseen."""
        existing = self._inner.get([put.path for put in puts if put.merge])
        for put in puts:
            fields = put.fields
            if put.merge:
                fields = merged(existing[put.path].fields if put.path in existing else {}, fields)
            limits.check_document(put.path, fields)
            self._check_index_entries(put.path, fields)

    def _check_index_entries(self, path: str, fields: Fields) -> None:
        collection = path.split("/")[-2]
        if f"{collection}/*" in self._exempt:
            return
        indexed = [value for name, value in fields.items() if f"{collection}/{name}" not in self._exempt]
        entries = sum(map(index_entries, indexed))
        if entries > MAX_INDEX_ENTRIES:
            raise PermanentError("too_many_index_entries", f"{entries}, at most {MAX_INDEX_ENTRIES}: {path[:100]!r}")

    def _note(self, path: str, at: datetime) -> None:
        """Warn when the writes of the last ten seconds, this one included, are more than one a second."""
        times = self._written[path]
        times.append(at)
        while times[0] <= at - timedelta(seconds=SUSTAINED_SECONDS):
            times.popleft()
        if len(times) > SUSTAINED_SECONDS:
            self.warnings.append(f"{path}: {len(times)} writes in {SUSTAINED_SECONDS} s, at most 1 a second sustained")


def index_entries(value: Any) -> int:
    """The single-field index entries of a value, counted high.

    Two for each value, for a map and a list as a whole too, one more for each element of a list, and those of all
    that a map holds.
    """
    if isinstance(value, dict):
        return _ENTRIES_PER_VALUE + sum(index_entries(inner) for inner in value.values())
    if isinstance(value, list):
        return _ENTRIES_PER_VALUE + len(value)
    return _ENTRIES_PER_VALUE
