"""Signed requests as Slack sends them for a button, and PagerDuty for an incident that somebody acknowledged."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from shared.hooks import HookRequest
from shared.timeline import iso

SLACK_SECRET, PAGERDUTY_SECRET = "5lack-signing-secret", "pagerduty-5ecret"


def button(action: str, conversation: str, user: str = "maria.kessler", **changes: object) -> bytes:
    """The body that Slack posts for a button under a conversation's message."""
    told = {
        "type": "block_actions",
        "user": {"id": "U0123", "username": user, "name": user},
        "actions": [{"action_id": action, "value": conversation, "type": "button"}],
        "response_url": "https://hooks.slack.com/actions/T/B/xyz",
        **changes,
    }
    return urlencode({"payload": json.dumps(told)}).encode()


def headers_of(body: bytes, at: datetime | float, secret: str = SLACK_SECRET) -> dict[str, str]:
    """The headers that sign a body at a time."""
    stamp = str(int(at.timestamp() if isinstance(at, datetime) else at))
    digest = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return {
        "x-slack-request-timestamp": stamp,
        "x-slack-signature": f"v0={digest}",
        "Content-Type": "application/x-www-form-urlencoded",
    }


def slack_request(body: bytes, at: datetime | float, secret: str = SLACK_SECRET) -> HookRequest:
    """A request as Slack sends it at a time."""
    made = headers_of(body, at, secret)
    headers = {name: value.encode() for name, value in made.items() if name.startswith("x-")}
    return HookRequest("POST", "/slack", headers, body)


def acknowledged_event(conversation: str, at: datetime, name: str = "Maria Kessler", /, **changes: object) -> bytes:
    """The body that PagerDuty posts when a person acknowledges a conversation's incident."""
    told: dict[str, Any] = {
        "id": "01ABC",
        "event_type": "incident.acknowledged",
        "resource_type": "incident",
        "occurred_at": iso(at),
        "agent": {"id": "PGR0VU2", "type": "user_reference", "summary": name},
        "data": {"id": "PGR0VU3", "incident_key": f"ion-{conversation}"},
        **changes,
    }
    return json.dumps({"event": told}).encode()


def pagerduty_request(body: bytes, secret: str = PAGERDUTY_SECRET, more: bytes = b"") -> HookRequest:
    """A request as PagerDuty sends it; ``more`` are other signatures before the right one."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return HookRequest("POST", "/pagerduty", {"x-pagerduty-signature": more + f"v1={digest}".encode()}, body)
