"""What a month costs: thirty services of 35 metrics publish for an hour into a whole deployment, and all is counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from shared.adapters.sqlite_store import SqliteStore
from shared.bus import Message
from shared.limits import document_bytes
from shared.manifest import load_manifest
from shared.prices import BUS_LEAST_BYTES, DAYS, Usage, bill, cloud_monitoring_usd, managed_prometheus_usd
from shared.publisher import ATTRIBUTES
from shared.publisher_life import Schedule
from shared.timeline import MINUTE_SECONDS, US_PER_SECOND
from tests.bench.figures import Figure, beside, exactly, stated
from tests.bench.messages import compact
from tests.fakes import Clock, CountingStore
from tests.world import World

SERVICES = 30
WRITERS = tuple(f"service-{number}" for number in range(SERVICES))
SCALARS, DISTRIBUTIONS, OBSERVATIONS = 30, 5, 300
FILLED_BUCKETS = 20
"""Of a distribution in Managed Prometheus, whose native histograms are coarser than ours."""
MINUTES = 60
HOURS = 24 * DAYS
REQUEST_SECONDS = 0.1
"""What Cloud Run rounds a request up to; they overlap as the publishers' jitter has it."""
EVALUATION_SECONDS = 6.0
"""Most of it is waiting for the minute to settle."""
KEPT_HOURS = 76


@dataclass(frozen=True, slots=True)
class _Hour:
    """What one hour did: the ports' counts, and the messages with their bytes."""

    ingest: CountingStore
    evaluate: CountingStore
    messages: int
    busy_seconds: float
    bus_bytes: int
    stored_bytes: int


def figures(now: datetime) -> Iterator[Figure]:
    """Operations and dollars for publishing every 15 and every 60 seconds, beside what others charge."""
    for every_seconds in (15, 60):
        hour = _hour(now.replace(minute=0, second=0, microsecond=0), every_seconds)
        told = f"publishing every {every_seconds} s"
        documents = sum(path.startswith("buckets/") for path in hour.ingest.written)
        yield exactly(f"writes a message, {told}", hour.ingest.writes / hour.messages, 1)
        yield exactly(
            f"reads of a writer's document in its minute, {told}", hour.evaluate.reads["buckets"] / documents, 1
        )
        yield stated(f"reads of an evaluated minute, {told}", hour.evaluate.reads.total() / MINUTES)
        dollars = sum(bill(_usage(hour)).values())
        points = HOURS * 3600 / every_seconds * SERVICES
        others = points * SCALARS, points * DISTRIBUTIONS
        prometheus = managed_prometheus_usd(*others, FILLED_BUCKETS)
        yield beside(f"a month, {told}; Cloud Monitoring", dollars, cloud_monitoring_usd(*others), "$")
        yield beside(f"a month, {told}; Managed Prometheus", dollars, prometheus, "$")


def _hour(start: datetime, every_seconds: int) -> _Hour:
    """An hour of a deployment that has been evaluating before."""
    clock = Clock(start)
    store = SqliteStore(":memory:", clock, synchronous="OFF")
    world = World(store, clock)
    world.evaluate()
    ingest, evaluate = CountingStore(store), CountingStore(store)
    ingesting = replace(world.services, store=ingest).ingest()
    arrivals: list[float] = []
    bus_bytes = 0
    rng = np.random.default_rng(1)
    for minute in range(MINUTES):
        for second in range(0, MINUTE_SECONDS, every_seconds):
            at = start + timedelta(minutes=minute, seconds=second + 1)
            clock.time = at
            for writer in WRITERS:
                seq = len(arrivals) // SERVICES
                data = compact(writer, seq, at, SCALARS, DISTRIBUTIONS, OBSERVATIONS, rng)
                ingesting(Message(data, ATTRIBUTES, f"{writer}-{seq}", at))
                arrivals.append(60.0 * minute + second + Schedule(writer, "boot-1", 0).jitter_us / US_PER_SECOND)
                bus_bytes += 2 * max(len(data), BUS_LEAST_BYTES)
        clock.time = start + timedelta(minutes=minute + 1, seconds=6)
        replace(world.services, store=evaluate).evaluate()()
    stored = _stored(store, [*ingest.written, *evaluate.written])
    return _Hour(ingest, evaluate, len(arrivals), _busy_seconds(arrivals), bus_bytes, stored)


def _busy_seconds(arrivals: Sequence[float]) -> float:
    """How long at least one request is under way, which is what Cloud Run charges for."""
    busy, until = 0.0, 0.0
    for arrival in sorted(arrivals):
        busy += arrival + REQUEST_SECONDS - max(arrival, until) if arrival + REQUEST_SECONDS > until else 0.0
        until = max(until, arrival + REQUEST_SECONDS)
    return busy


def _stored(store: SqliteStore, paths: Sequence[str]) -> int:
    return sum(document_bytes(path, document.fields) for path, document in store.get(paths).items())


def _usage(hour: _Hour) -> Usage:
    """A month of such hours."""
    manifest = load_manifest()
    expiring = tuple(f"{name}/" for name in manifest.expiring)
    seconds = {"ingest": hour.busy_seconds, "evaluate": MINUTES * EVALUATION_SECONDS}
    sizes = [(manifest.functions[name], busy) for name, busy in seconds.items()]
    return Usage(
        reads=HOURS * hour.evaluate.reads.total(),
        writes=HOURS * (hour.ingest.writes + hour.evaluate.writes),
        expiry_deletes=HOURS * sum(path.startswith(expiring) for path in hour.ingest.written | hour.evaluate.written),
        stored_bytes=KEPT_HOURS * hour.stored_bytes,
        bus_bytes=HOURS * hour.bus_bytes,
        requests=HOURS * (hour.messages + MINUTES),
        vcpu_seconds=HOURS * sum(function.sizing.cpu * busy for function, busy in sizes),
        gib_seconds=HOURS * sum(function.sizing.memory_mib / 1024 * busy for function, busy in sizes),
        jobs=1,
    )
