"""Cloud Monitoring's distributions as histograms of ours, with a stated error.

A bucket says how many values lie between two bounds, not where. They go to the bin of its geometric mean, from which
no value of the bucket is further than the square root of the bounds' ratio: a percentile is at most
``sqrt(ratio) - 1`` off, 18.4 % where bounds grow by 1.4, and 1.1 % more by our own bins. Count and sum are exact.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from .. import bins
from ..cells import Observation
from ..errors import PermanentError
from ..formats.exponential import Histogram
from ..series import Kind, Series
from .port import Distribution


def error_ratio(bounds: tuple[float, ...]) -> float:
    """The greatest relative error of a percentile among buckets with such bounds, those at the ends left aside.

    Only positive bounds count; 0 for fewer than two of them. 1.1 % of our own bins are in it.
    """
    ratios = (high / low for low, high in itertools.pairwise(bounds) if low > 0)
    return max((math.sqrt(ratio) * (1 + bins.error_bound(bins.SCALE)) - 1 for ratio in ratios), default=0.0)


def histogram_of(series: Series, at_us: int, found: Distribution, scale: float) -> Histogram | Observation | None:
    """A distribution in our unit, ``scale`` times its own; None for an empty one, an observation for one of one value.

    Raises PermanentError ``no_buckets`` for one that only tells its mean.
    """
    if not found.count:
        return None
    mean = found.mean * scale
    if found.count == 1:
        return Observation(series, Kind.DISTRIBUTION, at_us, mean)
    if sum(found.counts) != found.count or not found.bounds:
        raise PermanentError("no_buckets", f"{sum(found.counts)} of {found.count} values are in buckets")
    buckets = list(_buckets(found))
    low = min(buckets[0][0] if found.low is None else found.low, found.mean) * scale
    high = max(buckets[-1][1] if found.high is None else found.high, found.mean) * scale
    values = np.clip(np.array([_middle(*bucket[:2]) * scale for bucket in buckets]), low, high)
    counts = np.array([count for _, _, count in buckets], np.int64)
    return Histogram(
        series, at_us, found.count, mean * found.count, low, high, bins.SCALE, bins.keys_of(values), counts
    )


def _buckets(found: Distribution) -> Iterator[tuple[float, float, int]]:
    """Lower bound, upper bound and count of each populated bucket; at the ends, the nearest bound that is sensible."""
    first, last = found.bounds[0], found.bounds[-1]
    below = min(0.0, first) if found.low is None else min(found.low, first)
    above = last if found.high is None else max(found.high, last)
    edges = (below, *found.bounds, above)
    for (low, high), count in zip(itertools.pairwise(edges), found.counts, strict=False):
        if count:
            yield low, high, count


def _middle(low: float, high: float) -> float:
    """What stands for a bucket: the geometric mean of bounds of one sign, else their arithmetic mean."""
    if low > 0 or high < 0:
        return math.copysign(math.sqrt(low * high), low)
    return (low + high) / 2
