"""What people write beside what they do: who they are, and why. Text of bounded length that shows all that it is.

Control characters can rewrite a terminal, and marks of direction make a line read as what it is not, so neither is
accepted; a comment may have lines and tabs. Text in any script is, right to left too: it needs no such marks.
"""

from __future__ import annotations

import re
import sys

from .errors import PermanentError

MAX_AUTHOR_BYTES = 200
MAX_COMMENT_BYTES = 1000
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
"""Controls, line and paragraph separators, and what has no width but changes how its neighbours are shown or found."""
_LINES = re.compile("\r?\n|\t")


def check_author(reason: str, author: str) -> None:
    """Raise PermanentError ``reason`` unless somebody is named."""
    _check(reason, "author", author, 1, MAX_AUTHOR_BYTES)
    _check_shown(reason, "author", author)


def check_comment(reason: str, comment: str, least_bytes: int) -> None:
    """Raise PermanentError ``reason`` unless a comment has 1000 bytes at most, and ``least_bytes`` at least."""
    _check(reason, "comment", comment, least_bytes, MAX_COMMENT_BYTES)
    _check_shown(reason, "comment", _LINES.sub(" ", comment))


def _check(reason: str, name: str, text: str, least: int, most: int) -> None:
    if not least <= text_bytes(text.strip()) <= text_bytes(text) <= most:
        raise PermanentError(reason, f"{name}: expected {least} to {most} bytes of text")


def _check_shown(reason: str, name: str, text: str) -> None:
    found = _HIDDEN.search(text)
    if found is not None:
        raise PermanentError(
            reason, f"{name}: expected no control characters or marks of direction, got U+{ord(found[0]):04X}"
        )


def text_bytes(text: str) -> int:
    """The length as UTF-8; of what is no text, as a lone surrogate, more than anything may have."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return sys.maxsize
