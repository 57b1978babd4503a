"""Histograms in the JSON shape of OTLP's exponential histogram, and the cells they become.

The conversion is exact: an index at scale s is ``index >> (s - 5)`` at scale 5, and scales below 5 stay as they are.
A cell needs a newest value, which a histogram does not tell: it gets the mean, kept within min and max.
Source: https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import bins
from ..bins import Ints
from ..cells import MAX_MAGNITUDE, Cells, merge
from ..series import Kind, Series
from .compact import MAX_MESSAGE_COUNT
from .strict_json import MISSING, check_keys, integer_of, malformed, number_of, object_of, refused

MAX_SCALE = 20
"""The greatest scale OpenTelemetry's SDKs use."""
MAX_BUCKETS = bins.MAX_BINS
_KEYS = frozenset({"count", "sum", "min", "max", "scale", "zeroCount", "positive", "negative"})
_BUCKET_KEYS = frozenset({"offset", "bucketCounts"})
_INT32 = 1 << 31


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """A checked histogram of ``series`` at ``at_us``; ``keys`` may repeat and are not in order."""

    series: Series
    at_us: int
    count: int
    sum: float
    min: float
    max: float
    scale: int
    keys: Ints
    counts: Ints


def read_histogram(series: Series, at_us: int, value: object, path: str) -> Histogram:
    """The histogram in a JSON value. Raises PermanentError ``malformed_message`` with the path."""
    source = object_of(value, path)
    check_keys(source, _KEYS, path)
    count = _count_of(source.get("count", MISSING), f"{path}.count", 1)
    low, high = (number_of(source.get(name, MISSING), f"{path}.{name}") for name in ("min", "max"))
    if low > high:
        raise malformed(f"{path}: min {low:g} is above max {high:g}")
    total = number_of(source.get("sum", MISSING), f"{path}.sum", MAX_MAGNITUDE * count)
    scale = integer_of(source.get("scale", MISSING), f"{path}.scale", bins.MIN_SCALE, MAX_SCALE)
    zeros = _count_of(source.get("zeroCount", 0), f"{path}.zeroCount", 0)
    sides = [_buckets(source, "negative", scale, path), _buckets(source, "positive", scale, path)]
    keys = np.concatenate([[0], *(keys for keys, _ in sides)]).astype(np.int64)
    counts = np.concatenate([[zeros], *(counts for _, counts in sides)]).astype(np.int64)
    if int(counts.sum()) != count:
        raise malformed(f"{path}: the buckets hold {int(counts.sum())}, count is {count}")
    keys, counts = keys[counts > 0], counts[counts > 0]
    return Histogram(series, at_us, count, total, low, high, min(scale, bins.SCALE), keys, counts)


def _buckets(source: dict[str, Any], side: str, scale: int, path: str) -> tuple[Ints, Ints]:
    """Key and count of the populated buckets of one side."""
    here = f"{path}.{side}"
    value = object_of(source.get(side, {}), here)
    check_keys(value, _BUCKET_KEYS, here)
    offset = integer_of(value.get("offset", 0), f"{here}.offset", -_INT32, _INT32 - 1)
    counts = _counts_of(value.get("bucketCounts", []), f"{here}.bucketCounts")
    populated = np.flatnonzero(counts)
    index = np.right_shift(populated + offset, max(scale - bins.SCALE, 0))
    if len(index) and np.abs(index).max() >= bins.OFFSET:
        raise malformed(f"{here}: expected buckets of finite numbers, got offset {offset} at scale {scale}")
    keys = index + bins.OFFSET
    return -keys if side == "negative" else keys, counts[populated]


def _counts_of(values: object, path: str) -> Ints:
    if not isinstance(values, list) or len(values) > MAX_BUCKETS:
        raise refused(path, f"an array of at most {MAX_BUCKETS} counts", values)
    if not all(type(value) is int and 0 <= value <= MAX_MESSAGE_COUNT for value in values):
        values = [_count_of(value, f"{path}[{at}]", 0) for at, value in enumerate(values)]
    return np.array(values, np.int64)


def _count_of(value: object, path: str, low: int) -> int:
    """A count, which JSON of protobuf may write as a decimal string."""
    if isinstance(value, str) and len(value) <= 20 and value.isascii() and value.isdigit():
        value = int(value)
    return integer_of(value, path, low, MAX_MESSAGE_COUNT)


def cells_of(histograms: Sequence[Histogram]) -> Cells:
    """The cells of some histograms of one interval; none give no rows. More than MAX_BINS bins become coarser."""
    if not histograms:
        return merge([])
    total = np.array([one.sum for one in histograms]) + 0.0  # -0.0 becomes 0.0
    low = np.array([one.min for one in histograms]) + 0.0
    high = np.array([one.max for one in histograms]) + 0.0
    count = np.array([one.count for one in histograms], np.int64)
    mean = np.clip(total / count, low, high)
    rows = Cells(
        series=tuple(one.series for one in histograms),
        kind=np.full(len(count), Kind.DISTRIBUTION, np.int64),
        count=count,
        sum=total,
        min=low,
        max=high,
        last_at_us=np.array([one.at_us for one in histograms], np.int64),
        last=mean,
        last_writer=np.zeros(len(count), np.uint64),
        last_sum=mean,
        writers=np.ones(len(count), np.int64),
        scale=np.array([one.scale for one in histograms], np.int64),
        bin_start=np.cumsum([0, *(len(one.keys) for one in histograms)], dtype=np.int64),
        bin_key=np.concatenate([one.keys for one in histograms]),
        bin_count=np.concatenate([one.counts for one in histograms]),
    )
    return merge([rows])
