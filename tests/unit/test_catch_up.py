"""Catch-up: what fired and ended while nobody could be told is in one summary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.adapters.sqlite_store import SqliteStore
from shared.adapters.strict_store import StrictStore
from shared.alerts import Reason, State
from shared.catch_up import (
    MAX_EPISODES,
    MAX_LINE_CHARACTERS,
    Missed,
    after_tick,
    missed_from_fields,
    missed_to_fields,
)
from shared.evaluator import STATE_PATH
from shared.notifications import Notification, NotificationKind, notification_from_json
from shared.rules import Severity
from shared.series import Labels
from shared.store import Put
from shared.telling import Hearing
from shared.tick import TickResult, Transition
from shared.timeline import minute_floor
from tests.fakes import START, Clock, Countdown, Crash, Hook
from tests.ticks import LEVELLED, MINUTE, RULE, config_of, minutes_of, run
from tests.world import World, evaluator_of, labels, point

LATE, NOW = Hearing(catching_up=True), Hearing()
CONFIG = config_of(RULE)


def transition(number: int, where: Labels = (), severity: str = "high", rule_id: str = "level") -> Transition:
    """An episode that fired at a minute after START and ended a minute later."""
    at = START + number * MINUTE
    return Transition(
        f"{number:016}", rule_id, where, severity, at + MINUTE, State.FIRING, State.INACTIVE, Reason.RESOLVED, 1.0, 0,
        at, "hash",
    )  # fmt: skip


def result(*unseen: Transition, at: int = 0) -> TickResult:
    """What a tick leaves that nobody heard of."""
    return TickResult(START + at * MINUTE, (), (), (), (), unseen)


def summary_of(*unseen: Transition) -> Notification:
    """The one summary of some episodes that were missed, each at a tick of its own."""
    missed = Missed()
    for one in unseen:
        missed, said = after_tick(CONFIG, missed, result(one), LATE)
        assert said == ()
    left, (summary,) = after_tick(CONFIG, missed, result(at=99), NOW)
    assert left == Missed()
    return summary


def test_a_summary_says_what_was_missed() -> None:
    """It counts the episodes and names each: severity, times, rule and labels, in the order in which they ended."""
    summary = summary_of(transition(1, labels(region="eu")), transition(3, severity="low", rule_id="gone"))
    assert summary.description.splitlines() == [
        "2 alerts fired and ended before anybody could be told:",
        "high: 2025-10-18T12:01:00Z to 2025-10-18T12:02:00Z: Level (region=eu)",
        "low: 2025-10-18T12:03:00Z to 2025-10-18T12:04:00Z: gone",
    ]
    assert summary_of(transition(1)).description.startswith("1 alert fired and ended")
    assert (summary.kind, summary.value, summary.unit) == (NotificationKind.SUMMARY, 2.0, "alerts")
    assert summary.id == f"20251018T1339-{summary.fingerprint}-summary"
    assert notification_from_json(summary.to_json()) == summary


@pytest.mark.parametrize(
    ("severities", "worst"),
    [(["low", "high", "medium"], "high"), (["low"], "low"), (["high", "critical", "low"], "critical")],
    ids=["high", "low", "critical"],
)
def test_a_summary_goes_where_the_worst_of_it_would_have(severities: list[str], worst: str) -> None:
    """It has the severity of the worst episode and its channels."""
    summary = summary_of(*(transition(number, severity=one) for number, one in enumerate(severities)))
    assert summary.severity is Severity(worst)
    assert ("pagerduty" in summary.channels) is (worst == "critical")


def test_at_most_fifty_are_named() -> None:
    """Of 60 episodes the first fifty are named and the others counted, and the worst counts wherever it stands."""
    episodes = [transition(number, severity="low") for number in range(MAX_EPISODES + 9)]
    summary = summary_of(*episodes, transition(70, severity="critical"))
    lines = summary.description.splitlines()
    assert (len(lines), lines[0], lines[-1]) == (
        52, "60 alerts fired and ended before anybody could be told:", "and 10 more"
    )  # fmt: skip
    assert (summary.value, summary.severity) == (60.0, Severity.CRITICAL)


def test_a_line_is_bounded() -> None:
    """Labels of any length leave room for the others."""
    summary = summary_of(transition(1, tuple((f"l{number:02}", "x" * 500) for number in range(16))))
    assert len(summary.description.splitlines()[1]) == MAX_LINE_CHARACTERS


def test_nothing_missed_nothing_said() -> None:
    """A catch-up in which nothing fired and ended is over without a word."""
    assert after_tick(CONFIG, Missed(), result(), LATE) == (Missed(), ())
    assert after_tick(CONFIG, Missed(), result(), NOW) == (Missed(), ())


def test_what_ends_unheard_after_the_catch_up_is_said_at_once() -> None:
    """What is evaluated rarely may end right after: a summary of that evaluation says so, under its own id."""
    first = summary_of(transition(1))
    _, (second,) = after_tick(CONFIG, Missed(), result(transition(1), at=100), NOW)
    assert second.id != first.id


@pytest.mark.parametrize(
    "missed",
    [Missed(), Missed(("a", "b"), 7, Severity.HIGH), Missed(("ü\n" * 50,) * MAX_EPISODES, 10**6, Severity.CRITICAL)],
    ids=["nothing", "some", "all"],
)
def test_there_and_back(missed: Missed) -> None:
    """What is stored with the cursor is what is read, and fits it."""
    fields = missed_to_fields(missed)
    assert missed_from_fields(fields) == missed
    store = StrictStore(SqliteStore(":memory:", Clock()), Clock())
    store.commit([Put(STATE_PATH, {"missed": fields})])


@pytest.mark.parametrize(
    ("pattern", "until", "unseen"),
    [
        pytest.param("gBBg", 9, 1, id="fired and ended"),
        pytest.param("gBBg", 2, 0, id="told when it was over, then resolved"),
        pytest.param("gBBg", 3, 1, id="ended at the first evaluation after it"),
        pytest.param("BBBg", 0, 0, id="no catch-up"),
        pytest.param("gBgBgBg", 9, 3, id="three times"),
        pytest.param("gBBBB", 9, 0, id="still firing"),
    ],
)
def test_only_what_nobody_heard_of_is_missed(pattern: str, until: int, unseen: int) -> None:
    """An episode is missed when it ended, was not told, and the catch-up was why."""
    results = run(CONFIG, minutes_of(pattern), len(pattern), (), lambda number: Hearing(catching_up=number < until))
    assert sum(len(one.unseen) for one in results) == unseen


def test_a_rise_and_an_end_in_a_catch_up() -> None:
    """Of what was told before, a rise that passes is not told, its end is, and it is not missed."""
    results = run(
        config_of(LEVELLED), minutes_of("lclg"), 4, (), lambda number: Hearing(catching_up=number in (1, 2, 3))
    )
    assert [one.kind.value for found in results for one in found.notifications] == ["firing", "resolved"]
    assert sum(len(one.unseen) for one in results) == 0


def behind(evaluate: Callable[[World], object]) -> tuple[list[str], list[str]]:
    """What is told by an evaluator that was away for 41 minutes while an alert fired every third: ids, summaries."""
    clock = Clock(START)
    world = World(StrictStore(SqliteStore(":memory:", clock), clock), clock, config=CONFIG)
    world.store.commit([Put(STATE_PATH, {"minute": minute_floor(START)})])
    for number in range(1, 42):
        clock.time = START + number * MINUTE
        world.publish(point("level", clock(), 300.0 if number % 3 == 0 else 10.0))
        world.deliver()
    evaluate(world)
    world.evaluate()
    world.settle_deliveries()
    summaries = [one.description for one in world.inbox() if one.kind is NotificationKind.SUMMARY]
    return [one.id for one in world.inbox() if one.kind is not NotificationKind.SUMMARY], summaries


def test_a_summary_survives_calls_and_crashes() -> None:
    """What was missed is told once, whole, when each call judges a few T, and when any call crashes anywhere."""
    counted = Countdown()
    ids, summaries = behind(lambda world: world.crashing(counted).evaluate()())
    assert (len(ids), len(summaries)) == (6, 1)
    assert summaries[0].startswith("10 alerts fired")

    def in_small_calls(world: World) -> None:
        slow = world.crashing(Hook(None, lambda: world.clock.sleep(0.2)))
        for _ in range(8):
            assert len(replace(evaluator_of(slow), budget=timedelta(seconds=3))().evaluated) < 10

    assert behind(in_small_calls) == (ids, summaries)
    for call in range(counted.calls // 2, counted.calls, 9):

        def crashes(world: World, call: int = call) -> None:
            with pytest.raises(Crash):
                world.crashing(Countdown(call, after=call % 2 == 0)).evaluate()()

        assert behind(crashes) == (ids, summaries), call
