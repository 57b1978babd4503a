"""Conversations on every channel, against the vendors' fakes, with whatever may happen on the way.

A ``Rig`` is a channel with its vendor. ``Talk`` delivers notifications through notify as Pub/Sub does: at least once,
in any order, again after a failure; the process may end at any call of the store or of the vendor, before or after its
effect. Then ``Rig.check`` says what was promised of what somebody sees.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from email import message_from_bytes
from email.policy import default as modern

from shared.adapters.sqlite_store import SqliteStore
from shared.alerts import Told
from shared.bus import Message
from shared.channels import Channel, Evidence
from shared.channels.email import EmailChannel, Server
from shared.channels.pagerduty import PagerDutyChannel
from shared.channels.posting import Post, Reply
from shared.channels.posting import Vendor as Ask
from shared.channels.sentry import SentryChannel, SentryClient
from shared.channels.slack import SlackBot, SlackWebhook
from shared.channels.webhook import WebhookChannel, keys_of
from shared.deliveries import LEASE, TERMINAL, DeliveryState, delivery_path
from shared.errors import TransientError
from shared.notifications import Notification, NotificationKind
from shared.notify import Notify
from shared.rules import Operator, Severity
from shared.store import Store
from tests import vendors
from tests.fakes import START, Clock, Countdown, Crash, CrashingStore
from tests.world import labels

DASHBOARD = "https://dashboard.example"
ICONS = {"critical": "🚨", "warning": "⚠️", "info": "ℹ️"}
SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwS5ecret0"
PASSWORD = "5ecret p@ssw0rd:0f/mail"
CHART = b"\x89PNG\r\n\x1a\n" + bytes(100)
MINUTE = timedelta(minutes=1)

FIRING = Notification(
    kind=NotificationKind.FIRING,
    fingerprint="0123456789abcdef",
    rule_id="high-response-time-critical",
    rule_name="High Response Time - Critical",
    description="P95 response time exceeds 200ms",
    severity=Severity.CRITICAL,
    labels=labels(region="europe-west1"),
    value=306.0,
    unit="ms",
    operator=Operator.GREATER,
    threshold=200.0,
    fired_at=START,
    at=START,
    reason="fired",
    channels=("slack", "pagerduty", "email", "sentry", "webhook"),
    config_hash="0123456789ab",
    runbook_url="https://runbook.example/response-time",
)
_FOLLOWS = (Told(FIRING.id, FIRING.channels),)
ACKNOWLEDGED = replace(
    FIRING, kind=NotificationKind.ACKNOWLEDGED, at=START + 4 * MINUTE, reason="acknowledged", value=456.0,
    follows=_FOLLOWS, author="Maria Kessler (U123)",
)  # fmt: skip
ESCALATED = replace(
    FIRING, kind=NotificationKind.ESCALATED, at=START + 30 * MINUTE, reason="still", value=497.0, follows=_FOLLOWS
)
RESOLVED = replace(
    FIRING, kind=NotificationKind.RESOLVED, at=START + 37 * MINUTE, reason="resolved", value=166.0,
    follows=(*_FOLLOWS, Told(ESCALATED.id, FIRING.channels)),
)  # fmt: skip
STORY = (FIRING, ACKNOWLEDGED, ESCALATED, RESOLVED)


@dataclass
class Rig:
    """A channel with its vendor. ``post`` is how it is reached: the vendor itself, or what stands between."""

    name: str
    channel: Channel
    vendor: object
    secrets: tuple[str, ...]
    check: Callable[[Mapping[str, str]], None]


def sent(states: Mapping[str, str]) -> set[str]:
    """What was recorded as sent; what is superseded may have been taken all the same."""
    return {one for one, state in states.items() if state == DeliveryState.SENT}


def slack(through: Callable[[Post], Post] = lambda post: post) -> Rig:
    """A bot in a workspace."""
    vendor = vendors.Slack()
    ask = Ask("slack", through(vendor), (vendor.token,))
    bot = SlackBot(ask, vendor.token, "#ion-mentoring-alerts", "@oncall", ICONS, DASHBOARD)

    def check(states: Mapping[str, str]) -> None:
        """One message, which says how it stands, and each reply once."""
        (message,) = vendor.conversations()
        assert "Resolved after 37 min" in str(message.blocks)
        buttons = [one for block in message.blocks if block["type"] == "actions" for one in block["elements"]]
        assert [one["text"]["text"] for one in buttons] == ["Open"]
        replies = Counter(one.metadata["event_payload"]["notification"] for one in vendor.messages if one.thread_ts)
        assert set(replies.values()) <= {1}
        assert sent(states) - {FIRING.id} <= {*replies, message.metadata["event_payload"]["notification"]}

    return Rig("slack", bot, vendor, (vendor.token,), check)


def slack_hook(through: Callable[[Post], Post] = lambda post: post) -> Rig:
    """An incoming webhook: a message for each notification, and one more for each attempt that may have arrived."""
    vendor = vendors.SlackHook()
    channel = SlackWebhook(Ask("slack", through(vendor), (vendor.url,)), vendor.url, "@oncall", ICONS, DASHBOARD)

    def check(states: Mapping[str, str]) -> None:
        """Each is there, the last of all is the end, and an attempt that died may show twice: the worst case."""
        told = Counter(one["text"] for one in vendor.messages)
        assert len(told) >= len(sent(states))
        assert max(told.values()) <= 2
        assert sum(told.values()) <= len(STORY) + 1
        assert "resolved after 37 min" in vendor.messages[-1]["text"]

    return Rig("slack", channel, vendor, (vendor.url.partition("services/")[2],), check)


def pagerduty(through: Callable[[Post], Post] = lambda post: post) -> Rig:
    """A service."""
    vendor = vendors.PagerDuty()
    ask = Ask("pagerduty", through(vendor), (vendor.routing_key,))
    channel = PagerDutyChannel(ask, vendor.routing_key, "ion-mentoring-production", "production", DASHBOARD)

    def check(_: Mapping[str, str]) -> None:
        """At most one incident, and none is open."""
        assert vendor.open() == []
        assert len(vendor.incidents) <= 1

    return Rig("pagerduty", channel, vendor, (vendor.routing_key,), check)


def email(through: Callable[[Post], Post] = lambda post: post) -> Rig:
    """A mail server. ``through`` sees each mail as a request without an address."""
    box = vendors.Mailbox()

    def transmit(server: Server, sender: str, to: Sequence[str], mail: bytes) -> dict[str, tuple[int, bytes]]:
        refused: dict[str, tuple[int, bytes]] = {}

        def inner(_url: str, body: bytes, _headers: Mapping[str, str]) -> Reply:
            refused.update(box(server, sender, to, body))
            return Reply(250)

        through(inner)("", mail, {})
        return refused

    server = Server("smtp.example", 465, "monitoring", PASSWORD)
    to = ("devops@example.com", "oncall@example.com")
    channel = EmailChannel(server, to, "ION Mentoring production", DASHBOARD, transmit)

    def check(states: Mapping[str, str]) -> None:
        """One thread under one subject; a mail that shows twice has one Message-ID, and no attempt is a third."""
        mails = [message_from_bytes(one, policy=modern) for one in box.mails]
        assert len({(one["Subject"], one["References"], one["In-Reply-To"]) for one in mails}) == 1
        by_id = Counter(one["Message-ID"] for one in mails)
        assert max(by_id.values()) <= 2
        assert {f"<{one}@example.com>" for one in sent(states) - {ACKNOWLEDGED.id}} <= set(by_id)

    return Rig("email", channel, box, (PASSWORD,), check)


def sentry(through: Callable[[Post], Post] = lambda post: post) -> Rig:
    """A project."""
    vendor = vendors.Sentry()
    ask = Ask("sentry", through(vendor), (vendor.dsn, "5ecretPublicKey"))
    client = SentryClient(ask, vendor.dsn, "production", 0.0)
    channel = SentryChannel(client, ask, vendor.dsn, DASHBOARD)

    def check(states: Mapping[str, str]) -> None:
        """One issue, an event for each."""
        assert len({tuple(one["fingerprint"]) for one in vendor.events.values()}) == 1
        assert len(sent(states) - {ACKNOWLEDGED.id}) <= len(vendor.events) < len(STORY)

    return Rig("sentry", channel, vendor, ("5ecretPublicKey",), check)


def webhook(through: Callable[[Post], Post] = lambda post: post) -> Rig:
    """A receiver that drops what it knows."""
    vendor = vendors.Receiver()
    ask = Ask("webhook", through(vendor), (vendor.url, SIGNING))
    channel = WebhookChannel(ask, vendor.url, DASHBOARD, keys_of(SIGNING))

    def check(states: Mapping[str, str]) -> None:
        """Each, once."""
        assert sent(states) <= set(vendor.seen) <= {one.id for one in STORY}

    return Rig("webhook", channel, vendor, (SIGNING[6:], "T0ken-5ecret"), check)


RIGS: Mapping[str, Callable[..., Rig]] = {
    "slack": slack, "slack webhook": slack_hook, "pagerduty": pagerduty, "email": email, "sentry": sentry,
    "webhook": webhook,
}  # fmt: skip


class Talk:
    """Notifications on one channel. ``countdown`` is shared by store and vendor."""

    def __init__(self, make: Callable[..., Rig], countdown: Countdown | None = None, *, chart: bool = False) -> None:
        self.clock = Clock()
        self.countdown = countdown or Countdown()
        self.inner = SqliteStore(":memory:", self.clock)
        self.store: Store = CrashingStore(self.inner, self.countdown)
        self.rig = make(self._between)
        self._evidence = Evidence(lambda: CHART if chart else None)

    def _between(self, post: Post) -> Post:
        def through(url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
            hit = self.countdown.before_call()
            return self.countdown.unless(hit, post(url, body, headers))

        return through

    def deliver(self, notification: Notification) -> bool:
        """One delivery; whether it is acknowledged."""
        clock = self.clock
        clock.time = max(clock.time, notification.at)
        only = replace(notification, channels=(self.rig.name,))
        notify = Notify(self.store, {self.rig.name: self.rig.channel}, clock, lambda _: self._evidence)
        try:
            notify(Message(only.to_json(), {}, "id", clock()))
        except (TransientError, Crash):
            return False
        return True

    def play(self, order: Sequence[Notification], rng: random.Random | None = None) -> None:
        """Deliver all until each is acknowledged, those that failed again after a minute, some twice."""
        waiting = list(order)
        for _ in range(60):
            left = [one for one in waiting if not self.deliver(one)]
            again = [one for one in waiting if rng is not None and rng.random() < 0.3]
            for one in again:
                self.deliver(one)
            if not left:
                return
            waiting = left
            if rng is not None:
                rng.shuffle(waiting)
            self.clock.sleep(LEASE.total_seconds() / 2)
        raise AssertionError(f"never acknowledged: {[one.id for one in waiting]}")

    def states(self) -> dict[str, str]:
        """What became of each notification."""
        paths = {one.id: delivery_path(one.id, self.rig.name) for one in STORY}
        found = self.inner.get(list(paths.values()))
        return {told: str(found[path].fields["state"]) for told, path in paths.items() if path in found}

    def check(self) -> None:
        """What was promised: everything is done, and what is seen is as the rig says."""
        states = self.states()
        assert {*states} == {one.id for one in STORY}
        assert {DeliveryState(one) for one in states.values()} <= TERMINAL
        self.rig.check(states)
