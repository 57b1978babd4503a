"""Audit: who did what, when, and why. An entry is written in the commit of what was done, and never changed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from .retention import live
from .store import Fields, Put, Store

KEPT = timedelta(days=365)


class Deed(StrEnum):
    """What a person did."""

    ACKNOWLEDGED = "acknowledged"
    SILENCED = "silenced"
    UNSILENCED = "unsilenced"
    """A silence was ended before its time."""


@dataclass(frozen=True, slots=True)
class Entry:
    """``author`` did something at ``at`` (aware UTC) to the document ``target``; ``about`` says to what in words."""

    at: datetime
    author: str
    deed: Deed
    target: str
    about: str
    comment: str

    def write(self) -> Put:
        """The document, whose id sorts by time; two at the same microsecond have different ones."""
        fields = {
            "at": self.at,
            "author": self.author,
            "deed": self.deed.value,
            "target": self.target,
            "about": self.about,
            "comment": self.comment,
            "expires_at": self.at + KEPT,
        }
        mark = hashlib.sha256(f"{self.deed}\n{self.target}\n{self.author}".encode()).hexdigest()[:8]
        return Put(f"audit/{_stamp(self.at)}~{mark}", fields)


def entry_from_fields(fields: Fields) -> Entry:
    """The inverse of ``Entry.write``."""
    return Entry(
        fields["at"], fields["author"], Deed(fields["deed"]), fields["target"], fields["about"], fields["comment"]
    )


def read_entries(store: Store, since: datetime, until: datetime, now: datetime) -> list[Entry]:
    """What people did from ``since`` on and before ``until``, oldest first."""
    found = live(store.list("audit", _stamp(since), _stamp(until)).documents, now)
    return [entry_from_fields(document.fields) for document in found]


def _stamp(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y%m%dT%H%M%S%f")
