"""The real Firestore and Pub/Sub emulators, one process group each, on a free loopback port.

Each is started from its jar in the Cloud SDK when that is there (2-3 s), else through ``gcloud`` (slower). It is
ready when it answers over HTTP, and it ends with the context, with this process however that ends, and at once
when the emulator itself ends: a shell in its process group waits for any of the three.

Firestore's can leave its documents in a folder, for the next one to begin with. It writes them only when it is asked
to end over HTTP, not at a signal, after its last answer; and, in the SDK's version 528, only those of one named
database of one project: at ``(default)``, or another project's, the export fails or is overwritten.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PROJECT = "ion-test"
_READY_WITHIN_SECONDS = 90.0
_END_WITHIN_SECONDS = 10.0
_EXPORT_WITHIN_SECONDS = 60.0
_PROBE_EVERY_SECONDS = 0.05
_GUARD = """
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
stop() { kill -s TERM -- "-$child" || kill -s TERM "$child"; } 2>/dev/null
{ read -r _ <&3; stop; } &
wait "$child"
stop
kill -s TERM 0
"""
"""Runs "$@" until it ends or standard input closes, then ends the whole process group, and the child's own group
where it made one: gcloud does."""


@dataclass(frozen=True, slots=True)
class Emulator:
    """A running emulator: ``host`` as ``127.0.0.1:port``, and a project id for its user (it accepts any other)."""

    host: str
    project: str = PROJECT

    @property
    def port(self) -> int:
        """The port of ``host``."""
        return int(self.host.rpartition(":")[2])


def missing() -> str | None:
    """Why no emulator can run here, by name, or None when they can."""
    absent = [name for name in ("gcloud", "java") if shutil.which(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else None


@contextlib.contextmanager
def firestore_emulator(
    *extra: str, project: str = PROJECT, port: int | None = None, data: Path | None = None
) -> Iterator[Emulator]:
    """A Firestore emulator with no documents. ``extra`` are further flags of the emulator, as gcloud passes them.

    ``port`` is one that is free, by default any. With ``data``, an existing folder, it begins with the documents that
    the last one left there, if one did, and leaves its own there when the context ends without an exception.
    Raises RuntimeError with the end of its log when it does not become ready, or leaves nothing.
    """
    port = port or _free_port()
    command = [*_firestore_command(port, project), *extra, *_data_flags(data)]
    with _running(command, port) as running:
        yield Emulator(f"127.0.0.1:{port}", project)
        if data is not None:
            _export(running, port, data)


@contextlib.contextmanager
def pubsub_emulator(*extra: str, project: str = PROJECT) -> Iterator[Emulator]:
    """A Pub/Sub emulator without topics. ``extra`` are further flags of the emulator, as gcloud passes them.

    Raises RuntimeError with the end of its log when it does not become ready.
    """
    port = _free_port()
    command = _pubsub_command(port, project)
    with _running([*command, *extra], port):
        yield Emulator(f"127.0.0.1:{port}", project)


def _firestore_command(port: int, project: str) -> list[str]:
    jar = _jar("cloud-firestore-emulator/cloud-firestore-emulator.jar")
    if jar is None:
        return ["gcloud", "emulators", "firestore", "start", f"--host-port=127.0.0.1:{port}", f"--project={project}"]
    entry = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
    return [*_JAVA, "-cp", str(jar), entry, "start", "--host=127.0.0.1", f"--port={port}"]


def _data_flags(data: Path | None) -> list[str]:
    if data is None:
        return []
    exports = _exports(data)
    return [f"--export-on-exit={data}", *(f"--import-data={newest}" for newest in exports[-1:])]


def _exports(data: Path) -> list[Path]:
    """What emulators left in a folder, the newest last: the names hold their time."""
    return sorted(data.glob("*/*.overall_export_metadata"))


def _export(running: _Running, port: int, data: Path) -> None:
    """Ask an emulator to end, and wait until it has left its documents."""
    before = _exports(data)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_END_WITHIN_SECONDS)
    with contextlib.closing(connection):
        connection.request("POST", "/shutdown")
        connection.getresponse().read()
    running.process.wait(_EXPORT_WITHIN_SECONDS)
    if _exports(data) == before:
        raise RuntimeError(f"the emulator left no documents in {data}: {running.end_of_log()}")


def _pubsub_command(port: int, project: str) -> list[str]:
    jar = _jar("pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar")
    if jar is None:
        host_port = f"--host-port=127.0.0.1:{port}"
        return ["gcloud", "beta", "emulators", "pubsub", "start", host_port, f"--project={project}"]
    return [*_JAVA, "-jar", str(jar), "--host=127.0.0.1", f"--port={port}"]


_JAVA = ("java", "-Duser.language=en", "-Xmx512m", "-XX:TieredStopAtLevel=1")


def _jar(pattern: str) -> Path | None:
    """The jar below the SDK's ``platform`` folder, or None."""
    root = _sdk_root()
    return next(iter(sorted((root / "platform").glob(pattern), reverse=True)), None) if root else None


@functools.cache
def _sdk_root() -> Path | None:
    """The SDK's folder, which is the second above the real ``gcloud``; asking gcloud itself takes a second."""
    found = shutil.which("gcloud")
    root = Path(found).resolve().parent.parent if found else None
    return root if root and (root / "platform").is_dir() else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class _Running:
    """The shell that guards an emulator, and where both write."""

    process: subprocess.Popen[bytes]
    log: IO[bytes]

    def end_of_log(self) -> str:
        """The last of what they wrote."""
        self.log.seek(0)
        return self.log.read()[-2000:].decode(errors="replace")


@contextlib.contextmanager
def _running(command: Sequence[str], port: int) -> Iterator[_Running]:
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603 # the command is made here
            ["sh", "-c", _GUARD, "sh", *command],  # noqa: S607 # the emulators are found on the path too
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        running = _Running(process, log)
        try:
            _wait_until_ready(running, port)
            yield running
        finally:
            _end(process)


def _wait_until_ready(running: _Running, port: int) -> None:
    give_up = time.monotonic() + _READY_WITHIN_SECONDS
    while not _answers(port):
        if running.process.poll() is not None or time.monotonic() > give_up:
            raise RuntimeError(f"emulator not ready on port {port}: {running.end_of_log()}")
        time.sleep(_PROBE_EVERY_SECONDS)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the whole process group: by closing the guard's input, then, when it lingers, by force."""
    if process.stdin is not None:
        process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_WITHIN_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
