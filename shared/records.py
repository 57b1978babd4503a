"""Alerts and transitions as they are stored, and back: JSON, one a line, many in one deflated field.

A document of a thousand alerts is about 100 kB so, and a commit of all that a storm changes fits; as maps they would
not. Fields at their defaults are left out, and a reader takes the default for what a record lacks, so that another
version's records can be read. What cannot be read all the same is logged and left out: one record must not stop all
rules. An alert that is lost so may be told a second time, never not at all.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from .alerts import AlertKind, AlertState, Reason, State, Told
from .logs import log
from .notifications import Notification, NotificationKind
from .rules import Severity
from .series import Labels, make_labels
from .store import Document
from .tick import Transition
from .timeline import iso, parse_iso

T = TypeVar("T")

ANNOUNCEMENTS = "n"
"""Before the part's number in the ids of history's documents of announcements: ``20251018T1205~n000``."""
_INSTANTS = (
    "since", "pending_since", "fired_at", "good_since", "no_data_since", "told_at", "escalated_at", "evaluated_at",
)  # fmt: skip


def packed(lines: Iterable[bytes]) -> bytes:
    """Lines of JSON, which hold no line feed, deflated; an empty text for none."""
    return zlib.compress(b"\n".join(lines))


def lines_in(document: Document) -> list[bytes]:
    """The lines of a document's field ``d``; none of one that cannot be read."""
    try:
        return zlib.decompress(document.fields["d"]).splitlines()
    except (KeyError, TypeError, zlib.error) as error:
        log("document_unreadable", "ERROR", path=document.path, detail=f"{type(error).__name__}: {error}"[:200])
        return []


def each_line(document: Document, read: Callable[[Any], T]) -> list[T]:
    """What ``read`` makes of each line's JSON, in their order, without those that it cannot read."""
    found: list[T] = []
    for line in lines_in(document):
        try:
            found.append(read(json.loads(line)))
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            log("record_unreadable", "ERROR", path=document.path, detail=f"{type(error).__name__}: {error}"[:200])
    return found


def alert_line(alert: AlertState) -> bytes:
    """An alert as a line."""
    may_lack: dict[str, Any] = {
        "labels": dict(alert.labels),
        "value": alert.value,
        "count": alert.count or None,
        "told": [[told.notification_id, *told.channels] for told in alert.told],
        "told_severity": alert.told_severity,
        "kind": None if alert.kind is AlertKind.THRESHOLD else alert.kind.value,
        "counts": {severity.value: count for severity, count in alert.counts},
        "held": alert.held,
        **{name: _written(getattr(alert, name)) for name in _INSTANTS},
    }
    raw: dict[str, Any] = {"rule": alert.rule_id, "severity": alert.severity.value, "state": alert.state.value}
    if alert.grouped_by is not None:
        raw["by"] = list(alert.grouped_by)
    return _line({**raw, **{name: value for name, value in may_lack.items() if value not in (None, "", [], {})}})


def alerts_in(document: Document) -> list[AlertState]:
    """The alerts of a document of ``alerts``, in their order."""
    return each_line(document, _alert)


def _alert(raw: Mapping[str, Any]) -> AlertState:
    told_severity = raw.get("told_severity")
    counts = raw.get("counts", {})
    return AlertState(
        rule_id=raw["rule"],
        labels=make_labels(raw.get("labels", {})),
        severity=Severity(raw["severity"]),
        state=State(raw["state"]),
        value=raw.get("value"),
        count=raw.get("count", 0),
        told=tuple(Told(notification_id, tuple(channels)) for notification_id, *channels in raw.get("told", [])),
        told_severity=None if told_severity is None else Severity(told_severity),
        kind=AlertKind(raw.get("kind", AlertKind.THRESHOLD)),
        counts=tuple((severity, counts[severity]) for severity in Severity if severity in counts),
        held=raw.get("held", ""),
        grouped_by=tuple(raw["by"]) if "by" in raw else None,
        **{name: _read(raw.get(name)) for name in _INSTANTS},
    )


