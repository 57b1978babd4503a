"""What a page reads: the settled minutes of its range, the alerts, the history and the monitoring's own records.

Settled minutes come from ``MinuteCache``, which says when one is read again; values of queries over them from
``ValueCache``. Everything else is read for every page. Reads per page besides the minutes: one for the cursor, one
a rule with alerts, one a minute with transitions, one a delivery of the last 24 h.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from .alerts import AlertState
from .audit import Entry, read_entries
from .cells import Cells
from .deliveries import TERMINAL, UNHEARD, DeliveryState
from .evaluator import STATE_PATH
from .hours import Hour
from .live_minutes import LiveMinutes
from .minute_cache import Cursor, MinuteCache, Minutes
from .outages import read_outages
from .records import alerts_in, transitions_in
from .retention import live
from .series import Labels
from .silences import Silence, read_silences
from .store import Store
from .tick import Transition
from .timeline import MINUTE_SECONDS, from_minute, minute_id
from .usual import Usual
from .usual_store import UsualCache
from .value_cache import ValueCache
from .week import WeekCache


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Deliveries of the last 24 h: how many there are, and how many need nobody's attention."""

    done: int
    total: int


class Reader:
    """Reads for pages. Safe to share between threads; one for as long as the process lives."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._minutes = MinuteCache(store)
        self._live = LiveMinutes(store)
        self._usual = UsualCache(store)
        self._weeks = WeekCache(store)
        self.values = ValueCache()

    @property
    def store(self) -> Store:
        """Where it reads."""
        return self._store

    def cursor(self) -> Cursor | None:
        """The evaluator's cursor; None before its first evaluation."""
        document = self._store.get([STATE_PATH]).get(STATE_PATH)
        if document is None:
            return None
        fields = document.fields
        return Cursor(fields["minute"], fields["decided_at"], fields.get("first_minute") or 0)

    def minutes(self, first: int, last: int, cursor: Cursor | None, now: datetime) -> Minutes:
        """The settled minutes from ``first`` to ``last`` (both Unix seconds, both included) that have data."""
        return self._minutes.read(first, last, cursor, now)

    def live_minutes(self, after: int, now: datetime) -> Mapping[int, Cells]:
        """The minutes after one (Unix seconds) that are not settled and have data, as they are so far."""
        return self._live.read(after, now)

    def past_hours(self, hours: Sequence[int], now: datetime) -> Mapping[int, Hour]:
        """Some hours of a week ago (Unix seconds of their ends), those without data left out."""
        return self._weeks.read(hours, now)

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

    def silences(self, now: datetime) -> list[Silence]:
        """All silences that are shown (``silences.read_silences``)."""
        return read_silences(self._store, now)

    def usual(self, key: str, now: datetime) -> Mapping[Labels, Usual]:
        """What is usual of a query (``usual_store.key_of``), by group; empty when nothing is known."""
        return self._usual.read(key, now)

    def deliveries(self, since: int, now: datetime) -> Deliveries:
        """The deliveries of episodes since a minute."""
        found = live(self._store.list("deliveries", minute_id(since)).documents, now)
        states = [DeliveryState(document.fields["state"]) for document in found]
        told = [state for state in states if state is not DeliveryState.SKIPPED]
        done = [state for state in told if state in TERMINAL - UNHEARD]
        return Deliveries(len(done), len(told))

    def channels_gone(self, now: datetime) -> tuple[str, ...]:
        """The channels that refuse everything, by name."""
        return tuple(outage.channel for outage in read_outages(self._store, now))

    def inbox(self, since: int, now: datetime) -> Sequence[bytes]:
        """What the local inbox kept since a minute, newest first: notifications in their wire form."""
        found = live(self._store.list("inbox", minute_id(since)).documents, now)
        return [document.fields["notification"] for document in reversed(found)]
