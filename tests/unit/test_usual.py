"""What is usual at a time of the week: levels, spreads, trend, words, and a clear answer to too little."""

from __future__ import annotations

import json
import math
import random
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from shared.adapters.sqlite_store import SqliteStore
from shared.monitoring_config import MonitoringConfig
from shared.store import Put
from shared.usual import HOURS_OF_WEEK, Usual, learn
from shared.usual_store import KEPT, Learned, baselines_path, key_of, put_baselines, read_baselines, rule_key
from tests.fakes import Clock

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
END = int((MONDAY + timedelta(days=28)).timestamp())


def _points(shape: Callable[[float], float], days: float, seconds: int, noise: float = 1.0) -> list[tuple[int, float]]:
    """Values over the days before ``END``, at the end of each step; ``shape`` takes days since a Monday."""
    drawn = random.Random(5)
    first = END - int(days * 86_400)
    ends = range(first + seconds, END + 1, seconds)
    return [(at, shape((at - seconds / 2 - MONDAY.timestamp()) / 86_400) + drawn.gauss(0, noise)) for at in ends]


def _office(day: float) -> float:
    """Busy from 9 to 17, half as much at weekends."""
    busy = 60.0 if 9 <= day % 1 * 24 < 17 else 10.0
    return busy * (0.5 if day % 7 >= 5 else 1.0)


def _learned(shape: Callable[[float], float], noise: float = 1.0) -> Usual:
    usual = learn(_points(shape, 3, 300, noise), _points(shape, 28, 3600, noise / 3))
    assert usual is not None
    return usual


def test_a_band_is_what_the_hours_say_of_each_instant() -> None:
    """Asked of many instants at once, a baseline gives the limits that it gives of each."""
    levels = tuple(float(hour % 24) for hour in range(HOURS_OF_WEEK))
    one = Usual(levels, tuple(0.5 + hour / 100 for hour in range(HOURS_OF_WEEK)), (1.0, 1.0), 0.0, 99)
    at = [1_760_000_000 + step * 1_234 for step in range(700)]
    each = [one.at(datetime.fromtimestamp(second, UTC)).limits(3.0) for second in at]
    assert np.array(one.band(at, 3.0)) == pytest.approx(np.array(each))
    assert one.band([], 3.0) == []


def test_the_level_is_that_of_the_hour_of_the_week() -> None:
    """In the middle of an hour it is the median of that hour in earlier weeks, and leans a little on other days."""
    usual = _learned(_office)
    monday_noon = usual.at(MONDAY + timedelta(hours=12, minutes=30))
    sunday_noon = usual.at(MONDAY + timedelta(days=6, hours=12, minutes=30))
    monday_night = usual.at(MONDAY + timedelta(hours=3, minutes=30))
    assert monday_noon.level == pytest.approx(60, abs=3)
    assert 28 < sunday_noon.level < 42
    assert monday_night.level == pytest.approx(10, abs=2)


def test_a_value_that_is_usual_at_noon_is_far_out_at_night() -> None:
    """Sixty is usual on Monday at noon and many spreads above the level of the night."""
    usual = _learned(_office)
    assert abs(usual.at(MONDAY + timedelta(hours=12, minutes=30)).sigmas(60.0)) < 3
    assert usual.at(MONDAY + timedelta(hours=3, minutes=30)).sigmas(60.0) > 10


def test_limits_are_spreads_from_the_level_and_an_anomaly_is_beyond_all_that_is_known() -> None:
    """Three sigmas on both sides; an anomaly is farther out than any value that was learned."""
    values = _points(lambda _day: 50.0, 3, 300, 2.0)
    usual = learn(values)
    assert usual is not None
    expected = usual.at(MONDAY)
    low, high = expected.limits(3.0)
    assert (low, high) == pytest.approx((44, 56), abs=1.5)
    below, above = expected.anomalous()
    assert below < min(value for _, value in values)
    assert above > max(value for _, value in values)


def test_a_trend_is_found_and_levels_are_those_of_the_end() -> None:
    """Growth of two a day over four weeks is told, and what is expected now is not what it was on average."""
    usual = _learned(lambda day: 100.0 + 2.0 * day)
    assert usual.trend_per_day == pytest.approx(2.0, abs=0.05)
    assert usual.at(datetime.fromtimestamp(END, UTC)).level == pytest.approx(156, abs=4)
    assert "+2" in usual.words("ms")
    assert _learned(lambda _day: 100.0).trend_per_day == 0


def test_words_say_when_it_is_high_and_low() -> None:
    """The office's hours are named, and that weekends are lower; a level line is said to be one."""
    words = _learned(_office).words("req/s")
    assert "highest from 09:00 to 17:00" in words
    assert "UTC" in words
    assert _learned(lambda _day: 42.0).words("%") == "about 42 % at all hours"


