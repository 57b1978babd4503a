"""Messages a second that the real framework server takes, beside a bare function that stores each in one document."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.figures import Figure, at_least, paired
from tests.bench.load import messages_per_second, request_of
from tests.bench.messages import Maker, compact_35, native_105, otlp_105, pushes
from tests.emulators import Emulator, firestore_emulator
from tests.serving import ROOT, Served, serving

PROJECT = "ion-bench"
ROUNDS = 9
MESSAGES = 400
CASES: tuple[tuple[str, Maker, float], ...] = (
    ("compact chunk of 35 series", compact_35, 0.75),
    ("native JSON of 105 series", native_105, 0.6),
    ("OTLP protobuf of 105 series", otlp_105, 0.5),
)
INGEST = ROOT / "functions" / "ingest" / "main.py"
BARE = Path(__file__).parent / "bare" / "main.py"


def figures(now: datetime) -> Iterator[Figure]:
    """One figure a format; points are stamped ``now``, so that none is late."""
    with TemporaryDirectory() as folder, firestore_emulator(project=PROJECT) as emulator:
        environment = environment_of(emulator)
        log = Path(folder) / "log"
        with (
            serving(INGEST, "ingest", "cloudevent", environment, log) as ours,
            serving(BARE, "store_raw", "cloudevent", environment, log) as bare,
        ):
            seeds = itertools.count(1)
            for name, make, goal in CASES:
                yield _figure(name, make, goal, ours, bare, seeds, now)


def environment_of(emulator: Emulator) -> dict[str, str]:
    """What the functions are given: ours and the bare ones."""
    return {
        "PYTHONPATH": str(ROOT),
        "ION_PROJECT": PROJECT,
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "FIRESTORE_EMULATOR_HOST": emulator.host,
        "PUBSUB_EMULATOR_HOST": "127.0.0.1:9",
    }


def _figure(
    name: str, make: Maker, goal: float, ours: Served, bare: Served, seeds: Iterator[int], now: datetime
) -> Figure:
    def rate(server: Served) -> float:
        requests = [request_of(body) for body in pushes(make, now, MESSAGES, next(seeds), PROJECT)]
        return messages_per_second(server.port, requests)

    rate(ours), rate(bare)  # warm
    value, reference = paired(lambda: rate(ours), lambda: rate(bare), ROUNDS)
    return at_least(f"{name}, 8 at once", value, reference, goal, "msg/s")
