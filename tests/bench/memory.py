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
from tests.serving import serving

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
    total_kb = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        fields = _text(status).rpartition(")")[2].split()
        if len(fields) > 2 and int(fields[2]) == group:
            lines = _text(status.with_name("status")).splitlines()
            total_kb += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    return total_kb / 1024


def _text(path: Path) -> str:
    """A file of a process; empty when the process has ended."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
