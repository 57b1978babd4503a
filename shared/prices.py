"""What a month costs: one dated table of list prices, and the bill for counted operations.

Prices are US dollars for us-central1, as published on ``AS_OF``; multi-region Firestore (nam5) costs twice as much.
A month has 30 days. Sources: https://cloud.google.com/firestore/pricing, https://cloud.google.com/pubsub/pricing,
https://cloud.google.com/run/pricing, https://cloud.google.com/scheduler/pricing,
https://cloud.google.com/stackdriver/pricing
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from types import MappingProxyType

AS_OF = date(2026, 11, 1)
DAYS = 30
MIB = 1024**2
GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Price:
    """``usd`` for each ``per`` units a month, above the units that are ``free`` in it."""

    usd: float
    per: float
    free: float = 0.0

    def of(self, units: float) -> float:
        """Dollars for that many units in a month; nothing below the free ones."""
        return max(units - self.free, 0.0) / self.per * self.usd


READS = Price(0.03, 100_000, 50_000 * DAYS)
WRITES = Price(0.09, 100_000, 20_000 * DAYS)
EXPIRY_DELETES = Price(0.01, 100_000)
"""Deletes by time to live have no free quota."""
STORED_BYTES = Price(0.15, GIB, GIB)
BUS_BYTES = Price(40.0, 1024 * GIB, 10 * GIB)
"""Published and delivered, each counted; a request of less than 1,000 bytes counts as that many."""
BUS_LEAST_BYTES = 1000
REQUESTS = Price(0.40, 1_000_000, 2_000_000)
VCPU_SECONDS = Price(0.000024, 1, 180_000)
GIB_SECONDS = Price(0.0000025, 1, 360_000)
JOBS = Price(0.10, 1, 3)
MONITORING_BYTES = Price(0.258, MIB, 150 * MIB)
"""Custom metrics in Cloud Monitoring: 8 bytes a scalar, 80 a distribution, each time one is written."""
MONITORING_SCALAR_BYTES, MONITORING_DISTRIBUTION_BYTES = 8, 80
PROMETHEUS_SAMPLES = Price(0.06, 1_000_000)
"""Managed Service for Prometheus: a scalar is a sample; a histogram is two, and one for each populated bucket."""


@dataclass(frozen=True, slots=True)
class Usage:
    """A month's operations. ``bus_bytes`` are published and delivered bytes together."""

    reads: float = 0.0
    writes: float = 0.0
    expiry_deletes: float = 0.0
    stored_bytes: float = 0.0
    bus_bytes: float = 0.0
    requests: float = 0.0
    vcpu_seconds: float = 0.0
    gib_seconds: float = 0.0
    jobs: float = 0.0


_OF = MappingProxyType(
    {
        "reads": READS,
        "writes": WRITES,
        "expiry_deletes": EXPIRY_DELETES,
        "stored_bytes": STORED_BYTES,
        "bus_bytes": BUS_BYTES,
        "requests": REQUESTS,
        "vcpu_seconds": VCPU_SECONDS,
        "gib_seconds": GIB_SECONDS,
        "jobs": JOBS,
    }
)


def bill(usage: Usage) -> dict[str, float]:
    """Dollars a month for each kind of operation, by the name of its field; all of them, zeros included."""
    return {name: price.of(getattr(usage, name)) for name, price in _OF.items()}


def cloud_monitoring_usd(scalars: float, distributions: float) -> float:
    """What as many written points a month cost as custom metrics of Cloud Monitoring, without reads and alerts."""
    written = scalars * MONITORING_SCALAR_BYTES + distributions * MONITORING_DISTRIBUTION_BYTES
    return MONITORING_BYTES.of(written)


def managed_prometheus_usd(scalars: float, distributions: float, buckets: float) -> float:
    """What as many written points a month cost there; ``buckets`` are populated in each distribution."""
    return PROMETHEUS_SAMPLES.of(scalars + distributions * (2 + buckets))
