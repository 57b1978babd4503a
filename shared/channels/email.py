"""Email: one thread a conversation, over SMTP with TLS, as text and as HTML with the chart inside.

All mails of a conversation refer to one root that was never sent, and have one subject: Gmail threads by both, others
by the first. The state stands in the first line. SMTP knows no repetition: when an attempt died between the server's
yes and our record, the mail comes twice, in the same thread and under the same Message-ID, by which many servers and
clients drop the second. A server answers for each recipient apart: whom it puts off, as greylisting does, is
tried again alone, for an hour; whom it refuses for good is logged, and stops no other. Header injection is impossible:
the library refuses line breaks in headers, and every text is cleaned of them first.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from email.errors import MessageError
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime
from socket import SHUT_RDWR
from threading import Timer
from typing import TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

from ..errors import ConfigError, PermanentError, TransientError
from ..logs import log
from ..notifications import Notification, NotificationKind
from ..render.mail import Mail, mail_html, mail_text
from . import Answer, Gone, Partly, Turn, digest
from .posting import without_secrets
from .story import TITLE, Story, cut, tell

NAME = "email"
MAX_SUBJECT = 200
MAX_ENCODED_WORD = 75
"""https://www.rfc-editor.org/rfc/rfc2047#section-2; the library's are as long as its lines."""


class _Unfolded(EmailPolicy):
    """Headers are not folded: a subject that begins with a space is another subject to some threads."""

    def fold_binary(self, name: str, value: str) -> bytes:
        """A header's line; a subject beyond ASCII in as many encoded words as it takes."""
        if name != "Subject" or str(value).isascii():
            return super().fold_binary(name, value)
        words = Header(str(value), "utf-8", maxlinelen=MAX_ENCODED_WORD, header_name="").encode(linesep="")
        return f"{name}: {words}{self.linesep}".encode("ascii")


POLICY = _Unfolded(linesep="\r\n", max_line_length=400)
_BODY = POLICY.clone(max_line_length=76)
"""Encoded bodies have lines of at most 76: https://www.rfc-editor.org/rfc/rfc2045#section-6.7"""
MAX_HTML_BYTES = 100_000
"""Above 102 kB Gmail cuts a mail off."""
DEADLINE_SECONDS = 20.0
PATIENCE = timedelta(hours=1)
"""With a recipient whom the server puts off while it takes the mail for others; greylisting lasts minutes."""
_SECURE, _STARTTLS = "smtps", "smtp"
_PORTS = {_SECURE: 465, _STARTTLS: 587}
"""Port 25 is closed on Google Cloud: https://cloud.google.com/compute/docs/tutorials/sending-mail"""
_LOOPBACK = ("127.0.0.1", "localhost")
_LEFT = "left-"
"""Before a notification's id: of its recipients those that are left, in a conversation's handle."""
_SILENT = {NotificationKind.ACKNOWLEDGED, NotificationKind.SILENCED}


@dataclass(frozen=True, slots=True)
class Server:
    """Where mail goes. Without ``user`` nobody logs in; ``secure`` from the first byte, otherwise by STARTTLS.

    Only on this machine may a connection be in the clear (``plain``).
    """

    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    secure: bool = True
    plain: bool = False
    sender: str = ""


Refusal: TypeAlias = tuple[int, bytes]
"""The answer to a recipient: its code, and what is said."""
Transmit: TypeAlias = Callable[[Server, str, Sequence[str], bytes], dict[str, Refusal]]
"""Send a mail from an address to others: those that were refused. Raises OSError and SMTPException."""


def server_of(url: str) -> Server:
    """The server of ``smtps://user:password@host:465?from=monitoring@example.com``, or ``smtp://`` with STARTTLS.

    Raises ConfigError, which quotes nothing of it.
    """
    form = "ION_SMTP_URL: expected smtps://user:password@host:465, or smtp:// for STARTTLS; ?from=address is optional"
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
        sender = parse_qs(parts.query).get("from", [""])[0]
        if sender:
            Address(addr_spec=sender)
    except (ValueError, IndexError, MessageError):
        raise ConfigError(form) from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ConfigError(form)
    plain = parts.scheme == _STARTTLS and parts.hostname in _LOOPBACK
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Server(parts.hostname, port, user, password, parts.scheme == _SECURE, plain, sender)


