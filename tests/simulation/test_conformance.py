"""The engine against the definitions: seeded rules and series, judged by both, minute by minute.

``make soak`` tells 3,000 stories.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeAlias

import pytest

from shared import telling, tick, windows
from shared.adapters.sqlite_store import SqliteStore
from shared.alerts import AlertState, Decision, State, decide
from shared.cells import Cells
from shared.conformance import Conformance
from shared.monitoring_config import MonitoringConfig
from shared.rules import AlertRule, OnNoData, Severity
from shared.selections import Memo
from shared.timeline import MINUTE_SECONDS, from_minute
from shared.windows import Window, read_window
from tests.fakes import START, Clock
from tests.reference import Expected, judge
from tests.stories import FIRST, MINUTES, check_story, draw_rule, first_known, native, story
from tests.world import World

STORIES = range(24)
PATHS = range(2000)
Engine: TypeAlias = Callable[[AlertRule, AlertState, float | None, datetime], Decision]
"""What ``decide`` is."""
NUMBERS = (-50.0, 0.0, 1.0, 7.0, 30.0, 50.0, 75.0, 90.0, 100.0, 120.0, 500.0)


@pytest.mark.parametrize("block", range(0, len(STORIES), 8))
def test_states_are_what_the_definitions_say(block: int) -> None:
    """Of 288 rules over 120 series, every state, severity, count, value and notification is the naive reference's.

    Each block has all that can be said: firings, rises, escalations, resolutions, and alerts that data are missing.
    """
    said = sum(map(check_story, STORIES[block : block + 8]), Counter[str]())
    assert set(said) == {"firing", "raised", "escalated", "resolved", "no_data"}


@pytest.mark.parametrize("block", range(0, len(PATHS), 1000))
def test_one_alert_walks_as_the_definitions_say(block: int) -> None:
    """On 2,000 rules, values of any order and silences between them lead to the states that the definitions give."""
    reached = Counter(state for seed in PATHS[block : block + 1000] for state in _walk(seed, decide))
    assert min(reached[state] for state in State) > 1000


def _walk(seed: int, engine: Engine) -> list[State]:
    """Thirty evaluations of one alert, each of which must agree with the reference."""
    rng = random.Random(seed)
    rule = draw_rule(rng, 0)
    alert, expected = AlertState(rule.id, (), rule.severity), Expected()
    levels = [None, *rng.sample(NUMBERS, 4)]
    value, states = rng.choice(levels), []
    for number in range(30):
        value = rng.choice(levels) if rng.random() < 0.4 else value
        at = FIRST + number * rule.evaluation_frequency
        alert = engine(rule, alert, value, from_minute(at)).alert
        judge(rule, expected, at, value)
        assert (alert.state.value, alert.count) == (expected.state, expected.count), (seed, number, rule)
        assert alert.state is State.INACTIVE or alert.severity.value == expected.severity, (seed, number, rule)
        states.append(alert.state)
    return states


def _fires_early(rule: AlertRule, alert: AlertState, value: float | None, now: datetime) -> Decision:
    return decide(replace(rule, min_occurrences=max(1, rule.min_occurrences - 1)), alert, value, now)


def _keeps_longer(rule: AlertRule, alert: AlertState, value: float | None, now: datetime) -> Decision:
    return decide(replace(rule, keep_firing_for=rule.keep_firing_for and rule.keep_firing_for + 1), alert, value, now)


def _keeps_no_silence(rule: AlertRule, alert: AlertState, value: float | None, now: datetime) -> Decision:
    return decide(replace(rule, on_no_data=OnNoData.OK), alert, value, now)


def _forgets_recovery(rule: AlertRule, alert: AlertState, value: float | None, now: datetime) -> Decision:
    return decide(replace(rule, threshold=replace(rule.threshold, recovery_value=None)), alert, value, now)


def _counts_on(rule: AlertRule, alert: AlertState, value: float | None, now: datetime) -> Decision:
    decision = decide(rule, alert, value, now)
    cleared = decision.alert.state is State.INACTIVE and alert.state is State.PENDING
    return replace(decision, alert=replace(decision.alert, count=alert.count)) if cleared else decision


def _falls_again(rule: AlertRule, alert: AlertState, value: float | None, now: datetime) -> Decision:
    decision = decide(rule, alert, value, now)
    limit = None if value is None else rule.violated_by(value)
    return _with_severity(decision, limit.severity) if limit is not None and decision.alert.is_firing else decision


def _rises_at_once(rule: AlertRule, alert: AlertState, value: float | None, now: datetime) -> Decision:
    decision = decide(rule, alert, value, now)
    limit = None if value is None else rule.violated_by(value)
    rises = limit is not None and limit.severity.rank < decision.alert.severity.rank
    return _with_severity(decision, limit.severity) if limit is not None and rises else decision


def _with_severity(decision: Decision, severity: Severity) -> Decision:
    return replace(decision, alert=replace(decision.alert, severity=severity))


def _closed_window(minutes: dict[int, Cells], end: int, seconds: int, memo: Memo) -> Window:
    return read_window(minutes, end, seconds + MINUTE_SECONDS, memo)


def _early_window(minutes: dict[int, Cells], end: int, seconds: int, memo: Memo) -> Window:
    return read_window(minutes, end - MINUTE_SECONDS, seconds, memo)


@pytest.mark.parametrize(
    "mutant",
    [_fires_early, _keeps_longer, _keeps_no_silence, _forgets_recovery, _counts_on, _falls_again, _rises_at_once],
    ids=lambda one: one.__name__,
)
def test_a_broken_state_machine_is_noticed(mutant: Engine) -> None:
    """Each of seven small mistakes in the state machine leads somewhere that the definitions do not."""
    with pytest.raises(AssertionError):
        [_walk(seed, mutant) for seed in PATHS]


def _never(*_: object) -> bool:
    return False


def _own_delay(_: MonitoringConfig, rule: AlertRule) -> int:
    return rule.evaluation_delay_seconds


@pytest.mark.parametrize(
    ("owner", "name", "mutant"),
    [
        pytest.param(windows, "read_window", _closed_window, id="closed on the left"),
        pytest.param(windows, "read_window", _early_window, id="open on the right"),
        pytest.param(tick._Judging, "_present_before", lambda *_: (), id="no group is missed"),
        pytest.param(tick, "_lost_its_data", _never, id="nothing takes the place of what lost its data"),
        pytest.param(telling, "_is_inhibited", _never, id="nothing keeps another quiet"),
        pytest.param(telling, "_is_cooling", _never, id="no cooldown"),
        pytest.param(telling, "_is_worse", _never, id="no rise is told"),
        pytest.param(telling, "escalation_due", _never, id="nothing escalates"),
        pytest.param(MonitoringConfig, "delay_seconds_for", _own_delay, id="a collection's delay is forgotten"),
    ],
)
def test_a_broken_tick_is_noticed(
    owner: object, name: str, mutant: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of nine small mistakes around the state machine makes a story that the definitions do not tell."""
    monkeypatch.setattr(owner, name, mutant)
    with pytest.raises(AssertionError):
        [check_story(seed) for seed in STORIES]


