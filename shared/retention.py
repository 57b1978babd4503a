"""Retention: what is past its time to live is gone for every reader, though the store deletes it up to a day later."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from .store import Document


def live(documents: Iterable[Document], now: datetime) -> list[Document]:
    """The documents that are not past ``expires_at``, in their order; at that instant (aware UTC) one is past it."""
    return [document for document in documents if now < document.fields["expires_at"]]
