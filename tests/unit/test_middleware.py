"""Middleware: each request is counted once, under its route, and answered exactly as without it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from flask import Flask, abort
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from shared.integrations.asgi import AsgiMiddleware
from shared.integrations.flask import monitor_flask
from shared.integrations.requests import FLUSH_EVERY_SECONDS, MAX_PATHS, OTHERS, UNMATCHED
from shared.integrations.wsgi import WsgiMiddleware
from tests.unit.test_performance import Measured

Environ = dict[str, Any]


def call(app: Any, path: str = "/", **more: Any) -> tuple[str, bytes]:
    """The status and body that a WSGI application answers, closed as a server does."""
    environ: Environ = {"PATH_INFO": path, **more}
    setup_testing_defaults(environ)
    said: list[str] = []
    body = app(environ, lambda status, *_: said.append(status))
    try:
        return_value = b"".join(body)
    finally:
        if hasattr(body, "close"):
            body.close()
    return said[0], return_value


def unheard(*_: Any) -> Callable[[bytes], object]:
    """Takes a status and headers."""
    return lambda _: None


def plain(status: str, body: Callable[[], Iterable[bytes]] = lambda: [b"x"]) -> Any:
    """An application that answers always the same."""

    def app(_: Environ, start_response: Any) -> Iterable[bytes]:
        start_response(status, [])
        return body()

    return app


@pytest.mark.parametrize(("status", "errors"), [("200 OK", 0), ("404 Not Found", 0), ("503 Unavailable", 1)])
def test_wsgi(status: str, errors: int) -> None:
    """A request is one response time, and an error where the status says that the service is to blame."""
    here = Measured()
    assert call(WsgiMiddleware(plain(status), here.collector), "/a") == (status, b"x")
    expected = {("response_time", UNMATCHED if status.startswith("404") else "/a"): 1}
    assert here.seen() == expected | ({("errors", "/a", "http_503"): 1} if errors else {})


def test_wsgi_errors() -> None:
    """An error of the application, at once or in the midst of its body, is counted once and raised."""
    here = Measured()

    def at_once(_: Environ, __: Any) -> Iterable[bytes]:
        raise KeyError

    def midway() -> Iterator[bytes]:
        yield b"a"
        raise LookupError

    for app, kind in ((at_once, KeyError), (plain("200 OK", midway), LookupError)):
        with pytest.raises(kind):
            call(WsgiMiddleware(app, here.collector))
    assert here.seen() == {
        ("response_time", "/"): 2, ("errors", "/", "KeyError"): 1, ("errors", "/", "LookupError"): 1
    }  # fmt: skip


def test_wsgi_bodies() -> None:
    """A body is closed when it was, keeps its length, and a file is given to the server as it is."""
    here = Measured()
    closed = []

    class Body(list[bytes]):
        def close(self) -> None:
            closed.append(1)

    app = WsgiMiddleware(plain("200 OK", lambda: Body([b"x", b"y"])), here.collector)
    environ: Environ = {}
    setup_testing_defaults(environ)
    body: Any = app(environ, unheard)
    assert (len(body), here.seen()) == (2, {})
    body.close()
    body.close()
    assert (closed, here.seen()) == ([1, 1], {("response_time", "/"): 1})
    file = FileWrapper(io.BytesIO(b"z"))
    app = WsgiMiddleware(plain("200 OK", lambda: file), here.collector)
    assert app({**environ, "wsgi.file_wrapper": FileWrapper}, unheard) is file
    assert here.seen() == {("response_time", "/"): 2}


def test_a_stream_has_no_length() -> None:
    """A body without a length has none through the middleware either: servers look for it and would ask."""
    here = Measured()

    def parts() -> Iterator[bytes]:
        yield b"a"
        yield b"b"

    app = WsgiMiddleware(plain("200 OK", parts), here.collector)
    environ: Environ = {}
    setup_testing_defaults(environ)
    body: Any = app(environ, unheard)
    assert not hasattr(body, "__len__")
    assert b"".join(body) == b"ab"


def test_paths_are_few() -> None:
    """Where there are no routes the first hundred paths keep their names, and all others are one endpoint."""
    here = Measured()
    app = WsgiMiddleware(plain("200 OK"), here.collector)
    for number in range(MAX_PATHS + 50):
        call(app, f"/{number}")
    call(app, "/7")
    assert here.seen()["response_time", OTHERS] == 50
    assert here.seen()["response_time", "/7"] == 2
    assert len(here.seen()) == MAX_PATHS + 1


@pytest.mark.parametrize("status", ["404 Not Found", "405 Method Not Allowed"])
def test_unknown_paths_are_one(status: str) -> None:
    """Whoever asks for paths that the application does not know takes the place of none that it does."""
    here = Measured()
    known = WsgiMiddleware(lambda environ, said: plain(answers(environ))(environ, said), here.collector)

    def answers(environ: Environ) -> str:
        return "200 OK" if environ["PATH_INFO"] == "/known" else status

    async def unknown(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": int(status[:3]), "headers": []})

    asgi: Any = AsgiMiddleware(unknown, here.collector)
    for number in range(MAX_PATHS + 5):
        call(known, f"/{number}")
        asyncio.run(asgi({"type": "http", "path": f"/{number}"}, None, unsent))
    call(known, "/known")
    assert here.seen() == {("response_time", UNMATCHED): 2 * (MAX_PATHS + 5), ("response_time", "/known"): 1}


def test_an_endpoint_of_ones_own() -> None:
    """An application may name its endpoints; where that fails, the path is the name."""
    here = Measured()
    call(WsgiMiddleware(plain("200 OK"), here.collector, endpoint_of=lambda _: "/mine"))
    call(WsgiMiddleware(plain("200 OK"), here.collector, endpoint_of=lambda environ: str(environ["no"])), "/p")
    assert set(here.seen()) == {("response_time", "/mine"), ("response_time", "/p")}


def test_flask() -> None:
    """Flask's requests are under their routes, its errors under their status, and what matches no route is one."""
    here = Measured()
    app = Flask("test")
    monitor_flask(app, here.collector)

    @app.route("/users/<int:number>")
    def user(number: int) -> str:
        if number == 3:
            raise KeyError(number)
        if number == 4:
            abort(503)
        return str(number)

    client = app.test_client()
    app.config["PROPAGATE_EXCEPTIONS"] = False
    statuses = [
        client.get(path, buffered=True).status_code
        for path in ("/users/1", "/users/2", "/users/3", "/users/4", "/no", "/ne")
    ]
    assert statuses == [200, 200, 500, 503, 404, 404]
    route = "/users/<int:number>"
    assert here.seen() == {
        ("response_time", route): 4, ("errors", route, "http_500"): 1, ("errors", route, "http_503"): 1,
        ("response_time", UNMATCHED): 2,
    }  # fmt: skip


