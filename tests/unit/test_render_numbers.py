"""Numbers, units, changes and ages."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.panels import Limit
from shared.render import numbers
from shared.render.numbers import NARROW
from shared.rules import Operator, Severity

SLA = Limit(99.95, Operator.LESS, Severity.CRITICAL)
ERRORS = Limit(0.5, Operator.GREATER, Severity.HIGH)
CPU = Limit(80, Operator.GREATER, Severity.LOW)

HTML_CASES: list[tuple[float | None, str, Limit | None, str]] = [
    (456.48, "ms", None, "456 ms"),
    (58.91, "ms", None, "58.9 ms"),
    (9.996, "ms", None, "10.0 ms"),
    (1234.5, "ms", None, f"1{NARROW}234 ms"),
    (0.0001, "ms", None, "< 0.01 ms"),
    (0.0, "ms", None, "0 ms"),
    (9270, "req/s", None, "9.27 k req/s"),
    (9270, "r/s", None, "9.27 k req/s"),
    (999.6, "", None, "1.00 k"),
    (468_123_456, "", None, "468 M"),
    (14, "", None, "14"),
    (1.5 * 1024**3, "B", None, "1.50 GiB"),
    (99.97, "%", SLA, "99.97 %"),
    (99.999, "%", SLA, "99.99 %"),
    (100.0, "%", SLA, "100.00 %"),
    (0.3, "%", ERRORS, "0.30 %"),
    (12.3, "%", ERRORS, "12.30 %"),
    (0.001, "%", ERRORS, "< 0.01 %"),
    (0.0, "%", ERRORS, "0.00 %"),
    (81.94, "%", CPU, "81.9 %"),
    (62.7, "%", None, "62.7 %"),
    (None, "ms", None, "–"),
    (math.nan, "%", CPU, "–"),
    (math.inf, "ms", None, "–"),
    (-2.5, "ms", None, "−2.50 ms"),
    (1e15, "ms", None, "1.00e15 ms"),
    (1e200, "%", CPU, "1.00e200 %"),
    (-1e200, "req/s", None, "−1.00e200 req/s"),
    (1e15, "", None, "1.00 P"),
    (1e18, "", None, "1.00e18"),
    (1e200, "B", None, "1.00e200 B"),
]
TERMINAL_CASES: list[tuple[float | None, str, Limit | None, str]] = [
    (99.95, "%", SLA, "99.95%"),
    (0.3, "%", ERRORS, "0.30%"),
    (28.7, "ms", None, "28.7ms"),
    (36.4, "ms", None, "36.4ms"),
    (82.3, "%", None, "82.3%"),
    (9270, "req/s", None, "9,270 r/s"),
    (9270, "r/s", None, "9,270 r/s"),
    (0.25, "req/s", None, "0.25 r/s"),
    (14, "", None, "14"),
    (61_240, "", None, "61,240"),
    (468_123_456, "", None, "468 M"),
    (None, "ms", None, "–"),
    (1e200, "ms", None, "1.00e200ms"),
    (1e200, "%", SLA, "1.00e200%"),
    (-1e200, "r/s", None, "-1.00e200 req/s"),
]


@pytest.mark.parametrize(("value", "unit", "limit", "expected"), HTML_CASES)
def test_number(value: float | None, unit: str, limit: Limit | None, expected: str) -> None:
    """Three significant digits, percentages by their limit, a narrow space before the unit."""
    digits, shown = numbers.figure(value, unit, limit)
    assert f"{digits} {shown}".rstrip() == expected


@pytest.mark.parametrize(("value", "unit", "limit", "expected"), TERMINAL_CASES)
def test_terminal_number(value: float | None, unit: str, limit: Limit | None, expected: str) -> None:
    """A terminal shows numbers exactly as the specification's example does."""
    assert numbers.terminal_number(value, unit, limit) == expected


