"""From an observation to the page: what each part takes, measured on the emulators or known from the design."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from datetime import datetime

from shared.buckets import SETTLE
from shared.local.backends import Emulated
from shared.manifest import load_manifest
from shared.publisher_life import INTERVAL_SECONDS, MAX_JITTER_SECONDS
from shared.timeline import MINUTE_SECONDS
from tests.bench.figures import Figure, bounded
from tests.episodes import play

EPISODES = 50
TOLD_WITHIN_SECONDS = 10.0


def figures(_: datetime) -> Iterator[Figure]:
    """The parts in their order, then what is promised of the last two together."""
    times = play(lambda _: Emulated(load_manifest()), EPISODES)
    flush = INTERVAL_SECONDS + MAX_JITTER_SECONDS
    stored = _p95([one.stored for one in times])
    evaluated = _p95([one.evaluated for one in times])
    told = _p95([one.told for one in times])
    yield _part("observation to publish, at most", flush)
    yield _part("publish to stored, p95 of 50 on the emulators", stored)
    yield _part("stored to the minute's end, at most", MINUTE_SECONDS)
    yield _part("settle", SETTLE.total_seconds())
    yield _part("evaluate to the bus, p95 of 50", evaluated)
    yield _part("bus to the last of five channels asked, p95 of 50", max(told - evaluated, 0.0))
    worst = flush + stored + MINUTE_SECONDS + SETTLE.total_seconds() + told
    yield _part("observation to page for a rule of one occurrence, worst", worst)
    yield bounded("deciding evaluation to the last channel asked, p95", told, TOLD_WITHIN_SECONDS, "s")


def _part(name: str, seconds: float) -> Figure:
    return Figure(name, f"{seconds:.3g} s")


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]
