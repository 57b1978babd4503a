"""Channels: where notifications go. One module each, with a pure ``payload()`` and a ``send()``."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from ..acks import Ack
from ..errors import PermanentError, TransientError
from ..notifications import Notification

MAX_RETRY_AFTER = timedelta(hours=1)


def no_picture() -> bytes | None:
    """Where nothing is drawn."""
    return None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What else is known of what fires. ``usual`` is the range of the value in ordinary times, in its unit.

    ``draw`` gives its chart, a PNG with its background filled, or None; it takes a while and raises nothing, and only
    a channel that shows the chart asks for it. ``worst`` names what contributes most, the greatest first.
    """

    draw: Callable[[], bytes | None] = no_picture
    usual: tuple[float, float] | None = None
    worst: tuple[str, ...] = ()
    ack: Ack | None = None


Evidences: TypeAlias = Callable[[Notification], Evidence]
"""Where the evidence for a notification comes from; empty evidence where there is none. Raises nothing."""


def no_evidence(_: Notification) -> Evidence:
    """Where nothing more is known."""
    return Evidence()


@dataclass(frozen=True, slots=True)
class Turn:
    """What a channel needs beside the notification, when it is its turn to speak in a conversation.

    ``handle`` is what it kept of the conversation (``Answer.handle``), empty at its beginning. ``attempted_at`` is
    when an earlier attempt began, of this or another notification of the conversation, whose outcome nobody knows:
    the receiver may have taken it. None when there is none. ``is_over`` says whether the conversation has ended.
    """

    now: datetime
    handle: Mapping[str, str] = field(default_factory=dict)
    attempted_at: datetime | None = None
    evidence: Evidence = field(default_factory=Evidence)
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a channel's receiver said, shortened; kept with the delivery. ``handle`` is kept for the conversation."""

    detail: str
    handle: Mapping[str, str] = field(default_factory=dict)


class Busy(TransientError):
    """The receiver asks to be left alone until a time: ``not_before`` is aware UTC, None where it named none.

    ``is_certain``: it says that it took nothing; otherwise, as after a 502, it may have.
    """

    def __init__(self, reason: str, detail: str, not_before: datetime | None, *, is_certain: bool = False) -> None:
        super().__init__(reason, detail)
        self.not_before = not_before
        self.is_certain = is_certain


class Partly(Busy):
    """Some of it was taken; ``handle``, which the next attempt is given, says what is left."""

    def __init__(self, reason: str, detail: str, handle: Mapping[str, str]) -> None:
        super().__init__(reason, detail, None, is_certain=True)
        self.handle = handle


class Gone(PermanentError):
    """The receiver will take nothing any more until the channel is set up anew: a revoked key, a deleted address."""


class Channel(Protocol):
    """A receiver of notifications."""

    @property
    def setup(self) -> str:
        """What the channel is set up with, as a digest that tells nothing of it: another after a new key."""
        ...

    @property
    def max_per_minute(self) -> int | None:
        """How many conversations it begins in a minute; what is beyond is summed up. None: it is never summed up."""
        ...

    def send(self, notification: Notification, turn: Turn, /) -> Answer:
        """Deliver one notification.

        Sending again does as little harm as the vendor allows; each channel's docstring says what that is. Raises
        Gone (never again, whatever it is), PermanentError (never again this one), or TransientError (try again;
        Busy: not before a time; Partly: what is left).
        """
        ...

    def undo(self, notification: Notification, late: Mapping[str, str], turn: Turn, /) -> None:
        """A send was so late that the conversation had gone on without it: put right what it did beside it.

        ``late`` is what the send answered with (its handle), ``turn`` what the conversation is by now.
        Repeating it is harmless. Raises TransientError, and PermanentError where the receiver will not have it.
        """
        ...


def digest(*secrets: str) -> str:
    """16 hex digits that change with any of the texts and tell nothing of them: stored beside a channel's state."""
    return hashlib.sha256("\0".join(("ion-monitoring", *secrets)).encode()).hexdigest()[:16]
