"""Acknowledgements: somebody has an alert. One ends with its episode, and changes who hears, never a state."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from .alerts import AlertState
from .errors import PermanentError
from .logs import log
from .people import check_author, check_comment
from .retention import live
from .store import Absent, Document, Fields, Put, Store
from .timeline import MINUTE_SECONDS, US_PER_SECOND, minute_id, to_us

KEPT = timedelta(days=90)
INVALID = "invalid_acknowledgement"
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")


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


def read_acks(store: Store, paths: Sequence[str], now: datetime) -> dict[str, Ack]:
    """The acknowledgements at some paths that were given, by path; none of no path.

    One that cannot be read, as another version may have written it, acknowledges nothing; it is logged.
    """
    return read_each(live(store.get(paths).values(), now)) if paths else {}


def read_each(documents: Iterable[Document]) -> dict[str, Ack]:
    """Those documents that are acknowledgements, by path; any other is logged and left out."""
    found: dict[str, Ack] = {}
    for document in documents:
        try:
            found[document.path] = ack_from_fields(document.fields)
        except (KeyError, TypeError) as error:
            log("document_unreadable", "ERROR", path=document.path, detail=f"{type(error).__name__}: {error}"[:200])
    return found


def check_ack(ack: Ack) -> Ack:
    """The acknowledgement itself. Raises PermanentError ``invalid_acknowledgement``; a comment may be empty."""
    if not _FINGERPRINT.fullmatch(ack.fingerprint):
        raise PermanentError(INVALID, "fingerprint: expected 16 of 0-9 and a-f")
    if ack.fired_at.utcoffset() is None or to_us(ack.fired_at) % (MINUTE_SECONDS * US_PER_SECOND):
        raise PermanentError(INVALID, "fired_at: expected a whole minute with an offset")
    check_author(INVALID, ack.author)
    check_comment(INVALID, ack.comment, 0)
    return ack


def ack_from_fields(fields: Fields) -> Ack:
    """The inverse of ``Ack.write``."""
    return Ack(fields["fingerprint"], fields["fired_at"], fields["author"], fields["at"], fields["comment"])
