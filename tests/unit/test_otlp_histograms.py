"""Histograms of OTLP: exponential ones convert exactly, explicit ones within the bound that is stated."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_DELTA,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
)

from shared import bins
from shared.cells import MAX_MAGNITUDE, Cells, percentiles
from shared.errors import PermanentError
from shared.formats import exponential, otlp
from shared.formats.compact import MAX_MESSAGE_COUNT
from shared.formats.otlp_histograms import read_explicit, read_exponential
from shared.formats.otlp_labels import DEFAULT_RULE
from shared.series import Series
from tests.cell_cases import FEW
from tests.otel import AT_NS, AT_US, request_of

NAME = Series("time")
Side = dict[int, int]


def _point(scale: int, zeros: int, negative: Side, positive: Side, **more: Any) -> ExponentialHistogramDataPoint:
    """A point with some counts by bucket index on each side."""
    count = zeros + sum(negative.values()) + sum(positive.values())
    point = ExponentialHistogramDataPoint(time_unix_nano=AT_NS, count=count, scale=scale, zero_count=zeros, **more)
    for buckets, side in ((point.negative, negative), (point.positive, positive)):
        if side:
            buckets.offset = min(side)
            buckets.bucket_counts.extend(side.get(index, 0) for index in range(min(side), max(side) + 1))
    return point


def _cells(*points: ExponentialHistogramDataPoint) -> Cells:
    data = ExponentialHistogram(aggregation_temporality=AGGREGATION_TEMPORALITY_DELTA, data_points=points)
    metric = Metric(name=NAME.metric, exponential_histogram=data)
    chunk, refused = otlp.decode_protobuf(request_of(metric).SerializeToString(), DEFAULT_RULE)
    assert refused is None
    return chunk.sections[0].cells


def _explicit(bounds: list[float], counts: list[int], **more: Any) -> exponential.Histogram:
    point = HistogramDataPoint(count=sum(counts), explicit_bounds=bounds, bucket_counts=counts, **more)
    histogram = read_explicit(NAME, AT_US, point)
    assert histogram is not None
    return histogram


sides = st.dictionaries(st.integers(-40, 40), st.integers(1, 9), max_size=8)
scales = st.integers(-3, 20)


@FEW
@given(st.lists(st.tuples(scales, st.integers(0, 3), sides, sides), min_size=2, max_size=4))
def test_exponential_histograms_merge_as_plain_arithmetic_says(
    points: list[tuple[int, int, Side, Side]],
) -> None:
    """Of several points at any scales, each bucket's count lies where halving its index at a time puts it."""
    sound = [point for point in points if point[1] + sum(point[2].values()) + sum(point[3].values()) > 1]
    if not sound:
        return
    scale = min([bins.SCALE, *(point[0] for point in sound)])
    expected: Counter[int] = Counter()
    for at, zeros, negative, positive in sound:
        expected[0] += zeros
        for sign, side in ((-1, negative), (1, positive)):
            for index, count in side.items():
                for _ in range(at - scale):
                    index = math.floor(index / 2)
                expected[sign * (index + bins.OFFSET)] += count
    cells = _cells(*(_point(*point) for point in sound))
    found = dict(zip(cells.bin_key.tolist(), cells.bin_count.tolist(), strict=True))
    assert (found, cells.scale.tolist()) == ({key: count for key, count in expected.items() if count}, [scale])
    assert cells.count.tolist() == [sum(expected.values())]


def test_a_bucket_of_a_finer_scale_holds_the_same_values_here() -> None:
    """Values counted at scale 8 lie in the bins that the same values have when they are observed one by one."""
    values = np.array([0.001, 0.7, 1.1, 3.0, 99.5, 12345.6])
    index = (bins.keys_of(values, 8) - bins.OFFSET).tolist()
    cells = _cells(_point(8, 0, dict.fromkeys(index, 1), dict.fromkeys(index, 1)))
    assert cells.bin_key.tolist() == sorted([*(-bins.keys_of(values)).tolist(), *bins.keys_of(values).tolist()])


def test_what_an_exponential_histogram_tells_is_kept() -> None:
    """Sum, min and max are the sender's where it gives them."""
    cells = _cells(_point(0, 1, {}, {0: 2}, sum=3.25, min=0.0, max=1.75))
    assert (cells.sum.tolist(), cells.min.tolist(), cells.max.tolist()) == ([3.25], [0.0], [1.75])
    assert cells.last.tolist() == [3.25 / 3]


