"""What a rollup says about the monitoring itself, and what it leaves out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta

import pytest

from shared import cardinality
from shared.adapters.sqlite_store import SqliteStore
from shared.buckets import SETTLE, writers_of
from shared.cells import Cells, equal
from shared.configuration.models import Collection
from shared.dashboard import PageRequest
from shared.limits import document_bytes
from shared.monitoring_config import MonitoringConfig
from shared.own_collections import OWN_COLLECTIONS
from shared.rollups import read_rollups, roll_up
from shared.self_watch import without_own
from shared.store import MAX_DOCUMENT_BYTES, Put
from shared.timeline import from_minute, minute_floor
from shared.windows import evaluate
from tests.fakes import Clock
from tests.world import World, point


def minute_of(world: World) -> Cells:
    """The rollup of the minute that has just been judged."""
    minute = minute_floor(world.clock())
    return read_rollups(world.store, [minute], world.clock())[minute]


def value(cells: Cells, name: str) -> float | None:
    """What the own collection of a name says of a minute, over all groups."""
    query = MonitoringConfig().get_collection(name).query
    return sum(evaluate(cells, query, 60).values()) if evaluate(cells, query, 60) else None


@pytest.fixture
def world() -> World:
    """A deployment."""
    clock = Clock()
    return World(SqliteStore(":memory:", clock), clock)


def test_counts_of_what_was_stored(world: World) -> None:
    """Three messages of two writers with four points are three chunks, two writers, four points and two series."""
    at = world.clock() + timedelta(seconds=20)
    world.publish(point("users_active", at, 1.0), point("requests", at, 1.0), writer="a", seq=1)
    world.publish(point("users_active", at, 2.0), writer="a", seq=2)
    world.publish(point("users_active", at, 3.0), writer="b", seq=1)
    world.next_minute()
    cells = minute_of(world)
    found = {name: value(cells, name) for name in ("ion_chunks", "ion_writers", "ion_points", "ion_series")}
    assert found == {"ion_chunks": 3.0, "ion_writers": 2.0, "ion_points": 4.0, "ion_series": 2.0}
    assert (value(cells, "ion_chunk_bytes") or 0) > 0


def test_duplicates_are_not_counted(world: World) -> None:
    """A message that is delivered three times is one chunk."""
    at = world.clock() + timedelta(seconds=20)
    for _ in range(3):
        world.publish(point("users_active", at, 1.0), writer="a", seq=1)
    world.next_minute()
    assert value(minute_of(world), "ion_chunks") == 1.0


def test_two_processes_under_one_name_are_a_conflict(world: World) -> None:
    """Equal seq with other data keeps both and counts one conflict; without one the series is absent."""
    at = world.clock() + timedelta(seconds=20)
    world.publish(point("users_active", at, 1.0), writer="a", seq=1)
    world.next_minute()
    assert value(minute_of(world), "ion_writer_conflicts") is None
    at = world.clock() + timedelta(seconds=20)
    world.publish(point("users_active", at, 1.0), writer="a", seq=7)
    world.publish(point("users_active", at, 2.0), writer="a", seq=7)
    world.next_minute()
    cells = minute_of(world)
    assert value(cells, "ion_writer_conflicts") == 1.0
    assert value(cells, "ion_points") == 2.0


def test_a_conflict_beyond_a_full_document_counts(world: World) -> None:
    """What lies apart because its document is full is a chunk of the same writer, and its conflict is counted."""
    at = world.clock() + timedelta(seconds=20)
    world.publish(point("users_active", at, 1.0), writer="a", seq=1)
    world.deliver()
    (document,) = world.store.list(writers_of(minute_floor(world.clock()) + 60)).documents
    room = MAX_DOCUMENT_BYTES - document_bytes(document.path, document.fields) - len("s1_held") - 1
    world.store.commit([Put(document.path, {"c": {"s1_held": bytes(room)}}, merge=True)])
    world.publish(point("users_active", at, 2.0), writer="a", seq=1)
    world.next_minute()
    cells = minute_of(world)
    assert (value(cells, "ion_writer_conflicts"), value(cells, "ion_writers")) == (2.0, 1.0)
    assert value(cells, "ion_points") == 2.0


def test_unreadable_chunk_is_counted_and_blocks_nothing(world: World) -> None:
    """A chunk that this version cannot read is passed over and counted; the others are there."""
    at = world.clock() + timedelta(seconds=20)
    world.publish(point("users_active", at, 5.0), writer="a", seq=1)
    world.deliver()
    minute = minute_floor(world.clock()) + 60
    document = world.store.list(writers_of(minute)).documents[0]
    world.store.commit([Put(document.path, {"c": {"s2_00000000": b"\x09newer"}}, merge=True)])
    world.next_minute()
    cells = minute_of(world)
    assert value(cells, "ion_unreadable_chunks") == 1.0
    assert [name.metric for name in without_own(cells).series] == ["users_active"]


@pytest.mark.parametrize(("after_seconds", "late"), [(3.9, None), (4.1, 1.0), (3600.0, 1.0)])
def test_late_minutes(world: World, after_seconds: float, late: float | None) -> None:
    """A minute is late once a chunk came after it may have been rolled up, however many did; before that it is not."""
    minute = minute_floor(world.clock()) + 60
    world.publish(point("users_active", world.clock() + timedelta(seconds=20), 1.0), writer="a", seq=1)
    world.deliver()
    for seq in (2, 3):
        world.clock.time = from_minute(minute) + timedelta(seconds=after_seconds)
        world.publish(point("users_active", from_minute(minute), 1.0), writer="a", seq=seq)
        world.deliver()
    world.clock.time = from_minute(minute) + timedelta(hours=1)
    roll_up(world.store, minute, world.clock(), SETTLE)
    cells = read_rollups(world.store, [minute], world.clock())[minute]
    assert (value(cells, "ion_late_minutes"), value(cells, "ion_points")) == (late, 3.0)


def test_a_message_that_comes_again_makes_no_minute_late(world: World) -> None:
    """What is delivered again an hour later changes nothing, so the minute is not late, though it is rebuilt."""
    data = world.publish(point("users_active", world.clock() + timedelta(seconds=20), 1.0), writer="a", seq=1)
    world.next_minute()
    first = minute_of(world)
    minute = minute_floor(world.clock())
    world.clock.time += timedelta(seconds=30)
    world.bus.publish("metrics", data)
    world.deliver()
    assert len(world.store.list("late").documents) == 1
    world.next_minute()
    assert equal(read_rollups(world.store, [minute], world.clock())[minute], first)


def rule(own: Collection) -> dict[str, object]:
    """A rule, as a configuration has it, that fires when an own metric is above 0."""
    query = own.query
    return {
        "name": own.name,
        "metric_type": "business",
        "threshold": {"value": 0, "severity": "low"},
        "min_occurrences": 1,
        "on_no_data": "ok",
        "query": {
            "select": {"metric": query.select.metric},
            "aggregation": query.aggregation.value,
            "group_by": list(query.group_by),
        },
    }


@pytest.fixture
def troubled(monkeypatch: pytest.MonkeyPatch) -> World:
    """A deployment with room for 20 series, to which everything happened that an own metric counts."""
    monkeypatch.setattr(cardinality, "MAX_SERIES", 20)
    document = MonitoringConfig().to_dict()
    document["rules"] = [rule(own) for own in OWN_COLLECTIONS]
    document["dashboards"] = [panels(own.name for own in OWN_COLLECTIONS)]
    clock = Clock()
    world = World(SqliteStore(":memory:", clock), clock, config=MonitoringConfig.from_dict(document))
    at = clock() + timedelta(seconds=20)
    for writer in range(9):
        points = [point(f"metric_{writer}", at, 1.0, n=str(number)) for number in range(3 + writer)]
        world.publish(*points, writer=f"writer-{writer}", seq=1)
    world.publish(point("metric_0", at, 1.0), writer="writer-0", seq=1)
    world.bus.publish("metrics", b"?")
    world.deliver()
    path = world.store.list(writers_of(minute_floor(clock()) + 60)).documents[0].path
    world.store.commit([Put(path, {"c": {"s2_00000000": b"\x09newer"}}, merge=True)])
    world.next_minute()
    clock.time += timedelta(seconds=30)
    world.publish(point("metric_0", at, 1.0))
    world.next_minute()
    return world


def panels(collections: Iterable[str]) -> dict[str, object]:
    """A dashboard that shows some collections."""
    panel = {"title": "Monitoring", "kind": "line", "collections": list(collections)}
    return {"name": "overview", "title": "Overview", "panels": [panel]}


@pytest.mark.parametrize("own", OWN_COLLECTIONS, ids=[one.name for one in OWN_COLLECTIONS])
def test_a_rule_may_ask_for_it(troubled: World, own: Collection) -> None:
    """A configured rule about each own metric fires, and a panel may name it."""
    fired = {alert.rule_id for alert in troubled.alerts() if alert.is_firing}
    assert own.name.replace("_", "-") in fired
    config = troubled.services.config
    assert own.name in config.get_dashboard("overview").panels[0].collections


@pytest.mark.parametrize("own", OWN_COLLECTIONS, ids=[one.name for one in OWN_COLLECTIONS])
def test_a_chart_may_show_it(troubled: World, own: Collection) -> None:
    """The address of a page charts each own metric by its name, with the values that are there."""
    page = troubled.services.dashboard()(
        PageRequest("/dashboards/overview.json", query={"collection": own.name, "range": "1h"})
    )
    assert page.status == 200
    (chart,) = json.loads(page.body)["charts"]
    assert chart["id"] == own.name
    assert [value for line in chart["lines"] for value in line["values"] if value]


def test_every_own_collection_has_a_distinct_name() -> None:
    """The own collections are apart from the configured ones, and each is found by its name."""
    config = MonitoringConfig()
    names = [one.name for one in (*config.list_collections(), *OWN_COLLECTIONS)]
    assert len(names) == len(set(names)) == 35 + len(OWN_COLLECTIONS)
    assert [config.get_collection(name).name for name in names] == names
