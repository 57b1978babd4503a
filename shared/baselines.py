"""Baselines: what some values were like, the thresholds that follow from it, and the values that do not fit.

Every number is finite or an error: values that are missing, not numbers, infinite or beyond ``MAX_MAGNITUDE`` are a
``ValueError`` that says which. The standard deviation is that of the values themselves (divided by n), so half 45 and
half 55 have mean 50 and standard deviation 5, and the critical threshold is 65.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .cells import MAX_MAGNITUDE

SIGMAS = {"critical": 3.0, "high": 2.0, "medium": 1.0}
"""How many standard deviations from the mean each threshold lies; ``low`` is the 95th or 5th percentile."""
ANOMALY_SIGMAS = 3.0
METHODS = ("iqr", "zscore", "mad")
IQR_FENCE, ZSCORE_FENCE, MAD_FENCE = 1.5, 3.0, 3.5
_NORMAL_P95, _NORMAL_P99 = 1.6448536269514722, 2.3263478740408408
_MAD_PER_SIGMA, _MEAN_DEVIATION_PER_SIGMA = 0.6744897501960817, 0.7978845608028654
"""Of a normal distribution: its median and its mean absolute deviation."""


@dataclass(frozen=True, slots=True)
class BaselineMetric:
    """What the values of one series were like, in their own unit. ``std_dev`` is from 0 on; ``count`` from 2 on.

    Percentiles that are not given are those of a normal distribution: with mean 50 and standard deviation 5 the 95th
    is 58.2. Raises ValueError for what is not finite, and for a negative deviation.
    """

    name: str
    mean: float
    std_dev: float
    count: int = 0
    minimum: float | None = None
    maximum: float | None = None
    median: float | None = None
    p5: float | None = None
    p95: float | None = None
    p99: float | None = None

    def __post_init__(self) -> None:
        given = (self.mean, self.std_dev, self.minimum, self.maximum, self.median, self.p5, self.p95, self.p99)
        checked([one for one in given if one is not None], least=2)
        if self.std_dev < 0:
            raise ValueError(f"expected a standard deviation from 0 on, got {self.std_dev!r}")
        normal = {
            "median": self.mean,
            "p5": self.mean - _NORMAL_P95 * self.std_dev,
            "p95": self.mean + _NORMAL_P95 * self.std_dev,
            "p99": self.mean + _NORMAL_P99 * self.std_dev,
        }
        for name, value in normal.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)

    def upper(self, sigmas: float) -> float:
        """So many standard deviations above the mean."""
        return self.mean + sigmas * self.std_dev

    def lower(self, sigmas: float) -> float:
        """So many below it."""
        return self.mean - sigmas * self.std_dev

    def sigmas(self, value: float) -> float:
        """How far a value is from the mean, in standard deviations; of a constant infinite for any other value."""
        distance = value - self.mean
        if distance == 0:
            return 0.0
        return distance / self.std_dev if self.std_dev > 0 else math.copysign(math.inf, distance)

    def get_recommended_thresholds(self) -> dict[str, float]:
        """Eight finite numbers: ``critical``, ``high``, ``medium`` at 3, 2 and 1 sigma, ``low`` at the percentile.

        ``*_upper`` are above the mean, ``*_lower`` mirrored below it. Of a constant all eight are that constant.
        """
        upper = {f"{name}_upper": self.upper(sigmas) for name, sigmas in SIGMAS.items()}
        lower = {f"{name}_lower": self.lower(sigmas) for name, sigmas in SIGMAS.items()}
        return {**upper, "low_upper": float(self.p95 or 0.0), **lower, "low_lower": float(self.p5 or 0.0)}

    def to_dict(self) -> dict[str, object]:
        """As a JSON document; ``BaselineMetric(**document)`` makes an equal one of it."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A value outside its baseline: the how-manyth it is, and its distance from the mean in standard deviations."""

    index: int
    value: float
    sigmas: float


