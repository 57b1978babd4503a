"""Sentry, with its real SDK against a server of ours: spans, breadcrumbs, data, traces, sampling."""

from __future__ import annotations

import contextvars
import gzip
import json
import random
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import sentry_sdk

from shared import performance
from shared.events import APIRequestEvent, CachePerformanceEvent, PersonaProcessEvent
from shared.integrations.sentry import current_trace_id, set_up_sentry
from shared.performance import measured, monitor_performance, record_event
from tests.unit.test_performance import Measured

TRACE = "0123456789abcdef0123456789abcdef"


class Received:
    """What the SDK has sent: the items of its envelopes."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []

    def take(self, body: bytes) -> None:
        """One envelope: a head, then for each item a head and its payload, by lines."""
        lines = body.split(b"\n")[1:]
        for head, payload in zip(lines[::2], lines[1::2], strict=False):
            if head and json.loads(head)["type"] in ("transaction", "event"):
                self.items.append(json.loads(payload))

    def of(self, name: str) -> dict[str, Any]:
        """The one transaction of a name."""
        (found,) = [item for item in self.items if item.get("transaction") == name and item.get("type")]
        return found


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Measured:
    """What the process's own collector is made of."""
    here = Measured()
    monkeypatch.setattr("shared.metrics_collector._own_collector", [here.collector])
    return here


@pytest.fixture
def sentry() -> Iterator[tuple[Received, Callable[..., None]]]:
    """What is received, and how the SDK is set up to send it; afterwards it is as if there were none."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.take(gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()

    def set_up(**options: Any) -> None:
        set_up_sentry(f"http://key@127.0.0.1:{server.server_port}/1", **options)

    yield received, set_up
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)
    performance.WATCHES.clear()
    server.shutdown()
    server.server_close()
    thread.join()


def test_spans_and_events(here: Measured, sentry: tuple[Received, Callable[..., None]]) -> None:
    """A measured piece is a span with its children; events in it are data of it, breadcrumbs, and of its trace."""
    received, set_up = sentry
    set_up(traces_sample_rate=1.0, profile_session_sample_rate=0.0)

    @monitor_performance(name="inner")
    def inner() -> None:
        raise KeyError("x")

    with measured("outer"):
        mine = current_trace_id()
        event = record_event(PersonaProcessEvent("lua", "us-central1", 12.5))
        record_event(CachePerformanceEvent("l1", "persona", 3, 1))
        other = record_event(APIRequestEvent("/process", "us-central1", "GET", 503, 8.0, trace_id=TRACE))
        with pytest.raises(KeyError):
            inner()
        sentry_sdk.capture_message("what was before")
    sentry_sdk.flush(20)
    outer = received.of("outer")
    assert outer["contexts"]["trace"]["trace_id"] == mine == event.trace_id
    assert (other.trace_id, outer["contexts"]["trace"]["op"]) == (TRACE, "function")
    assert [(span["description"], span["status"]) for span in outer["spans"]] == [("inner", "internal_error")]
    numbers = {name: value for name, value in outer["contexts"]["trace"]["data"].items() if name.startswith("ion.")}
    assert numbers == {
        "ion.persona_process_time_ms": 12.5, "ion.cache_hit_rate_percent": 75.0, "ion.response_time_ms": 8.0
    }  # fmt: skip
    (message,) = [item for item in received.items if item.get("message")]
    crumbs = [crumb for crumb in message["breadcrumbs"]["values"] if crumb["category"].startswith("ion.")]
    assert [(crumb["message"], crumb["data"]["trace_id"]) for crumb in crumbs] == [
        ("PersonaProcessEvent", mine), ("CachePerformanceEvent", mine), ("APIRequestEvent", TRACE)
    ]  # fmt: skip
    assert message["contexts"]["trace"]["trace_id"] == mine, "a report leads to the trace, and the trace to it"
    assert here.seen_metrics() >= {"persona_requests", "persona_process_time", "cache_requests", "errors"}


def test_generators(here: Measured, sentry: tuple[Received, Callable[..., None]]) -> None:
    """A generator is a span beside what its consumer does meanwhile, wherever and in whichever order they end."""
    received, set_up = sentry
    set_up(traces_sample_rate=1.0, profile_session_sample_rate=0.0)

    @monitor_performance(name="steps")
    def steps() -> Iterator[int]:
        yield from range(3)

    with measured("outer"):
        one, other = steps(), steps()
        next(one)
        next(other)
        with measured("consumer"):
            list(one)
        list(other)
    alone = steps()
    next(alone)
    assert sentry_sdk.get_current_span() is None
    assert contextvars.Context().run(list, alone) == [1, 2]
    sentry_sdk.flush(20)
    outer = received.of("outer")
    below = {(span["description"], span["parent_span_id"], span["status"]) for span in outer["spans"]}
    top = outer["contexts"]["trace"]["span_id"]
    assert below == {("steps", top, "ok"), ("consumer", top, "ok")}
    assert sorted(span["description"] for span in outer["spans"]) == ["consumer", "steps", "steps"]
    assert received.of("steps")["contexts"]["trace"]["status"] == "ok"
    assert {where: count for (_, where, *_), count in here.seen().items()} == {"outer": 1, "consumer": 1, "steps": 3}


def test_a_tenth_is_sampled(here: Measured, sentry: tuple[Received, Callable[..., None]]) -> None:
    """Without options a tenth of the transactions is sent, in the environment production; metrics count all."""
    received, set_up = sentry
    set_up()
    options = sentry_sdk.get_client().options
    assert (options["traces_sample_rate"], options["profile_lifecycle"]) == (0.1, "trace")
    random.seed(4)
    for _ in range(300):
        with measured("piece"):
            pass
    sentry_sdk.flush(20)
    sent = [item for item in received.items if item.get("transaction") == "piece"]
    assert 10 <= len(sent) <= 60
    assert {item["environment"] for item in sent} == {"production"}
    assert here.seen() == {("function_time", "piece"): 300}


def test_an_sdk_that_runs_already(sentry: tuple[Received, Callable[..., None]]) -> None:
    """What a service has set up itself is left as it is, and watched once however often it is asked for."""
    _, set_up = sentry
    sentry_sdk.init("http://key@127.0.0.1:1/1", traces_sample_rate=0.5)
    set_up()
    set_up()
    assert sentry_sdk.get_client().options["traces_sample_rate"] == 0.5
    assert len(performance.WATCHES) == 1


def test_without_sentry(here: Measured) -> None:
    """Without the SDK set up events are metrics alone, and what is wrong with one reaches nobody."""
    event = PersonaProcessEvent("lua", "us-central1", 12.5, error="timeout")
    assert record_event(event) is event
    record_event(CachePerformanceEvent("l1", "persona", 0, 0))
    record_event(PersonaProcessEvent(None, 5, "slow"))  # type: ignore[arg-type] # that is the point
    record_event(None)  # type: ignore[arg-type] # and this
    assert here.seen_metrics() == {"persona_requests", "persona_process_time", "persona_errors"}
