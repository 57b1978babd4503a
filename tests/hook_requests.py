"""Signed requests as Slack sends them for a button."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import datetime
from urllib.parse import urlencode

SLACK_SECRET = "5lack-signing-secret"


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
