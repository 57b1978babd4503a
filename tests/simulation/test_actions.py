"""People beside the evaluator: somebody acknowledges or silences inside any single call that an evaluation makes.

Nothing that either of them wrote is lost, neither ever fails by the other, and at the next evaluation it holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from shared.acks import ack_path
from shared.actions import acknowledge, end_silence, silence
from shared.adapters.sqlite_store import SqliteStore
from shared.alerts import AlertState
from shared.audit import read_entries
from shared.configuration import document
from shared.configuration.models import PagerDuty
from shared.errors import PermanentError
from shared.monitoring_config import MonitoringConfig
from shared.rules import Aggregation, AlertRule, MetricThreshold, MetricType, Query, Selection, Severity
from shared.silences import Matcher
from shared.store import Put
from shared.timeline import from_minute, minute_floor
from tests.fakes import START, Clock, Hook
from tests.ticks import minutes_after
from tests.world import World, point

MINUTE = timedelta(minutes=1)
MOST_CALLS = 40
RULE = AlertRule(
    "Users",
    "Too many users.",
    MetricType.BUSINESS,
    MetricThreshold(100.0, severity=Severity.CRITICAL),
    evaluation_window=60,
    min_occurrences=1,
    cooldown_period=0,
    notification_channels=("inbox",),
    query=Query(Selection("users_active"), Aggregation.LAST, group_by=("region",)),
)


def config(escalation_minutes: int = 3) -> MonitoringConfig:
    """One rule, whose alerts escalate soon."""
    bundled = document.defaults()
    pager = PagerDuty("service", escalation_minutes=escalation_minutes)
    return MonitoringConfig(replace(bundled, rules=(RULE,), channels={**bundled.channels, "pagerduty": pager}))


def new_world(escalation_minutes: int = 3) -> World:
    """A deployment that has been evaluated up to START."""
    clock = Clock(START)
    world = World(SqliteStore(":memory:", clock), clock, config=config(escalation_minutes))
    world.store.commit([Put("evaluator/state", {"minute": minute_floor(START)})])
    return world


def step(world: World, value: float, hook: Hook | None = None) -> None:
    """The next minute, with a value; evaluated on ports that a hook watches."""
    world.clock.time = from_minute(minute_floor(world.clock()) + 60)
    world.publish(point("users_active", world.clock() - timedelta(seconds=30), value, region="eu"))
    world.deliver()
    assert world.evaluate(world.crashing(hook) if hook else None).ended == "caught_up"
    world.settle_deliveries()


def said(world: World) -> list[tuple[str, int]]:
    """What was told, and how many minutes after START it was decided."""
    return sorted(((one.kind.value, minutes_after(one.at)) for one in world.inbox()), key=lambda one: one[1])


def alert(world: World) -> AlertState:
    """The one alert."""
    (found,) = world.alerts()
    return found


def take(world: World, fired_at: datetime = START + MINUTE) -> Callable[[], object]:
    """Somebody takes the episode that fired then."""
    fingerprint = alert(world).fingerprint
    return lambda: acknowledge(world.store, fingerprint, fired_at, "ann", "on it", world.clock())


def at_every_call(story: Callable[[int], bool]) -> int:
    """Play a story with something at the n-th call, for every n until there is no such call; how many there are."""
    for call in range(MOST_CALLS):
        if not story(call):
            return call
    raise AssertionError("an evaluation makes more calls than that")


def test_an_acknowledgement_inside_an_evaluation_that_escalates() -> None:
    """It is never lost: the alert escalates at that T or not at all, and afterwards never."""
    outcomes: list[list[tuple[str, int]]] = []

    def story(call: int) -> bool:
        world = new_world()
        for _ in range(3):
            step(world, 300.0)
        hook = Hook(call, take(world))
        step(world, 300.0, hook)
        for _ in range(6):
            step(world, 300.0)
        found = world.store.get([ack_path(alert(world).fingerprint, START + MINUTE)])
        assert [one.fields["author"] for one in found.values()] == ["ann"] * (hook.calls > call)
        outcomes.append(said(world))
        return hook.calls > call

    assert at_every_call(story) > 5
    told = [("firing", 1)]
    assert {str(one) for one in outcomes} == {str(told), str([*told, ("escalated", 4)])}
    assert outcomes == sorted(outcomes, key=len), "before the evaluation has read acknowledgements, or after"


def test_an_acknowledgement_inside_an_evaluation_that_resolves() -> None:
    """Taken or refused by name, it changes nothing of the resolution and is nothing to the next episode."""

    def story(call: int) -> bool:
        world = new_world()
        step(world, 300.0)
        refused: list[str] = []

        def try_to_take() -> None:
            try:
                taking()
            except PermanentError as error:
                refused.append(error.reason)

        taking = take(world)
        hook = Hook(call, try_to_take)
        step(world, 1.0, hook)
        assert said(world) == [("firing", 1), ("resolved", 2)]
        assert set(refused) <= {"not_firing"}
        acknowledged = len(world.store.list("acks").documents)
        assert acknowledged + len(refused) == (hook.calls > call)
        for _ in range(5):
            step(world, 300.0)
        assert said(world)[2:] == [("firing", 3), ("escalated", 6)]
        return hook.calls > call

    assert at_every_call(story) > 5


def test_a_silence_inside_an_evaluation_that_fires() -> None:
    """Either the firing is told at that T, or when the silence is over: once, whatever comes first."""
    outcomes: list[list[tuple[str, int]]] = []

    def story(call: int) -> bool:
        world = new_world(escalation_minutes=60)
        until = START + timedelta(minutes=4)
        hook = Hook(
            call,
            lambda: silence(
                world.store, "s", [Matcher("rule", "users")], START, until, "ann", "a deploy", world.clock()
            ),
        )
        step(world, 300.0, hook)
        for value in (300.0, 300.0, 300.0, 300.0, 1.0):
            step(world, value)
        outcomes.append(said(world))
        return hook.calls > call

    assert at_every_call(story) > 5
    assert {str(one) for one in outcomes} == {
        str([("firing", 4), ("resolved", 6)]), str([("firing", 1), ("resolved", 6)])
    }  # fmt: skip


def test_a_silence_that_is_ended_inside_an_evaluation() -> None:
    """What it held is told at that T or at the next."""

    def story(call: int) -> bool:
        world = new_world(escalation_minutes=60)
        silence(world.store, "s", [Matcher("region", "eu")], START, START + 60 * MINUTE, "ann", "a deploy", START)
        step(world, 300.0)
        assert said(world) == []
        hook = Hook(call, lambda: end_silence(world.store, "s", "bob", "done", world.clock()))
        step(world, 300.0, hook)
        step(world, 300.0)
        assert said(world) in ([("firing", 2)], [("firing", 3)]) if hook.calls > call else said(world) == []
        entries = read_entries(world.store, START, START + 60 * MINUTE, world.clock())
        assert [one.author for one in entries] == ["ann"] + ["bob"] * (hook.calls > call)
        return hook.calls > call

    assert at_every_call(story) > 5


def test_an_acknowledgement_ends_with_its_episode() -> None:
    """The first episode was taken and never escalates; the second is nobody's, and does."""
    world = new_world()
    step(world, 300.0)
    take(world)()
    for value in (*[300.0] * 8, 1.0, *[300.0] * 5):
        step(world, value)
    assert said(world) == [("firing", 1), ("resolved", 10), ("firing", 11), ("escalated", 14)]
    with pytest.raises(PermanentError, match="not_firing"):
        take(world, START + 5 * MINUTE)()
    take(world, START + 11 * MINUTE)()
    assert len(world.store.list("acks").documents) == 2
