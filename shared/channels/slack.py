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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from ..errors import PermanentError, TransientError
from ..logs import log
from ..notifications import Notification, NotificationKind
from ..rules import Severity
from . import Answer, Busy, Gone, Turn, digest
from .posting import Vendor, retry_at
from .story import TITLE, Fact, Story, cut, tell

NAME = "slack"
API = "https://slack.com/api"
MAX_TOTAL = 10_000
"""Characters of all blocks. Undocumented: near 13,200 Slack says msg_blocks_too_long
(https://github.com/slackapi/bolt-js/issues/2509)."""
MAX_HEADER, MAX_SECTION, MAX_FIELD, MAX_FIELDS, MAX_TEXT, MAX_ALT = 150, 3000, 2000, 10, 4000, 2000
"""https://docs.slack.dev/reference/block-kit/blocks"""
MAX_URL, MAX_BUTTON_VALUE = 3000, 2000
EVENT = "ion_alert"
"""The type of our messages' metadata, by which one is found again."""
SEARCHED = 200
ACKNOWLEDGE, SILENCE, OPEN = "ion_acknowledge", "ion_silence_1h", "ion_open"
"""Ids of the buttons, which ``hooks`` knows."""
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
_MENTION = re.compile(r"<!(here|channel|everyone|subteam\^[A-Z0-9]+)>|<@[A-Z0-9]+>")
_MARKS = re.compile(r"([*_~`])")
_ENDED = "⚪"
"""Before what is over and not well again: nobody looks any more."""
_EMOJI = re.compile(r":(?=[a-z0-9_+'-]+:)")
_JOINER = "\u034f"
"""Combining grapheme joiner: invisible, and what stands behind it opens no markup."""
_WEBHOOK_GONE = {"invalid_token", "no_service", "no_team", "team_disabled", "no_active_hooks", "channel_is_archived"}


def escape(text: str) -> str:
    """A hostile string for mrkdwn: no mention, link, emphasis, code or emoji comes of it."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _EMOJI.sub(f":{_JOINER}", _MARKS.sub(rf"{_JOINER}\1", text))


def payload(
    story: Story, conversation: str, icons: Mapping[str, str], mention: str, file_id: str = ""
) -> dict[str, Any]:
    """The message: its blocks, and the text of them that notifications and screen readers take."""
    over = "✅" if story.is_well else _ENDED
    icon = over if story.is_over else icons.get(_LEVELS[story.severity], "")
    blocks = [
        {"type": "header", "text": _plain(f"{icon} {_heading(story)}".strip(), MAX_HEADER)},
        _section(_lead(story, mention)),
        *_fields(story.facts),
        *_picture(story, file_id),
        *_buttons(story, conversation),
        {"type": "context", "elements": [_mrkdwn(_footer(story), MAX_SECTION)]},
    ]
    return {"text": cut(escape(f"{icon} {story.headline}".strip()), MAX_TEXT), "blocks": _bounded(blocks)}


def _heading(story: Story) -> str:
    return f"{story.status}: {story.title}" if story.is_over else story.title


def _lead(story: Story, mention: str) -> str:
    """Status and sentence; a mention for what is new and critical alone."""
    calls = story.severity is Severity.CRITICAL and story.kind in _CALLING
    called = f"{mention if _MENTION.fullmatch(mention) else escape(mention)} " if mention and calls else ""
    told = f"{called}*{escape(story.status)}.* {escape(story.sentence)}"
    return (
        f"{told}\n{escape(story.description)}"
        if story.description and story.description not in story.sentence
        else told
    )


def reply(story: Story) -> str:
    """What stands in the thread beside an edit."""
    return cut(f"*{escape(story.status)}.* {escape(story.sentence)}", MAX_SECTION)


_LEVELS = {Severity.CRITICAL: "critical", Severity.HIGH: "warning", Severity.MEDIUM: "warning", Severity.LOW: "info"}
_CALLING = {NotificationKind.FIRING, NotificationKind.RAISED, NotificationKind.ESCALATED}


def _plain(text: str, most: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": cut(text, most), "emoji": False}


def _mrkdwn(text: str, most: int) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": cut(text, most), "verbatim": True}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _mrkdwn(text, MAX_SECTION)}


def _fields(facts: tuple[Fact, ...]) -> Iterator[dict[str, Any]]:
    if facts:
        told = [_mrkdwn(f"*{escape(one.name)}*\n{escape(one.value)}", MAX_FIELD) for one in facts[:MAX_FIELDS]]
        yield {"type": "section", "fields": told}


def _picture(story: Story, file_id: str) -> Iterator[dict[str, Any]]:
    if file_id:
        yield {"type": "image", "slack_file": {"id": file_id}, "alt_text": cut(f"Chart: {story.sentence}", MAX_ALT)}


def _buttons(story: Story, conversation: str) -> Iterator[dict[str, Any]]:
    """Acknowledge while nobody has it, silence while it fires, the dashboard always."""
    elements: list[dict[str, Any]] = []
    if not story.is_over and story.kind not in _WITHOUT_BUTTONS:
        if story.kind is not NotificationKind.ACKNOWLEDGED and not any(f.name == "Acknowledged" for f in story.facts):
            elements.append(_button("Acknowledge", ACKNOWLEDGE, conversation) | {"style": "primary"})
        elements.append(_button("Silence 1 h", SILENCE, conversation))
    if story.url and len(story.url) <= MAX_URL:
        elements.append({"type": "button", "text": _plain("Open", 75), "action_id": OPEN, "url": story.url})
    if elements:
        yield {"type": "actions", "elements": elements}


_WITHOUT_BUTTONS = {NotificationKind.SUMMARY, NotificationKind.NOTICE}


def _button(text: str, action_id: str, conversation: str) -> dict[str, Any]:
    value = conversation[:MAX_BUTTON_VALUE]
    return {"type": "button", "text": _plain(text, 75), "action_id": action_id, "value": value}


def _footer(story: Story) -> str:
    runbook = f"<{escape(story.runbook_url)}|Runbook> · " if story.runbook_url else ""
    return f"{runbook}rule {escape(story.rule_id)}"


def _bounded(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The blocks within ``MAX_TOTAL``: the longest text is cut, and says so, until all fit."""
    texts = [one for block in blocks for one in _texts(block)]
    while (over := sum(len(one["text"]) for one in texts) - MAX_TOTAL) > 0:
        longest = max(texts, key=lambda one: len(one["text"]))
        longest["text"] = cut(longest["text"], max(len(longest["text"]) - over - 20, 100))
    return blocks


