"""What is shown of notifications without sending any, and the test that is sent on purpose."""

from __future__ import annotations

import json
from email import message_from_bytes
from email.policy import default as modern
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import pytest

from shared.adapters.sqlite_store import SqliteStore
from shared.channels import Channel
from shared.channels.email import EmailChannel
from shared.channels.pagerduty import PagerDutyChannel
from shared.channels.posting import post
from shared.channels.sentry import SentryChannel
from shared.channels.setup import set_up
from shared.channels.slack import SlackBot, SlackWebhook
from shared.channels.webhook import WebhookChannel, public_addresses
from shared.config import Config, Secret
from shared.errors import ConfigError
from shared.local import notifying
from shared.local.notifying import MISTAKE, NOT_TAKEN, main, mrkdwn, preview, send_test
from shared.monitoring_config import MonitoringConfig
from shared.wiring import Services
from tests import vendors
from tests.conversations import RIGS, SIGNING
from tests.fakes import START, Clock

SECRETS = {
    "slack_bot_token": "xoxb-5ecret-token",
    "pagerduty_routing_key": "5ecretRoutingKey0123456789ABCDEF",
    "smtp_url": "smtps://user:5ecret-password@mail.example",
    "sentry_dsn": "https://5ecretPublicKey@sentry.example/42",
    "webhook_url": "https://receiver.example/5ecret-path",
    "webhook_secret": SIGNING,
}


def with_domain() -> MonitoringConfig:
    """The default configuration whose recipients have a domain."""
    plain = MonitoringConfig().to_dict()
    plain["channels"]["email"]["domain"] = "example.com"  # type: ignore[index] # as it stands in the file
    return MonitoringConfig.from_dict(plain)


def test_every_channel_is_set_up_from_its_secret() -> None:
    """With all secrets there are five channels, with one that one, with none none; none of them shows its secret."""
    settings = with_domain().settings
    every = Config("ion-test", **{name: Secret(value) for name, value in SECRETS.items()})  # type: ignore[arg-type]
    made = set_up(every, settings, "")
    kinds = [SlackBot, PagerDutyChannel, EmailChannel, SentryChannel, WebhookChannel]
    assert [type(one) for one in made.values()] == kinds
    assert "5ecret" not in repr(made).casefold().replace("5ecretpart", "")
    assert len({one.setup for one in made.values()}) == 5
    assert set_up(Config("ion-test"), settings, "") == {}
    hook = Config("ion-test", slack_webhook_url=Secret("https://hooks.slack.com/services/1"))
    assert [type(one) for one in set_up(hook, settings, "").values()] == [SlackWebhook]


def test_mail_without_a_recipient_is_not_set_up() -> None:
    """Recipients that no domain completes get no mail."""
    config = Config("ion-test", smtp_url=Secret(SECRETS["smtp_url"]))
    assert set_up(config, MonitoringConfig().settings, "") == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [("smtp_url", "5ecret"), ("sentry_dsn", "https://5ecret.example"), ("webhook_secret", "5ecret")],
)
def test_a_secret_that_is_none_is_refused_by_name(name: str, value: str) -> None:
    """A secret of another form is refused when the channels are set up, by its variable, and not quoted."""
    given = {**SECRETS, name: value}
    config = Config("ion-test", **{one: Secret(text) for one, text in given.items()})  # type: ignore[arg-type]
    with pytest.raises(ConfigError) as raised:
        set_up(config, with_domain().settings, "")
    assert f"ION_{name.upper()}" in str(raised.value)
    assert "5ecret" not in str(raised.value)


def test_notify_sets_its_channels_up_once() -> None:
    """The function ``notify`` keeps its channels for warm starts; those that it is given go first."""
    clock = Clock()
    environment = Config("ion-test", webhook_url=Secret(SECRETS["webhook_url"]))
    given: Channel = RIGS["pagerduty"]().channel
    store = SqliteStore(":memory:", clock)
    bus = None
    services = Services(MonitoringConfig(), store, bus, {"pagerduty": given}, now=clock, settings=environment)  # type: ignore[arg-type] # no bus is used
    first, second = services.notify().channels, services.notify().channels
    assert first["webhook"] is second["webhook"]
    assert first["pagerduty"] is given


class Frames(HTMLParser):
    """What a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep it."""
        self.sources += [value or "" for name, value in attrs if name == "src"]
        assert tag != "script"