class BaselineAnalyzer:
    """What a baseline is made of and used for. It holds nothing."""

    def calculate_baseline(self, values: Iterable[float], name: str = "") -> BaselineMetric:
        """The baseline of at least two values. Raises ValueError for fewer, or for one that is not finite."""
        numbers = checked(values, least=2)
        ordered = sorted(numbers)
        mean, std_dev = mean_and_deviation(numbers)
        return BaselineMetric(
            name=name,
            mean=mean,
            std_dev=std_dev,
            count=len(numbers),
            minimum=ordered[0],
            maximum=ordered[-1],
            median=quantile(ordered, 0.5),
            p5=quantile(ordered, 0.05),
            p95=quantile(ordered, 0.95),
            p99=quantile(ordered, 0.99),
        )

    def remove_outliers(self, values: Iterable[float], method: str = "iqr") -> list[float]:
        """The values without outliers, in their order; a constant loses none, and neither do fewer than four values.

        ``iqr`` keeps what is within 1.5 quartile ranges of the quartiles, ``zscore`` within 3 standard deviations of
        the mean, ``mad`` within 3.5 robust ones of the median. Where half of the values or more are equal the last
        and the first have no width of their own and take the mean absolute deviation's. Raises ValueError for no
        values, one that is not finite, and any other method.
        """
        if method not in METHODS:
            raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
        numbers = checked(values, least=1)
        if len(numbers) < 4:
            return numbers
        low, high = _fences(numbers, method)
        return [value for value in numbers if low <= value <= high]

    def detect_anomalies(
        self, values: Iterable[float], baseline: BaselineMetric, sigmas: float = ANOMALY_SIGMAS
    ) -> list[Anomaly]:
        """The values more than ``sigmas`` standard deviations from the baseline's mean, in order; none for none.

        Of a constant every other value is one. Raises ValueError for a value that is not finite, or sigmas below 0.
        """
        if not sigmas >= 0:
            raise ValueError(f"expected sigmas from 0 on, got {sigmas!r}")
        found = (Anomaly(i, value, baseline.sigmas(value)) for i, value in enumerate(checked(values, least=0)))
        return [one for one in found if abs(one.sigmas) > sigmas]

    def get_stability_score(self, values: Iterable[float]) -> float:
        """0..100: 100 for a constant, 90 where the standard deviation is a tenth of the mean, 0 where it is all of it.

        Values around 0 score 0 unless they are all equal. Raises ValueError for no values, or one that is not finite.
        """
        mean, std_dev = mean_and_deviation(checked(values, least=1))
        if std_dev == 0:
            return 100.0
        return 100.0 * (1.0 - min(1.0, std_dev / abs(mean))) if mean else 0.0


def checked(values: Iterable[float], least: int) -> list[float]:
    """The values as floats. Raises ValueError for fewer than ``least``, and for what is not a finite number."""
    numbers: list[float] = []
    for index, value in enumerate(values):
        numbers.append(_number(index, value))
    if len(numbers) < least:
        raise ValueError(f"expected at least {least} {'value' if least == 1 else 'values'}, got {len(numbers)}")
    return numbers


def _number(index: int, value: object) -> float:
    if isinstance(value, str | bytes | bool | None):
        raise ValueError(f"value {index}: expected a number, got {value!r:.60}")  # noqa: TRY004 - one error for all
    try:
        number = float(value)  # type: ignore[arg-type]  # whatever is a number: int, Decimal, one of numpy's
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"value {index}: expected a number, got a {type(value).__name__}") from error
    if not abs(number) <= MAX_MAGNITUDE:
        raise ValueError(f"value {index}: expected a finite number of at most {MAX_MAGNITUDE:g}, got {number!r}")
    return number + 0.0


def mean_and_deviation(numbers: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation of at least one number, without overflow; exactly 0 for a constant."""
    low, high = min(numbers), max(numbers)
    if low == high:
        return low, 0.0
    mean = min(max(math.fsum(numbers) / len(numbers), low), high)
    scale = max(high - mean, mean - low)
    if scale == 0:
        return mean, 0.0
    return mean, scale * math.sqrt(math.fsum(((one - mean) / scale) ** 2 for one in numbers) / len(numbers))


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which a share (0..1) of ascending numbers lies, between two of them in proportion."""
    at = share * (len(ordered) - 1)
    below = math.floor(at)
    above = min(below + 1, len(ordered) - 1)
    part = at - below
    between = ordered[below] * (1.0 - part) + ordered[above] * part
    return min(max(between, ordered[below]), ordered[above])  # of two equal numbers rounding would leave the two


def _fences(numbers: Sequence[float], method: str) -> tuple[float, float]:
    ordered = sorted(numbers)
    mean, std_dev = mean_and_deviation(numbers)
    median = quantile(ordered, 0.5)
    spread = math.fsum(abs(one - median) / len(numbers) for one in numbers) / _MEAN_DEVIATION_PER_SIGMA
    if method == "zscore":
        return mean - ZSCORE_FENCE * std_dev, mean + ZSCORE_FENCE * std_dev
    if method == "mad":
        deviation = quantile(sorted(abs(one - median) for one in numbers), 0.5) / _MAD_PER_SIGMA
        reach = MAD_FENCE * (deviation or spread)
        return median - reach, median + reach
    first, third = quantile(ordered, 0.25), quantile(ordered, 0.75)
    reach = IQR_FENCE * ((third - first) or 2 * _MAD_PER_SIGMA * spread)
    return first - reach, third + reach
