"""The webhook against a real HTTP server on the loopback interface."""

from __future__ import annotations

import base64
import json
import socket
import struct
import threading
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from shared.adapters.sqlite_store import SqliteStore
from shared.bus import Message
from shared.channels import Turn
from shared.channels.posting import SHOWN_BYTES, Reply, Vendor, post, retry_at
from shared.channels.webhook import MAX_BODY_BYTES, WebhookChannel, keys_of, payload, public_addresses
from shared.deliveries import delivery_path
from shared.errors import ConfigError, MonitoringError, PermanentError, TransientError
from shared.logs import Captured, log
from shared.notifications import Member
from shared.notify import Notify
from tests.fakes import START, Clock
from tests.unit.test_notify import FIRING, RESOLVED

TOKEN = "T0ken-5ecret%2Fpart"
DASHBOARD = "https://dashboard.example"
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
KEYS = keys_of(SECRET)
INSIDE = [
    *("169.254.169.254", "10.0.0.1", "192.168.1.1", "172.16.3.4", "0.0.0.0", "100.64.0.1", "224.0.0.1", "127.0.0.2"),
    *("::ffff:10.0.0.1", "fe80::1", "fd00::1", "2130706433", "0x7f000001", "64:ff9b::a00:1", "2002:0a00:0001::"),
]
RESET = "reset"
SLOW = "slow"
CUT = "cut"
TRICKLE = "trickle"


@dataclass
class Receiver:
    """A server that keeps its requests and answers each in the next scripted way; 200 when there is none left."""

    answers: list[int | str | tuple[int, bytes]] = field(default_factory=list)
    requests: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def url(self) -> str:
        """Where it listens, with a secret in path and query."""
        return f"http://127.0.0.1:{self.port}/hook/{TOKEN}?key={TOKEN}"

    def channel(self, deadline_seconds: float = 10.0) -> WebhookChannel:
        """The channel that posts to it."""
        return channel(self.url, deadline_seconds)


def channel(url: str, deadline_seconds: float = 10.0) -> WebhookChannel:
    """The channel that posts to a URL."""
    vendor = Vendor("webhook", partial(post, deadline_seconds=deadline_seconds, resolve=public_addresses), (url,))
    return WebhookChannel(vendor, url, DASHBOARD, KEYS)


class Handler(BaseHTTPRequestHandler):
    """Answers as its receiver says."""

    receiver: Receiver

    def do_POST(self) -> None:
        """Keep the request and answer."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.receiver.requests.append((self.path, dict(self.headers), body))
        answer = self.receiver.answers.pop(0) if self.receiver.answers else 200
        if answer == RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
        elif answer == SLOW:
            self.receiver.released.wait(10)
        elif answer == TRICKLE:
            while not self.receiver.released.wait(0.02):
                try:
                    self.wfile.write(b"H")
                    self.wfile.flush()
                except OSError:
                    return
        elif answer == CUT:
            self.send_response(200)
            self.send_header("Content-Length", "150")
            self.end_headers()
            self.wfile.flush()
            self.receiver.released.wait(10)
        else:
            status, said = answer if isinstance(answer, tuple) else (int(answer), b"said")
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", f"http://127.0.0.1:{self.receiver.port}/elsewhere")
            if status != 204:
                self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said if status != 204 else b"")

    def do_GET(self) -> None:
        """A redirect that was followed would come here."""
        self.receiver.requests.append((self.path, dict(self.headers), b""))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A running receiver."""
    found = Receiver()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"receiver": found}))
    found.port = server.server_address[1]
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    yield found
    found.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_taken(receiver: Receiver, status: int) -> None:
    """Every 2xx is a delivery, and what was said is kept with it."""
    receiver.answers = [status]
    assert receiver.channel().send(FIRING, Turn(START)).detail == f"{status} said".removesuffix(
        " said" if status == 204 else ""
    )


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_tried_again(receiver: Receiver, status: int) -> None:
    """A receiver that is overloaded or broken is asked again."""
    receiver.answers = [status]
    with pytest.raises(TransientError) as raised:
        receiver.channel().send(FIRING, Turn(START))
    assert (raised.value.reason, raised.value.detail) == ("webhook_failed", f"{status} said")


@pytest.mark.parametrize("status", [300, 301, 302, 307, 308, 400, 401, 403, 404, 405, 410, 413, 422])
def test_refused(receiver: Receiver, status: int) -> None:
    """Every other answer is for good, a redirect included, which is never followed; some mean the whole channel."""
    receiver.answers = [status]
    with pytest.raises(PermanentError) as raised:
        receiver.channel().send(FIRING, Turn(START))
    reason = "webhook_gone" if status in (401, 403, 404, 410) else "webhook_refused"
    assert (raised.value.reason, raised.value.detail) == (reason, f"{status} said")
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("answer", "name"), [(RESET, "ConnectionResetError"), (SLOW, "TimeoutError")], ids=["reset", "slow"]
)
def test_no_answer(receiver: Receiver, answer: str, name: str) -> None:
    """A connection that is reset, or an answer that does not come in time, is tried again."""
    receiver.answers = [answer]
    with pytest.raises(TransientError) as raised:
        receiver.channel(deadline_seconds=0.2).send(FIRING, Turn(START))
    assert raised.value.reason == "webhook_unreachable"
    assert raised.value.detail in {name, "RemoteDisconnected", "BadStatusLine"}


