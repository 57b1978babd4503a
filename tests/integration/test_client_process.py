"""The collector in real processes: whatever is around it fails, the service does not, and what can arrive arrives."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_examples import arrived
from tests.integration.test_readme import Run, live_run
from tests.serving import ROOT

BEGIN = """
import asyncio, atexit, json, multiprocessing, os, signal, sys, threading
from concurrent.futures import ProcessPoolExecutor
from shared.metrics_collector import ProductionMetricsCollector
from shared.performance import measured, monitor_performance
collector = ProductionMetricsCollector()
def record(number):
    collector.record_response_time("{region}", f"/{{number}}", 1.0)
"""

SERVICES = {
    "threads": """
def work(first):
    for number in range(first, first + 200):
        record(number)
workers = [threading.Thread(target=work, args=(200 * one,)) for one in range(8)]
for worker in workers: worker.start()
for worker in workers: worker.join()
""",
    "asyncio": """
@monitor_performance
async def serve(number):
    await asyncio.sleep(0)
    record(number)
async def main():
    await asyncio.gather(*(serve(number) for number in range(300)))
asyncio.run(main())
""",
    "the end of the interpreter": """
class Late:
    def __del__(self):
        record(7)
late = Late()
def slow():
    main.join()
    record(3)
main = threading.main_thread()
threading.Thread(target=slow).start()
record(1)
atexit.register(lambda: record(2))
""",
    "forked workers": """
def work(number):
    record(number)
    return number
context = multiprocessing.get_context("fork")
record(1000)
with context.Pool(3) as pool:
    assert pool.map(work, range(40)) == list(range(40))
    pool.close()
    pool.join()
workers = [context.Process(target=record, args=(100 + one,)) for one in range(3)]
for worker in workers: worker.start()
for worker in workers: worker.join()
assert [worker.exitcode for worker in workers] == [0, 0, 0]
""",
    "hostile labels": """
for hostile in (None, 5, "\\ud800", "x" * 10_000, [], {}, object(), b"x", float("nan")):
    collector.record_error(hostile, hostile, hostile)
    collector.record_response_time(hostile, "/x", 1.0)
    collector.record_cpu("us", hostile)
for number in range(20_000):
    record("x" * 400 + str(number))
""",
}
ARRIVES = {
    "threads": set(range(1600)), "asyncio": set(range(300)), "the end of the interpreter": {1, 2, 3},
    "forked workers": {*range(40), 1000, 100, 101, 102},
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A local run, to which the services publish."""
    with live_run(tmp_path_factory.mktemp("client")) as run:
        yield run


def finished(service: str, region: str, **environment: str) -> tuple[int, str]:
    """The status with which a service's process ends, and what of its complaints is no event in the log."""
    script = BEGIN.format(region=region) + SERVICES[service]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={"PATH": os.defpath, **environment}, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, "\n".join(line for line in done.stderr.splitlines() if not line.startswith('{"severity"'))


@pytest.mark.parametrize("service", ARRIVES)
def test_all_arrives_once(run: Run, service: str) -> None:
    """Whatever the service is made of, each observation before its end counts exactly once."""
    region = f"region-{list(SERVICES).index(service)}"
    here = run.url.rstrip("/").rpartition("/")[2]
    assert finished(service, region, ION_PROJECT="ion-local", PUBSUB_EMULATOR_HOST=here) == (0, "")
    found: Counter[int] = Counter()
    give_up = time.monotonic() + 60
    while set(found) < ARRIVES[service]:  # it is delivered within milliseconds
        assert time.monotonic() < give_up, sorted(ARRIVES[service] - set(found))
        found.clear()
        for series, (count, _) in arrived(run, region).items():
            if series.metric == "response_time":
                found[int(dict(series.labels)["endpoint"][1:])] += count
    assert found == Counter(ARRIVES[service])


LOADS = """
import json, sys
from shared.metrics_collector import ProductionMetricsCollector
collector = ProductionMetricsCollector()
before = set(sys.modules)
for number in range(5000):
    collector.record_response_time("r", "/x", 1.0)
collector.record("m", 1.0)
collector.close()
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_publishing_loads_nothing() -> None:
    """Once there is a collector, recording and publishing import nothing: a fork leaves no module half loaded."""
    environment = {"PATH": os.defpath, "ION_PROJECT": "my-project", "PUBSUB_EMULATOR_HOST": "localhost:1"}
    done = subprocess.run(
        [sys.executable, "-c", LOADS], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("service", ["the end of the interpreter", "forked workers", "hostile labels"])
def test_nothing_harms_the_service(service: str, silent: str, tmp_path: Path) -> None:
    """With a silent Pub/Sub and a spool that cannot be made, a process ends as it would, and complains in the log."""
    (tmp_path / "file").touch()
    environment = {
        "ION_PROJECT": "my-project", "PUBSUB_EMULATOR_HOST": silent, "ION_SPOOL": str(tmp_path / "file" / "spool")
    }  # fmt: skip
    assert finished(service, "r", **environment) == (0, "")


@pytest.mark.parametrize(
    "environment",
    [
        {}, {"ION_PROJECT": "?"}, {"ION_PROJECT": "my-project", "GCE_METADATA_HOST": "127.0.0.1:1"},
        {"ION_PROJECT": "my-project", "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere"},
        {"ION_PROJECT": "my-project", "ION_WRITER": "x" * 300, "GCE_METADATA_HOST": "127.0.0.1:1"},
    ],
    ids=["none", "malformed", "no metadata server", "no key", "no name"],
)  # fmt: skip
def test_no_environment_harms_the_service(environment: dict[str, str]) -> None:
    """Settings and credentials that are missing or wrong are said in the log, and nowhere else."""
    assert finished("threads", "r", **environment) == (0, "")
