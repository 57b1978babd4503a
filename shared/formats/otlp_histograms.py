"""Histograms of OTLP as our bins.

**Exponential** ones convert exactly: an index at scale s is ``index >> (s - 5)`` at scale 5, and scales below 5 stay
as they are. What lies within the zero threshold is counted as zero.

**Explicit** ones count (b0, b1], (b1, b2], ... between bounds of their own. Each bucket's observations are put at its
middle, after its ends have been drawn in to ``min`` and ``max`` where those are given. So a percentile is off by at
most half the width of the bucket that it falls in, and the 1.08 % of a bin. The outermost buckets are open: the lowest
is taken to begin at ``min``; without it at 0, or at its own bound where that is below 0. The highest ends at ``max``;
without it at its own bound or, if that is greater, at the mean, and what lies above is off by as much as it likes.

Count, sum, min and max are the sender's. Where they lack, as after a conversion from cumulative to delta, min and max
are the ends of the outermost populated buckets (of exponential ones: the values that stand for their bins), made wider
where the mean lies outside; and the sum is that of the values the buckets stand for.
Source: https://opentelemetry.io/docs/specs/otel/metrics/data-model/#histogram
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from .. import bins
from ..bins import Floats, Ints
from ..cells import MAX_MAGNITUDE
from ..errors import PermanentError
from ..series import Series
from .compact import MAX_MESSAGE_COUNT
from .exponential import MAX_SCALE, Histogram

if TYPE_CHECKING:
    from opentelemetry.proto.metrics.v1.metrics_pb2 import ExponentialHistogramDataPoint, HistogramDataPoint

    Point: TypeAlias = HistogramDataPoint | ExponentialHistogramDataPoint


MAX_BUCKETS = 16_384
"""Of a side of a histogram: the most that OpenTelemetry's SDKs can be told to keep."""


def malformed(detail: str) -> PermanentError:
    """The error of a point that says nothing, or more than one thing."""
    return PermanentError("malformed_point", detail)


def read_explicit(series: Series, at_us: int, point: HistogramDataPoint) -> Histogram | None:
    """The histogram of explicit bounds; None when it counts nothing. Raises PermanentError ``malformed_point``."""
    _check_size(len(point.explicit_bounds), len(point.bucket_counts))
    bounds = list(point.explicit_bounds)
    counts = list(point.bucket_counts) or ([] if bounds else [point.count])
    _check_buckets(bounds, counts)
    _check_count(point.count, sum(counts))
    if not point.count:
        return None
    held = np.flatnonzero(counts)
    edges = [min(bounds[0], 0.0), *bounds, bounds[-1]] if bounds else [_mean_of(point)] * 2
    low, high = _range_of(point, edges[held[0]], edges[held[-1] + 1])
    edges[0], edges[-1] = low, high
    ends = np.clip(edges, low, high)
    values = (ends[held] + ends[held + 1]) / 2.0
    populated = np.array(counts, np.int64)[held]
    total = _sum_of(point, values, populated)
    return Histogram(series, at_us, point.count, total, low, high, bins.SCALE, bins.keys_of(values), populated)


def _check_size(*sizes: int) -> None:
    if max(sizes) > MAX_BUCKETS:
        raise malformed(f"{max(sizes)} buckets, at most {MAX_BUCKETS}")


def _check_buckets(bounds: list[float], counts: list[int]) -> None:
    if len(counts) != len(bounds) + 1:
        raise malformed(f"{len(bounds)} bounds with {len(counts)} buckets, expected one bucket more than bounds")
    if any(not a < b for a, b in itertools.pairwise([-math.inf, *bounds, math.inf])):
        raise malformed("the bounds do not ascend, or are not finite")


def read_exponential(series: Series, at_us: int, point: ExponentialHistogramDataPoint) -> Histogram | None:
    """The exponential histogram; None when it counts nothing. Raises PermanentError ``malformed_point``."""
    scale = point.scale
    if not bins.MIN_SCALE <= scale <= MAX_SCALE:
        raise malformed(f"scale {scale}, expected {bins.MIN_SCALE} to {MAX_SCALE}")
    _check_size(len(point.negative.bucket_counts), len(point.positive.bucket_counts))
    sides = [(point.negative, list(point.negative.bucket_counts)), (point.positive, list(point.positive.bucket_counts))]
    _check_count(point.count, point.zero_count + sum(sum(counts) for _, counts in sides))
    if not point.count:
        return None
    (below, under), (above, over) = [_side(side.offset, counts, scale) for side, counts in sides]
    keys = np.concatenate([-below, [0] if point.zero_count else [], above]).astype(np.int64)
    populated = np.concatenate([under, [point.zero_count] if point.zero_count else [], over]).astype(np.int64)
    kept_scale = min(scale, bins.SCALE)
    values = bins.values_of(keys, np.full(len(keys), kept_scale))
    low, high = _range_of(point, float(values.min()), float(values.max()))
    total = _sum_of(point, np.clip(values, low, high), populated)
    return Histogram(series, at_us, point.count, total, low, high, kept_scale, keys, populated)


def _side(offset: int, counts: list[int], scale: int) -> tuple[Ints, Ints]:
    """Key (as of positive values) and count of the populated buckets of one side."""
    all_counts = np.array(counts, np.int64)
    populated = np.flatnonzero(all_counts)
    index = np.right_shift(populated + offset, max(scale - bins.SCALE, 0))
    if len(index) and np.abs(index).max() >= bins.OFFSET:
        raise malformed(f"expected buckets of finite numbers, got offset {offset} at scale {scale}")
    return index + bins.OFFSET, all_counts[populated]


def _check_count(count: int, held: int) -> None:
    if held != count:
        raise malformed(f"the buckets hold {held} observations, count is {count}")
    if count > MAX_MESSAGE_COUNT:
        raise malformed(f"{count} observations, at most {MAX_MESSAGE_COUNT}")


def _mean_of(point: Point) -> float:
    """The mean; NaN without a sum."""
    return point.sum / point.count if point.HasField("sum") else math.nan


def _range_of(point: Point, low: float, high: float) -> tuple[float, float]:
    """Min and max: the point's own; else ``low`` and ``high``, made wider where the mean lies outside."""
    has_min, has_max, mean = point.HasField("min"), point.HasField("max"), _mean_of(point)
    if mean == mean:
        low, high = min(low, mean), max(high, mean)
    least = point.min if has_min else min(low, point.max) if has_max else low
    most = point.max if has_max else max(high, least)
    if not -MAX_MAGNITUDE <= least <= most <= MAX_MAGNITUDE:
        raise malformed(f"expected min and max in this order and within 1e200, got {least:g} and {most:g}")
    return least, most


def _sum_of(point: Point, values: Floats, counts: Ints) -> float:
    """The sum: the point's own, else that of the values its buckets stand for."""
    total = point.sum if point.HasField("sum") else math.fsum((values * counts).tolist())
    if not abs(total) <= MAX_MAGNITUDE * point.count:
        raise malformed(f"expected a sum within count times 1e200, got {total:g}")
    return total
