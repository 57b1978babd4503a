"""What is usual of a series, and what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.anomalies import LEAST_VALUES, MOST_SIGMAS, SIGMAS, find, usual

QUIET = [50.0 + (index % 5) - 2 for index in range(60)]


def test_the_median_and_its_deviation() -> None:
    """Of values 48 to 52 the median is 50, and one deviation 1.4826 times the median distance of 1."""
    found = usual(QUIET)
    assert found is not None
    assert found.median == 50.0
    assert found.sigma == pytest.approx(1.4826)


def test_an_incident_does_not_widen_what_is_usual() -> None:
    """A tenth of the values at tenfold height changes the usual band by no more than a deviation."""
    calm, troubled = usual(QUIET), usual([*QUIET[:54], *[500.0] * 6])
    assert calm is not None
    assert troubled is not None
    assert abs(troubled.band[1] - calm.band[1]) <= calm.sigma * SIGMAS


def test_a_flat_series_has_one_percent() -> None:
    """A series that never moves takes a hundredth of its median for a deviation; one of zeros next to nothing."""
    flat, zeros = usual([200.0] * 20), usual([0.0] * 20)
    assert flat is not None
    assert zeros is not None
    assert flat.band == (194.0, 206.0)
    assert find([0.0, 0.0], zeros) == []


@pytest.mark.parametrize("values", [[], [1.0] * (LEAST_VALUES - 1), [None] * 50, [float("nan")] * 50])
def test_too_little_is_not_usual(values: list[float | None]) -> None:
    """Fewer than twelve numbers have nothing usual."""
    assert usual(values) is None


def test_a_stretch_is_one_anomaly() -> None:
    """Neighbours are one stretch with its farthest value, a gap parts two, and both directions count."""
    found = usual(QUIET)
    assert found is not None
    one, two, three = find([50.0, 70.0, 90.0, None, 60.0, 50.0, 20.0], found)
    assert (one.first, one.last, one.peak) == (1, 2, 90.0)
    assert (two.first, two.last) == (4, 4)
    assert (three.peak, three.sigmas < 0) == (20.0, True)


def test_the_distance_is_bounded() -> None:
    """However far away a value is, it is called at most fifty deviations away."""
    found = usual(QUIET)
    assert found is not None
    assert [one.sigmas for one in find([1e200], found)] == [MOST_SIGMAS]


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=LEAST_VALUES))
def test_at_most_half_is_unusual(values: list[float | None]) -> None:
    """Whatever the values, at least half of them are usual."""
    found = usual(values)
    if found is not None:
        unusual = sum(one.last - one.first + 1 for one in find(values, found))
        assert 2 * unusual <= len([value for value in values if value is not None])
