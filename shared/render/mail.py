"""A mail about an alert, as text and as HTML: tables and inline styles, because mail programs know little else.

Jinja2 escapes everything in the HTML; the text is plain. Both say the same, in the words of ``channels.story``.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..notifications import NotificationKind
from ..rules import Severity

if TYPE_CHECKING:
    from ..channels.story import Story

_COLOURS = {Severity.CRITICAL: "#86002d", Severity.HIGH: "#b86e00", Severity.MEDIUM: "#b86e00", Severity.LOW: "#545c67"}
_OVER = "#0072b2"
_GLYPHS = {Severity.CRITICAL: "◆", Severity.HIGH: "▲", Severity.MEDIUM: "▲", Severity.LOW: "△"}
_COLUMNS = 76
_PREHEADER = 120


@dataclass(frozen=True, slots=True)
class Mail:
    """What a mail shows. ``place`` is the service and its environment.

    ``chart`` is where the picture is, ``cid:...`` or ``data:image/png;base64,...``; empty without one.
    """

    story: Story
    place: str
    chart: str = ""

    @property
    def colour(self) -> str:
        """Of the bar at its top: blue for what is over."""
        return _OVER if self.story.is_over or self.story.is_digest else _COLOURS[self.story.severity]

    @property
    def glyph(self) -> str:
        """Before the status; none of a digest, which is no state."""
        if self.story.is_digest:
            return ""
        over = "✓" if self.story.is_well else "–"
        return over if self.story.is_over else _GLYPHS[self.story.severity]

    @property
    def why(self) -> str:
        """Why the reader gets it."""
        what = "its daily digest" if self.story.is_digest else f"{self.story.severity.value} alerts"
        return (
            f"You get this mail because {self.place} sends {what} to this address. "
            "Its links open pages that ask you to sign in; none of them changes anything by itself."
        )

    @property
    def alone(self) -> bool:
        """Whether the sentence is all there is: a notice has no facts."""
        return self.story.kind in (NotificationKind.SUMMARY, NotificationKind.NOTICE)

    @property
    def rule(self) -> str:
        """Which rule it is about; empty for a digest."""
        return "" if self.story.is_digest else f"Rule {self.story.rule_id}"

    @property
    def picture_words(self) -> str:
        """What a reader without the picture is told of it."""
        return "The overview at the end of these 24 hours." if self.story.is_digest else f"Chart: {self.story.sentence}"

    @property
    def blocks(self) -> list[tuple[str, str]]:
        """A digest's sections: heading and lines, without their indentation."""
        found = [one.partition("\n") for one in self.story.sentence.split("\n\n")] if self.story.is_digest else []
        return [
            (heading, "\n".join(line.removeprefix("  ") for line in lines.splitlines())) for heading, _, lines in found
        ]


def mail_text(mail: Mail) -> str:
    """The mail as text, at most 76 columns but for addresses, long words and tables; ended by a line feed."""
    story = mail.story
    sentence = story.sentence.splitlines() if story.is_digest else _paragraph(story.sentence)
    parts = [f"{mail.glyph} {story.status.upper()}".strip(), story.title, "", *sentence]
    if not mail.alone:
        if story.description and story.description not in story.sentence:
            parts += ["", *_paragraph(story.description)]
        width = max(len(one.name) for one in story.facts) + 2
        parts += ["", *(f"{one.name:<{width}}{one.value}" for one in story.facts)]
    links = [("Dashboard", story.url), ("Runbook", story.runbook_url)]
    parts += ["", *(f"{name}: {url}" for name, url in links if url)]
    parts += ["", "-- ", *_paragraph(mail.why), mail.rule]
    return "\n".join(parts).rstrip("\n") + "\n"


def _paragraph(text: str) -> list[str]:
    return [line for one in text.splitlines() for line in wrap(one, _COLUMNS, break_long_words=False) or [""]]


def mail_html(mail: Mail) -> str:
    """The mail as an HTML document."""
    preheader = mail.story.sentence.splitlines()[0][:_PREHEADER] if mail.story.sentence else ""
    return _environment().get_template("mail.jinja").render(mail=mail, story=mail.story, preheader=preheader)


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
