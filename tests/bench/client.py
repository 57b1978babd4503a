"""What measuring costs a service: an observation, a flush, an import; beside prometheus_client and OpenTelemetry's SDK.

Processor time throughout, on one thread where it is not said otherwise. An observation's cost includes folding what
has gathered and making the message, which the others' does not.
"""

from __future__ import annotations

import gzip
import itertools
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import Histogram as OtelHistogram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation
from prometheus_client import CollectorRegistry, Histogram

from shared.metrics_collector import ProductionMetricsCollector
from shared.publishing import BackgroundPublisher, Process
from tests.bench.figures import Figure, at_most, paired

ROUNDS = 15
OBSERVATIONS = 60_000
SERIES = 35
FLUSHED = 3_000
THREADS = 8
ROOT = Path(__file__).parents[2]
_NS = 1e9


def figures(_: datetime) -> Iterator[Figure]:
    """The costs of an observation, of a flush, and of an import."""
    rng = random.Random(7)
    values = [rng.lognormvariate(3.0, 0.5) for _ in range(1000)]
    ours = _Ours()
    histogram = Histogram("response_time", "ms", ["region", "endpoint"], registry=CollectorRegistry())
    bound = histogram.labels("us-central1", "/process")
    yield at_most(
        "an observation, labels looked up once",
        *paired(lambda: ours.cost_ns(ours.bound.observe, values), lambda: _cost_ns(bound.observe, values), ROUNDS),
        0.35, "ns",
    )  # fmt: skip

    def record(value: float) -> None:
        ours.collector.record_response_time("us-central1", "/process", value)

    yield at_most(
        "through record_response_time",
        *paired(
            lambda: ours.cost_ns(record, values),
            lambda: _cost_ns(lambda value: histogram.labels("us-central1", "/process").observe(value), values),
            ROUNDS,
        ),
        0.6, "ns",
    )  # fmt: skip
    otel = _Otel()
    attributes = {"region": "us-central1", "endpoint": "/process"}
    yield at_most(
        "an observation, against OpenTelemetry",
        *paired(
            lambda: ours.cost_ns(ours.bound.observe, values),
            lambda: _cost_ns(lambda value: otel.histogram.record(value, attributes), values, OBSERVATIONS // 10),
            ROUNDS,
        ),
        0.06, "ns",
    )  # fmt: skip
    yield from _threads(ours, values)
    yield from _flushes(rng)
    ours_ms, theirs_ms = paired(
        lambda: _import_ms("shared.metrics_collector"), lambda: _import_ms("prometheus_client"), 7
    )
    yield at_most("import", ours_ms, theirs_ms, 1.0, "ms")


class _Ours:
    """A collector whose messages go nowhere, folded and encoded by whoever asks."""

    def __init__(self) -> None:
        self.bytes = 0
        process = Process(at_exit=lambda _: None, sigterm=False, start=_no_thread)
        self.publisher = BackgroundPublisher(self._send, "bench", process=process)
        self.collector = ProductionMetricsCollector(self.publisher, region="us-central1")
        self.bound = self.collector.distribution("response_time", {"region": "us-central1", "endpoint": "/bound"})

    def cost_ns(self, observe: Callable[[float], object], values: Sequence[float]) -> float:
        """Nanoseconds of an observation, with its part of the message."""
        return _cost_ns(observe, values, after=self.publisher.flush_now)

    def _send(self, data: bytes, _: object) -> None:
        self.bytes = len(data)


class _Otel:
    """OpenTelemetry's SDK, with delta temporality and exponential histograms."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader(
            {OtelHistogram: AggregationTemporality.DELTA}, {OtelHistogram: ExponentialBucketHistogramAggregation()}
        )
        provider = MeterProvider([self.reader], shutdown_on_exit=False)
        self.histogram = provider.get_meter("bench").create_histogram("response_time")

    def flush(self) -> int:
        """Collect, encode and compress; the bytes."""
        found = self.reader.get_metrics_data()
        assert found is not None
        return len(gzip.compress(encode_metrics(found).SerializeToString()))


def _no_thread(_: Callable[[], None]) -> None:
    raise RuntimeError("what is asked is done at once")


def _cost_ns(
    observe: Callable[[float], object],
    values: Sequence[float],
    count: int = OBSERVATIONS,
    after: Callable[[], object] = lambda: None,
) -> float:
    began = time.process_time()
    for _ in range(count // len(values)):
        for value in values:
            observe(value)
    after()
    return (time.process_time() - began) / count * _NS


def _threads(ours: _Ours, values: Sequence[float]) -> Iterator[Figure]:
    """Eight threads at once against one: processor time of an observation."""

    def together() -> float:
        workers = [
            threading.Thread(target=_cost_ns, args=(ours.bound.observe, values, OBSERVATIONS)) for _ in range(THREADS)
        ]
        began = time.process_time()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        ours.publisher.flush_now()
        return (time.process_time() - began) / (OBSERVATIONS * THREADS) * _NS

    yield at_most(
        "an observation, eight threads at once",
        *paired(together, lambda: ours.cost_ns(ours.bound.observe, values), ROUNDS), 1.5, "ns",
    )  # fmt: skip


def _flushes(rng: random.Random) -> Iterator[Figure]:
    """35 series and 3,000 observations, folded, encoded and compressed: processor time and bytes."""
    ours, otel = _Ours(), _Otel()
    labels = [{"region": f"region-{number % 3}", "endpoint": f"/route/{number}"} for number in range(SERIES)]
    instruments = [ours.collector.distribution("response_time", one) for one in labels]

    def observe(record: Callable[[int, float], None]) -> None:
        for number in itertools.islice(itertools.cycle(range(SERIES)), FLUSHED):
            record(number, rng.lognormvariate(3.0, 0.5))

    def flush_ours() -> float:
        observe(lambda number, value: instruments[number].observe(value))
        began = time.process_time()
        ours.publisher.flush_now()
        return (time.process_time() - began) * 1000

    sizes: list[tuple[int, int]] = []

    def flush_theirs() -> float:
        observe(lambda number, value: otel.histogram.record(value, labels[number]))
        began = time.process_time()
        size = otel.flush()
        elapsed_ms = (time.process_time() - began) * 1000
        sizes.append((ours.bytes, size))
        return elapsed_ms

    yield at_most("flush of 35 series, 3,000 observations", *paired(flush_ours, flush_theirs, ROUNDS), 0.5, "ms")
    mine, theirs = (statistics.median(pair[side] for pair in sizes) for side in (0, 1))
    yield at_most("its message, against OTLP in gzip", mine, theirs, 0.9, "bytes")


def _import_ms(module: str) -> float:
    """The time of an import in a process of its own."""
    script = f"import time; began = time.process_time(); import {module}; print((time.process_time() - began) * 1000)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout)
