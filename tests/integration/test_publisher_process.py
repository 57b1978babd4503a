"""A publishing process and its ends: exit, SIGTERM, SIGKILL, fork; each against a sink that answers over HTTP."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shared.formats.compact import Chunk, decode
from shared.identity import identify

ROOT = Path(__file__).parents[2]
SECONDS = 60.0
"""At most, for any one process; none comes near it."""

CHILD = """
import os, signal, sys, threading, time
from http.client import HTTPConnection, HTTPException
from shared.errors import TransientError
from shared.publishing import BackgroundPublisher
from shared.series import Kind

def send(data, attributes):
    connection = HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=20)
    try:
        connection.request("POST", "/", data, dict(attributes))
        if connection.getresponse().status != 200:
            raise TransientError("unavailable")
    except (OSError, HTTPException) as error:
        raise TransientError("unavailable") from error
    finally:
        connection.close()

def record(number):
    if number % 2:
        metrics.record("m", 1.0, Kind.COUNTER, {"n": str(number)})
    else:
        metrics.instrument("m", Kind.COUNTER, {"n": str(number)}).add(1.0)

def say(text):
    os.write(1, f"{text}\\n".encode())

def wait_for_ever():
    while True:
        time.sleep(60)
"""
NEW = "metrics = BackgroundPublisher(send)\n"


class Sink:
    """Takes messages; fails as ``answers`` says: 'refuse' without taking one, 'drop' after it, 'hang' before it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.answer: Callable[[], str] = lambda: "take"
        self.let_go = threading.Event()
        self.bodies: list[bytes] = []

    def take(self, body: bytes) -> str:
        """One request; what became of it."""
        with self.lock:
            answer = self.answer()
            if answer in ("take", "drop"):
                self.bodies.append(body)
        if answer == "hang":
            self.let_go.wait(SECONDS)
        return answer

    def chunks(self) -> list[Chunk]:
        """Each message once, as ingest stores them; two messages with one number are both kept."""
        by_key: dict[str, Chunk] = {}
        for body in list(self.bodies):
            chunk = decode(body)
            where = identify(body, chunk.writer, chunk.boot, chunk.seq)
            by_key[where.wid + where.key] = chunk
        return list(by_key.values())

    def counted(self) -> Counter[int]:
        """How often each numbered observation counts."""
        found: Counter[int] = Counter()
        for chunk in self.chunks():
            for section in chunk.sections:
                for row, series in enumerate(section.cells.series):
                    found[int(series.labels[0][1])] += int(section.cells.count[row])
        return found


@pytest.fixture
def sink() -> Iterator[tuple[Sink, int]]:
    """A sink and its port."""
    sink = Sink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            with suppress(OSError):
                answer = sink.take(self.rfile.read(int(self.headers["content-length"])))
                if answer == "drop":
                    self.close_connection = True
                else:
                    self.send_response(503 if answer == "refuse" else 200)
                    self.send_header("content-length", "0")
                    self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield sink, server.server_port
    sink.let_go.set()
    server.shutdown()
    server.server_close()
    thread.join()


