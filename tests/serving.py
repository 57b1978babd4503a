"""A function served as in the cloud: its own process behind the real functions-framework, which runs gunicorn."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
READY_WITHIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Served:
    """A function that answers at a port of 127.0.0.1, in the process group ``pid``; its output goes to ``log``."""

    port: int
    pid: int
    log: Path

    def post(self, body: bytes) -> int:
        """The status that a pushed body is answered with."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("POST", "/", body, {"Content-Type": "application/json"})
            return connection.getresponse().status


@contextlib.contextmanager
def serving(
    source: Path,
    target: str,
    signature: str,
    environment: Mapping[str, str],
    log: Path,
    *,
    programs: Path = Path(sys.executable).parent,
    port: int | None = None,
) -> Iterator[Served]:
    """Serve ``target`` of the file ``source`` until the context ends, with nothing but ``environment``.

    ``programs`` is the folder of the virtual environment's commands, ``port`` any free one by default. Raises
    RuntimeError with the end of the log when the server does not listen.
    """
    port = free_port() if port is None else port
    command = [str(programs / "functions-framework"), f"--target={target}", f"--source={source}",
               f"--signature-type={signature}", "--host=127.0.0.1", f"--port={port}"]  # fmt: skip
    path = {"PATH": f"{programs}{os.pathsep}{os.defpath}"}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=source.parent, env=path | dict(environment), stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    try:
        _wait_until_listening(process, port, log)
        yield Served(port, process.pid, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether anything listens at a port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    give_up = time.monotonic() + READY_WITHIN_SECONDS
    while not listens(port):
        if process.poll() is not None or time.monotonic() > give_up:
            raise RuntimeError(f"the function does not listen: {log.read_text('utf-8', 'replace')[-2000:]}")
        time.sleep(0.02)


def memory_bytes(group: int, field: str) -> int:
    """A number of ``/proc/PID/status`` such as VmRSS or VmHWM, over all processes of a group (Linux)."""
    total_kb = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        fields = _text(status).rpartition(")")[2].split()
        if len(fields) > 2 and int(fields[2]) == group:
            lines = _text(status.with_name("status")).splitlines()
            total_kb += sum(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
    return total_kb * 1024


def _text(path: Path) -> str:
    """A file of a process; empty when the process has ended."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
