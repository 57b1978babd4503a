"""Evidence: what contributes most to an alert, and that nothing about it stops a message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from shared.adapters.sqlite_store import SqliteStore
from shared.buckets import SETTLE
from shared.evidence import EvidenceFrom
from shared.logs import Captured
from shared.monitoring_config import MonitoringConfig
from shared.notifications import Notification, NotificationKind
from shared.usual import Usual
from shared.usual_store import Learned, put_baselines, rule_key
from tests.conversations import FIRING
from tests.fakes import START, Clock, RefusingStore
from tests.ticks import MINUTE
from tests.world import World, labels, point

CONFIG = MonitoringConfig()
SLOW = {"/recommend": 688.0, "/process": 496.0, "/bulk": 322.0, "/fourth": 250.0, "/personas": 44.0}


def rule_notification(rule_id: str, **group: str) -> Notification:
    """The firing of a rule of the default configuration at START."""
    rule = CONFIG.get_rule(rule_id)
    return replace(FIRING, rule_id=rule.id, rule_name=rule.name, labels=labels(**group), unit=CONFIG.unit_for(rule))


@pytest.fixture
def world() -> World:
    """A deployment in whose last minute some endpoints of one region were slow, and all of another quick."""
    clock = Clock(START - MINUTE)
    world = World(SqliteStore(":memory:", clock), clock, config=CONFIG)
    world.evaluate()
    at = START - MINUTE / 2
    world.publish(
        *(point("response_time", at, value, region="eu", endpoint=name) for name, value in SLOW.items()),
        *(point("response_time", at, 20.0, region="us", endpoint=name) for name in SLOW),
        *(point("requests", at, 100.0, region="eu", endpoint=name) for name in SLOW),
        point("errors", at, 30.0, region="eu", endpoint="/process", type="timeout"),
    )
    world.clock.time = START + SETTLE
    world.deliver()
    world.evaluate()
    return world


def worst_of(world: World, notification: Notification) -> tuple[str, ...]:
    """What is said to contribute most, with plain spaces."""
    found = EvidenceFrom(world.store, CONFIG)(notification).worst
    return tuple(one.replace("\u202f", " ") for one in found)


def test_the_worst_values_of_another_label(world: World) -> None:
    """Of a region's endpoints those that violate the rule are named with their values, the worst three."""
    told = rule_notification("high-response-time-critical", region="eu")
    first, second, third = worst_of(world, told)
    assert [one.partition(" ")[0] for one in (first, second, third)] == ["/recommend", "/process", "/bulk"]
    assert first.endswith(" ms")


def test_of_a_ratio_the_labels_that_both_sides_have(world: World) -> None:
    """An error rate is asked again by endpoint, which requests have too, and not by type."""
    assert worst_of(world, rule_notification("high-error-rate-critical")) == ("/process 30.0 %",)


@pytest.mark.parametrize(
    "change",
    [
        {"rule_id": "gone"},
        {"kind": NotificationKind.RESOLVED},
        {"about": "no_data"},
        {"labels": labels(region="us")},
        {"labels": labels(region="nowhere")},
        {"at": START - 60 * MINUTE},
    ],
    ids=["no rule", "over", "no data", "nothing violates", "no group", "no minutes"],
)
def test_where_nothing_is_known_nothing_is_said(world: World, change: Mapping[str, object]) -> None:
    """Without a rule, a value, a violation or data there is no evidence."""
    told = replace(rule_notification("high-response-time-critical", region="eu"), **change)  # type: ignore[arg-type]
    assert worst_of(world, told) == ()


def test_what_is_usual(world: World) -> None:
    """What was learned of the rule's value is told as the range of that hour of the week, for its own group alone."""
    rule = CONFIG.get_rule("high-response-time-critical")
    usual = Usual((40.0,) * 168, (5.0,) * 168, (20.0, 20.0), 0.0, 5000)
    world.store.commit([put_baselines(Learned(rule_key(CONFIG, rule), START - MINUTE, {labels(region="eu"): usual}))])
    evidence = EvidenceFrom(world.store, CONFIG)
    assert evidence(rule_notification(rule.id, region="eu")).usual == (30.0, 50.0)
    us = replace(rule_notification(rule.id, region="us"), fingerprint="1" * 16)
    assert evidence(us).usual is None


def test_what_breaks_costs_a_line() -> None:
    """A store that refuses and a drawing that breaks leave a message without them, and an event in the log."""
    store = RefusingStore(SqliteStore(":memory:", Clock()), lambda *_: True)

    def broken(_: Notification) -> bytes:
        raise ZeroDivisionError

    with Captured() as logs:
        found = EvidenceFrom(store, CONFIG, broken)(rule_notification("high-response-time-critical", region="eu"))
        chart = found.draw()
    assert (chart, found.usual, found.worst) == (None, None, ())
    assert [event["message"] for event in logs.events] == ["evidence_failed", "evidence_failed", "chart_failed"]


def test_it_is_looked_up_once(world: World) -> None:
    """The chart is drawn when a channel asks for it, and once for five channels."""
    drawn: list[str] = []

    def draw(told: Notification) -> bytes:
        drawn.append(told.id)
        return b"png"

    evidence = EvidenceFrom(world.store, CONFIG, draw)
    told = rule_notification("high-response-time-critical", region="eu")
    assert evidence(told).worst
    assert drawn == []
    assert {evidence(told).draw() for _ in range(5)} == {b"png"}
    assert drawn == [told.id]
