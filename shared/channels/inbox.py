"""The local inbox: keeps each notification in the store, for local runs and tests. Nothing leaves the machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ..notifications import Notification
from ..store import Put, Store
from . import Answer, Turn
from .story import TITLE

KEPT = timedelta(days=7)


def payload(notification: Notification) -> dict[str, Any]:
    """What the inbox keeps: the notification's wire form."""
    return {"notification": notification.to_json(), "at": notification.at, "expires_at": notification.at + KEPT}


@dataclass(frozen=True, slots=True)
class InboxChannel:
    """Writes ``inbox/{notification}``; the same document however often it is sent."""

    store: Store
    setup: str = "inbox"
    max_per_minute: int | None = None

    def send(self, notification: Notification, _turn: Turn, /) -> Answer:
        """Keep one notification. Raises TransientError when the store does not answer."""
        self.store.commit([Put(f"inbox/{_when(notification.at)}~{notification.id}", payload(notification))])
        return Answer("kept", {TITLE: notification.rule_name})

    def undo(self, _notification: Notification, _late: Mapping[str, str], _turn: Turn, /) -> None:
        """Nothing: each notification is one document."""


def _when(at: datetime) -> str:
    return at.strftime("%Y%m%dT%H%M%S")
