"""What a message in Slack looks like: its blocks within Slack's limits, and every text inert.

Slack says its limits in characters and not which; all are counted in UTF-16 units, as JavaScript does: of an emoji two,
so that what is within them is so by any count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..notifications import NotificationKind
from ..rules import Severity
from .story import Fact, Story, cut, length

MAX_TOTAL = 10_000
"""Characters of all blocks. Undocumented: near 13,200 Slack says msg_blocks_too_long
(https://github.com/slackapi/bolt-js/issues/2509)."""
MAX_HEADER, MAX_SECTION, MAX_FIELD, MAX_FIELDS, MAX_TEXT, MAX_ALT = 150, 3000, 2000, 10, 4000, 2000
"""https://docs.slack.dev/reference/block-kit/blocks"""
MAX_URL, MAX_BUTTON_VALUE = 3000, 2000
MAX_RUNBOOK_URL = 2000
"""A link is never cut: a longer one is left out."""
ACKNOWLEDGE, SILENCE, OPEN = "ion_acknowledge", "ion_silence_1h", "ion_open"
"""Ids of the buttons, which ``hooks`` knows."""
_MENTION = re.compile(r"<!(here|channel|everyone|subteam\^[A-Z0-9]+)>|<@[A-Z0-9]+>")
_MARKS = re.compile(r"([*_~`])")
_ENDED = "⚪"
"""Before what is over and not well again: nobody looks any more."""
_EMOJI = re.compile(r":(?=[a-z0-9_+'-]+:)")
_JOINER = "\u034f"
"""Combining grapheme joiner: invisible, and what stands behind it opens no markup."""
_TORN = re.compile(r"&[a-z]{0,3}(?=…)")
"""An escaped character of which a cut left the beginning."""


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
    return {"text": _cut(escape(f"{icon} {story.headline}".strip()), MAX_TEXT), "blocks": _bounded(blocks)}


def _heading(story: Story) -> str:
    return f"{story.status}: {story.title}" if story.is_over else story.title


def _lead(story: Story, mention: str) -> str:
    """How it stands, and what the rule is about where the sentence does not say it."""
    told = reply(story, mention)
    is_said = not story.description or story.description in story.sentence
    return told if is_said else f"{told}\n{escape(story.description)}"


def reply(story: Story, mention: str) -> str:
    """Status and sentence, as they stand in the thread beside an edit; a mention for what is new and critical alone.

    It stands here too: an edit notifies nobody.
    """
    calls = story.severity is Severity.CRITICAL and story.kind in _CALLING
    called = f"{mention if _MENTION.fullmatch(mention) else escape(mention)} " if mention and calls else ""
    return _cut(f"{called}*{escape(story.status)}.* {escape(story.sentence)}", MAX_SECTION)


_LEVELS = {Severity.CRITICAL: "critical", Severity.HIGH: "warning", Severity.MEDIUM: "warning", Severity.LOW: "info"}
_CALLING = {NotificationKind.FIRING, NotificationKind.RAISED, NotificationKind.ESCALATED}


def _plain(text: str, most: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": cut(text, most), "emoji": False}


def _mrkdwn(text: str, most: int) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": _cut(text, most), "verbatim": True}


def _cut(escaped: str, most: int) -> str:
    return _TORN.sub("", cut(escaped, most))


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
    """The runbook and the rule. An address is of plain characters (``safe_url``) and stands as it is but for its &."""
    address = story.runbook_url.replace("&", "&amp;")
    runbook = f"<{address}|Runbook> · " if 0 < len(address) <= MAX_RUNBOOK_URL else ""
    return f"{runbook}rule {escape(story.rule_id)}"


def _bounded(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The blocks within ``MAX_TOTAL``: the longest text is cut, and says so, until all fit."""
    texts = [one for block in blocks for one in _texts(block)]
    while (over := sum(length(one["text"]) for one in texts) - MAX_TOTAL) > 0:
        longest = max(texts, key=lambda one: length(one["text"]))
        longest["text"] = _cut(longest["text"], max(length(longest["text"]) - over - 20, 100))
    return blocks


def _texts(block: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from [block["text"]] if "text" in block else []
    yield from block.get("fields", ())
    yield from (one["text"] if one["type"] == "button" else one for one in block.get("elements", ()))
