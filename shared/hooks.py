"""Hooks: what people do in Slack and PagerDuty comes back here. The one function that anybody may call.

Two routes, each there only with its vendor's secret: ``/slack`` (interactivity) and ``/pagerduty`` (V3 webhooks). A
request counts when its signature over its raw bytes is right, compared in constant time, and when it is neither stale
nor known: whatever else it is, it is answered with 4xx, and 503 when the store does not answer a good one. What was
done is done once however often it is asked; the request is noted as known after that, so that one which was cut off
may come again.

Slack gives three seconds. In them a good request is two reads and two or three commits of the store, and a publish for
each alert that leads in a conversation, mostly one; the message itself is edited by notify, which alone speaks in
conversations.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias
from urllib.parse import parse_qs

from .bus import Bus
from .channels.slack_blocks import ACKNOWLEDGE, OPEN, SILENCE
from .config import Secret
from .errors import PermanentError, PreconditionFailed, TransientError
from .logs import log
from .monitoring_config import MonitoringConfig
from .people import MAX_AUTHOR_BYTES
from .reactions import Reaction, acknowledge_conversation, silence_conversation
from .render.plain import clean
from .retention import live
from .store import Absent, Put, Store
from .timeline import parse_iso

MAX_BODY_BYTES = 256 * 1024
FRESH = timedelta(minutes=5)
"""As Slack asks: https://docs.slack.dev/authentication/verifying-requests-from-slack"""
PAGERDUTY_FRESH = timedelta(hours=24)
"""PagerDuty signs no time; an event says when it occurred, and is sent again for a while."""
KNOWN_FOR = PAGERDUTY_FRESH + timedelta(hours=1)
MAX_TIMESTAMP_DIGITS = 12
MAX_SIGNATURES = 10
MAX_HEADER_BYTES = 2048
_CONVERSATION = re.compile(r"[0-9]{8}T[0-9]{4}-[0-9a-f]{16}-[a-z0-9-]{1,40}")
_DEDUP_PREFIX = "ion-"


@dataclass(frozen=True, slots=True)
class HookRequest:
    """A request as it came. Names of headers are in lower case, their values as the bytes that were sent."""

    method: str
    path: str
    headers: Mapping[str, bytes]
    body: bytes


@dataclass(frozen=True, slots=True)
class HookResponse:
    """What is answered: a status, and a word for whoever looks into it."""

    status: int
    reason: str


Tell: TypeAlias = Callable[[str, str], None]
"""Tell a person alone, by the address that Slack gave for that (already checked): best effort, raises nothing."""


def tell_nobody(_: str, __: str) -> None:
    """Where nobody can be told."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """The function ``hooks`` on its ports. A secret may be several, separated by spaces, while one replaces another."""

    store: Store
    bus: Bus
    config: MonitoringConfig
    notifications_topic: str
    now: Callable[[], datetime]
    slack_secret: Secret | None = None
    pagerduty_secret: Secret | None = None
    tell: Tell = field(default=tell_nobody)

    def __call__(self, request: HookRequest) -> HookResponse:
        """Answer one request; raises nothing that a stranger could cause."""
        try:
            return self._answer(request)
        except _Refused as refused:
            return HookResponse(refused.status, refused.reason)
        except PermanentError as error:
            log("hook_rejected", "WARNING", reason=error.reason)
            return HookResponse(400, error.reason)
        except TransientError as error:
            log("hook_failed", "ERROR", reason=error.reason, detail=error.detail)
            return HookResponse(503, error.reason)

    def _answer(self, request: HookRequest) -> HookResponse:
        routes = {
            "/slack": (self.slack_secret, self._slack),
            "/pagerduty": (self.pagerduty_secret, self._pagerduty),
        }
        secret, handle = routes.get(request.path, (None, None))
        if secret is None or handle is None:
            raise _Refused(404, "not_found")
        if request.method != "POST":
            raise _Refused(405, "method_not_allowed")
        if len(request.body) > MAX_BODY_BYTES:
            raise _Refused(413, "too_large")
        return handle(request, [key.encode() for key in secret.reveal().split()])

    def _slack(self, request: HookRequest, keys: list[bytes]) -> HookResponse:
        timestamp = request.headers.get("x-slack-request-timestamp", b"")
        signature = request.headers.get("x-slack-signature", b"")
        signed = b"v0:" + timestamp[:MAX_TIMESTAMP_DIGITS] + b":" + request.body
        if not _is_signed(keys, signed, [signature], b"v0="):
            raise _Refused(401, "bad_signature")
        if not timestamp.isdigit() or len(timestamp) > MAX_TIMESTAMP_DIGITS:
            raise _Refused(401, "bad_timestamp")
        if abs(self.now().timestamp() - int(timestamp)) > FRESH.total_seconds():
            raise _Refused(401, "stale")
        known = self._unknown(signature)
        pressed = _pressed(request.body)
        if pressed is None or pressed.action == OPEN:
            return HookResponse(200, "nothing_to_do")
        try:
            reaction = self._react(pressed, known.rpartition("/")[2])
        except PermanentError as error:
            if error.reason != "not_firing":
                raise
            self.tell(pressed.response_url, "This alert is over.")
            return self._done(known, "not_firing")
        self._publish(reaction)
        if reaction.ack is not None and not reaction.is_new and reaction.ack.author != pressed.author:
            self.tell(pressed.response_url, f"Somebody acknowledged this first: {clean(reaction.ack.author)}.")
        return self._done(known, reaction.kind.value)

    def _react(self, pressed: _Pressed, request_id: str) -> Reaction:
        if pressed.action == ACKNOWLEDGE:
            return acknowledge_conversation(self.store, self.config, pressed.conversation, pressed.author, self.now())
        return silence_conversation(
            self.store, self.config, pressed.conversation, f"slack-{request_id[:32]}", pressed.author, self.now()
        )

    def _pagerduty(self, request: HookRequest, keys: list[bytes]) -> HookResponse:
        header = request.headers.get("x-pagerduty-signature", b"")[:MAX_HEADER_BYTES]
        given = [one.strip() for one in header.split(b",")[:MAX_SIGNATURES]]
        if not _is_signed(keys, request.body, given, b"v1="):
            raise _Refused(401, "bad_signature")
        event = _event(request.body)
        if event is None:
            return HookResponse(200, "nothing_to_do")
        if abs(self.now() - event.occurred_at) > PAGERDUTY_FRESH:
            raise _Refused(401, "stale")
        known = self._unknown(hashlib.sha256(request.body).hexdigest().encode())
        try:
            reaction = acknowledge_conversation(self.store, self.config, event.conversation, event.author, self.now())
        except PermanentError as error:
            if error.reason != "not_firing":
                raise
            return self._done(known, "not_firing")
        self._publish(reaction)
        return self._done(known, reaction.kind.value)

    def _publish(self, reaction: Reaction) -> None:
        """Have it told. Again is harmless: the ids are the same. What the bus refuses is no fault of the request's."""
        try:
            for one in reaction.notifications:
                self.bus.publish(self.notifications_topic, one.to_json(), {"notification": one.id})
        except PermanentError as error:
            raise TransientError(error.reason, error.detail) from error

    def _unknown(self, signature: bytes) -> str:
        """Where a request is noted that was not answered before. Raises for one that was."""
        path = request_path(signature)
        if is_known(self.store, path, self.now()):
            raise _Refused(409, "replayed")
        return path

    def _done(self, path: str, reason: str) -> HookResponse:
        """Note a request as answered; whoever was first counts."""
        try:
            self.store.commit([Put(path, {"expires_at": self.now() + KNOWN_FOR}, precondition=Absent())])
        except PreconditionFailed:
            log("hook_answered_twice", reason=reason)
        log("hook_answered", reason=reason)
        return HookResponse(200, reason)


