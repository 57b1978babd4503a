"""Cloud Scheduler's part in a local run: calls the scheduled functions every minute, and again after a failure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from threading import Event

from ..timeline import MINUTE_SECONDS

RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0)
"""Pauses after a failed call; then the next minute's call is due soon enough."""


def call_with_retries(call: Callable[[], int], wait: Callable[[float], bool]) -> bool:
    """Call until the answer is 2xx, at most five times; whether it was. ``wait`` returns True to give up."""
    for pause in (*RETRY_SECONDS, None):
        if 200 <= call() < 300:
            return True
        if pause is None or wait(pause):
            break
    return False


def seconds_to_next_minute(now: datetime) -> float:
    """How long until the next whole minute, and a little more, so that it is past."""
    return MINUTE_SECONDS - now.timestamp() % MINUTE_SECONDS + 0.01


TUNES_AT = (5, 0)
"""Hour and minute in UTC, as the manifest schedules ``tune``."""


def run_daily(call: Callable[[], int], now: Callable[[], datetime], stopping: Event) -> None:
    """Call once a day at ``TUNES_AT``, until ``stopping`` is set."""
    while not stopping.wait(seconds_to_next_minute(now())):
        at = now()
        if (at.hour, at.minute) == TUNES_AT:
            call_with_retries(call, stopping.wait)


def run_every_minute(call: Callable[[], int], now: Callable[[], datetime], stopping: Event) -> None:
    """Call at once, and then at every whole minute, until ``stopping`` is set.

    Whoever answers says why a call failed; the next minute's makes up for one that was given up.
    """
    while True:
        call_with_retries(call, stopping.wait)
        if stopping.wait(seconds_to_next_minute(now())):
            return
