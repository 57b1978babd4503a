"""Episodes: what transitions and notifications come to, one line an alert that fired."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ..alerts import ENDINGS, AlertKind, Reason
from ..rules import Severity
from ..series import Labels
from ..tick import Transition

BEGINNINGS = frozenset({Reason.FIRED, Reason.MISSING, Reason.FAILED})
"""What an episode begins with."""


@dataclass(frozen=True, slots=True)
class Telling:
    """A notification: of which kind, when, and to whom."""

    kind: str
    at: datetime
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Episode:
    """An alert that fired. ``ended_at`` None: it fires still at the end of the span, and ``reason`` is empty.

    ``severity`` is the worst that it had, ``value`` what it fired with (None: no data). ``told`` are its notifications,
    oldest first; ``held`` names what one of them waited for, or waits still.
    """

    fingerprint: str
    rule_id: str
    labels: Labels
    kind: AlertKind
    severity: Severity
    fired_at: datetime
    value: float | None
    ended_at: datetime | None = None
    reason: str = ""
    told: tuple[Telling, ...] = ()
    held: tuple[str, ...] = ()

    @property
    def channels(self) -> tuple[str, ...]:
        """Who heard of it."""
        return tuple(dict.fromkeys(name for one in self.told for name in one.channels))

    def duration(self, until: datetime) -> timedelta:
        """How long it fired, by ``until`` where it fires still."""
        return (self.ended_at or until) - self.fired_at

    def overlaps(self, other: Episode) -> bool:
        """Whether both are of one alert, and fired at the same time for a while."""
        return (
            self.fingerprint == other.fingerprint
            and (self.ended_at is None or other.fired_at < self.ended_at)
            and (other.ended_at is None or self.fired_at < other.ended_at)
        )


Key = tuple[str, datetime]
"""An episode: its fingerprint, and when it fired."""


def episodes_of(
    transitions: Iterable[Transition],
    tellings: Mapping[Key, Sequence[Telling]],
    held: Mapping[Key, Sequence[str]] | None = None,
) -> list[Episode]:
    """The episodes of some transitions, oldest first. One that had fired before the first of them is left out."""
    found: dict[Key, Episode] = {}
    for change in transitions:
        if change.episode is None:
            continue
        key = change.fingerprint, change.episode
        if change.reason in BEGINNINGS:
            found[key] = _begun(change, change.episode)
        elif key in found and change.reason is Reason.RAISED:
            found[key] = replace(found[key], severity=Severity(change.severity))
        elif key in found and change.reason in ENDINGS:
            found[key] = replace(found[key], ended_at=change.at, reason=change.reason.value)
    told = [
        replace(one, told=tuple(tellings.get(key, ())), held=tuple((held or {}).get(key, ())))
        for key, one in found.items()
    ]
    return sorted(told, key=lambda one: (one.fired_at, one.severity.rank, one.rule_id, one.labels))


def _begun(change: Transition, fired_at: datetime) -> Episode:
    return Episode(
        change.fingerprint,
        change.rule_id,
        change.labels,
        change.kind,
        Severity(change.severity),
        fired_at,
        change.value,
    )