@pytest.mark.parametrize("seed", [3, 7])
def test_the_entry_point_says_what_a_deployment_says(seed: int) -> None:
    """Points that are published, ingested, rolled up and judged leave the very states that the entry point reads."""
    told = story(seed)
    run = Conformance(told.config)
    clock = Clock(START - timedelta(seconds=MINUTE_SECONDS))
    world = World(SqliteStore(":memory:", now=clock), clock, seed=seed, config=run.config)
    fired = 0
    for minute in range(FIRST, FIRST + MINUTE_SECONDS * MINUTES, MINUTE_SECONDS):
        points = [native(point) for point in told.points if first_known(point) == minute]
        run.feed(*points)
        if points:
            world.publish(*points)
        assert world.next_minute() == from_minute(minute)
        (evaluation,) = run.step(from_minute(minute))
        stored = {
            (one.rule_id, one.labels): (one.state, one.count, one.since, one.pending_since, one.fired_at)
            for one in world.alerts()
            if one.state is not State.INACTIVE
        }
        read = {
            (one.rule_id, one.labels): (one.state, one.count, one.since, one.pending_since, one.fired_at)
            for one in evaluation.alerts
            if one.state is not State.INACTIVE
        }
        assert read == stored
        fired += sum(state[0] is State.FIRING for state in read.values())
    assert fired > 0
