"""Dead letters: a message that can never succeed is kept whole, with its reason, where an operator can pull it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from .bus import PUBLISH_TIME_ATTRIBUTE, REASON_ATTRIBUTE, Bus, Message
from .errors import PermanentError
from .timeline import iso

REJECTED_METRIC = "ion_rejected_messages"
"""The counter of dead letters, with the label ``reason``."""
DETAIL_ATTRIBUTE = "ion_detail"
_FORMAT_ATTRIBUTES = frozenset({"ce-type", "content-encoding", "content-type"})
"""What says how to read a message."""
_MAX_VALUE_BYTES = 1024
_KEPT_ATTRIBUTES = 90
"""Of Pub/Sub's 100 attributes; the rest is room for ours."""


def dead_letter(bus: Bus, topic: str, message: Message, error: PermanentError, published: datetime) -> None:
    """Copy a message to its dead-letter topic; ``published`` is when it was first published (aware UTC).

    Repeating adds a copy, which is harmless: re-ingested, it lies under the same key. The data is always whole; where
    the bus does not take it with all that was said about it (a message may be as large as the bus allows), the letter
    says only how to read it, and why it is one. Raises TransientError, and PermanentError where that is refused too.
    """
    why = {PUBLISH_TIME_ATTRIBUTE: iso(published), REASON_ATTRIBUTE: error.reason}
    attributes = {**_with_room(message.attributes), **why, DETAIL_ATTRIBUTE: _cut(error.detail)}
    try:
        bus.publish(topic, message.data, attributes)
    except PermanentError:
        bus.publish(topic, message.data, {**_formats(message.attributes), **why})


def _with_room(attributes: Mapping[str, str]) -> dict[str, str]:
    """The attributes that fit; those that say how to read the message are kept before all others."""
    others = sorted(name for name in attributes if name not in _FORMAT_ATTRIBUTES)
    kept = {name: attributes[name] for name in others[: _KEPT_ATTRIBUTES - len(_FORMAT_ATTRIBUTES)]}
    return _formats(attributes) | kept


def _formats(attributes: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in attributes.items() if name in _FORMAT_ATTRIBUTES}


def _cut(text: str) -> str:
    return text.encode("utf-8", "replace")[:_MAX_VALUE_BYTES].decode("utf-8", "ignore")
