"""The nine rules fire and resolve at the very minute that the definitions say.

Each rule is driven through the whole deployment (publish, ingest, rollup, tick, notify) by a series that is good,
then bad for some minutes, then good. What must happen is computed here by the definitions alone, from the values of
the rule's window at every T: pending while fewer than ``min_occurrences`` consecutive evaluations violate, firing
from that many on, resolved at the first that does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.adapters.sqlite_store import SqliteStore
from shared.alerts import State
from shared.monitoring_config import AlertRule, MonitoringConfig
from shared.notifications import NotificationKind
from tests.fakes import START, Clock
from tests.world import World, point

REGION = "europe-west1"
BAD_FROM, BAD_MINUTES, LENGTH = 3, 8, 34


@dataclass(frozen=True)
class Case:
    """A rule, the points of one minute when all is well or not, and the value of a window of minutes (oldest first)."""

    rule_id: str
    points: Callable[[datetime, bool], list[dict[str, Any]]]
    value: Callable[[list[bool]], float]


def _gauge(metric: str, good: float, bad: float) -> Callable[[datetime, bool], list[dict[str, Any]]]:
    return lambda at, is_bad: [point(metric, at, bad if is_bad else good, region=REGION)]


def _mean(good: float, bad: float) -> Callable[[list[bool]], float]:
    return lambda minutes: sum(bad if is_bad else good for is_bad in minutes) / len(minutes)


def _latency(at: datetime, is_bad: bool) -> list[dict[str, Any]]:
    """A hundred requests a minute; when it is bad, thirty of them take 450 ms."""
    slow = 30 if is_bad else 0
    values = [450.0] * slow + [20.0] * (100 - slow)
    return [{**point("response_time", at, 0.0, region=REGION), "value": None, "values": values}]


def _p95(minutes: list[bool]) -> float:
    """Nearest rank over the pooled observations."""
    pooled = sorted(value for is_bad in minutes for value in [450.0] * (30 * is_bad) + [20.0] * (100 - 30 * is_bad))
    return pooled[-(-95 * len(pooled) // 100) - 1]


def _ratio(part: str, whole: str, of: int, good: int, bad: int, **labels: str) -> Callable[..., list[dict[str, Any]]]:
    def points(at: datetime, is_bad: bool) -> list[dict[str, Any]]:
        number = float(bad if is_bad else good)
        if part == whole:
            hits = point(part, at, number, level="l1", result="hit", region=REGION)
            return [hits, point(part, at, of - number, level="l1", result="miss", region=REGION)]
        return [point(part, at, number, **labels), point(whole, at, float(of), **labels)]

    return points


CASES = [
    Case("high-response-time-critical", _latency, _p95),
    Case("high-error-rate-critical", _ratio("errors", "requests", 1000, 0, 30), _mean(0.0, 3.0)),
    Case("availability-sla-breach", _ratio("errors", "requests", 10_000, 0, 10), _mean(100.0, 99.9)),
    Case("high-response-time-warning", _latency, _p95),
    Case("high-error-rate-warning", _ratio("errors", "requests", 1000, 0, 30), _mean(0.0, 3.0)),
    Case("high-database-replication-lag", _gauge("database_lag", 120.0, 900.0), _mean(120.0, 900.0)),
    Case("low-cache-hit-rate", _ratio("cache_requests", "cache_requests", 1000, 850, 400), _mean(85.0, 40.0)),
    Case("high-cpu-utilization", _gauge("cpu_utilization", 50.0, 97.0), _mean(50.0, 97.0)),
    Case("high-memory-utilization", _gauge("memory_utilization", 50.0, 97.0), _mean(50.0, 97.0)),
]


def expected_states(rule: AlertRule, case: Case, bad: list[bool]) -> list[State]:
    """The state after the evaluation of each minute, by the definitions."""
    states: list[State] = []
    violations = 0
    width = rule.evaluation_window // 60
    for index in range(len(bad)):
        value = case.value(bad[max(0, index + 1 - width) : index + 1])
        violations = violations + 1 if rule.threshold.violated_by(value) else 0
        firing = violations >= rule.min_occurrences
        states.append(State.FIRING if firing else State.PENDING if violations else State.INACTIVE)
    return states


def run(case: Case, seconds_into_minute: int) -> tuple[World, list[State]]:
    """Drive a deployment through the case; the state of the rule's alert after each minute."""
    clock = Clock()
    world = World(SqliteStore(":memory:", clock), clock, seed=7, duplicate=0.3)
    seen: list[State] = []
    for minute in range(LENGTH):
        is_bad = BAD_FROM <= minute < BAD_FROM + BAD_MINUTES
        at = START + timedelta(minutes=minute, seconds=seconds_into_minute)
        for one in case.points(at, is_bad):
            world.publish({key: value for key, value in one.items() if value is not None})
        world.next_minute()
        mine = [alert.state for alert in world.alerts() if alert.rule_id == case.rule_id]
        seen.append(mine[0] if mine else State.INACTIVE)
    return world, seen


@pytest.mark.parametrize("seconds_into_minute", [30, 60], ids=["inside the minute", "exactly on the minute"])
@pytest.mark.parametrize("case", CASES, ids=[case.rule_id for case in CASES])
def test_rule_by_the_minute(case: Case, seconds_into_minute: int) -> None:
    """The rule is inactive, pending, firing and resolved at exactly the minutes that the definitions give."""
    rule = MonitoringConfig().get_rule(case.rule_id)
    bad = [BAD_FROM <= minute < BAD_FROM + BAD_MINUTES for minute in range(LENGTH)]
    world, seen = run(case, seconds_into_minute)
    wanted = expected_states(rule, case, bad)
    assert seen == wanted
    assert set(wanted) == {State.INACTIVE, State.PENDING, State.FIRING}, "the case must show all three states"
    told = [(one.kind, one.at) for one in world.inbox() if one.rule_id == case.rule_id]
    fired = START + timedelta(minutes=wanted.index(State.FIRING) + 1)
    last = START + timedelta(minutes=len(wanted) - wanted[::-1].index(State.FIRING) + 1)
    assert told == [(NotificationKind.FIRING, fired), (NotificationKind.RESOLVED, last)]


def test_every_rule_has_a_case() -> None:
    """The cases cover the configuration's nine rules."""
    assert [case.rule_id for case in CASES] == [rule.id for rule in MonitoringConfig().list_alert_rules()]
