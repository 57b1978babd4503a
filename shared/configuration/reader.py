"""Typed readers of a JSON document that carry the path, and collect every problem instead of the first.

A reader that meets something wrong reports it and returns a harmless placeholder, so that the rest is read too;
``Node.sound`` tells whether that has happened below a node. Problems are one line each, in reading order, quote
what they met in ASCII, at most 60 characters of it, and never a secret.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from ..series import MAX_NAME_BYTES

T = TypeVar("T")
E = TypeVar("E", bound=Enum)

MAX_NUMBER = 1e15
"""Beyond it a double no longer holds every whole number and its tenths."""

_MAX_QUOTED = 60
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,40}")
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_.-]*")
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class JsonObject(dict[str, object]):
    """A JSON object that remembers which of its keys came twice; the last one counts."""

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        names = Counter(name for name, _ in pairs)
        self.duplicates = sorted(name for name, times in names.items() if times > 1)


def shown(value: object) -> str:
    """A value as JSON in ASCII, cut to 60 characters; what JSON has no words for by its type."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 64:
        return f"a whole number of {value.bit_length()} bits"
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if not isinstance(value, str | int | float | None):
        return f"a Python {type(value).__name__}"
    text = json.dumps(value)
    return text if len(text) <= _MAX_QUOTED else text[: _MAX_QUOTED - 3] + "..."


def suggestion(name: str, known: Iterable[str]) -> str:
    """``; did you mean "x"?`` for what may have been meant, or else the list of a few known names; maybe empty."""
    names = list(known)
    near = _near(name[:200].casefold(), names)
    if near:
        return f"; did you mean {' or '.join(map(shown, near))}?"
    return f"; known: {', '.join(names)}" if 0 < len(names) <= 16 else ""


def _near(name: str, known: Sequence[str]) -> list[str]:
    """The known name that is spelled most alike, or else up to three that have all words of ``name``."""
    by_folded = {one.casefold(): one for one in known}
    alike = difflib.get_close_matches(name, by_folded, 1)
    if alike:
        return [by_folded[alike[0]]]
    words = re.findall(r"[a-z0-9]+", name)
    return [one for one in known if words and all(word in one.casefold() for word in words)][:3]


