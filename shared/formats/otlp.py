"""OTLP metrics, as the OpenTelemetry Collector's ``googlecloudpubsub`` exporter sends them: one message, one chunk.

======================================== ======================================================================
gauge                                    gauge
sum: monotonic, delta                    counter; what was added, at least 0
sum: not monotonic, cumulative           gauge: such a sum is a level (requests in flight, bytes in use)
histogram, exponential histogram: delta  distribution, see ``otlp_histograms``
sum: not monotonic, delta                refused, ``nonmonotonic_delta``: neither a level nor what was added
monotonic sums, histograms: cumulative   refused, ``cumulative_temporality``
no temporality                           refused, ``unspecified_temporality``
summary, and what is none of these       refused, ``unsupported_metric``: quantiles cannot be merged
======================================== ======================================================================

A message is the work of many authors, whom the Collector put together. So a refused metric or point leaves the others
standing: ``decode`` returns the chunk of what is sound, and besides it the error that names what was left out, with
which the whole message goes to the dead-letter topic too. A message that cannot be read at all is refused whole.

A point belongs to the bucket of its ``time_unix_nano``, rounded up to a microsecond. Points flagged as without a
recorded value say nothing and are passed over. There is no writer: a message is known by its bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeAlias

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    AGGREGATION_TEMPORALITY_DELTA,
    DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
    SummaryDataPoint,
)

from ..cells import MAX_MAGNITUDE, Cells, Observation, fold, merge
from ..errors import PermanentError
from ..series import Kind, Labels, Series
from ..timeline import minute_of_us
from .bin_columns import MAX_CHUNK_BINS
from .columns import too_large
from .compact import Chunk, Section
from .exponential import Histogram, cells_of
from .otlp_histograms import malformed as malformed_point
from .otlp_histograms import read_explicit, read_exponential
from .otlp_json import request_of_json
from .otlp_labels import Labeller, LabelRule
from .series_table import MAX_SERIES
from .strict_json import malformed, quoted

MAX_BYTES = 4_000_000
"""Of a message, inflated: read, its smallest parts take up to 70 times their bytes, 280 MB in all."""
MAX_POINTS = 100_000
HELP = "see docs/opentelemetry.md"
_NANOSECONDS = 1000

Point: TypeAlias = NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint | SummaryDataPoint
Decoded: TypeAlias = tuple[Chunk, PermanentError | None]
"""A chunk, and what the message holds besides it that was refused."""


def decode_protobuf(data: bytes, rule: LabelRule) -> Decoded:
    """The chunk in an ``ExportMetricsServiceRequest``. Raises PermanentError: ``malformed_message``,
    ``chunk_too_large``.
    """
    _check_size(data)
    try:
        request = ExportMetricsServiceRequest.FromString(data)
    except DecodeError as error:
        raise malformed("not a protobuf of OTLP metrics") from error
    return _decode(request, rule)


def decode_json(data: bytes, rule: LabelRule) -> Decoded:
    """The same, of OTLP's JSON."""
    _check_size(data)
    return _decode(request_of_json(data), rule)


def _check_size(data: bytes) -> None:
    if len(data) > MAX_BYTES:
        raise too_large(f"{len(data)} bytes of OTLP, at most {MAX_BYTES}")


def _decode(request: ExportMetricsServiceRequest, rule: LabelRule) -> Decoded:
    collected = _Points(Labeller(rule))
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            common = collected.labeller.common(resource.resource, scope.scope)
            for metric in scope.metrics:
                collected.add(metric, common)
    if not collected.seen:
        raise malformed("expected at least one data point")
    return Chunk("", "", None, collected.sections()), collected.refusal()


class _Points:
    """Collects the points of one message by minute, and what is refused of them by reason."""

    def __init__(self, labeller: Labeller) -> None:
        self.labeller = labeller
        self.seen = 0
        self._times: dict[int, tuple[int, int]] = {}
        self._observations: dict[int, list[Observation]] = {}
        self._histograms: dict[int, list[Histogram]] = {}
        self._bins = 0
        self._refused: Counter[str] = Counter()
        self._first: PermanentError | None = None

    def add(self, metric: Metric, common: Labels) -> None:
        """Keep a metric's points, or leave out those that are refused."""
        kind_of, points = _READERS.get(metric.WhichOneof("data") or "", _unknown)(metric)
        self.seen += len(points)
        if self.seen > MAX_POINTS:
            raise too_large(f"more than {MAX_POINTS} data points")
        kind: Kind | None = None
        for point in points:
            if point.flags & DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK:
                continue
            try:
                kind = kind_of() if kind is None else kind
                self._add(point, kind, metric.name, common)
            except PermanentError as error:
                self._refuse(error, metric.name)

    def _add(self, point: Point, kind: Kind, metric: str, common: Labels) -> None:
        series = self.labeller.series(metric, common, point.attributes)
        at_us, minute = self._time_of(point.time_unix_nano)
        if isinstance(point, NumberDataPoint):
            self._observe(Observation(series, kind, at_us, _number_of(point, kind)), minute)
            return
        read = read_explicit if isinstance(point, HistogramDataPoint) else read_exponential
        histogram = read(series, at_us, point)
