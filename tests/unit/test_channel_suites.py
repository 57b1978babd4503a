"""What every channel has to pass: the payloads, the table of answers, no secret anywhere, and hostile text inert."""

from __future__ import annotations

import json
import re
import smtplib
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes
from email.policy import default as modern
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from shared.acks import Ack
from shared.bus import Message
from shared.channels import Busy, Evidence, Gone, Partly, Turn
from shared.channels import email as email_channel
from shared.channels import pagerduty as pagerduty_channel
from shared.channels import sentry as sentry_channel
from shared.channels import slack_blocks as slack_channel
from shared.channels.pagerduty import PagerDutyChannel
from shared.channels.posting import Reply
from shared.channels.story import Story, tell
from shared.channels.webhook import payload as webhook_payload
from shared.errors import MonitoringError, PermanentError, TransientError
from shared.logs import Captured, log
from shared.notifications import Member, Notification, NotificationKind
from shared.notify import Notify
from shared.rules import Severity
from tests import vendors
from tests.conversations import (
    ACKNOWLEDGED,
    CHART,
    DASHBOARD,
    ESCALATED,
    FIRING,
    ICONS,
    RESOLVED,
    RIGS,
    Rig,
    Talk,
    email,
    pagerduty,
    sentry,
    slack,
    slack_hook,
    webhook,
)
from tests.fakes import START

GOLDEN = Path(__file__).parents[1] / "golden"
TURN = Turn(START, evidence=Evidence(usual=(29.0, 51.0), worst=("/recommend", "/process")))
OVER_HTTP = {name: make for name, make in RIGS.items() if name != "email"}
GROUP = replace(
    FIRING,
    also=(Member((("region", "us-central1"),), 280.0), Member((("region", "asia-southeast1"),), None)),
    more=2,
)
CASES = {
    "firing": FIRING, "acknowledged": ACKNOWLEDGED, "escalated": ESCALATED, "resolved": RESOLVED, "group": GROUP,
    "no_data": replace(FIRING, about="no_data", value=None, description="No data of region=eu any more."),
    "ended": replace(RESOLVED, value=None, reason="no_data"),
    "partly": replace(RESOLVED, still_firing=2, open_on=FIRING.channels),
    "notice": replace(FIRING, kind=NotificationKind.NOTICE, labels=(), rule_name="The channel email refuses",
                      value=None, description="email answered: 535.\nNothing is sent there."),
}  # fmt: skip


def story_of(notification: Notification, channel: str) -> Story:
    """What a channel says of a notification."""
    return tell(notification, TURN, DASHBOARD, channel)


def payloads(notification: Notification) -> dict[str, str]:
    """Every channel's payload as text, by the name of its file."""
    told = story_of(notification, "slack")
    mail = email_channel.payload(
        notification, story_of(notification, "email"), "ion@example.com", ["oncall@example.com"],
        "ION Mentoring production", None,
    )  # fmt: skip
    incident = pagerduty_channel.payload(
        notification, story_of(notification, "pagerduty"), "KEY", "service", "production"
    )
    return {
        "slack.json": _json(slack_channel.payload(told, notification.conversation, ICONS, "@oncall", "F123")),
        "pagerduty.json": _json(incident),
        "email.eml": mail.as_bytes().decode().replace("\r\n", "\n"),
        "sentry.json": _json(sentry_channel.payload(notification, story_of(notification, "sentry"))),
        "webhook.json": _json(json.loads(webhook_payload(notification, DASHBOARD))),
    }


