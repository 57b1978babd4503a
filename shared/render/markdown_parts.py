"""Markdown's pieces: hostile strings made inert, and tables."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..panels import Limit
from . import numbers
from .plain import clean

_MARKUP = re.compile(r"([\\`*_\[\]<>|~&#$])")
_LINKS = re.compile(r"(?<=[A-Za-z]):(?=/|[A-Za-z])|/(?=/)|(?<=\w)\.(?=[A-Za-z])")
"""What makes a link of bare text: a scheme, two slashes, a dot before a letter."""
_BLOCKS = re.compile(r"^(\d*)([-+=]|[.)](?=\s|$))")
_WORD_JOINER = "\u2060"


def escape(text: str) -> str:
    """A hostile string as plain inline text, on one line; ``@`` gets a word joiner, so that it mentions nobody."""
    text = _MARKUP.sub(r"\\\1", clean(text).strip())
    text = _LINKS.sub(lambda match: f"\\{match.group()}", text)
    return _BLOCKS.sub(r"\1\\\2", text).replace("@", f"@{_WORD_JOINER}")


def more(total: int, shown: int) -> Iterator[str]:
    """The end of a table, with what it leaves out, if anything."""
    left_out = numbers.more(total, shown).replace(numbers.NARROW, " ")
    yield ""
    if left_out:
        yield f"{left_out}."
        yield ""


def number(value: float | None, unit: str, limit: Limit | None = None) -> str:
    """A number with its unit, as in a terminal."""
    return escape(numbers.terminal_number(value, unit, limit))


def heads(*names: str) -> Iterator[str]:
    """The two head lines of a table; a name that ends in a colon is a column of numbers, aligned right."""
    yield row(*(name.removesuffix(":") for name in names))
    yield row(*("---:" if name.endswith(":") else "---" for name in names))


def row(*cells: str) -> str:
    """One line of a table; the cells are escaped already."""
    return f"| {' | '.join(cells)} |"
