"""Process metrics: percent of what a process may use, read from what the system says."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.integrations.process import ProcessMetrics, Reading
from tests.unit.test_performance import Measured


def system(folder: Path, **files: str) -> dict[str, Any]:
    """A system that says just this."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {"group": folder, "proc": folder}


def last(here: Measured, metric: str) -> float:
    """The newest value of a metric."""
    found = here.collector.get_metric_statistics(metric)["last"]
    assert found is not None
    return found


def test_levels(tmp_path: Path) -> None:
    """Half a processor of the half that its group allows is all of it; a quarter of its memory is 25 %."""
    here = Measured()
    limits = system(tmp_path, cpu_max="50000 100000\n", memory_max="1073741824\n", meminfo="MemTotal: 8388608 kB\n")
    metrics = ProcessMetrics(here.collector, **limits)
    metrics.record(Reading(0.0, 1.0, 268_435_456))
    metrics.record(Reading(10.0, 6.0, 268_435_456))
    assert last(here, "cpu_utilization_us") == 100.0
    assert last(here, "memory_utilization_us") == 25.0


@pytest.mark.parametrize("limit", ["max 100000\n", "", "x y\n", "5 0\n"])
def test_no_limit_of_the_group(tmp_path: Path, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a limit the processors are those it may run on, the memory the machine's."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    limits = system(tmp_path, cpu_max=limit, memory_max="max\n", meminfo="MemTotal: 1024 kB\n")
    metrics = ProcessMetrics(Measured().collector, **limits)
    assert (metrics.processors(), metrics.memory_bytes()) == (4.0, 1024 * 1024)


def test_a_system_that_says_nothing(tmp_path: Path) -> None:
    """Where there is no such folder the processor is recorded, memory is not, and nothing is raised."""
    here = Measured()
    metrics = ProcessMetrics(here.collector, group=tmp_path / "no", proc=tmp_path / "no")
    for _ in range(3):
        metrics.record()
    assert {series.metric for series in here.service.counts()} == {"cpu_utilization"}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_this_process() -> None:
    """Of the process that runs this both are known, and within bounds; its thread records and ends."""
    here = Measured()
    metrics = ProcessMetrics(here.collector).start()
    reading = metrics.read()
    assert reading.resident_bytes is not None
    assert reading.resident_bytes > 10_000_000
    assert 0 < reading.resident_bytes < (metrics.memory_bytes() or 0)
    metrics.stop()
