"""What a habit is: a short job every night, learned every morning, judged every minute by a rule on what is usual."""

from __future__ import annotations

import random
from collections.abc import Callable

from shared.alerts import AlertState
from shared.cells import Observation, fold
from shared.monitoring_config import MonitoringConfig
from shared.rules import Aggregation, AlertRule, MetricThreshold, MetricType, Operator, Query, Selection
from shared.series import Kind
from shared.tick import tick
from shared.timeline import HOUR_SECONDS, MINUTE_SECONDS, US_PER_SECOND, from_minute, minute_floor
from shared.tune import STEP_SECONDS
from shared.usual import Usual, learn
from shared.usual_store import Baselines, rule_key
from tests.fakes import START
from tests.ticks import config_of, level

DAY_SECONDS = 86_400
WINDOW_SECONDS = 300
MIDNIGHT = minute_floor(START) // DAY_SECONDS * DAY_SECONDS
KNOWN_DAYS = 3
"""Of minutes, as the function ``tune`` reads them; and of calm before the first job."""
RULE = AlertRule(
    "Odd",
    "The level is odd.",
    MetricType.BUSINESS,
    MetricThreshold(0.0, Operator.NOT_EQUAL, baseline="anomaly"),
    evaluation_window=WINDOW_SECONDS,
    min_occurrences=1,
    cooldown_period=0,
    notification_channels=("inbox",),
    query=Query(Selection("level"), Aggregation.AVG),
)
Job = Callable[[int], range]
"""The minutes of a day in which the job runs, by the number of the day."""


class Days:
    """A level about 30, and about 80 while the job runs; the rule judges it by what each morning learned."""

    def __init__(self, seed: int, job: Job) -> None:
        drawn = random.Random(seed)
        self._value: dict[int, float] = {}
        for day in range(14):
            runs = job(day)
            for minute in range(1440):
                end = MIDNIGHT + day * DAY_SECONDS + (minute + 1) * MINUTE_SECONDS
                self._value[end] = (80.0 if minute in runs else 30.0) + drawn.gauss(0, 2)
        self.config: MonitoringConfig = config_of(RULE)

    def change(self, day: int, minutes: range, value: float) -> None:
        """What happens besides."""
        for minute in minutes:
            self._value[MIDNIGHT + day * DAY_SECONDS + (minute + 1) * MINUTE_SECONDS] = value

    def fires(self, day: int, first_hour: int, last_hour: int) -> bool:
        """Whether the rule tells of anything in these hours of the day."""
        usual = self._learned(MIDNIGHT + (day - 1) * DAY_SECONDS + 5 * HOUR_SECONDS)
        baselines: Baselines = {rule_key(self.config, RULE): {(): usual}} if usual else {}
        start = MIDNIGHT + day * DAY_SECONDS
        first, last = start + first_hour * HOUR_SECONDS, start + last_hour * HOUR_SECONDS
        ends = range(first - WINDOW_SECONDS, last + 1, MINUTE_SECONDS)
        cells = {end: fold([Observation(level(), Kind.GAUGE, end * US_PER_SECOND, self._value[end])]) for end in ends}
        states: tuple[AlertState, ...] = ()
        told = 0
        for end in range(first, last + 1, MINUTE_SECONDS):
            result = tick(self.config, cells, states, from_minute(end), baselines=baselines)
            states, told = result.states, told + len(result.notifications)
        return bool(told)

    def _learned(self, now: int) -> Usual | None:
        first = max(now - KNOWN_DAYS * DAY_SECONDS, MIDNIGHT + WINDOW_SECONDS)
        values = [(at, self._mean(at, WINDOW_SECONDS)) for at in range(first, now + 1, STEP_SECONDS)]
        hours = [(at, self._mean(at, HOUR_SECONDS)) for at in range(MIDNIGHT + HOUR_SECONDS, now + 1, HOUR_SECONDS)]
        return learn(values, hours)

    def _mean(self, at: int, seconds: int) -> float:
        values = [self._value[end] for end in range(at - seconds + MINUTE_SECONDS, at + 1, MINUTE_SECONDS)]
        return sum(values) / len(values)


def _nightly(seed: int) -> Job:
    """From about three o'clock for five to ten minutes, from the fourth night on."""
    drawn = random.Random(seed)
    times = {day: drawn.randrange(175, 188) for day in range(14)}
    return lambda day: range(times[day], times[day] + 5 + times[day] % 6) if day >= KNOWN_DAYS else range(0)


def test_a_short_job_every_night_is_told_at_first_and_is_usual_after_two_nights() -> None:
    """A job of five to ten minutes fires on its first night; from its third on it never does, whatever its minute."""
    for seed in range(3):
        days = Days(seed, _nightly(seed))
        assert days.fires(KNOWN_DAYS, 2, 4)
        assert [day for day in range(KNOWN_DAYS + 2, 14) if days.fires(day, 2, 4)] == []


def test_a_habit_of_the_night_is_none_of_the_day() -> None:
    """What is usual at three in the night fires in the afternoon, and at night what is three times as much does."""
    days = Days(1, _nightly(1))
    days.change(10, range(15 * 60, 15 * 60 + 8), 80.0)
    days.change(11, range(180, 190), 210.0)
    assert days.fires(10, 14, 16)
    assert days.fires(11, 2, 4)


def test_an_incident_of_one_day_is_no_habit() -> None:
    """The same again on the day after the next is told again."""
    days = Days(2, lambda _day: range(0))
    for day in (5, 9):
        days.change(day, range(900, 910), 80.0)
        assert days.fires(day, 14, 16)
