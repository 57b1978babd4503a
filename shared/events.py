"""What happens in the service, typed: each event becomes metrics, and goes to Sentry where that is set up.

``trace_id`` (32 hex digits) is the trace an event belongs to. It is no label, for it would be a series for each
request: it goes to Sentry with the event, and comes from there where the event has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from .metrics_collector import ProductionMetricsCollector

_FIRST_FAILURE = 500


@dataclass(frozen=True, slots=True)
class PersonaProcessEvent:
    """A persona has answered a request, in ``duration_ms``; ``error`` names what failed, empty for nothing."""

    persona: str
    region: str
    duration_ms: float
    error: str = ""
    trace_id: str = ""

    def measure(self, collector: ProductionMetricsCollector) -> None:
        """One request of the persona, and how long it took it."""
        collector.record_persona(self.persona)
        labels = {"persona": self.persona, "region": self.region}
        collector.distribution("persona_process_time", labels).observe(self.duration_ms)
        if self.error:
            collector.counter("persona_errors", {"persona": self.persona, "type": self.error}).add(1.0)

    @property
    def measurements(self) -> Mapping[str, float]:
        """Numbers, by names that end in their units."""
        return {"persona_process_time_ms": self.duration_ms}


@dataclass(frozen=True, slots=True)
class APIRequestEvent:
    """A request was answered with ``status`` in ``duration_ms``; ``error`` names what failed, empty for nothing."""

    endpoint: str
    region: str
    method: str
    status: int
    duration_ms: float
    error: str = ""
    trace_id: str = ""

    def measure(self, collector: ProductionMetricsCollector) -> None:
        """A response time, and an error where the service is to blame: what the middleware records, too."""
        collector.record_response_time(self.region, self.endpoint, self.duration_ms)
        if self.error or self.status >= _FIRST_FAILURE:
            collector.record_error(self.endpoint, self.region, self.error or f"http_{self.status}")

    @property
    def measurements(self) -> Mapping[str, float]:
        """Numbers, by names that end in their units."""
        return {"response_time_ms": self.duration_ms}


@dataclass(frozen=True, slots=True)
class CachePerformanceEvent:
    """What a cache did since the last event: counts of look-ups and of entries dropped for room."""

    level: str
    cache: str
    hits: int
    misses: int
    evictions: int = 0
    trace_id: str = ""

    def measure(self, collector: ProductionMetricsCollector) -> None:
        """Hits, misses and evictions, where there were any."""
        if self.hits:
            collector.record_cache_hit(self.level, self.cache, self.hits)
        if self.misses:
            collector.record_cache_miss(self.level, self.cache, self.misses)
        if self.evictions:
            collector.record_cache_eviction(self.level, self.cache, self.evictions)

    @property
    def measurements(self) -> Mapping[str, float]:
        """The hit rate; none without look-ups."""
        looked_up = self.hits + self.misses
        return {"cache_hit_rate_percent": 100.0 * self.hits / looked_up} if looked_up else {}


Event: TypeAlias = PersonaProcessEvent | APIRequestEvent | CachePerformanceEvent


def plain(event: Event) -> dict[str, object]:
    """An event's fields, without its trace."""
    return {name: value for name, value in asdict(event).items() if name != "trace_id"}
