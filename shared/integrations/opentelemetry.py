"""OpenTelemetry's SDK, published without a Collector: ``PeriodicExportingMetricReader(IonMetricExporter())``.

Counters and histograms are delta and histograms exponential, so that minima, maxima and bins arrive as measured. What
Pub/Sub does not take is kept, byte for byte and up to MAX_UNSENT_BYTES, and goes first the next time: a message that
it took after all counts once. The oldest is dropped, and counted, beyond that.
"""

from __future__ import annotations

import gzip
import os
from collections import deque
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import Counter, Histogram, ObservableCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation

from ..bins import SCALE
from ..client import sender
from ..config import load_client_config
from ..errors import PermanentError, TransientError
from ..formats.dispatch import CONTENT_ENCODING_ATTRIBUTE, CONTENT_TYPE_ATTRIBUTE, EVENT_TYPE_ATTRIBUTE, OTLP_METRICS
from ..logs import try_log

if TYPE_CHECKING:
    from ..publisher import Send

ATTRIBUTES = {
    EVENT_TYPE_ATTRIBUTE: OTLP_METRICS,
    CONTENT_TYPE_ATTRIBUTE: "application/protobuf",
    CONTENT_ENCODING_ATTRIBUTE: "gzip",
}
_MOST_BINS = 1024
"""At our scale they span 32 powers of two; the SDK's own 160 would halve the precision beyond five."""
MAX_UNSENT_BYTES = 8 * 1024 * 1024


class IonMetricExporter(MetricExporter):
    """Publishes OTLP to the topic that the process's environment names, or by ``send``. Safe between threads."""

    def __init__(self, send: Send | None = None) -> None:
        """Raises ``ConfigError`` for an environment that cannot be used."""
        super().__init__(
            preferred_temporality=dict.fromkeys([Counter, ObservableCounter, Histogram], AggregationTemporality.DELTA),
            preferred_aggregation={Histogram: ExponentialBucketHistogramAggregation(_MOST_BINS, SCALE)},
        )
        self.dropped_messages = 0
        self._send = send or sender(load_client_config())
        self._unsent: deque[bytes] = deque()
        self._lock = Lock()
        _ALL.add(self)

    def begin_again(self) -> None:
        """In a forked child: another thread may have held the lock, and what is left is the parent's to send."""
        self._lock = Lock()
        self._unsent = deque()
        self.dropped_messages = 0

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> MetricExportResult:
        """Publish what was measured, after what is left from before; FAILURE where that is kept for the next time."""
        del timeout_millis  # the sender has its own bounds
        with self._lock:
            request = encode_metrics(metrics_data)
            if request.resource_metrics:
                self._unsent.append(gzip.compress(request.SerializeToString(), mtime=0))
            self._drop_oldest()
            return MetricExportResult.SUCCESS if self._send_all() else MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Publish what is left; whether all is published."""
        del timeout_millis
        with self._lock:
            return self._send_all()

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        """The same, for the last time."""
        self.force_flush(timeout_millis)

    def _send_all(self) -> bool:
        while self._unsent:
            try:
                self._send(self._unsent[0], ATTRIBUTES)
            except PermanentError as error:
                self._drop(error.reason)
                continue
            except TransientError as error:
                try_log("publish_failed", "WARNING", reason=error.reason, detail=error.detail)
                return False
            self._unsent.popleft()
        return True

    def _drop_oldest(self) -> None:
        while sum(map(len, self._unsent)) > MAX_UNSENT_BYTES:
            self._drop("unsent_bytes")

    def _drop(self, reason: str) -> None:
        self._unsent.popleft()
        self.dropped_messages += 1
        try_log("message_dropped", "WARNING", reason=reason)


_ALL: WeakSet[IonMetricExporter] = WeakSet()


def _after_fork() -> None:
    for exporter in list(_ALL):
        exporter.begin_again()


os.register_at_fork(after_in_child=_after_fork)
