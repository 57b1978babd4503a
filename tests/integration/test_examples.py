"""The examples, served by real servers under load and ended by SIGTERM: every request is on the dashboard once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from shared.adapters.sqlite_store import SqliteStore
from shared.buckets import stored_in, writers_of
from shared.cells import merge
from shared.series import Series
from shared.timeline import minute_floor
from shared.wiring import utc_now
from tests.integration.test_readme import Run, live_run
from tests.serving import ROOT, free_port, listens

SECONDS = 60.0
REQUESTS = 200
SERVERS: dict[str, tuple[str, Callable[[int], list[str]]]] = {
    "gunicorn": (
        "/personas/<name>",
        lambda port: ["gunicorn", "--workers=2", "--threads=4", f"--bind=127.0.0.1:{port}", "flask_service:app"],
    ),
    "gunicorn, loaded before it forks": (
        "/personas/<name>",
        lambda port: ["gunicorn", "--workers=2", "--preload", f"--bind=127.0.0.1:{port}", "flask_service:app"],
    ),
    "uvicorn": ("/personas/{name}", lambda port: ["uvicorn", f"--port={port}", "fastapi_service:app"]),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A local run, to which the services publish."""
    with live_run(tmp_path_factory.mktemp("examples")) as run:
        yield run


@contextmanager
def served(command: list[str], port: int, environment: dict[str, str], log: Path) -> Iterator[None]:
    """A service until the end of the block; then it is asked to end, and has ended."""
    programs = Path(sys.executable).parent
    with log.open("wb") as output:
        process = subprocess.Popen(
            [programs / command[0], *command[1:]], cwd=ROOT / "examples", env=environment, stdout=output, stderr=output
        )
    try:
        give_up = time.monotonic() + SECONDS
        while not listens(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < give_up
            time.sleep(0.02)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(SECONDS)


def ask(port: int, path: str) -> int:
    """The status of one request."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=SECONDS)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status


def arrived(run: Run, region: str) -> dict[Series, tuple[int, float]]:
    """Count and sum of each series that a region's services have published, of however many series."""
    with closing(SqliteStore(run.database, utc_now)) as store:
        newest = minute_floor(utc_now()) + 120
        minutes = range(newest - 720, newest, 60)
        documents = [one for minute in minutes for one in store.list(writers_of(minute)).documents]
        cells = merge([part for chunk in stored_in(documents) for part in chunk.cells()])
    rows = zip(cells.series, cells.count.tolist(), cells.sum.tolist(), strict=True)
    return {series: (count, total) for series, count, total in rows if ("region", region) in series.labels}


@pytest.mark.parametrize("server", SERVERS)
def test_every_request_is_there(run: Run, server: str, tmp_path: Path) -> None:
    """Of 200 requests, eight at a time, each is one response time and one request, each failure one error.

    The service is ended by SIGTERM right after the last answer: what it has not published by then it publishes then.
    """
    route, command = SERVERS[server]
    port, region = free_port(), f"region-{list(SERVERS).index(server)}"
    (tmp_path / "ion_monitoring").symlink_to(ROOT / "shared")
    environment = {
        "PATH": os.defpath, "PYTHONPATH": str(tmp_path), "ION_PROJECT": "ion-local", "ION_REGION": region,
        "PUBSUB_EMULATOR_HOST": run.url.rstrip("/").rpartition("/")[2],
    }  # fmt: skip
    with served(command(port), port, environment, tmp_path / "log"), ThreadPoolExecutor(8) as pool:
        paths = ["/broken" if number % 10 == 0 else f"/personas/{number % 7}" for number in range(REQUESTS)]
        statuses = list(pool.map(lambda path: ask(port, path), paths))
    assert sorted(set(statuses)) == [200, 500], (tmp_path / "log").read_text()
    found = settled(run, region, REQUESTS)
    log = (tmp_path / "log").read_text()
    timed = {endpoint: count for (metric, endpoint), (count, _) in found.items() if metric == "response_time"}
    assert timed == {route: 180, "/broken": 20}, log
    added = {key: total for key, (_, total) in found.items() if key[0] in ("requests", "errors")}
    assert added == {("requests", route): 180.0, ("requests", "/broken"): 20.0, ("errors", "/broken"): 20.0}
    assert found["function_time", ""][0] == 180
    assert found["response_time", route][1] / 180 >= 2.0, "milliseconds"


def settled(run: Run, region: str, requests: int) -> dict[tuple[str, str], tuple[int, float]]:
    """What has arrived by metric and endpoint, once it is all stored: the bus delivers a moment after it accepts."""
    give_up = time.monotonic() + SECONDS
    while True:
        found: dict[tuple[str, str], tuple[int, float]] = {}
        for series, (count, total) in arrived(run, region).items():
            key = series.metric, dict(series.labels).get("endpoint", "")
            before = found.get(key, (0, 0.0))
            found[key] = before[0] + count, before[1] + total
        timed = sum(count for (metric, _), (count, _) in found.items() if metric == "response_time")
        if timed >= requests or time.monotonic() > give_up:
            return found
        time.sleep(0.1)
