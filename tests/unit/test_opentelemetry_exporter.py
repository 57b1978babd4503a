"""The exporter for OpenTelemetry's SDK: what was measured arrives, exactly once, through failures of the bus."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from shared.cells import merge
from shared.errors import PermanentError, TransientError
from shared.formats.compact import Chunk
from shared.formats.dispatch import decode
from shared.formats.otlp_labels import DEFAULT_RULE
from shared.identity import identify
from shared.integrations import opentelemetry
from shared.integrations.opentelemetry import IonMetricExporter
from shared.logs import Captured
from shared.series import Kind
from tests.otel import RESOURCE


class Bus:
    """Takes messages as ingest does, each once by its digest; fails as scripted."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.taken: dict[str, Chunk] = {}

    def __call__(self, data: bytes, attributes: Mapping[str, str]) -> None:
        """Publish one message."""
        failure = self.failures.pop(0) if self.failures else ""
        if failure == "refused":
            raise PermanentError("message_refused")
        if failure != "before":
            chunk, refused = decode(data, attributes, {}, DEFAULT_RULE)
            assert refused is None
            self.taken[identify(data).wid] = chunk
        if failure:
            raise TransientError("unavailable")

    def totals(self) -> dict[str, tuple[Kind, int, float]]:
        """Kind, count and sum of each metric."""
        parts = [section.cells for chunk in self.taken.values() for section in chunk.sections]
        cells = merge(parts)
        rows = zip(cells.series, cells.kind.tolist(), cells.count.tolist(), cells.sum.tolist(), strict=True)
        return {series.metric: (Kind(kind), count, total) for series, kind, count, total in rows}


class Service:
    """A service that measures with the SDK."""

    def __init__(self) -> None:
        self.bus = Bus()
        self.exporter = IonMetricExporter(self.bus)
        self.reader = PeriodicExportingMetricReader(self.exporter, export_interval_millis=3_600_000)
        self.provider = MeterProvider([self.reader], resource=Resource(RESOURCE), shutdown_on_exit=False)
        meter = self.provider.get_meter("shop")
        self.times = meter.create_histogram("time")
        self.requests = meter.create_counter("requests")
        self.level = meter.create_up_down_counter("level")

    def measure(self, *values: float) -> None:
        """One response time each, one request each, and a level one higher."""
        for value in values:
            self.times.record(value, {"endpoint": "/a"})
            self.requests.add(1)
            self.level.add(1)

    def collect(self) -> None:
        """What the SDK does every interval."""
        with Captured():
            self.provider.force_flush()


@pytest.mark.parametrize("failure", ["", "before", "after"])
def test_what_is_measured_arrives_once(failure: str) -> None:
    """Each measurement counts once, whether the bus fails before or after it has taken a message."""
    service = Service()
    service.bus.failures = [failure] if failure else []
    service.measure(1.0, 2.0, 4.0)
    service.collect()
    service.measure(8.0)
    service.collect()
    with Captured():
        service.provider.shutdown()
    assert service.bus.totals()["time"] == (Kind.DISTRIBUTION, 4, 15.0)
    kind, _, total = service.bus.totals()["requests"]
    assert (kind, total) == (Kind.COUNTER, 4.0)
    assert service.bus.totals()["level"][0] is Kind.GAUGE
    assert service.exporter.dropped_messages == 0


def test_bins_are_exact() -> None:
    """A histogram's percentiles, minimum and maximum are those of its values, within the bins' own error."""
    service = Service()
    service.measure(*(float(value) for value in range(1, 101)))
    service.collect()
    service.provider.shutdown()
    cells = merge([section.cells for chunk in service.bus.taken.values() for section in chunk.sections])
    row = [series.metric for series in cells.series].index("time")
    assert (cells.min[row], cells.max[row], int(cells.scale[row])) == (1.0, 100.0, 5)
    assert int(cells.bin_count[cells.bin_start[row] : cells.bin_start[row + 1]].sum()) == 100


def test_a_refused_message_holds_up_no_other() -> None:
    """What is refused for good is dropped and counted, and what comes after it arrives."""
    service = Service()
    service.bus.failures = ["refused"]
    service.measure(1.0)
    service.collect()
    service.measure(2.0)
    service.collect()
    service.provider.shutdown()
    assert service.bus.totals()["time"] == (Kind.DISTRIBUTION, 1, 2.0)
    assert service.exporter.dropped_messages == 1


def test_what_is_not_taken_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the oldest messages are dropped and counted; the newest arrive."""
    monkeypatch.setattr(opentelemetry, "MAX_UNSENT_BYTES", 2_000)
    service = Service()
    service.bus.failures = ["before"] * 30
    for number in range(30):
        service.measure(float(number))
        service.collect()
    service.measure(99.0)
    service.collect()
    service.provider.shutdown()
    kind, count, _ = service.bus.totals()["time"]
    assert (kind, count) == (Kind.DISTRIBUTION, 31 - service.exporter.dropped_messages)
    assert 0 < count < 31


def test_a_fork_in_the_midst_of_an_export() -> None:
    """A child that is forked while another thread exports does not wait for it, and leaves the parent's messages."""
    service = Service()
    service.bus.failures = ["before", "before"]  # the export and the flush after it
    service.measure(1.0)
    service.collect()
    with service.exporter._lock:
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # should it wait for the lock after all
            os._exit(0 if service.exporter.force_flush() and not service.bus.taken else 1)
    assert os.waitpid(child, 0)[1] == 0
    service.provider.shutdown()
    assert service.bus.totals()["time"] == (Kind.DISTRIBUTION, 1, 1.0)


def test_nothing_measured_is_no_message() -> None:
    """Without measurements nothing is published."""
    service = Service()
    service.collect()
    service.provider.shutdown()
    assert service.bus.taken == {}


def test_the_environment_names_the_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a sender of its own it publishes to the topic of the process's environment."""
    for name, value in {"ION_PROJECT": "my-project", "PUBSUB_EMULATOR_HOST": "127.0.0.1:1"}.items():
        monkeypatch.setenv(name, value)
    exporter: Any = IonMetricExporter()
    assert exporter._send._path == "/v1/projects/my-project/topics/metrics:publish"