def _json(body: object) -> str:
    return json.dumps(body, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


@pytest.mark.parametrize("case", CASES)
def test_payloads_are_as_they_were(case: str) -> None:
    """Each channel's payload of each kind is the one in tests/golden, byte for byte.

    To change one, delete its file, run this once, and look at what it wrote.
    """
    found = {GOLDEN / f"{case}.{name}": text for name, text in payloads(CASES[case]).items()}
    missing = [path.name for path in found if not path.exists()]
    for path, text in found.items():
        if path.name in missing:
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8"), path.name
    assert missing == [], "these were missing and are written now"


@pytest.mark.parametrize("case", CASES)
def test_slack_takes_every_kind(case: str) -> None:
    """Slack's own library finds nothing wrong with the blocks of any kind."""
    body = json.loads(payloads(CASES[case])["slack.json"])
    assert vendors.problem_of(body) == ""


ANSWERS: list[tuple[int, type[MonitoringError] | None]] = [
    *((status, None) for status in (200, 202, 204)),
    *((status, Busy) for status in (408, 425, 429, 500, 502, 503, 504, 599)),
    *((status, Gone) for status in (401, 403, 404, 410)),
    *((status, PermanentError) for status in (301, 307, 400, 405, 413, 422)),
]


@pytest.mark.parametrize("make", OVER_HTTP.values(), ids=OVER_HTTP)
@pytest.mark.parametrize(("status", "error"), ANSWERS, ids=[str(status) for status, _ in ANSWERS])
def test_what_an_answer_means(make: Callable[..., Rig], status: int, error: type[MonitoringError] | None) -> None:
    """2xx is taken, 408, 425, 429, 5xx are tried again, 401, 403, 404, 410 close the channel, others the message."""
    rig = make()
    vendor = rig.vendor
    assert isinstance(vendor, vendors.Vendor)
    vendor.answers = [status]
    if error is None:
        if isinstance(vendor, vendors.Slack):
            vendor.answers = []  # what Slack takes it says in JSON, not by its status
        rig.channel.send(FIRING, TURN)
        return
    with pytest.raises(MonitoringError) as raised:
        rig.channel.send(FIRING, TURN)
    assert type(raised.value) is error
    assert raised.value.reason.startswith(f"{rig.name}_")


@pytest.mark.parametrize("make", OVER_HTTP.values(), ids=OVER_HTTP)
def test_a_wish_to_come_again_is_passed_on(make: Callable[..., Rig]) -> None:
    """Retry-After reaches the delivery, at most an hour; without one there is none."""
    for after, seconds in [("30", 30), ("86400", 3600), ("", None)]:
        rig = make()
        assert isinstance(rig.vendor, vendors.Vendor)
        rig.vendor.answers = [Reply(429, headers={"retry-after": after})]
        with pytest.raises(Busy) as raised:
            rig.channel.send(FIRING, TURN)
        assert raised.value.not_before == (None if seconds is None else START + timedelta(seconds=seconds))


@pytest.mark.parametrize("make", RIGS.values(), ids=RIGS)
@pytest.mark.parametrize("broken", [vendors.RESET, vendors.LOST])
def test_a_broken_connection_is_tried_again(make: Callable[..., Rig], broken: str) -> None:
    """Whether or not it was taken, a send without an answer is transient, and nobody knows."""
    rig = make()
    assert isinstance(rig.vendor, vendors.Vendor | vendors.Mailbox)
    rig.vendor.answers = [broken]  # type: ignore[assignment] # both take it
    with pytest.raises(TransientError) as raised:
        rig.channel.send(FIRING, TURN)
    assert not isinstance(raised.value, Busy)


SLACK_ERRORS = {
    Gone: ["invalid_auth", "token_revoked", "account_inactive", "channel_not_found", "is_archived", "missing_scope"],
    Busy: ["ratelimited", "internal_error", "fatal_error"],
    PermanentError: ["msg_too_long", "no_text", "nobody_knows_this"],
    TransientError: [],
}


@pytest.mark.parametrize(("kind", "word"), [(kind, word) for kind, words in SLACK_ERRORS.items() for word in words])
def test_slacks_own_words(kind: type[MonitoringError], word: str) -> None:
    """Slack answers 200 and says in a word what is wrong: the word is kept, and decides."""
    rig = slack()
    assert isinstance(rig.vendor, vendors.Slack)
    rig.vendor.answers = [vendors.said(ok=False, error=word)] * 3
    with pytest.raises(MonitoringError) as raised:
        rig.channel.send(FIRING, TURN)
    assert (type(raised.value), raised.value.detail) == (kind, word)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"ok":1}', b"\xff", b'{"ok":false,"error":"<script>"}'])
def test_an_answer_that_is_not_slacks(body: bytes) -> None:
    """A 200 that is no answer of Slack's is not taken for one."""
    rig = slack()
    assert isinstance(rig.vendor, vendors.Slack)
    rig.vendor.answers = [Reply(200, body)] * 3
    with pytest.raises(MonitoringError) as raised:
        rig.channel.send(FIRING, TURN)
    assert "<" not in str(raised.value)


