"""Notifications: what somebody is told, once, about one episode of one alert.

The id depends on the fingerprint, the episode's start and the kind, so deciding or publishing again makes the same
notification, and a channel that has delivered it knows.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from .alerts import AlertKind, Told
from .errors import PermanentError
from .rules import Operator, Severity
from .series import Labels, make_labels
from .timeline import iso, minute_id, parse_iso, to_us

VERSION = 1
DIGEST_REASON = "digest"
"""Of the summary that tells of a whole day."""
DIGEST_SPAN = timedelta(hours=24)


class NotificationKind(StrEnum):
    """What a notification says of its episode."""

    FIRING = "firing"
    RAISED = "raised"
    """It fires with a worse severity than was told."""
    ESCALATED = "escalated"
    """It still fires, and nobody has acknowledged it."""
    RESOLVED = "resolved"
    SUMMARY = "summary"
    """What fired and ended while nobody could be told."""
    ACKNOWLEDGED = "acknowledged"
    """Somebody has it."""
    SILENCED = "silenced"
    """Somebody does not want to hear of it for a while."""
    NOTICE = "notice"
    """What is told of the monitoring itself: of a channel that refuses, of what was too much for one minute."""


@dataclass(frozen=True, slots=True)
class Member:
    """Another alert of the same rule that a notification is about: its group labels, and what was judged."""

    labels: Labels
    value: float | None


@dataclass(frozen=True, slots=True)
class Notification:
    """One notification; on the topic ``notifications`` as JSON (``docs/notification.schema.json``).

    ``at`` is the evaluation that decided it, ``fired_at`` the one at which the episode fired (both aware UTC);
    ``value`` is what was judged (None: there was no data), in ``unit``. ``reason`` is the transition's, ``about`` what
    the alert is about (``AlertKind``). ``follows`` are the episode's notifications before this one, oldest first.
    ``tags`` are the rule's, in the order of their names.

    A notification may be about several alerts of a rule that fired together: ``also`` are the others, ``more`` is how
    many beyond those. Of all that were told in one conversation ``still_firing`` fire on, those of them of which a
    channel in ``open_on`` has heard. ``author`` is the person of an acknowledgement or silence, ``until`` its end.
    """

    kind: NotificationKind
    fingerprint: str
    rule_id: str
    rule_name: str
    description: str
    severity: Severity
    labels: Labels
    value: float | None
    unit: str
    operator: Operator
    threshold: float
    fired_at: datetime
    at: datetime
    reason: str
    channels: tuple[str, ...]
    config_hash: str
    runbook_url: str = ""
    about: str = AlertKind.THRESHOLD.value
    follows: tuple[Told, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    also: tuple[Member, ...] = ()
    more: int = 0
    still_firing: int = 0
    open_on: tuple[str, ...] = ()
    author: str = ""
    until: datetime | None = None

    @property
    def id(self) -> str:
        """``{episode}-{fingerprint}-{kind}``: the same whenever and by whomever it is decided.

        A rise names its severity too, a silence its end, because there may be several.
        """
        told = notification_id(self.fingerprint, self.fired_at, self.kind)
        if self.kind is NotificationKind.SILENCED and self.until is not None:
            return f"{told}-{minute_id(to_us(self.until) // 1_000_000)}"
        return f"{told}-{self.severity.value}" if self.kind is NotificationKind.RAISED else told

    @property
    def conversation(self) -> str:
        """The id of the first notification of those that belong together."""
        return self.follows[0].notification_id if self.follows else self.id

    @property
    def is_digest(self) -> bool:
        """Whether it tells of the ``DIGEST_SPAN`` before ``at``."""
        return self.reason == DIGEST_REASON

    def conversation_on(self, channel: str) -> str:
        """The conversation on a channel: the id of the first notification of those that went there.

        An alert of several that is raised to a channel of which the others have not heard begins one there. On a
        channel that tells it in place of another, it is the conversation as a whole.
        """
        return next(iter(self.before_on(channel)), self.id if channel in self.channels else self.conversation)

    def ends_on(self, channel: str) -> bool:
        """Whether nothing that a channel has heard of in this conversation fires any more."""
        is_open = channel in self.open_on if channel in self.channels else self.still_firing > 0
        return self.kind is NotificationKind.RESOLVED and not is_open

    @property
    def alerts(self) -> int:
        """How many alerts this is about; at least 1."""
        return 1 + len(self.also) + self.more

    def before_on(self, channel: str) -> list[str]:
        """The ids of the episode's earlier notifications that went to a channel, oldest first."""
        return [told.notification_id for told in self.follows if channel in told.channels]

    def to_json(self) -> bytes:
        """The wire form: UTF-8 JSON with sorted keys, the same bytes for equal notifications."""
        return json.dumps(self.to_dict(), sort_keys=True, allow_nan=False).encode()

    def to_dict(self) -> dict[str, Any]:
        """The wire form as a dictionary."""
        return {
            "version": VERSION,
            "id": self.id,
            "kind": self.kind.value,
            "episode": {"fingerprint": self.fingerprint, "fired_at": iso(self.fired_at)},
            "at": iso(self.at),
            "rule": {
                "id": self.rule_id,
                "name": self.rule_name,
                "description": self.description,
                "severity": self.severity.value,
                "operator": self.operator.value,
                "threshold": self.threshold,
                "unit": self.unit,
                "runbook_url": self.runbook_url,
                **({"tags": dict(self.tags)} if self.tags else {}),
            },
            "labels": dict(self.labels),
            "value": self.value,
            "reason": self.reason,
            "about": self.about,
            "follows": [{"id": told.notification_id, "channels": list(told.channels)} for told in self.follows],
            "channels": list(self.channels),
            "config_hash": self.config_hash,
            "conversation": self.conversation,
            "also": [{"labels": dict(one.labels), "value": one.value} for one in self.also],
            "more": self.more,
            "still_firing": self.still_firing,
            "open_on": list(self.open_on),
            "author": self.author,
            "until": None if self.until is None else iso(self.until),
        }


