"""A process's own use of processor and memory, as its region's levels: ``ProcessMetrics(collector).start()``.

Percent of what the process may use: its processors, as its control group or affinity limits them, and the memory of
its control group or machine. On Linux; elsewhere only the processor is known.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, process_time

from ..metrics_collector import ProductionMetricsCollector, own_collector

INTERVAL_SECONDS = 15.0
_GROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a process had used at an instant: processor seconds in all, and resident bytes (None: unknown)."""

    at_seconds: float
    cpu_seconds: float
    resident_bytes: int | None


class ProcessMetrics:
    """Records ``cpu_utilization`` and ``memory_utilization`` of this process every INTERVAL_SECONDS."""

    def __init__(
        self,
        collector: ProductionMetricsCollector | None = None,
        region: str | None = None,
        *,
        group: Path = _GROUP,
        proc: Path = Path("/proc"),
    ) -> None:
        """``group`` and ``proc`` are where the system says what may be used, and what is."""
        self._collector = collector or own_collector()
        self._region = self._collector.region if region is None else region
        self._group = group
        self._proc = proc
        self._stop = threading.Event()
        self._last: Reading | None = None

    def start(self) -> ProcessMetrics:
        """Record from now on, on a thread of its own; once in each process, after it has forked."""
        threading.Thread(target=self._run, name="ion-process", daemon=True).start()
        return self

    def stop(self) -> None:
        """Record no more."""
        self._stop.set()

    def record(self, now: Reading | None = None) -> None:
        """Record once; the first time only what memory is in use. Raises nothing."""
        try:
            now = now or self.read()
            last, self._last = self._last, now
            if last is not None and now.at_seconds > last.at_seconds:
                used = (now.cpu_seconds - last.cpu_seconds) / (now.at_seconds - last.at_seconds)
                self._collector.record_cpu(self._region, 100.0 * used / self.processors())
            limit = self.memory_bytes()
            if now.resident_bytes is not None and limit:
                self._collector.record_memory(self._region, 100.0 * now.resident_bytes / limit)
        except Exception:  # noqa: BLE001 - a service does not fail for its metrics
            self._last = None

    def read(self) -> Reading:
        """What is used now."""
        return Reading(monotonic(), process_time(), self._resident_bytes())

    def processors(self) -> float:
        """How many processors this process may keep busy; at least a hundredth."""
        quota, _, period = _text(self._group / "cpu.max").partition(" ")
        allowed = (
            float(len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else float(os.cpu_count() or 1)
        )
        if quota.isdecimal() and period.strip().isdecimal() and int(period):
            allowed = min(allowed, int(quota) / int(period))
        return max(allowed, 0.01)

    def memory_bytes(self) -> int | None:
        """How much memory there is for it; None when nobody says."""
        limit = _text(self._group / "memory.max").strip()
        machine = _field(self._proc / "meminfo", "MemTotal")
        known = [int(limit)] if limit.isdecimal() else []
        return min([*known, *([machine] if machine else [])], default=None)

    def _resident_bytes(self) -> int | None:
        return _field(self._proc / "self" / "status", "VmRSS")

    def _run(self) -> None:
        while not self._stop.is_set():
            self.record()
            self._stop.wait(INTERVAL_SECONDS)


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")
    except OSError:
        return ""


def _field(path: Path, name: str) -> int | None:
    """A field of kilobytes, in bytes."""
    for line in _text(path).splitlines():
        field, _, rest = line.partition(":")
        if field == name and rest.split()[:1] and rest.split()[0].isdecimal():
            return int(rest.split()[0]) * 1024
    return None
