"""The README holds: its commands are run as they stand there, and its settings are those that the code reads."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import pytest

from shared.adapters.sqlite_store import SqliteStore
from shared.manifest import load_manifest
from shared.rollups import read_live
from shared.timeline import minute_floor
from shared.wiring import utc_now

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EMULATOR_VARIABLES = {"FIRESTORE_EMULATOR_HOST", "MONITORING_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST"}


@dataclass(frozen=True, slots=True)
class Run:
    """A live run as a person starts it: its address, its process and its database."""

    url: str
    process: subprocess.Popen[str]
    database: Path


@contextlib.contextmanager
def live_run(folder: Path, port: int = 0) -> Iterator[Run]:
    """``python -m shared.local run`` from its line to open until the end of the block."""
    command = [sys.executable, "-m", "shared.local", "run", "--port", str(port), "--folder", str(folder)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        line = next(line for line in lines if line.startswith("Open "))
        url = line.split()[1]
        yield Run(url, process, folder / f"run-{url.rpartition(':')[2]}.sqlite")
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """One run for the tests that only look at it."""
    with live_run(tmp_path_factory.mktemp("run")) as started:
        yield started


def fetched(url: str) -> str:
    """The body of a page on loopback."""
    with urlopen(url, timeout=30) as answer:  # loopback, from the run itself
        return str(answer.read().decode())


def snippet() -> str:
    """The README's curl one-liner."""
    (command,) = re.findall(r"```sh\n(curl .*)\n```", README)
    return str(command)


def test_the_pages_that_the_readme_names_are_there(run: Run) -> None:
    """As soon as the line is there the overview answers in HTML, text, JSON and Markdown, with the fleet's numbers."""
    overview = json.loads(fetched(f"{run.url}/dashboards/overview.json"))["dashboard"]["overview"]
    assert overview["throughput"] > 1000
    assert "<html" in fetched(f"{run.url}/dashboards/overview.html")
    assert "SERVICE HEALTH" in fetched(f"{run.url}/dashboards/overview.txt")
    assert "#" in fetched(f"{run.url}/dashboards/overview.md")
    assert "<html" in fetched(f"{run.url}/inbox")


def test_the_curl_one_liner_publishes_a_metric(run: Run) -> None:
    """As it stands in the README but for the port, it answers with an id, and the point is stored in its minute."""
    before = minute_floor(utc_now())
    command = snippet().replace("http://127.0.0.1:8080", run.url)
    answer = json.loads(subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout)
    assert len(answer["messageIds"]) == 1
    store = SqliteStore(run.database, utc_now)
    with contextlib.closing(store):
        values: list[float] = []
        while not values:  # it is delivered within milliseconds
            assert run.process.poll() is None
            for minute in (before, before + 60, before + 120):
                cells = read_live(store, minute, utc_now())
                values += [
                    float(cells.last[row])
                    for row, series in enumerate(cells.series)
                    if ("region", "my-laptop") in series.labels
                ]
    assert values == [97.0]


def test_a_busy_port_is_said_and_an_interrupt_ends_everything(tmp_path: Path) -> None:
    """The next free port is taken; Ctrl-C ends the run with 0, no traceback, and nothing listening or running."""
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = int(busy.getsockname()[1])
        with live_run(tmp_path, port) as started:
            assert int(started.url.rpartition(":")[2]) > port
            os.killpg(started.process.pid, signal.SIGINT)
            out, err = started.process.communicate(timeout=60)
            assert started.process.returncode == 0
            assert out.splitlines()[-1] == "Stopped."
            assert err == ""
            with pytest.raises(ProcessLookupError):
                os.killpg(started.process.pid, 0)


def test_every_setting_is_documented() -> None:
    """The README's table has a row for each variable that a function is given, and the three stand-ins'; no others."""
    documented = set(re.findall(r"^\| `((?:ION|FIRESTORE|PUBSUB|MONITORING)_[A-Z_]+)`", README, re.MULTILINE))
    assert documented == set(load_manifest().environment()) | EMULATOR_VARIABLES


def test_every_make_setting_and_command_exists() -> None:
    """What the README says of make, its variables and its targets, is in the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for variable in re.findall(r"^\| `([A-Z]+)` \|", README, re.MULTILINE):
        assert f"$({variable})" in makefile or f"$(filter 1,$({variable}))" in makefile
    for target in set(re.findall(r"`?make ([a-z][a-z-]*)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_every_link_leads_somewhere() -> None:
    """Files that the README and CONTRIBUTING link to exist."""
    pages = README + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for path in re.findall(r"\]\(([^)#:]+)\)", pages):
        assert (ROOT / path).exists(), path
