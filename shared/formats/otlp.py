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
from collections.abc import Sequence
from typing import TypeAlias, TypeVar

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
from .compact import MAX_MESSAGE_COUNT, MAX_SECTIONS, Chunk, Section
from .exponential import Histogram, cells_of
from .otlp_histograms import malformed as malformed_point
from .otlp_histograms import read_explicit, read_exponential
from .otlp_json import request_of_json
from .otlp_labels import Labeller, LabelRule
from .strict_json import malformed, quoted

MAX_BYTES = 4_000_000
"""Of a message, inflated: read, its smallest parts take up to 70 times their bytes, 280 MB in all."""
MAX_POINTS = 20_000
"""Of a message, with the metrics, scopes and resources that hold them: some seconds of work at the most."""
HELP = "see docs/opentelemetry.md"
_NANOSECONDS = 1000

Point: TypeAlias = NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint | SummaryDataPoint
Part = TypeVar("Part")
Decoded: TypeAlias = tuple[Chunk, PermanentError | None]
"""A chunk, and what the message holds besides it that was refused."""


def decode_protobuf(data: bytes, rule: LabelRule) -> Decoded:
    """The chunk in an ``ExportMetricsServiceRequest``.

    Raises PermanentError: ``malformed_message``, ``chunk_too_large``.
    """
    _check_size(data)
    try:
        request = ExportMetricsServiceRequest.FromString(data)
    except DecodeError as error:
        raise malformed("not a protobuf of OTLP metrics") from error
    return _decode(request, rule)


def decode_json(data: bytes, rule: LabelRule) -> Decoded:
    """The chunk in the same request as JSON; raises the same."""
    _check_size(data)
    return _decode(request_of_json(data), rule)


def _check_size(data: bytes) -> None:
    if len(data) > MAX_BYTES:
        raise too_large(f"{len(data)} bytes of OTLP, at most {MAX_BYTES}")


def _decode(request: ExportMetricsServiceRequest, rule: LabelRule) -> Decoded:
    labeller = Labeller(rule)
    collected = _Points(labeller)
    for resource in collected.counted(request.resource_metrics):
        shared = labeller.of_resource(resource.resource)
        for scope in collected.counted(resource.scope_metrics):
            common = labeller.of_scope(shared, scope.scope)
            for metric in collected.counted(scope.metrics):
                collected.add(metric, common)
    if not collected.seen:
        raise malformed("expected at least one data point")
    return Chunk("", "", None, collected.sections()), collected.refusal()


