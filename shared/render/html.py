"""Pages in HTML: server-rendered, without inline script or style, complete without JavaScript.

Jinja2 escapes everything, and every string is made plain first (`plain.clean`). Links lead to paths of this site or
to https, whatever a model holds. Assets are served under a content hash, so that they can be cached for ever.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..errors import PermanentError
from ..panels import (
    SHOWN_ALERTS,
    SHOWN_LINES,
    SHOWN_ROWS,
    AlertRow,
    Board,
    Cell,
    Fact,
    InboxEntry,
    Overview,
    Page,
    Shown,
    Signal,
    Status,
    Tab,
)
from ..timeline import iso
from ..urls import Format, View
from . import charts, howto, layout, numbers, svg
from .plain import clean, cut, value_text
from .status import WORDS, rank

_HERE = Path(__file__).parent
_ASSETS = {"app.css": "text/css; charset=utf-8", "app.js": "text/javascript; charset=utf-8"}
_ICON_COLOURS = {Status.CRITICAL: "#c2185b", Status.WARNING: "#b86e00", Status.OK: "#0072b2"}
_ICON = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 12 12'>{}</svg>"
_DIAMOND = "<path fill='{}' d='M6 0l6 6-6 6-6-6z'/>"
_CIRCLE = "<circle fill='{}' cx='6' cy='6' r='5'/>"
_FORMATS = {Format.TEXT: "Text", Format.JSON: "JSON", Format.MARKDOWN: "Markdown", Format.CSV: "CSV"}
_SHAPES = {Status.STALE: "unknown", Status.EMPTY: "unknown"}
_KINDS = {"resolved": "resolved", "no_data": "unknown", "summary": "ok"}


def render_html(page: Shown, view: View, *, fragment: bool = False, standalone: bool = False) -> str:
    """A dashboard as a document, or as the one element that a page which is open replaces.

    A ``standalone`` one is a file of its own, its style sheet in it and without script and links to other pages.
    """
    context = _page(page, view, fragment=fragment or view.fragment)
    if standalone:
        context |= {"inline": Markup(asset("app.css")[0].decode()), "formats": ()}  # noqa: S704 # our own style sheet
    if isinstance(page, Overview):
        return render_template("overview.jinja", **context, **_overview(page, view))
    shown = layout.blocks(page, view.zone) if page.data_to or page.has_own else ()
    return render_template("board.jinja", **context, blocks=shown)


def _page(page: Page, view: View, *, fragment: bool) -> dict[str, Any]:
    """What every dashboard shows around its panels."""
    is_old = page.stale and page.data_to is not None
    kinds = (("board", isinstance(page, Board)), ("own", page.has_own), ("old", is_old))
    return {
        **_frame(page, fragment=fragment),
        "page": page,
        "view": view,
        "zone": view.zone,
        "classes": " ".join(name for name, holds in kinds if holds),
        "cells": sorted((s for s in page.signals if not s.detail), key=lambda s: rank(s.status)),
        "chart_span": layout.range_words(page.start, page.end, page, view.zone),
        "spark_span": numbers.span(page.spark_seconds) if page.spark_seconds else "",
        "compared": page.is_compared,
        "alerts": page.alerts[:SHOWN_ALERTS],
        "more_alerts": numbers.more(page.alerts_total, min(len(page.alerts), SHOWN_ALERTS)),
        "example": howto.message(page.now),
        "formats": [(name, view.href(as_format=form)) for form, name in _FORMATS.items()],
    }


def _overview(page: Overview, view: View) -> dict[str, Any]:
    summits = [share.ratio for share in page.personas]
    return {
        "charts": [(chart, charts.draw_chart(chart, view.zone)) for chart in page.charts if page.data_to],
        "regions": page.regions[:SHOWN_ROWS],
        "more_regions": numbers.more(page.regions_total, min(len(page.regions), SHOWN_ROWS)),
        "personas": page.personas[:SHOWN_LINES],
        "more_personas": numbers.more(page.personas_total, min(len(page.personas), SHOWN_LINES)),
        "moved": page.has_moved,
        "most_persona": max(summits, default=0.0) * _PERSONA_ROOM or 1.0,
    }


def render_inbox_html(
    entries: Sequence[InboxEntry],
    *,
    service: str,
    environment: str,
    now: datetime,
    zone: tzinfo,
    tabs: Sequence[Tab],
    total: int = 0,
) -> str:
    """The local inbox: what the channels were told, newest first, whatever the order given; ``total`` counts all."""
    newest_first = sorted(entries, key=lambda entry: entry.received_at, reverse=True)
    return render_template(
        "inbox.jinja",
        **_base(f"Inbox · {service}", Status.OK, service, environment, now, tabs),
        entries=newest_first,
        total=max(total, len(entries)),
        more=numbers.more(total, len(entries)),
        zone=zone,
    )


def render_error_html(code: int, sentence: str, *, service: str, environment: str, now: datetime) -> str:
    """A page that says in one sentence what is wrong with a request; ``code`` is its HTTP status."""
    phrase = HTTPStatus(code).phrase
    return render_template(
        "error.jinja",
        **_base(f"{code} {phrase} · {service}", Status.UNKNOWN, service, environment, now, ()),
        code=code,
        phrase=phrase,
        sentence=sentence,
    )


def etag(page: Page, view: View) -> str:
    """A strong validator of the fragment, quoted: it changes with what is shown, but not as seconds pass.

    Ages count on in the browser; ``now`` enters with its minute and by whether it makes the page stale.
    """
    floor = page.now.replace(second=0, microsecond=0)
    health = page.health
    if health.evaluated_at is not None:
        health = replace(health, evaluated_at=health.evaluated_at.replace(second=0, microsecond=0))
    shown = replace(page, now=floor, health=health)
    told = (shown, page.stale, replace(view, start=page.start, end=page.end), asset("app.css")[2], _templates_hash())
    return f'"{hashlib.sha256(repr(told).encode("utf-8", "surrogatepass")).hexdigest()[:20]}"'


@functools.cache
def asset(name: str) -> tuple[bytes, str, str]:
    """An asset by name: its bytes, content type and hash (12 hex). Raises ``PermanentError`` ``not_found``."""
    if name not in _ASSETS:
        raise PermanentError("not_found", "there is no such asset")
    content = (_HERE / "assets" / name).read_bytes()
    if name.endswith(".css"):
        content = content.replace(b"\n", b"")  # each line ends with a whole rule
    return content, _ASSETS[name], hashlib.sha256(content).hexdigest()[:12]


def asset_href(name: str) -> str:
    """Where a page finds an asset: the path ends in the name, the hash is the ``v`` parameter."""
    return f"/assets/{name}?v={asset(name)[2]}"


_PERSONA_ROOM = 1.18
"""The longest share bar leaves a little of its track to see."""


def _frame(page: Page, *, fragment: bool) -> dict[str, Any]:
    """What the base of a dashboard needs; the title counts what somebody has to act on."""
    loud = sum(count for status, count in page.counts if status in (Status.CRITICAL, Status.WARNING))
    title = f"{f'({loud}!) ' if loud else ''}{page.title} · {page.service}"
    base = _base(title, page.headline.status, page.service, page.environment, page.now, page.tabs)
    return {**base, "fragment": fragment}


def _base(
    title: str, status: Status, service: str, environment: str, now: datetime, tabs: Sequence[Tab]
) -> dict[str, Any]:
    return {
        "fragment": False,
        "inline": "",
        "title": title,
        "icon": _icon(status),
        "service": service,
        "environment": environment,
        "now": now,
        "tabs": tabs,
        "stylesheet": asset_href("app.css"),
        "script": asset_href("app.js"),
    }


def render_template(template: str, **context: Any) -> str:
    """A template of this package; every string in it is made plain and escaped."""
    return _environment().get_template(template).render(**context)


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_plain,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        age=numbers.age,
        clock=numbers.clock,
        comparison=numbers.comparison,
        entry_shape=_entry_shape,
        figure=_figure,
        footnote=_footnote,
        heading=numbers.heading,
        iso=iso,
        limit_words=_limit_words,
        moment=numbers.moment,
        named=value_text,
        link=_link,
        number=numbers.number,
        percent=_percent,
        relative=svg.relative,
        shape=_shape,
        short=_short,
        short_title=lambda text, most: cut(clean(text), most),
        signed=numbers.signed,
        spark=charts.draw_spark,
        trend=layout.trend,
        word=WORDS.__getitem__,
    )
    return environment


@functools.cache
def _templates_hash() -> str:
    sources = sorted((_HERE / "templates").glob("*.jinja"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]


def _plain(value: object) -> object:
    """What Jinja2 puts out: strings made plain before they are escaped, markup of our own as it is."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return clean(value) if "\n" not in value else "\n".join(clean(line) for line in value.split("\n"))
    return value


