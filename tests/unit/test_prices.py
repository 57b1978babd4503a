"""A month's bill."""

from __future__ import annotations

import pytest

from shared.prices import Usage, bill, cloud_monitoring_usd, managed_prometheus_usd


def test_nothing_costs_nothing() -> None:
    """What stays below the free quota is on the bill with zero dollars."""
    assert set(bill(Usage(reads=1_500_000, writes=600_000, jobs=3, requests=2_000_000)).values()) == {0.0}


@pytest.mark.parametrize(
    ("usage", "name", "usd"),
    [
        (Usage(reads=1_600_000), "reads", 0.03),
        (Usage(writes=7_776_000), "writes", 6.4584),
        (Usage(expiry_deletes=100_000), "expiry_deletes", 0.01),
        (Usage(stored_bytes=3 * 1024**3), "stored_bytes", 0.30),
        (Usage(bus_bytes=2 * 1024**4 + 10 * 1024**3), "bus_bytes", 80.0),
        (Usage(vcpu_seconds=1_180_000), "vcpu_seconds", 24.0),
        (Usage(gib_seconds=1_360_000), "gib_seconds", 2.5),
        (Usage(requests=3_000_000), "requests", 0.40),
        (Usage(jobs=5), "jobs", 0.20),
    ],
)
def test_what_is_above_the_free_quota_is_paid(usage: Usage, name: str, usd: float) -> None:
    """Each kind of operation costs its list price above its free units, and no other line changes."""
    lines = bill(usage)
    assert lines.pop(name) == pytest.approx(usd)
    assert sum(lines.values()) == 0.0


def test_the_others_cost_by_what_is_written() -> None:
    """30 scalars and 5 distributions of 30 services a minute: Cloud Monitoring by bytes, Prometheus by samples."""
    minutes = 30 * 60 * 24 * 30
    assert cloud_monitoring_usd(30 * minutes, 5 * minutes) == pytest.approx(165.4, rel=0.01)
    assert managed_prometheus_usd(30 * minutes, 5 * minutes, 20) == pytest.approx(10.9, rel=0.01)
