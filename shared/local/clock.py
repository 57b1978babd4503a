"""A clock that moves only when told to, for the replay and for tests."""

from __future__ import annotations

from datetime import datetime, timedelta


class ManualClock:
    """Aware UTC time that stands still between ``sleep`` and ``move_to``. Safe to read from any thread."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        """The time it shows."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Pass ``seconds`` at once."""
        self._now += timedelta(seconds=seconds)

    def move_to(self, instant: datetime) -> None:
        """Show ``instant``, unless it shows a later one already."""
        self._now = max(self._now, instant)
