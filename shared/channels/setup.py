"""From the environment's secrets and the configuration's settings to the channels that are set up here."""

from __future__ import annotations

from functools import partial

from ..config import Config, Secret
from ..configuration.models import Email, PagerDuty, Sentry, Settings, Slack
from . import Channel
from .posting import Vendor, post
from .webhook import WebhookChannel, keys_of, public_addresses


def set_up(config: Config, settings: Settings, dashboard_url: str = "") -> dict[str, Channel]:
    """The channels that have what they need, by name; each module is imported only then. Raises ConfigError."""
    found = {
        "slack": _slack(config, settings, dashboard_url),
        "pagerduty": _pagerduty(config, settings, dashboard_url),
        "email": _email(config, settings, dashboard_url),
        "sentry": _sentry(config, settings, dashboard_url),
        "webhook": _webhook(config, dashboard_url),
    }
    return {name: channel for name, channel in found.items() if channel is not None and name in settings.channels}


def _slack(config: Config, settings: Settings, dashboard_url: str) -> Channel | None:
    known = settings.channels.get("slack")
    if not isinstance(known, Slack):
        return None
    from .slack import SlackBot, SlackWebhook

    if config.slack_bot_token is not None:
        token = config.slack_bot_token.reveal()
        vendor = Vendor("slack", post, (token,))
        return SlackBot(vendor, token, known.channel, known.mention, known.icons, dashboard_url, known.max_per_minute)
    if config.slack_webhook_url is not None:
        url = config.slack_webhook_url.reveal()
        return SlackWebhook(
            Vendor("slack", post, (url,)), url, known.mention, known.icons, dashboard_url, known.max_per_minute
        )
    return None


def _pagerduty(config: Config, settings: Settings, dashboard_url: str) -> Channel | None:
    known = settings.channels.get("pagerduty")
    if config.pagerduty_routing_key is None or not isinstance(known, PagerDuty):
        return None
    from .pagerduty import PagerDutyChannel

    key = config.pagerduty_routing_key.reveal()
    vendor = Vendor("pagerduty", post, (key,))
    return PagerDutyChannel(vendor, key, known.service, settings.environment, dashboard_url, known.high_urgency)


def _email(config: Config, settings: Settings, dashboard_url: str) -> Channel | None:
    known = settings.channels.get("email")
    if config.smtp_url is None or not isinstance(known, Email) or not known.addresses:
        return None
    from .email import EmailChannel, server_of, transmit

    place = f"{settings.service} {settings.environment}"
    server = server_of(config.smtp_url.reveal())
    return EmailChannel(
        server, known.addresses, place, dashboard_url, transmit, known.attach_dashboard, known.max_per_minute
    )


def _sentry(config: Config, settings: Settings, dashboard_url: str) -> Channel | None:
    known = settings.channels.get("sentry")
    if config.sentry_dsn is None or not isinstance(known, Sentry):
        return None
    from .sentry import SentryChannel, SentryClient

    dsn = config.sentry_dsn.reveal()
    vendor = Vendor("sentry", post, (dsn,))
    client = SentryClient(vendor, dsn, known.environment, known.traces_sample_rate)
    return SentryChannel(client, vendor, dsn, dashboard_url, known.max_per_minute)


def _webhook(config: Config, dashboard_url: str) -> Channel | None:
    if config.webhook_url is None:
        return None
    url, secret = config.webhook_url.reveal(), config.webhook_secret or Secret("")
    vendor = Vendor("webhook", partial(post, resolve=public_addresses), (url, *secret.reveal().split()))
    return WebhookChannel(vendor, url, dashboard_url, keys_of(secret.reveal()))
