"""Channels over real sockets of the loopback interface: HTTP to each vendor, and SMTP with TLS and a log-in."""

from __future__ import annotations

import datetime as clock
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.channels import Channel, Gone, Turn
from shared.channels.email import EmailChannel, server_of, transmit
from shared.channels.pagerduty import PagerDutyChannel
from shared.channels.posting import Vendor, post
from shared.channels.sentry import SentryChannel, SentryClient, SentryWatch
from shared.channels.slack import SlackBot
from shared.channels.webhook import WebhookChannel, public_addresses
from shared.errors import ConfigError, PermanentError, TransientError
from tests import vendors
from tests.conversations import DASHBOARD, FIRING, ICONS, PASSWORD
from tests.fakes import START
from tests.serving import free_port

TURN = Turn(START)
USER = "monitoring@example.com"


def _slack(vendor: vendors.Slack, base: str) -> Channel:
    return SlackBot(
        Vendor("slack", post), vendor.token, "#ion-mentoring-alerts", "", ICONS, DASHBOARD, api=f"{base}/api"
    )


def _pagerduty(vendor: vendors.PagerDuty, base: str) -> Channel:
    return PagerDutyChannel(Vendor("pagerduty", post), vendor.routing_key, "s", "production", DASHBOARD, url=base)


def _sentry(_: vendors.Sentry, base: str) -> Channel:
    dsn, ask = f"{base.replace('://', '://5ecretPublicKey@')}/42", Vendor("sentry", post)
    return SentryChannel(SentryClient(ask, dsn, "production", 0.0), ask, dsn, DASHBOARD)


def _webhook(_: vendors.Receiver, base: str) -> Channel:
    ask = Vendor("webhook", partial(post, resolve=public_addresses))
    return WebhookChannel(ask, f"{base}/hook/T0ken-5ecret%2Fpart?key=T0ken-5ecret%2Fpart", DASHBOARD)


WIRES: list[tuple[Callable[..., Channel], Callable[[], vendors.Vendor], str, Callable[[Any], int]]] = [
    (_slack, vendors.Slack, "https://slack.com", lambda v: len(v.messages)),
    (_pagerduty, vendors.PagerDuty, "https://events.pagerduty.com", lambda v: len(v.incidents)),
    (_sentry, vendors.Sentry, "https://sentry.invalid", lambda v: len(v.events)),
    (_webhook, vendors.Receiver, "https://receiver.invalid", lambda v: len(v.seen)),
]


@pytest.mark.parametrize(("channel", "vendor", "base", "taken"), WIRES, ids=["slack", "pagerduty", "sentry", "webhook"])
def test_over_http(
    channel: Callable[..., Channel], vendor: Callable[[], vendors.Vendor], base: str, taken: Callable[[Any], int]
) -> None:
    """Each vendor takes what comes over a real connection; 503 and a reset are tried again, and show once."""
    receiving = vendor()
    receiving.answers = [503, vendors.RESET]
    with vendors.served(receiving, base) as url:
        sending = channel(receiving, url)
        for _ in range(2):
            with pytest.raises(TransientError):
                sending.send(FIRING, TURN)
        sending.send(FIRING, TURN)
    assert taken(receiving) == 1


def test_the_watch_of_the_evaluator() -> None:
    """A call is a check-in that begins and ends well, or badly when it raises; some calls are traced."""
    receiving = vendors.Sentry()
    with vendors.served(receiving, "https://sentry.invalid") as base:
        dsn = f"{base.replace('://', '://5ecretPublicKey@')}/42"
        watch = SentryWatch(SentryClient(Vendor("sentry", post), dsn, "production", 1.0), check_in="evaluate")
        assert watch.watching("evaluate", lambda: 7)() == 7
        with pytest.raises(TransientError, match="down"):
            watch.watching("evaluate", _fail)()
        watch.watching("notify", lambda: 7)()
    states = [(one["status"], one["monitor_slug"]) for one in receiving.checks]
    assert states == [(status, "ion-evaluate") for status in ("in_progress", "ok", "in_progress", "error")]
    first, second, third, fourth = (one["check_in_id"] for one in receiving.checks)
    assert (first == second, third == fourth, first == third) == (True, True, False)
    assert receiving.checks[0]["monitor_config"]["schedule"] == {"type": "interval", "value": 1, "unit": "minute"}
    assert [one["transaction"] for one in receiving.transactions] == ["evaluate", "evaluate", "notify"]


