"""The simulated fleet of ION Mentoring: three regions, one publishing process each, every metric of the catalogue.

What a region measures in a slice of ten seconds is a pure function of the seed, the region and the slice, so what
is published of the past and what is published live agree. About 9,000 requests a second are counted; of them 60 a
slice are drawn for their response time. Traffic follows the sun: the least at 04:00 local time, the most at 16:00.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..cells import Observation
from ..series import Kind, Series, make_labels
from ..timeline import HOUR_SECONDS, US_PER_SECOND
from .incident import SLOW_MS, Incident, Trouble

SLICE_SECONDS = 10
NORMAL_ERROR_RATIO = 0.0002
"""Availability is 99.98 % when nothing is wrong."""
_DAY_SECONDS = 24 * HOUR_SECONDS
_QUIETEST_HOUR = 4.0
_NIGHT_LOAD = 0.35
_SPREAD = 0.35
"""Sigma of the logarithm of response times: the P95 of one endpoint is 1.78 times its median."""
_QUERIES_DRAWN = 6
_L1_HIT_RATIO = 0.85
_L2_HIT_RATIO = 0.80
_EVICTION_RATIO = 0.002
_LIVED_PERCENT = {"l1": 71.0, "l2": 88.0}
"""Of its time to live, when an entry is last of use and nobody else wants its room."""
_CONNECTIONS_PER_INSTANCE = 8


@dataclass(frozen=True, slots=True)
class RegionModel:
    """A region: its clock, its requests a second at the busiest hour, and its usual levels.

    ``median_ms`` is of /process; ``lag_ms`` is None where the database is the primary.
    """

    name: str
    utc_offset_hours: float
    peak_rate: float
    median_ms: float
    cpu_percent: float
    memory_percent: float
    lag_ms: float | None

    @property
    def writer(self) -> str:
        """The name of the region's publishing process."""
        return f"ion-{self.name}-0"


REGIONS = (
    RegionModel("us-central1", -6.0, 5600.0, 11.3, 22.0, 46.0, None),
    RegionModel("europe-west1", 1.0, 4700.0, 18.8, 25.0, 52.0, 140.0),
    RegionModel("asia-southeast1", 8.0, 3500.0, 27.7, 30.0, 60.0, 200.0),
)

ENDPOINTS = {
    "/process": (22, 1.0),
    "/recommend": (14, 1.2),
    "/bulk_process": (4, 1.9),
    "/personas": (8, 0.6),
    "/feedback": (4, 0.7),
    "/sessions": (8, 0.8),
}
"""Requests of 60, and the response time against /process."""
PERSONAS = {"lua": 0.34, "elro": 0.26, "riri": 0.22, "nana": 0.18}
ERROR_TYPES = {"timeout": 0.6, "internal": 0.4}
_DRAWN = sum(share for share, _ in ENDPOINTS.values())
_SLOWNESS = np.repeat([slowness for _, slowness in ENDPOINTS.values()], [share for share, _ in ENDPOINTS.values()])


@dataclass(frozen=True, slots=True)
class Fleet:
    """All regions under one seed, with the incident they go through (None: nothing ever goes wrong)."""

    seed: int
    incident: Incident | None = None

    def observations(self, region: RegionModel, slice_end: int) -> Iterator[Observation]:
        """What a region measured in the slice that ends at ``slice_end`` (Unix seconds, a multiple of 10)."""
        trouble = self.incident.trouble(region.name, slice_end) if self.incident else Trouble()
        rng = np.random.default_rng((self.seed, zlib.crc32(region.name.encode()), slice_end))
        return _Slice(region, slice_end, load(region, slice_end), trouble, rng).observations()


def load(region: RegionModel, second: int) -> float:
    """The share of the busiest hour's traffic, 0.35 (04:00 local time) to 1 (16:00)."""
    hour = (second / HOUR_SECONDS + region.utc_offset_hours) % 24
    wave = 0.5 - 0.5 * math.cos(2 * math.pi * (hour - _QUIETEST_HOUR) / 24)
    return _NIGHT_LOAD + (1 - _NIGHT_LOAD) * wave