def test_nobody_listens() -> None:
    """A refused connection is tried again."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(TransientError) as raised:
            channel(f"http://127.0.0.1:{bound.getsockname()[1]}/{TOKEN}").send(FIRING, Turn(START))
    assert str(raised.value) == "webhook_unreachable: ConnectionRefusedError"


def test_a_status_without_its_body_is_an_answer(receiver: Receiver) -> None:
    """A 200 whose body never comes is a delivery: sending again would only repeat it."""
    receiver.answers = [CUT]
    assert receiver.channel(deadline_seconds=0.2).send(FIRING, Turn(START)).detail == "200"


def test_what_is_sent(receiver: Receiver) -> None:
    """One POST of JSON: the notification's wire form and the dashboard's link, under its id."""
    receiver.channel().send(FIRING, Turn(START))
    ((path, headers, body),) = receiver.requests
    assert path == f"/hook/{TOKEN}?key={TOKEN}"
    assert (headers["Content-Type"], headers["webhook-id"]) == ("application/json", FIRING.id)
    assert body == payload(FIRING, DASHBOARD)
    data = {**json.loads(FIRING.to_json()), "dashboard_url": DASHBOARD}
    assert json.loads(body) == {"type": "alert.firing", "timestamp": "2025-10-18T12:00:00Z", "data": data}


def test_the_signature_is_standard(receiver: Receiver) -> None:
    """The scheme's own library accepts what is sent, with either secret of two, and no other."""
    other = "whsec_" + base64.b64encode(b"k" * 24).decode()
    now = datetime.now(UTC)  # which the library compares the time stamp with
    replace(receiver.channel(), keys=keys_of(f"{SECRET} {other}")).send(FIRING, Turn(now))
    ((_, headers, body),) = receiver.requests
    for secret in (SECRET, other):
        Webhook(secret).verify(body, dict(headers))
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + base64.b64encode(b"x" * 24).decode()).verify(body, dict(headers))


@pytest.mark.parametrize("secret", ["plain", "whsec_", "whsec_*", "whsec_" + base64.b64encode(b"short").decode()])
def test_a_secret_that_is_none(secret: str) -> None:
    """A secret of another form, or a short one, is refused at start-up and not quoted."""
    with pytest.raises(ConfigError) as raised:
        keys_of(f"{SECRET} {secret}")
    assert "short" not in str(raised.value)
    assert SECRET not in str(raised.value)


def test_a_body_is_bounded() -> None:
    """Under the scheme's 20 kB alerts are named while there is room, and counted beyond."""
    long = tuple((f"label{number:02}", "é" * 250) for number in range(12))
    many = replace(FIRING, labels=long, also=tuple(Member(long, 1.0) for _ in range(20)), description="d" * 2000)
    body = payload(many, DASHBOARD)
    assert len(body) < MAX_BODY_BYTES * 2
    data = json.loads(body)["data"]
    assert len(data["also"]) + data["more"] == 20


@pytest.mark.parametrize(
    "host",
    INSIDE,
)
def test_an_address_inside_is_refused(host: str) -> None:
    """No address that is not public is connected to, however it is written, and nothing of it is said."""
    url = f"http://[{host}]/{TOKEN}" if ":" in host else f"http://{host}/{TOKEN}"
    with pytest.raises(MonitoringError) as raised:
        channel(url, 0.2).send(FIRING, Turn(START))
    assert raised.value.reason == "webhook_unusable"


def test_a_name_that_leads_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A public name is resolved once, all of its addresses must be public, and the one checked is connected to."""
    known = {"good.example": ["93.184.216.34"], "mixed.example": ["93.184.216.34", "127.0.0.1"]}

    def resolved(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    assert public_addresses("good.example", 443) == ("93.184.216.34",)
    with pytest.raises(ValueError, match="not public"):
        public_addresses("mixed.example", 443)


def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several addresses each has its share of the deadline, at most four are tried, and the first that answers."""
    tried: list[tuple[str, float]] = []
    real = socket.create_connection

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        tried.append((address[0], timeout))
        if address[0] != "127.0.0.1":
            raise TimeoutError
        return real(address, timeout)

    monkeypatch.setattr(socket, "create_connection", connect)
    for dead, is_taken in [(3, True), (4, False)]:
        tried.clear()
        found = [*(f"192.0.2.{number}" for number in range(dead)), "127.0.0.1"]
        ask = Vendor("webhook", partial(post, deadline_seconds=8.0, resolve=lambda *_, found=found: found))
        sending = replace(receiver.channel(), vendor=ask)
        if is_taken:
            assert sending.send(FIRING, Turn(START)).detail == "200 said"
        else:
            with pytest.raises(TransientError, match="webhook_unreachable: TimeoutError"):
                sending.send(FIRING, Turn(START))
        assert tried == [(address, 2.0) for address in found[:4]]


