"""Slack: one message a conversation, edited in place, with replies in its thread.

With a bot token (scopes ``chat:write`` and ``files:write``; ``channels:read`` and ``channels:history``, for private
channels ``groups:``..., to find a message again): the first notification posts a message, all later ones edit it and
reply in its thread. When an attempt died after Slack had taken the message and before that was recorded, the next one
looks for it in the channel by the conversation's id in its metadata, and goes on with it. Without the scopes for
that, or when the message is older than the last 200 of the channel, the worst case is a second message.

With an incoming webhook alone Slack tells no time stamp: each notification is a message of its own, there are no
buttons, and an attempt whose outcome is unknown is repeated: the worst case is each message twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from ..errors import PermanentError, TransientError
from ..logs import log
from ..notifications import Notification, NotificationKind
from . import Answer, Busy, Gone, Turn, digest
from .posting import Vendor, retry_at
from .slack_blocks import payload, reply
from .story import TITLE, Story, tell

NAME = "slack"
API = "https://slack.com/api"
EVENT = "ion_alert"
"""The type of our messages' metadata, by which one is found again."""
SEARCHED = 200
_FORMS = frozenset(
    {"conversations.history", "conversations.replies", "files.getUploadURLExternal", "users.conversations"}
)
"""Methods that take no JSON: of a body of it they see nothing (https://docs.slack.dev/apis/web-api)."""
_GONE = frozenset(
    {
        "account_inactive", "channel_not_found", "ekm_access_denied", "invalid_auth", "is_archived", "missing_scope",
        "no_permission", "not_authed", "not_in_channel", "org_login_required", "restricted_action", "token_expired",
        "token_revoked",
    }
)  # fmt: skip
_PASSING = frozenset({"fatal_error", "internal_error", "ratelimited", "request_timeout", "service_unavailable"})
_LOST = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "thread_not_found"})
_TOO_MUCH = frozenset({"invalid_blocks", "msg_blocks_too_long", "invalid_arguments", "invalid_blocks_format"})
_WEBHOOK_GONE = {"invalid_token", "no_service", "no_team", "team_disabled", "no_active_hooks", "channel_is_archived"}


