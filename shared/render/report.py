"""A report: a title, and sections of sentences and tables, as text, Markdown or an HTML document of its own.

For what is read by mail or in a terminal: it refers to nothing, has no script, and its style is its own. Every string
may be hostile: it is made plain, and escaped for its format.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape as escape_html

from .markdown_parts import escape as escape_markdown
from .plain import clean, columns

TEXT, MARKDOWN, HTML = "text", "markdown", "html"
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1a1c1f;"
    "background:#fff}table{border-collapse:collapse;margin:.5rem 0 1rem}th,td{text-align:left;padding:.25rem .8rem "
    ".25rem 0;border-bottom:1px solid #d8dbe0;vertical-align:top}h1{font-size:1.4rem}h2{font-size:1.1rem}"
)


@dataclass(frozen=True, slots=True)
class Section:
    """Sentences, and below them a table whose rows are as long as its heading; either may be empty."""

    title: str
    sentences: Sequence[str] = ()
    heading: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What is rendered. ``subtitle`` says of what and when."""

    title: str
    subtitle: str
    sections: Sequence[Section]

    def render(self, form: str) -> str:
        """The report in a format, ended by a line feed. Raises ValueError for another than the three."""
        if form not in (TEXT, MARKDOWN, HTML):
            raise ValueError(f"unknown format {form!r}; known: {TEXT}, {MARKDOWN}, {HTML}")
        lines = {TEXT: self._text, MARKDOWN: self._markdown, HTML: self._html}[form]()
        return "\n".join(lines).rstrip("\n") + "\n"

    def to_dict(self) -> dict[str, object]:
        """As a JSON document: all that is rendered, each row by its heading."""
        sections = [
            {
                "title": one.title,
                "sentences": [*one.sentences],
                "rows": [dict(zip(one.heading, row, strict=True)) for row in one.rows],
            }
            for one in self.sections
        ]
        return {"title": self.title, "subtitle": self.subtitle, "sections": sections}

    def _text(self) -> Iterator[str]:
        yield clean(self.title)
        yield clean(self.subtitle)
        for section in self.sections:
            yield ""
            yield clean(section.title).upper()
            yield from (f"  {clean(one)}" for one in section.sentences)
            if section.rows:
                yield from (f"  {line}" for line in aligned([section.heading, *section.rows]))

    def _markdown(self) -> Iterator[str]:
        yield from (f"# {escape_markdown(self.title)}", "", escape_markdown(self.subtitle), "")
        for section in self.sections:
            yield from (f"## {escape_markdown(section.title)}", "")
            for one in section.sentences:
                yield from (escape_markdown(one), "")
            if section.rows:
                yield _row(section.heading)
                yield "|" + " --- |" * len(section.heading)
                yield from map(_row, section.rows)
                yield ""

    def _html(self) -> Iterator[str]:
        title = escape_html(clean(self.title))
        yield f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title>'
        yield f"<style>{_STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n<p>{escape_html(clean(self.subtitle))}</p>"
        for section in self.sections:
            yield f"<h2>{escape_html(clean(section.title))}</h2>"
            yield from (f"<p>{escape_html(clean(one))}</p>" for one in section.sentences)
            if section.rows:
                yield f"<table>\n<tr>{_cells(section.heading, 'th')}</tr>"
                yield from (f"<tr>{_cells(row, 'td')}</tr>" for row in section.rows)
                yield "</table>"
        yield "</body>\n</html>"


def aligned(rows: Iterable[Sequence[str]], right: Container[int] = ()) -> list[str]:
    """Rows as lines whose cells stand below one another, two spaces apart; those of ``right`` end together."""
    cleaned = [[clean(cell) for cell in row] for row in rows]
    widths = [max(columns(row[at]) for row in cleaned) for at in range(len(cleaned[0]))]

    def padded(at: int, cell: str) -> str:
        space = " " * (widths[at] - columns(cell))
        return space + cell if at in right else cell + space

    return ["  ".join(padded(at, cell) for at, cell in enumerate(row)).rstrip() for row in cleaned]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(escape_markdown, cells)) + " |"


def _cells(cells: Sequence[str], tag: str) -> str:
    return "".join(f"<{tag}>{escape_html(clean(cell))}</{tag}>" for cell in cells)