def test_what_an_exponential_histogram_does_not_tell_comes_from_its_bins() -> None:
    """Without sum, min and max they are those of the values that the bins stand for, within 1.08 %."""
    values = [-8.0, 0.0, 0.5, 100.0]
    negative, positive = ({int(bins.keys_of(np.array([v]))[0]) - bins.OFFSET: 1} for v in (8.0, 0.5))
    positive |= {int(bins.keys_of(np.array([100.0]))[0]) - bins.OFFSET: 1}
    cells = _cells(_point(5, 1, negative, positive))
    assert float(cells.min[0]) == pytest.approx(-8.0, rel=0.0109)
    assert float(cells.max[0]) == pytest.approx(100.0, rel=0.0109)
    assert float(cells.sum[0]) == pytest.approx(sum(values), abs=0.0109 * 108.5)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"scale": 21}, "scale 21"),
        ({"scale": -11}, "scale -11"),
        ({"count": 4}, "the buckets hold 3 observations, count is 4"),
        ({"zero_count": 2**64 - 1}, "the buckets hold"),
        ({"count": MAX_MESSAGE_COUNT + 1, "zero_count": MAX_MESSAGE_COUNT - 1}, "at most 4294967296"),
        ({"sum": math.nan}, "expected a sum within count times 1e200, got nan"),
        ({"sum": 4e200, "min": 0.0, "max": 1.0}, "expected a sum within"),
        ({"min": 2.0, "max": 1.0}, "expected min and max"),
        ({"min": math.nan}, "expected min and max"),
        ({"max": math.inf}, "expected min and max"),
        ({"offset": 2**31 - 1}, "expected buckets of finite numbers"),
        ({"offset": -(2**31)}, "expected buckets of finite numbers"),
        ({"offset": 1020}, "expected min and max"),
    ],
)
def test_an_exponential_histogram_that_contradicts_itself_is_refused(fields: dict[str, Any], problem: str) -> None:
    """Scales, counts, sums, ranges and offsets outside what can be stored are named."""
    point = _point(0, 1, {}, {3: 2})
    for name, value in fields.items():
        setattr(point.positive if name == "offset" else point, name, value)
    with pytest.raises(PermanentError, match="malformed_point") as caught:
        read_exponential(NAME, AT_US, point)
    assert problem in caught.value.detail


