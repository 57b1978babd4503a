"""The notifications of a replay beside those that were delivered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from ..acks import ack_path
from ..deliveries import DeliveryState
from ..notifications import Notification, NotificationKind
from ..series import Labels
from ..telling import Quiet
from ..timeline import from_minute
from .causes import Cause, Difference, Facts, minute_of
from .episodes import Key
from .run import Run
from .stored import Delivery

_QUIET = {
    Quiet.SILENCED: Cause.SILENCE,
    Quiet.COOLDOWN: Cause.COOLDOWN,
    Quiet.CATCH_UP: Cause.CATCH_UP,
}


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
        self.live: dict[str, list[Delivery]] = {}
        for one in facts.then.history.deliveries:
            if one.episode[1] >= first:
                self.live.setdefault(one.notification, []).append(one)

    def differences(self) -> Iterable[Difference]:
        """Those of both sides, each with its cause."""
        for name, one in self._alone.items():
            if name not in self.live or not any(sent.state is DeliveryState.SENT for sent in self.live[name]):
                cause = self._why_not_told(one)
                yield Difference(one.at, one.rule_id, one.labels, one.kind.value, False, True, cause, told=True)
        for name, sent in self.live.items():
            if name not in self._alone:
                known = self._about.get(sent[0].episode[0])
                rule_id, labels = (known.rule_id, known.labels) if known else ("", ())
                at = min(one.at for one in sent)
                yield Difference(at, rule_id, labels, sent[0].kind, True, False, self._why_told(sent[0]), told=True)

    def _why_not_told(self, one: Notification) -> Cause:
        key = one.fingerprint, one.fired_at
        if key in self._differing:
            return self._differing[key]
        if one.id in self.live or one.id in self._facts.then.history.announced:
            return Cause.NOT_DELIVERED
        if one.id not in self._decided:
            return self._quiet(key, one.kind)
        if self._facts.is_foreign(minute_of(one.at)):
            return Cause.CONFIGURATION
        if any(told.episode[0] == one.fingerprint for told in self._before):
            return Cause.COOLDOWN
        return self._inhibited(one.rule_id, one.labels, one.at) or Cause.UNEXPLAINED

    def _why_told(self, one: Delivery) -> Cause:
        fingerprint, fired_at = one.episode
        if one.episode in self._differing:
            return self._differing[one.episode]
        if one.kind == NotificationKind.SUMMARY:
            return Cause.CATCH_UP
        if one.notification in self._decided:  # what was not told before began no cooldown for this one
            earlier = [key for key, held in self._held.items() if held and key[0] == fingerprint and key[1] < fired_at]
            return self._quiet(max(earlier, default=one.episode), None)
        if self._facts.is_foreign(minute_of(fired_at)):
            return Cause.CONFIGURATION
        known = self._about.get(fingerprint)
        return (self._inhibited(known.rule_id, known.labels, one.at) if known else None) or Cause.UNEXPLAINED

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
