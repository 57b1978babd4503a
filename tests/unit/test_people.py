"""What people write: which text is accepted as a name and as a reason."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable

import pytest

from shared.errors import PermanentError
from shared.people import MAX_AUTHOR_BYTES, MAX_COMMENT_BYTES, check_author, check_comment

LINES = "\n\t"


def refused(check: Callable[[str], None], text: str) -> str:
    """Why a text is refused; empty when it is accepted."""
    try:
        check(text)
    except PermanentError as error:
        return f"{error.reason}, {error.detail}"
    return ""


def author(text: str) -> None:
    """A name."""
    check_author("invalid", text)


def comment(text: str) -> None:
    """A reason that may be empty."""
    check_comment("invalid", text, 0)


@pytest.mark.parametrize(
    "text",
    ["ann@example.com", "Zoë", "אבי כהן", "علی", "李雷", "नमस्ते", "O'Neill <b>{x}</b>", "👩‍💻", "می‌خواهم", " ann "],
)
def test_text_of_any_script_is_accepted(text: str) -> None:
    """Letters of every direction, joined emoji, and what means something elsewhere, as a tag does, are just text."""
    assert (refused(author, text), refused(comment, text)) == ("", "")


def test_a_comment_may_have_lines() -> None:
    """Line ends of any system and tabs are for comments alone; a lone carriage return rewrites a line."""
    text = "one\r\ntwo\n\tthree"
    assert refused(comment, text) == ""
    assert refused(author, text) == "invalid, author: expected no control characters or marks of direction, got U+000D"
    assert (
        refused(comment, "one\rtwo")
        == "invalid, comment: expected no control characters or marks of direction, got U+000D"
    )


def hidden() -> list[str]:
    """Every control character, separator of lines, mark of direction and filler without a width."""
    every = map(chr, range(sys.maxunicode + 1))
    return [
        one
        for one in every
        if unicodedata.category(one) in ("Cc", "Zl", "Zp")
        or unicodedata.bidirectional(one) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        or one in "\u061c\u200b\u200e\u200f\u2060\ufeff"
    ]


@pytest.mark.parametrize("check", [author, comment], ids=["author", "comment"])
def test_what_does_not_show_is_refused(check: Callable[[str], None]) -> None:
    """Each character that could make a line read as what it is not is refused wherever it stands, and named."""
    allowed = LINES if check is comment else ""
    names = hidden()
    assert len(names) > 70
    for one in names:
        said = refused(check, f"ann{one}nna")
        expected = "" if one in allowed else f"got U+{ord(one):04X}"
        assert said.endswith(expected), repr(one)
        assert bool(said) is (one not in allowed), repr(one)


@pytest.mark.parametrize(
    ("check", "most"), [(author, MAX_AUTHOR_BYTES), (comment, MAX_COMMENT_BYTES)], ids=["author", "comment"]
)
def test_length_is_bytes(check: Callable[[str], None], most: int) -> None:
    """What is stored is UTF-8, so a letter of two bytes counts twice."""
    assert refused(check, "ü" * (most // 2)) == ""
    assert refused(check, "ü" * (most // 2) + "x").endswith(f"to {most} bytes of text")
    assert refused(check, "x" * 10**6).endswith(f"to {most} bytes of text")
    assert refused(check, "\ud800").endswith(f"to {most} bytes of text"), "half a character is no text"
