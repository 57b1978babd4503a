"""OTLP as it really comes: from the OpenTelemetry SDK, in messages like those of the Collector's Pub/Sub exporter."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.metrics import Meter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider, ObservableCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

AT_NS = 1_760_790_896_000_000_000
"""2025-10-18T12:34:56Z."""
AT_US = AT_NS // 1000
MINUTE = 1_760_790_900
RESOURCE = {"service.name": "checkout", "cloud.region": "europe-west1", "service.instance.id": "web-7"}
LABELS = (("region", "europe-west1"), ("service", "checkout"))
"""What the default rule makes of ``RESOURCE``."""
TRACED: Context = trace.set_span_in_context(
    trace.NonRecordingSpan(trace.SpanContext(0xABC, 0xDEF, False, trace.TraceFlags(trace.TraceFlags.SAMPLED)))
)
"""What is recorded in it leaves an exemplar."""
_DELTA: dict[type, AggregationTemporality] = dict.fromkeys(
    [Counter, ObservableCounter, Histogram], AggregationTemporality.DELTA
)
_FINE = View(instrument_name="fine.*", aggregation=ExponentialBucketHistogramAggregation())


def export(record: Callable[[Meter], None], *, delta: bool = True, at_ns: int = AT_NS) -> ExportMetricsServiceRequest:
    """What the SDK exports of whatever ``record`` records; histograms called ``fine.*`` are exponential.

    ``delta`` is the temporality that OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta stands for.
    """
    reader = InMemoryMetricReader(preferred_temporality=dict(_DELTA) if delta else None)
    provider = MeterProvider([reader], resource=Resource(RESOURCE), views=[_FINE], shutdown_on_exit=False)
    record(provider.get_meter("shop.cart", "1.4", attributes={"layer": "web"}))
    exported = reader.get_metrics_data()
    assert exported is not None
    request = encode_metrics(exported)
    provider.shutdown()
    _set_times(request, at_ns)
    return request


def _set_times(message: Message, at_ns: int) -> None:
    """Give all points the same time, and a start 15 seconds before."""
    for field, value in message.ListFields():
        if field.name == "time_unix_nano":
            setattr(message, field.name, at_ns)
        elif field.name == "start_time_unix_nano":
            setattr(message, field.name, at_ns - 15_000_000_000)
        elif field.type == field.TYPE_MESSAGE:
            for inner in value if field.is_repeated else [value]:
                _set_times(inner, at_ns)


def request_of(*metrics: Metric, **resource: str) -> ExportMetricsServiceRequest:
    """A request of some metrics made by hand, of a resource with some attributes."""
    request = ExportMetricsServiceRequest()
    added = request.resource_metrics.add()
    for name, value in resource.items():
        added.resource.attributes.add(key=name.replace("_", ".")).value.string_value = value
    added.scope_metrics.add(metrics=metrics)
    return request


def json_of(request: ExportMetricsServiceRequest) -> bytes:
    """A request as OTLP's JSON: trace ids in hex, enums as numbers, 64-bit integers as strings."""
    return json.dumps(_hex_ids(MessageToDict(request, use_integers_for_enums=True))).encode()


def _hex_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_hex_ids(one) for one in value]
    if not isinstance(value, dict):
        return value
    ids = {"traceId", "spanId"}
    return {key: base64.b64decode(one).hex() if key in ids else _hex_ids(one) for key, one in value.items()}


def attributes(event_id: str = "0c9c7a3e-6d29-4a33-9d1f-1b6a1f3a9f10", **more: str) -> dict[str, str]:
    """The attributes that the exporter gives a message; ``more`` has underscores for the hyphens of the names."""
    return {
        "ce-specversion": "1.0",
        "ce-id": event_id,
        "ce-source": "/opentelemetry/collector/googlecloudpubsub/0.140.0",
        "ce-time": "2025-10-18T12:34:57.012345678Z",
        "ce-type": "org.opentelemetry.otlp.metrics.v1",
        "content-type": "application/protobuf",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }


def message_of(request: ExportMetricsServiceRequest, form: str) -> tuple[bytes, Mapping[str, str]]:
    """Data and attributes in a form: ``protobuf`` or ``json``, each alone or with ``+gzip``."""
    kind, _, compressed = form.partition("+")
    data = request.SerializeToString(deterministic=True) if kind == "protobuf" else json_of(request)
    named = attributes(content_type=f"application/{kind}")
    if compressed:
        return gzip.compress(data, mtime=0), {**named, "content-encoding": "gzip"}
    return data, named
