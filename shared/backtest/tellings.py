"""The notifications of a replay beside those that were delivered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

from ..acks import ack_path
from ..notifications import Notification, NotificationKind
from ..notify import DeliveryState
from ..telling import Quiet
from ..timeline import from_minute
from .causes import Cause, Difference, Facts, minute_of
from .episodes import Key
from .run import Run
from .stored import Delivery

ON_ITS_WAY = timedelta(minutes=10)
"""How long after its evaluation a notification may not have been delivered yet."""
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
        rules = {change.fingerprint: change for change in self._facts.then.history.transitions}
        for name, sent in self.live.items():
            if name not in self._alone:
                known = rules.get(sent[0].episode[0])
                rule_id, labels = (known.rule_id, known.labels) if known else ("", ())
                at = min(one.at for one in sent)
                yield Difference(at, rule_id, labels, sent[0].kind, True, False, self._why_told(sent[0]), told=True)

    def _why_not_told(self, one: Notification) -> Cause:
        key = one.fingerprint, one.fired_at
        if key in self._differing:
            return self._differing[key]
        if one.id in self.live:
            return Cause.NOT_DELIVERED
        if one.id not in self._decided:
            return self._quiet(key, one.kind)
        if self._facts.is_foreign(minute_of(one.at)):
            return Cause.CONFIGURATION
        if any(told.episode[0] == one.fingerprint for told in self._before):
            return Cause.COOLDOWN
        on_its_way = one.at > self._facts.then.now - ON_ITS_WAY
        return Cause.NOT_DELIVERED if on_its_way else Cause.UNEXPLAINED

    def _why_told(self, one: Delivery) -> Cause:
        fingerprint, fired_at = one.episode
        if one.episode in self._differing:
            return self._differing[one.episode]
        if one.kind == NotificationKind.SUMMARY:
            return Cause.CATCH_UP
        if one.notification in self._decided:  # what was not told before began no cooldown for this one
            earlier = [key for key, held in self._held.items() if held and key[0] == fingerprint and key[1] < fired_at]
            return self._quiet(max(earlier, default=one.episode), None)
        return Cause.CONFIGURATION if self._facts.is_foreign(minute_of(fired_at)) else Cause.UNEXPLAINED

    def _quiet(self, key: Key, kind: NotificationKind | None) -> Cause:
        """What people did to an episode's notification."""
        if kind is NotificationKind.ESCALATED:
            acks = {ack_path(one.fingerprint, one.fired_at) for one in self._facts.then.history.acks}
            if ack_path(*key) in acks:
                return Cause.ACKNOWLEDGEMENT
        return next(iter(self._held.get(key, ())), Cause.UNEXPLAINED)
