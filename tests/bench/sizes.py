"""How many bytes a message has, beside OTLP of the same observations as the OpenTelemetry SDK makes it."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import datetime

import numpy as np
from opentelemetry.metrics import Meter

from shared.timeline import to_us
from tests.bench.figures import Figure, at_most, bounded
from tests.bench.messages import compact, labels_of, metric_of
from tests.otel import export

SEED = 1
SCALARS, DISTRIBUTIONS, OBSERVATIONS = 30, 5, 300


def figures(now: datetime) -> Iterator[Figure]:
    """The sizes of two messages; they are the same in every run but for the time in them."""
    ours = len(compact("service-1", 1, now, SCALARS, DISTRIBUTIONS, OBSERVATIONS, np.random.default_rng(SEED)))
    name = f"bytes of {SCALARS} scalars and {DISTRIBUTIONS} distributions of {OBSERVATIONS}"
    yield at_most(f"{name}; OTLP, gzip", ours, _otlp_bytes(now), 0.9, "B")
    yield bounded(name, ours, 1500, "B")
    skewed = len(compact("service-1", 1, now, 104, 1, 1000, np.random.default_rng(SEED)))
    yield bounded("bytes of 104 scalars and 1 distribution of 1,000", skewed, 1900, "B")


def _otlp_bytes(at: datetime) -> int:
    rng = np.random.default_rng(SEED)

    def record(meter: Meter) -> None:
        for row in range(SCALARS):
            value = round(float(rng.normal(100, 20)), 3)
            if row % 2:
                meter.create_gauge(metric_of(row)).set(value, labels_of(row))
            else:
                meter.create_counter(metric_of(row)).add(value, labels_of(row))
        for row in range(DISTRIBUTIONS):
            for value in rng.lognormal(3.0, 0.5, OBSERVATIONS):
                meter.create_histogram("fine.response_time").record(float(value), labels_of(row))

    return len(gzip.compress(export(record, at_ns=to_us(at) * 1000).SerializeToString()))
