"""Rules on baselines: limits that move with the time of the week, one alert an incident, and what it says."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.alerts import AlertState, Reason, State
from shared.cells import Observation, fold
from shared.errors import ConfigError
from shared.monitoring_config import AlertRule, MetricThreshold, MetricType, MonitoringConfig, Operator
from shared.moving import explanation, rule_now
from shared.notifications import Notification
from shared.series import Kind, Series
from shared.tick import TickResult, tick
from shared.timeline import minute_floor, to_us
from shared.usual import Usual, learn
from shared.usual_store import Baselines, rule_key
from tests.unit.configuration_mistakes import changed

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
LABELS = (("region", "us-central1"),)
SERIES = Series("cpu_utilization", LABELS)


def _level(at: datetime) -> float:
    return 60.0 if 9 <= at.hour < 17 else 20.0


def _usual() -> Usual:
    drawn = random.Random(1)
    times = [MONDAY + timedelta(minutes=5 * step) for step in range(7 * 288)]
    usual = learn([(minute_floor(at) + 300, _level(at) + drawn.gauss(0, 1)) for at in times])
    assert usual is not None
    return usual


USUAL = _usual()


def _config(**threshold: Any) -> MonitoringConfig:
    rules = MonitoringConfig().to_dict()["rules"]
    assert isinstance(rules, list)
    rule = {"name": "CPU", "metric_type": "cpu_utilization", "min_occurrences": 2, "threshold": threshold,
            "description": "CPU is odd."}  # fmt: skip
    return MonitoringConfig.from_dict({**MonitoringConfig().to_dict(), "rules": [rule]})


def _ticks(config: MonitoringConfig, start: datetime, values: list[float], baselines: Baselines) -> list[TickResult]:
    """One tick a minute on one value a minute."""
    minutes = {
        minute_floor(at): fold([Observation(SERIES, Kind.GAUGE, to_us(at), value)])
        for step, value in enumerate(values)
        for at in [start + timedelta(minutes=step)]
    }
    states: tuple[AlertState, ...] = ()
    results = []
    for step in range(len(values)):
        results.append(tick(config, minutes, states, start + timedelta(minutes=step), baselines=baselines))
        states = results[-1].states
    return results


def _told(results: list[TickResult]) -> list[Notification]:
    return [one for result in results for one in result.notifications]


def _known(config: MonitoringConfig) -> Baselines:
    return {rule_key(config, config.list_alert_rules()[0]): {LABELS: USUAL}}


@pytest.mark.parametrize(("hour", "fires"), [(12, False), (2, True)])
def test_a_value_violates_three_sigma_at_night_that_is_usual_at_noon(hour: int, fires: bool) -> None:
    """Sixty percent fires at two in the morning and not at noon, with a limit in numbers."""
    config = _config(baseline="3_sigma", severity="high")
    start = MONDAY + timedelta(days=1, hours=hour, minutes=30)
    told = _told(_ticks(config, start, [60.0] * 12, _known(config)))
    assert bool(told) is fires
    if fires:
        assert told[0].operator is Operator.GREATER
        assert 20 < told[0].threshold < 50
        assert told[0].description.startswith("CPU is odd. Usual at this time is about 2")
        assert "sigma above." in told[0].description


def test_nothing_violates_while_nothing_is_known() -> None:
    """Without a baseline of the group, or of the rule, whatever comes is good."""
    config = _config(baseline="3_sigma")
    start = MONDAY + timedelta(hours=2)
    other: Baselines = {rule_key(config, config.list_alert_rules()[0]): {(("region", "x"),): USUAL}}
    for baselines in ({}, other):
        assert _told(_ticks(config, start, [60.0] * 12, baselines)) == []


def test_an_alert_ends_when_nothing_is_known_any_more() -> None:
    """A firing whose baseline is gone ends at the next value, whatever that is, and who was told hears it."""
    config = _config(baseline="3_sigma")
    start = MONDAY + timedelta(days=1, hours=2, minutes=30)
    states = _ticks(config, start, [60.0] * 12, _known(config))[-1].states
    assert [one.state for one in states] == [State.FIRING]
    at = start + timedelta(minutes=12)
    minutes = {minute_floor(at): fold([Observation(SERIES, Kind.GAUGE, to_us(at), 60.0)])}
    result = tick(config, minutes, states, at, baselines={})
    assert [(one.kind.value, one.reason) for one in result.notifications] == [("resolved", "resolved")]


def test_below_and_on_both_sides() -> None:
    """The operator says on which side of what is usual a value is a violation."""
    start = MONDAY + timedelta(days=1, hours=12, minutes=30)
    for operator, value, fires in [("<", 20.0, True), ("<", 100.0, False), (">", 20.0, False), ("!=", 20.0, True)]:
        config = _config(baseline="4_sigma", operator=operator)
        told = _told(_ticks(config, start, [value] * 12, _known(config)))
        assert bool(told) is fires
        assert all(one.operator is Operator.LESS for one in told)


def test_one_incident_of_an_anomaly_is_one_alert() -> None:
    """Half an hour that goes out and in again is told once when it begins and once when it has ended."""
    config = _config(baseline="anomaly", severity="medium")
    calm, odd = [20.0] * 10, [80.0, 81.0, 80.0, 20.5, 79.0]
    values = [*calm, *odd * 6, *[20.0] * 40]
    results = _ticks(config, MONDAY + timedelta(days=1, hours=2), values, _known(config))
    told = _told(results)
    assert [one.kind.value for one in told] == ["firing", "resolved"]
    reasons = [one.reason for result in results for one in result.transitions]
    assert reasons.count(Reason.FIRED) == 1
    assert results[-1].states == () or all(one.state is State.INACTIVE for one in results[-1].states)


def test_an_anomaly_is_beyond_anything_known() -> None:
    """A value just beyond the farthest is no anomaly, one well beyond is, on either side."""
    rule = AlertRule("CPU", "", MetricType.CPU_UTILIZATION, MetricThreshold(0, Operator.NOT_EQUAL, baseline="anomaly"))
    at = MONDAY + timedelta(days=1, hours=2, minutes=30)
    below, above = USUAL.at(at).anomalous()
    for value, violates in [(above, False), (above + 1, True), (below, False), (below - 1, True), (20.0, False)]:
        assert bool(rule_now(rule, USUAL, value, at).violated_by(value)) is violates


def test_an_alert_of_an_anomaly_ends_within_three_spreads() -> None:
    """A value that is inside the anomaly's limit and beyond three spreads keeps it firing."""
    rule = AlertRule("CPU", "", MetricType.CPU_UTILIZATION, MetricThreshold(0, Operator.NOT_EQUAL, baseline="anomaly"))
    at = MONDAY + timedelta(days=1, hours=2, minutes=30)
    now = rule_now(rule, USUAL, 90.0, at)
    assert now.threshold.recovery_value == pytest.approx(USUAL.at(at).limits(3.0)[1])
    assert now.keep_firing_for == 900
    assert rule_now(replace(rule, keep_firing_for=60), USUAL, 90.0, at).keep_firing_for == 60
    assert rule_now(rule, None, 90.0, at) is rule