def transition_line(transition: Transition) -> bytes:
    """A transition as a line."""
    raw: dict[str, Any] = {
        "fingerprint": transition.fingerprint,
        "rule": transition.rule_id,
        "labels": dict(transition.labels),
        "severity": transition.severity,
        "at": iso(transition.at),
        "before": transition.before.value,
        "after": transition.after.value,
        "reason": transition.reason.value,
        "value": transition.value,
        "count": transition.count,
        "episode": _written(transition.episode),
        "config_hash": transition.config_hash,
        "kind": transition.kind.value,
        **({"held": transition.held} if transition.held else {}),
    }
    return _line(raw)


def transitions_in(document: Document) -> list[Transition]:
    """The transitions of a document of ``history``, in their order; none of one that holds announcements."""
    return [] if _is_of_announcements(document) else each_line(document, _transition)


@dataclass(frozen=True, slots=True)
class Announcement:
    """What history keeps of a notification, one for each alert that it is about: which channels were to be told what.

    ``id`` is the notification's; those of alerts that were told together have the same.
    """

    id: str
    kind: NotificationKind
    fingerprint: str
    rule_id: str
    labels: Labels
    severity: Severity
    fired_at: datetime
    at: datetime
    value: float | None
    reason: str
    about: AlertKind
    channels: tuple[str, ...]
    config_hash: str


def announcement_line(told_as: str, told: Notification) -> bytes:
    """What a notification says of one alert, as a line of history; ``told_as`` is the id under which it was told."""
    raw: dict[str, Any] = {
        "id": told_as,
        "kind": told.kind.value,
        "fingerprint": told.fingerprint,
        "rule": told.rule_id,
        "labels": dict(told.labels),
        "severity": told.severity.value,
        "fired_at": iso(told.fired_at),
        "at": iso(told.at),
        "value": told.value,
        "reason": told.reason,
        "about": told.about,
        "channels": list(told.channels),
        "config_hash": told.config_hash,
    }
    return _line(raw)


def announcements_in(document: Document) -> list[Announcement]:
    """The announcements of a document of ``history``, in their order; none of one that holds transitions."""
    return each_line(document, _announcement) if _is_of_announcements(document) else []


def _is_of_announcements(document: Document) -> bool:
    """Documents of history hold either; the part after the minute tells."""
    return document.id.rpartition("~")[2].startswith(ANNOUNCEMENTS)


def _announcement(raw: Mapping[str, Any]) -> Announcement:
    return Announcement(
        id=raw["id"],
        kind=NotificationKind(raw["kind"]),
        fingerprint=raw["fingerprint"],
        rule_id=raw["rule"],
        labels=make_labels(raw["labels"]),
        severity=Severity(raw["severity"]),
        fired_at=parse_iso(raw["fired_at"]),
        at=parse_iso(raw["at"]),
        value=raw["value"],
        reason=raw["reason"],
        about=AlertKind(raw["about"]),
        channels=tuple(raw["channels"]),
        config_hash=raw["config_hash"],
    )


def _transition(raw: Mapping[str, Any]) -> Transition:
    return Transition(
        fingerprint=raw["fingerprint"],
        rule_id=raw["rule"],
        labels=make_labels(raw["labels"]),
        severity=raw["severity"],
        at=parse_iso(raw["at"]),
        before=State(raw["before"]),
        after=State(raw["after"]),
        reason=Reason(raw["reason"]),
        value=raw["value"],
        count=raw["count"],
        episode=_read(raw["episode"]),
        config_hash=raw["config_hash"],
        kind=AlertKind(raw["kind"]),
        held=raw.get("held", ""),
    )


def _line(raw: Mapping[str, Any]) -> bytes:
    return json.dumps(raw, separators=(",", ":"), allow_nan=False).encode("ascii")


def _written(instant: datetime | None) -> str | None:
    return None if instant is None else iso(instant)


def _read(text: str | None) -> datetime | None:
    return None if text is None else parse_iso(text)