def payload(
    notification: Notification, story: Story, sender: str, recipients: Sequence[str], place: str, chart: bytes | None
) -> EmailMessage:
    """The mail. ``place`` is what stands first in the subject, such as ``ION Mentoring production``."""
    domain = sender.rpartition("@")[2]
    root = f"<conversation-{notification.conversation_on(NAME)}@{domain}>"
    chart_id = f"chart-{notification.id}@{domain}" if chart else ""
    mail = Mail(story, place, f"cid:{chart_id}" if chart else "")
    message = EmailMessage(_BODY)
    message["From"] = Address("ION Monitoring", addr_spec=sender)
    message["To"] = [Address(addr_spec=one) for one in recipients]
    message["Subject"] = subject(story, place)
    message["Date"] = format_datetime(notification.at)
    message["Message-ID"] = f"<{notification.id}@{domain}>"
    message["In-Reply-To"] = root
    message["References"] = root
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message["List-Id"] = f"ION Monitoring alerts <alerts.{domain}>"
    message["List-Unsubscribe"] = f"<mailto:{sender}?subject=unsubscribe>"
    message.set_content(mail_text(mail), cte="quoted-printable")
    message.add_alternative(mail_html(mail), subtype="html", cte="quoted-printable")
    if chart:
        html = message.get_payload(1)
        assert isinstance(html, EmailMessage)  # noqa: S101 - for the type checker: it was added above
        html.add_related(chart, "image", "png", cid=f"<{chart_id}>", disposition="inline", filename="chart.png")
    _fix_boundaries(message, notification.id)
    message.policy = POLICY
    return message


def subject(story: Story, place: str) -> str:
    """``[ION Mentoring production] High Response Time - Critical: europe-west1``; the same through a conversation."""
    return cut(f"[{place}] {story.title}", MAX_SUBJECT)


def _fix_boundaries(message: EmailMessage, seed: str) -> None:
    """Equal notifications make equal bytes: boundaries of the library are random."""
    for number, part in enumerate(message.walk()):
        if part.is_multipart():
            part.set_boundary(f"=_{digest(seed, str(number))}_=")


@dataclass(frozen=True, slots=True)
class EmailChannel:
    """Mails to ``recipients`` through a server. ``place`` names service and environment in the subject."""

    server: Server
    recipients: tuple[str, ...]
    place: str
    dashboard_url: str
    transmit: Transmit
    attach_chart: bool = True
    max_per_minute: int | None = 20

    @property
    def setup(self) -> str:
        """As the port says."""
        return digest(self.server.host, self.server.user, self.server.password, *self.recipients)

    @property
    def sender(self) -> str:
        """The address that mails come from: the server's own setting, or one of the first recipient's domain."""
        return self.server.sender or f"ion-monitoring@{self.recipients[0].rpartition('@')[2]}"

    def send(self, notification: Notification, turn: Turn) -> Answer:
        """Mail once: what the server refuses with 5xx is for good, everything else is tried again."""
        if notification.kind in _SILENT:
            return Answer("nothing to tell", turn.handle)
        story = tell(notification, turn, self.dashboard_url, NAME)
        chart = turn.evidence.draw() if self.attach_chart else None
        message = payload(notification, story, self.sender, self.recipients, self.place, chart)
        asked = self._left(notification, turn)
        try:
            refused = self.transmit(self.server, self.sender, asked, message.as_bytes())
        except smtplib.SMTPRecipientsRefused as error:
            refused = error.recipients
        except smtplib.SMTPAuthenticationError as error:
            raise Gone("email_gone", self._said(error.smtp_code, error.smtp_error)) from None
        except smtplib.SMTPResponseException as error:
            raise self._refused((error.smtp_code, error.smtp_error)) from None
        except smtplib.SMTPNotSupportedError:
            raise Gone("email_gone", "the server knows no TLS or no log-in") from None
        except (OSError, smtplib.SMTPException, ssl.SSLError) as error:
            raise TransientError("email_unreachable", type(error).__name__) from None
        self._check_refused(notification, turn, story.title, asked, refused)
        return Answer(f"taken for {len(asked) - len(refused)} of {len(asked)}", {TITLE: story.title})

    def _left(self, notification: Notification, turn: Turn) -> tuple[str, ...]:
        """Who has not got it yet: all of them, or whom the last attempt left."""
        left = turn.handle.get(_LEFT + notification.id, "").split()
        return tuple(one for one in self.recipients if one in left) or self.recipients

    def _check_refused(
        self, notification: Notification, turn: Turn, title: str, asked: Sequence[str], refused: Mapping[str, Refusal]
    ) -> None:
        """Raise where nobody got it, or where somebody may still get it; log whom it is refused for good."""
        put_off = [one for one, (code, _) in refused.items() if code < 500]
        if refused and len(refused) == len(self.recipients) and len(put_off) in (0, len(refused)):
            raise self._refused(max(refused.values()))
        is_late = turn.now >= notification.at + PATIENCE
        for one, answer in refused.items():
            if is_late or one not in put_off:
                log("email_recipient_refused", "WARNING", recipient=one, detail=self._said(*answer))
        if put_off and not is_late:
            left = {TITLE: title, _LEFT + notification.id: " ".join(put_off)}
            raise Partly("email_put_off", f"{len(put_off)} of {len(asked)}", left)

    def undo(self, _notification: Notification, _late: Mapping[str, str], _turn: Turn, /) -> None:
        """Nothing: a mail cannot be taken back."""

    def _refused(self, answer: tuple[int, bytes | str]) -> PermanentError | TransientError:
        """4xx is for now, 5xx for good (https://www.rfc-editor.org/rfc/rfc5321#section-4.2.1)."""
        said = self._said(*answer)
        return PermanentError("email_refused", said) if answer[0] >= 500 else TransientError("email_failed", said)

    def _said(self, code: int, text: bytes | str) -> str:
        words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        return f"{code} {without_secrets(words[:200], (self.server.password, self.server.user))}"