def _link(href: str) -> str:
    """A path of this site or an https address; anything else (``javascript:``, ``//host``) leads nowhere."""
    inside = href.startswith("/") and not href.startswith(("//", "/\\"))
    return href if inside or href.startswith("https://") else "#"


def _shape(status: Status) -> str:
    return _SHAPES.get(status, status.value)


def _entry_shape(entry: InboxEntry) -> str:
    return _KINDS.get(entry.kind) or Status.of(entry.severity).value


def _figure(item: Signal | AlertRow | Fact) -> tuple[str, str]:
    limit = None if isinstance(item, Fact) else item.limit
    return numbers.figure(item.value, item.unit, limit)


def _short(cell: Cell) -> tuple[str, str]:
    return numbers.short(cell.value, cell.unit, cell.limit)


def _footnote(signal: Signal, zone: tzinfo, page: Page) -> str:
    """What stands below a spark on the left: the change, or why there is none."""
    if signal.status is Status.STALE and signal.as_of:
        told = numbers.age((page.now - signal.as_of).total_seconds())
        return f"{numbers.clock(signal.as_of, zone)}, {told} old"
    if signal.status is Status.UNKNOWN and signal.as_of:
        return f"no data since {numbers.clock(_newest(signal, signal.as_of, page), zone)}"
    return signal.note or numbers.change(signal.change, signal.change_unit, signal.limit)


def _newest(signal: Signal, end: datetime, page: Page) -> datetime:
    """The end of the newest step of a spark that has a value, or of the page's data where that is in it."""
    missing = next((index for index, value in enumerate(reversed(signal.spark)) if value is not None), 0)
    newest = end - timedelta(seconds=missing * signal.spark_step_seconds)
    return min(newest, page.data_to) if page.data_to else newest


def _limit_words(signal: Signal) -> str:
    if signal.limit is None:
        return "no limit"
    word = "SLA" if signal.id == "availability" else "limit"
    return f"{word} {numbers.limit_number(signal.limit, signal.unit)}"


def _percent(share: float) -> str:
    """0..1 as percent for an attribute, kept inside; 0 for what is no number."""
    return f"{100 * min(1.0, max(0.0, share)) if math.isfinite(share) else 0:.1f}"


def _icon(status: Status) -> str:
    """The state as a favicon: a diamond when somebody has to act, else a circle."""
    shape = _DIAMOND if status in (Status.CRITICAL, Status.WARNING) else _CIRCLE
    colour = _ICON_COLOURS.get(status, "#0072b2" if status in (Status.OK, Status.RESOLVED) else "#6e7781")
    return "data:image/svg+xml," + quote(_ICON.format(shape.format(colour)), safe="/:='")
