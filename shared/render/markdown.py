"""The overview as Markdown (CommonMark with GitHub's tables), for documents and chat. Times are UTC.

Every name is hostile: after ``escape`` it can neither open markup, HTML, a link, an entity or a table cell, nor
mention anybody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC
from itertools import groupby

from ..panels import SHOWN_ALERTS, SHOWN_LINES, SHOWN_ROWS, AlertRow, Health, Limit, Overview, Signal
from . import howto, numbers
from .plain import clean, value_text
from .status import GLYPHS, WORDS
from .text import freshness, text_name

_MARKUP = re.compile(r"([\\`*_\[\]<>|~&#$])")
_LINKS = re.compile(r"(?<=[A-Za-z]):(?=/|[A-Za-z])|/(?=/)|(?<=\w)\.(?=[A-Za-z])")
"""What makes a link of bare text: a scheme, two slashes, a dot before a letter."""
_BLOCKS = re.compile(r"^(\d*)([-+=]|[.)](?=\s|$))")
_WORD_JOINER = "\u2060"
_NAME_COLUMNS = 80


def escape(text: str) -> str:
    """A hostile string as plain inline text, on one line; ``@`` gets a word joiner, so that it mentions nobody."""
    text = _MARKUP.sub(r"\\\1", clean(text).strip())
    text = _LINKS.sub(lambda match: f"\\{match.group()}", text)
    return _BLOCKS.sub(r"\1\\\2", text).replace("@", f"@{_WORD_JOINER}")


def render_markdown(page: Overview) -> str:
    """The page with a heading and a table for each section, ended by a newline."""
    return "\n".join(_lines(page)).rstrip("\n") + "\n"


def _lines(page: Overview) -> Iterator[str]:
    region = f", {escape(page.region)}" if page.region else ""
    yield f"# {escape(page.service)} {escape(page.environment)} dashboard{region}"
    yield ""
    yield f"Updated: {page.now.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, {freshness(page)}"
    yield ""
    yield from _answer(page)
    if page.data_to is None and page.until is None:
        yield from ("## How to publish", "", "```json", howto.message(page.now), "```", "")
    for section, signals in groupby(page.signals, key=lambda signal: signal.section):
        yield from _section(section, list(signals))
    yield from _alerts(page)
    yield from _regions(page)
    yield from _business(page)
    yield _own_health(page.health)


def _answer(page: Overview) -> Iterator[str]:
    headline = page.headline
    yield f"**{GLYPHS[headline.status]} {WORDS[headline.status]}**: {escape(headline.sentence)}"
    yield ""
    told = " ".join(part for part in (headline.detail, headline.note) if part)
    for sentence in (told, *page.notes):
        if sentence:
            yield escape(sentence)
            yield ""
    counts = ", ".join(f"{count} {WORDS[status].lower()}" for status, count in page.counts if count)
    if counts:
        yield f"{counts} of {page.checks} checks."
        yield ""


def _section(section: str, signals: Sequence[Signal]) -> Iterator[str]:
    yield f"## {escape(section.capitalize())}"
    yield ""
    yield from _heads("Signal", "Value:", "vs last week:", "Status", "Limit:")
    for signal in signals:
        yield _row(
            escape(text_name(signal, _NAME_COLUMNS)),
            _number(signal.value, signal.unit, signal.limit),
            numbers.terminal_change(signal.change, signal.change_unit, signal.limit),
            f"{GLYPHS[signal.status]} {WORDS[signal.status]}",
            escape(numbers.acceptance(signal.limit)),
        )
    yield ""


def _alerts(page: Overview) -> Iterator[str]:
    yield "## Active alerts"
    yield ""
    if not page.alerts:
        yield "None."
        yield ""
        return
    yield from _heads("Status", "Rule", "Where", "Value:", "For:", "Note")
    for alert in page.alerts[:SHOWN_ALERTS]:
        age = numbers.age((page.at - alert.since).total_seconds())
        status = f"{GLYPHS[alert.status]} {WORDS[alert.status]}"
        yield _row(status, escape(alert.rule), escape(alert.scope), _judged(alert), age, escape(alert.note))
    yield from _more(max(page.alerts_total, len(page.alerts)), min(len(page.alerts), SHOWN_ALERTS))


def _number(value: float | None, unit: str, limit: Limit | None = None) -> str:
    return escape(numbers.terminal_number(value, unit, limit))


def _judged(alert: AlertRow) -> str:
    value = _number(alert.value, alert.unit, alert.limit)
    return f"{value} {escape(numbers.comparison(alert.limit))}"


def _regions(page: Overview) -> Iterator[str]:
    if not page.regions:
        return
    shown = page.regions[:SHOWN_ROWS]
    yield "## Regions"
    yield ""
    yield from _heads(
        "Region", "Status", *(f"{escape(numbers.heading(cell.title, cell.unit))}:" for cell in shown[0].cells)
    )
    for region in shown:
        values = (_number(cell.value, cell.unit, cell.limit) for cell in region.cells)
        yield _row(escape(value_text(region.name)), f"{GLYPHS[region.status]} {WORDS[region.status]}", *values)
    yield from _more(max(page.regions_total, len(page.regions)), len(shown))


def _business(page: Overview) -> Iterator[str]:
    if not page.facts and not page.personas:
        return
    largest = page.personas[:SHOWN_LINES]
    yield "## Business and personas"
    yield ""
    yield from _heads("What", "Value:", "vs last week:")
    for fact in page.facts:
        value = _number(fact.value, fact.unit)
        yield _row(escape(fact.name), value, numbers.terminal_change(fact.change, "%"))
    for share in largest:
        value = _number(share.ratio * 100, "%")
        yield _row(escape(share.name), value, numbers.terminal_change(share.change, "pt"))
    yield from _more(max(page.personas_total, len(page.personas)), len(largest))


def _more(total: int, shown: int) -> Iterator[str]:
    """The end of a table, with what it leaves out, if anything."""
    left_out = numbers.more(total, shown).replace(numbers.NARROW, " ")
    yield ""
    if left_out:
        yield f"{left_out}."
        yield ""


def _own_health(health: Health) -> str:
    gone = ", ".join(escape(one) for one in health.channels_gone)
    refusing = f", refusing channels {gone}" if gone else ""
    return (
        f"Monitoring {'healthy' if health.ok else 'needs you'}: collections {health.collections_fresh} of "
        f"{health.collections_total} fresh, deliveries {health.deliveries_done} of {health.deliveries_total}, "
        f"dead letters {health.dead_letters}{refusing}."
    )


def _heads(*names: str) -> Iterator[str]:
    """The two head lines of a table; a name that ends in a colon is a column of numbers, aligned right."""
    yield _row(*(name.removesuffix(":") for name in names))
    yield _row(*("---:" if name.endswith(":") else "---" for name in names))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
