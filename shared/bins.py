"""Bins: OpenTelemetry's exponential histogram, as sorted integer keys.

At scale s the base is 2 ** (2 ** -s), and a positive value v falls in the bin ``index = ceil(log2(v) * 2**s) - 1``,
which covers (base**index, base**(index + 1)]. Scale 5 keeps the relative error of any percentile at or below
(base - 1) / (base + 1) = 1.083 %. Merging is adding counts, exact and in any order.
Source: https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram

A key orders bins by value and holds the sign: ``index + OFFSET`` for positive values, 0 for zero,
``-(index + OFFSET)`` for negative ones.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]

SCALE = 5
MIN_SCALE = -10
"""At this scale one bin holds all positive doubles."""
OFFSET = 1 << 17
"""Above every index at scale 5: doubles span 2**-1074 .. 2**1024, so indexes span -34,369 .. 32,767."""
MAX_BINS = 2048
"""Populated bins a cell may keep; above it neighbours are joined, which halves the scale's precision."""


def keys_of(values: Floats, scale: int = SCALE) -> Ints:
    """The key of each value; values must be finite. Empty in, empty out."""
    magnitude = np.where(values == 0, 1.0, np.abs(values))
    keys: Ints = (np.sign(values) * (np.ceil(np.log2(magnitude) * 2.0**scale) + (OFFSET - 1))).astype(np.int64)
    return keys


def coarser(keys: Ints, steps: NDArray[np.int64] | int) -> Ints:
    """The keys after lowering the scale by ``steps`` (>= 0), where 2**steps neighbours become one."""
    index = np.right_shift(np.abs(keys) - OFFSET, steps) + OFFSET
    return np.where(keys == 0, 0, np.sign(keys) * index)


def values_of(keys: Ints, scales: NDArray[np.int64]) -> Floats:
    """The value that stands for each bin: the harmonic mean of its bounds, which halves the worst error."""
    width = np.exp2(-scales.astype(np.float64))
    with np.errstate(over="ignore"):
        lower = np.exp2((np.abs(keys) - OFFSET) * width)
        value = lower * (2.0 / (1.0 + np.exp2(-width)))  # 2 base / (1 + base), where base itself may overflow
    return np.where(keys == 0, 0.0, np.sign(keys) * value)


def error_bound(scale: int) -> float:
    """The greatest relative error of a percentile at a scale: 0.0108 at scale 5."""
    inverse = 2.0 ** -(2.0**-scale)  # of the base, which itself overflows at MIN_SCALE
    return float((1.0 - inverse) / (1.0 + inverse))
