"""The envelope in which Pub/Sub pushes one message to a function, read and written.

Pub/Sub posts ``{"message": {...}, "subscription": "projects/P/subscriptions/S"}``; functions-framework hands its
``message`` on as the data of a CloudEvent, without the subscription. Whatever is not that shape is refused under one
reason, ``malformed_envelope``, and nothing else is raised: trying it again cannot mend it.
https://cloud.google.com/pubsub/docs/push#receive_push
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from .bus import Message
from .errors import PermanentError
from .timeline import iso, parse_iso

MALFORMED_ENVELOPE = "malformed_envelope"
_YEARS = range(2000, 9999)
"""A message was published in one of these: whatever is stored for it is well within what a date can hold."""


class PushEvent(Protocol):
    """What is needed of a CloudEvent: its decoded JSON data."""

    @property
    def data(self) -> object:
        """What the event carries: an object with ``message``."""
        ...


def message_from_cloud_event(event: PushEvent) -> Message:
    """The message in a pushed event. Missing data and missing attributes are empty; nanoseconds are cut to micros.

    Raises ``PermanentError`` (``malformed_envelope``) naming the field for anything else that is not as Pub/Sub
    sends it, an absent publish time or message id included.
    """
    message = _mapping("data.message", _mapping("data", event.data).get("message"))
    return Message(
        data=_bytes(message.get("data")),
        attributes=_attributes(message.get("attributes")),
        message_id=_filled("messageId", message.get("messageId")),
        publish_time=_instant(_filled("publishTime", message.get("publishTime"))),
    )


def push_body(message: Message, subscription: str, project: str) -> bytes:
    """The JSON that Pub/Sub posts for a message of a subscription (its short name); the event above, inverted.

    ``data`` is there even when it is empty: functions-framework answers 400 to a body without it.
    """
    publish_time = iso(message.publish_time)
    body: dict[str, str | dict[str, str]] = {
        "data": base64.b64encode(message.data).decode("ascii"),
        "messageId": message.message_id,
        "message_id": message.message_id,
        "publishTime": publish_time,
        "publish_time": publish_time,
    }
    if message.attributes:
        body["attributes"] = dict(message.attributes)
    return json.dumps({"message": body, "subscription": f"projects/{project}/subscriptions/{subscription}"}).encode()


def _malformed(field: str, expected: str) -> PermanentError:
    return PermanentError(MALFORMED_ENVELOPE, f"{field}: expected {expected}")


def _mapping(field: str, value: object) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise _malformed(field, f"an object, got {type(value).__name__}")
    return value


def _text(field: str, value: object) -> str:
    """A string that can be stored and sent on: one with a lone surrogate has no UTF-8."""
    if not isinstance(value, str):
        raise _malformed(field, f"a string, got {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _malformed(field, "Unicode text") from error
    return value


def _filled(field: str, value: object) -> str:
    text = _text(field, value)
    if not text:
        raise _malformed(field, "a non-empty string")
    return text


def _bytes(value: object) -> bytes:
    if value is None:
        return b""
    try:
        return base64.b64decode(_text("data", value), validate=True)
    except ValueError as error:
        raise _malformed("data", "base64") from error


def _attributes(value: object) -> dict[str, str]:
    if value is None:
        return {}
    return {_text("attributes", key): _text("attributes", text) for key, text in _mapping("attributes", value).items()}


def _instant(text: str) -> datetime:
    try:
        instant = parse_iso(text)
    except ValueError as error:
        raise _malformed("publishTime", "an RFC 3339 time with an offset") from error
    if instant.year not in _YEARS:
        raise _malformed("publishTime", f"a time from the year {_YEARS[0]} to {_YEARS[-1]}")
    return instant