@dataclass(frozen=True, slots=True)
class SlackBot:
    """Posts as a bot into ``channel`` (``#name`` or id). ``mention`` is for critical alerts alone."""

    vendor: Vendor
    token: str = field(repr=False)
    channel: str
    mention: str
    icons: Mapping[str, str]
    dashboard_url: str
    max_per_minute: int | None = 20
    api: str = API

    @property
    def setup(self) -> str:
        """As the port says."""
        return digest(self.token, self.channel)

    def send(self, notification: Notification, turn: Turn) -> Answer:
        """Post, or edit and reply. Errors as the port says."""
        known = turn.handle if "ts" in turn.handle else self._found(notification, turn)
        story = tell(notification, turn, self.dashboard_url, NAME)
        if not known:
            return self._begin(notification, story, turn)
        try:
            return self._go_on(notification, story, turn, known)
        except PermanentError as error:
            if error.detail not in _LOST:
                raise
        return self._begin(notification, story, turn)

    def undo(self, _notification: Notification, late: Mapping[str, str], turn: Turn, /) -> None:
        """Delete what was posted beside the conversation's own message, if it was a second one."""
        if "ts" not in late or late["ts"] == turn.handle.get("ts"):
            return
        self._call("chat.delete", {"channel": late["channel"], "ts": late["ts"]}, turn)

    def _begin(self, notification: Notification, story: Story, turn: Turn) -> Answer:
        file_id = self._upload(notification, turn)
        body = payload(story, notification.conversation_on(NAME), self.icons, self.mention, file_id)
        message = {**_QUIET, **body, "channel": self.channel, "metadata": _metadata(notification)}
        said = self._say("chat.postMessage", message, turn)
        handle = {
            "channel": str(said["channel"]), "ts": str(said["ts"]), TITLE: story.title, "file": file_id,
            "began": notification.id,
        }  # fmt: skip
        return Answer(f"posted {handle['ts']}", handle)

    def _go_on(self, notification: Notification, story: Story, turn: Turn, known: Mapping[str, str]) -> Answer:
        """Edit the message and reply in its thread, each once: editing again changes nothing."""
        place = {"channel": known["channel"], "ts": known["ts"]}
        if notification.id == known.get("began"):
            return Answer(f"found {known['ts']}", known)
        body = payload(story, notification.conversation_on(NAME), self.icons, self.mention, known.get("file", ""))
        if _edits(notification):
            self._say("chat.update", {**body, **place, "metadata": _metadata(notification)}, turn)
        if not (turn.attempted_at and self._has_replied(notification, place, turn)):
            said = {
                **_QUIET, "channel": place["channel"], "thread_ts": place["ts"], "text": reply(story, self.mention),
                "reply_broadcast": notification.kind in _BROADCAST, "metadata": _metadata(notification),
            }  # fmt: skip
            self._call("chat.postMessage", said, turn)
        return Answer(f"edited {known['ts']}", {**known, TITLE: story.title})

    def _say(self, method: str, message: Mapping[str, Any], turn: Turn) -> Mapping[str, Any]:
        """With all blocks; without the picture, then without blocks, where Slack does not take them."""
        blocks = message["blocks"]
        without = [block for block in blocks if block["type"] != "image"]
        for shown in [blocks, without, None]:
            if shown is without and without == blocks:
                continue
            try:
                return self._call(method, {**message, "blocks": shown or []}, turn)
            except PermanentError as error:
                if error.detail not in _TOO_MUCH or shown is None:
                    raise
        raise PermanentError("slack_refused", "no form was taken")

    def _found(self, notification: Notification, turn: Turn) -> Mapping[str, str]:
        """The conversation's message in the channel, after an attempt whose outcome is unknown; empty for none."""
        if turn.attempted_at is None:
            return {}
        try:
            channel = self._channel_id(turn)
            oldest = (turn.attempted_at - timedelta(minutes=1)).timestamp()
            asked = {"channel": channel, "oldest": f"{oldest:.6f}", "limit": SEARCHED, "include_all_metadata": "true"}
            messages = self._call("conversations.history", asked, turn).get("messages", [])
        except PermanentError:
            log("slack_not_searched", "WARNING", conversation=notification.conversation_on(NAME))
            return {}
        for message in messages:
            told, ts = _payload_of(message), str(message["ts"])
            is_reply = message.get("thread_ts", ts) != ts  # what somebody replied to has its own there
            if told.get("conversation") == notification.conversation_on(NAME) and not is_reply:
                return {"channel": channel, "ts": ts, "began": str(told.get("notification", "")), "file": ""}
        return {}

    def _has_replied(self, notification: Notification, place: Mapping[str, str], turn: Turn) -> bool:
        asked = {"channel": place["channel"], "ts": place["ts"], "limit": SEARCHED, "include_all_metadata": "true"}
        try:
            replies = self._call("conversations.replies", asked, turn).get("messages", [])
        except PermanentError:
            return False
        return any(
            _payload_of(one).get("notification") == notification.id and one.get("ts") != place["ts"] for one in replies
        )

    def _channel_id(self, turn: Turn) -> str:
        if not self.channel.startswith("#"):
            return self.channel
        for kind in ("public_channel", "private_channel"):  # each needs a scope of its own
            asked = {"types": kind, "exclude_archived": "true", "limit": 999}
            with suppress(PermanentError):
                for one in self._call("users.conversations", asked, turn).get("channels", []):
                    if one.get("name") == self.channel[1:]:
                        return str(one["id"])
        raise PermanentError("slack_refused", "channel_unknown")

    def _upload(self, notification: Notification, turn: Turn) -> str:
        """The id of the uploaded chart; empty without one, or where the upload fails: the words go out all the same."""
        chart = turn.evidence.draw()
        if not chart:
            return ""
        try:
            name = f"{notification.conversation_on(NAME)}.png"
            place = self._call("files.getUploadURLExternal", {"filename": name, "length": len(chart)}, turn)
            url, file_id = str(place["upload_url"]), str(place["file_id"])
            vendor = Vendor(NAME, self.vendor.post, (*self.vendor.secrets, url))
            vendor.accepted(vendor.ask(url, chart, {"Content-Type": "image/png"}), turn.now)
            self._call("files.completeUploadExternal", {"files": [{"id": file_id, "title": name}]}, turn)
        except (PermanentError, TransientError, KeyError) as error:
            log("slack_picture_failed", "WARNING", reason=getattr(error, "reason", type(error).__name__))
            return ""
        return file_id

    def _call(self, method: str, asked: Mapping[str, Any], turn: Turn) -> Mapping[str, Any]:
        """One call of the Web API; what Slack answers. ``detail`` of the errors is Slack's own word."""
        kind, body = "application/json; charset=utf-8", json.dumps(asked).encode()
        if method in _FORMS:
            kind, body = "application/x-www-form-urlencoded", urlencode(asked).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
        answer = self.vendor.ask(f"{self.api}/{method}", body, headers)
        self.vendor.accepted(answer, turn.now)
        try:
            said = json.loads(answer.body)
            if said["ok"] is True:
                return dict(said)
            error = str(said["error"])
        except (ValueError, KeyError, TypeError):
            raise TransientError("slack_failed", "an answer that is no JSON of Slack's") from None
        error = error if re.fullmatch(r"[a-z_0-9]{1,80}", error) else "unknown_error"
        if error in _PASSING:
            raise Busy("slack_failed", error, retry_at(answer, turn.now), is_certain=error == "ratelimited")
        raise (Gone("slack_gone", error) if error in _GONE else PermanentError("slack_refused", error))


