"""History: what happened to alerts, who was told of it and what became of that, and what people did; one list by time.

Transitions and announcements are the evaluator's (kept 90 days), deliveries notify's (30 days), deeds the dashboard's
(a year). Each says what was judged: value, count, and the hash of the configuration. Nothing is written here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from .acks import ack_path
from .alerts import AlertState
from .audit import Entry, read_entries
from .notify import DeliveryState, delivery_path
from .records import Announcement, announcements_in, transitions_in
from .retention import live
from .rules import Severity
from .series import Labels
from .silences import Silence, read_silences, silence_path
from .store import Document, Store
from .tick import Transition
from .timeline import minute_floor, minute_id

LONGEST = timedelta(days=90)
_PATHS_AT_ONCE = 300


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which alerts: all of them, or those of a rule, of a fingerprint, with some labels, whatever else they have."""

    rule_id: str = ""
    fingerprint: str = ""
    labels: Labels = ()

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return self == Wanted()

    def holds(self, one: Transition | Announcement) -> bool:
        """Whether a record is of such an alert."""
        return (
            (not self.rule_id or one.rule_id == self.rule_id)
            and (not self.fingerprint or one.fingerprint == self.fingerprint)
            and set(self.labels) <= set(one.labels)
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a notification on a channel; ``state`` None: nothing yet, or so long ago that it is not kept."""

    channel: str
    state: DeliveryState | None = None
    detail: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A notification that was decided, and what became of it on each of its channels."""

    announcement: Announcement
    outcomes: tuple[Outcome, ...]

    @property
    def at(self) -> datetime:
        """The evaluation that decided it."""
        return self.announcement.at


Event: TypeAlias = Transition | Told | Entry
_ORDER = (Transition, Told, Entry)


def read_history(
    store: Store, since: datetime, until: datetime, now: datetime, wanted: Wanted | None = None
) -> list[Event]:
    """All events from ``since`` to ``until`` (aware UTC, both included), oldest first; empty when nothing happened.

    At one instant transitions come first, then who was told, then what people did. A deed is of the alerts that are
    wanted if it took one of their episodes, or silenced one of them. Raises ValueError for more than 90 days.
    """
    if not timedelta() <= until - since <= LONGEST:
        raise ValueError(f"expected up to {LONGEST.days} days from since to until")
    wanted = wanted or Wanted()
    documents = _documents(store, since, until, now)

    def is_wanted(one: Transition | Announcement) -> bool:
        return since <= one.at <= until and wanted.holds(one)

    transitions = [one for document in documents for one in transitions_in(document) if is_wanted(one)]
    announcements = [one for document in documents for one in announcements_in(document) if is_wanted(one)]
    deeds = read_entries(store, since, until + timedelta(microseconds=1), now)
    if not wanted.is_all:
        targets = _targets([*transitions, *announcements], read_silences(store, now))
        deeds = [one for one in deeds if one.target in targets]
    events: list[Event] = [*transitions, *_told(store, announcements, now), *deeds]
    return sorted(events, key=lambda one: (one.at, _ORDER.index(type(one))))


def _documents(store: Store, since: datetime, until: datetime, now: datetime) -> list[Document]:
    """The documents of history; evaluations are at whole minutes."""
    first, last = minute_id(minute_floor(since)), minute_id(minute_floor(until))
    return live(store.list("history", first, f"{last}~~").documents, now)


def _targets(records: Sequence[Transition | Announcement], silences: Iterable[Silence]) -> set[str]:
    """What deeds that concern some alerts are done to: their episodes' acknowledgements, and what silences them."""
    episodes = [(one.fingerprint, one.fired_at if isinstance(one, Announcement) else one.episode) for one in records]
    alerts = {AlertState(one.rule_id, one.labels, Severity(one.severity)) for one in records}
    taken = {ack_path(fingerprint, fired_at) for fingerprint, fired_at in episodes if fired_at is not None}
    return taken | {silence_path(one.id) for one in silences if any(one.matches(alert) for alert in alerts)}


def _told(store: Store, announcements: Sequence[Announcement], now: datetime) -> list[Told]:
    """The announcements, each with what became of it."""
    paths = [delivery_path(one.id, channel) for one in announcements for channel in one.channels]
    found: dict[str, Document] = {}
    for start in range(0, len(paths), _PATHS_AT_ONCE):
        found |= store.get(paths[start : start + _PATHS_AT_ONCE])
    kept = {document.path: document for document in live(found.values(), now)}
    return [
        Told(one, tuple(_outcome(kept.get(delivery_path(one.id, name)), name) for name in one.channels))
        for one in announcements
    ]


def _outcome(document: Document | None, channel: str) -> Outcome:
    if document is None:
        return Outcome(channel)
    fields = document.fields
    return Outcome(channel, DeliveryState(fields["state"]), fields["detail"], fields["at"])
