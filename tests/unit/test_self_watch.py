"""What a rollup says about the monitoring itself, and what it leaves out."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.adapters.sqlite_store import SqliteStore
from shared.buckets import writers_of
from shared.cells import Cells
from shared.monitoring_config import MonitoringConfig
from shared.own_collections import OWN_COLLECTIONS
from shared.rollups import read_rollups
from shared.self_watch import without_own
from shared.store import Put
from shared.timeline import minute_floor
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


def test_every_own_collection_has_a_distinct_name() -> None:
    """The own collections are apart from the configured ones, and each is found by its name."""
    config = MonitoringConfig()
    names = [one.name for one in (*config.list_collections(), *OWN_COLLECTIONS)]
    assert len(names) == len(set(names)) == 35 + len(OWN_COLLECTIONS)
    assert [config.get_collection(name).name for name in names] == names
