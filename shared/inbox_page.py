"""The inbox page's entries: each notification in the words a person would read."""

from __future__ import annotations

from collections.abc import Iterable

from .channels import Turn
from .channels.story import tell
from .notifications import Notification, NotificationKind, notification_from_json
from .panels import InboxEntry, Limit
from .render.numbers import NARROW, age, comparison, number
from .series import label_text
from .timeline import iso
from .wording import how_it_ended


def inbox_entries(received: Iterable[bytes]) -> list[InboxEntry]:
    """One entry a notification, in the order given; none of none."""
    return [_entry(notification_from_json(data)) for data in received]


def _entry(notification: Notification) -> InboxEntry:
    return InboxEntry(
        received_at=notification.at,
        kind=notification.kind.value,
        severity=notification.severity,
        title=_title(notification),
        lines=tuple(_lines(notification)),
        channels=notification.channels,
        href="/",
    )


def _title(notification: Notification) -> str:
    where = " ".join(value for _, value in notification.labels)
    return f"{notification.rule_name}{', ' + where if where else ''}"


def _lines(notification: Notification) -> Iterable[str]:
    limit = Limit(notification.threshold, notification.operator, notification.severity)
    value = number(notification.value, notification.unit, limit)
    bound = f"{comparison(limit)}{NARROW}{notification.unit}".rstrip()
    if notification.kind is NotificationKind.FIRING:
        yield f"{value}, alert on {bound}. Firing since {iso(notification.fired_at)}."
    elif notification.kind is not NotificationKind.RESOLVED:
        story = tell(notification, Turn(notification.at), "", "inbox")
        yield f"{story.status}. {story.sentence}"
    else:
        lasted = age((notification.at - notification.fired_at).total_seconds())
        now = "" if notification.value is None else f": now {value}, alert on {bound}"
        yield f"{how_it_ended(notification.reason, notification.about)} after {lasted}{now}."
    if notification.kind not in (NotificationKind.SUMMARY, NotificationKind.NOTICE):
        yield notification.description
    if notification.labels:
        yield label_text(notification.labels)
