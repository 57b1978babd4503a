"""A bus made when it is first used: Pub/Sub's client takes a tenth of a cold start, and ingest rarely needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import Lock

from ..bus import Bus, Received


class DeferredBus:
    """A ``Bus`` that ``make`` makes, once, at the first call. Safe to share between threads."""

    def __init__(self, make: Callable[[], Bus]) -> None:
        self._make = make
        self._made: Bus | None = None
        self._lock = Lock()

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str] | None = None) -> str:
        """See ``Bus.publish``."""
        return self._bus().publish(topic, data, attributes)

    def pull(self, subscription: str, limit: int) -> Sequence[Received]:
        """See ``Bus.pull``."""
        return self._bus().pull(subscription, limit)

    def ack(self, subscription: str, ack_ids: Sequence[str]) -> None:
        """See ``Bus.ack``."""
        self._bus().ack(subscription, ack_ids)

    def nack(self, subscription: str, ack_ids: Sequence[str]) -> None:
        """See ``Bus.nack``."""
        self._bus().nack(subscription, ack_ids)

    def _bus(self) -> Bus:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made
