"""Acknowledgements: somebody has an alert. One ends with its episode, and changes who hears, never a state."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from .alerts import AlertState
from .store import Absent, Fields, Put
from .timeline import minute_id, to_us

KEPT = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Ack:
    """``author`` has taken the episode of ``fingerprint`` that fired at ``fired_at``; ``at`` is when (aware UTC)."""

    fingerprint: str
    fired_at: datetime
    author: str
    at: datetime
    comment: str = ""

    def write(self) -> Put:
        """The document, created once: of two people the first has it, and the second is told who was."""
        fields = {
            "fingerprint": self.fingerprint,
            "fired_at": self.fired_at,
            "author": self.author,
            "at": self.at,
            "comment": self.comment,
            "expires_at": self.at + KEPT,
        }
        return Put(ack_path(self.fingerprint, self.fired_at), fields, precondition=Absent())


def ack_path(fingerprint: str, fired_at: datetime) -> str:
    """Where the acknowledgement of an episode lies."""
    return f"acks/{fingerprint}~{minute_id(to_us(fired_at) // 1_000_000)}"


def ack_path_of(alert: AlertState) -> str | None:
    """Where the acknowledgement of an alert's running episode lies; None for an alert that does not fire."""
    return None if alert.fired_at is None else ack_path(alert.fingerprint, alert.fired_at)


def ack_from_fields(fields: Fields) -> Ack:
    """The inverse of ``Ack.write``."""
    return Ack(fields["fingerprint"], fields["fired_at"], fields["author"], fields["at"], fields["comment"])
