"""A generic webhook: one POST of JSON a notification.

The receiver is told the notification's id in ``Webhook-Id``, the same for every attempt, so that it can drop a
repetition; the body is the notification's wire form (``docs/notification.schema.json``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import IO, TypeAlias
from urllib.error import HTTPError, URLError
from urllib.parse import unquote
from urllib.request import HTTPRedirectHandler, Request, build_opener

from ..errors import PermanentError, TransientError
from ..notifications import Notification
from . import Answer

TIMEOUT_SECONDS = 10.0
MAX_ANSWER_BYTES = 200
_RETRIED = {408, 425, 429}
_REPEATED = 8
"""Characters of the URL in a row that an answer may not repeat."""

Post: TypeAlias = Callable[[str, bytes, Mapping[str, str]], tuple[int, bytes]]
"""POST a body to a URL: the status and the first bytes of the answer. Raises OSError or HTTPException."""


def payload(notification: Notification, dashboard_url: str) -> bytes:
    """The body: UTF-8 JSON, the notification with a link to its dashboard."""
    return json.dumps({**notification.to_dict(), "dashboard_url": dashboard_url}, sort_keys=True).encode()


@dataclass(frozen=True, slots=True)
class WebhookChannel:
    """Posts to one URL, which is a secret: it is in no error and no log."""

    url: str
    dashboard_url: str
    post: Post

    def send(self, notification: Notification) -> Answer:
        """Post one notification: 2xx is delivered; 408, 425, 429, 5xx and network faults are transient."""
        headers = {"Content-Type": "application/json", "Webhook-Id": notification.id}
        try:
            status, answer = self.post(self.url, payload(notification, self.dashboard_url), headers)
        except (OSError, HTTPException) as error:
            raise TransientError("webhook_unreachable", type(error).__name__) from None
        except ValueError as error:
            raise PermanentError("webhook_unusable", type(error).__name__) from None
        detail = f"{status} {self._without_url(answer[:MAX_ANSWER_BYTES].decode('utf-8', 'replace'))}".strip()
        if 200 <= status < 300:
            return Answer(detail)
        if status in _RETRIED or status >= 500:
            raise TransientError("webhook_failed", detail)
        raise PermanentError("webhook_refused", detail)

    def _without_url(self, answer: str) -> str:
        """The answer; ``***`` where it repeats a part of the URL, as "Cannot POST /hook/TOKEN" does."""
        secret = self.url.partition("://")[2].casefold()
        known = {text[at : at + _REPEATED] for text in (secret, unquote(secret)) for at in range(len(text))}
        said = answer.casefold()
        return "***" if any(len(part) == _REPEATED and part in said for part in known) else answer


class _NoRedirect(HTTPRedirectHandler):
    """A redirect is an answer like any other: it could lead anywhere."""

    def redirect_request(self, *_: object) -> None:
        return None


def post(
    url: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float = TIMEOUT_SECONDS
) -> tuple[int, bytes]:
    """``Post`` on the standard library, without redirects. ``timeout_seconds`` is for each wait on the network."""
    request = Request(url, body, dict(headers), method="POST")  # noqa: S310 - `webhook_url` admits http(s) alone
    try:
        with build_opener(_NoRedirect).open(request, timeout=timeout_seconds) as answer:
            return answer.status, _beginning(answer)
    except HTTPError as error:
        with error:
            return error.code, _beginning(error)
    except URLError as error:
        raise OSError(str(error.reason)) from error


def _beginning(answer: IO[bytes] | HTTPResponse) -> bytes:
    """The first bytes of an answer; none where they do not come: its status has said what counts."""
    try:
        return answer.read(MAX_ANSWER_BYTES)
    except (OSError, HTTPException):
        return b""
