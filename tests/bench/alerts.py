"""Alerts: one tick over all rules, beside Prometheus, and a backtest of three days."""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from multiprocessing.connection import Connection

from shared.adapters.sqlite_store import SqliteStore
from shared.backtest import Candidate, Span, backtest
from shared.backtest.stored import Stored
from shared.cells import Cells, fold, merge, merge_writers
from shared.formats.compact import Chunk, Section, encode
from shared.local.fleet import REGIONS, Fleet
from shared.local.incident import Incident
from shared.monitoring_config import MonitoringConfig
from shared.parts import write_parts
from shared.rollups import rollup_path
from shared.series import Series, make_labels
from shared.tick import tick
from shared.timeline import MINUTE_SECONDS, US_PER_SECOND, from_minute, minute_floor
from tests.bench import prometheus
from tests.bench.figures import Figure, beside, bounded
from tests.fakes import Clock

INSTANCES = 100
MINUTES = 12
ROUNDS = 40
HOURS = 72
DIFFERENT_HOURS = 3
"""Of the three days; the hours repeat."""


def figures(now: datetime) -> Iterator[Figure]:
    """A tick over about 105 and 10,500 series, its memory, and a backtest with its reading."""
    last = minute_floor(now)
    minutes = fleet_minutes(last, MINUTES)
    ours = _tick_ms(minutes, last, ROUNDS)
    yield bounded(f"one tick of nine rules, {_series(minutes)} series, processor time", ours, 3.0, "ms")
    yield from _beside_prometheus(minutes, ours)
    many = crowded(minutes)
    ours = _tick_ms(many, last, 5)
    yield bounded(f"one tick of nine rules, {_series(many)} series, processor time", ours, 500.0, "ms")
    yield from _beside_prometheus(many, ours)
    yield bounded("memory of a process that holds and judges them", _memory_mb(last), 300.0, "MB")
    seconds = _backtest_seconds(now)
    yield bounded(f"backtest of nine rules over {HOURS} h, from a database, processor time", seconds, 20.0, "s")


def fleet_minutes(last: int, count: int) -> dict[int, Cells]:
    """The newest minutes of the simulated fleet, which goes through its incident."""
    first = last - (count - 1) * MINUTE_SECONDS
    fleet = Fleet(1, Incident(first, 180))
    found: dict[int, Cells] = {}
    for minute in range(first, last + MINUTE_SECONDS, MINUTE_SECONDS):
        slices = range(minute - MINUTE_SECONDS + 10, minute + 10, 10)
        found[minute] = merge_writers(
            [
                fold([one for end in slices for one in fleet.observations(region, end)], writer)
                for writer, region in enumerate(REGIONS)
            ]
        )
    return found


def crowded(minutes: Mapping[int, Cells]) -> dict[int, Cells]:
    """The same minutes of a hundred instances."""
    return {
        minute: merge([_renamed(cells, number) for number in range(INSTANCES)]) for minute, cells in minutes.items()
    }


def _renamed(cells: Cells, number: int) -> Cells:
    added = {"instance": f"i-{number:03}"}
    return replace(
        cells, series=tuple(Series(one.metric, make_labels(dict(one.labels) | added)) for one in cells.series)
    )


def _series(minutes: Mapping[int, Cells]) -> str:
    return f"{statistics.median(len(cells) for cells in minutes.values()):,.0f}"


def _tick_ms(minutes: Mapping[int, Cells], last: int, rounds: int) -> float:
    """The median of the processor's time; each tick finds everything anew."""
    config, found = MonitoringConfig(), []
    for _ in range(rounds):
        started = time.process_time()
        tick(config, minutes, (), from_minute(last))
        found.append(1000 * (time.process_time() - started))
    return statistics.median(found)


def _beside_prometheus(minutes: Mapping[int, Cells], ours: float) -> Iterator[Figure]:
    if not prometheus.missing():
        series = sorted({name for cells in minutes.values() for name in cells.series})
        yield beside("the same; Prometheus, its rule group", ours, prometheus.group_duration_ms(series), "ms")


def _memory_mb(last: int) -> float:
    """The most that a new process has resident."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_judge_crowd, args=(last, theirs))
    process.start()
    megabytes: float = ours.recv()
    process.join()
    return megabytes


def _judge_crowd(last: int, told: Connection) -> None:
    tick(MonitoringConfig(), crowded(fleet_minutes(last, MINUTES)), (), from_minute(last))
    told.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _backtest_seconds(now: datetime) -> float:
    """The time to read 72 hours of rollups and judge every minute of them: one processor's, which waits for nothing."""
    last = minute_floor(now)
    store = SqliteStore(":memory:", Clock(now), synchronous="OFF")
    _store_days(store, last)
    started = time.process_time()
    (run,) = backtest(
        Stored(store, now), Span(last - (HOURS * 60 - 1) * MINUTE_SECONDS, last), [Candidate(MonitoringConfig())]
    )
    seconds = time.process_time() - started
    if not run.episodes():
        raise RuntimeError("the fleet's incidents were not found")
    return seconds


def _store_days(store: SqliteStore, last: int) -> None:
    patterns = list(fleet_minutes(last, DIFFERENT_HOURS * 60).items())
    for number in range(HOURS * 60):
        minute = last - number * MINUTE_SECONDS
        then, cells = patterns[-1 - number % len(patterns)]
        moved = replace(cells, last_at_us=cells.last_at_us + (minute - then) * US_PER_SECOND)
        data = encode(Chunk("", "", None, (Section(minute, moved),)), rollup=True)
        write_parts(
            store,
            rollup_path(minute),
            [data],
            from_minute(minute) + timedelta(hours=76),
            None,
            {"read_at": from_minute(minute)},
        )