def request_path(mark: bytes) -> str:
    """Where a request is noted; ``mark`` is its signature, or what else tells it from all others."""
    return f"requests/{hashlib.sha256(mark).hexdigest()}"


def is_known(store: Store, path: str, now: datetime) -> bool:
    """Whether a request was answered before."""
    document = store.get([path]).get(path)
    return document is not None and bool(live([document], now))


class _Refused(Exception):
    """A request that is none of ours."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Pressed:
    """A button that somebody pressed. ``response_url`` is empty unless it is Slack's own."""

    action: str
    conversation: str
    author: str
    response_url: str


@dataclass(frozen=True, slots=True)
class _Event:
    """An acknowledgement in PagerDuty by a person."""

    conversation: str
    author: str
    occurred_at: datetime


def _is_signed(keys: list[bytes], signed: bytes, given: list[bytes], prefix: bytes) -> bool:
    """Whether any signature given is right for any key; every pair is compared, each in constant time."""
    matches = [
        hmac.compare_digest(prefix + hmac.new(key, signed, hashlib.sha256).hexdigest().encode(), one)
        for key in keys
        for one in given
    ]
    return any(matches)


def _pressed(body: bytes) -> _Pressed | None:
    """The button in a signed request; None for what is none of ours. Raises for what is no request of Slack's."""
    try:
        (text,) = parse_qs(body.decode(), strict_parsing=True, max_num_fields=10)["payload"]
        told = json.loads(text)
        if told["type"] != "block_actions":
            return None
        action = told["actions"][0]
        user = told["user"]
        author = _author(str(user.get("username") or user.get("name") or ""), str(user["id"]))
        response_url = str(told.get("response_url", ""))
        action_id, value = str(action["action_id"]), str(action.get("value", ""))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise _Refused(400, "malformed") from error
    if action_id not in (ACKNOWLEDGE, SILENCE, OPEN):
        return None
    if action_id != OPEN and not _CONVERSATION.fullmatch(value):
        raise _Refused(400, "malformed")
    is_slacks = response_url.isascii() and response_url.startswith("https://hooks.slack.com/")
    return _Pressed(action_id, value, author, response_url if is_slacks else "")


def _event(body: bytes) -> _Event | None:
    """The acknowledgement in a signed event; None for events of other kinds, incidents or agents."""
    try:
        event = json.loads(body)["event"]
        if event["event_type"] != "incident.acknowledged":
            return None
        agent, key = event.get("agent") or {}, str(event["data"].get("incident_key") or "")
        occurred_at = parse_iso(str(event["occurred_at"]))
        is_person, name, agent_id = agent.get("type") == "user_reference", agent.get("summary"), agent.get("id")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise _Refused(400, "malformed") from error
    conversation = key.removeprefix(_DEDUP_PREFIX)
    if not is_person or not key.startswith(_DEDUP_PREFIX) or not _CONVERSATION.fullmatch(conversation):
        return None
    return _Event(conversation, _author(str(name or ""), str(agent_id or "")), occurred_at)


def _author(name: str, identity: str) -> str:
    """The person's name, with the vendor's id of them where there is room, on one line."""
    whole = clean(f"{name} ({identity})" if name and identity else name or identity or "somebody").strip()
    return whole.encode("utf-8", "replace")[:MAX_AUTHOR_BYTES].decode("utf-8", "ignore").strip() or "somebody"
