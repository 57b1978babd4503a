"""The overview as Markdown (CommonMark with GitHub's tables), for documents and chat. Times are UTC.

Every name is hostile: after ``escape`` it can neither open markup, HTML, a link, an entity or a table cell, nor
mention anybody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC
from itertools import groupby

from ..panels import AlertRow, Health, Limit, Overview, RegionRow, Signal
from . import howto, numbers
from .plain import clean
from .status import GLYPHS, WORDS
from .text import text_name

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
    yield f"# {escape(page.service)} {escape(page.environment)} dashboard"
    yield ""
    yield f"Updated: {page.now.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, {_freshness(page)}"
    yield ""
    yield from _answer(page)
    if page.data_to is None:
        yield from ("## How to publish", "", "```json", howto.message(page.now), "```", "")
    for section, signals in groupby(page.signals, key=lambda signal: signal.section):
        yield from _section(section, list(signals))
    yield from _alerts(page)
    yield from _regions(page.regions)
    yield from _business(page)
    yield _own_health(page.health)


def _answer(page: Overview) -> Iterator[str]:
    headline = page.headline
    yield f"**{GLYPHS[headline.status]} {WORDS[headline.status]}**: {escape(headline.sentence)}"
    yield ""
    told = " ".join(part for part in (headline.detail, headline.note) if part)
    if told:
        yield escape(told)
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
    for alert in page.alerts:
        age = numbers.age((page.now - alert.since).total_seconds())
        status = f"{GLYPHS[alert.status]} {WORDS[alert.status]}"
        yield _row(status, escape(alert.rule), escape(alert.scope), _judged(alert), age, escape(alert.note))
    yield ""


def _number(value: float | None, unit: str, limit: Limit | None = None) -> str:
    return escape(numbers.terminal_number(value, unit, limit))


def _judged(alert: AlertRow) -> str:
    value = _number(alert.value, alert.unit, alert.limit)
    return f"{value} {escape(numbers.comparison(alert.limit))}"


def _regions(regions: Sequence[RegionRow]) -> Iterator[str]:
    if not regions:
        return
    yield "## Regions"
    yield ""
    yield from _heads(
        "Region", "Status", *(f"{escape(numbers.heading(cell.title, cell.unit))}:" for cell in regions[0].cells)
    )
    for region in regions:
        values = (_number(cell.value, cell.unit, cell.limit) for cell in region.cells)
        yield _row(escape(region.name), f"{GLYPHS[region.status]} {WORDS[region.status]}", *values)
    yield ""


def _business(page: Overview) -> Iterator[str]:
    if not page.facts and not page.personas:
        return
    yield "## Business and personas"
    yield ""
    yield from _heads("What", "Value:", "vs last week:")
    for fact in page.facts:
        value = _number(fact.value, fact.unit)
        yield _row(escape(fact.name), value, numbers.terminal_change(fact.change, "%"))
    for share in page.personas:
        value = _number(share.ratio * 100, "%")
        yield _row(escape(share.name), value, numbers.terminal_change(share.change, "pt"))
    yield ""


def _own_health(health: Health) -> str:
    return (
        f"Monitoring {'healthy' if health.ok else 'needs you'}: collections {health.collections_fresh} of "
        f"{health.collections_total} fresh, deliveries {health.deliveries_done} of {health.deliveries_total}, "
        f"dead letters {health.dead_letters}."
    )


def _heads(*names: str) -> Iterator[str]:
    """The two head lines of a table; a name that ends in a colon is a column of numbers, aligned right."""
    yield _row(*(name.removesuffix(":") for name in names))
    yield _row(*("---:" if name.endswith(":") else "---" for name in names))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _freshness(page: Overview) -> str:
    if page.data_to is None or page.age_seconds is None:
        return "no data yet"
    return f"data to {page.data_to.astimezone(UTC):%H:%M:%S}, {numbers.age(page.age_seconds)} old"
