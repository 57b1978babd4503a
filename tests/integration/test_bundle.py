"""The archives at work: each builds its function by itself, and runs as in the cloud."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.adapters.firestore_store import FirestoreStore
from shared.adapters.pubsub_bus import create_resources
from shared.buckets import writers_of
from shared.bundle import contents
from shared.bus import Message
from shared.formats.compact import decode
from shared.manifest import Function, PushTrigger, ScheduleTrigger, load_manifest
from shared.push import push_body
from shared.timeline import minute_of_us, to_us
from tests.emulators import Emulator
from tests.monitoring_server import MonitoringServer

ROOT = Path(__file__).parents[2]
FUNCTIONS = load_manifest().functions
PROJECT = "ion-bundle-test"
AT = datetime(2025, 10, 18, 12, 34, 56, tzinfo=UTC)
POINTS = (
    b'{"version":1,"points":[{"metric":"response_time","labels":{"region":"us-central1","endpoint":"/process"},'
    b'"timestamp":"2025-10-18T12:34:56Z","value":25.3}]}'
)
READY_WITHIN_SECONDS = 60.0
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")


@dataclass(frozen=True, slots=True)
class Server:
    """A function that is being served, and where its output goes."""

    name: str
    port: int
    log: Path

    def ask(self, method: str, path: str, body: bytes) -> int:
        """The status that a request is answered with."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body, {"Content-Type": "application/json"})
            return connection.getresponse().status


def _contents(name: str) -> dict[str, bytes]:
    """A function's archive, file by file."""
    return contents(FUNCTIONS[name], FUNCTIONS.keys() - {name})


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_archive_alone_builds_its_function(name: str, tmp_path: Path) -> None:
    """Apart from the repository, main.py is imported and wired from nothing but the archive's files."""
    for path, data in _contents(name).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    code = f"import main; from shared.wiring import services; services().{name}(); print(main.__file__)"
    environment = {
        "ION_PROJECT": PROJECT,
        "FIRESTORE_EMULATOR_HOST": "127.0.0.1:9",
        "PUBSUB_EMULATOR_HOST": "127.0.0.1:9",
    }
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(tmp_path / "main.py"), done.stderr


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all archives, built by the command line."""
    out = tmp_path_factory.mktemp("build")
    subprocess.run([sys.executable, "-m", "shared.bundle", "--out", str(out)], cwd=ROOT, check=True)
    return out


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All packages that any function may need, fetched once."""
    folder = tmp_path_factory.mktemp("wheels")
    command = [*PIP, "wheel", "-q", "-w", str(folder), "-r", str(ROOT / "requirements.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and re.search("NewConnectionError|NameResolutionError", done.stdout + done.stderr):
        pytest.skip("pip cannot reach any packages: no network")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def monitoring() -> Iterator[MonitoringServer]:
    """A Cloud Monitoring that knows no metric."""
    with MonitoringServer(lambda: AT, {}) as running:
        yield running


@pytest.fixture(scope="module", params=FUNCTIONS)
def server(
    request: pytest.FixtureRequest,
    archives: Path,
    wheels: Path,
    firestore_host: Emulator,
    pubsub_host: Emulator,
    monitoring: MonitoringServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """An archive, unpacked alone, behind the functions-framework of its own requirements in a new environment."""
    folder = tmp_path_factory.mktemp(request.param)
    with zipfile.ZipFile(archives / f"{request.param}.zip") as built:
        built.extractall(folder / "unpacked")
    programs = _installed(folder, wheels)
    create_resources(PROJECT, pubsub_host.host, load_manifest().topics, [], {})
    emulators = {
        "FIRESTORE_EMULATOR_HOST": firestore_host.host,
        "PUBSUB_EMULATOR_HOST": pubsub_host.host,
        "MONITORING_EMULATOR_HOST": monitoring.host,
    }
    try:
        with _served(request.param, folder, programs, emulators) as served:
            yield served
    finally:
        shutil.rmtree(folder)


def _installed(folder: Path, wheels: Path) -> Path:
    """A new virtual environment with the archive's own requirements and nothing else; its folder of programs."""
    venv.create(folder / "venv")
    python, requirements = str(folder / "venv" / "bin" / "python"), str(folder / "unpacked" / "requirements.txt")
    only_these = ["--no-index", "--find-links", str(wheels), "--no-compile", "-r", requirements]
    subprocess.run([*PIP, "--python", python, "install", "-q", *only_these], check=True)
    return folder / "venv" / "bin"


@contextlib.contextmanager
def _served(name: str, folder: Path, programs: Path, emulators: Mapping[str, str]) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = {
        "PATH": f"{programs}{os.pathsep}{os.defpath}",
        "PYTHONPATH": str(folder / "unpacked"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "ION_PROJECT": PROJECT,
        **emulators,
    }
    log = folder / "log"
    signature = "cloudevent" if isinstance(FUNCTIONS[name].trigger, PushTrigger) else "http"
    command = ["functions-framework", f"--target={name}", f"--signature-type={signature}", "--host=127.0.0.1"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [programs / command[0], *command[1:], f"--port={port}"],
            cwd=folder / "unpacked",
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_listening(process, port, log)
        yield Server(name, port, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    give_up = time.monotonic() + READY_WITHIN_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None or time.monotonic() > give_up:
            raise RuntimeError(f"the function does not listen: {log.read_text('utf-8', 'replace')[-2000:]}")
        time.sleep(0.05)


def _question(function: Function) -> tuple[str, str, bytes]:
    """What a function is asked first: a real message, a call of the schedule, a page."""
    if function.name == "ingest":
        return "POST", "/", push_body(Message(POINTS, {}, "1", AT), "metrics-ingest", PROJECT)
    match function.trigger:
        case PushTrigger():
            return "POST", "/", push_body(Message(b"", {}, "", AT), function.trigger.subscription.name, PROJECT)
        case ScheduleTrigger():
            return "POST", "/", b""
    return "GET", "/healthz", b""


def test_an_unpacked_archive_answers(server: Server, firestore_host: Emulator) -> None:
    """With nothing but its archive and its own requirements each function serves, and ingest stores what it is sent."""
    status = server.ask(*_question(FUNCTIONS[server.name]))
    assert status // 100 == (4 if FUNCTIONS[server.name].public else 2), server.log.read_text("utf-8")
    if server.name == "ingest":
        _check_stored(firestore_host)


def _check_stored(firestore_host: Emulator) -> None:
    store = FirestoreStore(PROJECT, emulator_host=firestore_host.host)
    with contextlib.closing(store):
        (document,) = store.list(writers_of(minute_of_us(to_us(AT)))).documents
    ((_, chunk),) = document.fields["c"].items()
    (section,) = decode(chunk).sections
    assert section.cells.count.tolist() == [1]
    assert section.cells.sum.tolist() == [25.3]
    assert [one.metric for one in section.cells.series] == ["response_time"]
