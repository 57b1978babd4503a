"""Notices: what the monitoring tells of itself, as that a channel refuses everything."""

from __future__ import annotations

from datetime import datetime

from .alerts import fingerprint
from .notifications import Notification, NotificationKind
from .outages import ASKED_AGAIN_AFTER, Outage
from .rules import Operator, Severity
from .timeline import from_minute, minute_floor

FALLBACKS = ("slack", "email", "webhook", "sentry", "inbox")
"""Where what a channel refuses is told, the first that takes it. Not PagerDuty, whose incidents somebody must close."""


def notice_of_outage(outage: Outage, config_hash: str) -> Notification:
    """That a channel is not asked any more. Its id depends on the channel and the minute."""
    since = _minute(outage.since)
    hours = int(ASKED_AGAIN_AFTER.total_seconds() // 3600)
    return Notification(
        kind=NotificationKind.NOTICE,
        fingerprint=fingerprint(f"~channel-{outage.channel}", ()),
        rule_id="~channel",
        rule_name=f"The channel {outage.channel} refuses notifications",
        description=(
            f"{outage.channel} answered: {outage.why}. Nothing is sent there until it is set up anew, or for "
            f"{hours} hours. What is told nowhere else comes here meanwhile."
        ),
        severity=Severity.HIGH,
        labels=(),
        value=None,
        unit="",
        operator=Operator.GREATER,
        threshold=0.0,
        fired_at=since,
        at=since,
        reason="channel_gone",
        channels=tuple(name for name in FALLBACKS if name != outage.channel),
        config_hash=config_hash,
    )


def _minute(instant: datetime) -> datetime:
    return from_minute(minute_floor(instant))
