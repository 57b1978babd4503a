"""Pub/Sub's REST route for publishing, so that any program can send metrics to a local run.

``POST /v1/projects/{project}/topics/{topic}:publish`` with ``{"messages": [{"data": base64, "attributes": {}}]}``
answers ``{"messageIds": [...]}``; what is refused is answered as Pub/Sub does, ``{"error": {"code", "message",
"status"}}``. https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics/publish
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Request, Response

from ..bus import MAX_MESSAGE_BYTES, Bus
from ..errors import PermanentError, TransientError

_ROUTE = re.compile(r"/v1/projects/(?P<project>[^/]+)/topics/(?P<topic>[^/:]+):publish")
MAX_MESSAGES = 1000
"""Of one request: https://cloud.google.com/pubsub/quotas"""
MAX_REQUEST_BYTES = MAX_MESSAGE_BYTES * 4 // 3 + 1_000_000
"""The largest message in base64, with room for its attributes."""
_SAFE_SITES = ("same-origin", "none")


class RefusalError(Exception):
    """An answer that is no success: an HTTP status, Google's name for it, and a sentence."""

    def __init__(self, code: int, status: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


@dataclass(frozen=True, slots=True)
class PublishRoute:
    """The route on a bus. Topics are known by the names they have on it."""

    bus: Bus
    project: str
    topics: Sequence[str]

    def __call__(self, request: Request) -> Response:
        """Answer one request; never raises."""
        try:
            topic = self._topic(request)
            messages = _messages(request)
            ids = [self._publish(topic, data, attributes) for data, attributes in messages]
        except RefusalError as refusal:
            body = {"error": {"code": refusal.code, "message": str(refusal), "status": refusal.status}}
            return _json(body, refusal.code)
        return _json({"messageIds": ids}, 200)

    def _topic(self, request: Request) -> str:
        if request.headers.get("Sec-Fetch-Site", "none") not in _SAFE_SITES:
            raise RefusalError(403, "PERMISSION_DENIED", "another site's page may not publish here")
        route = _ROUTE.fullmatch(request.path)
        if route is None or request.method != "POST":
            form = f"POST /v1/projects/{self.project}/topics/TOPIC:publish"
            raise RefusalError(404, "NOT_FOUND", f"there is only {form}")
        if route["project"] != self.project:
            raise RefusalError(404, "NOT_FOUND", f"the only project here is {self.project}")
        if route["topic"] not in self.topics:
            raise RefusalError(404, "NOT_FOUND", f"no such topic; there are {', '.join(self.topics)}")
        return route["topic"]

    def _publish(self, topic: str, data: bytes, attributes: dict[str, str]) -> str:
        try:
            return self.bus.publish(topic, data, attributes)
        except PermanentError as error:
            raise _invalid(str(error)) from error
        except TransientError as error:
            raise RefusalError(503, "UNAVAILABLE", str(error)) from error


def _messages(request: Request) -> list[tuple[bytes, dict[str, str]]]:
    """What a request wants published; nothing is published unless all of it is well formed."""
    request.max_content_length = MAX_REQUEST_BYTES
    try:
        body = json.loads(request.get_data(parse_form_data=False))
    except RequestEntityTooLarge as error:
        raise _invalid(f"the request has more than {MAX_REQUEST_BYTES} bytes") from error
    except (ValueError, RecursionError) as error:
        raise _invalid("the body is not JSON") from error
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list) or not 1 <= len(messages) <= MAX_MESSAGES:
        raise _invalid(f"messages: expected an array of 1 to {MAX_MESSAGES} messages")
    return [_message(f"messages[{at}]", message) for at, message in enumerate(messages)]


def _message(path: str, message: Any) -> tuple[bytes, dict[str, str]]:
    if not isinstance(message, dict):
        raise _invalid(f"{path}: expected an object")
    data, attributes = message.get("data", ""), message.get("attributes", {})
    if not isinstance(data, str):
        raise _invalid(f"{path}.data: expected base64")
    if not isinstance(attributes, dict) or not all(isinstance(value, str) for value in attributes.values()):
        raise _invalid(f"{path}.attributes: expected an object of strings")
    if not data and not attributes:
        raise _invalid(f"{path}: expected data or attributes")
    try:
        return base64.b64decode(data, validate=True), attributes
    except (binascii.Error, ValueError) as error:
        raise _invalid(f"{path}.data: expected base64") from error


def _invalid(message: str) -> RefusalError:
    return RefusalError(400, "INVALID_ARGUMENT", message)


def _json(body: dict[str, Any], status: int) -> Response:
    return Response(json.dumps(body, indent=2) + "\n", status, content_type="application/json; charset=UTF-8")
