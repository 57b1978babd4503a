"""The local inbox: keeps each notification in the store, for local runs and tests. Nothing leaves the machine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ..notifications import Notification
from ..store import Put, Store
from . import Answer

KEPT = timedelta(days=7)


def payload(notification: Notification) -> dict[str, Any]:
    """What the inbox keeps: the notification's wire form."""
    return {"notification": notification.to_json(), "at": notification.at, "expires_at": notification.at + KEPT}


@dataclass(frozen=True, slots=True)
class InboxChannel:
    """Writes ``inbox/{notification}``; the same document however often it is sent."""

    store: Store

    def send(self, notification: Notification) -> Answer:
        """Keep one notification. Raises TransientError when the store does not answer."""
        self.store.commit([Put(f"inbox/{_when(notification.at)}~{notification.id}", payload(notification))])
        return Answer("kept")


def _when(at: datetime) -> str:
    return at.strftime("%Y%m%dT%H%M%S")
