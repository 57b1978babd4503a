"""What people write beside what they do: who they are, and why. Any text, of bounded length."""

from __future__ import annotations

import sys

from .errors import PermanentError

MAX_AUTHOR_BYTES = 200
MAX_COMMENT_BYTES = 1000


def check_author(reason: str, author: str) -> None:
    """Raise PermanentError ``reason`` unless somebody is named."""
    _check(reason, "author", author, 1, MAX_AUTHOR_BYTES)


def check_comment(reason: str, comment: str, least_bytes: int) -> None:
    """Raise PermanentError ``reason`` unless a comment has 1000 bytes at most, and ``least_bytes`` at least."""
    _check(reason, "comment", comment, least_bytes, MAX_COMMENT_BYTES)


def _check(reason: str, name: str, text: str, least: int, most: int) -> None:
    if not least <= text_bytes(text.strip()) <= text_bytes(text) <= most:
        raise PermanentError(reason, f"{name}: expected {least} to {most} bytes of text")


def text_bytes(text: str) -> int:
    """The length as UTF-8; of what is no text, as a lone surrogate, more than anything may have."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return sys.maxsize