def test_a_watch_stops_nothing() -> None:
    """What Sentry does, or that it is away, changes nothing of what is watched."""
    receiving = vendors.Sentry(answers=[500, 429, vendors.RESET, vendors.RESET])
    watch = SentryWatch(SentryClient(Vendor("sentry", receiving), receiving.dsn, "production", 1.0), "evaluate")
    assert watch.watching("evaluate", lambda: 7)() == 7
    assert watch.watching("evaluate", lambda: 8)() == 8


def _fail() -> None:
    raise TransientError("down")


class Box:
    """A mailbox on a server: what came, from whom, to whom. ``refuses`` gives the answer to a recipient."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.refuses: dict[str, str] = {}

    async def handle_RCPT(  # noqa: N802 - the server's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Take a recipient, or refuse it."""
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep a mail."""
        self.envelopes.append(envelope)
        return "250 OK"


def _log_in(_server: SMTP, _session: Session, _envelope: Envelope, mechanism: str, data: object) -> AuthResult:
    assert isinstance(data, LoginPassword)
    assert mechanism in ("LOGIN", "PLAIN")
    known = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=known, handled=known)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and its certificate for 127.0.0.1, made for this run."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    long_ago = clock.datetime(2020, 1, 1, tzinfo=clock.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(long_ago)
        .not_valid_after(long_ago.replace(year=2120))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("mail") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def _secret_url(controller: Controller, scheme: str) -> str:
    return f"{scheme}://monitoring%40example.com:5ecret%20p%40ssw0rd%3A0f%2Fmail@127.0.0.1:{controller.port}"


wrapped_in_tls = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
"""The server does not see that all of its connection is TLS."""


@pytest.fixture(params=["smtps", "smtp"])
def mail(request: pytest.FixtureRequest, certificate: Path) -> Iterator[tuple[Box, EmailChannel]]:
    """A mail server with TLS from the first byte, or by STARTTLS, that wants a log-in; and the channel to it."""
    box, serving = Box(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(certificate)
    settings: dict[str, Any] = {"authenticator": _log_in, "auth_required": True, "auth_require_tls": True}
    if request.param == "smtps":
        settings |= {"ssl_context": serving, "auth_require_tls": False}  # what is wrapped is not seen as TLS
    else:
        settings |= {"tls_context": serving, "require_starttls": True}
    controller = Controller(box, hostname="127.0.0.1", port=free_port(), **settings)
    controller.start()
    trusting = ssl.create_default_context(cafile=str(certificate))
    server = server_of(_secret_url(controller, request.param))
    yield box, EmailChannel(
        server, ("devops@example.com", "oncall@example.com"), "ION Mentoring production", DASHBOARD,
        partial(transmit, context=trusting, deadline_seconds=10.0),
    )  # fmt: skip
    controller.stop()


@wrapped_in_tls
def test_a_mail_over_tls(mail: tuple[Box, EmailChannel]) -> None:
    """A mail goes out over TLS after a log-in, to each recipient."""
    box, channel = mail
    assert channel.send(FIRING, TURN).detail == "taken for 2 of 2"
    (envelope,) = box.envelopes
    assert envelope.rcpt_tos == ["devops@example.com", "oncall@example.com"]
    assert isinstance(envelope.content, bytes)
    assert b"Subject: [ION Mentoring production] High Response Time - Critical: europe-west1\r\n" in envelope.content


@wrapped_in_tls
def test_a_recipient_that_is_refused(mail: tuple[Box, EmailChannel]) -> None:
    """One unknown address stops no other; all unknown is for good, all busy for now."""
    box, channel = mail
    box.refuses = {"devops@example.com": "550 5.1.1 unknown"}
    assert channel.send(FIRING, TURN).detail == "taken for 1 of 2"
    for answer, error in [("550 5.1.1 unknown", PermanentError), ("450 4.2.0 busy", TransientError)]:
        box.refuses = dict.fromkeys(channel.recipients, answer)
        with pytest.raises(error):
            channel.send(FIRING, TURN)


@wrapped_in_tls
def test_a_wrong_password(mail: tuple[Box, EmailChannel]) -> None:
    """A refused log-in closes the channel, and is told without the password."""
    _, channel = mail
    wrong = replace(channel, server=replace(channel.server, password="another-5ecret"))
    with pytest.raises(Gone) as raised:
        wrong.send(FIRING, TURN)
    assert raised.value.detail.startswith("535")
    assert "another-5ecret" not in str(raised.value)


@wrapped_in_tls
def test_a_certificate_that_nobody_knows(mail: tuple[Box, EmailChannel]) -> None:
    """Neither password nor mail goes to a server whose certificate is not trusted."""
    box, channel = mail
    with pytest.raises(TransientError) as raised:
        replace(channel, transmit=transmit).send(FIRING, TURN)
    assert raised.value.detail == "SSLCertVerificationError"
    assert box.envelopes == []


def test_a_server_without_tls_gets_no_password() -> None:
    """Without TLS nothing is sent to another machine; on this one a server without it may take mail."""
    box = Box()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        here = server_of(f"smtp://127.0.0.1:{controller.port}?from=ion@example.com")
        channel = EmailChannel(here, ("a@example.com",), "ION", DASHBOARD, transmit)
        channel.send(FIRING, TURN)
        with pytest.raises(Gone, match="no TLS"):
            replace(channel, server=replace(here, plain=False)).send(FIRING, TURN)
    finally:
        controller.stop()
    assert len(box.envelopes) == 1


def test_a_mail_server_that_greets_byte_by_byte_ends_in_time() -> None:
    """The deadline is for all of an exchange, its greeting included."""
    ended = threading.Event()

    def greet(listening: socket.socket) -> None:
        connected, _ = listening.accept()
        with connected, suppress(OSError):
            for byte in cycle(b"220-wait\r\n"):
                if ended.wait(0.02):
                    return
                connected.sendall(bytes([byte]))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        greeting = threading.Thread(target=greet, args=[listening])
        greeting.start()
        server = server_of(f"smtp://127.0.0.1:{listening.getsockname()[1]}?from=ion@example.com")
        channel = EmailChannel(server, ("a@example.com",), "", "", partial(transmit, deadline_seconds=0.5))
        try:
            with pytest.raises(TransientError):
                channel.send(FIRING, TURN)
        finally:
            ended.set()
            greeting.join()


@pytest.mark.parametrize(
    "url",
    ["mail.example", "http://mail.example", "smtps://", "smtps://h:port", "smtps://h?from=a@b@c", "smtps://[h"],
)
def test_a_mail_server_that_is_none(url: str) -> None:
    """Another form of address is refused at start-up, and not quoted."""
    with pytest.raises(ConfigError) as raised:
        server_of(url.replace("://", "://user:5ecret@"))
    assert "5ecret" not in str(raised.value)


def test_who_a_mail_comes_from() -> None:
    """The address's own setting, or one of the first recipient's domain."""
    for url, sender in [("smtps://h?from=a@b.example", "a@b.example"), ("smtps://h", "ion-monitoring@c.example")]:
        assert EmailChannel(server_of(url), ("x@c.example",), "", "", transmit).sender == sender
