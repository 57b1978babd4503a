"""Retention: what has expired is gone for every reader, to the microsecond, though the store may still hold it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from shared.acks import ack_path, read_acks
from shared.actions import acknowledge, silence
from shared.adapters.sqlite_store import SqliteStore
from shared.alerts import fingerprint
from shared.buckets import writers_of
from shared.bus import Message
from shared.caps import hold_or_count, read_cap
from shared.configuration import document
from shared.deliveries import Conversation, DeliveryState
from shared.evaluator import STATE_PATH
from shared.hooks import KNOWN_FOR, is_known, request_path
from shared.hours import hour_of, read_hours
from shared.manifest import load_manifest
from shared.monitoring_config import MonitoringConfig
from shared.notifications import Notification
from shared.outages import Outage, read_outages
from shared.reader import Reader
from shared.rollups import read_live, read_rollups, roll_up
from shared.rules import Aggregation, AlertRule, MetricThreshold, MetricType, Query, Selection
from shared.silences import Matcher, read_silences
from shared.store import Put
from shared.timeline import minute_floor, minute_id
from shared.turns import Turns
from shared.usual import Usual
from shared.usual_store import Learned, put_baselines, read_baselines
from tests.fakes import START, Clock, FakeChannel
from tests.world import World, point

MICROSECOND = timedelta(microseconds=1)
MINUTE = minute_floor(START)
"""The minute that holds everything; it ends an hour."""
RULE = AlertRule(
    "Users",
    "",
    MetricType.BUSINESS,
    MetricThreshold(100.0),
    min_occurrences=1,
    notification_channels=("inbox",),
    query=Query(Selection("users_active"), Aggregation.LAST),
)
CONFIG = MonitoringConfig(replace(document.defaults(), rules=(RULE,)))
FINGERPRINT = fingerprint("users", ())


@pytest.fixture
def world() -> World:
    """A deployment in which all that expires was written.

    A minute and its hour, a late marker, an alert, its mails, and what people did.
    """
    clock = Clock(START - timedelta(seconds=60))
    world = World(SqliteStore(":memory:", clock), clock, config=CONFIG)
    world.publish(point("users_active", START - timedelta(seconds=30), 500.0))
    world.next_minute()
    world.clock.time = START + timedelta(seconds=40)
    world.publish(point("users_active", START - timedelta(seconds=30), 400.0))
    world.deliver()
    acknowledge(world.store, FINGERPRINT, START, "ann", "", START)
    elsewhere = [Matcher("region", "nowhere")]
    silence(world.store, "s", elsewhere, START, START + timedelta(hours=1), "ann", "a test", START)
    hold_or_count(world.store, "slack", notification_of(world), 1, START)
    world.store.commit([Outage("slack", START, "gone", "setup").write(), REQUEST, put_baselines(LEARNED)])
    return world


def notification_of(world: World) -> Notification:
    """The one that was sent."""
    return world.inbox()[0]


@dataclass(frozen=True)
class Case:
    """A reader of a collection: where its documents lie, and whether it sees any of them at a time."""

    collection: str
    where: str
    sees: Callable[[World, datetime], object]
    prefix: str = ""


def _rebuilds(world: World, now: datetime) -> int:
    """How many minutes an evaluation at ``now`` rebuilds, for late markers."""
    world.store.commit([Put(STATE_PATH, {"minute": minute_floor(now)})])
    return world.evaluate(replace(world.services, now=lambda: now)).rebuilt_minutes


def _is_sent_already(world: World, now: datetime) -> bool:
    """Whether a notification that comes again is taken for one that was sent."""
    channel = FakeChannel()
    services = replace(world.services, now=lambda: now, channels={"inbox": channel})
    outcomes = services.notify()(Message(notification_of(world).to_json(), {}, "1", now))
    assert [outcome.state for outcome in outcomes] == [DeliveryState.SENT]
    return channel.sent == []


def _conversation(world: World, now: datetime) -> Conversation:
    return Turns(world.store, lambda: now).conversation(notification_of(world).id, "inbox")


LEARNED = Learned("key", START, {(): Usual((1.0,) * 168, (1.0,) * 168, (1.0, 1.0), 0.0, 100)})
REQUEST = Put(request_path(b"signature"), {"expires_at": START + KNOWN_FOR})
CAP = f"caps/slack~{minute_id(minute_floor(START))}"
CASES = {
    "a minute's chunks, live": Case(
        "buckets", writers_of(MINUTE), lambda world, now: len(read_live(world.store, MINUTE, now))
    ),
    "a minute's chunks, rolled up": Case(
        "buckets", writers_of(MINUTE), lambda world, now: len(roll_up(world.store, MINUTE, now, timedelta(0)).cells) > 5
    ),
    "late markers": Case("late", "late", _rebuilds),
    "a minute": Case("rollups", "rollups", lambda world, now: read_rollups(world.store, [MINUTE], now), "minute"),
    "a minute on a page": Case(
        "rollups", "rollups", lambda world, now: _on_a_page(world.services.reader, now), "minute"
    ),
    "a minute that a page had read before": Case(
        "rollups", "rollups", lambda world, now: _read_twice(world, now), "minute"
    ),
    "an hour": Case("rollups", "rollups", lambda world, now: read_hours(world.store, [hour_of(MINUTE)], now), "hour"),
    "transitions": Case(
        "history", "history", lambda world, now: world.services.reader.transitions(MINUTE, MINUTE, now)
    ),
    "deliveries on a page": Case(
        "deliveries", "deliveries", lambda world, now: world.services.reader.deliveries(MINUTE, now).total
    ),
    "a delivery that comes again": Case("deliveries", "deliveries", _is_sent_already),
    "acknowledgements": Case(
        "acks", "acks", lambda world, now: read_acks(world.store, [ack_path(FINGERPRINT, START)], now)
    ),
    "silences": Case("silences", "silences", lambda world, now: read_silences(world.store, now)),
    "what people did": Case(
        "audit", "audit", lambda world, now: world.services.reader.actions(MINUTE, MINUTE + 60, now)
    ),
    "baselines": Case("baselines", "baselines", lambda world, now: read_baselines(world.store, [LEARNED.key], now)),
    "conversations": Case("conversations", "conversations", lambda world, now: _conversation(world, now).handle),
    "caps": Case("caps", "caps", lambda world, now: read_cap(world.store, CAP, now)[0]["count"]),
    "outages": Case("outages", "outages", lambda world, now: read_outages(world.store, now)),
    "requests": Case("requests", "requests", lambda world, now: is_known(world.store, REQUEST.path, now)),
    "the inbox": Case("inbox", "inbox", lambda world, now: world.services.reader.inbox(MINUTE, now)),
}


def _read_twice(world: World, now: datetime) -> object:
    """What a page shows that has read the minute a minute ago."""
    reader = Reader(world.store)
    assert _on_a_page(reader, now - timedelta(seconds=60))
    return _on_a_page(reader, now)


def _on_a_page(reader: Reader, now: datetime) -> object:
    """The minute as a page shows it."""
    return reader.minutes(MINUTE, MINUTE, reader.cursor(), now).cells


def expiries(world: World, case: Case) -> Sequence[datetime]:
    """When a case's documents expire."""
    found = world.store.list(case.where, case.prefix).documents
    return sorted({one.fields["expires_at"] for one in found if one.id.startswith(case.prefix)})


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_expired_documents_are_not_read(world: World, case: Case) -> None:
    """One microsecond before its ``expires_at`` a document is read, and from then on not, though it is still there."""
    (expires_at,) = expiries(world, case)
    for now, seen in ((expires_at, False), (expires_at - MICROSECOND, True)):
        world.clock.time = now
        assert bool(case.sees(world, now)) is seen, f"at {now}"


def test_every_expiring_collection_has_a_case(world: World) -> None:
    """The cases are of all collections that the manifest says expire, and no other has documents that do."""
    assert {case.collection for case in CASES.values()} == set(load_manifest().expiring)
    others = set(load_manifest().collections) - set(load_manifest().expiring)
    documents = [one for collection in others for one in world.store.list(collection).documents]
    assert {one.path.partition("/")[0] for one in documents} >= {"alerts", "evaluator"}
    assert [one.path for one in documents if "expires_at" in one.fields] == []


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_sweep_deletes_at_the_same_instant(world: World, case: Case) -> None:
    """The embedded store's sweep leaves a document one microsecond before its ``expires_at`` and then deletes it."""
    (expires_at,) = expiries(world, case)
    store = world.store
    assert isinstance(store, SqliteStore)
    for now, left in ((expires_at - MICROSECOND, True), (expires_at, False)):
        world.clock.time = now
        store.sweep()
        assert bool(expiries(world, case)) is left
