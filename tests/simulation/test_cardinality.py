"""One writer's flood, through the functions: it stops no evaluation and takes nobody's room."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from shared.adapters.sqlite_store import SqliteStore
from shared.cardinality import OTHERS
from shared.cells import Observation, fold
from shared.formats.compact import CONTENT_TYPE, Chunk, Section, encode
from shared.rollups import read_rollups
from shared.series import Kind, Series
from shared.timeline import from_minute, minute_floor, to_us
from tests.fakes import START, Clock
from tests.world import World, point

MINUTE = minute_floor(START) + 60


def flood(writer: str, seq: int, series: list[Series]) -> bytes:
    """A message of one writer with one value of each series."""
    at_us = to_us(from_minute(MINUTE)) - 1_000_000
    cells = fold([Observation(one, Kind.DISTRIBUTION, at_us, 1.0) for one in series])
    return encode(Chunk(writer, "boot", seq, (Section(MINUTE, cells),)))


def long_labels(first: int, count: int) -> list[Series]:
    """Series with about as much text as a series may have, all different."""
    return [
        Series("wide", tuple((f"{label:02}", f"{number:06}{label:02}{'x' * 480}") for label in range(16)))
        for number in range(first, first + count)
    ]


def single_metrics(first: int, count: int) -> list[Series]:
    """Metrics of one series each."""
    return [Series(f"aa_{number:06}") for number in range(first, first + count)]


@pytest.mark.parametrize(
    ("make", "count", "messages"),
    [pytest.param(long_labels, 700, 4, id="long labels"), pytest.param(single_metrics, 9_000, 3, id="many metrics")],
)
def test_a_flood(make: Callable[[int, int], list[Series]], count: int, messages: int) -> None:
    """A writer's metrics by the ten thousand, or labels by the megabyte, stop no evaluation and cost nobody a series.

    The rollup says how much of whom it left out, and is itself bounded.
    """
    clock = Clock(START)
    world = World(SqliteStore(":memory:", clock), clock)
    fleet = [point("requests", START + timedelta(seconds=20), 1.0, region=f"r{number}") for number in range(50)]
    for writer in range(3):
        world.publish(*fleet, writer=f"fleet-{writer}", seq=1)
    for seq in range(messages):
        data = flood("hostile", seq, make(count * seq, count))
        world.bus.publish("metrics", data, {"content-type": CONTENT_TYPE})
    clock.time = from_minute(MINUTE)
    world.deliver()
    report = world.evaluate()
    assert (report.ended, report.evaluated) == ("caught_up", (from_minute(MINUTE),))
    cells = read_rollups(world.store, [MINUTE], clock())[MINUTE]
    found = {name: float(cells.max[row]) for row, name in enumerate(cells.series)}
    assert sum(name.metric == "requests" for name in found) == 50
    assert sum(float(cells.sum[row]) for row, name in enumerate(cells.series) if name.metric == "requests") == 150.0
    kept = sum(name.metric.startswith(("aa_", "wide")) for name in found)
    assert 0 < kept <= 2_000
    assert found[Series("ion_writer_dropped_series", (("writer", "hostile"),))] == count * messages - kept
    dropped = {name.labels[0][1]: number for name, number in found.items() if name.metric == "ion_dropped_series"}
    assert sum(dropped.values()) == count * messages - kept
    assert len(dropped) <= 21
    assert (OTHERS in dropped) is (make is single_metrics)
