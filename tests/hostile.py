"""Hostile strings, and pages that consist of them."""

from __future__ import annotations

import dataclasses
from enum import Enum
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st

T = TypeVar("T")

WHOLE_PAGES = settings(max_examples=30, deadline=None)
"""For properties that render a page for each example: some milliseconds each."""

ATTACKS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "//evil.example/x",
    "</title></svg><b>",
    "{{ 7 * 7 }}{% raw %}",
    "\x1b[2J\x1b]0;owned\x07\x1b[31m",
    "\x9b31mred",
    "a\r\nb\nc\u2028d\x85e",
    "\u202egnp.exe\u2066\u200f",
    "\x00\ufeff\ud800",
    "# heading\n- item\n1. one",
    "| cell | `code` ``` ~~~ |",
    "[link](http://evil.example) ![image](x) <http://evil.example>",
    "www.evil.example http://evil.example mailto:a@evil.example @oncall",
    "evil.com https://evil.com a@evil.com //evil.com",
    "**bold** _em_ ~~gone~~ &amp; &#64;",
    "e\u0301" * 300,
    "漢字🚨" * 60,
    "x" * 500,
    "\\",
    "",
)

_PIECES = st.sampled_from(
    [*"<>&\"'`*_[]()|\\#!~@-+=.:/ \n\t\x1b\x00\u202e\u2066\ud800漢🚨א\u0301", "x", "http:", "www."]
)


def hostile_strings() -> st.SearchStrategy[str]:
    """Known attacks, short strings of active characters, and any text at all."""
    return st.one_of(st.sampled_from(ATTACKS), st.lists(_PIECES, max_size=30).map("".join), st.text(max_size=40))


def poisoned(value: T, text: str) -> T:
    """A model with every string in it replaced."""
    return _poisoned(value, text)  # type: ignore[no-any-return]


def _poisoned(value: Any, text: str) -> Any:
    if isinstance(value, str) and not isinstance(value, Enum):
        return text
    if isinstance(value, tuple) and value and isinstance(value[0], float):
        return value
    if isinstance(value, tuple):
        return tuple(_poisoned(part, text) for part in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return dataclasses.replace(value, **{f.name: _poisoned(getattr(value, f.name), text) for f in fields})
    return value
