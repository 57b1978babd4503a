"""Channels that refuse everything: not asked for a while, shown, and asked again after a new key or six hours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from .retention import live
from .store import Document, Put, Store

ASKED_AGAIN_AFTER = timedelta(hours=6)
COLLECTION = "outages"


@dataclass(frozen=True, slots=True)
class Outage:
    """``channel`` has refused everything since ``since`` (aware UTC), for ``why``; ``setup`` is what it refused with.

    ``told``: whether somebody was told of it through another channel.
    """

    channel: str
    since: datetime
    why: str
    setup: str
    told: bool = False

    def write(self) -> Put:
        """The document; idempotent: whoever finds the same writes the same, but for the instant."""
        fields = {
            "since": self.since,
            "why": self.why,
            "setup": self.setup,
            "told": self.told,
            "expires_at": self.since + ASKED_AGAIN_AFTER,
        }
        return Put(f"{COLLECTION}/{self.channel}", fields)


def outage_in(document: Document | None, now: datetime) -> Outage | None:
    """The outage of a document that still counts; None for none."""
    if document is None or not live([document], now):
        return None
    fields = document.fields
    return Outage(document.id, fields["since"], fields["why"], fields["setup"], fields["told"])


def read_outages(store: Store, now: datetime) -> list[Outage]:
    """All outages that count, by channel."""
    found: Iterable[Outage | None] = (outage_in(one, now) for one in store.list(COLLECTION).documents)
    return [one for one in found if one is not None]
