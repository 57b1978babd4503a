"""The messages of the benchmark: a service's metrics, 35 or 105 series, in each wire format."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
from opentelemetry.metrics import Meter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from shared.bus import Message
from shared.formats.compact import Chunk, decode, encode
from shared.formats.dispatch import OTLP_METRICS
from shared.publisher import ATTRIBUTES, Publisher
from shared.push import push_body
from shared.series import Kind
from shared.timeline import iso, to_us
from tests.otel import export

REGIONS = ("us-central1", "europe-west1", "asia-southeast1")
ENDPOINTS = ("/process", "/recommend", "/bulk_process", "/status", "/login")
SUBSCRIPTION = "metrics-ingest"


def labels_of(row: int) -> dict[str, str]:
    """The labels of a service's row: a region and an endpoint."""
    return {"region": REGIONS[row % 3], "endpoint": ENDPOINTS[row // 3 % 5]}


def metric_of(row: int) -> str:
    """A scalar's metric: 15 series have one name."""
    return f"service.metric_{row // 15}"


def compact(
    writer: str, seq: int, at: datetime, scalars: int, distributions: int, observations: int, rng: np.random.Generator
) -> bytes:
    """A writer's compact chunk of that seq."""
    sent: list[bytes] = []
    publisher = Publisher(writer, "boot-1", lambda data, _: sent.append(data))
    publisher._seq = seq  # a publisher counts from 0; here each makes one message
    for row in range(scalars):
        kind = Kind.GAUGE if row % 2 else Kind.COUNTER
        publisher.record(metric_of(row), round(float(rng.normal(100, 20)), 3), at, kind, labels_of(row))
    for row in range(distributions):
        for value in rng.lognormal(3.0, 0.5, observations):
            publisher.record("response_time", float(value), at, Kind.DISTRIBUTION, labels_of(row))
    publisher.flush()
    return sent[0]


def native(writer: str, seq: int, at: datetime, series: int, rng: np.random.Generator) -> bytes:
    """A message of native JSON, one value a series."""
    points = [
        {
            "metric": metric_of(row),
            "labels": labels_of(row),
            "timestamp": iso(at),
            "value": round(float(rng.normal(100, 20)), 3),
        }
        for row in range(series)
    ]
    return json.dumps({"version": 1, "points": points, "writer": writer, "boot": "boot-1", "seq": seq}).encode()


def otlp(at: datetime, series: int, rng: np.random.Generator) -> bytes:
    """What the OpenTelemetry SDK exports of gauges and delta sums, one point a series, with other values each time."""
    request = ExportMetricsServiceRequest.FromString(_exported(at, series))
    for metric in request.resource_metrics[0].scope_metrics[0].metrics:
        points = metric.gauge.data_points if metric.HasField("gauge") else metric.sum.data_points
        for point in points:
            point.as_double = abs(round(float(rng.normal(100, 20)), 3))
    return request.SerializeToString()


@cache
def _exported(at: datetime, series: int) -> bytes:
    def record(meter: Meter) -> None:
        for row in range(series):
            if row // 15 % 2:
                meter.create_gauge(metric_of(row)).set(1.0, labels_of(row))
            else:
                meter.create_counter(metric_of(row)).add(1.0, labels_of(row))

    return export(record, at_ns=to_us(at) * 1000).SerializeToString()


OTLP_ATTRIBUTES = {"ce-type": OTLP_METRICS, "content-type": "application/protobuf"}


def compact_35(seq: int, at: datetime, rng: np.random.Generator) -> tuple[bytes, Mapping[str, str]]:
    """35 series, about 2 KB: 30 scalars and 5 distributions of 1,000 observations; ten of them under other names."""
    chunk = _observed(at, seq % 10)
    return encode(replace(chunk, writer=f"service-{rng.integers(30)}", seq=seq)), ATTRIBUTES


@cache
def _observed(at: datetime, seed: int) -> Chunk:
    return decode(compact("service", 0, at, 30, 5, 1000, np.random.default_rng(seed)))


def native_105(seq: int, at: datetime, rng: np.random.Generator) -> tuple[bytes, Mapping[str, str]]:
    """105 series as native JSON."""
    return native(f"service-{seq % 30}", seq // 30, at, 105, rng), {}


def otlp_105(_: int, at: datetime, rng: np.random.Generator) -> tuple[bytes, Mapping[str, str]]:
    """105 series as OTLP protobuf."""
    return otlp(at, 105, rng), OTLP_ATTRIBUTES


AHEAD = timedelta(minutes=4)
"""Points are stamped that much after the benchmark's time, as they may be: so none is late while it is measured."""
Maker = Callable[[int, datetime, np.random.Generator], tuple[bytes, Mapping[str, str]]]


def pushes(make: Maker, count: int, seed: int, project: str) -> Iterator[bytes]:
    """The bodies of ``count`` different pushes; their points are not late for some minutes."""
    rng = np.random.default_rng(seed)
    at = datetime.now(UTC) + AHEAD
    for seq in range(seed * 10_000, seed * 10_000 + count):
        data, attributes = make(seq, at, rng)
        yield push_body(Message(data, attributes, f"{seed}-{seq}", at), SUBSCRIPTION, project)
