"""PagerDuty, Events API v2: one incident a conversation.

The ``dedup_key`` is the conversation's id, so a second trigger, from whichever attempt, joins the incident that is
open, and a late event of an old episode can neither resolve nor reopen the incident of a new one. The end is sent
whatever became of the triggers before it: a resolve without an open alert is dropped by PagerDuty. A trigger that
arrives after the resolve of its own conversation would open an incident for ever; a sender that finds its claim taken
over therefore sends the end again (``undo``). Worst case: a sender that was frozen past its lease in the midst of a
trigger, and dies between PagerDuty's answer and that; then the incident stays open until somebody closes it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..notifications import Notification, NotificationKind
from ..rules import Severity
from ..timeline import iso
from . import Answer, Gone, Turn, digest
from .posting import Vendor
from .story import TITLE, Story, cut, tell

NAME = "pagerduty"
EVENTS = "https://events.pagerduty.com"
MAX_DEDUP_KEY, MAX_SUMMARY, MAX_EVENT_BYTES = 255, 1024, 512 * 1024
"""https://developer.pagerduty.com/docs/events-api-v2-overview"""
_SEVERITIES = {
    Severity.CRITICAL: "critical", Severity.HIGH: "error", Severity.MEDIUM: "warning", Severity.LOW: "info",
}  # fmt: skip
_TRIGGERS = {
    NotificationKind.FIRING, NotificationKind.RAISED, NotificationKind.ESCALATED,
}  # fmt: skip
"""Not a summary of what has ended, nor a notice: nothing would ever close their incidents."""
_KEY_REFUSED = re.compile(rb"routing.key", re.IGNORECASE)
"""In the errors of an answer of 400: ``Invalid routing key`` of a key that was revoked, ``Length of 'routing_key' is
incorrect`` of another vendor's. It is in every event, so none will be taken."""


def action(notification: Notification) -> str:
    """What an event does: trigger, acknowledge or resolve; empty for what PagerDuty does not hear of."""
    if notification.kind in _TRIGGERS:
        return "trigger"
    if notification.kind is NotificationKind.ACKNOWLEDGED:
        return "acknowledge"
    return "resolve" if notification.ends_on(NAME) else ""


def payload(
    notification: Notification, story: Story, routing_key: str, service: str, environment: str, urgent: bool = True
) -> dict[str, Any]:
    """The event.

    A service with dynamic urgency takes critical and error for high, and is given no more than warning for what is not
    ``urgent``.
    """
    event: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": action(notification),
        "dedup_key": dedup_key(notification),
    }
    if event["event_action"] != "trigger":
        return event
    links = [(story.url, "Dashboard"), (story.runbook_url, "Runbook")]
    return event | {
        "payload": {
            "summary": cut(story.headline, MAX_SUMMARY),
            "source": service,
            "severity": _SEVERITIES[notification.severity if urgent else Severity.MEDIUM],
            "timestamp": iso(notification.at),
            "component": cut(story.rule_id, 255),
            "group": environment,
            "class": "alert",
            "custom_details": {"what": story.sentence, "description": story.description}
            | {one.name: one.value for one in story.facts},
        },
        "client": "ION Monitoring",
        "links": [{"href": href, "text": text} for href, text in links if href],
        "images": [],
        **({"client_url": story.url} if story.url else {}),
    }


def dedup_key(notification: Notification) -> str:
    """The conversation's key: its id is at most 60 characters of letters, digits and ``-``."""
    return f"ion-{notification.conversation_on(NAME)}"[:MAX_DEDUP_KEY]


@dataclass(frozen=True, slots=True)
class PagerDutyChannel:
    """Sends events to the service behind a routing key. Incidents are never summed up: one of them must be closed."""

    vendor: Vendor
    routing_key: str = field(repr=False)
    service: str
    environment: str
    dashboard_url: str
    high_urgency: tuple[Severity, ...] = (Severity.CRITICAL,)
    url: str = EVENTS
    max_per_minute: int | None = None

    @property
    def setup(self) -> str:
        """As the port says."""
        return digest(self.routing_key)

    def send(self, notification: Notification, turn: Turn) -> Answer:
        """Send one event: 202 is taken; 429, 5xx and network faults are tried again, 400 never.

        A 400 for the routing key closes the channel.
        """
        if not action(notification):
            return Answer("nothing to tell", turn.handle)
        story = tell(notification, turn, self.dashboard_url, NAME)
        urgent = notification.severity in self.high_urgency
        event = payload(notification, story, self.routing_key, self.service, self.environment, urgent)
        return Answer(self._enqueue(event, turn.now), {TITLE: story.title})

    def undo(self, notification: Notification, _late: Mapping[str, str], turn: Turn, /) -> None:
        """Resolve the incident again, which a late trigger may have opened anew."""
        if not turn.is_over:
            return
        end = {"routing_key": self.routing_key, "event_action": "resolve", "dedup_key": dedup_key(notification)}
        self._enqueue(end, turn.now)

    def _enqueue(self, event: dict[str, Any], now: datetime) -> str:
        body = json.dumps(event).encode()
        if len(body) > MAX_EVENT_BYTES:
            event["payload"].pop("custom_details")
            body = json.dumps(event).encode()
        answer = self.vendor.ask(f"{self.url}/v2/enqueue", body, {"Content-Type": "application/json"})
        if answer.status == 400 and _KEY_REFUSED.search(answer.body):
            raise Gone("pagerduty_gone", self.vendor.said(answer))
        return self.vendor.accepted(answer, now)
