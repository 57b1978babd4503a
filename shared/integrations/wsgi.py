"""Requests of a WSGI application: ``app = WsgiMiddleware(app)``. What it answers is passed on unchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..metrics_collector import ProductionMetricsCollector
from .requests import Requests

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ROUTE_KEY = "ion_monitoring.route"
"""In the environment: the endpoint, where the application knows it better than its path says."""


class WsgiMiddleware:
    """Times each request until its body is closed. An error of the application is counted and raised."""

    def __init__(
        self,
        app: WSGIApplication,
        collector: ProductionMetricsCollector | None = None,
        *,
        region: str | None = None,
        endpoint_of: Callable[[WSGIEnvironment], str] | None = None,
        flush_seconds: float = 0.0,
    ) -> None:
        """``endpoint_of`` is asked at the end of a request. ``flush_seconds``: see ``Requests``."""
        self._app = app
        self._requests = Requests(collector, region, flush_seconds)
        self._endpoint_of = endpoint_of

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        started = self._requests.clock()
        status = [0]
        whole_bytes = [0]

        def respond(line: str, headers: Any, *rest: Any) -> Any:
            status[0] = _code(line)
            whole_bytes[0] = _length(headers) if self._requests.flushes else 0
            return start_response(line, headers, *rest)

        def done(error: BaseException | None) -> None:
            self._requests.answered(self._endpoint(environ, status[0]), started, status[0], error)
            if self._requests.flush_is_due():
                self._requests.flush()

        try:
            body = self._app(environ, respond)
        except BaseException as error:
            done(error)
            raise
        files = environ.get("wsgi.file_wrapper")
        if isinstance(files, type) and isinstance(body, files):  # the server may send the file itself, and fast
            done(None)
            return body
        return (_SizedBody if hasattr(body, "__len__") else _Body)(body, done, whole_bytes)

    def _endpoint(self, environ: WSGIEnvironment, status: int) -> str:
        if self._endpoint_of is not None:
            with suppress(Exception):  # a service does not fail for its metrics
                return self._endpoint_of(environ)
        known = environ.get(ROUTE_KEY)
        return str(known) if known else self._requests.path(str(environ.get("PATH_INFO", "/")), status)


class _Body:
    """A body as it is, that says once when it has ended.

    Where its length is known (the number in ``whole_bytes``, once it is iterated) that is before its last part: with
    it a client has the whole response, and what is done afterwards may get no CPU any more.
    """

    def __init__(
        self, body: Iterable[bytes], done: Callable[[BaseException | None], None], whole_bytes: Sequence[int]
    ) -> None:
        self._body = body
        self._done: Callable[[BaseException | None], None] | None = done
        self._whole_bytes = whole_bytes

    def __iter__(self) -> Iterator[bytes]:
        sent_bytes = 0
        try:
            for part in self._body:
                sent_bytes += len(part)
                if 0 < self._whole_bytes[0] <= sent_bytes:
                    self._end(None)
                yield part
        except Exception as error:
            self._end(error)
            raise
        self._end(None)

    def close(self) -> None:
        """The server has sent it, or has given up."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self._end(None)

    def _end(self, error: BaseException | None) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(error)


class _SizedBody(_Body):
    """One whose parts can be counted; a server that finds a length asks for it, so no stream may have one."""

    def __len__(self) -> int:
        return len(self._body)  # type: ignore[arg-type] # only a body that has one is put in here


def _length(headers: Any) -> int:
    """The length that headers say; 0 for none."""
    try:
        return int(next(value for name, value in headers if name.lower() == "content-length"))
    except Exception:  # noqa: BLE001 - a service does not fail for its metrics
        return 0


def _code(line: str) -> int:
    try:
        return int(line[:3])
    except (TypeError, ValueError):
        return 0
