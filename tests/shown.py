"""What each format of a page shows, read back: the values and words of its signals, charts, tables and strips.

Every reader gives the same shape, so that formats can be compared with the model and with each other: for each part of
the page its rows, and for each row its name and what stands beside it.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from markdown_it import MarkdownIt

VOID = {"meta", "link", "br", "input", "circle", "rect", "path", "line", "use"}


@dataclass(slots=True)
class Node:
    """An element with its attributes, and what is in it in order."""

    tag: str
    attributes: dict[str, str]
    inside: list[Node | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text in it, spaces joined."""
        parts = (one if isinstance(one, str) else one.text for one in self.inside)
        return re.sub(r"[\s\u202f]+", " ", "".join(parts)).strip()

    @property
    def classes(self) -> list[str]:
        """Its classes."""
        return self.attributes.get("class", "").split()

    def all(self, tag: str, name: str = "") -> Iterator[Node]:
        """Every element of a tag in it, of a class where one is named."""
        for one in self.inside:
            if isinstance(one, Node):
                if one.tag == tag and (not name or name in one.classes):
                    yield one
                yield from one.all(tag, name)

    def first(self, tag: str, name: str = "") -> Node | None:
        """The first of them."""
        return next(self.all(tag, name), None)


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Node("", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs})
        self._open[-1].inside.append(node)
        if tag not in VOID:
            self._open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].inside.append(Node(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        self._open[-1].inside.append(data)


def html_tree(document: str) -> Node:
    """A document as a tree."""
    parser = _Parser()
    parser.feed(document)
    return parser.root


def html_signals(document: str) -> list[tuple[str, str, str]]:
    """Name, digits with unit, and word of each signal; the word is empty where the page leaves OK out."""
    found = html_tree(document).first("ul", "signals")
    told = []
    for one in found.all("li") if found else ():
        name, value, word = one.first("span", "n"), one.first("span", "v"), one.first("b", "w")
        assert name is not None
        assert value is not None
        told.append((name.text, value.text, word.text if word else ""))
    return told


def html_tables(document: str) -> dict[str, list[list[str]]]:
    """By its panel's title each table: of each row the name and the cells as a person reads them."""
    found: dict[str, list[list[str]]] = {}
    for panel in html_tree(document).all("section", "regions"):
        title, rows = panel.first("h2"), [row for body in panel.all("tbody") for row in body.all("tr")]
        assert title is not None
        found[_without_note(title)] = [
            [_name_in(row), *(cell.text for cell in row.all("td"))] for row in rows if row.attributes == {}
        ]
    return found


def html_ends(document: str) -> dict[str, list[str]]:
    """By its panel's title the labels at the end of each chart's lines."""
    found: dict[str, list[str]] = {}
    for panel in html_tree(document).all("section", "chart"):
        title, ends = panel.first("h2"), panel.first("svg", "ends")
        if title is not None and ends is not None:
            found[_without_note(title)] = [one.text for one in ends.all("text")]
    return found


def _without_note(title: Node) -> str:
    return "".join(one for one in title.inside if isinstance(one, str)).replace("\xa0", " ").strip()


def _name_in(row: Node) -> str:
    head = row.first("th")
    assert head is not None
    bold = head.first("b")
    whole, small = (bold or head), (bold or head).first("small")
    return whole.text.removesuffix(small.text).strip() if small is not None and small.text else whole.text


def markdown_tables(document: str) -> dict[str, list[list[str]]]:
    """By its heading each table: its rows, without the head."""
    found: dict[str, list[list[str]]] = {}
    heading, row = "", list[str]()
    tokens = MarkdownIt("gfm-like").parse(document)
    for before, token in itertools.pairwise(tokens):
        if before.type == "heading_open":
            heading = _plain(token.content)
            found.setdefault(heading, [])
        elif before.type == "td_open":
            row.append(_spaced("".join(child.content for child in token.children or ())))
        elif token.type == "tr_close" and row:
            found[heading].append(row)
            row = []
    return found


def _spaced(text: str) -> str:
    return re.sub(r"[\s\u202f]+", " ", text).strip()


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def text_signals(screen: str) -> list[tuple[str, str]]:
    """What stands before the word of each signal, and the word."""
    rows = (re.match(r"^  . (?P<told>.*?) +\[(?P<word>[A-Z ]+?)\s*\]", line) for line in screen.split("\n"))
    return [(match["told"], match["word"]) for match in rows if match]


def text_rows(screen: str, title: str) -> list[str]:
    """The lines below a title, up to the next empty one."""
    lines = screen.split("\n")
    at = next((index for index, line in enumerate(lines) if line.upper().startswith(title.upper()[:30])), None)
    if at is None:
        return []
    end = next((index for index in range(at, len(lines)) if not lines[index]), len(lines))
    return lines[at + 1 : end]


def csv_values(document: str) -> dict[tuple[str, str], str]:
    """The newest value of each series of each panel."""
    rows = csv.DictReader(io.StringIO(document))
    return {(one["panel"], one["series"]): one["value"] for one in rows}


def json_page(document: str) -> dict[str, Any]:
    """The page as programs read it."""
    found: dict[str, Any] = json.loads(document)
    return found
