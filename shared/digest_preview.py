"""The daily digest as its mail would look now, as a page of its own: the picture is in it instead of beside it."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime

from .alert_charts import digest_picture
from .channels import Turn
from .channels.email import NAME
from .channels.story import tell
from .monitoring_config import MonitoringConfig
from .reader import Reader
from .render.mail import Mail, mail_html
from .render.report import Report
from .tune import digest_channels, digest_notification


def digest_page(config: MonitoringConfig, reader: Reader, report: Report, now: datetime, dashboard_url: str) -> str:
    """The HTML of the mail that a report makes at ``now`` (aware UTC); its button leads nowhere without an address."""
    notification = digest_notification(config, report.render("text"), now, digest_channels(config))
    drawn = digest_picture(config, reader, now, now)
    chart = f"data:image/png;base64,{b64encode(drawn).decode('ascii')}" if drawn else ""
    place = f"{config.settings.service} {config.settings.environment}"
    return mail_html(Mail(tell(notification, Turn(now), dashboard_url, NAME), place, chart))
