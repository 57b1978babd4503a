"""The notifications of a replay beside those that were delivered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from ..acks import ack_path
from ..notifications import Notification, NotificationKind, notification_id
from ..records import Announcement
from ..series import Labels
from ..telling import Quiet
from ..timeline import from_minute
from .causes import Cause, Difference, Facts, minute_of
from .episodes import Key
from .run import Run

_QUIET = {
    Quiet.SILENCED: Cause.SILENCE,
    Quiet.COOLDOWN: Cause.COOLDOWN,
    Quiet.CATCH_UP: Cause.CATCH_UP,
}


def own_id(told: Announcement) -> str:
    """The id of a notification of this alert alone, as a replay makes it, with whichever others it was told."""
    name = notification_id(told.fingerprint, told.fired_at, told.kind)
    return f"{name}-{told.severity.value}" if told.kind is NotificationKind.RAISED else name


class Tellings:
    """The notifications that differ: those that the rules alone would have sent, and those that were delivered."""

    def __init__(self, facts: Facts, alone: Run, people: Run, differing: Mapping[Key, Cause]) -> None:
        first = from_minute(facts.span.first)
        self._facts = facts
        self._differing = differing
        self._alone = {one.id: one for one in alone.notifications}
        self._decided = {one.id for one in people.notifications}
        self._held = {  # what people changed about waiting
            key: [_QUIET[Quiet(name)] for name in names if name in _QUIET and name not in alone.held.get(key, ())]
            for key, names in people.held.items()
        }
        self._about = {change.fingerprint: change for change in (*alone.transitions, *facts.then.history.transitions)}
        self._before = [one for one in facts.then.history.deliveries if one.episode[1] < first]
        sent = facts.then.history.sent()
        self._announced = {own_id(one): one for one in facts.then.history.announced if one.fired_at >= first}
        self.live = {name: one for name, one in self._announced.items() if one.id in sent}

    def differences(self) -> Iterable[Difference]:
        """Those of both sides, each with its cause."""
        for name, one in self._alone.items():
            if name not in self.live:
                cause = self._why_not_told(one)
                yield Difference(one.at, one.rule_id, one.labels, one.kind.value, False, True, cause, told=True)
        for name, told in self.live.items():
            if name not in self._alone:
                cause = self._why_told(name, told)
                yield Difference(told.at, told.rule_id, told.labels, told.kind.value, True, False, cause, told=True)

    def _why_not_told(self, one: Notification) -> Cause:
        key = one.fingerprint, one.fired_at
        if key in self._differing:
            return self._differing[key]
        if one.id in self._announced:
            return Cause.NOT_DELIVERED
        if one.id not in self._decided:
            return self._quiet(key, one.kind)
        if self._facts.is_foreign(minute_of(one.at)):
            return Cause.CONFIGURATION
        if any(told.episode[0] == one.fingerprint for told in self._before):
            return Cause.COOLDOWN
        return self._inhibited(one.rule_id, one.labels, one.at) or Cause.UNEXPLAINED

    def _why_told(self, name: str, one: Announcement) -> Cause:
        key = one.fingerprint, one.fired_at
        if key in self._differing:
            return self._differing[key]
        if one.kind is NotificationKind.SUMMARY:
            return Cause.CATCH_UP
        if name in self._decided:  # what was not told before began no cooldown for this one
            earlier = [other for other, held in self._held.items() if held and other[0] == key[0] and other < key]
            return self._quiet(max(earlier, default=key), None)
        if self._facts.is_foreign(minute_of(one.fired_at)):
            return Cause.CONFIGURATION
        return self._inhibited(one.rule_id, one.labels, one.at) or Cause.UNEXPLAINED

    def _inhibited(self, rule_id: str, labels: Labels, at: datetime) -> Cause | None:
        """Why an alert differs that keeps this one quiet; None when none does."""
        rules = self._facts.inhibitors(rule_id, minute_of(at))
        mine = dict(labels)
        for (fingerprint, fired_at), cause in self._differing.items():
            other = self._about.get(fingerprint)
            if other is None or other.rule_id not in rules or fired_at > at:
                continue
            if all(mine.get(name, value) == value for name, value in other.labels):
                return cause
        return None

    def _quiet(self, key: Key, kind: NotificationKind | None) -> Cause:
        """What people did to an episode's notification."""
        if kind is NotificationKind.ESCALATED:
            acks = {ack_path(one.fingerprint, one.fired_at) for one in self._facts.then.history.acks}
            if ack_path(*key) in acks:
                return Cause.ACKNOWLEDGEMENT
        return next(iter(self._held.get(key, ())), Cause.UNEXPLAINED)
