"""Baselines: the specification's numbers, and a clear answer to values that are few, equal, huge or no numbers."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.baselines import METHODS, Anomaly, BaselineAnalyzer, BaselineMetric

ANALYZER = BaselineAnalyzer()
FINITE = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e200, max_value=1e200)
THRESHOLDS = {
    "critical_upper": 65, "high_upper": 60, "medium_upper": 55, "critical_lower": 35, "high_lower": 40,
    "medium_lower": 45,
}  # fmt: skip
_USES: dict[str, Callable[[Iterable[float]], object]] = {
    "calculate_baseline": ANALYZER.calculate_baseline,
    "remove_outliers": ANALYZER.remove_outliers,
    "detect_anomalies": lambda values: ANALYZER.detect_anomalies(values, BaselineMetric("m", 50, 5)),
    "get_stability_score": ANALYZER.get_stability_score,
}


def test_mean_50_and_deviation_5_give_65_60_and_55() -> None:
    """The thresholds are mean and 3, 2 and 1 standard deviations on both sides, and the percentile for low."""
    baseline = ANALYZER.calculate_baseline([45.0, 55.0] * 720, "response_time_us")
    assert (baseline.name, baseline.mean, baseline.std_dev, baseline.count) == ("response_time_us", 50.0, 5.0, 1440)
    assert baseline.get_recommended_thresholds() == {**THRESHOLDS, "low_upper": 55.0, "low_lower": 45.0}


def test_a_baseline_of_mean_and_deviation_alone_has_the_percentiles_of_a_normal_distribution() -> None:
    """The low threshold of mean 50 and deviation 5 is about 58, as the specification says."""
    thresholds = BaselineMetric("m", 50, 5).get_recommended_thresholds()
    assert thresholds == {
        **THRESHOLDS,
        "low_upper": pytest.approx(58.224, abs=0.001),
        "low_lower": pytest.approx(41.776, abs=0.001),
    }


def test_percentiles_lie_between_neighbours_in_proportion() -> None:
    """They are those of the textbook's linear interpolation."""
    values = [float(one * one % 101) for one in range(60)]
    baseline = ANALYZER.calculate_baseline(iter(values), "m")
    found = (baseline.p5, baseline.median, baseline.p95, baseline.p99)
    assert found == pytest.approx(tuple(np.percentile(values, [5, 50, 95, 99])))
    assert (baseline.minimum, baseline.maximum) == (min(values), max(values))
    assert baseline.std_dev == pytest.approx(statistics.pstdev(values))


def test_a_baseline_is_exported_and_imported() -> None:
    """Its JSON makes an equal one."""
    baseline = ANALYZER.calculate_baseline([1.0, 2.5, 9.0], "m")
    assert BaselineMetric(**json.loads(json.dumps(baseline.to_dict()))) == baseline


def test_percentiles_of_equal_values_are_that_value() -> None:
    """In proportion between two of the greatest numbers that are allowed lies no greater one."""
    baseline = ANALYZER.calculate_baseline([-1e200] * 5, "m")
    assert (baseline.p5, baseline.median, baseline.p95, baseline.p99) == (-1e200,) * 4


@settings(max_examples=200, deadline=None)
@given(st.lists(FINITE, min_size=2, max_size=40))
def test_no_threshold_of_finite_values_is_anything_but_finite(values: list[float]) -> None:
    """Whatever finite values there are, thresholds are finite and ordered, and scores between 0 and 100."""
    baseline = ANALYZER.calculate_baseline(values, "m")
    thresholds = baseline.get_recommended_thresholds()
    assert all(map(math.isfinite, thresholds.values()))
    assert thresholds["critical_upper"] >= thresholds["high_upper"] >= thresholds["medium_upper"] >= baseline.mean
    assert thresholds["critical_lower"] <= thresholds["high_lower"] <= thresholds["medium_lower"] <= baseline.mean
    assert 0 <= ANALYZER.get_stability_score(values) <= 100
    for method in METHODS:
        kept = ANALYZER.remove_outliers(values, method)
        assert kept
        assert all(one in values for one in kept)
    assert not any(math.isnan(one.sigmas) for one in ANALYZER.detect_anomalies(values, baseline))


@pytest.mark.parametrize("use", _USES.values(), ids=_USES)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e201, 10**400, "5", None, True, 2j, [1.0]], ids=repr)
def test_what_is_no_finite_number_is_refused_with_its_place(
    use: Callable[[Iterable[float]], object], value: object
) -> None:
    """Every use names the value that it cannot take."""
    with pytest.raises(ValueError, match=r"value 2: expected a (finite )?number"):
        use([1.0, 2.0, value, 3.0])  # type: ignore[list-item]  # what a caller may give


