"""The one web server of a local run, loopback only: the dashboard at ``/``, and beside it what others call.

Pub/Sub's publish route is below ``/v1/``, and what Slack and PagerDuty sign is taken below ``/hooks/``.

It answers only requests that name it by a name of loopback: a page of another site whose name was made to lead here
names that site, and gets 403.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"
PORTS_TRIED = 50
PUSH_PREFIX = "/functions/"
HOOKS_PREFIX = "/hooks"
MAX_PORT = 65_535
_DEFAULT_PORT = 80
"""Of HTTP: a Host may leave it out."""


def bind(port: int) -> socket.socket:
    """A listening socket on loopback, at ``port`` or the next one that is free.

    Port 0 is any. Raises OSError when none of ``PORTS_TRIED`` is free.
    """
    last: OSError | None = None
    for candidate in range(port, min(port + PORTS_TRIED, MAX_PORT + 1)):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, candidate))
            listener.listen(128)
        except OSError as error:
            listener.close()
            last = error
        else:
            return listener
    raise last or OSError(f"no port {port}")


def router(
    dashboard: WSGIApplication,
    publish: Callable[[Request], Response],
    pushed: Callable[[str], WSGIApplication | None],
    hooks: WSGIApplication,
) -> WSGIApplication:
    """One application of four: ``pushed`` gives the one behind ``/functions/{name}``, or None for no such path."""

    def route(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = str(environ.get("PATH_INFO", ""))
        if path.startswith("/v1/"):
            return publish(Request(environ))(environ, start_response)
        if path.startswith(PUSH_PREFIX):
            found = pushed(path.removeprefix(PUSH_PREFIX))
            if found is not None:
                return found(environ, start_response)
        if path.startswith(f"{HOOKS_PREFIX}/"):
            below = {"SCRIPT_NAME": HOOKS_PREFIX, "PATH_INFO": path.removeprefix(HOOKS_PREFIX)}
            return hooks({**environ, **below}, start_response)
        return dashboard(environ, start_response)

    return route


def named_here(app: WSGIApplication, port: int) -> WSGIApplication:
    """The application for requests whose Host is this machine's loopback and ``port``; for all others a refusal."""
    names = [f"{name}:{port}" for name in (HOST, "localhost")]
    accepted = {*names, *((HOST, "localhost") if port == _DEFAULT_PORT else ())}

    def check(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if str(environ.get("HTTP_HOST", "")).lower() in accepted:
            return app(environ, start_response)
        refusal = Response(f"This server answers only as {' and '.join(names)}.\n", 403)
        return refusal(environ, start_response)

    return check


class Server:
    """Serves an application on a listening socket, a thread for each connection, until ``stop``."""

    def __init__(self, listener: socket.socket, app: WSGIApplication) -> None:
        self._listener = listener
        app = named_here(app, port_of(listener))
        self._server = make_server(HOST, 0, app, threaded=True, request_handler=_QuietHandler, fd=listener.fileno())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="server", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return port_of(self._listener)

    def start(self) -> None:
        """Begin to answer. Connections that came before wait for this."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more; requests under way are left to end by themselves."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.socket.close()
        self._listener.close()


def port_of(listener: socket.socket) -> int:
    """The port that a socket listens on."""
    return int(listener.getsockname()[1])


class _QuietHandler(WSGIRequestHandler):
    """HTTP/1.1, so that connections are kept, and no line for each request."""

    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 # the base class's name
        """Say nothing: what fails is said where it fails."""
