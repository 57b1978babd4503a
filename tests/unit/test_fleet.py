"""The simulated fleet: the same for the same seed, complete, at its usual levels, and through its incident in time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from shared.alerts import AlertState, Reason
from shared.cells import Cells, Observation, fold, merge_writers
from shared.local.fleet import ENDPOINTS, REGIONS, SLICE_SECONDS, Fleet, load
from shared.local.incident import EVERY_SECONDS, NONE, REGION, SLOW_SECONDS, Incident, incident_at_start
from shared.monitoring_config import MonitoringConfig
from shared.notifications import NotificationKind
from shared.tick import TickResult, tick
from shared.timeline import MINUTE_SECONDS, from_minute, minute_floor

NOON = datetime(2025, 10, 18, 12, 0, tzinfo=UTC)
NOON_SECONDS = int(NOON.timestamp())
CONFIG = MonitoringConfig()


def minute_cells(fleet: Fleet, minute: int) -> Cells:
    """A minute as it is rolled up: every region is one writer."""
    ends = range(minute - MINUTE_SECONDS + SLICE_SECONDS, minute + SLICE_SECONDS, SLICE_SECONDS)
    parts = [
        fold([one for end in ends for one in fleet.observations(region, end)], writer)
        for writer, region in enumerate(REGIONS, start=1)
    ]
    return merge_writers(parts)


def evaluations(fleet: Fleet, first: int, last: int, history_minutes: int = 10) -> Iterable[TickResult]:
    """The ticks of first..last (Unix seconds), with minutes before the first to look back to."""
    minutes: dict[int, Cells] = {}
    states: tuple[AlertState, ...] = ()
    for minute in range(first - history_minutes * MINUTE_SECONDS, last + MINUTE_SECONDS, MINUTE_SECONDS):
        minutes[minute] = minute_cells(fleet, minute)
        minutes.pop(minute - 11 * MINUTE_SECONDS, None)
        if minute >= first:
            result = tick(CONFIG, minutes, states, from_minute(minute))
            states = result.states
            yield result


def of_slice(fleet: Fleet, end: int = NOON_SECONDS) -> list[Observation]:
    """What all regions measured in one slice."""
    return [one for region in REGIONS for one in fleet.observations(region, end)]


def test_a_slice_depends_on_seed_region_and_time_alone() -> None:
    """The same slice is the same whenever it is asked for, and another seed or slice is another one."""
    first, again = Fleet(1), Fleet(1)
    later = of_slice(again, NOON_SECONDS + SLICE_SECONDS)
    assert of_slice(first) == of_slice(again)
    assert [one.value for one in later] != [one.value for one in of_slice(first)]
    assert [one.value for one in of_slice(Fleet(2))] != [one.value for one in of_slice(first)]


def test_every_metric_of_the_catalogue_is_published_as_it_is_configured() -> None:
    """A slice holds each configured metric but errors, which are rare, with its kind, labels and allowed values."""
    troubled = Fleet(1, Incident(NOON_SECONDS - SLICE_SECONDS, 60))
    seen = of_slice(troubled)
    assert {one.series.metric for one in seen} == {metric.name for metric in CONFIG.metrics}
    for one in seen:
        metric = CONFIG.metric(one.series.metric)
        assert metric is not None
        assert metric.kind is one.kind
        assert {name for name, _ in one.series.labels} == set(metric.labels)
        assert all(not metric.labels[name] or value in metric.labels[name] for name, value in one.series.labels)


def test_the_regions_and_endpoints_are_the_configured_ones() -> None:
    """Each configured region has one writer, and each of six endpoints is requested everywhere."""
    assert [region.name for region in REGIONS] == [region.name for region in CONFIG.settings.regions]
    assert len({region.writer for region in REGIONS}) == 3
    requested = {one.series.labels for one in of_slice(Fleet(1)) if one.series.metric == "requests"}
    assert len(requested) == len(REGIONS) * len(ENDPOINTS) == 18


@pytest.mark.parametrize(
    ("region", "p95_ms"), [(REGIONS[0], 24), (REGIONS[1], 40), (REGIONS[2], 59)], ids=lambda one: str(one)[:30]
)
def test_response_times_are_at_their_usual_level(region: object, p95_ms: float) -> None:
    """Over a day the P95 of each region is within a tenth of the level it is meant to have."""
    fleet = Fleet(1)
    hours = range(NOON_SECONDS, NOON_SECONDS + 86_400, 1800)
    model = next(one for one in REGIONS if one is region)
    values = [
        one.value for end in hours for one in fleet.observations(model, end) if one.series.metric == "response_time"
    ]
    assert np.percentile(values, 95) == pytest.approx(p95_ms, rel=0.1)


def test_traffic_follows_the_sun() -> None:
    """Each region is quietest at 04:00 and busiest at 16:00 local time; together they do 9,300 requests a second."""
    for region in REGIONS:
        by_hour = {hour: load(region, NOON_SECONDS - 43_200 + hour * 3600) for hour in range(24)}
        assert (min(by_hour, key=lambda hour: by_hour[hour]) + region.utc_offset_hours) % 24 == 4
        assert (max(by_hour, key=lambda hour: by_hour[hour]) + region.utc_offset_hours) % 24 == 16
    mean = sum(region.peak_rate * load(region, hour * 3600) for region in REGIONS for hour in range(24)) / 24
    assert mean == pytest.approx(9_315, rel=0.01)


def test_nothing_is_wrong_before_the_incident_and_it_comes_again() -> None:
    """Trouble begins after its start, in one region, ends with its minutes, and is back half an hour later."""
    incident = Incident(NOON_SECONDS, 120)
    assert incident.trouble(REGION, NOON_SECONDS) == NONE
    assert incident.trouble("us-central1", NOON_SECONDS + 10) == NONE
    assert incident.trouble(REGION, NOON_SECONDS + 120).errors > 0
    assert incident.trouble(REGION, NOON_SECONDS + 130).errors == 0
    assert incident.trouble(REGION, NOON_SECONDS + SLOW_SECONDS).slow > 0
    assert incident.trouble(REGION, NOON_SECONDS + SLOW_SECONDS + 10) == NONE
    assert incident.trouble(REGION, NOON_SECONDS + EVERY_SECONDS) == NONE
    assert incident.trouble(REGION, NOON_SECONDS + EVERY_SECONDS + 10).errors > 0


@pytest.mark.parametrize("hour", [3, 15])
@pytest.mark.parametrize("second", [0, 29, 30, 59])
def test_the_error_rule_is_through_within_three_minutes_of_a_start(hour: int, second: int) -> None:
    """Started at any second of a minute, at any hour: pending at once, firing a minute later, resolved by 155 s."""
    started = NOON.replace(hour=hour) + timedelta(seconds=second)
    first = minute_floor(started)
    fleet = Fleet(1, incident_at_start(started))
    told: dict[NotificationKind, datetime] = {}
    changes: list[tuple[Reason, datetime]] = []
    for result in evaluations(fleet, first, first + 180, history_minutes=1):
        changes += [(c.reason, c.at) for c in result.transitions if c.rule_id == "high-error-rate-critical"]
        told |= {n.kind: n.at for n in result.notifications if n.rule_id == "high-error-rate-critical"}
    reasons = [reason for reason, _ in changes]
    assert reasons == [Reason.STARTED, Reason.FIRED, Reason.RESOLVED]
    assert [at for _, at in changes][:2] == [from_minute(first), from_minute(first + 60)]
    assert told[NotificationKind.FIRING] == from_minute(first + 60)
    assert told[NotificationKind.RESOLVED] - started <= timedelta(seconds=150)


def test_the_slow_region_alone_fires_and_everything_ends_before_the_next_incident() -> None:
    """Both response-time rules fire for europe-west1 only, and no alert is left half an hour later."""
    fleet = Fleet(1, incident_at_start(NOON))
    results = list(evaluations(fleet, NOON_SECONDS, NOON_SECONDS + EVERY_SECONDS - 180))
    fired = {(c.rule_id, c.labels) for result in results for c in result.transitions if c.reason is Reason.FIRED}
    slow = (("region", REGION),)
    assert {("high-response-time-critical", slow), ("high-response-time-warning", slow)} <= fired
    assert {labels for _, labels in fired} == {slow, ()}
    assert not [state for state in results[-1].states if state.is_firing or state.count]
