"""Requests of an ASGI application: ``app.add_middleware(AsgiMiddleware)``, or ``app = AsgiMiddleware(app)``.

Starlette and FastAPI say which route a request took; of another application the path is known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any, TypeAlias

from ..metrics_collector import ProductionMetricsCollector
from ..publishing import END_SECONDS
from .requests import UNMATCHED, Requests

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class AsgiMiddleware:
    """Times each HTTP request until the application has done with it. Its errors are counted and raised."""

    def __init__(
        self,
        app: App,
        collector: ProductionMetricsCollector | None = None,
        *,
        region: str | None = None,
        endpoint_of: Callable[[Scope], str] | None = None,
        flush_seconds: float = 0.0,
    ) -> None:
        """``endpoint_of`` is asked at the end of a request. ``flush_seconds``: see ``Requests``."""
        self._app = app
        self._requests = Requests(collector, region, flush_seconds)
        self._endpoint_of = endpoint_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; what is gathered at the end of the application's lifespan is published before it."""
        if scope.get("type") != "http":
            await self._app(scope, receive, self._at_end(send) if scope.get("type") == "lifespan" else send)
            return
        started = self._requests.clock()
        mounted_at = str(scope.get("root_path", ""))
        status = 0
        is_recorded = False

        def record(error: BaseException | None = None) -> None:
            nonlocal is_recorded
            endpoint = self._endpoint(scope, mounted_at, status)
            if not is_recorded:
                self._requests.answered(endpoint, started, status, error)
            elif error is not None:
                self._requests.failed(endpoint, 0, error)
            is_recorded = True

        async def respond(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message.get("type") == "http.response.start":
                status = message.get("status", 0)
            elif not message.get("more_body") and self._requests.flush_is_due():
                record()
                await _flush(self._requests.collector, self._requests.flush_seconds)
            await send(message)

        try:
            await self._app(scope, receive, respond)
        except BaseException as error:
            record(error)
            if isinstance(error, Exception) and self._requests.flush_is_due():
                await _flush(self._requests.collector, self._requests.flush_seconds)
            raise
        record()

    def _at_end(self, send: Send) -> Send:
        """A server such as uvicorn ends by a signal, and nothing that is registered for the exit runs."""

        async def respond(message: MutableMapping[str, Any]) -> None:
            if message.get("type") in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                await _flush(self._requests.collector, END_SECONDS)
            await send(message)

        return respond

    def _endpoint(self, scope: Scope, mounted_at: str, status: int) -> str:
        try:
            scope = {**scope, "root_path": str(scope.get("root_path", "")).removeprefix(mounted_at)}
            return self._by_route(scope, status) if self._endpoint_of is None else self._endpoint_of(scope)
        except Exception:  # noqa: BLE001 - a service does not fail for its metrics
            return UNMATCHED

    def _by_route(self, scope: Scope, status: int) -> str:
        """The route's template below where it is mounted; where there is a router and no route, none matched."""
        route, mounted_at = scope.get("route"), str(scope["root_path"])
        if hasattr(route, "app") and hasattr(route, "routes"):  # mounted, and no route within that is known
            return mounted_at or UNMATCHED
        path = getattr(route, "path", None)
        if isinstance(path, str):
            return mounted_at + path
        return UNMATCHED if "router" in scope else self._requests.path(str(scope.get("path", "/")), status)


async def _flush(collector: ProductionMetricsCollector, seconds: float) -> None:
    """Publish what was gathered, on the publisher's own thread, and wait so long at most; raises nothing.

    On a loop that is not ``asyncio``'s it is asked for, and not waited for.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        collector.publisher.hurry()
        return
    flushed = loop.create_future()

    def settle() -> None:
        if not flushed.done():
            flushed.set_result(None)

    def tell(_: bool) -> None:
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle)

    with suppress(Exception):
        collector.publisher.flush_soon(tell)
        await asyncio.wait_for(flushed, seconds)
