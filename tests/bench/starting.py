"""From a process's start to its first answer, beside a hello-world with the Firestore client; the disk is warm."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.figures import Figure, at_most, paired
from tests.bench.ingest import BARE, INGEST, PROJECT, environment_of
from tests.bench.messages import compact_35, pushes
from tests.emulators import firestore_emulator
from tests.serving import Served, serving

ROUNDS = 7


def figures(_: datetime) -> Iterator[Figure]:
    """One figure: ingest's first message stored, beside the first hello."""
    with TemporaryDirectory() as folder, firestore_emulator(project=PROJECT) as emulator:
        environment = environment_of(emulator)
        log = Path(folder) / "log"
        (body,) = pushes(compact_35, 1, 1, PROJECT)
        ours, reference = paired(
            lambda: _start_ms(serving(INGEST, "ingest", "cloudevent", environment, log), body),
            lambda: _start_ms(serving(BARE, "hello", "http", environment, log), b"{}"),
            ROUNDS,
        )
        yield at_most("start of ingest to its first answer", ours, reference, 1.25, "ms")


def _start_ms(starting: AbstractContextManager[Served], body: bytes) -> float:
    started = time.perf_counter()
    with starting as server:
        if server.post(body) // 100 != 2:
            raise RuntimeError(server.log.read_text("utf-8", "replace")[-2000:])
        return 1000 * (time.perf_counter() - started)
