"""Bins keep OpenTelemetry's bounds and their promised error."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import bins
from shared.bins import MIN_SCALE, OFFSET, SCALE, coarser, error_bound, keys_of, values_of
from tests.cell_cases import FEW

normal = st.floats(1e-300, 1e200)
scales = st.integers(MIN_SCALE, SCALE)


def _keys(*values: float, scale: int = SCALE) -> list[int]:
    return [int(key) for key in keys_of(np.array(values), scale)]


def _value(key: int, scale: int) -> float:
    return float(values_of(np.array([key]), np.array([scale]))[0])


@pytest.mark.parametrize(
    ("value", "scale", "index"),
    [
        (1.0, 0, -1),
        (1.0000001, 0, 0),
        (2.0, 0, 0),
        (2.0000001, 0, 1),
        (4.0, 0, 1),
        (0.5, 0, -2),
        (1.0, 5, -1),
        (2.0, 5, 31),
        (8.0, 5, 95),
        (1024.0, 1, 19),
        (1.0, -10, -1),
        (1e200, -10, 0),
        (5e-324, 5, -34_369),
    ],
)
def test_a_bin_excludes_its_lower_bound_and_includes_its_upper(value: float, scale: int, index: int) -> None:
    """A value on the border of two bins belongs to the lower one, as OpenTelemetry defines it."""
    assert _keys(value, scale=scale) == [index + OFFSET]
    assert _keys(-value, scale=scale) == [-(index + OFFSET)]


def test_both_zeros_share_the_key_zero() -> None:
    """Zero has the key 0 whatever its sign, and stands for 0.0."""
    assert _keys(0.0, -0.0) == [0, 0]
    assert _value(0, SCALE) == 0.0


def test_no_values_have_no_keys() -> None:
    """Empty in, empty out."""
    assert _keys() == []


@FEW
@given(st.lists(st.floats(-1e200, 1e200), max_size=30), scales)
def test_keys_order_as_values_do(numbers: list[float], scale: int) -> None:
    """Ascending values have keys that never descend, over both signs and zero."""
    keys = keys_of(np.sort(np.array(numbers, np.float64)), scale)
    assert (np.diff(keys) >= 0).all()


@FEW
@given(normal, st.integers(0, SCALE))
def test_a_bin_stands_for_its_values_within_the_error_bound(value: float, scale: int) -> None:
    """What a bin stands for differs from any value in it by at most the error bound of its scale."""
    stands_for = _value(_keys(value, scale=scale)[0], scale)
    assert abs(stands_for - value) <= value * (error_bound(scale) + 1e-9)


@FEW
@given(st.floats(-1e200, 1e200).filter(lambda value: value == 0 or abs(value) > 1e-300), st.integers(0, 15))
def test_coarser_keys_are_the_keys_at_the_lower_scale(value: float, steps: int) -> None:
    """Lowering the scale of a key gives the key of the value at that scale: merging loses nothing more."""
    lowered = int(coarser(keys_of(np.array([value])), steps)[0])
    assert lowered == _keys(value, scale=SCALE - steps)[0]


@FEW
@given(st.integers(-OFFSET + 1, OFFSET - 1), st.integers(0, 7), st.integers(0, 8))
def test_lowering_twice_is_lowering_once(index: int, first: int, second: int) -> None:
    """The scale may be lowered in any steps."""
    key = np.array([index + OFFSET, -(index + OFFSET), 0])
    assert np.array_equal(coarser(coarser(key, first), second), coarser(key, first + second))


@pytest.mark.parametrize("scale", range(MIN_SCALE, SCALE + 1))
def test_every_scale_has_values_and_an_error_bound(scale: int) -> None:
    """Down to the lowest scale, where the base itself is no double, nothing is NaN and the bound is at most 1."""
    assert 0 < error_bound(scale) <= 1
    assert not any(math.isnan(_value(key, scale)) for key in (OFFSET, OFFSET - 1, 2 * OFFSET - 1, 1, -OFFSET))


def test_the_promised_error_at_full_scale() -> None:
    """At scale 5 the relative error is at most 1.083 %."""
    assert error_bound(bins.SCALE) == pytest.approx(0.010830, abs=1e-6)
