"""Alerts as they were at a past instant, against the alerts that were stored then."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from shared.alerts import AlertState, State
from shared.monitoring_config import MonitoringConfig
from shared.past_alerts import alerts_at
from shared.reader import Reader
from shared.sources import read_sources
from shared.timeline import from_minute
from tests.fakes import START
from tests.pages import newest_minute, run, world
from tests.world import World

Remembered = set[tuple[str, State, datetime | None, int, float | None]]


def remembered(alerts: list[AlertState] | tuple[AlertState, ...]) -> Remembered:
    """What a page shows of some alerts."""
    return {
        (alert.fingerprint, alert.state, alert.since, alert.count, alert.value)
        for alert in alerts
        if alert.state is not State.INACTIVE
    }


@pytest.fixture(scope="module")
def story() -> tuple[World, dict[datetime, Remembered]]:
    """Two episodes in two regions, the second still firing, and what was stored after each evaluation."""
    running = world()
    then: dict[datetime, Remembered] = {}
    for slow, minutes in (("", 6), ("europe-west1", 5), ("", 7), ("us-central1", 2), ("", 6), ("europe-west1", 6)):
        for _ in range(minutes):
            run(running, 1, slow=slow)
            then[from_minute(newest_minute(running))] = remembered(running.alerts())
    return running, then


def test_every_minute_of_the_past_is_told_as_it_was(story: tuple[World, dict[datetime, Remembered]]) -> None:
    """State, since when, count and value of every alert at every evaluation are those that were stored then."""
    running, then = story
    reader = Reader(running.store)
    for at, stored in then.items():
        sources, _ = read_sources(MonitoringConfig(), reader, at - timedelta(hours=1), at, running.clock())
        assert remembered(sources.alerts) == stored, at
    assert any(state is State.PENDING for stored in then.values() for _, state, *_ in stored)


def test_what_fired_for_longer_than_the_range_is_known(story: tuple[World, dict[datetime, Remembered]]) -> None:
    """A range of two minutes within an episode has its alert, with the time at which it fired."""
    running, then = story
    at = START + timedelta(minutes=11)
    sources, _ = read_sources(MonitoringConfig(), Reader(running.store), at - timedelta(minutes=2), at, running.clock())
    assert remembered(sources.alerts) == then[at]
    assert {alert.state for alert in sources.alerts} == {State.FIRING}


def test_an_alert_that_began_later_was_not_there(story: tuple[World, dict[datetime, Remembered]]) -> None:
    """An alert known now whose first transition was committed after history was read is no alert of the past."""
    running, _ = story
    assert alerts_at(START, running.alerts(), [], []) == []


def test_before_everything_nothing_fired(story: tuple[World, dict[datetime, Remembered]]) -> None:
    """At an instant before the first episode there is no alert, whatever fires now."""
    running, _ = story
    at = START + timedelta(minutes=3)
    sources, _ = read_sources(MonitoringConfig(), Reader(running.store), at - timedelta(hours=1), at, running.clock())
    assert sources.alerts == ()