def test_numbers_of_other_kinds_are_taken() -> None:
    """Whole numbers, decimals, fractions and numpy's are numbers."""
    values = [1, Decimal(2), Fraction(3), np.float32(4), np.int64(5)]
    assert ANALYZER.calculate_baseline(values, "m").mean == 3  # type: ignore[arg-type]  # numbers all the same
    assert ANALYZER.calculate_baseline(np.array([1.0, 3.0]), "m").mean == 2


def test_too_few_values_are_refused() -> None:
    """A baseline needs two values, and the others one; no values hold no anomaly."""
    for values in ([], [1.0]):
        with pytest.raises(ValueError, match=f"at least 2 values, got {len(values)}"):
            ANALYZER.calculate_baseline(values, "m")
    with pytest.raises(ValueError, match="at least 1 value, got 0"):
        ANALYZER.remove_outliers([])
    with pytest.raises(ValueError, match="at least 1 value, got 0"):
        ANALYZER.get_stability_score([])
    assert ANALYZER.detect_anomalies([], BaselineMetric("m", 50, 5)) == []


def test_a_constant_has_no_deviation_and_every_other_value_is_an_anomaly() -> None:
    """Its thresholds are all itself, it is wholly stable, and no value of it is an outlier."""
    baseline = ANALYZER.calculate_baseline([0.1] * 7, "m")
    assert (baseline.mean, baseline.std_dev) == (0.1, 0.0)
    assert set(baseline.get_recommended_thresholds().values()) == {0.1}
    assert ANALYZER.detect_anomalies([0.1, 0.2, 0.0], baseline) == [
        Anomaly(1, 0.2, math.inf),
        Anomaly(2, 0.0, -math.inf),
    ]
    assert ANALYZER.get_stability_score([0.1] * 7) == 100
    assert all(ANALYZER.remove_outliers([0.1] * 7, method) == [0.1] * 7 for method in METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_outliers_are_removed_in_place(method: str) -> None:
    """One value far out goes, and the others stay in their order."""
    values = [10.0, 10.4, 10.1, 10.3, 500.0, *[10.0 + one % 5 / 10 for one in range(20)]]
    assert ANALYZER.remove_outliers(values, method) == [one for one in values if one != 500.0]


@pytest.mark.parametrize("method", ["iqr", "mad"])
def test_where_most_values_are_equal_only_what_is_far_out_goes(method: str) -> None:
    """A quarter range or median deviation of 0 does not make every other value an outlier."""
    values = [5.0] * 30 + [5.1, 4.9, 90.0]
    assert ANALYZER.remove_outliers(values, method) == values[:-1]


def test_three_values_have_no_outlier() -> None:
    """Fewer than four values are too few to call one odd."""
    assert ANALYZER.remove_outliers([1, 2, 1000]) == [1, 2, 1000]


def test_an_unknown_method_is_named() -> None:
    """The error says which methods there are."""
    with pytest.raises(ValueError, match="unknown method 'sigma'; known: iqr, zscore, mad"):
        ANALYZER.remove_outliers([1.0], method="sigma")


def test_anomalies_are_beyond_three_standard_deviations_or_as_many_as_asked_for() -> None:
    """The place, the value and the distance of each are told; exactly three is none."""
    baseline = BaselineMetric("m", 50, 5)
    assert ANALYZER.detect_anomalies([50, 65, 66, 30], baseline) == [Anomaly(2, 66, 3.2), Anomaly(3, 30, -4.0)]
    assert [one.index for one in ANALYZER.detect_anomalies([50, 65, 66, 30], baseline, sigmas=2)] == [1, 2, 3]
    with pytest.raises(ValueError, match="sigmas from 0 on"):
        ANALYZER.detect_anomalies([50], baseline, sigmas=math.nan)


def test_the_stability_score_is_100_less_the_relative_deviation_in_percent() -> None:
    """A deviation of a tenth of the mean scores 90, one of the mean or more 0, and so does a mean of 0."""
    assert ANALYZER.get_stability_score([45, 55]) == 90
    assert ANALYZER.get_stability_score([-45, -55]) == 90
    assert ANALYZER.get_stability_score([0, 100]) == 0
    assert ANALYZER.get_stability_score([-1, 1]) == 0
    assert ANALYZER.get_stability_score([7]) == 100


@pytest.mark.parametrize(("mean", "deviation"), [(math.nan, 1), (1, math.inf), (1, -1)])
def test_a_baseline_of_impossible_numbers_is_refused(mean: float, deviation: float) -> None:
    """A baseline cannot be built that would give thresholds which are no numbers."""
    with pytest.raises(ValueError, match="expected a"):
        BaselineMetric("m", mean, deviation)
