"""The online detector: silent on noise and on cycles, saved and restored anywhere, bounded, better than textbooks."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.detector import CALM_SECONDS, LONGEST_SECONDS, WARM_VALUES, OnlineDetector, Verdict
from tests.bench.anomaly import METHODS, Score, detector, judged, read_folder, score

LABELLED = Path(__file__).parents[1] / "events" / "labelled"
DAY = 86_400


def _run(values: Iterable[float], seconds: int = 300) -> list[Verdict]:
    one = OnlineDetector()
    return [one.observe(value, row * seconds) for row, value in enumerate(values)]


def _begun(values: Iterable[float], seconds: int = 300) -> list[int]:
    return [row for row, verdict in enumerate(_run(values, seconds)) if verdict.begins]


def _noise(seed: int, length: int, mean: float = 50.0, deviation: float = 5.0) -> list[float]:
    drawn = random.Random(seed)
    return [drawn.gauss(mean, deviation) for _ in range(length)]


def test_clean_gaussian_noise_is_told_less_than_once_in_ten_thousand_values() -> None:
    """Over 60,000 values of Gaussian noise the detector tells of at most six."""
    assert sum(len(_begun(_noise(seed, 6000))) for seed in range(10)) <= 6


@pytest.mark.parametrize("shape", ["sine", "square", "working day", "five minutes", "a minute"])
@pytest.mark.parametrize("seconds", [60, 300])
def test_a_clean_daily_cycle_is_silent_after_two_days(shape: str, seconds: int) -> None:
    """From the third day on nothing of a clean daily cycle is told, whenever in the day it begins."""
    shapes: dict[str, Callable[[float], float]] = {
        "sine": lambda day: 100 + 50 * math.sin(2 * math.pi * day),
        "square": lambda day: 20.0 if day % 1 < 0.45 else 80.0,
        "working day": lambda day: 5 + 90 * math.exp(-(((day % 1) - 0.6) ** 2) / 0.01),
        "five minutes": lambda day: 100.0 if 0.125 <= day % 1 < 0.125 + 299 / DAY else 10.0,
        "a minute": lambda day: 100.0 if 0.125 <= day % 1 < 0.125 + 59 / DAY else 10.0,
    }
    for phase in (0.0, 0.37, 0.8):
        values = [shapes[shape](phase + row * seconds / DAY) for row in range(8 * DAY // seconds)]
        assert [row for row in _begun(values, seconds) if row * seconds > 2 * DAY] == []


def test_a_noisy_daily_cycle_is_silent_after_two_days() -> None:
    """Neither is anything told of a cycle with noise, over eight days of it."""
    noise = _noise(3, 8 * 288, 0.0, 3.0)
    values = [100 + 50 * math.sin(2 * math.pi * row / 288) + noise[row] for row in range(8 * 288)]
    assert [row for row in _begun(values) if row > 2 * 288] == []


@pytest.mark.parametrize("cut", [0, 1, 2, 5, WARM_VALUES, 289, 1500, 2000, 2199])
def test_a_detector_that_was_saved_and_restored_goes_on_as_if_it_was_not(cut: int) -> None:
    """Verdicts and state after a restart are equal to the bit, wherever it was, in an incident or before it."""
    values = [*_noise(1, 2000), *(90.0 + one for one in _noise(2, 200, 0.0, 1.0))]
    straight, saved = OnlineDetector(), OnlineDetector()
    expected = [straight.observe(value, row * 300.0) for row, value in enumerate(values)]
    found = [saved.observe(value, row * 300.0) for row, value in enumerate(values[:cut])]
    saved = OnlineDetector.from_dict(json.loads(json.dumps(saved.to_dict())))
    found += [saved.observe(value, (cut + row) * 300.0) for row, value in enumerate(values[cut:])]
    assert found == expected
    assert saved.to_dict() == straight.to_dict()
    assert any(verdict.begins for verdict in expected)


def test_the_state_is_bounded() -> None:
    """A saved state is below 4 kB, and after a month of minutes no longer than after a week by more than digits."""
    one = OnlineDetector()
    sizes = []
    for row, value in enumerate(_noise(1, 30_000)):
        one.observe(value, row * 90.0)
        if row in (7000, 29_999):
            sizes.append(len(json.dumps(one.to_dict())))
    assert max(sizes) < 4000
    assert abs(sizes[1] - sizes[0]) < 200


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e201, "x", "1", b"1", None, True])
def test_what_is_no_number_is_refused_and_not_remembered(value: Any) -> None:
    """Such a value is a ValueError, and the detector is as it was."""
    one = OnlineDetector()
    for row in range(200):
        one.observe(row % 7, row * 60)
    before = one.to_dict()
    with pytest.raises(ValueError, match="finite number"):
        one.observe(value, 20_000)
    with pytest.raises(ValueError, match="time in Unix seconds"):
        one.observe(1.0, math.nan)
    with pytest.raises(ValueError, match="time in Unix seconds"):
        one.observe(1.0, "x")  # type: ignore[arg-type]  # as a caller without types may
    assert one.to_dict() == before


@pytest.mark.parametrize("values", [[1e200, -1e200], [5e-324, 0.0], [1e200, 5e-324, -1e200], [0.0]], ids=repr)
def test_extreme_numbers_give_finite_scores(values: list[float]) -> None:
    """Whatever numbers come, scores and the saved state are finite."""
    one = OnlineDetector()
    verdicts = [one.observe(values[row % len(values)], row * 3600) for row in range(500)]
    verdicts.append(one.observe(1e200))
    assert all(math.isfinite(verdict.score) and math.isfinite(verdict.expected) for verdict in verdicts)
    assert OnlineDetector.from_dict(one.to_dict()).to_dict() == one.to_dict()


def test_time_that_stands_still_or_goes_back_changes_nothing_but_the_slot() -> None:
    """A time before the last counts as the last."""
    one = OnlineDetector()
    for at in (1000.0, 900.0, 900.0, 1060.0):
        one.observe(5.0, at)
    assert (one.first, one.last, one.count) == (1000.0, 1060.0, 4)
    one.observe(5.0)
    assert one.last == 1360.0


def test_a_time_may_be_an_aware_datetime() -> None:
    """It is the same as its Unix seconds; a naive one is a ValueError."""
    one, other = OnlineDetector(), OnlineDetector()
    for minute in range(50):
        at = datetime(2026, 3, 2, tzinfo=UTC) + timedelta(minutes=minute)
        assert one.observe(minute % 5, at) == other.observe(minute % 5, at.timestamp())
    assert one.to_dict() == other.to_dict()
    with pytest.raises(ValueError, match="aware"):
        one.observe(1.0, datetime(2026, 3, 2))  # noqa: DTZ001 - what is refused


def test_an_incident_is_told_once() -> None:
    """A shift that lasts four hours is told with its first value, is open for as long, and is told once."""
    values = [*_noise(4, 1500), *_noise(5, 48, 150.0), *_noise(6, 300)]
    verdicts = _run(values)
    assert [row for row, verdict in enumerate(verdicts) if verdict.begins] == [1500]
    assert all(verdict.open for verdict in verdicts[1500:1548])
    assert not verdicts[1550 + CALM_SECONDS // 300].open


def test_a_worse_incident_soon_after_another_is_told_too() -> None:
    """After an hour of calm what is farther out than the incident before is one of its own, however soon it comes."""
    values = _noise(4, 1500)
    values[1200], values[1224] = 100.0, 200.0
    assert _begun(values) == [1200, 1224]


def test_an_incident_that_does_not_end_hides_nothing_after_half_a_day() -> None:
    """Where half out is what is usual the next incident is told nevertheless."""
    values = [10.0 + 80.0 * (row % 12 < 6) for row in range(6000)]
    values[4000], values[4000 + LONGEST_SECONDS // 60 + 2] = 200.0, 900.0
    assert _begun(values, 60) == [4000, 4000 + LONGEST_SECONDS // 60 + 2]


def test_a_fall_to_nearly_nothing_is_found_by_its_ratio() -> None:
    """What swings from 10 to 400 falls to a tenth: only its ratio is far; a series that was at 0 once has none."""
    drawn = random.Random(10)
    values = [drawn.uniform(10.0, 400.0) for _ in range(2000)]
    values[1500] = 0.1
    verdicts = _run(values)
    assert [(row, verdict.face) for row, verdict in enumerate(verdicts) if verdict.begins] == [(1500, "ratio")]
    values[200] = 0.0
    assert all(verdict.face != "ratio" for verdict in _run(values)[200:])


def test_the_second_incident_of_a_kind_is_told_too() -> None:
    """A spike is told again two days after one of the same height."""
    values = _noise(7, 2500)
    values[1500] = values[2200] = 120.0
    assert _begun(values) == [1500, 2200]


def test_a_flat_middle_of_the_day_is_found_although_no_value_is_new() -> None:
    """When the daily peak does not come, the time of day tells, without a value that was never seen before."""
    noise = _noise(8, 12 * 288, 0.0, 1.0)
    values = [20 + 60 * (0.4 < row % 288 / 288 < 0.7) + noise[row] for row in range(12 * 288)]
    flat = range(10 * 288 + 116, 10 * 288 + 200)
    for row in flat:
        values[row] = 20 + noise[row]
    (row,) = [row for row in _begun(values) if row > 2 * 288]
    assert row in flat


def test_a_verdict_explains_itself() -> None:
    """The explanation says what was expected, what came, and how unusual it is."""
    verdicts = _run([*_noise(9, 500), 120.0])
    text = verdicts[-1].explain(120.0)
    assert text.startswith("expected about ")
    assert "got 120: the step is " in text or "got 120: the value is " in text
    assert text.endswith(" times what makes an incident")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda plain: plain.pop("faces"),
        lambda plain: plain.update(version=1),
        lambda plain: plain.update(mean=math.nan),
        lambda plain: plain.update(slots=[1.0]),
        lambda plain: plain.update(faces=[[1.0] * 4]),
        lambda plain: plain.update(previous="ab"),
        lambda plain: plain.update(margin=0),
        lambda plain: plain.update(kept=0.0),
        lambda plain: plain.update(incident=[1.0]),
    ],
)
def test_a_state_that_was_not_saved_by_a_detector_is_refused(spoil: Callable[[dict[str, object]], object]) -> None:
    """Every part is checked when it is read."""
    plain = OnlineDetector().to_dict()
    spoil(plain)
    with pytest.raises(ValueError, match="saved state of a detector"):
        OnlineDetector.from_dict(plain)


def test_real_labelled_series_are_judged_better_than_by_textbook_methods() -> None:
    """On the sample the detector finds every window with at most two false alerts, and no reference does as well."""
    files = read_folder(LABELLED)
    total = sum((score(one, detector(one, OnlineDetector().margin)) for one in files), Score())
    assert total.found == total.windows == 7
    assert total.false <= 2
    references = [judged(files, *METHODS[name])[0].worth for name in METHODS if name != "online detector"]
    assert max(references) < total.worth