def test_fastapi() -> None:
    """FastAPI's requests are under their routes, those of routers and mounted applications with what is before them."""
    here = Measured()
    app = FastAPI()
    router = APIRouter(prefix="/v1")
    inner = FastAPI()

    @router.get("/users/{number}")
    async def user(number: int) -> int:
        return 1 // number

    @inner.get("/deep/{name}")
    def deep(name: str) -> str:
        return name

    app.include_router(router)
    app.mount("/inner", inner)
    app.add_middleware(AsgiMiddleware, collector=here.collector)
    client = TestClient(app, raise_server_exceptions=False)
    paths = ("/v1/users/1", "/v1/users/2", "/v1/users/0", "/inner/deep/x", "/no", "/v1/users/x")
    assert [client.get(path).status_code for path in paths] == [200, 200, 500, 200, 404, 422]
    assert here.seen() == {
        ("response_time", "/v1/users/{number}"): 4, ("errors", "/v1/users/{number}", "ZeroDivisionError"): 1,
        ("response_time", "/inner/deep/{name}"): 1, ("response_time", UNMATCHED): 1,
    }  # fmt: skip


def test_starlette(tmp_path: Any) -> None:
    """Starlette's requests are under their routes, a folder of files under where it is, a stream until its end."""
    here = Measured()
    (tmp_path / "a.txt").write_text("a")

    async def stream(_: Any) -> StreamingResponse:
        async def parts() -> Any:
            yield b"a"
            yield b"b"

        return StreamingResponse(parts())

    app = Starlette(
        routes=[
            Route("/hello/{name}", lambda _: PlainTextResponse("hi")),
            Route("/stream", stream),
            Mount("/static", StaticFiles(directory=tmp_path)),
        ]
    )
    app.add_middleware(AsgiMiddleware, collector=here.collector)
    client = TestClient(app, root_path="/proxy")
    assert [client.get("/proxy" + path).text for path in ("/hello/a", "/hello/b", "/stream", "/static/a.txt")] == [
        "hi", "hi", "ab", "a"
    ]  # fmt: skip
    assert here.seen() == {
        ("response_time", "/hello/{name}"): 2, ("response_time", "/stream"): 1, ("response_time", "/static"): 1
    }  # fmt: skip


async def bare(_: Any, __: Any, send: Any) -> None:
    """An ASGI application without a router."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x"})


def test_asgi_without_a_router() -> None:
    """A bare application's requests are under their paths; what is no HTTP is passed on unseen."""
    here = Measured()
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> None:
        app = AsgiMiddleware(bare, here.collector)
        await app({"type": "http", "path": "/a"}, None, send)  # type: ignore[arg-type] # it receives nothing
        await app({"type": "lifespan"}, None, send)  # type: ignore[arg-type]

    asyncio.run(run())
    assert (len(sent), here.seen()) == (4, {("response_time", "/a"): 1})