def test_a_webhook_of_slack_that_is_gone() -> None:
    """An incoming webhook says in plain text that it was revoked."""
    rig = slack_hook()
    assert isinstance(rig.vendor, vendors.SlackHook)
    rig.vendor.answers = [Reply(400, b"invalid_token")]
    with pytest.raises(Gone):
        rig.channel.send(FIRING, TURN)


@pytest.mark.parametrize("key", ["too-short", "0THERKEY0123456789ABCDEF01234567"], ids=["malformed", "revoked"])
def test_a_routing_key_that_pagerduty_does_not_know(key: str) -> None:
    """PagerDuty answers 400 as to a malformed event, and names the key: the channel is closed, not the one event."""
    rig = pagerduty()
    assert isinstance(rig.channel, PagerDutyChannel)
    with pytest.raises(Gone) as raised:
        replace(rig.channel, routing_key=key).send(FIRING, TURN)
    assert raised.value.detail.startswith("400 ")


RECIPIENTS = ("devops@example.com", "oncall@example.com")
SMTP = [
    (smtplib.SMTPRecipientsRefused(dict.fromkeys(RECIPIENTS, (550, b"no such user"))), PermanentError),
    (smtplib.SMTPRecipientsRefused(dict.fromkeys(RECIPIENTS, (450, b"busy"))), TransientError),
    (smtplib.SMTPAuthenticationError(535, b"bad credentials"), Gone),
    (smtplib.SMTPDataError(554, b"spam"), PermanentError),
    (smtplib.SMTPDataError(452, b"full"), TransientError),
    (smtplib.SMTPNotSupportedError("STARTTLS"), Gone),
    (smtplib.SMTPServerDisconnected("gone"), TransientError),
    (TimeoutError(), TransientError),
]


@pytest.mark.parametrize(("answer", "error"), SMTP, ids=[type(answer).__name__ for answer, _ in SMTP])
def test_what_a_mail_server_means(answer: BaseException, error: type[MonitoringError]) -> None:
    """4xx and silence are tried again, 5xx is for good, and a refused log-in closes the channel."""
    rig = email()
    assert isinstance(rig.vendor, vendors.Mailbox)
    rig.vendor.answers = [answer]
    with pytest.raises(MonitoringError) as raised:
        rig.channel.send(FIRING, TURN)
    assert type(raised.value) is error


BUSY, UNKNOWN = (450, b"4.2.0 come again"), (550, b"5.1.1 unknown")


def test_a_recipient_who_is_put_off_is_tried_again_alone() -> None:
    """Whom the server puts off gets the mail from a later attempt, and nobody else a second one."""
    talk = Talk(email)
    mailbox = talk.rig.vendor
    assert isinstance(mailbox, vendors.Mailbox)
    mailbox.answers = [{"oncall@example.com": BUSY}, smtplib.SMTPRecipientsRefused({"oncall@example.com": BUSY})]
    assert not talk.deliver(FIRING)
    assert not talk.deliver(FIRING)
    assert talk.deliver(FIRING)
    assert mailbox.taken == ["devops@example.com", "oncall@example.com"]
    assert len({message_from_bytes(one)["Message-ID"] for one in mailbox.mails}) == 1


def test_a_recipient_who_is_put_off_for_an_hour_is_given_up() -> None:
    """What was taken for others is done after an hour; whom it was refused is logged, and no secret with it."""
    rig = email()
    assert isinstance(rig.vendor, vendors.Mailbox)
    rig.vendor.answers = [{"oncall@example.com": BUSY}]
    with Captured() as logs:
        answer = rig.channel.send(FIRING, replace(TURN, now=FIRING.at + timedelta(hours=1)))
    assert answer.detail == "taken for 1 of 2"
    ((severity, event, recipient),) = [(one["severity"], one["message"], one["recipient"]) for one in logs.events]
    assert (severity, event, recipient) == ("WARNING", "email_recipient_refused", "oncall@example.com")