class _Points:
    """Collects the points of one message by minute, and counts by reason what is refused of them."""

    def __init__(self, labeller: Labeller) -> None:
        self.seen = 0
        self._labeller = labeller
        self._parts = 0
        self._times: dict[int, tuple[int, int]] = {}
        self._observations: dict[int, list[Observation]] = {}
        self._histograms: dict[int, list[Histogram]] = {}
        self._counts: Counter[tuple[int, Series]] = Counter()
        self._bins = 0
        self._refused: Counter[str] = Counter()
        self._first: PermanentError | None = None

    def counted(self, parts: Sequence[Part]) -> Sequence[Part]:
        """The parts themselves. Raises PermanentError ``chunk_too_large`` when the message has too many in all."""
        self._parts += len(parts)
        if self._parts > MAX_POINTS:
            raise too_large(f"more than {MAX_POINTS} data points, metrics, scopes and resources")
        return parts

    def add(self, metric: Metric, common: Labels) -> None:
        """Keep a metric's points, and leave out those that are refused."""
        name, points = metric.name, self.counted(_points_of(metric))
        self.seen += len(points)
        recorded = [point for point in points if not point.flags & DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK]
        try:
            kind = _kind_of(metric)
        except PermanentError as error:
            self._refuse(error, name, len(recorded))
            return
        for point in recorded:
            try:
                self._add(point, kind, self._labeller.series(name, common, point.attributes))
            except PermanentError as error:
                self._refuse(error, name, 1)

    def sections(self) -> tuple[Section, ...]:
        """What was kept, by minute. Raises PermanentError ``chunk_too_large``."""
        if self._bins > MAX_CHUNK_BINS:
            raise too_large(f"{self._bins} populated buckets, at most {MAX_CHUNK_BINS}")
        minutes = sorted({*self._observations, *self._histograms})
        if len(minutes) > MAX_SECTIONS:
            raise too_large(f"{len(minutes)} minutes, at most {MAX_SECTIONS}")
        return tuple(Section(minute, self._cells(minute)) for minute in minutes)

    def refusal(self) -> PermanentError | None:
        """What was left out, under the reason of the first; None for nothing."""
        if self._first is None:
            return None
        reasons = ", ".join(f"{count} {reason}" for reason, count in self._refused.most_common())
        detail = f"{self._first.detail}; left out of {self.seen} data points: {reasons}"
        return PermanentError(self._first.reason, detail)

    def _refuse(self, error: PermanentError, metric: str, points: int) -> None:
        self._refused[error.reason] += points
        if self._first is None and points:
            self._first = PermanentError(error.reason, f"metric {quoted(metric)}: {error.detail}")

    def _add(self, point: Point, kind: Kind, series: Series) -> None:
        at_us, minute = self._time_of(point.time_unix_nano)
        match point:
            case NumberDataPoint():
                self._observe(Observation(series, kind, at_us, _number_of(point, kind)), minute)
            case HistogramDataPoint():
                self._add_histogram(read_explicit(series, at_us, point), minute)
            case ExponentialHistogramDataPoint():
                self._add_histogram(read_exponential(series, at_us, point), minute)

    def _add_histogram(self, histogram: Histogram | None, minute: int) -> None:
        """Keep a histogram; one of a single observation is that observation."""
        if histogram is None:
            return
        if histogram.count == 1:
            self._observe(Observation(histogram.series, Kind.DISTRIBUTION, histogram.at_us, histogram.sum), minute)
            return
        self._hold(histogram.series, histogram.count, minute)
        self._bins += len(histogram.keys)
        self._histograms.setdefault(minute, []).append(histogram)

    def _hold(self, series: Series, count: int, minute: int) -> None:
        """Count what a series has in a minute. Raises PermanentError for what a chunk cannot hold of it."""
        if self._counts[minute, series] + count > MAX_MESSAGE_COUNT:
            raise malformed_point(f"with it the series has more than {MAX_MESSAGE_COUNT} observations in its minute")
        self._counts[minute, series] += count

    def _observe(self, observation: Observation, minute: int) -> None:
        self._hold(observation.series, 1, minute)
        self._observations.setdefault(minute, []).append(observation)

    def _time_of(self, at_ns: int) -> tuple[int, int]:
        """The microsecond at or after a time in Unix nanoseconds, and its minute."""
        known = self._times.get(at_ns)
        if known is None:
            if not at_ns:
                raise malformed_point("no time")
            at_us = -(-at_ns // _NANOSECONDS)
            known = self._times[at_ns] = at_us, minute_of_us(at_us)
        return known

    def _cells(self, minute: int) -> Cells:
        observed = fold(self._observations.get(minute, ()))
        histograms = self._histograms.get(minute)
        return merge([observed, cells_of(histograms)]) if histograms else observed


def _points_of(metric: Metric) -> Sequence[Point]:
    match metric.WhichOneof("data"):
        case "gauge":
            return metric.gauge.data_points
        case "sum":
            return metric.sum.data_points
        case "histogram":
            return metric.histogram.data_points
        case "exponential_histogram":
            return metric.exponential_histogram.data_points
        case "summary":
            return metric.summary.data_points
        case _:
            return [NumberDataPoint()]  # of a type that is newer than this program


def _kind_of(metric: Metric) -> Kind:
    """What a metric's points become. Raises PermanentError with the reason for refusing them."""
    match metric.WhichOneof("data"):
        case "gauge":
            return Kind.GAUGE
        case "sum":
            return _kind_of_sum(metric.sum)
        case "histogram":
            return _delta(metric.histogram.aggregation_temporality, Kind.DISTRIBUTION)
        case "exponential_histogram":
            return _delta(metric.exponential_histogram.aggregation_temporality, Kind.DISTRIBUTION)
        case "summary":
            raise PermanentError("unsupported_metric", f"a summary, whose quantiles cannot be merged; {HELP}")
        case _:
            raise PermanentError("unsupported_metric", f"neither gauge, sum nor histogram; {HELP}")


def _kind_of_sum(data: Sum) -> Kind:
    if data.is_monotonic:
        return _delta(data.aggregation_temporality, Kind.COUNTER)
    if data.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE:
        return Kind.GAUGE
    _delta(data.aggregation_temporality, Kind.COUNTER)
    raise PermanentError("nonmonotonic_delta", f"the changes of a level, which they do not tell; {HELP}")


def _delta(temporality: int, kind: Kind) -> Kind:
    """The kind, for delta temporality alone."""
    if temporality == AGGREGATION_TEMPORALITY_DELTA:
        return kind
    if temporality == AGGREGATION_TEMPORALITY_CUMULATIVE:
        raise PermanentError("cumulative_temporality", f"cumulative, expected delta; {HELP}")
    raise PermanentError("unspecified_temporality", f"temporality {temporality}, expected delta; {HELP}")


def _number_of(point: NumberDataPoint, kind: Kind) -> float:
    number = float(point.as_int) if point.HasField("as_int") else point.as_double
    least = 0.0 if kind is Kind.COUNTER else -MAX_MAGNITUDE
    if not least <= number <= MAX_MAGNITUDE or not point.WhichOneof("value"):
        got = f"{number:g}" if point.WhichOneof("value") else "nothing"
        raise malformed_point(f"expected a number from {least:g} to {MAX_MAGNITUDE:g}, got {got}")
    return number
