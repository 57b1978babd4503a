"""The vendors that notifications go to, one fake each: they keep the documented schema and limits, and a script.

A fake is a ``Post``: it can be called in the place of the network, or served on the loopback interface (``served``).
``answers`` is what it does instead of taking the next requests, in order: a status, a status with headers, or

* ``RESET``: the connection breaks, and nothing was taken;
* ``LOST``: it was taken, and the connection breaks before the answer;
* ``TAKEN_BUT_502``: it was taken, and a gateway says that it was not; ``TAKEN``: all is well.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias
from urllib.parse import parse_qs

from slack_sdk.models.blocks import Block

from shared.channels.email import Server
from shared.channels.posting import Reply

RESET, LOST, TAKEN, TAKEN_BUT_502 = "reset", "lost", "taken", "taken but 502"
Scripted: TypeAlias = int | str | Reply | Callable[[], object]


@dataclass
class Vendor:
    """What all have: requests are kept, the script goes first."""

    answers: list[Scripted] = field(default_factory=list)
    requests: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)

    def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """As the port ``Post`` says."""
        names = {name.lower(): value for name, value in headers.items()}
        self.requests.append((url, names, body))
        scripted: object = self.answers.pop(0) if self.answers else None
        if callable(scripted):
            scripted = scripted()
        if scripted == RESET:
            raise ConnectionResetError
        if isinstance(scripted, int):
            return Reply(scripted, b"said")
        if isinstance(scripted, Reply):
            return scripted
        reply = self.take(url, body, names)
        if scripted == LOST:
            raise ConnectionResetError
        return Reply(502) if scripted == TAKEN_BUT_502 else reply

    def take(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """What the vendor does with a request."""
        raise NotImplementedError


def said(**fields: object) -> Reply:
    """An answer of Slack's."""
    return Reply(200, json.dumps(fields).encode())


FORMS_ALONE = {"conversations.history", "conversations.replies", "files.getUploadURLExternal", "users.conversations"}
"""Methods that see nothing of a body of JSON."""


@dataclass
class SlackMessage:
    """A message in a channel; ``edits`` counts its updates."""

    ts: str
    channel: str
    text: str
    blocks: list[dict[str, Any]]
    metadata: dict[str, Any]
    thread_ts: str = ""
    edits: int = 0