def start(port: int, script: str, *arguments: str) -> subprocess.Popen[bytes]:
    """A process that publishes."""
    command = [sys.executable, "-c", CHILD + script, str(port), *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def read_line(process: subprocess.Popen[bytes]) -> str:
    """The next line that a process says."""
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


def finish(process: subprocess.Popen[bytes]) -> tuple[str, str]:
    """What a process has said and complained of, once it has ended."""
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:  # not `communicate`, which loses what `readline` has read ahead
        said, complained = process.stdout.read(), process.stderr.read()
    process.wait(timeout=SECONDS)
    return said.decode(), complained.decode()


def test_at_exit(sink: tuple[Sink, int]) -> None:
    """A process that simply ends has published everything, and so has one that ends by an exception."""
    for script in ("record(1)", "record(2)\nraise SystemExit(0)", "record(3)\nimport missing_module"):
        finish(start(sink[1], NEW + script))
    assert sink[0].counted() == Counter([1, 2, 3])


def test_the_end_is_bounded(sink: tuple[Sink, int]) -> None:
    """With a bus that never answers, a process ends within seconds all the same."""
    sink[0].answer = lambda: "hang"
    began = time.monotonic()
    process = start(sink[1], NEW + "record(1)\nsay(time.monotonic())")
    said, complained = finish(process)
    assert 2.5 < time.monotonic() - float(said) < 8, (began, complained)
    assert process.returncode == 0


OWN_HANDLERS = {
    "none": ("", -signal.SIGTERM),
    "exits": ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n", 7),
    "ends at once": ("signal.signal(signal.SIGTERM, lambda *_: os._exit(8))\n", 8),
    "says stop": (
        "stop = threading.Event()\nsignal.signal(signal.SIGTERM, lambda signum, frame: stop.set())\n"
        "wait_for_ever = lambda: (stop.wait(60), record(2), sys.exit(9))\n",
        9,
    ),
}


@pytest.mark.parametrize("handler", OWN_HANDLERS)
def test_sigterm(sink: tuple[Sink, int], handler: str) -> None:
    """At SIGTERM everything is published, and then the process ends just as it does without the publisher."""
    before, code = OWN_HANDLERS[handler]
    process = start(sink[1], before + NEW + "record(1)\nsay('ready')\nwait_for_ever()")
    assert read_line(process) == "ready"
    process.send_signal(signal.SIGTERM)
    complained = finish(process)[1]
    assert (process.returncode, complained) == (code, "")
    assert sink[0].counted() == Counter([1, 2] if handler == "says stop" else [1])


def test_sigterm_while_recording(sink: tuple[Sink, int]) -> None:
    """A signal that arrives in the midst of recording, whatever lock is held, ends the process and loses nothing."""
    script = "say('ready')\nfor number in range(10**9):\n    record(number)\n    say(number)\n"
    for _ in range(3):
        sink[0].bodies.clear()
        process = start(sink[1], NEW + script)
        assert read_line(process) == "ready"
        for _ in range(200):
            read_line(process)
        os.kill(process.pid, signal.SIGTERM)
        finish(process)
        assert process.returncode == -signal.SIGTERM
        counted = sink[0].counted()
        assert set(counted.values()) == {1}
        assert set(range(200)) <= set(counted)


def test_fork(sink: tuple[Sink, int]) -> None:
    """A child has a boot, numbers and a thread of its own; what its parent had gathered is published once, by it."""
    script = """
metrics.record("m", 1.0, Kind.COUNTER, {"n": "1"})
pid = os.fork()
if pid == 0:
    assert metrics.stats().waiting_observations == 0
    record(2)
    assert metrics.flush_now(20)
    record(3)
    sys.exit(0)
os.waitpid(pid, 0)
record(4)
"""
    assert finish(start(sink[1], NEW + script))[1] == ""
    assert sink[0].counted() == Counter([1, 2, 3, 4])
    seqs: dict[str, list[int | None]] = {}
    for chunk in sink[0].chunks():
        seqs.setdefault(chunk.boot, []).append(chunk.seq)
    assert sorted(seqs.values()) == [[0], [0, 1]]
    assert len({chunk.writer for chunk in sink[0].chunks()}) == 1


def test_fork_while_threads_record(sink: tuple[Sink, int], tmp_path: Path) -> None:
    """Children that are forked while other threads record and flush begin afresh, whatever lock was held just then."""
    script = """
metrics = BackgroundPublisher(send, spool=sys.argv[2])
stop = threading.Event()
def work(first):
    number = first
    while not stop.is_set():
        record(number)
        number += 1
        if number % 50 == 0:
            metrics.flush_now()
    say(number - first)
threads = [threading.Thread(target=work, args=(10**6 * (one + 1),)) for one in range(3)]
for thread in threads:
    thread.start()
for child in range(12):
    pid = os.fork()
    if pid == 0:
        record(child)
        metrics.close(20)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join()
"""
    said, complained = finish(start(sink[1], script, str(tmp_path)))
    assert complained == ""
    counted = sink[0].counted()
    assert set(counted.values()) == {1}
    assert sorted(number for number in counted if number < 100) == list(range(12))
    assert len(counted) == 12 + sum(map(int, said.split()))
    assert list(tmp_path.iterdir()) == []


def test_fork_in_the_midst_of_closing(sink: tuple[Sink, int], tmp_path: Path) -> None:
    """A child that is forked right after any file of its parent's was closed closes none that it has not open."""
    script = """
metrics = BackgroundPublisher(send, spool=sys.argv[2])
parent, close = os.getpid(), os.close
def close_and_fork(file):
    close(file)
    if os.getpid() == parent:
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        say("forked")
os.close = close_and_fork
for number in range(3):
    record(number)
    metrics.flush_now(20)
metrics.close(20)
"""
    said, complained = finish(start(sink[1], script, str(tmp_path)))
    assert complained == ""
    files = 3 * len(["message", "folder", "ended journal"]) + len(["journal", "spare journal", "owner"])
    assert said.count("forked") >= files
    assert sink[0].counted() == Counter(range(3))


KILLED = """
metrics = BackgroundPublisher(send, spool=sys.argv[2])
number = int(sys.argv[3])
end = number + int(sys.argv[4])
while number < end:
    say(f"before {number}")
    record(number)
    say(f"after {number}")
    number += 1
    if number % 7 == 0:
        metrics.flush_now()
while not metrics.close(20):
    pass
"""


def recorded(said: list[str]) -> tuple[set[int], set[int]]:
    """What was surely recorded, and what may have been."""
    pairs = [line.split() for line in said if len(line.split()) == 2]
    began = {int(number) for word, number in pairs if word == "before"}
    return {int(number) for word, number in pairs if word == "after"}, began


def test_sigkill_loses_nothing(sink: tuple[Sink, int], tmp_path: Path) -> None:
    """With a spool, processes killed at any instant lose nothing: all that was recorded counts exactly once.

    Twelve processes in a row are killed while a sink refuses some messages, and of some that it takes loses the
    answer; the last one ends by itself.
    """
    rng = random.Random(5)
    sink[0].answer = lambda: rng.choice(["take", "take", "refuse", "drop"])
    surely: set[int] = set()
    perhaps: set[int] = set()
    for life in range(12):
        process = start(sink[1], KILLED, str(tmp_path), str(life * 10_000), "10000")
        said = [read_line(process) for _ in range(rng.randrange(1, 300))]
        process.kill()
        said += finish(process)[0].splitlines()
        done, began = recorded(said)
        surely |= done
        perhaps |= began
    sink[0].answer = lambda: "take"
    finish(start(sink[1], KILLED, str(tmp_path), "900000", "20"))
    counted = sink[0].counted()
    assert set(counted.values()) == {1}
    assert surely | set(range(900_000, 900_020)) <= set(counted) <= perhaps | set(range(900_000, 900_020))
    assert len(surely) > 100
    assert list(tmp_path.glob("*.owner")) == []
    assert one_message_a_number(sink[0])


def one_message_a_number(sink: Sink) -> bool:
    """Whether every message had the same bytes at each attempt."""
    numbers = [(chunk.writer, chunk.boot, chunk.seq) for chunk in sink.chunks()]
    return len(numbers) == len(set(numbers))


def test_an_outage_and_an_exit_without_the_bus(sink: tuple[Sink, int], tmp_path: Path) -> None:
    """What could not be published by the end of a process is in the spool, and the next process publishes it."""
    sink[0].answer = lambda: "refuse"
    script = "metrics = BackgroundPublisher(send, spool=sys.argv[2])\nrecord(int(sys.argv[3]))\n"
    for number in ("1", "2"):
        finish(start(sink[1], script, str(tmp_path), number))
    assert sink[0].counted() == Counter()
    sink[0].answer = lambda: "take"
    stats = "metrics.close(20)\nsay(__import__('json').dumps(metrics.stats().recovered_messages))"
    said, _ = finish(start(sink[1], script + stats, str(tmp_path), "3"))
    assert sink[0].counted() == Counter([1, 2, 3])
    assert json.loads(said) == 2
    assert list(tmp_path.iterdir()) == []
