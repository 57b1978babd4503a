"""What Pub/Sub accepts as one message, checked by both buses before anything is sent.

The emulator takes larger messages, more attributes and longer ones than production does, so a bus that asked only
the server would pass its tests and fail once deployed. Limits: https://cloud.google.com/pubsub/quotas#resource_limits
"""

from __future__ import annotations

from collections.abc import Mapping

from ..bus import MAX_MESSAGE_BYTES
from ..errors import PermanentError

MAX_ATTRIBUTES = 100
MAX_ATTRIBUTE_KEY_BYTES = 256
MAX_ATTRIBUTE_VALUE_BYTES = 1024


def message_bytes(data: bytes, attributes: Mapping[str, str]) -> int:
    """The size that counts: data plus UTF-8 keys and values. Raises ValueError for text that is not Unicode."""
    return len(data) + sum(len(key.encode()) + len(value.encode()) for key, value in attributes.items())


def check_message(data: bytes, attributes: Mapping[str, str]) -> None:
    """Refuse what Pub/Sub refuses.

    Raises ``PermanentError``: ``empty_message`` (neither data nor attributes), ``invalid_attributes`` (too many,
    too long, an empty key, a lone surrogate) or ``message_too_large``.
    """
    if not data and not attributes:
        raise PermanentError("empty_message", "expected data or attributes")
    try:
        size_bytes = message_bytes(data, attributes)
        _check_attributes(attributes)
    except ValueError as error:
        raise PermanentError("invalid_attributes", str(error)) from error
    if size_bytes > MAX_MESSAGE_BYTES:
        raise PermanentError("message_too_large", f"{size_bytes} bytes, at most {MAX_MESSAGE_BYTES}")


def _check_attributes(attributes: Mapping[str, str]) -> None:
    if len(attributes) > MAX_ATTRIBUTES:
        raise ValueError(f"{len(attributes)} attributes, at most {MAX_ATTRIBUTES}")
    for key, value in attributes.items():
        if not 1 <= len(key.encode()) <= MAX_ATTRIBUTE_KEY_BYTES:
            raise ValueError(f"key {key[:40]!r}: expected 1 to {MAX_ATTRIBUTE_KEY_BYTES} bytes")
        if len(value.encode()) > MAX_ATTRIBUTE_VALUE_BYTES:
            raise ValueError(f"value of {key!r}: expected at most {MAX_ATTRIBUTE_VALUE_BYTES} bytes")
