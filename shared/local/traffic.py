"""The fleet's publishing: what the regions measured becomes messages, the past at once, the present as it passes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from threading import Event

from ..publisher import Publisher, Send, try_flush
from ..timeline import MINUTE_SECONDS
from .fleet import REGIONS, SLICE_SECONDS, Fleet, RegionModel

MINUTES_PER_MESSAGE = 5
"""Of the past; the present goes out every ten seconds."""
MAX_CATCH_UP_SECONDS = 3600
"""After a longer pause, such as a laptop's sleep, the rest is left out."""


class Traffic:
    """Publishes a fleet from ``begin`` (Unix seconds) on; ``boot`` tells this run's messages from another's."""

    def __init__(self, fleet: Fleet, boot: str, send: Send, begin: int) -> None:
        self._fleet = fleet
        self._publishers = [(region, Publisher(region.writer, boot, send)) for region in REGIONS]
        self._done = begin // SLICE_SECONDS * SLICE_SECONDS

    def publish_past(self, start: int, end: int, is_stopping: Callable[[], bool] = lambda: False) -> None:
        """Publish (start, end] (Unix seconds, whole minutes), the newest first, until ``is_stopping``."""
        step = MINUTES_PER_MESSAGE * MINUTE_SECONDS
        for upper in range(end, start, -step):
            if is_stopping():
                return
            self._publish(max(start, upper - step), upper)

    def publish_until(self, now: datetime) -> int:
        """Publish the slices that have ended since the last call; how many."""
        newest = int(now.timestamp()) // SLICE_SECONDS * SLICE_SECONDS
        begin = max(self._done, newest - MAX_CATCH_UP_SECONDS)
        if begin < newest:
            self._publish(begin, newest)
            self._done = newest
        return max(0, newest - begin) // SLICE_SECONDS

    def _publish(self, start: int, end: int) -> None:
        for region, publisher in self._publishers:
            self._record(region, publisher, start, end)
            try_flush(publisher)

    def _record(self, region: RegionModel, publisher: Publisher, start: int, end: int) -> None:
        for slice_end in range(start + SLICE_SECONDS, end + SLICE_SECONDS, SLICE_SECONDS):
            for observation in self._fleet.observations(region, slice_end):
                publisher.observe(observation)


def seconds_to_next_slice(now: datetime) -> float:
    """How long until the next slice ends, and a little more, so that it has."""
    return SLICE_SECONDS - now.timestamp() % SLICE_SECONDS + 0.05


def run_traffic(traffic: Traffic, now: Callable[[], datetime], stopping: Event) -> None:
    """Publish until ``stopping`` is set."""
    while not stopping.wait(seconds_to_next_slice(now())):
        traffic.publish_until(now())
