"""Alerts of a rule that fire together are told together, and stay together to the end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.adapters.sqlite_store import SqliteStore
from shared.alerts import AlertState, Told
from shared.monitoring_config import MonitoringConfig
from shared.notifications import Notification, NotificationKind
from shared.rules import Severity
from shared.tick import TickResult
from shared.together import MAX_NAMED, together
from tests.fakes import START, Clock, FakeChannel
from tests.ticks import GROUPED, LEVELLED, MINUTE, RULE, VALUES, config_of
from tests.world import World, labels, point

TELLING = replace(RULE, query=GROUPED, cooldown_period=0, notification_channels=("inbox",))


def new_world() -> World:
    """A deployment of one rule by region."""
    clock = Clock(START)
    world = World(SqliteStore(":memory:", clock), clock, config=config_of(TELLING))
    world.next_minute()
    return world


def tell(world: World, **values: float) -> list[Notification]:
    """One minute in which each region has a value; the notifications of it, in the order of their ids."""
    before = set(world.notified)
    metric = GROUPED.select.metric
    for region, value in values.items():
        world.publish(point(metric, world.clock() + MINUTE / 2, value, region=region))
    world.next_minute()
    return [world.notified[one] for one in sorted(set(world.notified) - before)]


BAD, GOOD = 1e6, 0.0


def test_two_regions_that_fire_at_once_are_one_notification() -> None:
    """They are one conversation, which leads with the first by label and names the other."""
    world = new_world()
    (told,) = tell(world, us=BAD, eu=BAD)
    assert (told.labels, [one.labels for one in told.also]) == (labels(region="eu"), [labels(region="us")])
    assert {alert.told for alert in world.alerts()} == {(Told(told.id, ("inbox",)),)}


def test_the_conversation_ends_with_the_last_of_them() -> None:
    """The end of one says how many still fire; the end of the last ends it, on every channel that heard."""
    world = new_world()
    (fired,) = tell(world, us=BAD, eu=BAD)
    (first,) = tell(world, us=GOOD, eu=BAD)
    (last,) = tell(world, us=GOOD, eu=GOOD)
    assert (first.kind, first.still_firing, first.open_on) == (NotificationKind.RESOLVED, 1, ("inbox",))
    assert (last.kind, last.still_firing, last.open_on) == (NotificationKind.RESOLVED, 0, ())
    assert {one.conversation for one in (fired, first, last)} == {fired.id}
    assert (first.ends_on("inbox"), last.ends_on("inbox")) == (False, True)


def test_two_that_end_at_once_end_in_one_notification() -> None:
    """What began together and ends together is told twice, not four times."""
    world = new_world()
    tell(world, us=BAD, eu=BAD)
    (ended,) = tell(world, us=GOOD, eu=GOOD)
    assert (ended.alerts, ended.ends_on("inbox")) == (2, True)


def test_what_fires_later_is_another_conversation() -> None:
    """A region that follows a minute later has a conversation of its own."""
    world = new_world()
    (first,) = tell(world, us=BAD)
    (second,) = tell(world, us=BAD, eu=BAD)
    assert second.conversation == second.id != first.id


def test_a_channel_that_heard_of_one_alone_is_told_its_end() -> None:
    """Of two in a conversation one was raised to another channel: there its end ends the conversation."""
    fired = Told("f", ("slack",))
    raised = _alert("eu", (fired, Told("r", ("slack", "pagerduty"))))
    other = _alert("us", (fired,))
    world = new_world()
    (told,) = tell(world, eu=BAD)
    end = replace(
        told, kind=NotificationKind.RESOLVED, channels=("slack", "pagerduty"), follows=raised.told, reason="resolved"
    )
    (lead,) = together(_result((end,), (other,))).notifications
    assert (lead.ends_on("pagerduty"), lead.ends_on("slack"), lead.still_firing) == (True, False, 1)


def test_the_second_of_two_to_be_raised_to_a_channel_is_told_there() -> None:
    """What is told on the pager of one alert of several, its end included, is another conversation than the next's."""
    clock, pager = Clock(START), FakeChannel()
    config = config_of(replace(LEVELLED, query=GROUPED, notification_channels=()))
    routing = {"inbox": tuple(Severity), "pager": (Severity.CRITICAL,)}
    world = World(
        SqliteStore(":memory:", clock), clock, config=MonitoringConfig(replace(config.settings, routing=routing))
    )
    world.services = replace(world.services, channels={**world.services.channels, "pager": pager})
    world.next_minute()
    bad, worst = VALUES["h"], VALUES["c"]
    tell(world, us=bad, eu=bad)
    (eu_raised,) = tell(world, us=bad, eu=worst)
    (eu_ended,) = tell(world, us=bad, eu=GOOD)
    (us_raised,) = tell(world, us=worst, eu=GOOD)
    (us_ended,) = tell(world, us=GOOD, eu=GOOD)
    assert pager.sent == [one.id for one in (eu_raised, eu_ended, us_raised, us_ended)]
    assert [one.ends_on("pager") for one in (eu_ended, us_ended)] == [True, True]
    assert [one.ends_on("inbox") for one in (eu_ended, us_ended)] == [False, True]


@pytest.mark.parametrize("change", [{"rule_id": "other"}, {"channels": ("slack",)}, {"reason": "gone"}], ids=str)
def test_what_differs_is_told_apart(change: dict[str, object]) -> None:
    """Another rule, other receivers or another reason make another notification."""
    world = new_world()
    (told,) = tell(world, eu=BAD)
    other = replace(told, fingerprint="1" * 16, labels=labels(region="us"), **change)  # type: ignore[arg-type] # cases
    assert len(together(_result((told, other), ())).notifications) == 2


def test_many_are_counted() -> None:
    """At most twenty are named beside the first; the rest are a number."""
    world = new_world()
    (told,) = tell(world, **{f"r{number:03}": BAD for number in range(50)})
    assert (len(told.also), told.more, told.alerts) == (MAX_NAMED, 29, 50)


def _alert(region: str, told: tuple[Told, ...]) -> AlertState:
    return replace(AlertState(RULE.id, labels(region=region), RULE.severity).fired(START), told=told)


def _result(notifications: tuple[Notification, ...], states: tuple[AlertState, ...]) -> TickResult:
    return TickResult(START, states, (), notifications, ())