class Asked:
    """Counts, at each flush that it is asked for, what is recorded by then; answers if it is to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: bool = True) -> None:
        self.here = Measured()
        self.found: list[int] = []
        self.hurried = 0
        self._answers = answers
        publisher = self.here.service.metrics
        monkeypatch.setattr(self.here.collector, "flush", lambda _: self._flush(bool))
        monkeypatch.setattr(publisher, "flush_soon", self._flush)
        monkeypatch.setattr(publisher, "hurry", self._hurry)

    def _flush(self, tell: Callable[[bool], object]) -> bool:
        self.found.append(self.here.service.metrics.stats().waiting_observations)
        if self._answers:
            tell(True)
        return True

    def _hurry(self) -> None:
        self.hurried += 1


def test_flushing_at_the_end_of_an_application(monkeypatch: pytest.MonkeyPatch) -> None:
    """When an application has shut down, what was gathered is published before the server hears of it."""
    asked = Asked(monkeypatch)
    app = FastAPI()
    app.add_middleware(AsgiMiddleware, collector=asked.here.collector)
    with TestClient(app):
        assert asked.found == []
    assert len(asked.found) == 1


def test_flushing_before_the_end_of_a_response(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where asked to, a response waits before its end until it is published, too; once in ten seconds."""
    asked = Asked(monkeypatch)
    app = WsgiMiddleware(plain("200 OK"), asked.here.collector, flush_seconds=0.5)
    for _ in range(3):
        call(app)
    assert asked.found == [1]
    app._requests._flushed_at -= FLUSH_EVERY_SECONDS
    call(app)
    assert asked.found == [1, 4]
    client = TestClient(AsgiMiddleware(bare, asked.here.collector, flush_seconds=0.25))
    assert [client.get("/").text for _ in range(3)] == ["x"] * 3
    assert asked.found == [1, 4, 5]
    assert asked.here.seen() == {("response_time", "/"): 7}


def test_the_last_part_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a response says its length, its metrics are published before the part that completes it."""
    asked = Asked(monkeypatch)

    def app(_: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "2")])
        return iter([b"a", b"b"])

    environ: Environ = {}
    setup_testing_defaults(environ)
    parts = iter(WsgiMiddleware(app, asked.here.collector, flush_seconds=0.5)(environ, unheard))
    assert (next(parts), asked.found) == (b"a", [])
    assert (next(parts), asked.found) == (b"b", [1])
    assert (list(parts), asked.here.seen()) == ([], {("response_time", "/"): 1})


async def failing(*_: Any) -> None:
    """An ASGI application that fails."""
    raise KeyError


async def failing_late(scope: Any, receive: Any, send: Any) -> None:
    """One that fails when it has answered."""
    await bare(scope, receive, send)
    raise KeyError


async def unsent(_: Any) -> None:
    """Takes what is sent."""


def test_flushing_after_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails is recorded, once, before it is published and raised."""

    def at_once(_: Environ, __: Any) -> Iterable[bytes]:
        raise KeyError

    asked = Asked(monkeypatch)
    with pytest.raises(KeyError):
        call(WsgiMiddleware(at_once, asked.here.collector, flush_seconds=0.5))
    for app in (failing, failing_late):
        middleware: Any = AsgiMiddleware(app, asked.here.collector, flush_seconds=0.5)
        with pytest.raises(KeyError):
            asyncio.run(middleware({"type": "http", "path": "/"}, None, unsent))
    assert asked.found == [2, 4, 5], "the last has answered before it fails"
    assert asked.here.seen() == {("response_time", "/"): 3, ("errors", "/", "KeyError"): 3}


def test_a_flush_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A response goes out after the time that it may wait, whatever the publisher does, and whatever it raises."""
    asked = Asked(monkeypatch, answers=False)
    for _ in range(2):
        app: Any = AsgiMiddleware(bare, asked.here.collector, flush_seconds=0.01)
        asyncio.run(app({"type": "http", "path": "/"}, None, unsent))
        monkeypatch.setattr(asked.here.service.metrics, "flush_soon", None)
    assert (len(asked.found), asked.here.seen()) == (1, {("response_time", "/"): 2})


def test_another_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a loop that is not asyncio's, publishing is asked for and not waited for."""
    asked = Asked(monkeypatch)
    app: Any = AsgiMiddleware(bare, asked.here.collector, flush_seconds=0.5)
    with pytest.raises(StopIteration):
        app({"type": "http", "path": "/"}, None, unsent).send(None)
    assert (asked.hurried, asked.found, asked.here.seen()) == (1, [], {("response_time", "/"): 1})