def test_the_preview(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One incident is rendered for every channel to files and a page that shows them, without any secret."""
    assert main(["preview", "--out", str(tmp_path)]) == 0
    page = tmp_path / "index.html"
    assert capsys.readouterr().out == f"{page}\n"
    frames = Frames()
    frames.feed(page.read_text("utf-8"))
    mails = ["firing.email.html", "resolved.email.html"]
    pictures = [f"{kind}.chart.png" for kind in ("firing", "acknowledged", "resolved")]
    assert frames.sources == [*pictures[:1] * 3, *mails]  # an edit keeps the picture that was posted
    for name in mails:
        inside = Frames()
        inside.feed((tmp_path / name).read_text("utf-8"))
        assert inside.sources == [name.replace("email.html", "chart.png")]
    images = {(tmp_path / name).read_bytes() for name in pictures}
    assert len(images) == 3
    assert all(image.startswith(b"\x89PNG") for image in images)
    mail = message_from_bytes((tmp_path / "firing.email.eml").read_bytes(), policy=modern)
    assert {part.get_content() for part in mail.walk() if part.get_content_type() == "image/png"} < images
    for kind in ("firing", "acknowledged", "resolved"):
        body = json.loads((tmp_path / f"{kind}.slack.json").read_text("utf-8"))
        assert vendors.problem_of(body) == ""
        assert json.loads((tmp_path / f"{kind}.pagerduty.json").read_text("utf-8"))["routing_key"] == "***"
    assert preview(MonitoringConfig(), tmp_path).read_text("utf-8") == page.read_text("utf-8")


def test_slacks_markup_on_the_page() -> None:
    """What Slack escapes is shown as text, and only our own markup becomes tags."""
    assert str(mrkdwn("*a* &lt;b&gt; <https://x.example|Run> &amp;\n")) == (
        '<b>a</b> &lt;b&gt; <a href="https://x.example">Run</a> &amp;<br>'
    )
    assert "<script" not in str(mrkdwn("<script>alert(1)</script>"))


@pytest.mark.parametrize("name", ["slack", "pagerduty", "email", "sentry", "webhook"])
def test_a_test_is_sent(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel gets a notification that says it is a test, and its end; each answer is a line."""
    rig = RIGS[name]()
    monkeypatch.setattr(notifying, "set_up", lambda *_: {name: rig.channel})
    is_taken, lines = send_test(name, Config("ion-test"), MonitoringConfig().settings, START)
    assert is_taken
    assert [line.partition(":")[0] for line in lines] == [f"{name} took firing", f"{name} took resolved"]
    if isinstance(rig.vendor, vendors.PagerDuty):
        (incident,) = rig.vendor.incidents
        assert incident.status == "resolved"
        assert incident.events[0]["payload"]["summary"].startswith("TEST, nothing is wrong")
    if isinstance(rig.vendor, vendors.Slack):
        (message,) = rig.vendor.conversations()
        assert "TEST, nothing is wrong" in message.text


def test_a_test_that_is_not_taken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What a channel refuses is said in its own words, with exit status 1; so is a channel that is not set up."""
    rig = RIGS["webhook"]()
    assert isinstance(rig.vendor, vendors.Vendor)
    rig.vendor.answers = [410]
    monkeypatch.setattr(notifying, "set_up", lambda *_: {"webhook": rig.channel})
    assert main(["test", "webhook"]) == NOT_TAKEN
    assert "webhook did not take firing: webhook_gone: 410 said" in capsys.readouterr().out
    assert main(["test", "slack"]) == NOT_TAKEN
    assert "slack is not set up here" in capsys.readouterr().out


def test_a_mistake_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A variable of another form ends with status 2 and its name."""
    monkeypatch.setenv("ION_WEBHOOK_URL", "5ecret")
    assert main(["test", "webhook"]) == MISTAKE
    told = capsys.readouterr().err
    assert "ION_WEBHOOK_URL" in told
    assert "5ecret" not in told


def test_what_posts_is_bounded_in_time() -> None:
    """Every channel that is set up posts through the one function with a deadline."""
    made = set_up(
        Config("ion-test", pagerduty_routing_key=Secret("x" * 32), webhook_url=Secret("https://receiver.example/x")),
        MonitoringConfig().settings, "",
    )  # fmt: skip
    incident, hook = made["pagerduty"], made["webhook"]
    assert isinstance(incident, PagerDutyChannel)
    assert isinstance(hook, WebhookChannel)
    assert incident.vendor.post is post
    assert isinstance(hook.vendor.post, partial)
    assert hook.vendor.post.func is post
    assert hook.vendor.post.keywords == {"resolve": public_addresses}
