"""The notification's published schema and the code say the same."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from shared.channels.webhook import payload
from shared.notifications import Notification, NotificationKind
from shared.rules import Operator, Severity

SCHEMA: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "docs" / "notification.schema.json").read_text(encoding="utf-8")
)
FIRED = datetime(2025, 10, 18, 14, 5, tzinfo=UTC)
FIRING = Notification(
    kind=NotificationKind.FIRING,
    fingerprint="0123456789abcdef",
    rule_id="high-error-rate-critical",
    rule_name="High Error Rate - Critical",
    description="Error rate exceeds 1%",
    severity=Severity.CRITICAL,
    labels=(("region", "europe-west1"),),
    value=2.375,
    unit="%",
    operator=Operator.GREATER,
    threshold=1.0,
    fired_at=FIRED,
    at=FIRED,
    reason="fired",
    channels=("slack", "inbox"),
    config_hash="0123456789ab",
)
ENDED = replace(FIRING, kind=NotificationKind.RESOLVED, value=None, reason="no_data")


def test_the_schema_is_one() -> None:
    """It is a valid JSON Schema and allows no field that it does not name."""
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["additionalProperties"] is False


TAGGED = replace(FIRING, tags=(("category", "errors"),))


@pytest.mark.parametrize("notification", [FIRING, ENDED, TAGGED], ids=["firing", "ended without data", "with tags"])
def test_what_is_sent_is_as_published(notification: Notification) -> None:
    """The message on the topic holds exactly the required fields, and the webhook's body one more."""
    validator = Draft202012Validator(SCHEMA)
    message = json.loads(notification.to_json())
    posted = json.loads(payload(notification, "https://example.com"))
    assert [error.message for body in (message, posted) for error in validator.iter_errors(body)] == []
    assert set(message) == set(SCHEMA["required"])
    assert set(posted) - set(message) == {"dashboard_url"}


@pytest.mark.parametrize(
    "change", [{"version": 2}, {"kind": "pending"}, {"at": "2025-10-18 14:05"}, {"more": 1}, {"value": "high"}]
)
def test_anything_else_is_invalid(change: dict[str, object]) -> None:
    """A changed version, kind, time form, type or an unknown field does not pass."""
    assert not Draft202012Validator(SCHEMA).is_valid({**json.loads(FIRING.to_json()), **change})