def test_who_is_put_off_is_not_lost_with_who_is_unknown() -> None:
    """Where a server refuses one recipient for good and puts the other off, the other is tried again."""
    rig = email()
    assert isinstance(rig.vendor, vendors.Mailbox)
    rig.vendor.answers = [
        smtplib.SMTPRecipientsRefused({"devops@example.com": UNKNOWN, "oncall@example.com": BUSY}), {}
    ]  # fmt: skip
    with Captured() as logs, pytest.raises(Partly) as raised:
        rig.channel.send(FIRING, TURN)
    assert [one["recipient"] for one in logs.events] == ["devops@example.com"]
    rig.channel.send(FIRING, replace(TURN, handle=raised.value.handle))
    assert rig.vendor.taken == ["oncall@example.com"]


def echoes(secret: str) -> list[vendors.Scripted]:
    """Answers in which a vendor repeats a secret in every way."""
    texts = [secret, secret.upper(), f"<b>{secret}</b>", f"Cannot POST /{secret}", "x" * 150 + secret]
    return [Reply(status, text.encode()) for status in (200, 202, 301, 400, 404, 429, 500) for text in texts]


@pytest.mark.parametrize("make", RIGS.values(), ids=RIGS)
def test_no_secret_is_told(make: Callable[..., Rig]) -> None:
    """No secret is in an error, traceback, log, record, preview or repr, whatever the vendor answers with it."""
    rig = make()
    for number in range(len(echoes("x")) + 3):
        talk = Talk(make, chart=True)
        vendor, secrets = talk.rig.vendor, talk.rig.secrets
        if isinstance(vendor, vendors.Vendor):
            vendor.answers = [[*echoes(secrets[0]), vendors.RESET, vendors.LOST, 500][number]]
        if isinstance(vendor, vendors.Mailbox):
            vendor.answers = [smtplib.SMTPAuthenticationError(535, f"{secrets[0]} is wrong".encode())]
        told: list[object] = [talk.rig.channel, talk.rig.channel.setup]
        with Captured() as logs:
            try:
                only = replace(FIRING, channels=(talk.rig.name,))
                notify = Notify(talk.inner, {talk.rig.name: talk.rig.channel}, talk.clock, lambda _: TURN.evidence)
                told += notify(Message(only.to_json(), {}, "id", START))
            except MonitoringError as error:
                told += [error, error.detail, *traceback.format_exception(error)]
                log("failed", "ERROR", error=error, detail=error.detail)
        told += logs.events
        for collection in ("deliveries", "conversations", "outages", "caps"):
            told += [one.fields for one in talk.inner.list(collection).documents]
        said = repr(told).casefold()
        for secret in rig.secrets:
            assert secret.casefold() not in said
            assert secret[:12].casefold() not in said


BIDI = "\u202e\u2066\u200b\ufeff"
HOSTILE = (
    (
        f"<!channel> <@U123> <https://evil.example|click> *bold* _it_ ~no~ `code` :skull: &lt; {BIDI} \x1b[31m\x07 "
        "</td><script>alert(1)</script><img src=x onerror=alert(1)>\r\nBcc: victim@example.com\r\n\r\nbody "
        "[md](javascript:alert(1)) | cell =1+1 @everyone \u2028\u2029 \ud83d"
    )
    .encode("utf-8", "replace")
    .decode()
)
ATTACKED = {
    kind: replace(
        CASES[kind],
        rule_name=f"Rule {HOSTILE}",
        rule_id=f"rule {HOSTILE}",
        description=HOSTILE,
        labels=(("region", HOSTILE), (f"name {HOSTILE}"[:60], "x")),
        also=tuple(Member((("region", HOSTILE),), 1.0) for _ in range(3)),
        unit=HOSTILE,
        author=HOSTILE,
        runbook_url="javascript:alert(1)//<script>",
    )
    for kind in CASES
}
ATTACK_TURN = Turn(
    START, evidence=Evidence(lambda: CHART, (1.0, 2.0), (HOSTILE,), Ack(FIRING.fingerprint, START, HOSTILE, START))
)


def sent_by(make: Callable[..., Rig], notification: Notification) -> Any:
    """A vendor that was sent one notification."""
    rig = make()
    rig.channel.send(notification, ATTACK_TURN)
    return rig.vendor


