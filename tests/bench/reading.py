"""Reading and merging one minute, beside the emulator's bare read of the same documents."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import numpy as np
from google.cloud import firestore

from shared.adapters.firestore_store import FirestoreStore
from shared.buckets import commits_of, writers_of
from shared.formats.compact import decode
from shared.identity import identify
from shared.rollups import read_live
from shared.timeline import from_minute, minute_floor
from tests.bench.figures import Figure, at_most, beside, bounded, paired
from tests.bench.messages import compact
from tests.emulators import firestore_emulator

PROJECT = "ion-bench"
ROUNDS = 9
CASES = ((30, 35, 4), (300, 105, 4))
DISTRIBUTIONS, OBSERVATIONS = 5, 75
MOST_TIMES_THE_BARE_READ = 3.0
MOST_CPU_MS = 500.0


def figures(now: datetime) -> Iterator[Figure]:
    """The time beside the bare read, and of the larger minute the processor's time, too."""
    with firestore_emulator(project=PROJECT) as emulator:
        store = FirestoreStore(PROJECT, emulator_host=emulator.host)
        for number, (writers, series, chunks) in enumerate(CASES):
            minute = minute_floor(now) - 60 * number
            _fill(store, minute, writers, series, chunks)
            yield from _figures(store, emulator.host, minute, now, _name(writers, series, chunks))
        store.close()


def _name(writers: int, series: int, chunks: int) -> str:
    return f"{writers} writers x {series} series x {chunks}"


SMALL = _name(*CASES[0])


def _fill(store: FirestoreStore, minute: int, writers: int, series: int, chunks: int) -> None:
    rng = np.random.default_rng(1)
    for writer in range(writers):
        for seq in range(chunks):
            at = from_minute(minute) - timedelta(seconds=15 * seq)
            data = compact(f"service-{writer}", seq, at, series - DISTRIBUTIONS, DISTRIBUTIONS, OBSERVATIONS, rng)
            chunk = decode(data)
            for commit in commits_of(chunk, identify(data, chunk.writer, chunk.boot, chunk.seq)):
                store.commit(commit.puts)


def _figures(store: FirestoreStore, host: str, minute: int, now: datetime, name: str) -> Iterator[Figure]:
    bare = _bare(host, minute)
    ours, reference = paired(lambda: _wall_ms(lambda: read_live(store, minute, now)), lambda: _wall_ms(bare), ROUNDS)
    if name == SMALL:
        yield at_most(f"read and merge a minute, {name}", ours, reference, MOST_TIMES_THE_BARE_READ, "ms")
        return
    yield beside(f"read and merge a minute, {name}", ours, reference, "ms")
    cpu_ms = min(_cpu_ms(lambda: read_live(store, minute, now)) for _ in range(ROUNDS))
    yield bounded(f"the same, processor time, {name}", cpu_ms, MOST_CPU_MS, "ms")


def _bare(host: str, minute: int) -> Callable[[], object]:
    """Reads a minute's documents with Google's client as it comes, and does nothing with them."""
    os.environ["FIRESTORE_EMULATOR_HOST"] = host  # the only way to tell the client
    client = firestore.Client(PROJECT)
    return lambda: [document.to_dict() for document in client.collection(writers_of(minute)).stream()]


def _wall_ms(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - started)


def _cpu_ms(call: Callable[[], object]) -> float:
    started = time.process_time()
    call()
    return 1000 * (time.process_time() - started)