def test_the_explanation_says_what_was_expected_what_came_and_how_unusual() -> None:
    """One sentence with the level, its usual range, the value and the distance; without a value only what is usual."""
    expected = USUAL.at(MONDAY + timedelta(days=1, hours=12, minutes=30))
    assert explanation(expected, 20.0).startswith("Usual at this time is about ")
    assert explanation(expected, 20.0).endswith("sigma below.")
    assert "20 is" in explanation(expected, 20.0)
    assert explanation(expected, None).endswith(").")
    assert "more than 1000 sigma above" in explanation(expected, 1e9)


def test_a_rule_on_a_baseline_is_read_and_exported() -> None:
    """The threshold needs no value; exported and imported it is the same, and other configurations keep their hash."""
    config = _config(baseline="3_sigma")
    assert config.list_alert_rules()[0].threshold == MetricThreshold(0.0, baseline="3_sigma")
    assert config.list_alert_rules()[0].threshold.baseline_sigmas == 3
    assert MonitoringConfig.from_json(config.to_json()) == config
    assert _config(baseline="anomaly").list_alert_rules()[0].threshold.operator is Operator.NOT_EQUAL
    assert "baseline" not in MonitoringConfig().to_json()


@pytest.mark.parametrize(
    ("threshold", "problem"),
    [
        ({"baseline": "0_sigma"}, "expected anomaly, or 1_sigma to 20_sigma"),
        ({"baseline": "3 sigma"}, "expected anomaly, or 1_sigma to 20_sigma"),
        ({"baseline": 3}, "expected a string"),
        ({"baseline": "3_sigma", "operator": "=="}, "a baseline has one of >, <, !="),
        ({"baseline": "3_sigma", "recovery_value": 5}, "unknown key"),
        ({}, "value: missing"),
    ],
)
def test_a_baseline_that_cannot_be_is_refused(threshold: dict[str, Any], problem: str) -> None:
    """Its form, its operator and what it cannot be combined with are checked."""
    with pytest.raises(ConfigError, match=problem):
        MonitoringConfig.from_dict(changed(("rules.0.threshold", threshold)))


def test_a_baseline_has_no_levels() -> None:
    """Levels compare numbers, which a limit that moves does not have."""
    level = {"value": 5, "severity": "low"}
    with pytest.raises(ConfigError, match="moves with a baseline"):
        MonitoringConfig.from_dict(changed(("rules.0.threshold", {"baseline": "3_sigma"}), ("rules.0.levels", [level])))