def texts(value: object) -> Iterator[str]:
    """All texts in JSON, keys included."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from (key, *texts(one))
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)
    elif isinstance(value, str):
        yield value


def check_clean(text: str) -> None:
    """No control, direction or zero-width character is left, but for line feeds and our own joiner."""
    assert not set(text) & {*BIDI, "\x1b", "\x07", "\r", "\u2028", "\u2029"}, ascii(text)


@pytest.mark.parametrize("kind", ATTACKED)
def test_hostile_text_is_inert_in_slack(kind: str) -> None:
    """No mention, link, emphasis, code, emoji or control character of a label or name reaches Slack as such."""
    workspace = sent_by(slack, ATTACKED[kind])
    (message,) = workspace.conversations()
    for text in (message.text, *texts(message.blocks)):
        check_clean(text)
    for mrkdwn in (message.text, *(one["text"] for one in mrkdwns(message.blocks))):
        for attack in ("<!", "<@", "<https://evil", " *bold*", " _it_", " ~no~", " `code`", ":skull:", "<script"):
            assert attack not in mrkdwn
    urls = [e["url"] for block in message.blocks for e in block.get("elements", ()) if "url" in e]
    assert all(url.startswith(DASHBOARD) for url in urls)


def mrkdwns(value: object) -> Iterator[dict[str, Any]]:
    """All objects of mrkdwn in blocks, each of which Slack is told to leave verbatim."""
    if isinstance(value, dict):
        if value.get("type") == "mrkdwn":
            assert value["verbatim"] is True
            yield value
        for one in value.values():
            yield from mrkdwns(one)
    elif isinstance(value, list):
        for one in value:
            yield from mrkdwns(one)


class Tags(HTMLParser):
    """The tags and addresses of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep them."""
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src")]


@pytest.mark.parametrize("kind", [kind for kind in ATTACKED if kind != "acknowledged"])
def test_hostile_text_is_inert_in_mail(kind: str) -> None:
    """No header, recipient, tag, script or address comes of a label or name, and no control character is left."""
    (mail,) = sent_by(email, ATTACKED[kind]).mails
    message = message_from_bytes(mail, policy=modern)
    assert message["Bcc"] is None
    assert message["To"] == "devops@example.com, oncall@example.com"
    assert len(message.defects) == 0
    for name, value in message.items():
        check_clean(f"{name}: {value}")
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    check_clean(text.get_content().replace("\r\n", "\n"))
    check_clean(html.get_content().replace("\r\n", "\n"))
    tags = Tags()
    tags.feed(html.get_content())
    assert "script" not in tags.tags
    assert not {name for name in tags.attributes if name.startswith("on")}
    assert all(one.startswith((DASHBOARD, "cid:")) for one in tags.addresses)
    assert len(html.get_content().encode()) < email_channel.MAX_HTML_BYTES


def test_a_mail_is_plain_ascii_in_short_lines() -> None:
    """Whatever relays it, text, HTML and picture stay as they are: encoded, in lines of at most 76 characters."""
    (mail,) = sent_by(email, ATTACKED["firing"]).mails
    body = mail.partition(b"\r\n\r\n")[2]
    assert mail.isascii()
    assert b"image/png" in body
    assert max(len(line) for line in body.split(b"\r\n")) <= 76


@pytest.mark.parametrize("name", ["Größe überschritten", "🔥" * 90, "שגיאה " * 30, "応答時間" * 20, "x" * 300])
def test_a_subject_of_any_letters_keeps_the_rules_of_mail(name: str) -> None:
    """It is one line of ASCII in words of at most 75 characters each where it is encoded, and reads as it was meant."""
    rig = email()
    assert isinstance(rig.vendor, vendors.Mailbox)
    rig.channel.send(replace(FIRING, rule_name=name), TURN)
    (mail,) = rig.vendor.mails
    line = next(one for one in mail.split(b"\r\n") if one.startswith(b"Subject: ")).decode("ascii")
    assert len(line) < 998
    assert all(len(word) <= 75 for word in line.split() if word.startswith("=?"))
    told = message_from_bytes(mail, policy=modern)["Subject"]
    assert told == email_channel.subject(story_of(replace(FIRING, rule_name=name), "email"), "ION Mentoring production")


@pytest.mark.parametrize("kind", ["firing", "group", "escalated", "no_data"])
def test_hostile_text_is_inert_in_pagerduty_and_sentry(kind: str) -> None:
    """What a pager or an issue shows has no control character, on one line where a line is expected."""
    (incident,) = sent_by(pagerduty, ATTACKED[kind]).incidents
    (event,) = sent_by(sentry, ATTACKED[kind]).events.values()
    for text in texts(incident.events):
        check_clean(text)
    assert "\n" not in incident.events[0]["payload"]["summary"]
    assert {one["href"] for one in incident.events[0]["links"]} == {f"{DASHBOARD}/alerts/{FIRING.fingerprint}"}
    check_clean(event["message"])
    for text in texts(event["contexts"]["alert"]):
        check_clean(text)


def test_the_webhook_carries_text_as_it_is() -> None:
    """A program is given the labels themselves, escaped by JSON alone, in ASCII."""
    receiver = sent_by(webhook, ATTACKED["firing"])
    (body,) = receiver.seen.values()
    assert body["data"]["labels"]["region"] == HOSTILE
    assert receiver.requests[0][2].isascii()


@pytest.mark.parametrize("letters", ["é<&*", "🔥👩‍🚒", "שלום"], ids=["markup", "emoji", "right to left"])
@pytest.mark.parametrize("kind", CASES)
def test_no_limit_is_broken_by_length(kind: str, letters: str) -> None:
    """The longest names, labels and texts of all kinds keep each vendor's limits; what is cut says so."""
    long = letters * 500
    labels = tuple((f"label{number:02}", long[:250]) for number in range(16))
    huge = replace(
        CASES[kind], rule_name=long, rule_id=long[:200], description=long, labels=labels, author=long[:200],
        also=tuple(Member(labels, 1e300) for _ in range(20)), more=10**6, unit="é" * 40,
    )  # fmt: skip
    for make in RIGS.values():
        rig = make()
        turn = replace(ATTACK_TURN, evidence=replace(ATTACK_TURN.evidence, worst=tuple([long] * 50)))
        rig.channel.send(huge, turn)
    body = slack_channel.payload(tell(huge, TURN, DASHBOARD, "slack"), huge.conversation, ICONS, "@oncall")
    assert vendors.problem_of(body) == ""
    assert "… (+" in json.dumps(body, ensure_ascii=False)
    escaped = [body["text"], *(one["text"] for one in mrkdwns(body["blocks"]))]
    assert not [text for text in escaped if re.search("&[a-z]{0,3}…", text)]


