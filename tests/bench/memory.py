"""The memory of ingest over 100,000 messages, beside its own after the first 10,000."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.figures import Figure, at_most
from tests.bench.ingest import INGEST, PROJECT, environment_of
from tests.bench.load import messages_per_second, request_of
from tests.bench.messages import compact_35, native_105, pushes
from tests.emulators import firestore_emulator
from tests.serving import memory_bytes, serving

MESSAGES = 100_000
FIRST = 10_000
DIFFERENT = 500
"""Messages of each of two formats; they come again and again, so that the store does not grow with them."""


def figures(_: datetime) -> Iterator[Figure]:
    """One figure, in MB resident of all processes of the server."""
    with TemporaryDirectory() as folder, firestore_emulator(project=PROJECT) as emulator:
        bodies = [
            *pushes(compact_35, DIFFERENT, 1, PROJECT),
            *pushes(native_105, DIFFERENT, 2, PROJECT),
        ]
        requests = [request_of(body) for body in bodies]
        with serving(INGEST, "ingest", "cloudevent", environment_of(emulator), Path(folder) / "log") as server:
            messages_per_second(server.port, requests * (FIRST // len(requests)))
            first = _resident_mb(server.pid)
            messages_per_second(server.port, requests * ((MESSAGES - FIRST) // len(requests)))
            yield at_most("memory of ingest after 100,000 messages", _resident_mb(server.pid), first, 1.05, "MB")


def _resident_mb(group: int) -> float:
    """The resident memory of a process group (Linux)."""
    return memory_bytes(group, "VmRSS") / 2**20
