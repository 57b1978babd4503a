"""OTLP metrics: what the SDK measured is what is stored, and what cannot be meant is refused by name."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Mapping
from pathlib import Path

import pytest
from opentelemetry.metrics import Meter
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    AGGREGATION_TEMPORALITY_DELTA,
    ExponentialHistogram,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
    Summary,
)

from shared import bins
from shared.cells import Cells, percentiles
from shared.errors import PermanentError
from shared.formats import otlp
from shared.formats.compact import Chunk
from shared.formats.dispatch import decode
from shared.formats.otlp_labels import DEFAULT_RULE
from shared.series import Kind, Series
from tests.events import make, otlp_make
from tests.otel import AT_NS, AT_US, LABELS, MINUTE, attributes, export, message_of, request_of

EVENTS = Path(otlp_make.__file__).parent
DELTA, CUMULATIVE = AGGREGATION_TEMPORALITY_DELTA, AGGREGATION_TEMPORALITY_CUMULATIVE
ONE = NumberDataPoint(time_unix_nano=AT_NS, as_double=1.0)
FOUR = HistogramDataPoint(
    time_unix_nano=AT_NS, count=4, sum=10.0, explicit_bounds=[1.0, 2.0, 3.0], bucket_counts=[1, 1, 1, 1]
)
FORMS = ("protobuf", "protobuf+gzip", "json", "json+gzip")
QUANTILES = (0.01, 0.5, 0.9, 0.95, 0.99, 1.0)


def _read(*metrics: Metric) -> tuple[Chunk, PermanentError | None]:
    return otlp.decode_protobuf(request_of(*metrics).SerializeToString(), DEFAULT_RULE)


def _gauge(*points: NumberDataPoint, name: str = "level") -> Metric:
    return Metric(name=name, gauge=Gauge(data_points=points))


def _exported(cells: Cells, metric: str, *more: tuple[str, str]) -> int:
    """The row of a metric that the SDK exported."""
    return cells.series.index(Series(metric, tuple(sorted((*LABELS, *more)))))


def _cells_of(form: str, values: Mapping[str, list[float]]) -> Cells:
    """The cells of an export in which each histogram recorded its values."""

    def record(meter: Meter) -> None:
        for name, numbers in values.items():
            histogram = meter.create_histogram(name)
            for number in numbers:
                histogram.record(number)

    chunk, refused = decode(*message_of(export(record), form), {}, DEFAULT_RULE)
    assert refused is None
    (section,) = chunk.sections
    assert section.minute == MINUTE
    return section.cells


def _nearest_rank(values: list[float], quantile: float) -> float:
    return sorted(values)[max(math.ceil(round(quantile * 1000) * len(values) / 1000), 1) - 1]


def _lognormal(count: int) -> list[float]:
    rng = random.Random(count)
    return [rng.lognormvariate(3.0, 1.2) for _ in range(count)]


@pytest.mark.parametrize("form", FORMS)
def test_an_export_of_the_sdk_says_what_was_measured(form: str) -> None:
    """Gauges keep their level, counters what was added, up-down counters their level; plain, gzip and JSON alike."""

    def record(meter: Meter) -> None:
        meter.create_gauge("ratio").set(0.25)
        meter.create_gauge("ratio").set(0.5)
        requests = meter.create_counter("requests")
        requests.add(3, {"http.route": "/a"})
        requests.add(4, {"http.route": "/a"})
        requests.add(5, {"http.route": "/b"})
        active = meter.create_up_down_counter("active")
        active.add(5)
        active.add(-7)

    chunk, refused = decode(*message_of(export(record), form), {}, DEFAULT_RULE)
    assert refused is None
    assert (chunk.writer, chunk.boot, chunk.seq) == ("", "", None)
    (section,) = chunk.sections
    cells = section.cells
    assert (section.minute, set(cells.last_at_us.tolist())) == (MINUTE, {AT_US})
    kinds = dict(zip(cells.series, zip(cells.kind.tolist(), cells.sum.tolist(), strict=True), strict=True))
    route_a, route_b = (tuple(sorted((*LABELS, ("http_route", route)))) for route in ("/a", "/b"))
    assert kinds == {
        Series("active", LABELS): (Kind.GAUGE, -2.0),
        Series("ratio", LABELS): (Kind.GAUGE, 0.5),
        Series("requests", route_a): (Kind.COUNTER, 7.0),
        Series("requests", route_b): (Kind.COUNTER, 5.0),
    }


@pytest.mark.parametrize("form", FORMS)
def test_histograms_of_the_sdk_keep_count_sum_and_range(form: str) -> None:
    """Of explicit and of exponential histograms count, sum, min and max are those of the raw values."""
    values = {"fine.time": _lognormal(1000), "time": _lognormal(300)}
    cells = _cells_of(form, values)
    for name, raw in values.items():
        row = _exported(cells, name)
        assert (int(cells.count[row]), float(cells.min[row]), float(cells.max[row])) == (len(raw), min(raw), max(raw))
        assert float(cells.sum[row]) == pytest.approx(math.fsum(raw), rel=1e-12)
        assert int(cells.bin_count[cells.bin_start[row] : cells.bin_start[row + 1]].sum()) == len(raw)


def test_percentiles_of_exponential_histograms_keep_the_bound_of_their_scale() -> None:
    """Each percentile is within the relative error of the scale that the SDK chose."""
    raw = _lognormal(1000)
    cells = _cells_of("protobuf", {"fine.time": raw})
    bound = bins.error_bound(int(cells.scale[0]))
    for quantile in QUANTILES:
        assert float(percentiles(cells, quantile)[0]) == pytest.approx(_nearest_rank(raw, quantile), rel=bound * 1.001)


def test_percentiles_of_explicit_histograms_are_within_half_a_bucket() -> None:
    """Each percentile is off by at most half the width of its bucket, and a bin."""
    raw = _lognormal(1000)
    edges = [0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000]
    cells = _cells_of("protobuf", {"time": raw})
    for quantile in QUANTILES:
        exact = _nearest_rank(raw, quantile)
        low, high = next(pair for pair in itertools.pairwise(edges) if exact <= pair[1])
        half = (min(high, max(raw)) - max(low, min(raw))) / 2
        assert abs(float(percentiles(cells, quantile)[0]) - exact) <= half + 0.0109 * high


def test_a_histogram_of_one_observation_is_that_observation() -> None:
    """Its sum is the value, so nothing is lost to buckets."""
    cells = _cells_of("protobuf", {"fine.time": [0.3], "time": [41.7]})
    assert cells.last.tolist() == [0.3, 41.7]
    assert bins.keys_of(cells.last).tolist() == cells.bin_key.tolist()


@pytest.mark.parametrize(("form", "name"), otlp_make.FORMS.items())
def test_the_golden_messages_say_what_they_always_said(form: str, name: str) -> None:
    """An export of the SDK, kept as it was sent: protobuf, gzip and JSON say the same."""
    kind, _, encoding = form.partition("+")
    named = attributes(content_type=f"application/{kind}", **({"content_encoding": "gzip"} if encoding else {}))
    chunk, refused = decode((EVENTS / name).read_bytes(), named, {}, DEFAULT_RULE)
    assert refused is None
    assert make.plain(chunk) == json.loads((EVENTS / otlp_make.EXPECTED).read_text())


def test_without_delta_temporality_the_sdk_is_refused_by_name() -> None:
    """The SDK's default is cumulative: the level is kept, the rest is left out with the metric's name and the help."""

    def record(meter: Meter) -> None:
        meter.create_counter("requests").add(3)
        meter.create_histogram("time").record(3)
        meter.create_histogram("fine.time").record(3)
        meter.create_gauge("ratio").set(0.5)
        meter.create_up_down_counter("active").add(2)

    chunk, refused = decode(*message_of(export(record, delta=False), "protobuf"), {}, DEFAULT_RULE)
    assert [name.metric for name in chunk.sections[0].cells.series] == ["active", "ratio"]
    assert refused is not None
    assert refused.reason == "cumulative_temporality"
    assert refused.detail == (
        'metric "requests": cumulative, expected delta; see docs/opentelemetry.md; '
        "left out of 5 data points: 3 cumulative_temporality"
    )


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (Metric(sum=Sum(is_monotonic=True, aggregation_temporality=CUMULATIVE)), "cumulative_temporality"),
        (Metric(histogram=Histogram(aggregation_temporality=CUMULATIVE)), "cumulative_temporality"),
        (
            Metric(exponential_histogram=ExponentialHistogram(aggregation_temporality=CUMULATIVE)),
            "cumulative_temporality",
        ),
        (Metric(sum=Sum(is_monotonic=True)), "unspecified_temporality"),
        (Metric(sum=Sum()), "unspecified_temporality"),
        (Metric(histogram=Histogram()), "unspecified_temporality"),
        (Metric(exponential_histogram=ExponentialHistogram()), "unspecified_temporality"),
        (Metric(sum=Sum(aggregation_temporality=DELTA)), "nonmonotonic_delta"),
        (Metric(summary=Summary()), "unsupported_metric"),
        (Metric(), "unsupported_metric"),
    ],
    ids=lambda case: case if isinstance(case, str) else case.WhichOneof("data") or "none",
)
def test_what_has_no_place_here_is_left_out_and_the_rest_is_kept(metric: Metric, reason: str) -> None:
    """Every refused type and temporality has its reason, and does not take a sound neighbour with it."""
    metric.name = "odd"
    data = metric.WhichOneof("data")
    if data:
        getattr(metric, data).data_points.add(time_unix_nano=AT_NS)
    chunk, refused = _read(_gauge(ONE), metric)
    assert [name.metric for name in chunk.sections[0].cells.series] == ["level"]
    assert refused is not None
    assert refused.reason == reason
    assert refused.detail.startswith('metric "odd": ')
    assert refused.detail.endswith(f"left out of 2 data points: 1 {reason}")


@pytest.mark.parametrize(
    "point",
    [
        NumberDataPoint(as_double=1.0),
        NumberDataPoint(time_unix_nano=AT_NS),
        NumberDataPoint(time_unix_nano=AT_NS, as_double=math.nan),
        NumberDataPoint(time_unix_nano=AT_NS, as_double=-math.inf),
        NumberDataPoint(time_unix_nano=AT_NS, as_double=1e201),
    ],
    ids=["no time", "no value", "not a number", "infinite", "too great"],
)
def test_a_point_that_says_nothing_is_left_out_alone(point: NumberDataPoint) -> None:
    """A bad point is refused, the other points of its metric are kept."""
    chunk, refused = _read(_gauge(point, ONE))
    assert chunk.sections[0].cells.count.tolist() == [1]
    assert refused is not None
    assert refused.reason == "malformed_point"


def test_a_counter_never_shrinks() -> None:
    """A negative delta of a monotonic sum is refused, 0 is not."""
    points = [NumberDataPoint(time_unix_nano=AT_NS, as_int=value) for value in (0, 5, -1)]
    data = Sum(is_monotonic=True, aggregation_temporality=DELTA, data_points=points)
    chunk, refused = _read(Metric(name="requests", sum=data))
    assert (chunk.sections[0].cells.sum.tolist(), chunk.sections[0].cells.count.tolist()) == ([5.0], [2])
    assert refused is not None
    assert refused.detail.startswith('metric "requests": expected a number from 0 to 1e+200, got -1')


def test_points_without_a_recorded_value_say_nothing() -> None:
    """The flag is no error and no observation, also where the metric would be refused."""
    silent = NumberDataPoint(time_unix_nano=AT_NS, flags=1)
    cumulative = Sum(is_monotonic=True, aggregation_temporality=CUMULATIVE, data_points=[silent])
    chunk, refused = _read(_gauge(silent), Metric(name="requests", sum=cumulative))
    assert (chunk.sections, refused) == ((), None)


@pytest.mark.parametrize(
    ("at_ns", "at_us", "minute"),
    [
        (MINUTE * 10**9, MINUTE * 10**6, MINUTE),
        (MINUTE * 10**9 + 1, MINUTE * 10**6 + 1, MINUTE + 60),
        (MINUTE * 10**9 - 1, MINUTE * 10**6, MINUTE),
        (1, 1, 60),
        (2**64 - 1, 18_446_744_073_709_552, 18_446_744_100),
    ],
)
def test_times_are_rounded_up_into_their_minute(at_ns: int, at_us: int, minute: int) -> None:
    """A point stamped on the minute belongs to it, a nanosecond later to the next."""
    chunk, _ = _read(_gauge(NumberDataPoint(time_unix_nano=at_ns, as_int=1)))
    (section,) = chunk.sections
    assert (section.cells.last_at_us.tolist(), section.minute) == ([at_us], minute)


def test_the_catalogue_does_not_override_what_the_sender_says() -> None:
    """A gauge stays a gauge where the configuration has a counter of that name."""
    data, named = message_of(request_of(_gauge(ONE, name="requests")), "protobuf")
    chunk, _ = decode(data, named, {"requests": Kind.COUNTER}, DEFAULT_RULE)
    assert chunk.sections[0].cells.kind.tolist() == [Kind.GAUGE]


@pytest.mark.parametrize("data", [b"", b"\x0a\x00", b"\x78\x01"], ids=["empty", "no metric", "unknown field"])
def test_a_request_without_points_is_refused(data: bytes) -> None:
    """Bytes that happen to parse as a request with nothing in it are no metrics."""
    with pytest.raises(PermanentError, match="malformed_message: expected at least one data point"):
        otlp.decode_protobuf(data, DEFAULT_RULE)


@pytest.mark.parametrize("bound", ["MAX_BYTES", "MAX_POINTS", "MAX_SECTIONS", "MAX_CHUNK_BINS"])
def test_a_message_has_bounds(monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    """Too many bytes, points, minutes or bins are refused whole, under one reason."""
    data = request_of(
        _gauge(*(NumberDataPoint(time_unix_nano=AT_NS + at * 60_000_000_000, as_int=1) for at in range(4))),
        Metric(name="time", histogram=Histogram(aggregation_temporality=DELTA, data_points=[FOUR])),
    ).SerializeToString()
    chunk, _ = otlp.decode_protobuf(data, DEFAULT_RULE)
    assert [len(section.cells) for section in chunk.sections] == [2, 1, 1, 1]
    monkeypatch.setattr(otlp, bound, 3)
    with pytest.raises(PermanentError, match="chunk_too_large"):
        otlp.decode_protobuf(data, DEFAULT_RULE)
