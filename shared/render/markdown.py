"""A dashboard as Markdown (CommonMark with GitHub's tables), for documents and chat. Times are UTC.

Every name is hostile: after ``escape`` it can neither open markup, HTML, a link, an entity or a table cell, nor
mention anybody.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC
from itertools import groupby

from ..panels import SHOWN_ALERTS, SHOWN_LINES, SHOWN_ROWS, AlertRow, Board, Health, Overview, Page, Shown, Signal
from . import howto, numbers
from .markdown_panels import panels
from .markdown_parts import escape, heads, more, number, row
from .plain import value_text
from .status import GLYPHS, WORDS
from .text import freshness, text_name

_NAME_COLUMNS = 80


def render_markdown(page: Shown) -> str:
    """The page with a heading and a table for each section, ended by a newline."""
    return "\n".join(_lines(page)).rstrip("\n") + "\n"


def _lines(page: Shown) -> Iterator[str]:
    region = f", {escape(page.region)}" if page.region else ""
    title = f": {escape(page.title)}" if isinstance(page, Board) else ""
    yield f"# {escape(page.service)} {escape(page.environment)} dashboard{title}{region}"
    yield ""
    yield f"Updated: {page.now.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, {freshness(page)}"
    yield ""
    yield from _answer(page)
    if page.data_to is None and page.until is None:
        yield from ("## How to publish", "", "```json", howto.message(page.now), "```", "")
    for section, signals in groupby(page.signals, key=lambda signal: signal.section):
        yield from _section(section, list(signals), page.is_compared)
    alerts = [*_alerts(page)] if page.live else []
    if isinstance(page, Board):
        yield from (*alerts, *panels(page)) if page.alerts_first else (*panels(page), *alerts)
    else:
        yield from alerts
        yield from _regions(page)
        yield from _business(page)
    if page.live:
        yield _own_health(page.health)


def _answer(page: Page) -> Iterator[str]:
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


def _section(section: str, signals: Sequence[Signal], compared: bool) -> Iterator[str]:
    yield f"## {escape(section.capitalize())}"
    yield ""
    yield from heads("Signal", "Value:", *(["vs last week:"] if compared else []), "Status", "Limit:")
    for signal in signals:
        change = numbers.terminal_change(signal.change, signal.change_unit, signal.limit)
        yield row(
            escape(text_name(signal, _NAME_COLUMNS)),
            number(signal.value, signal.unit, signal.limit),
            *([change] if compared else []),
            f"{GLYPHS[signal.status]} {WORDS[signal.status]}",
            escape(numbers.acceptance(signal.limit)),
        )
    yield ""


def _alerts(page: Page) -> Iterator[str]:
    yield f"## {escape(page.alerts_title) if isinstance(page, Board) else 'Active alerts'}"
    yield ""
    if not page.alerts:
        yield "None."
        yield ""
        return
    yield from heads("Status", "Rule", "Where", "Value:", "For:", "Note")
    for alert in page.alerts[:SHOWN_ALERTS]:
        age = numbers.age((page.at - alert.since).total_seconds())
        status = f"{GLYPHS[alert.status]} {WORDS[alert.status]}"
        yield row(status, escape(alert.rule), escape(alert.scope), _judged(alert), age, escape(alert.note))
    yield from more(max(page.alerts_total, len(page.alerts)), min(len(page.alerts), SHOWN_ALERTS))


def _judged(alert: AlertRow) -> str:
    value = number(alert.value, alert.unit, alert.limit)
    return f"{value} {escape(numbers.comparison(alert.limit))}"


def _regions(page: Overview) -> Iterator[str]:
    if not page.regions:
        return
    shown = page.regions[:SHOWN_ROWS]
    yield "## Regions"
    yield ""
    yield from heads(
        "Region", "Status", *(f"{escape(numbers.heading(cell.title, cell.unit))}:" for cell in shown[0].cells)
    )
    for region in shown:
        values = (number(cell.value, cell.unit, cell.limit) for cell in region.cells)
        yield row(escape(value_text(region.name)), f"{GLYPHS[region.status]} {WORDS[region.status]}", *values)
    yield from more(max(page.regions_total, len(page.regions)), len(shown))


def _business(page: Overview) -> Iterator[str]:
    if not page.facts and not page.personas:
        return
    largest = page.personas[:SHOWN_LINES]
    yield "## Business and personas"
    yield ""
    changed = page.has_moved
    yield from heads("What", "Value:", *(["vs last week:"] if changed else []))
    for fact in page.facts:
        change = numbers.terminal_change(fact.change, "%")
        yield row(escape(fact.name), number(fact.value, fact.unit), *([change] if changed else []))
    for share in largest:
        change = numbers.terminal_change(share.change, "pt")
        yield row(escape(share.name), number(share.ratio * 100, "%"), *([change] if changed else []))
    yield from more(max(page.personas_total, len(page.personas)), len(largest))


def _own_health(health: Health) -> str:
    gone = ", ".join(escape(one) for one in health.channels_gone)
    refusing = f", refusing channels {gone}" if gone else ""
    return (
        f"Monitoring {'healthy' if health.ok else 'needs you'}: collections {health.collections_fresh} of "
        f"{health.collections_total} fresh, deliveries {health.deliveries_done} of {health.deliveries_total}, "
        f"dead letters {health.dead_letters}{refusing}."
    )
