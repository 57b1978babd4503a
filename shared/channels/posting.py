"""One HTTP POST, and what its answer means: the only way in which channels reach a vendor.

A POST ends within ``DEADLINE_SECONDS`` whatever the other side does, trickling included. The longest send, to Slack
with a picture after an attempt that nobody knows of, is nine of them: less than the lease of a delivery, so that nobody
else has taken over when the answer comes. Redirects are answers; nothing is followed.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from threading import Timer
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from ..errors import PermanentError, TransientError
from . import MAX_RETRY_AFTER, Busy, Gone

DEADLINE_SECONDS = 10.0
MAX_ADDRESSES = 4
"""Of a host that are tried, each for its share of the deadline."""
MAX_ANSWER_BYTES = 256 * 1024
SHOWN_BYTES = 200
_PORTS = {"http": 80, "https": 443}
_RETRIED = {408, 425, 429}
_NOT_TAKEN = {425, 429}
"""Answers of a receiver that did not begin; any other failure may come from a gateway behind which it was taken."""
_GONE = {401, 403, 404, 410}
_REPEATED = 8
"""Characters of a secret in a row that what is said may not repeat."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; ``headers`` have names in lower case, ``body`` is cut at ``MAX_ANSWER_BYTES``."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Post: TypeAlias = Callable[[str, bytes, Mapping[str, str]], Reply]
"""POST a body to a URL. Raises OSError or HTTPException (no answer), ValueError (a URL that cannot be used)."""
Resolve: TypeAlias = Callable[[str, int], Sequence[str]]
"""The addresses of a host and port, at least one, in the order in which to try them.

Raises OSError, or ValueError for a host that may not be connected to.
"""


def addresses(host: str, port: int) -> Sequence[str]:
    """``Resolve`` as the system does."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    deadline_seconds: float = DEADLINE_SECONDS,
    resolve: Resolve = addresses,
    context: ssl.SSLContext | None = None,
) -> Reply:
    """``Post`` on the standard library."""
    connection, target = _connection(url, deadline_seconds, resolve, context)
    timer = Timer(deadline_seconds, _abort, [connection])
    timer.daemon = True
    timer.start()
    try:
        connection.request("POST", target, body, dict(headers))
        with connection.getresponse() as answer:
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, _beginning(answer), names)
    finally:
        timer.cancel()
        connection.close()


def _connection(
    url: str, timeout_seconds: float, resolve: Resolve, context: ssl.SSLContext | None
) -> tuple[HTTPConnection, str]:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
    if parts.scheme not in _PORTS or not host or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("expected an http(s) address")
    connection: HTTPConnection
    if parts.scheme == "https":
        connection = HTTPSConnection(host, port, timeout=timeout_seconds, context=context)
    else:
        connection = HTTPConnection(host, port, timeout=timeout_seconds)
    _pin(connection, resolve(host, connection.port)[:MAX_ADDRESSES])
    return connection, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _pin(connection: HTTPConnection, checked: Sequence[str]) -> None:
    """Connect to addresses that were checked, one after the other within the time for all of them.

    The name, resolved again, could lead elsewhere.
    """

    def connect(_: object, timeout: float, _source: None = None) -> socket.socket:
        for address in checked[:-1]:
            with suppress(OSError):
                return one(address, timeout)
        return one(checked[-1], timeout)

    def one(address: str, timeout: float) -> socket.socket:
        made = socket.create_connection((address, connection.port), timeout / len(checked))
        made.settimeout(timeout)
        return made

    connection._create_connection = connect  # type: ignore[attr-defined] # http.client's own hook, which has no other


def _abort(connection: HTTPConnection) -> None:
    if connection.sock is not None:
        with suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)


def _beginning(answer: HTTPResponse) -> bytes:
    """The first bytes of an answer; none where they do not come: its status has said what counts."""
    try:
        return answer.read(MAX_ANSWER_BYTES)
    except (OSError, HTTPException, ValueError):
        return b""


@dataclass(frozen=True, slots=True)
class Vendor:
    """Who is posted to: ``name`` begins the reasons of errors; none of the ``secrets`` is in any text from here."""

    name: str
    post: Post = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def ask(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """POST once. Raises TransientError (no answer) and PermanentError (a URL that cannot be used)."""
        try:
            return self.post(url, body, headers)
        except (OSError, HTTPException) as error:
            raise TransientError(f"{self.name}_unreachable", type(error).__name__) from None
        except ValueError as error:
            raise Gone(f"{self.name}_unusable", type(error).__name__) from None

    def accepted(self, reply: Reply, now: datetime, gone: frozenset[int] = frozenset(_GONE)) -> str:
        """What an answer of 2xx says, with its status. Raises Busy, Gone or PermanentError for every other."""
        said = self.said(reply)
        if 200 <= reply.status < 300:
            return said
        if reply.status in _RETRIED or reply.status >= 500:
            is_certain = reply.status in _NOT_TAKEN
            raise Busy(f"{self.name}_failed", said, retry_at(reply, now), is_certain=is_certain)
        if reply.status in gone:
            raise Gone(f"{self.name}_gone", said)
        raise PermanentError(f"{self.name}_refused", said)

    def said(self, reply: Reply) -> str:
        """Status and the beginning of an answer, without any secret that it repeats."""
        beginning = reply.body[:SHOWN_BYTES].decode("utf-8", "replace")
        return f"{reply.status} {without_secrets(beginning, self.secrets)}".strip()


def without_secrets(text: str, secrets: tuple[str, ...]) -> str:
    """The text; ``***`` where it repeats eight characters of a secret, as "Cannot POST /hook/TOKEN" does."""
    said = text.casefold()
    for secret in secrets:
        whole = secret.partition("://")[2].casefold() or secret.casefold()
        for form in (whole, unquote(whole)):
            if any(form[at : at + _REPEATED] in said for at in range(max(1, len(form) - _REPEATED + 1)) if form):
                return "***"
    return text


def retry_at(reply: Reply, now: datetime) -> datetime | None:
    """When to come again, as ``Retry-After`` says in seconds or as a date; at most an hour from now, None without."""
    text = reply.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return now + min(timedelta(seconds=int(text[:9])), MAX_RETRY_AFTER)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return None if at.tzinfo is None else min(max(at, now), now + MAX_RETRY_AFTER)


def tell_in_slack(response_url: str, text: str) -> None:
    """Tell one person in Slack, at the address that came with what they did; best effort, within a second."""
    if not response_url:
        return
    body = json.dumps({"response_type": "ephemeral", "replace_original": False, "text": text}).encode()
    with suppress(OSError, HTTPException, ValueError):
        post(response_url, body, {"Content-Type": "application/json"}, deadline_seconds=1.0)