def test_an_answer_that_trickles_ends_in_time(receiver: Receiver) -> None:
    """The deadline is for all of an exchange: a receiver that sends a byte now and then holds nobody."""
    receiver.answers = [TRICKLE]
    with pytest.raises(TransientError):
        receiver.channel(deadline_seconds=0.3).send(FIRING, Turn(START))


def test_a_date_to_come_again() -> None:
    """Retry-After may be seconds or a date, is at most an hour, and nonsense is none."""
    for text, seconds in [("120", 120), ("999999999999", 3600), ("Sat, 18 Oct 2025 12:02:00 GMT", 120),
                          ("Sat, 18 Oct 2025 11:00:00 GMT", 0), ("soon", None), ("-5", None), ("", None)]:  # fmt: skip
        at = retry_at(Reply(429, headers={"retry-after": text}), START)
        assert (at and (at - START).total_seconds()) == seconds, text


def test_every_attempt_is_the_same(receiver: Receiver) -> None:
    """Attempts that follow one another carry the same id and the same bytes; another notification does not."""
    receiver.answers = [503, RESET, 429, 200, 200]
    for _ in range(3):
        with pytest.raises(TransientError):
            receiver.channel().send(FIRING, Turn(START))
    receiver.channel().send(FIRING, Turn(START))
    receiver.channel().send(RESOLVED, Turn(START))
    sent = [(headers["webhook-id"], body) for _, headers, body in receiver.requests]
    assert set(sent[:4]) == {(FIRING.id, payload(FIRING, DASHBOARD))}
    assert sent[4] == (RESOLVED.id, payload(RESOLVED, DASHBOARD))


def test_a_long_answer_is_cut(receiver: Receiver) -> None:
    """Of an answer at most 200 bytes are kept, whatever they are."""
    receiver.answers = [(200, b"\xff\x00" * 100_000)]
    assert len(receiver.channel().send(FIRING, Turn(START)).detail) <= SHOWN_BYTES + len("200 ")


ECHOES = [
    200,
    503,
    404,
    301,
    RESET,
    SLOW,
    (404, f"Cannot POST /hook/{TOKEN}".encode()),
    (500, f"<pre>/HOOK/{TOKEN.upper()}</pre>".encode()),
    (200, b"thanks, T0ken-5ecret/part"),
    (400, b"x" * (SHOWN_BYTES - 12) + TOKEN.encode()),
]


@pytest.mark.parametrize("answer", ECHOES, ids=lambda answer: str(answer)[:20])
def test_the_url_is_told_nobody(receiver: Receiver, answer: int | str | tuple[int, bytes]) -> None:
    """The URL, its token and its decoded token are in no error, traceback, log or record, even when echoed."""
    receiver.answers = [answer]
    clock = Clock()
    store = SqliteStore(":memory:", clock)
    notify = Notify(store, {"one": receiver.channel(deadline_seconds=0.2)}, clock)
    said: list[object] = []
    with Captured() as logs:
        try:
            said += notify(Message(FIRING.to_json(), {}, "id", START))
        except MonitoringError as error:
            said += [str(error), repr(error), error.detail, *traceback.format_exception(error)]
            log("failed", "ERROR", error=error, detail=error.detail)
    said += [logs.events, store.get([delivery_path(FIRING.id, "one")])]
    told = repr(said).casefold()
    for secret in (TOKEN, "T0ken-5ecret/part", TOKEN[:10], str(receiver.port)):
        assert secret.casefold() not in told


@pytest.mark.parametrize(
    "url",
    ["no scheme", f"ftp://127.0.0.1/{TOKEN}", f"http://127.0.0.1:port/{TOKEN}", f"http://127.0.0.1/é{TOKEN}", ""],
    ids=["no scheme", "ftp", "port", "not ascii", "empty"],
)
def test_a_url_that_cannot_be_used(url: str) -> None:
    """A URL that no request can be made to is an error of ours, and does not quote it."""
    with pytest.raises(MonitoringError) as raised:
        channel(url).send(FIRING, Turn(START))
    assert raised.value.reason in {"webhook_unusable", "webhook_unreachable"}
    assert TOKEN not in "".join(traceback.format_exception(raised.value))
