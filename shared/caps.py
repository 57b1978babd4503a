"""Caps: how many conversations a channel begins in a minute, and the one message that sums up what is beyond.

``caps/{channel}~{minute}`` counts what was begun and names what was held. What is held comes again; once its minute
is over the first that comes closes the list and tells it, in a notification whose id depends on channel and minute
alone, so that of all that were held one is sent and the others find it done.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .alerts import fingerprint
from .errors import PreconditionFailed, TransientError
from .notifications import Notification, NotificationKind
from .render.plain import clean
from .retention import live
from .rules import Severity
from .series import label_text
from .store import Absent, Precondition, Put, Store, Unchanged
from .timeline import MINUTE_SECONDS, from_minute, minute_floor, minute_id, parse_minute_id

ATTEMPTS = 20
KEPT = timedelta(days=2)
MAX_LINES = 50
"""Named in a summary; of more, how many."""
MAX_HELD = 2000
MAX_LINE_CHARACTERS = 160
NOT_YET = "over_the_cap"


def hold_or_count(store: Store, channel: str, notification: Notification, cap: int, now: datetime) -> str:
    """Count a conversation that begins now; empty when there is room, otherwise where it is held instead.

    A crash after this counts one too many, for a minute. Raises TransientError when others keep overtaking.
    """
    path = f"caps/{channel}~{minute_id(minute_floor(now))}"
    for _ in range(ATTEMPTS):
        known, read = read_cap(store, path, now)
        if known["closed"]:
            raise TransientError(NOT_YET, path)
        held = known["count"] >= cap
        if held:
            _hold(known, notification)
        else:
            known["count"] += 1
        try:
            store.commit([Put(path, {**known, "expires_at": now + KEPT}, precondition=read)])
        except PreconditionFailed:
            continue
        return path if held else ""
    raise TransientError("contended", path)


def sum_up(store: Store, path: str, notification: Notification, now: datetime) -> Notification:
    """The summary of what a minute held, for the channel that ``path`` names; nothing more is held there then.

    Raises TransientError ``over_the_cap`` while the minute is not over.
    """
    channel, _, minute = path.partition("/")[2].rpartition("~")
    ends = from_minute(parse_minute_id(minute) + MINUTE_SECONDS)
    if now < ends:
        raise TransientError(NOT_YET, f"{path} until {ends}")
    for _ in range(ATTEMPTS):
        known, read = read_cap(store, path, now)
        if not known["held"]:
            _hold(known, notification)  # the list has expired: what waits for it stands for itself
        if known["closed"]:
            break
        known["closed"] = True
        try:
            store.commit([Put(path, {**known, "expires_at": now + KEPT}, precondition=read)])
            break
        except PreconditionFailed:
            continue
    else:
        raise TransientError("contended", path)
    return _summary(channel, ends, known, notification)


@dataclass(frozen=True, slots=True)
class _Line:
    severity: Severity
    text: str


def _hold(known: dict[str, Any], notification: Notification) -> None:
    if len(known["held"]) >= MAX_HELD:
        known["more"] += notification.id not in known["held"]
        return
    where = f" ({label_text(notification.labels)})" if notification.labels else ""
    line = clean(f"{notification.kind.value}: {notification.rule_name}{where}")[:MAX_LINE_CHARACTERS]
    known["held"][notification.id] = [notification.severity.value, line]


def read_cap(store: Store, path: str, now: datetime) -> tuple[dict[str, Any], Precondition]:
    """What a minute holds, as it may be changed, and the condition under which it may be written."""
    document = store.get([path]).get(path)
    read: Precondition = Absent() if document is None else Unchanged(document.update_time)
    if document is None or not live([document], now):
        return {"count": 0, "held": {}, "more": 0, "closed": False}, read
    fields = document.fields
    known = {"count": fields["count"], "held": dict(fields["held"]), "more": fields["more"], "closed": fields["closed"]}
    return known, read


def _summary(channel: str, ends: datetime, known: dict[str, Any], notification: Notification) -> Notification:
    lines = sorted(
        (_Line(Severity(severity), text) for severity, text in known["held"].values()),
        key=lambda one: (one.severity.rank, one.text),
    )
    count = len(lines) + known["more"]
    rest = count - min(len(lines), MAX_LINES)
    told = [f"{one.severity.value}, {one.text}" for one in lines[:MAX_LINES]] + ([f"and {rest} more"] if rest else [])
    return Notification(
        kind=NotificationKind.NOTICE,
        fingerprint=fingerprint(f"~cap-{channel}", ()),
        rule_id="~cap",
        rule_name="Too many alerts for single messages",
        description="\n".join([f"{count} more in the minute before {ends:%H:%M} UTC:", *told]),
        severity=lines[0].severity,
        labels=(),
        value=float(count),
        unit="alerts",
        operator=notification.operator,
        threshold=0.0,
        fired_at=ends,
        at=ends,
        reason="over_the_cap",
        channels=(channel,),
        config_hash=notification.config_hash,
    )