def notification_id(fingerprint: str, fired_at: datetime, kind: NotificationKind) -> str:
    """The id of an episode's notification of one kind: a document id that sorts by episode."""
    return f"{minute_id(to_us(fired_at) // 1_000_000)}-{fingerprint}-{kind.value}"


def notification_from_json(data: bytes) -> Notification:
    """The inverse of ``to_json``. Raises PermanentError ``malformed_notification`` for anything else."""
    try:
        return _from_dict(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise PermanentError("malformed_notification", f"{type(error).__name__}: {error}"[:200]) from error


def _from_dict(raw: dict[str, Any]) -> Notification:
    if raw["version"] != VERSION:
        raise ValueError(f"expected version {VERSION}")
    rule, episode = raw["rule"], raw["episode"]
    return Notification(
        kind=NotificationKind(raw["kind"]),
        fingerprint=str(episode["fingerprint"]),
        rule_id=str(rule["id"]),
        rule_name=str(rule["name"]),
        description=str(rule["description"]),
        severity=Severity(rule["severity"]),
        labels=_labels(raw["labels"]),
        value=_value(raw["value"]),
        unit=str(rule["unit"]),
        operator=Operator(rule["operator"]),
        threshold=_number(rule["threshold"]),
        fired_at=parse_iso(episode["fired_at"]),
        at=parse_iso(raw["at"]),
        reason=str(raw["reason"]),
        channels=tuple(str(name) for name in raw["channels"]),
        config_hash=str(raw["config_hash"]),
        runbook_url=str(rule["runbook_url"]),
        about=AlertKind(raw["about"]).value,
        follows=tuple(Told(str(told["id"]), tuple(map(str, told["channels"]))) for told in raw["follows"]),
        tags=tuple(sorted((str(name), str(value)) for name, value in rule.get("tags", {}).items())),
        also=tuple(Member(_labels(one["labels"]), _value(one["value"])) for one in raw.get("also", ())),
        more=int(raw.get("more", 0)),
        still_firing=int(raw.get("still_firing", 0)),
        open_on=tuple(str(name) for name in raw.get("open_on", ())),
        author=str(raw.get("author", "")),
        until=None if raw.get("until") is None else parse_iso(raw["until"]),
    )


def _labels(raw: dict[str, Any]) -> Labels:
    return make_labels({str(name): str(value) for name, value in raw.items()})


def _value(raw: float | None) -> float | None:
    return None if raw is None else _number(raw)


def _number(value: float) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"expected a finite number, got {number}")
    return number
