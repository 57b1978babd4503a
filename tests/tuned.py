"""Recorded minutes whose rules have something to learn from: a day of CPU in two regions, calm but for one hour."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from shared.backtest.run import Recorded, Span
from shared.cells import Observation
from shared.series import Kind, Series
from shared.timeline import minute_floor, to_us

START = datetime(2026, 3, 2, tzinfo=UTC)
HOURS = 12
BAD = range(300, 330)
"""The minutes in which the United States are busy."""
RULE = "high-cpu-utilization"


def recorded() -> tuple[Recorded, Span]:
    """The minutes, and the span over all of them."""
    drawn = random.Random(7)
    observations = []
    for minute in range(1, HOURS * 60 + 1):
        for region in ("us-central1", "europe-west1"):
            busy = region == "us-central1" and minute in BAD
            value = min(100.0, max(0.0, drawn.gauss(95 if busy else 40, 2)))
            at = to_us(START + timedelta(minutes=minute))
            series = Series("cpu_utilization", (("region", region),))
            observations.append(Observation(series, Kind.GAUGE, at, value))
    first = minute_floor(START) + 60
    return Recorded(observations), Span(first, first + (HOURS * 60 - 1) * 60)
