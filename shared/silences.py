"""Silences: who does not want to hear of what, from when to when, and why.

A silence changes who hears, never a state. What fires under it is told when it ends, if it still fires; the end of
what had been told is told under it, too. A silence needs an author, a reason and an end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .alerts import AlertState
from .errors import PermanentError
from .logs import log
from .people import check_author, check_comment, text_bytes
from .retention import live
from .series import MAX_LABEL_VALUE_BYTES, MAX_LABELS, MAX_NAME_BYTES
from .store import Document, Fields, Precondition, Put, Store

RULE, SEVERITY = "rule", "severity"
"""What a matcher may name besides labels: the rule's id, and the alert's severity."""
MAX_MATCHERS = MAX_LABELS + 2
LONGEST = timedelta(days=30)
FURTHEST = timedelta(days=365)
"""How long before or after it is asked for a silence may begin."""
KEPT = timedelta(days=7)
"""How long a silence is shown after its end: every evaluation reads all that are kept, and each read is paid for."""
INVALID = "invalid_silence"
_ID = re.compile(r"[a-z0-9-]{1,64}")


@dataclass(frozen=True, slots=True)
class Matcher:
    """``name`` of a label (or ``rule``, ``severity``) is ``value``; with ``is_not``, it is anything else or absent."""

    name: str
    value: str
    is_not: bool = False


@dataclass(frozen=True, slots=True)
class Silence:
    """Alerts that match all ``matchers`` are not told from ``starts_at`` until ``ends_at`` (aware UTC, half-open)."""

    id: str
    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime
    author: str
    comment: str
    created_at: datetime

    def covers(self, alert: AlertState, at: datetime) -> bool:
        """Whether an alert is silenced at an evaluation time."""
        return self.starts_at <= at < self.ends_at and self.matches(alert)

    def matches(self, alert: AlertState) -> bool:
        """Whether an alert is one that the silence is about."""
        known = {**dict(alert.labels), RULE: alert.rule_id, SEVERITY: alert.severity.value}
        return all((known.get(one.name) == one.value) is not one.is_not for one in self.matchers)

    def write(self, precondition: Precondition) -> Put:
        """The document: created once, or changed on the condition that it is what was read."""
        fields: dict[str, Any] = {
            "matchers": [{"name": one.name, "value": one.value, "is_not": one.is_not} for one in self.matchers],
            "starts_at": self.starts_at,
            "ends_at": self.ends_at,
            "author": self.author,
            "comment": self.comment,
            "created_at": self.created_at,
            "expires_at": self.ends_at + KEPT,
        }
        return Put(silence_path(self.id), fields, precondition=precondition)


def silence_path(silence_id: str) -> str:
    """Where a silence lies."""
    return f"silences/{silence_id}"


def silence_from_fields(silence_id: str, fields: Fields) -> Silence:
    """The inverse of ``Silence.write``."""
    return Silence(
        id=silence_id,
        matchers=tuple(Matcher(one["name"], one["value"], one["is_not"]) for one in fields["matchers"]),
        starts_at=fields["starts_at"],
        ends_at=fields["ends_at"],
        author=fields["author"],
        comment=fields["comment"],
        created_at=fields["created_at"],
    )


def read_silences(store: Store, now: datetime) -> list[Silence]:
    """All silences that are shown: those that hold, will hold, or ended in the last seven days; by id.

    One that cannot be read, as another version may have written it, silences nobody; it is logged.
    """
    return readable(live(store.list("silences").documents, now))


def readable(documents: Iterable[Document]) -> list[Silence]:
    """Those documents that are silences; any other is logged and left out."""
    found: list[Silence] = []
    for document in documents:
        try:
            found.append(silence_from_fields(document.id, document.fields))
        except (KeyError, TypeError) as error:
            log("document_unreadable", "ERROR", path=document.path, detail=f"{type(error).__name__}: {error}"[:200])
    return found


def check_silence(silence: Silence) -> Silence:
    """The silence itself. Raises PermanentError ``invalid_silence`` that says what a person has to mend."""
    if not _ID.fullmatch(silence.id):
        raise _invalid("id: expected 1 to 64 of a-z, 0-9 and -")
    if not 1 <= len(silence.matchers) <= MAX_MATCHERS:
        raise _invalid(f"matchers: expected 1 to {MAX_MATCHERS}, got {len(silence.matchers)}")
    for one in silence.matchers:
        if not (1 <= text_bytes(one.name) <= MAX_NAME_BYTES and text_bytes(one.value) <= MAX_LABEL_VALUE_BYTES):
            raise _invalid(f"matchers: {one.name[:40]!r} has a name or a value that no label has")
    if all(one.is_not for one in silence.matchers):
        raise _invalid("matchers: at least one has to say what is silenced, not only what is not")
    _check_times(silence)
    check_author(INVALID, silence.author)
    check_comment(INVALID, silence.comment, 1)
    return silence


def _check_times(silence: Silence) -> None:
    for name, instant in (("starts_at", silence.starts_at), ("ends_at", silence.ends_at)):
        if instant.utcoffset() is None:
            raise _invalid(f"{name}: expected a time with an offset")
    if abs(silence.starts_at - silence.created_at) > FURTHEST:
        raise _invalid(f"starts_at: expected at most {FURTHEST.days} days from now")
    if not timedelta() < silence.ends_at - silence.starts_at <= LONGEST:
        raise _invalid(f"ends_at: expected after starts_at, and at most {LONGEST.days} days after")


def _invalid(detail: str) -> PermanentError:
    return PermanentError(INVALID, detail)


def matcher_text(one: Matcher) -> str:
    """``region=eu``, ``region!=eu``. Not escaped."""
    return f"{one.name}{'!=' if one.is_not else '='}{one.value}"


def matchers_of(labels: Mapping[str, str], rule_id: str) -> tuple[Matcher, ...]:
    """The matchers that silence one alert: its rule and all its labels."""
    return (Matcher(RULE, rule_id), *(Matcher(name, value) for name, value in sorted(labels.items())))


def silenced_by(silences: Iterable[Silence], alert: AlertState, at: datetime) -> Silence | None:
    """The silence that covers an alert and ends last; None when it may be told."""
    covering = [one for one in silences if one.covers(alert, at)]
    return max(covering, key=lambda one: (one.ends_at, one.id), default=None)
