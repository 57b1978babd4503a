"""One Pub/Sub topic over HTTP, for services that publish: the standard library, no gRPC, no thread of its own.

The connection is kept, belongs to one process (a forked child makes its own) and is made anew when it has gone. Every
call ends within TIMEOUT_SECONDS for each of its at most two attempts. A failure is permanent when the same message
would be refused again, and transient otherwise: a missing topic and refused credentials can be mended. The token is
Google's metadata server's, or that of ``credentials``; on an emulator, and on the local run, there is none.
"""

from __future__ import annotations

import base64
import encodings.idna  # noqa: F401 - looking a host up loads it, on whatever thread, and a fork might come between
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Protocol
from urllib.parse import quote

from ..errors import PermanentError, TransientError
from .per_process import PerProcess

HOST = "pubsub.googleapis.com"
METADATA_HOST = "metadata.google.internal"
SCOPE = "https://www.googleapis.com/auth/pubsub"
TIMEOUT_SECONDS = 5.0
_TOKEN_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"  # noqa: S105 # where one is asked for
_EARLY_SECONDS = 120.0
"""A token is renewed so long before it expires."""
_NOT_FOUND = 404
_UNAUTHORIZED = 401
_REFUSED = (400, 413)


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token; ``lives_seconds`` from when it was got."""

    text: str
    lives_seconds: float


class Credentials(Protocol):
    """Where tokens come from."""

    def token(self) -> Token:
        """A fresh token. Raises TransientError ``no_credentials``."""
        ...


class MetadataServer:
    """The tokens of the service account that a program runs as on Google Cloud."""

    def __init__(self, host: str = METADATA_HOST) -> None:
        """``host`` may have a port."""
        self._host = host

    def token(self) -> Token:
        """As the port says."""
        connection = HTTPConnection(self._host, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("GET", _TOKEN_PATH, headers={"Metadata-Flavor": "Google"})
            answer = json.loads(connection.getresponse().read())
            return Token(str(answer["access_token"]), float(answer["expires_in"]))
        except (OSError, HTTPException, KeyError, TypeError, ValueError) as error:
            raise TransientError("no_credentials", f"the metadata server gives no token: {error!r}") from error
        finally:
            connection.close()


class HttpTopic:
    """Publishes to one topic, a message a call. Connects on first use; one call at a time."""

    def __init__(
        self,
        project: str,
        topic: str,
        monotonic: Callable[[], float],
        *,
        host: str | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        """``host`` (``name:port``) is an emulator's, without TLS or tokens. ``monotonic`` is a clock in seconds."""
        self._path = f"/v1/projects/{quote(project, safe=':')}/topics/{quote(topic, safe='')}:publish"
        self._monotonic = monotonic
        self._credentials = None if host else credentials or MetadataServer()
        self._connection = PerProcess(lambda: _connect(host))
        self._token: tuple[str, float] | None = None

    def __call__(self, data: bytes, attributes: Mapping[str, str]) -> None:
        """Publish one message. Raises PermanentError ``message_refused``, or TransientError."""
        message = {"data": base64.b64encode(data).decode(), "attributes": dict(attributes)}
        body = json.dumps({"messages": [message]}).encode()
        headers = {"Content-Type": "application/json"}
        if self._credentials is not None:
            headers["Authorization"] = f"Bearer {self._bearer(self._credentials)}"
        status, text = self._post(body, headers)
        if status // 100 != 2:
            raise self._failure(status, text)

    def close(self) -> None:
        """Close this process's connection, if any; a later call connects again."""
        connection = self._connection.drop()
        if connection is not None:
            connection.close()

    def _post(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        """The answer; asked a second time where a kept connection has gone meanwhile."""
        kept = self._connection.get().sock is not None
        try:
            return self._ask(body, headers)
        except (OSError, HTTPException) as error:
            if not kept or isinstance(error, TimeoutError):
                raise TransientError("unavailable", repr(error)) from error
        try:
            return self._ask(body, headers)
        except (OSError, HTTPException) as error:
            raise TransientError("unavailable", repr(error)) from error

    def _ask(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        connection = self._connection.get()
        try:
            connection.request("POST", self._path, body, dict(headers))
            response: HTTPResponse = connection.getresponse()
            return response.status, response.read().decode("utf-8", "replace")
        except BaseException:
            connection.close()
            raise

    def _bearer(self, credentials: Credentials) -> str:
        now = self._monotonic()
        if self._token is None or self._token[1] <= now:
            fresh = credentials.token()
            self._token = fresh.text, now + max(fresh.lives_seconds - _EARLY_SECONDS, 0.0)
        return self._token[0]

    def _failure(self, status: int, text: str) -> PermanentError | TransientError:
        detail = f"{status} {text[:200]}"
        if status in _REFUSED:
            return PermanentError("message_refused", detail)
        if status == _UNAUTHORIZED:
            self._token = None
        return TransientError("unknown_topic" if status == _NOT_FOUND else "unavailable", detail)


def _connect(host: str | None) -> HTTPConnection:
    if host:
        return HTTPConnection(host, timeout=TIMEOUT_SECONDS)
    return HTTPSConnection(HOST, timeout=TIMEOUT_SECONDS)