@pytest.mark.parametrize(
    ("delta", "unit", "limit", "html", "terminal"),
    [
        (420.3, "ms", None, "↑ 420 ms", "+420.3"),
        (-2.44, "pt", CPU, "↓ 2.4 pt", "-2.4"),
        (-0.01, "pt", SLA, "↓ 0.01 pt", "-0.01"),
        (2.1, "%", None, "↑ 2.1 %", "+2.1%"),
        (0.0, "ms", None, "no change", "+0.0"),
        (None, "pt", None, "", ""),
        (math.nan, "pt", None, "", ""),
    ],
)
def test_change(delta: float | None, unit: str, limit: Limit | None, html: str, terminal: str) -> None:
    """A change has an arrow or a sign, and as many decimals as its value."""
    assert numbers.change(delta, unit, limit).replace(NARROW, " ") == html
    assert numbers.terminal_change(delta, unit, limit) == terminal


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-3, "0 s"),
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (4260, "1 h 11 min"),
        (86_400, "1 day"),
        (3 * 86_400 + 4 * 3600, "3 days 4 h"),
    ],
)
def test_age(seconds: float, expected: str) -> None:
    """An age has its two greatest units."""
    assert numbers.age(seconds) == expected


def test_limits_in_words() -> None:
    """A limit is shown as configured, and what satisfies it is its exact negation."""
    assert numbers.limit_number(SLA, "%") == f"99.95{NARROW}%"
    assert numbers.comparison(CPU) == "> 80"
    assert (numbers.acceptance(SLA), numbers.acceptance(CPU), numbers.acceptance(None)) == (
        ">= 99.95",
        "<= 80",
        "no limit",
    )


def test_span_and_heading() -> None:
    """A range of whole hours stays in hours; a unit is named once in a heading."""
    assert (numbers.span(86_400), numbers.span(5400)) == ("24 h", "1 h 30 min")
    assert numbers.heading("P95", "ms") == numbers.heading("P95 ms", "ms") == "P95 ms"
    assert numbers.heading("Requests/s", "req/s") == "Requests/s"


@given(st.floats(0, 100), st.sampled_from([SLA, ERRORS, CPU, None]))
def test_percentages_are_honest(value: float, limit: Limit | None) -> None:
    """Below 100 % never reads 100, above 0 never reads 0."""
    digits = numbers.figure(value, "%", limit)[0]
    assert value == 100 or not digits.startswith("100")
    assert value == 0 or digits.strip("0.") != ""


@given(st.floats(allow_nan=True), st.sampled_from(["ms", "%", "req/s", "", "B", "s"]))
@example(1e14, "req/s")
def test_any_float_is_short(value: float, unit: str) -> None:
    """Whatever the value, a short number is made, without an exponent for what a service can measure."""
    shown = [numbers.number(value, unit), numbers.terminal_number(value, unit), numbers.change(value, unit),
             numbers.signed(value, unit), numbers.terminal_change(value, unit)]  # fmt: skip
    assert all(shown[:2])
    assert max(map(len, shown)) <= 26
    assert abs(value) >= 1e15 or "e" not in numbers.figure(value, unit)[0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0"), (0.05, "0.05"), (200, "200"), (-20, "−20"), (50_000, f"50{NARROW}000"), (100_000, f"100{NARROW}k"),
     (2_500_000, f"2.5{NARROW}M"), (1e15, f"1{NARROW}P"), (2e20, "2e20"), (-1e200, "−1e200")],
)  # fmt: skip
def test_tick(value: float, expected: str) -> None:
    """An axis label is short enough to stand beside the axis."""
    assert numbers.tick(value) == expected
    assert len(expected) <= 7


def test_moments_name_their_day_when_it_is_another() -> None:
    """A time of today is a time of day; of another day it has the date, of another year that too."""
    today = datetime(2025, 10, 18, 14, 31, tzinfo=UTC)
    assert numbers.moment(today - timedelta(hours=1), UTC, today) == "13:31"
    assert numbers.moment(today - timedelta(days=1), UTC, today) == "17 Oct 14:31"
    assert numbers.moment(today - timedelta(days=365), UTC, today) == "18 Oct 2024 14:31"
    assert numbers.moment(today, ZoneInfo("Asia/Tokyo"), today) == "23:31"
    assert numbers.stretch(today - timedelta(hours=1), today, UTC, today) == "13:31 to 14:31"
    assert numbers.stretch(today - timedelta(days=2), today - timedelta(days=1), UTC, today) == (
        "16 Oct 14:31 to 17 Oct 14:31"
    )