@dataclass
class Slack(Vendor):
    """A workspace with one channel, and a bot in it. ``scopes`` that are missing are answered as Slack does.

    ``listed`` are the kinds of channels that the bot may list, ``kind`` is this one's.
    """

    token: str = "xoxb-5ecret-T0ken-0f-the-b0t"
    messages: list[SlackMessage] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    without_scopes: frozenset[str] = frozenset()
    lost_messages: set[str] = field(default_factory=set)
    listed: frozenset[str] = frozenset({"public_channel"})
    kind: str = "public_channel"

    def conversations(self) -> list[SlackMessage]:
        """The messages that stand in the channel itself."""
        return [one for one in self.messages if not one.thread_ts]

    def thread(self, ts: str) -> list[str]:
        """The replies to a message."""
        return [one.text for one in self.messages if one.thread_ts == ts]

    def take(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Answer one call of the Web API, or take an upload."""
        method = url.rpartition("/")[2]
        if url.startswith("https://files.slack.com/"):
            self.files[method] = body
            return Reply(200, b"OK")
        if headers.get("authorization") != f"Bearer {self.token}":
            return said(ok=False, error="invalid_auth")
        if method in self.without_scopes:
            return said(ok=False, error="missing_scope")
        asked = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        if "json" in headers.get("content-type", ""):
            asked = {} if method in FORMS_ALONE else json.loads(body)
        handle: Callable[[dict[str, Any]], Reply] = getattr(self, f"_{method.replace('.', '_')}")
        return handle(asked)

    def _chat_postMessage(self, asked: dict[str, Any]) -> Reply:  # noqa: N802 - Slack's name
        if (problem := problem_of(asked)) or asked["channel"] not in ("#ion-mentoring-alerts", "C0123"):
            return said(ok=False, error=problem or "channel_not_found")
        ts = f"{1760788800 + len(self.messages)}.000100"
        thread_ts = asked.get("thread_ts", "")
        if thread_ts and not self._find(thread_ts):
            return said(ok=False, error="thread_not_found")
        message = SlackMessage(ts, "C0123", asked["text"], asked.get("blocks", []), asked["metadata"], thread_ts)
        self.messages.append(message)
        return said(ok=True, channel="C0123", ts=ts)

    def _chat_update(self, asked: dict[str, Any]) -> Reply:
        message = self._find(asked["ts"])
        if problem := problem_of(asked):
            return said(ok=False, error=problem)
        if message is None or asked["channel"] != "C0123":  # an id is needed, as in the real one
            return said(ok=False, error="message_not_found")
        message.text, message.blocks, message.metadata = asked["text"], asked["blocks"], asked["metadata"]
        message.edits += 1
        return said(ok=True, channel="C0123", ts=message.ts)

    def _chat_delete(self, asked: dict[str, Any]) -> Reply:
        message = self._find(asked["ts"])
        if message is None:
            return said(ok=False, error="message_not_found")
        self.messages.remove(message)
        return said(ok=True)

    def _users_conversations(self, asked: dict[str, Any]) -> Reply:
        kinds = set(asked.get("types", "public_channel").split(","))
        if kinds - self.listed:
            return said(ok=False, error="missing_scope")
        ours = [{"id": "C0123", "name": "ion-mentoring-alerts"}] if self.kind in kinds else []
        return said(ok=True, channels=[{"id": "C9", "name": "other"}, *ours])

    def _conversations_history(self, asked: dict[str, Any]) -> Reply:
        if asked.get("channel") != "C0123":
            return said(ok=False, error="channel_not_found")
        return said(ok=True, messages=[self._shown(one, asked) for one in reversed(self.conversations())])

    def _conversations_replies(self, asked: dict[str, Any]) -> Reply:
        if "ts" not in asked or asked.get("channel") != "C0123":
            return said(ok=False, error="channel_not_found")
        found = [one for one in self.messages if asked["ts"] in (one.ts, one.thread_ts)]
        return said(ok=True, messages=[self._shown(one, asked) for one in found])

    def _shown(self, message: SlackMessage, asked: dict[str, Any]) -> dict[str, Any]:
        """A message as it is listed: what has replies is in a thread too, its own."""
        thread_ts = message.thread_ts or (message.ts if self.thread(message.ts) else "")
        metadata = {"metadata": message.metadata} if asked.get("include_all_metadata") == "true" else {}
        return {"ts": message.ts, "text": message.text, **metadata, **({"thread_ts": thread_ts} if thread_ts else {})}

    def _files_getUploadURLExternal(self, asked: dict[str, Any]) -> Reply:  # noqa: N802 - Slack's name
        assert int(asked["length"]) > 0
        assert asked["filename"].endswith(".png")
        file_id = f"F{len(self.files)}"
        return said(ok=True, upload_url=f"https://files.slack.com/upload/{file_id}", file_id=file_id)

    def _files_completeUploadExternal(self, asked: dict[str, Any]) -> Reply:  # noqa: N802 - Slack's name
        assert [one["id"] in self.files for one in asked["files"]] == [True]
        return said(ok=True)

    def _find(self, ts: str) -> SlackMessage | None:
        return next((one for one in self.messages if one.ts == ts and ts not in self.lost_messages), None)


def problem_of(asked: Mapping[str, Any]) -> str:
    """What Slack would not take of a message, in its own word; empty when it takes it."""
    if not asked.get("text") or len(asked["text"]) > 40_000:
        return "no_text"
    blocks = asked.get("blocks", [])
    try:
        for block in Block.parse_all(blocks):
            block.validate_json()
    except Exception:  # noqa: BLE001 - whatever the oracle raises, the message is refused
        return "invalid_blocks"
    if len(blocks) > 50 or any(_units(text) > most for text, most in _limited(blocks)):
        return "invalid_blocks"
    return "msg_blocks_too_long" if _units(json.dumps(blocks, ensure_ascii=False)) > 13_200 else ""


def _units(text: str) -> int:
    """UTF-16 units: whichever way Slack counts its characters, it counts no more."""
    return len(text.encode("utf-16-le")) // 2


def _limited(blocks: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, int]]:
    """The texts of blocks with the limits that Slack's own library counts in another way."""
    for block in blocks:
        if "text" in block:
            yield block["text"]["text"], 150 if block["type"] == "header" else 3000
        yield from ((one["text"], 2000) for one in block.get("fields", ()))
        yield from ((one["alt_text"], 2000) for one in (block,) if "alt_text" in one)


@dataclass
class SlackHook(Vendor):
    """An incoming webhook: it says ``ok``, and in plain text why not."""

    url: str = "https://hooks.slack.com/services/T000/B000/5ecretPartOfTheHook"
    messages: list[dict[str, Any]] = field(default_factory=list)

    def take(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Take one message."""
        assert headers["content-type"] == "application/json"
        if url != self.url:
            return Reply(404, b"no_service")
        if problem := problem_of(json.loads(body)):
            return Reply(400, problem.encode())
        self.messages.append(json.loads(body))
        return Reply(200, b"ok")


@dataclass
class Incident:
    """An incident: the key it was opened with, what came in, and how it stands."""

    key: str
    events: list[dict[str, Any]]
    status: str = "triggered"


@dataclass
class PagerDuty(Vendor):
    """A service: a trigger joins the open incident of its key or opens one; what has none to act on is dropped."""

    routing_key: str = "R0UTINGKEY5ECRET0123456789ABCDEF"
    incidents: list[Incident] = field(default_factory=list)
    dropped: list[dict[str, Any]] = field(default_factory=list)

    def open(self) -> list[Incident]:
        """The incidents that somebody has to look after."""
        return [one for one in self.incidents if one.status != "resolved"]

    def take(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:  # noqa: ARG002 - the vendors' one form
        """Take one event: https://developer.pagerduty.com/docs/events-api-v2-overview."""
        event = json.loads(body)
        if problem := self._problem(event, len(body)):
            refused = {"status": "invalid event", "message": "Event object is invalid", "errors": [problem]}
            return Reply(400, json.dumps(refused).encode())
        known = next((one for one in self.open() if one.key == event["dedup_key"]), None)
        if event["event_action"] == "trigger":
            if known is None:
                self.incidents.append(Incident(event["dedup_key"], [event]))
            else:
                known.events.append(event)
        elif known is None:
            self.dropped.append(event)
        else:
            known.events.append(event)
            known.status = "resolved" if event["event_action"] == "resolve" else "acknowledged"
        return Reply(202, b'{"status":"success","message":"Event processed"}')

    def _problem(self, event: Mapping[str, Any], size: int) -> str:
        if len(event.get("routing_key", "")) != 32:
            return "Length of 'routing_key' is incorrect (should be 32 characters)"
        if event["routing_key"] != self.routing_key:
            return "Invalid routing key"
        if event.get("event_action") not in ("trigger", "acknowledge", "resolve"):
            return "event_action"
        if not 0 < len(event.get("dedup_key", "")) <= 255 or size > 512 * 1024:
            return "dedup_key or size"
        if event["event_action"] != "trigger":
            return ""
        told = event["payload"]
        is_right = 0 < len(told["summary"]) <= 1024 and told["source"]
        is_right = is_right and told["severity"] in ("critical", "error", "warning", "info")
        is_right = is_right and all(set(one) == {"href", "text"} for one in event["links"])
        return "" if is_right else "payload"


@dataclass
class Sentry(Vendor):
    """A project: it drops a second event of one id."""

    dsn: str = "https://5ecretPublicKey@sentry.invalid/42"
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    checks: list[dict[str, Any]] = field(default_factory=list)
    transactions: list[dict[str, Any]] = field(default_factory=list)

    def take(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Take one envelope: https://develop.sentry.dev/sdk/data-model/envelopes/."""
        assert url == "https://sentry.invalid/api/42/envelope/"
        if "sentry_key=5ecretPublicKey" not in headers["x-sentry-auth"]:
            return Reply(401)
        head, kind, item = body.split(b"\n")[:3]
        assert len(item) == json.loads(kind)["length"]
        event = json.loads(item)
        match json.loads(kind)["type"]:
            case "event":
                assert len(event["event_id"]) == 32
                self.events.setdefault(event["event_id"], event)
            case "check_in":
                self.checks.append(event)
            case "transaction":
                self.transactions.append(event)
        return Reply(200, json.dumps({"id": json.loads(head).get("event_id", "")}).encode())


@dataclass
class Receiver(Vendor):
    """The receiver of a webhook, which drops what it knows the id of."""

    url: str = "https://receiver.invalid/hook/T0ken-5ecret%2Fpart?key=T0ken-5ecret%2Fpart"
    seen: dict[str, dict[str, Any]] = field(default_factory=dict)

    def take(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Take one message."""
        assert url == self.url
        self.seen.setdefault(headers["webhook-id"], json.loads(body))
        return Reply(200, b"thanks")


@dataclass
class Mailbox:
    """A mail server and the mailboxes behind it, in the place of ``transmit``; a dict of answers refuses recipients."""

    answers: list[BaseException | str | dict[str, tuple[int, bytes]] | Callable[[], object]] = field(
        default_factory=list
    )
    mails: list[bytes] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    sent: int = 0

    def __call__(
        self, server: Server, sender: str, recipients: Sequence[str], mail: bytes
    ) -> dict[str, tuple[int, bytes]]:
        """As ``Transmit`` says."""
        assert server.host
        assert "@" in sender
        assert recipients
        self.sent += 1
        answer = self.answers.pop(0) if self.answers else None
        if callable(answer):
            answer()
        if isinstance(answer, BaseException):
            raise answer
        if answer == RESET:
            raise ConnectionResetError
        refused = answer if isinstance(answer, dict) else {}
        self.mails.append(mail)
        self.taken += [one for one in recipients if one not in refused]
        if answer == LOST:
            raise ConnectionResetError
        return refused


class _Handler(BaseHTTPRequestHandler):
    """Gives each request to a vendor, under the address that the vendor knows."""

    vendor: Vendor
    base: str

    def do_POST(self) -> None:
        """Answer as the vendor does."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            reply = self.vendor(f"{self.base}{self.path}", body, dict(self.headers))
        except ConnectionResetError:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Say nothing."""


@contextmanager
def served(vendor: Vendor, base: str) -> Iterator[str]:
    """A vendor on the loopback interface; the address that stands for its ``base``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"vendor": vendor, "base": base}))
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
