"""Hostile strings made plain: what any name may become before a format escapes it, and how wide it is.

After ``clean`` a string holds no control character, no bidirectional control, no line break and no lone
surrogate, so it can neither move a cursor, nor colour a terminal, nor reverse the text beside it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

ELLIPSIS = "…"
_REPLACEMENT = "\ufffd"
_SPACES = re.compile(r"[\t\n\r\x0b\x0c\x85\u2028\u2029]+")
_INERT = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_MARKS_PER_COLUMN = 2


def clean(text: str) -> str:
    """The text on one line, each character that would act instead of being read replaced by U+FFFD."""
    return _INERT.sub(_REPLACEMENT, _SPACES.sub(" ", text))


def value_text(value: str) -> str:
    """A label's value as a person reads it: an empty one is said, so that it is neither nameless nor everything."""
    return value if value.strip() else "(empty)"


def columns(text: str) -> int:
    """How many terminal columns a clean text takes: 2 for wide characters, 0 for combining ones."""
    return sum(_columns_of(character) for character in text)


def cut(text: str, most: int) -> str:
    """At most ``most`` columns of a clean text; what was cut is shown by an ellipsis. Empty for ``most`` < 1."""
    if columns(text) <= most and len(text) <= most * _MARKS_PER_COLUMN:
        return text
    kept = "".join(_leading(text, most - 1))
    return kept.rstrip() + ELLIPSIS if most > 0 else ""


def left(text: str, width: int) -> str:
    """The text cut and padded on its right to exactly ``width`` columns."""
    text = cut(text, width)
    return text + " " * (width - columns(text))


def right(text: str, width: int) -> str:
    """The text cut and padded on its left to exactly ``width`` columns."""
    text = cut(text, width)
    return " " * (width - columns(text)) + text


def wrap(text: str, width: int, most_lines: int) -> list[str]:
    """Lines of at most ``width`` columns, broken between words; what is beyond ``most_lines`` is cut."""
    lines: list[str] = []
    for word in text.split():
        if lines and columns(lines[-1]) + 1 + columns(word) <= width:
            lines[-1] += f" {word}"
        elif len(lines) == most_lines:
            lines[-1] = cut(f"{lines[-1]} {word}", width)
            break
        else:
            lines.append(cut(word, width))
    return lines


def to_ascii(text: str) -> str:
    """The text with ``?`` for each character beyond ASCII, and plain signs for the ones that this project uses."""
    return text.translate(_ASCII_SIGNS).encode("ascii", "replace").decode("ascii")


_ASCII_SIGNS = str.maketrans({"–": "-", "−": "-", "…": "~", "\u202f": " ", "\u00a0": " ", "σ": "sigma", "×": "x"})


def _columns_of(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def _leading(text: str, most: int) -> Iterator[str]:
    """The first characters that fit ``most`` columns, with a bounded number of combining marks."""
    used = 0
    for index, character in enumerate(text):
        used += _columns_of(character)
        if used > most or index >= most * _MARKS_PER_COLUMN:
            return
        yield character