@dataclass(frozen=True, slots=True)
class _Slice:
    """Ten seconds of one region; the order in which it draws is part of what the seed means."""

    region: RegionModel
    end: int
    load: float
    trouble: Trouble
    rng: np.random.Generator

    def observations(self) -> Iterator[Observation]:
        """Everything that is measured, stamped at the slice's end."""
        requests = int(self.rng.poisson(self.region.peak_rate * self.load * SLICE_SECONDS))
        yield from self._response_times()
        yield from self._requests(requests)
        yield from self._cache(requests)
        yield from self._levels()
        if self.trouble.release:
            yield self._one("deploys", Kind.COUNTER, 1.0, service="api", version=self.trouble.release)

    def _response_times(self) -> Iterator[Observation]:
        busy = 0.92 + 0.12 * self.load
        draws = self.region.median_ms * busy * _SLOWNESS * self.rng.lognormal(0.0, _SPREAD, _DRAWN)
        slow = np.arange(_DRAWN) % 10 < round(self.trouble.slow * 10)  # every endpoint alike, and never by chance
        draws[slow] = SLOW_MS * self.rng.lognormal(0.0, 0.12, int(slow.sum()))
        at = 0
        for endpoint, (share, _) in ENDPOINTS.items():
            for value in draws[at : at + share].tolist():
                yield self._one("response_time", Kind.DISTRIBUTION, value, endpoint=endpoint)
            at += share
        for value in (4.0 * self.rng.lognormal(0.0, 0.5, _QUERIES_DRAWN)).tolist():
            yield self._one("database_query_time", Kind.DISTRIBUTION, value)

    def _requests(self, requests: int) -> Iterator[Observation]:
        shares = [share / _DRAWN for share, _ in ENDPOINTS.values()]
        failing = NORMAL_ERROR_RATIO + self.trouble.errors
        for endpoint, count in zip(ENDPOINTS, self.rng.multinomial(requests, shares).tolist(), strict=True):
            yield self._one("requests", Kind.COUNTER, float(count), endpoint=endpoint)
            failed = int(self.rng.binomial(count, failing))
            kinds = self.rng.multinomial(failed, list(ERROR_TYPES.values())).tolist()
            for kind, number in zip(ERROR_TYPES, kinds, strict=True):
                if number:
                    yield self._one("errors", Kind.COUNTER, float(number), endpoint=endpoint, type=kind)
        answered = self.rng.multinomial(requests // 2, list(PERSONAS.values())).tolist()
        for persona, number in zip(PERSONAS, answered, strict=True):
            yield self._plain("persona_requests", Kind.COUNTER, float(number), persona=persona)

    def _cache(self, requests: int) -> Iterator[Observation]:
        """Each request asks L1, and L2 where L1 missed."""
        looked_up = requests
        for level, ratio in (("l1", _L1_HIT_RATIO), ("l2", _L2_HIT_RATIO)):
            hits = int(self.rng.binomial(looked_up, ratio))
            yield self._one("cache_requests", Kind.COUNTER, float(hits), level=level, result="hit")
            yield self._one("cache_requests", Kind.COUNTER, float(looked_up - hits), level=level, result="miss")
            evicted = float(self.rng.poisson(looked_up * _EVICTION_RATIO))
            yield self._plain("cache_evictions", Kind.COUNTER, evicted, level=level)
            lived = _LIVED_PERCENT[level] - 12.0 * self.load + 0.01 * (evicted % 100)
            lived_labels = {"level": level, "cache": "personas"}
            yield self._plain("cache_ttl_effectiveness", Kind.DISTRIBUTION, round(lived, 2), **lived_labels)
            looked_up -= hits

    def _levels(self) -> Iterator[Observation]:
        """The gauges; each follows the load, waves a little, and jitters."""
        wave = math.sin(2 * math.pi * (self.end % _DAY_SECONDS) / (HOUR_SECONDS * 1.5))
        jitter = self.rng.normal(0.0, 1.0, 4).tolist()
        region = self.region
        cpu = region.cpu_percent + 24.0 * self.load + 2.0 * wave + 1.5 * jitter[0]
        yield self._one("cpu_utilization", Kind.GAUGE, round(cpu, 2))
        yield self._one(
            "memory_utilization", Kind.GAUGE, round(region.memory_percent + 2.0 * wave + 0.3 * jitter[1], 2)
        )
        instances = round(10 + 6 * self.load)
        yield self._one("instance_count", Kind.GAUGE, float(instances))
        busy = round(instances * _CONNECTIONS_PER_INSTANCE * (0.55 + 0.35 * self.load) + 2 * jitter[1])
        yield self._one("database_connections", Kind.GAUGE, float(busy), database="main")
        used = 100.0 * busy / (instances * _CONNECTIONS_PER_INSTANCE)
        yield self._plain("connection_pool_utilization", Kind.GAUGE, round(used, 1), pool="default")
        yield self._one("up", Kind.GAUGE, 1.0)
        if region.lag_ms is not None:
            yield self._one(
                "database_lag", Kind.GAUGE, round(max(1.0, region.lag_ms + 20.0 * wave + 10.0 * jitter[2]), 1)
            )
        yield self._plain("users_active", Kind.GAUGE, float(round(1400 * self.load + 12 * jitter[3])))

    def _one(self, metric: str, kind: Kind, value: float, **labels: str) -> Observation:
        return self._plain(metric, kind, value, region=self.region.name, **labels)

    def _plain(self, metric: str, kind: Kind, value: float, **labels: str) -> Observation:
        return Observation(_series(metric, tuple(labels.items())), kind, self.end * US_PER_SECOND, value)


_known: dict[tuple[str, tuple[tuple[str, str], ...]], Series] = {}
"""The fleet's series, about a hundred, made once: sixty observations share each."""


def _series(metric: str, labels: tuple[tuple[str, str], ...]) -> Series:
    key = (metric, labels)
    found = _known.get(key)
    if found is None:
        found = _known[key] = Series(metric, make_labels(dict(labels)))
    return found
