"""The heartbeat: what the outside watchdog hears, and that nothing it does touches an evaluation."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.client import BadStatusLine
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from flask import Flask, request

from functions.evaluate.main import evaluate
from shared import wiring
from shared.adapters.sqlite_store import SqliteStore
from shared.config import Secret
from shared.errors import PermanentError
from shared.evaluator import Report
from shared.heartbeat import Beat, Get, Heartbeat, get
from shared.logs import Captured
from tests.fakes import START, Clock, RefusingStore
from tests.world import World

TOKEN = "0b5c-t0ken"
URL = Secret(f"https://watchdog.example/{TOKEN}")
DONE = Report("caught_up")


class Watchdog(BaseHTTPRequestHandler):
    """A watchdog that answers every path with the status it is called after, and keeps the paths."""

    heard: list[str]

    def do_GET(self) -> None:
        """Answer, a redirect to another path."""
        self.heard.append(self.path)
        status = int(self.path.rpartition("/")[2])
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", "/elsewhere/200")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def watchdog(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    """A watchdog on loopback: its address, and the paths that it heard."""
    heard: list[str] = []
    monkeypatch.setattr(Watchdog, "heard", heard, raising=False)
    with HTTPServer(("127.0.0.1", 0), Watchdog) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", heard
        server.shutdown()
        thread.join()


def raising(error: Exception) -> Get:
    """A GET that raises."""

    def call(_: str) -> int:
        raise error

    return call


@pytest.mark.parametrize(
    ("url", "report", "expected"),
    [
        pytest.param(URL, DONE, Beat.HEARD, id="all is judged"),
        pytest.param(URL, Report("out_of_time", evaluated=(START,)), Beat.NOT_DUE, id="some is not judged yet"),
        pytest.param(URL, Report("lost_race"), Beat.NOT_DUE, id="another evaluator went on"),
        pytest.param(None, DONE, Beat.OFF, id="no watchdog"),
    ],
)
def test_a_watchdog_hears_of_a_completed_evaluation(url: Secret | None, report: Report, expected: Beat) -> None:
    """Its URL is asked once after an evaluation that left nothing to judge, and after no other."""
    asked: list[str] = []

    def answer(address: str) -> int:
        asked.append(address)
        return 200

    assert Heartbeat(url, answer).after(report) is expected
    assert asked == ([URL.reveal()] if expected is Beat.HEARD else [])


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (lambda _: 204, ""),
        (lambda _: 301, "301"),
        (lambda _: 404, "404"),
        (lambda _: 500, "500"),
        (raising(ConnectionRefusedError(f"no {URL.reveal()}")), "ConnectionRefusedError"),
        (raising(TimeoutError()), "TimeoutError"),
        (raising(BadStatusLine(URL.reveal())), "BadStatusLine"),
        (raising(ValueError(URL.reveal())), "ValueError"),
    ],
    ids=str,
)
def test_what_is_wrong_with_the_watchdog_is_one_line(ask: Get, reason: str) -> None:
    """Whatever it answers or fails by is logged by its name, without the URL, and raises nothing."""
    with Captured() as logs:
        assert Heartbeat(URL, ask).after(DONE) is (Beat.UNHEARD if reason else Beat.HEARD)
    assert [event["reason"] for event in logs.events if event["message"] == "heartbeat_unheard"] == [reason] * bool(
        reason
    )
    assert TOKEN not in str(logs.events)


def test_a_watchdog_that_does_not_answer_is_left() -> None:
    """After the deadline nobody waits for it any longer, whatever it is busy with."""
    released = threading.Event()

    def wait(_: str) -> int:
        released.wait(30)
        return 200

    with Captured() as logs:
        assert Heartbeat(URL, wait, deadline_seconds=0.01).after(DONE) is Beat.UNHEARD
    released.set()
    assert [event["reason"] for event in logs.events] == ["deadline_exceeded"]


def test_a_get_is_one_request(watchdog: tuple[str, list[str]]) -> None:
    """The status is the answer's own; a redirect is not followed."""
    url, heard = watchdog
    assert [get(f"{url}/ping/{status}") for status in (200, 302, 404, 503)] == [200, 302, 404, 503]
    assert heard == ["/ping/200", "/ping/302", "/ping/404", "/ping/503"]


@pytest.mark.parametrize(
    ("status", "works", "expected"),
    [
        pytest.param(200, True, 1, id="a completed evaluation"),
        pytest.param(500, True, 1, id="a watchdog that refuses"),
        pytest.param(200, False, 0, id="an evaluation that raises"),
    ],
)
def test_the_function_tells_it(
    watchdog: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, status: int, works: bool, expected: int
) -> None:
    """A call that judged all that was due tells the watchdog, and answers the same whatever that says."""
    url, heard = watchdog
    clock = Clock(START)
    world = World(RefusingStore(SqliteStore(":memory:", clock), lambda *_: not works), clock)
    using = replace(world.services, heartbeat_url=Secret(f"{url}/{TOKEN}/{status}"))
    monkeypatch.setattr(wiring, "_services", [using])
    with Flask(__name__).test_request_context(), contextlib.nullcontext() if works else pytest.raises(PermanentError):
        said: Any = evaluate(request)
        assert said["ended"] == "caught_up"
    assert heard == [f"/{TOKEN}/{status}"] * expected