_QUIET = {"parse": "none", "link_names": False, "unfurl_links": False, "unfurl_media": False}
_BROADCAST = {NotificationKind.RAISED, NotificationKind.ESCALATED}


def _edits(notification: Notification) -> bool:
    """A message about several alerts stays as it is until the last of them ends."""
    return notification.kind is not NotificationKind.RESOLVED or notification.ends_on(NAME)


def _metadata(notification: Notification) -> dict[str, Any]:
    told = {"conversation": notification.conversation_on(NAME), "notification": notification.id}
    return {"event_type": EVENT, "event_payload": told}


def _payload_of(message: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = message.get("metadata") or {}
    return metadata.get("event_payload") or {} if metadata.get("event_type") == EVENT else {}


@dataclass(frozen=True, slots=True)
class SlackWebhook:
    """Posts to an incoming webhook, whose URL is a secret: it is in no error and no log."""

    vendor: Vendor
    url: str = field(repr=False)
    mention: str
    icons: Mapping[str, str]
    dashboard_url: str
    max_per_minute: int | None = 20

    @property
    def setup(self) -> str:
        """As the port says."""
        return digest(self.url)

    def send(self, notification: Notification, turn: Turn) -> Answer:
        """Post one message. Slack says in plain text why it does not take one."""
        story = tell(notification, turn, self.dashboard_url, NAME)
        body = payload(story, notification.conversation_on(NAME), self.icons, self.mention)
        body["blocks"] = [block for block in map(_without_actions, body["blocks"]) if block]
        answer = self.vendor.ask(self.url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        said = answer.body[:100].decode("utf-8", "replace").strip()
        if answer.status == 400 and said in _WEBHOOK_GONE:
            raise Gone("slack_gone", f"400 {said}")
        return Answer(self.vendor.accepted(answer, turn.now), {TITLE: story.title})

    def undo(self, _notification: Notification, _late: Mapping[str, str], _turn: Turn, /) -> None:
        """Nothing: what an incoming webhook posted cannot be taken back."""


def _without_actions(block: Mapping[str, Any]) -> Mapping[str, Any]:
    if block["type"] != "actions":
        return block
    links = [one for one in block["elements"] if "url" in one]
    return {**block, "elements": links} if links else {}
