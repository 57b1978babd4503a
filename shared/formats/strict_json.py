"""JSON as strangers send it: every fault is a PermanentError ``malformed_message`` that names the path.

Refused besides what is not JSON: text that is not UTF-8, duplicate keys, NaN and Infinity, nesting beyond the
interpreter's depth, lone surrogates in names. What is quoted back is JSON, cut to 80 characters. Before anything is
read, more objects or arrays than a message can need are ``chunk_too_large``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection
from typing import Any

from ..cells import MAX_MAGNITUDE
from ..errors import PermanentError
from .columns import too_large

MAX_QUOTED = 80
MAX_OBJECTS = 250_000
"""Objects in a message, and arrays, at most: 100,000 native points with labels have fewer objects, and so have 20,000
of OTLP with five labels each. Two-byte objects would take 100 times their bytes, and seconds to read."""
MAX_KEYS = 1000
"""Keys in one object, at most; no object of ours has a fiftieth of them."""
MISSING = object()
"""What ``dict.get`` answers for a key that is not there, so that null is told apart."""
_DOUBLE_BITS = 1024
"""Integers of fewer bits are within the range of doubles."""
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,79}")


def malformed(detail: str) -> PermanentError:
    """The error of a message that does not keep to the format."""
    return PermanentError("malformed_message", detail)


def refused(path: str, expected: str, got: object) -> PermanentError:
    """``points[3].value: expected a finite number, got "abc"``."""
    return malformed(f"{path}: expected {expected}, got {quoted(got)}")


def quoted(value: object) -> str:
    """A JSON value in at most 80 printable ASCII characters."""
    if value is MISSING:
        return "nothing"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    text = json.dumps(value[:MAX_QUOTED] if isinstance(value, str) else value)
    return text if len(text) <= MAX_QUOTED else text[: MAX_QUOTED - 3] + "..."


def below(path: str, key: str) -> str:
    """The path of an object's key: ``points[3].labels.region``; odd keys are quoted in brackets."""
    if not _PLAIN_KEY.fullmatch(key):
        return f"{path}[{quoted(key)}]"
    return f"{path}.{key}" if path else key


def parse(data: bytes) -> dict[str, Any]:
    """The object that some bytes hold, with string keys, each once."""
    if max(data.count(b"{"), data.count(b"[")) > MAX_OBJECTS:
        raise too_large(f"more than {MAX_OBJECTS} objects or arrays of JSON")
    try:
        message = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise malformed(f"not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise malformed("nested too deeply") from error
    except ValueError as error:
        raise malformed(f"not JSON: {str(error)[:MAX_QUOTED]}") from error
    return object_of(message, "message")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_KEYS:
        raise malformed(f"an object has {len(pairs)} keys, at most {MAX_KEYS}")
    result = dict(pairs)
    if len(result) == len(pairs):
        return result
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise malformed(f"the key {quoted(key)} occurs twice in one object")
        seen.add(key)
    return result


def _refuse_constant(name: str) -> float:
    raise malformed(f"{name} is not JSON")


def object_of(value: object, path: str) -> dict[str, Any]:
    """The value, which must be an object."""
    if isinstance(value, dict):
        return value
    raise refused(path, "an object", value)


def check_keys(value: dict[str, Any], known: Collection[str], path: str) -> None:
    """Refuse keys that the format does not have."""
    for key in value:
        if key not in known:
            raise malformed(f"{below(path, key)}: unknown key, expected one of {', '.join(sorted(known))}")


def number_of(value: object, path: str, limit: float = MAX_MAGNITUDE) -> float:
    """A finite number between -limit and limit, never a boolean."""
    if type(value) is int and value.bit_length() < _DOUBLE_BITS:
        value = float(value)
    if type(value) is float and -limit <= value <= limit:
        return value
    finite = type(value) is int or (type(value) is float and math.isfinite(value))
    raise refused(path, f"a number from {-limit:g} to {limit:g}" if finite else "a finite number", value)


def integer_of(value: object, path: str, low: int, high: int) -> int:
    """An integer within bounds, never a boolean."""
    if type(value) is int and low <= value <= high:
        return value
    raise refused(path, f"an integer from {low} to {high}", value)


def text_of(value: object, path: str, max_bytes: int) -> str:
    """Text of 0 to ``max_bytes`` bytes of UTF-8."""
    if isinstance(value, str) and len(checked_utf8(value, path).encode()) <= max_bytes:
        return value
    raise refused(path, f"a string of at most {max_bytes} bytes", value)


def checked_utf8(value: str, path: str) -> str:
    """The text itself, which must have no lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise refused(path, "text without lone surrogates", value) from error
    return value
