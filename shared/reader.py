"""What a page reads: the settled minutes of its range, the alerts, the history and the monitoring's own records.

Settled minutes come from a bounded cache, which looks at a minute again after ``FRESH_FOR`` (late data changes
them). Everything else is read for every page. Reads per page: one a minute that the cache does not hold, one for
the cursor, one an alert, transition, delivery or inbox document shown.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

from .alerts import AlertState
from .audit import Entry, read_entries
from .buckets import expired
from .cells import Cells
from .evaluator import STATE_PATH
from .notify import TERMINAL, DeliveryState
from .records import alerts_in, transitions_in
from .retention import live
from .rollups import read_rollups
from .rules import Query
from .series import Labels
from .store import Store
from .tick import Transition
from .timeline import MINUTE_SECONDS, from_minute, minute_id
from .windows import evaluate, read_window

FRESH_FOR = timedelta(minutes=5)
MAX_MINUTES = 4500
"""72 h and some: about 30 MB at 105 series."""


@dataclass(slots=True)
class _Held:
    cells: Cells | None
    read_at: datetime
    values: dict[Query, dict[Labels, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Deliveries of the last 24 h: how many there are, and how many need nobody's attention."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the evaluator stands: the last minute it judged (Unix seconds), and when it did."""

    minute: int
    decided_at: datetime


class Reader:
    """Reads for pages. Safe to share between threads; one for as long as the process lives."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held: OrderedDict[int, _Held] = OrderedDict()
        self._lock = Lock()

    def cursor(self) -> Cursor | None:
        """The evaluator's cursor; None before its first evaluation."""
        document = self._store.get([STATE_PATH]).get(STATE_PATH)
        return None if document is None else Cursor(document.fields["minute"], document.fields["decided_at"])

    def minutes(self, first: int, last: int, now: datetime) -> dict[int, Cells]:
        """The settled minutes from ``first`` to ``last`` (both Unix seconds, both included) that have data."""
        wanted = [minute for minute in range(first, last + MINUTE_SECONDS, MINUTE_SECONDS) if not expired(minute, now)]
        with self._lock:
            missing = [minute for minute in wanted if self._needs_reading(minute, now)]
        found = read_rollups(self._store, missing, now) if missing else {}
        with self._lock:
            for minute in missing:
                self._held[minute] = _Held(found.get(minute), now)
                self._held.move_to_end(minute)
            result = {minute: held.cells for minute in wanted if (held := self._held.get(minute)) and held.cells}
            while len(self._held) > MAX_MINUTES:
                self._held.popitem(last=False)
        return result

    def value(self, minutes: dict[int, Cells], query: Query, end: int, seconds: int) -> dict[Labels, float]:
        """A query's values over (end - seconds, end]; of single minutes they are remembered."""
        if seconds != MINUTE_SECONDS:
            return evaluate(read_window(minutes, end, seconds), query, seconds)
        with self._lock:
            held = self._held.get(end)
        if held is None or held.cells is None:
            return {}
        if query not in held.values:
            held.values[query] = evaluate(held.cells, query, seconds)
        return held.values[query]

    def alerts(self) -> list[AlertState]:
        """All alerts that are remembered, those in cooldown included."""
        documents = self._store.list("alerts").documents
        return [alert for document in documents for alert in alerts_in(document)]

    def transitions(self, first: int, last: int, now: datetime) -> list[Transition]:
        """The transitions from ``first`` to ``last`` (Unix seconds, both included), oldest first."""
        found = live(self._store.list("history", minute_id(first), minute_id(last) + "~~").documents, now)
        return [transition for document in found for transition in transitions_in(document)]

    def actions(self, first: int, last: int, now: datetime) -> list[Entry]:
        """What people did in the minutes from ``first`` to ``last`` (Unix seconds, both included), oldest first."""
        after = timedelta(microseconds=1)  # a minute holds its end, and not its beginning
        return read_entries(self._store, from_minute(first - MINUTE_SECONDS) + after, from_minute(last) + after, now)

    def deliveries(self, since: int, now: datetime) -> Deliveries:
        """The deliveries of episodes since a minute."""
        found = live(self._store.list("deliveries", minute_id(since)).documents, now)
        states = [DeliveryState(document.fields["state"]) for document in found]
        told = [state for state in states if state is not DeliveryState.SKIPPED]
        done = [state for state in told if state in TERMINAL and state is not DeliveryState.REFUSED]
        return Deliveries(len(done), len(told))

    def inbox(self, since: int, now: datetime) -> Sequence[bytes]:
        """What the local inbox kept since a minute, newest first: notifications in their wire form."""
        found = live(self._store.list("inbox", minute_id(since)).documents, now)
        return [document.fields["notification"] for document in reversed(found)]

    def _needs_reading(self, minute: int, now: datetime) -> bool:
        held = self._held.get(minute)
        return held is None or now - held.read_at > FRESH_FOR or now < held.read_at