def test_a_runbooks_address_is_linked_as_it_is() -> None:
    """Of an address only the & is written otherwise; one that would not fit as a whole is left out."""
    url = "https://wiki.example/run_book/~team/high_error*rate?a=1&b=:ok:"
    for told, link in [(url, f"<{url.replace('&', '&amp;')}|Runbook>"), (f"{url}{'x' * 3000}", "")]:
        story = story_of(replace(FIRING, runbook_url=told), "slack")
        footer = slack_channel.payload(story, FIRING.conversation, ICONS, "")["blocks"][-1]["elements"][0]["text"]
        assert footer.startswith(f"{link} · rule" if link else "rule")


@pytest.mark.parametrize("severity", Severity)
def test_only_what_is_new_and_critical_calls_somebody(severity: Severity) -> None:
    """A mention stands in critical alerts that fire, rise or escalate, and in no other message."""
    mention = "<!subteam^S0123456>"
    for kind, notification in CASES.items():
        told = replace(notification, severity=severity)
        body = slack_channel.payload(story_of(told, "slack"), told.conversation, ICONS, mention)
        calls = severity is Severity.CRITICAL and kind in ("firing", "escalated", "group", "no_data")
        assert (mention in json.dumps(body)) is calls, kind
        assert (mention in slack_channel.reply(story_of(told, "slack"), mention)) is calls, kind


def test_a_mention_that_is_none_is_text() -> None:
    """Of the configured mention only Slack's own forms stay markup."""
    for mention, is_markup in [("<!here>", True), ("<@U123>", True), ("@oncall", False), ("<https://x|y>", False)]:
        body = slack_channel.payload(story_of(FIRING, "slack"), FIRING.conversation, ICONS, mention)
        assert (mention in body["blocks"][1]["text"]["text"]) is (is_markup or "<" not in mention)
