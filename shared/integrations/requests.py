"""A service's requests, whatever serves them: one response time each, and an error where the service is to blame.

An endpoint is a route (``/users/{id}``). Where only paths are known, the first MAX_PATHS keep their names and all
others are one, so that a path with an id in it does not make a series for each.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from time import monotonic, perf_counter

from ..metrics_collector import ProductionMetricsCollector, own_collector

MAX_PATHS = 100
OTHERS = "/(others)"
UNMATCHED = "/(unmatched)"
FLUSH_EVERY_SECONDS = 10.0
_FIRST_FAILURE = 500
_NO_ENDPOINT = (404, 405)
_MS = 1000.0


class Requests:
    """Records requests on a collector; by default the process's own, and its region."""

    def __init__(
        self, collector: ProductionMetricsCollector | None = None, region: str | None = None, flush_seconds: float = 0.0
    ) -> None:
        """``flush_seconds``: how long a response may wait for its metrics, once in FLUSH_EVERY_SECONDS; 0 for never."""
        self._collector = collector
        self._region = region
        self._paths: set[str] = set()
        self.flush_seconds = flush_seconds
        self._flushed_at = float("-inf")
        self.clock: Callable[[], float] = perf_counter

    @property
    def collector(self) -> ProductionMetricsCollector:
        """Where it records."""
        return self._collector or own_collector()

    def answered(self, endpoint: str, started: float, status: int, error: BaseException | None = None) -> None:
        """One request has ended, with a status (0: none) or an error; ``started`` by this object's clock."""
        collector = self.collector
        region = collector.region if self._region is None else self._region
        collector.record_response_time(region, endpoint, (self.clock() - started) * _MS)
        self.failed(endpoint, status, error)

    def failed(self, endpoint: str, status: int, error: BaseException | None = None) -> None:
        """The error of a request, if it is one and the service is to blame; ``answered`` does this, too."""
        collector = self.collector
        region = collector.region if self._region is None else self._region
        if isinstance(error, Exception):
            collector.record_error(endpoint, region, type(error).__name__)
        elif status >= _FIRST_FAILURE:
            collector.record_error(endpoint, region, f"http_{status}")

    def path(self, path: str, status: int) -> str:
        """A path as an endpoint, while there are few; what the application does not know is none, whoever asks."""
        if status in _NO_ENDPOINT:
            return UNMATCHED
        if path in self._paths:
            return path
        if len(self._paths) < MAX_PATHS:
            self._paths.add(path)
            return path
        return OTHERS

    @property
    def flushes(self) -> bool:
        """Whether any response waits for its metrics."""
        return self.flush_seconds > 0

    def flush_is_due(self) -> bool:
        """Whether this response should wait for what was gathered; the next one then needs not."""
        now = monotonic()
        if not self.flushes or now - self._flushed_at < FLUSH_EVERY_SECONDS:
            return False
        self._flushed_at = now
        return True

    def flush(self) -> None:
        """Publish what was gathered; waits as long as was allowed at most, and raises nothing."""
        with suppress(Exception):
            self.collector.flush(self.flush_seconds)
