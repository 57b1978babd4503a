"""Channels: where notifications go. One module each, with a pure ``payload()`` and a ``send()``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..notifications import Notification


@dataclass(frozen=True, slots=True)
class Answer:
    """What a channel's receiver said, shortened; kept with the delivery."""

    detail: str


class Channel(Protocol):
    """A receiver of notifications."""

    def send(self, notification: Notification) -> Answer:
        """Deliver one notification.

        Sending again is harmless: it carries the notification's id as the key that the receiver deduplicates by.
        Raises PermanentError (never try again) or TransientError (try again).
        """
        ...