@FEW
@given(
    st.lists(st.floats(-100.0, 1000.0), min_size=2, max_size=40),
    st.lists(st.floats(-50.0, 900.0), min_size=0, max_size=12, unique=True).map(sorted),
)
def test_explicit_histograms_keep_every_percentile_within_half_its_bucket(
    values: list[float], bounds: list[float]
) -> None:
    """With min and max, any rank of any values in any buckets is off by half its bucket's width, and a bin."""
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[sum(bound < value for bound in bounds)] += 1
    histogram = _explicit(bounds, counts, sum=math.fsum(values), min=min(values), max=max(values))
    cells = exponential.cells_of([histogram])
    for thousandths in range(25, 1001, 25):
        exact = sorted(values)[-(-len(values) * thousandths // 1000) - 1]
        bucket = sum(bound < exact for bound in bounds)
        low, high = max([min(values), *bounds[:bucket][-1:]]), min([max(values), *bounds[bucket:][:1]])
        off = abs(float(percentiles(cells, thousandths / 1000)[0]) - exact)
        assert off <= (high - low) / 2 + 0.0109 * max(abs(low), abs(high)) + 1e-9


@pytest.mark.parametrize(
    ("bounds", "counts", "more", "expected"),
    [
        ([10, 20], [1, 1, 0], {"sum": 18.0}, (18.0, 0.0, 20.0, [5.0, 15.0])),
        ([10, 20], [0, 2, 0], {}, (30.0, 10.0, 20.0, [15.0])),
        ([10, 20], [0, 1, 1], {"sum": 95.0}, (95.0, 10.0, 47.5, [15.0, 33.75])),
        ([10, 20], [0, 0, 2], {}, (40.0, 20.0, 20.0, [20.0])),
        ([10, 20], [0, 0, 2], {"max": 30.0}, (50.0, 20.0, 30.0, [25.0])),
        ([10, 20], [0, 0, 2], {"sum": 70.0, "min": 32.0}, (70.0, 32.0, 35.0, [33.5])),
        ([10, 20], [2, 0, 0], {"max": -4.0}, (-8.0, -4.0, -4.0, [-4.0])),
        ([-5, 5], [2, 0, 0], {}, (-10.0, -5.0, -5.0, [-5.0])),
        ([-5, 5], [2, 0, 0], {"sum": -30.0}, (-30.0, -15.0, -5.0, [-10.0])),
        ([], [4], {"sum": 10.0}, (10.0, 2.5, 2.5, [2.5])),
        ([], [4], {"min": 1.0, "max": 2.0}, (6.0, 1.0, 2.0, [1.5])),
    ],
)
def test_the_open_buckets_and_what_is_not_told(
    bounds: list[float], counts: list[int], more: dict[str, float], expected: tuple[float, float, float, list[float]]
) -> None:
    """Sum, min, max and the values that buckets stand for, where the sender leaves some of them out."""
    found = _explicit(bounds, counts, **more)
    total, low, high, values = expected
    assert (found.sum, found.min, found.max) == (total, low, high)
    assert found.keys.tolist() == bins.keys_of(np.array(values)).tolist()
    assert found.counts.tolist() == [count for count in counts if count]


def test_a_side_of_an_exponential_histogram_has_a_greatest_size() -> None:
    """As many buckets as an SDK can be told to keep are read, more are refused."""
    point = _point(20, 0, {}, dict.fromkeys(range(16_384), 1))
    found = read_exponential(NAME, AT_US, point)
    assert found is not None
    assert int(found.counts.sum()) == 16_384
    point.positive.bucket_counts.append(0)
    with pytest.raises(PermanentError, match="16385 buckets, at most 16384"):
        read_exponential(NAME, AT_US, point)


def test_a_histogram_without_buckets_is_its_count_and_sum() -> None:
    """A sender may leave the buckets out; all its observations are then taken for their mean."""
    found = read_explicit(NAME, AT_US, HistogramDataPoint(count=4, sum=10.0))
    assert found is not None
    assert (found.count, found.sum, found.keys.tolist()) == (4, 10.0, bins.keys_of(np.array([2.5])).tolist())


def test_a_histogram_of_nothing_is_nothing() -> None:
    """A count of 0 is no observation, whatever min and max are."""
    nothing = HistogramDataPoint(explicit_bounds=[1.0], bucket_counts=[0, 0], min=math.inf, max=-math.inf)
    assert read_explicit(NAME, AT_US, nothing) is None
    assert read_exponential(NAME, AT_US, ExponentialHistogramDataPoint(scale=3)) is None


@pytest.mark.parametrize(
    ("bounds", "counts", "more", "problem"),
    [
        ([1, 2], [1, 1], {}, "2 bounds with 2 buckets"),
        ([1, 2], [], {}, "2 bounds with 0 buckets"),
        ([2, 1], [1, 1, 1], {}, "the bounds do not ascend"),
        ([1, 1], [1, 1, 1], {}, "the bounds do not ascend"),
        ([1, math.nan], [1, 1, 1], {}, "the bounds do not ascend"),
        ([1, math.inf], [1, 1, 1], {}, "or are not finite"),
        ([1], [1, 1], {"count": 3}, "the buckets hold 2 observations, count is 3"),
        ([1], [2**63, 2**63], {"count": 0}, "the buckets hold"),
        ([1], [2**32, 1], {}, "at most 4294967296"),
        ([1], [1, 1], {"sum": math.nan}, "expected a sum within"),
        ([1], [1, 1], {"sum": math.inf}, "expected min and max"),
        ([1], [1, 1], {"min": 3.0, "max": 2.0}, "expected min and max"),
        ([1], [1, 1], {"max": math.nan}, "expected min and max"),
        ([1e300], [1, 1], {}, "expected min and max"),
        ([], [2], {}, "expected min and max"),
        ([], [1] * 16_385, {}, "16385 buckets, at most 16384"),
    ],
)
def test_an_explicit_histogram_that_contradicts_itself_is_refused(
    bounds: list[float], counts: list[int], more: dict[str, Any], problem: str
) -> None:
    """Bounds, counts, sums and ranges that cannot be are named."""
    fields = {"count": min(sum(counts), 2**64 - 1), **more}
    point = HistogramDataPoint(explicit_bounds=bounds, bucket_counts=counts, **fields)
    with pytest.raises(PermanentError, match="malformed_point") as caught:
        read_explicit(NAME, AT_US, point)
    assert problem in caught.value.detail


finite = st.floats(-1e3, 1e3) | st.floats(width=64) | st.just(MAX_MAGNITUDE)


def _read_if_sound(point: HistogramDataPoint) -> exponential.Histogram | None:
    try:
        return read_explicit(NAME, AT_US, point)
    except PermanentError as error:
        if error.reason != "malformed_point":
            raise
        return None


@FEW
@given(
    st.lists(finite, max_size=5, unique=True).map(sorted),
    st.lists(st.integers(0, 3), min_size=6, max_size=6) | st.lists(st.integers(0, 2**64 - 1), max_size=6),
    st.dictionaries(st.sampled_from(["sum", "min", "max"]), finite),
)
def test_whatever_an_explicit_histogram_says_is_sound_or_refused(
    bounds: list[float], counts: list[int], more: dict[str, Any]
) -> None:
    """What is read has its range in order, its sum within the limits and its count in bins; the rest is refused."""
    counts = counts[: len(bounds) + 1]
    count = min(sum(counts), 2**64 - 1)
    found = _read_if_sound(HistogramDataPoint(explicit_bounds=bounds, bucket_counts=counts, count=count, **more))
    if found is not None:
        assert -MAX_MAGNITUDE <= found.min <= found.max <= MAX_MAGNITUDE
        assert abs(found.sum) <= MAX_MAGNITUDE * found.count
        assert int(found.counts.sum()) == found.count == count
        assert all(a <= b for a, b in itertools.pairwise(found.keys.tolist()))