def test_a_constant_has_a_spread_of_half_a_percent() -> None:
    """So a rule on it does not fire on the last digit."""
    usual = learn(_points(lambda _day: 80.0, 3, 300, 0.0))
    assert usual is not None
    assert usual.at(MONDAY).spread == pytest.approx(0.4)
    zero = learn(_points(lambda _day: 0.0, 3, 300, 0.0))
    assert zero is not None
    assert zero.at(MONDAY).sigmas(1.0) == 1000.0
    assert zero.at(MONDAY).sigmas(0.0) == 0.0


def test_too_little_says_nothing() -> None:
    """Fewer than 60 values, or less than six hours of them, give no baseline."""
    assert learn([]) is None
    assert learn(_points(lambda _day: 1.0, 2, 3600)) is None
    assert learn(_points(lambda _day: 1.0, 0.2, 60)) is None


def test_what_is_no_number_is_left_out_and_extremes_stay_finite() -> None:
    """NaN, infinities and numbers beyond 1e200 change nothing; huge and tiny ones give finite limits."""
    values = _points(lambda _day: 5.0, 3, 300)
    spoilt = [*values, (END, math.nan), (END, math.inf), (END, -1e201)]
    assert learn(spoilt) == learn(values)
    huge = learn([(at, 1e200 if at % 600 else -1e200) for at, _ in values])
    assert huge is not None
    assert all(map(math.isfinite, (*huge.levels, *huge.spreads, *huge.farthest, *huge.at(MONDAY).limits(3))))


def test_an_outage_in_the_past_moves_no_level() -> None:
    """Half a day of nonsense in four weeks leaves levels where they were: they are medians."""
    clean = _points(_office, 28, 3600, 0.3)
    bad = [(at, 5000.0 if 100 < row < 112 else value) for row, (at, value) in enumerate(clean)]
    usual = learn(_points(_office, 3, 300), bad)
    assert usual is not None
    assert usual.at(MONDAY + timedelta(hours=12, minutes=30)).level == pytest.approx(60, abs=5)


def test_a_habit_of_a_half_hour_is_known_there_and_stored() -> None:
    """An hour that is far out once a week counts at its half hours; a document without habits is one with none."""
    hours = [(at, 500.0 if (at - END) % (7 * 86_400) == 0 else value) for at, value in _points(_level, 28, 3600, 0.3)]
    usual = learn(_points(_level, 3, 300)[:-1], hours)
    assert usual is not None
    assert usual.at(datetime.fromtimestamp(END, UTC)).anomalous()[1] > 500
    assert usual.at(datetime.fromtimestamp(END - 6 * 3600, UTC)).anomalous()[1] < 60
    plain = json.loads(json.dumps(usual.to_plain()))
    assert Usual.from_plain(plain).habits == tuple(
        (slot, _short(less), _short(more)) for slot, less, more in usual.habits
    )
    plain.pop("habits")
    assert Usual.from_plain(plain).habits == ()


def _level(_day: float) -> float:
    return 50.0


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def test_baselines_are_stored_and_read_back_until_they_are_old() -> None:
    """What is written is read, but after eight days, and but for what cannot be read."""
    clock = Clock(MONDAY)
    store = SqliteStore(":memory:", clock)
    usual = Usual.from_plain(_learned(_office).to_plain())
    labels = (("region", "us-central1"),)
    store.commit([put_baselines(Learned("k", MONDAY, {labels: usual}))])
    plain = {"labels": {}, **usual.to_plain()}
    spoilt = [json.dumps(one).encode() for one in ({**plain, "labels": [1]}, {**plain, "count": math.inf})]
    for key, packed in enumerate([b"nonsense", *map(zlib.compress, spoilt)]):
        fields = {"d": packed, "made_at": MONDAY, "expires_at": MONDAY + KEPT}
        store.commit([Put(baselines_path(str(key)), fields)])
    assert read_baselines(store, ["k", "0", "1", "2", "absent"], MONDAY) == {"k": {labels: usual}}
    assert read_baselines(store, ["k"], MONDAY + KEPT) == {}
    assert read_baselines(store, [], MONDAY) == {}
    assert len(usual.levels) == HOURS_OF_WEEK
    assert Usual.from_plain(json.loads(json.dumps(usual.to_plain()))) == usual


def test_a_key_names_the_query_and_the_window() -> None:
    """Two queries or windows differ in it, and rules that ask the same share it."""
    config = MonitoringConfig()
    critical, warning = (config.get_rule(f"high-response-time-{one}") for one in ("critical", "warning"))
    assert rule_key(config, critical) == rule_key(config, warning)
    query = config.query_for(critical)
    keys = {key_of(query, 300), key_of(query, 60), *(key_of(one.query, 300) for one in config.list_collections())}
    assert len(keys) >= len({one.query for one in config.list_collections()})
