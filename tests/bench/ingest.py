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


def figures(_: datetime) -> Iterator[Figure]:
    """One figure a format."""
    with TemporaryDirectory() as folder, firestore_emulator(project=PROJECT) as emulator:
        environment = environment_of(emulator)
        log = Path(folder) / "log"
        with (
            serving(INGEST, "ingest", "cloudevent", environment, log) as ours,
            serving(BARE, "store_raw", "cloudevent", environment, log) as bare,
        ):
            seeds = itertools.count(1)
            for name, make, goal in CASES:
                yield _figure(name, make, goal, ours, bare, seeds)


def environment_of(emulator: Emulator) -> dict[str, str]:
    """What the functions are given: ours and the bare ones."""
    return {
        "PYTHONPATH": str(ROOT),
        "ION_PROJECT": PROJECT,
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "FIRESTORE_EMULATOR_HOST": emulator.host,
        "PUBSUB_EMULATOR_HOST": "127.0.0.1:9",
    }


def _figure(name: str, make: Maker, goal: float, ours: Served, bare: Served, seeds: Iterator[int]) -> Figure:
    """Both servers take the same messages, in turn; the first batch warms them."""
    batches = [[*map(request_of, pushes(make, MESSAGES, next(seeds), PROJECT))] for _ in range(ROUNDS + 1)]
    for server in (ours, bare):
        messages_per_second(server.port, batches[0])
    mine, its = iter(batches[1:]), iter(batches[1:])
    value, reference = paired(
        lambda: messages_per_second(ours.port, next(mine)), lambda: messages_per_second(bare.port, next(its)), ROUNDS
    )
    return at_least(f"{name}, 8 at once", value, reference, goal, "msg/s")
