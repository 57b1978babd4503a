"""Ticks in a row over patterns of minutes, for whoever tests what evaluations make of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from shared.alerts import AlertState
from shared.cells import Cells, Observation, fold
from shared.configuration import document
from shared.monitoring_config import MonitoringConfig
from shared.notifications import Notification
from shared.rules import Aggregation, AlertRule, MetricThreshold, MetricType, Query, Selection, Severity
from shared.series import Kind, Series
from shared.telling import Hearing
from shared.tick import TickResult, tick
from shared.timeline import US_PER_SECOND, minute_floor
from tests.fakes import START
from tests.world import labels

MINUTE = timedelta(minutes=1)
RULE = AlertRule(
    "Level",
    "The level is high.",
    MetricType.BUSINESS,
    MetricThreshold(100.0, severity=Severity.CRITICAL),
    evaluation_window=60,
    min_occurrences=1,
    cooldown_period=0,
    notification_channels=("inbox",),
    query=Query(Selection("level"), Aggregation.LAST),
)
GROUPED = Query(Selection("level"), Aggregation.LAST, group_by=("region",))
LEVELLED = replace(
    RULE,
    threshold=MetricThreshold(100.0, severity=Severity.LOW),
    levels=(MetricThreshold(400.0, severity=Severity.CRITICAL), MetricThreshold(200.0, severity=Severity.HIGH)),
)
"""Low above 100, high above 200, critical above 400."""
VALUES = {"B": 300.0, "g": 10.0, "l": 150.0, "h": 300.0, "c": 500.0}
"""Bad, good; low, high, critical."""


def config_of(*rules: AlertRule) -> MonitoringConfig:
    """The bundled configuration with other rules, and no sources."""
    return MonitoringConfig(replace(document.defaults(), rules=rules, sources=()))


def minutes_of(pattern: str | Mapping[Series, str], region: str = "") -> dict[int, Cells]:
    """The minutes of a gauge, or of several, the first ending at START: a letter of VALUES each, ``.`` for no data."""
    patterns = {level(region): pattern} if isinstance(pattern, str) else pattern
    first = minute_floor(START)
    found: dict[int, list[Observation]] = {}
    for series, letters in patterns.items():
        for number, letter in enumerate(letters):
            if letter != ".":
                end = first + 60 * number
                observation = Observation(series, Kind.GAUGE, end * US_PER_SECOND, VALUES[letter])
                found.setdefault(end, []).append(observation)
    return {end: fold(observations) for end, observations in found.items()}


def level(region: str = "", metric: str = "level") -> Series:
    """The gauge that the rules ask for, of a region."""
    return Series(metric, labels(region=region) if region else ())


def run(
    config: MonitoringConfig,
    minutes: Mapping[int, Cells],
    ticks: int,
    states: Iterable[AlertState] = (),
    hearing: Callable[[int], Hearing] = lambda _: Hearing(),
) -> list[TickResult]:
    """The ticks of some minutes in a row, the first at START; ``hearing`` is by the number of the tick."""
    results: list[TickResult] = []
    for number in range(ticks):
        results.append(tick(config, minutes, states, START + number * MINUTE, hearing(number)))
        states = results[-1].states
    return results


def play(rule: AlertRule, pattern: str, hearing: Callable[[int], Hearing] = lambda _: Hearing()) -> list[TickResult]:
    """One rule over a pattern of minutes."""
    return run(config_of(rule), minutes_of(pattern), len(pattern), (), hearing)


def notifications(results: Iterable[TickResult]) -> list[Notification]:
    """All that was told, in its order."""
    return [one for result in results for one in result.notifications]


def told(results: Iterable[TickResult]) -> list[tuple[str, int, int]]:
    """Each notification: its kind, and the minutes after START at which it was decided and its episode fired."""
    return [(one.kind.value, minutes_after(one.at), minutes_after(one.fired_at)) for one in notifications(results)]


def minutes_after(instant: datetime) -> int:
    """Whole minutes after START."""
    return int((instant - START) / MINUTE)


def reasons(results: Iterable[TickResult]) -> list[tuple[int, str]]:
    """Each transition's minute after START and reason."""
    return [(minutes_after(one.at), one.reason.value) for result in results for one in result.transitions]