def transmit(
    server: Server,
    sender: str,
    recipients: Sequence[str],
    mail: bytes,
    context: ssl.SSLContext | None = None,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> dict[str, Refusal]:
    """``Transmit`` on the standard library; it ends within the deadline whatever the server does."""
    context = context or ssl.create_default_context()
    opened: list[smtplib.SMTP] = []
    timer = Timer(deadline_seconds, _abort, [opened])
    timer.daemon = True
    timer.start()
    try:
        connection = _connection(server, deadline_seconds / 2, context, opened)
        if not server.secure and not (server.plain and not _knows_tls(connection)):
            connection.starttls(context=context)
        if server.user:
            _log_in(connection, server)
        refused = connection.sendmail(sender, list(recipients), mail)
        with suppress(OSError, smtplib.SMTPException):
            connection.quit()
        return refused
    finally:
        timer.cancel()
        for one in opened:
            one.close()


class _Plain(smtplib.SMTP):
    """Known before it connects: its server may greet byte by byte."""

    def __init__(self, opened: list[smtplib.SMTP], host: str, port: int, timeout: float) -> None:
        opened.append(self)
        super().__init__(host, port, timeout=timeout)


class _Secure(smtplib.SMTP_SSL):
    """The same, with TLS from the first byte."""

    def __init__(
        self, opened: list[smtplib.SMTP], host: str, port: int, timeout: float, context: ssl.SSLContext
    ) -> None:
        opened.append(self)
        super().__init__(host, port, timeout=timeout, context=context)


def _connection(server: Server, timeout: float, context: ssl.SSLContext, opened: list[smtplib.SMTP]) -> smtplib.SMTP:
    if server.secure:
        return _Secure(opened, server.host, server.port, timeout, context)
    return _Plain(opened, server.host, server.port, timeout)


def _log_in(connection: smtplib.SMTP, server: Server) -> None:
    """By PLAIN, which TLS hides; otherwise as the server likes. One refusal is enough: the library would try all."""
    connection.ehlo_or_helo_if_needed()
    if "PLAIN" not in connection.esmtp_features.get("auth", "").upper().split():
        connection.login(server.user, server.password)
        return
    connection.user, connection.password = server.user, server.password
    connection.auth("PLAIN", connection.auth_plain)


def _knows_tls(connection: smtplib.SMTP) -> bool:
    connection.ehlo()
    return connection.has_extn("starttls")


def _abort(opened: list[smtplib.SMTP]) -> None:
    for connection in opened:
        if connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(SHUT_RDWR)
