"""The overview as Markdown, read back by an independent parser."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from markdown_it import MarkdownIt
from markdown_it.token import Token

from shared.panels import Overview
from shared.render import render_markdown
from shared.render.markdown_parts import escape
from shared.render.plain import clean
from tests import samples
from tests.hostile import WHOLE_PAGES, hostile_strings, poisoned

PARSER = MarkdownIt("gfm-like", {"html": True, "linkify": True})


def tokens(text: str) -> list[Token]:
    """Every token of a document, inline ones too."""
    found = []
    for token in PARSER.parse(text):
        found.append(token)
        found.extend(token.children or ())
    return found


def shape(page: Overview) -> Counter[str]:
    """How many tokens of each type a page makes, text aside."""
    return Counter(token.type for token in tokens(render_markdown(page)) if token.type not in ("text", "text_special"))


def test_story() -> None:
    """The page opens with its title, its time and the answer in words."""
    lines = render_markdown(samples.overview()).splitlines()
    assert lines[0] == "# ION Mentoring production dashboard"
    assert lines[2] == "Updated: 2025-10-18 14:31:12 UTC, data to 14:31:00, 12 s old"
    assert lines[4].startswith("**◆ Critical**: P95 response time in europe-west1 is 456 ms, 2.3 times its limit")


def test_rows() -> None:
    """A signal is a row of name, value, change, status and limit."""
    text = render_markdown(samples.overview())
    assert "| P95 Response Time europe-west1 | 456.5ms | +420.3 | ◆ Critical | \\<= 200 |" in text
    assert "| Global Throughput | 9,270 r/s | +2.1% | ✓ OK | no limit |" in text


def test_tables_parse() -> None:
    """A parser finds a table for each of the four sections, the alerts, the regions and the business."""
    assert shape(samples.overview())["table_open"] == 7


def test_empty() -> None:
    """Before any data the page shows a message to publish, as a block of code."""
    assert '"metric": "response_time"' in render_markdown(samples.empty())
    assert shape(samples.empty())["fence"] == 1


@WHOLE_PAGES
@given(hostile_strings())
def test_hostile_names_make_no_markup(text: str) -> None:
    """Whatever the names, the document has the same headings, tables and cells, and no link, image or HTML."""
    harmless = shape(poisoned(samples.overview(), "x" if text.strip() else text))
    assert shape(poisoned(samples.overview(), text)) == harmless
    assert not {"html_inline", "html_block", "link_open", "image"} & set(harmless)


@given(hostile_strings())
def test_escape_is_read_back(text: str) -> None:
    """What a parser reads from an escaped name is the name, made plain; an @ has a word joiner after it."""
    paragraph = PARSER.parse(f"x {escape(text)} x")[1]
    read = "".join(token.content for token in paragraph.children or ())
    assert read.replace("@\u2060", "@") == f"x {clean(text).strip()} x"


def test_mentions_nobody() -> None:
    """An @ is followed by a word joiner, so that no chat or forge takes it for a mention."""
    assert escape("ask @oncall") == "ask @\u2060oncall"
