"""The channels of a night on call: receivers that see what is sent, and what happens to them and to the sender."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.channels import Answer, Busy, Gone, Turn
from shared.deliveries import delivery_path
from shared.errors import PermanentError, TransientError
from shared.notifications import Notification
from tests.alert_promises import Ledger
from tests.baton import Baton
from tests.fakes import Clock, Crash

FALLBACK = "inbox"
"""To which nothing is routed; it refuses nothing, so that what all others refuse must be told there."""
NAMES = ("slack", "pagerduty", FALLBACK)


@dataclass(frozen=True, slots=True)
class Health:
    """A receiver in a night: whether it answers, and with what.

    In ``away`` (from, until) it fails whatever it is asked; from ``gone`` it refuses everything of whoever has not the
    key that is there from ``renewed``. It begins ``max_per_minute`` conversations a minute (None: any number).
    """

    max_per_minute: int | None = None
    away: tuple[datetime, datetime] | None = None
    gone: datetime | None = None
    renewed: datetime | None = None

    def is_away(self, at: datetime) -> bool:
        """Whether it answers nothing."""
        return self.away is not None and self.away[0] <= at < self.away[1]

    def is_gone(self, at: datetime, setup: str) -> bool:
        """Whether it refuses everything with this key."""
        return self.gone is not None and at >= self.gone and setup == OLD

    def setup(self, at: datetime) -> str:
        """The key that a deployment has at a time."""
        return NEW if self.renewed is not None and at >= self.renewed else OLD


OLD, NEW = "as it was", "set up anew"


def draw_health(rng: random.Random, began: datetime, minutes: float, name: str) -> Health:
    """Mostly all is well; the fallback takes everything, but may fail for a while."""

    def moment() -> datetime:
        return began + timedelta(minutes=rng.uniform(0, minutes))

    away = (start := moment(), start + timedelta(seconds=rng.uniform(30, 400))) if rng.random() < 0.15 else None
    if name == FALLBACK:
        return Health(away=away)
    gone = moment() if rng.random() < 0.15 else None
    renewed = gone + timedelta(seconds=rng.uniform(30, 600)) if gone and rng.random() < 0.5 else None
    return Health(rng.choice([None, None, 1, 2]), away, gone, renewed)


@dataclass(frozen=True, slots=True)
class Receiver:
    """A channel of an instance that began with the key ``setup``.

    ``chance`` is that of a misfortune; None where the night is over, and nothing happens any more.
    """

    name: str
    health: Health
    setup: str
    chance: float | None
    ledger: Ledger
    baton: Baton
    clock: Clock
    rng: random.Random

    @property
    def max_per_minute(self) -> int | None:
        """As the port says."""
        return self.health.max_per_minute

    def undo(self, _notification: Notification, late: Mapping[str, str], _turn: Turn, /) -> None:
        """As the port says; now and then it fails, crashes, or is refused for good, after which nothing can be done."""
        if self.chance is not None:
            self.baton.pause()
            if self.rng.random() < self.chance:
                raise self.rng.choice([TransientError("receiver_away"), Crash()])
        self.ledger.undone.add(late["seen"])
        if self.health.is_gone(self.clock(), self.setup):
            raise Gone("key_revoked", self.name)

    def send(self, notification: Notification, _turn: Turn, /) -> Answer:
        """As the port says; now and then it refuses for good, fails, crashes, or answers after minutes."""
        if self.health.is_gone(self.clock(), self.setup):
            self.ledger.refused.add(delivery_path(notification.id, self.name))
            raise Gone("key_revoked", self.name)
        if self.chance is None:
            return self._see(notification)
        if self.health.is_away(self.clock()):
            raise TransientError("receiver_away")
        if self.rng.random() < self.chance:
            raise self._failure(notification)
        answer = self._see(notification)
        self.baton.pause()
        is_slow = self.rng.random() < 2 * self.chance
        if is_slow:
            self.baton.sleep(self.rng.uniform(60, 240))
        if self.rng.random() < (0.5 if is_slow else self.chance):
            raise self.rng.choice([TransientError("receiver_away"), Crash(), self._busy(is_certain=False)])
        return answer

    def _see(self, notification: Notification) -> Answer:
        number = self.ledger.see(self.clock(), self.name, notification)
        return Answer("seen", {"seen": str(number)})

    def _failure(self, notification: Notification) -> BaseException:
        """Why nothing was taken."""
        kinds = ["away", "crash", "busy", *([] if self.name == FALLBACK else ["refused"])]
        match self.rng.choice(kinds):
            case "away":
                return TransientError("receiver_away")
            case "crash":
                return Crash()
            case "busy":
                return self._busy(is_certain=self.rng.random() < 0.8)
        self.ledger.refused.add(delivery_path(notification.id, self.name))
        return PermanentError("refused")

    def _busy(self, *, is_certain: bool) -> Busy:
        wish = self.clock() + timedelta(seconds=self.rng.uniform(5, 200))
        return Busy("too_many_requests", self.name, self.rng.choice([None, wish]), is_certain=is_certain)
