"""The archives: what is in them, that they are reproducible, and that one runs by itself as in the cloud."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import importlib.metadata
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
from shared.bundle import Closure, archive, closure, contents, main, requirements_text
from shared.bus import Message
from shared.errors import ConfigError
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


def _reached(name: str) -> Closure:
    """What a function of this project imports."""
    return closure(ROOT / "functions" / name / "main.py", ROOT, FUNCTIONS.keys() - {name})


def _contents(name: str) -> dict[str, bytes]:
    """A function's archive, file by file."""
    return contents(FUNCTIONS[name], FUNCTIONS.keys() - {name})


def _providers() -> dict[str, str]:
    """The installed package that provides each importable module, by dotted name."""
    found = {}
    for distribution in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        for file in distribution.files or ():
            if file.suffix == ".py":
                parts = file.parent.parts if file.name == "__init__.py" else (*file.parent.parts, file.stem)
                found[".".join(parts)] = name
    return found


def _third_party(modules: frozenset[str], providers: dict[str, str]) -> dict[str, str]:
    """The package behind every import that is neither the standard library's nor ours, with one import of it."""
    found = {}
    for module in sorted(modules):
        if module.partition(".")[0] not in sys.stdlib_module_names and module in providers:
            found[providers[module]] = module
    return found


@pytest.fixture(scope="module")
def providers() -> dict[str, str]:
    """Importable modules to packages."""
    return _providers()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_requires_what_it_imports_and_nothing_else(name: str, providers: dict[str, str]) -> None:
    """The manifest's requirements are the packages behind the imports that main.py reaches, plus what serves it."""
    imported = _third_party(_reached(name).foreign, providers)
    assert imported.keys() == set(FUNCTIONS[name].requirements), imported


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_import_leads_somewhere(name: str, providers: dict[str, str]) -> None:
    """No function imports a module that is neither ours, the standard library's nor an installed package's."""
    roots = {module.partition(".")[0] for module in providers} | sys.stdlib_module_names
    assert {module.partition(".")[0] for module in _reached(name).foreign} <= roots


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_archive_holds_its_function_and_no_more(name: str) -> None:
    """main.py and requirements.txt are at the root beside shared/, without tests, local runs and tools."""
    files = _contents(name)
    assert {"main.py", "requirements.txt", "shared/__init__.py"} <= files.keys()
    assert {path.partition("/")[0] for path in files} <= {"main.py", "requirements.txt", "shared", "functions"}
    assert not [path for path in files if re.match(r"shared/(local/|bundle|grants)|.*(test|\.pyc)", path)]


def test_only_the_dashboard_carries_templates() -> None:
    """Data files travel with the package they lie in, so what does not render brings no templates."""
    carriers = [name for name in FUNCTIONS if any(path.endswith(".jinja") for path in _contents(name))]
    assert carriers == ["dashboard"]


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


def test_equal_sources_give_equal_bytes_and_the_hash_beside_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Building twice gives the same archive, whose SHA-256 is printed and written beside it."""
    for folder in ("first", "second"):
        assert main(["ingest", "--out", str(tmp_path / folder)]) == 0
    first = (tmp_path / "first" / "ingest.zip").read_bytes()
    assert first == (tmp_path / "second" / "ingest.zip").read_bytes()
    line = f"{hashlib.sha256(first).hexdigest()}  ingest.zip\n"
    assert (tmp_path / "first" / "ingest.zip.sha256").read_text("ascii") == line
    assert capsys.readouterr().out == line * 2


def test_an_archive_depends_on_contents_alone() -> None:
    """The order in which files are given does not show, and one byte more does."""
    files = {"main.py": b"pass", "shared/__init__.py": b""}
    assert archive(files) == archive(dict(reversed(files.items())))
    assert archive(files) != archive({**files, "main.py": b"pass\n"})


def test_imports_are_followed_wherever_they_stand(tmp_path: Path) -> None:
    """Absolute, relative and lazy imports are found through packages; local runs and unreached modules are not."""
    sources = {
        "main.py": "from shared.a import thing\n",
        "shared/__init__.py": "",
        "shared/a.py": "def f():\n    from .deep import inner\n    from .local import run\n    import numpy.linalg\n",
        "shared/deep/__init__.py": "from ..b import other\n",
        "shared/deep/inner.py": "from . import sibling\n",
        "shared/deep/sibling.py": "",
        "shared/b.py": "import json\n",
        "shared/unreached.py": "import flask\n",
        "shared/local/__init__.py": "import sqlite3\n",
        "shared/local/run.py": "",
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    reached = closure(tmp_path / "main.py", tmp_path)
    assert set(reached.modules) == {
        "shared", "shared.a", "shared.b", "shared.deep", "shared.deep.inner", "shared.deep.sibling",
    }  # fmt: skip
    assert reached.foreign == {"numpy.linalg", "json"}


def test_what_other_functions_and_type_checks_need_is_left_out(tmp_path: Path) -> None:
    """In the wiring, an import in another function's method is not reached; the function's own and all others are."""
    wiring = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ast\nelse:\n    import bisect\n"
        "class Services:\n    def ingest(self):\n        import cmd\n    def notify(self):\n        import dis\n"
        "def build():\n    import email\n"
    )
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "__init__.py").touch()
    (tmp_path / "shared" / "wiring.py").write_text(wiring, "utf-8")
    (tmp_path / "main.py").write_text("from shared import wiring\n", "utf-8")
    foreign = closure(tmp_path / "main.py", tmp_path, {"notify"}).foreign
    assert foreign == {"typing", "typing.TYPE_CHECKING", "bisect", "cmd", "email"}


def test_a_missing_module_is_named(tmp_path: Path) -> None:
    """An import of ours that leads nowhere stops the build and not the first request."""
    (tmp_path / "main.py").write_text("from shared.nowhere import anything\n", "utf-8")
    with pytest.raises(ConfigError, match=r"main\.py: imports shared\.nowhere, which is not there"):
        closure(tmp_path / "main.py", tmp_path)


def test_a_requirement_without_an_exact_pin_is_refused() -> None:
    """What is deployed was tested: every package has one version."""
    assert requirements_text(["b", "a"], "a==1.0  # why\nb==2.1\nc==3\n") == "a==1.0\nb==2.1\n"
    with pytest.raises(ConfigError, match="exact pin"):
        requirements_text(["a"], "a>=1.0\n")


def test_an_unknown_function_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The command line names what it does not know, writes nothing, and ends with 1."""
    assert main(["nobody", "--out", str(tmp_path)]) == 1
    assert "no function nobody" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


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