def _texts(block: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from [block["text"]] if "text" in block else []
    yield from block.get("fields", ())
    yield from (one["text"] if one["type"] == "button" else one for one in block.get("elements", ()))


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
                **_QUIET, "channel": place["channel"], "thread_ts": place["ts"], "text": reply(story),
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
            asked = {"channel": channel, "oldest": f"{oldest:.6f}", "limit": SEARCHED, "include_all_metadata": True}
            messages = self._call("conversations.history", asked, turn).get("messages", [])
        except PermanentError:
            log("slack_not_searched", "WARNING", conversation=notification.conversation_on(NAME))
            return {}
        for message in messages:
            told = _payload_of(message)
            if told.get("conversation") == notification.conversation_on(NAME) and "thread_ts" not in message:
                began = str(told.get("notification", ""))
                return {"channel": channel, "ts": str(message["ts"]), "began": began, "file": ""}
        return {}

    def _has_replied(self, notification: Notification, place: Mapping[str, str], turn: Turn) -> bool:
        asked = {"channel": place["channel"], "ts": place["ts"], "limit": SEARCHED, "include_all_metadata": True}
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
        asked = {"types": "public_channel,private_channel", "exclude_archived": True, "limit": 999}
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
            place = self._call("files.getUploadURLExternal", {"filename": name, "length": len(chart)}, turn, form=True)
            url, file_id = str(place["upload_url"]), str(place["file_id"])
            vendor = Vendor(NAME, self.vendor.post, (*self.vendor.secrets, url))
            vendor.accepted(vendor.ask(url, chart, {"Content-Type": "image/png"}), turn.now)
            self._call("files.completeUploadExternal", {"files": [{"id": file_id, "title": name}]}, turn)
        except (PermanentError, TransientError, KeyError) as error:
            log("slack_picture_failed", "WARNING", reason=getattr(error, "reason", type(error).__name__))
            return ""
        return file_id

    def _call(self, method: str, asked: Mapping[str, Any], turn: Turn, form: bool = False) -> Mapping[str, Any]:
        """One call of the Web API; what Slack answers. ``detail`` of the errors is Slack's own word."""
        kind = "application/x-www-form-urlencoded" if form else "application/json; charset=utf-8"
        body = urlencode(asked).encode() if form else json.dumps(asked).encode()
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