@dataclass(frozen=True, slots=True)
class Node:
    """One value of the document, where it stands (empty for the whole), and where problems go."""

    value: object
    path: str
    problems: list[str]

    def fail(self, message: str) -> None:
        """Report ``<path>: <message>``."""
        self.problems.append(f"{self.path or 'document'}: {message}")

    def expected(self, what: str) -> None:
        """Report that something else was met."""
        self.fail(f"expected {what}, got {shown(self.value)}")

    def child(self, key: str, value: object) -> Node:
        """The node of an object's key; a key that would not read well in a path is quoted."""
        if _PLAIN_KEY.fullmatch(key):
            return Node(value, f"{self.path}.{key}" if self.path else key, self.problems)
        return Node(value, f"{self.path}[{shown(key)}]", self.problems)

    def number(self, low: float = -MAX_NUMBER, high: float = MAX_NUMBER) -> float:
        """A finite number in low..high; a boolean is none. Placeholder: ``low``."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            self.expected("a number")
        elif isinstance(self.value, float) and not math.isfinite(self.value):
            self.expected("a finite number")
        elif not low <= self.value <= high:
            self.expected(f"a number from {low:g} to {high:g}")
        else:
            return float(self.value)
        return low

    def integer(self, low: int, high: int, multiple: int = 1) -> int:
        """A whole number in low..high, a multiple of ``multiple``; 60.0 is 60. Placeholder: ``low``."""
        value = self.value
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or (isinstance(value, float) and not value.is_integer())
        ):
            self.expected("a whole number")
        elif not low <= value <= high:
            self.expected(f"a whole number from {low} to {high}")
        elif value % multiple:
            self.expected(f"a multiple of {multiple}")
        else:
            return int(value)
        return low

    def flag(self) -> bool:
        """True or false; 0 and 1 are neither. Placeholder: False."""
        if not isinstance(self.value, bool):
            self.expected("true or false")
        return self.value is True

    def string(self, limit: int = MAX_NAME_BYTES) -> str:
        """One line of text of 0..limit bytes, without control characters. Placeholder: an empty string."""
        if not isinstance(self.value, str):
            self.expected("a string")
        elif any(unicodedata.category(c) in _REFUSED_CATEGORIES or c in _BIDI for c in self.value):
            self.expected("text without control characters")
        elif self.value != self.value.strip():
            self.expected("text without space at its ends")
        elif (size := len(self.value.encode())) > limit:
            self.fail(f"expected at most {limit} bytes, got {size}")
        else:
            return self.value
        return ""

    def text(self, limit: int = MAX_NAME_BYTES) -> str:
        """Like ``string``, and not empty."""
        if self.value == "":
            self.fail('expected some text, got ""')
        return self.string(limit)

    def matching(self, pattern: re.Pattern[str], what: str) -> str:
        """Text that a pattern matches as a whole."""
        text = self.text()
        if text and not pattern.fullmatch(text):
            self.expected(what)
        return text

    def identifier(self) -> str:
        """A name that can stand in a URL as it is: ``response_time_us``."""
        return self.matching(_IDENTIFIER, "a name of a-z, 0-9, _, . and - that begins with a letter")

    def choice(self, kind: type[E]) -> E:
        """The member of a closed set that has this value. Placeholder: the first member."""
        members: Mapping[object, E] = {member.value: member for member in kind}
        if isinstance(self.value, str) and self.value in members:
            return members[self.value]
        self.expected(f"one of {', '.join(str(name) for name in members)}")
        return next(iter(kind))

    def reference(self, word: str, known: Collection[str]) -> str:
        """A name that is among ``known``: reported as ``unknown <word>`` with the nearest one where it is not."""
        name = self.text()
        if name and name not in known:
            self.fail(f"unknown {word} {shown(name)}{suggestion(name, known)}")
        return name

    def items(self, limit: int = 1000) -> list[Node]:
        """The elements of a list of at most ``limit``. Placeholder: none."""
        if not isinstance(self.value, list):
            self.expected("a list")
            return []
        if len(self.value) > limit:
            self.fail(f"expected at most {limit} elements, got {len(self.value)}")
            return []
        return [Node(item, f"{self.path}[{i}]", self.problems) for i, item in enumerate(self.value)]

    def each(self, read: Callable[[Node], T]) -> tuple[T, ...]:
        """What ``read`` makes of every element of a list."""
        return tuple(read(item) for item in self.items())

    def distinct(self, read: Callable[[Node], T]) -> tuple[T, ...]:
        """Like ``each``; an element that came before is reported."""
        seen: list[T] = []
        for item in self.items():
            sound, value = item.sound(read)
            if sound and value in seen:
                item.fail(f"{shown(item.value)} stands here twice")
            seen.append(value)
        return tuple(seen)

    def entries(self, limit: int = 1000, key: Callable[[Node], object] | None = None) -> dict[str, Node]:
        """The values of an object by their keys, which are free but for what ``key`` reports. Placeholder: none."""
        if not isinstance(self.value, dict):
            self.expected("an object")
            return {}
        if any(not isinstance(name, str) for name in self.value):
            self.fail("expected strings as keys")
            return {}
        if len(self.value) > limit:
            self.fail(f"expected at most {limit} keys, got {len(self.value)}")
            return {}
        for name in getattr(self.value, "duplicates", ()):
            self.fail(f"key {shown(name)} stands here twice")
        nodes = {name: self.child(name, value) for name, value in self.value.items()}
        if key is not None:
            for name, node in nodes.items():
                key(Node(name, node.path, self.problems))
        return nodes

    def fields(self, required: Iterable[str], optional: Iterable[str] = ()) -> Fields:
        """The fields of an object whose keys are fixed: unknown ones and missing ones are reported."""
        entries = self.entries()
        known = [*required, *optional]
        for key in [key for key in entries if key not in known]:
            entries.pop(key).fail(f"unknown key{suggestion(key, known)}")
        if isinstance(self.value, dict):
            for name in required:
                if name not in entries:
                    self.child(name, None).fail("missing")
        return Fields(entries, self.problems)

    def sound(self, read: Callable[[Node], T]) -> tuple[bool, T]:
        """What ``read`` makes of this node, and whether it reported nothing."""
        before = len(self.problems)
        value = read(self)
        return len(self.problems) == before, value


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of an object that are there."""

    entries: Mapping[str, Node]
    problems: list[str]

    def get(self, name: str, read: Callable[[Node], T], default: T) -> T:
        """What ``read`` makes of a field, or the default where it is absent."""
        node = self.entries.get(name)
        return default if node is None else read(node)

    def sound(self, name: str, read: Callable[[Node], T], default: T) -> tuple[bool, T]:
        """Like ``get``, and whether the field is there and ``read`` reported nothing."""
        before = len(self.problems)
        value = self.get(name, read, default)
        return name in self.entries and len(self.problems) == before, value
