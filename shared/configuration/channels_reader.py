"""Reads the settings of the channels. What a setting may hold of a secret is the name of a variable."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from types import MappingProxyType

from ..rules import Severity
from .models import Channel, Digest, Email, Inbox, PagerDuty, Route, Sentry, Slack, Webhook
from .reader import Node, suggestion

_VARIABLE = re.compile(r"ION_[A-Z0-9_]{1,100}")
_SLACK_CHANNEL = re.compile(r"#[^\s#]{1,79}")
_RECIPIENT = re.compile(r"[^\s@<>,;:\"()\[\]\\]+@[A-Za-z0-9.-]*")
_DOMAIN = re.compile(r"([A-Za-z0-9-]+\.)+[A-Za-z0-9-]+")
_MAX_PER_MINUTE = 600
_MAX_ESCALATION_MINUTES = 24 * 60


def severities(node: Node) -> tuple[Severity, ...]:
    """Severities, each once."""
    return node.distinct(lambda n: n.choice(Severity))


def channels(node: Node) -> dict[str, Channel]:
    """All channels by name, in the document's order."""
    found: dict[str, Channel] = {}
    for name, entry in node.entries().items():
        if name in _READERS:
            found[name] = _READERS[name](entry)
        else:
            entry.fail(f"unknown channel{suggestion(name, _READERS)}")
    return found


def _secrets(node: Node) -> tuple[str, ...]:
    return node.distinct(_variable)


def _variable(node: Node) -> str:
    """The name of an environment variable. What is no such name may be the secret itself, so it is not quoted."""
    if isinstance(node.value, str) and _VARIABLE.fullmatch(node.value):
        return node.value
    node.fail("expected the name of an environment variable like ION_SLACK_WEBHOOK_URL, never the secret")
    return ""


def _cap(node: Node) -> int:
    return node.integer(1, _MAX_PER_MINUTE)


def routes(node: Node, known: Collection[str], rule_ids: Collection[str]) -> tuple[Route, ...]:
    """The routes in their order."""
    return tuple(_route(item, known, rule_ids) for item in node.items())


def _route(node: Node, known: Collection[str], rule_ids: Collection[str]) -> Route:
    f = node.fields(["channels"], ["labels", "rules", "severities"])
    return Route(
        channels=f.get("channels", lambda n: n.distinct(lambda one: one.reference("channel", known)), ()),
        labels=f.get("labels", _labels, {}),
        rules=f.get("rules", lambda n: n.distinct(lambda one: one.reference("rule", rule_ids)), ()),
        severities=f.get("severities", severities, ()),
    )


def _labels(node: Node) -> dict[str, str]:
    return {name: value.string() for name, value in node.entries().items()}


def _slack(node: Node) -> Slack:
    f = node.fields(["channel"], ["mention", "icons", "max_per_minute", "secrets"])
    return Slack(
        channel=f.get("channel", lambda n: n.matching(_SLACK_CHANNEL, "a channel like #alerts"), ""),
        mention=f.get("mention", Node.string, ""),
        icons=f.get("icons", _icons, {}),
        max_per_minute=f.get("max_per_minute", _cap, Slack("").max_per_minute),
        secrets=f.get("secrets", _secrets, ()),
    )


def _icons(node: Node) -> dict[str, str]:
    f = node.fields([], ["critical", "warning", "info"])
    return {name: icon.text(100) for name, icon in f.entries.items()}


def _pagerduty(node: Node) -> PagerDuty:
    f = node.fields(["service"], ["high_urgency", "escalation_minutes", "secrets"])
    return PagerDuty(
        service=f.get("service", Node.text, ""),
        high_urgency=f.get("high_urgency", severities, PagerDuty("").high_urgency),
        escalation_minutes=f.get(
            "escalation_minutes", lambda n: n.integer(1, _MAX_ESCALATION_MINUTES), PagerDuty("").escalation_minutes
        ),
        secrets=f.get("secrets", _secrets, ()),
    )


def _email(node: Node) -> Email:
    f = node.fields(["recipients"], ["domain", "digest", "attach_dashboard", "max_per_minute", "secrets"])
    return Email(
        recipients=f.get("recipients", lambda n: n.distinct(_recipient), ()),
        domain=f.get("domain", _domain, ""),
        digest=f.get("digest", lambda n: n.choice(Digest), Digest.DAILY),
        attach_dashboard=f.get("attach_dashboard", Node.flag, Email(()).attach_dashboard),
        max_per_minute=f.get("max_per_minute", _cap, Email(()).max_per_minute),
        secrets=f.get("secrets", _secrets, ()),
    )


def _recipient(node: Node) -> str:
    return node.matching(_RECIPIENT, "an address, or its part up to the @")


def _domain(node: Node) -> str:
    return "" if node.value == "" else node.matching(_DOMAIN, "a domain like example.com")


def _sentry(node: Node) -> Sentry:
    f = node.fields(["environment"], ["traces_sample_rate", "max_per_minute", "secrets"])
    return Sentry(
        environment=f.get("environment", Node.text, ""),
        traces_sample_rate=f.get("traces_sample_rate", lambda n: n.number(0, 1), Sentry("").traces_sample_rate),
        max_per_minute=f.get("max_per_minute", _cap, Sentry("").max_per_minute),
        secrets=f.get("secrets", _secrets, ()),
    )


def _webhook(node: Node) -> Webhook:
    return Webhook(node.fields([], ["secrets"]).get("secrets", _secrets, ()))


def _inbox(node: Node) -> Inbox:
    return Inbox(node.fields([], ["secrets"]).get("secrets", _secrets, ()))


_READERS: MappingProxyType[str, Callable[[Node], Channel]] = MappingProxyType(
    {
        "slack": _slack,
        "pagerduty": _pagerduty,
        "email": _email,
        "sentry": _sentry,
        "webhook": _webhook,
        "inbox": _inbox,
    }
)
