"""The archives at work: each builds its function by itself, and one runs as in the cloud."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.adapters.firestore_store import FirestoreStore
from shared.buckets import writers_of
from shared.bundle import contents
from shared.bus import Message
from shared.formats.compact import decode
from shared.manifest import load_manifest
from shared.push import push_body
from shared.timeline import minute_of_us, to_us
from tests.emulators import Emulator

ROOT = Path(__file__).parents[2]
FUNCTIONS = load_manifest().functions
PROJECT = "ion-bundle-test"
AT = datetime(2025, 10, 18, 12, 34, 56, tzinfo=UTC)
POINTS = (
    b'{"version":1,"points":[{"metric":"response_time","labels":{"region":"us-central1","endpoint":"/process"},'
    b'"timestamp":"2025-10-18T12:34:56Z","value":25.3}]}'
)
READY_WITHIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Server:
    """A function that is being served, and where its output goes."""

    port: int
    log: Path

    def post(self, body: bytes) -> int:
        """The status that a pushed body is answered with."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("POST", "/", body, {"Content-Type": "application/json"})
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
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of ingest, built by the command line and unpacked in an empty folder."""
    out, folder = tmp_path_factory.mktemp("build"), tmp_path_factory.mktemp("unpacked")
    subprocess.run([sys.executable, "-m", "shared.bundle", "ingest", "--out", str(out)], cwd=ROOT, check=True)
    with zipfile.ZipFile(out / "ingest.zip") as built:
        built.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def installed(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with the archive's own requirements; its folder of programs."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=True)
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "-r", str(unpacked / "requirements.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and re.search("NewConnectionError|NameResolutionError", done.stdout + done.stderr):
        pytest.skip("pip cannot reach any packages: no network")
    assert done.returncode == 0, done.stderr
    return folder / "bin"


@pytest.fixture(scope="module")
def ingest_server(
    unpacked: Path, installed: Path, firestore_host: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The unpacked function behind its own functions-framework, on the Firestore emulator."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = {
        "PATH": f"{installed}{os.pathsep}{os.defpath}",
        "PYTHONPATH": str(unpacked),
        "ION_PROJECT": PROJECT,
        "FIRESTORE_EMULATOR_HOST": firestore_host.host,
    }
    log = tmp_path_factory.mktemp("log") / "ingest.log"
    command = ["functions-framework", "--target=ingest", "--signature-type=cloudevent", "--host=127.0.0.1"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [installed / command[0], *command[1:], f"--port={port}"],
            cwd=unpacked,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_listening(process, port, log)
        yield Server(port, log)
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


def test_an_unpacked_archive_stores_a_pushed_message(ingest_server: Server, firestore_host: Emulator) -> None:
    """With nothing but its archive and its own requirements, ingest acknowledges a push and the chunk is stored."""
    message = Message(POINTS, {}, "1", AT)
    assert ingest_server.post(push_body(message, "metrics-ingest", PROJECT)) // 100 == 2, ingest_server.log.read_text()
    store = FirestoreStore(PROJECT, emulator_host=firestore_host.host)
    with contextlib.closing(store):
        (document,) = store.list(writers_of(minute_of_us(to_us(AT)))).documents
    ((_, chunk),) = document.fields["c"].items()
    (section,) = decode(chunk).sections
    assert section.cells.count.tolist() == [1]
    assert section.cells.sum.tolist() == [25.3]
    assert [one.metric for one in section.cells.series] == ["response_time"]
