"""The URL grammar of the dashboards: every view has one complete address, and every address one view or one error.

``/`` and ``/dashboards/{name}`` with an optional ``.html``, ``.txt``, ``.json``, ``.md`` or ``.csv``; query parameters:

- ``range`` 1h, 3h (default), 24h or 72h up to now, or ``from`` (and ``to``, default now): RFC 3339 with an offset,
  or a minute such as ``20251018T1405`` in UTC. The view is the minutes in (from, to]; ``from`` is rounded down to the
  minute and ``to`` up; at most 72 h.
- ``collection``: a collection's name; the overview's chart is of it.
- ``region``: letters, digits, hyphens, dots and underscores; the page is about that region alone.
- ``tz``: an IANA name such as Europe/Berlin (default UTC).
- ``ascii=1`` and ``colour=1``, for the text format; ``fragment=1``: the HTML page without its head.

``/alerts``, ``/alerts/{fingerprint}``, ``/system``, ``/silences``, ``/audit`` and ``/configuration`` are pages like the
dashboards.

``/charts/{collection}`` with ``.svg`` (default), ``.png``, ``.csv``, ``.json`` or ``.txt`` is one chart, with the
parameters ``range``, ``from``, ``to``, ``region``, ``tz`` and ``theme`` (light or dark, of the pictures).

The format is the extension's; without one it is what ``Accept`` prefers. The User-Agent is never looked at: browsers
always name ``text/html``, and programs that accept anything alike (``*/*``, as curl sends, or no header) get text.
A header that names nothing we have gets HTML.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from .errors import PermanentError
from .timeline import from_minute, iso, minute_floor, parse_iso, parse_minute_id

OVERVIEW = "overview"
SYSTEM, SILENCES, AUDIT, CONFIGURATION = "system", "silences", "audit", "configuration"
OWN_PAGES = (SYSTEM, SILENCES, AUDIT, CONFIGURATION)
"""Pages about the monitoring itself."""
RANGES: Mapping[str, int] = {"1h": 3600, "3h": 10_800, "24h": 86_400, "72h": 259_200}
DEFAULT_RANGE = "3h"
MAX_RANGE_SECONDS = max(RANGES.values())
_PATH = re.compile(r"/dashboards/(?P<name>[a-z0-9]+(?:-[a-z0-9]+)*)(?:\.(?P<extension>[a-z]+))?")
_REGION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_OFFSET = re.compile(r" (?=\d\d:\d\d$)")
_COLLECTION = re.compile(r"[a-z0-9_]{1,100}")
_MINUTE = re.compile(r"\d{8}T\d{4}")
_OTHERS = re.compile(rf"/(?P<name>alerts(?:/[0-9a-f]{{16}})?|{'|'.join(OWN_PAGES)})(?:\.(?P<extension>[a-z]+))?")
_CHART = re.compile(r"/charts/(?P<name>[a-z0-9_]{1,100})(?:\.(?P<extension>[a-z]+))?")
_CHART_PARAMETERS = ("range", "from", "to", "region", "tz", "theme")
_API_PARAMETERS = ("range", "from", "to", "region")
_THEMES = ("light", "dark")
_PARAMETERS = ("range", "from", "to", "collection", "region", "tz", "ascii", "colour", "fragment")
_MAX_NAME = 64
_ECHOED = 40


class Format(StrEnum):
    """The formats of a page or of a chart; the value is the extension."""

    HTML = "html"
    TEXT = "txt"
    JSON = "json"
    MARKDOWN = "md"
    CSV = "csv"
    SVG = "svg"
    PNG = "png"

    @property
    def media_type(self) -> str:
        """``text/html`` and so on, without parameters."""
        return _MEDIA_TYPES[self]

    @property
    def content_type(self) -> str:
        """The media type as it is sent."""
        plain = self in (Format.JSON, Format.SVG, Format.PNG)
        return self.media_type if plain else f"{self.media_type}; charset=utf-8"


_MEDIA_TYPES = {
    Format.HTML: "text/html",
    Format.TEXT: "text/plain",
    Format.JSON: "application/json",
    Format.MARKDOWN: "text/markdown",
    Format.CSV: "text/csv",
    Format.SVG: "image/svg+xml",
    Format.PNG: "image/png",
}
PAGE_FORMATS = (Format.TEXT, Format.HTML, Format.JSON, Format.MARKDOWN, Format.CSV)
CHART_FORMATS = (Format.SVG, Format.PNG, Format.CSV, Format.JSON, Format.TEXT)
"""Among formats that a client accepts alike the first is given."""


@dataclass(frozen=True, slots=True)
class View:
    """What an address asks for. The page shows the minutes in (start, end], both whole minutes in UTC.

    ``range_name`` is one of ``RANGES``, or empty where the address names the instants.
    """

    start: datetime
    end: datetime
    name: str = OVERVIEW
    format: Format = Format.HTML
    range_name: str = DEFAULT_RANGE
    collection: str = ""
    region: str = ""
    tz: str = "UTC"
    ascii_only: bool = False
    colour: bool = False
    fragment: bool = False
    theme: str = "light"
    prefix: str = "/dashboards/"
    """What stands before the name in the address."""

    @property
    def zone(self) -> tzinfo:
        """The time zone in which HTML shows times; the other formats are in UTC."""
        return UTC if self.tz == "UTC" else ZoneInfo(self.tz)

    def href(
        self,
        *,
        name: str | None = None,
        as_format: Format | None = None,
        range_name: str | None = None,
        region: str | None = None,
        tz: str | None = None,
        collection: str | None = None,
    ) -> str:
        """The address of this view with the given changes: a path with only the parameters that are not defaults.

        An HTML address has no extension, so that whoever follows it gets the format they accept. It is never a
        fragment.
        """
        view = replace(
            self,
            name=self.name if name is None else name,
            format=self.format if as_format is None else as_format,
            range_name=self.range_name if range_name is None else range_name,
            region=self.region if region is None else region,
            tz=self.tz if tz is None else tz,
            collection=self.collection if collection is None else collection,
        )
        extension = "" if view.format is Format.HTML else f".{view.format.value}"
        query = urlencode(list(_query(view)), safe=":/")
        prefix = self.prefix if name is None else "/dashboards/"
        return f"{prefix}{view.name}{extension}{'?' if query else ''}{query}"


def parse_view(path: str, query: Mapping[str, str], accept: str | None, now: datetime) -> View:
    """The view that an address asks for at ``now`` (aware UTC); ``query`` is decoded, one value a name.

    Raises ``PermanentError``: ``not_found`` for a path that is none of a dashboard, ``invalid_request`` with a
    sentence that names the parameter and what it accepts.
    """
    prefix, name, extension = _split(path)
    _check_names(query, _PARAMETERS)
    start, end, range_name = _times(query, now)
    return View(
        start=start,
        end=end,
        name=name,
        prefix=prefix,
        format=extension or preferred(accept),
        range_name=range_name,
        collection=_collection(query.get("collection", "")),
        region=_region(query.get("region", "")),
        tz=_time_zone(query.get("tz", "UTC")),
        ascii_only=_flag(query, "ascii"),
        colour=_flag(query, "colour"),
        fragment=_flag(query, "fragment"),
    )


def parse_chart(path: str, query: Mapping[str, str], accept: str | None, now: datetime) -> View:
    """The view of one chart, its collection in ``collection``. Raises as ``parse_view`` does."""
    match = _CHART.fullmatch(path)
    if match is None:
        raise PermanentError("not_found", "there is no such chart")
    extension = _extension(match["extension"], CHART_FORMATS)
    _check_names(query, _CHART_PARAMETERS)
    start, end, range_name = _times(query, now)
    theme = query.get("theme", "light")
    if theme not in _THEMES:
        raise _invalid(f"theme must be one of {', '.join(_THEMES)}, not {_echo(theme)}")
    return View(
        start=start,
        end=end,
        format=extension or preferred(accept, CHART_FORMATS, Format.SVG),
        range_name=range_name,
        collection=match["name"],
        region=_region(query.get("region", "")),
        tz=_time_zone(query.get("tz", "UTC")),
        theme=theme,
    )


def parse_api(query: Mapping[str, str], now: datetime, name: str) -> View:
    """The view of a route under ``/api``, about ``name``. Raises as ``parse_view`` does."""
    _check_names(query, _API_PARAMETERS)
    start, end, range_name = _times(query, now)
    region = _region(query.get("region", ""))
    return View(start=start, end=end, name=name, format=Format.JSON, range_name=range_name, region=region)


def failure_format(path: str, accept: str | None) -> Format:
    """The format of a page that says what is wrong: of HTML, text and JSON the one that the page itself would have."""
    extension = path.rpartition(".")[2] if "." in path.rpartition("/")[2] else ""
    if path.startswith("/api/") or extension == Format.JSON:
        return Format.JSON
    if extension in list(Format) and extension != Format.HTML:
        return Format.TEXT
    if extension == Format.HTML:
        return Format.HTML
    return preferred(accept, (Format.TEXT, Format.HTML, Format.JSON))


def preferred(accept: str | None, among: Sequence[Format] = PAGE_FORMATS, otherwise: Format = Format.HTML) -> Format:
    """The format that an ``Accept`` header prefers; see the module for the cases it leaves open."""
    offers = list(_offers(accept or "*/*"))
    scores = {form: _score(form, offers) for form in among}
    best = max(among, key=lambda form: scores[form])
    return best if scores[best][0] > 0 else otherwise


def _split(path: str) -> tuple[str, str, Format | None]:
    if path == "/":
        return "/dashboards/", OVERVIEW, None
    other = _OTHERS.fullmatch(path)
    if other is not None:
        return "/", other["name"], _extension(other["extension"], PAGE_FORMATS)
    match = _PATH.fullmatch(path)
    if match is None or len(match["name"]) > _MAX_NAME:
        raise PermanentError("not_found", "there is no such page")
    return "/dashboards/", match["name"], _extension(match["extension"], PAGE_FORMATS)


def _extension(extension: str | None, among: Sequence[Format]) -> Format | None:
    if extension is not None and extension not in list(among):
        raise PermanentError("not_found", f"there is no such format; there are {', '.join(sorted(among))}")
    return Format(extension) if extension else None


def _check_names(query: Mapping[str, str], known: Sequence[str]) -> None:
    unknown = next((key for key in query if key not in known), None)
    if unknown is not None:
        raise _invalid(f"unknown parameter {_echo(unknown)}; there are {', '.join(known)}")


def _times(query: Mapping[str, str], now: datetime) -> tuple[datetime, datetime, str]:
    if "from" in query or "to" in query:
        return (*_between(query, now), "")
    name = query.get("range", DEFAULT_RANGE)
    if name not in RANGES:
        raise _invalid(f"range must be one of {', '.join(RANGES)}, not {_echo(name)}")
    end = from_minute(minute_floor(now))
    return end - timedelta(seconds=RANGES[name]), end, name


def _between(query: Mapping[str, str], now: datetime) -> tuple[datetime, datetime]:
    if "range" in query:
        raise _invalid("range cannot stand beside from and to; give one or the other")
    if "from" not in query:
        raise _invalid("to needs from: a time such as 2025-10-18T14:05:00Z or 20251018T1405")
    start = _instant("from", query["from"])
    end = _instant("to", query["to"], up=True) if "to" in query else from_minute(minute_floor(now))
    if not start < min(end, from_minute(minute_floor(now))):
        raise _invalid("from must be before to, and before the present minute")
    if (end - start).total_seconds() > MAX_RANGE_SECONDS:
        raise _invalid("from and to may be at most 72 h apart")
    return start, end


def _instant(name: str, text: str, up: bool = False) -> datetime:
    """A time rounded to the minute; a ``+`` that was decoded to a space before an offset is put back."""
    try:
        exact = from_minute(parse_minute_id(text)) if _MINUTE.fullmatch(text) else parse_iso(_OFFSET.sub("+", text))
        floor = from_minute(minute_floor(exact))
        return floor + timedelta(minutes=1) if up and floor < exact else floor
    except (ValueError, OverflowError) as error:
        form = "a time such as 2025-10-18T14:05:00Z (with an offset) or a minute such as 20251018T1405"
        raise _invalid(f"{name} must be {form}, not {_echo(text)}") from error


def _collection(text: str) -> str:
    if text and not _COLLECTION.fullmatch(text):
        raise _invalid(f"collection must be a name such as cpu_utilization_us, not {_echo(text)}")
    return text


def is_region(text: str) -> bool:
    """Whether an address can name a region so."""
    return _REGION.fullmatch(text) is not None


def _region(text: str) -> str:
    if text and not is_region(text):
        form = "letters, digits, hyphens, dots and underscores, such as us-central1"
        raise _invalid(f"region must be {form}, not {_echo(text)}")
    return text


def _time_zone(text: str) -> str:
    try:
        return ZoneInfo(text).key
    except (ValueError, OSError, KeyError) as error:
        raise _invalid(f"tz must be a time zone such as UTC or Europe/Berlin, not {_echo(text)}") from error


def _flag(query: Mapping[str, str], name: str) -> bool:
    text = query.get(name, "0")
    if text not in ("0", "1"):
        raise _invalid(f"{name} must be 1 or 0, not {_echo(text)}")
    return text == "1"


def _query(view: View) -> Iterator[tuple[str, str]]:
    if not view.range_name:
        yield "from", iso(view.start)
        yield "to", iso(view.end)
    elif view.range_name != DEFAULT_RANGE:
        yield "range", view.range_name
    if view.collection:
        yield "collection", view.collection
    if view.region:
        yield "region", view.region
    if view.tz != "UTC":
        yield "tz", view.tz
    if view.format is Format.TEXT:
        yield from ((name, "1") for name, on in (("ascii", view.ascii_only), ("colour", view.colour)) if on)


def _offers(accept: str) -> Iterator[tuple[str, float]]:
    """The media ranges of a header with their weights, in its order; what is malformed weighs nothing."""
    for part in accept.lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        yield media, _weight(weight)


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return min(1.0, max(0.0, weight)) if math.isfinite(weight) else 0.0


def _score(form: Format, offers: list[tuple[str, float]]) -> tuple[float, int, int]:
    """How much a format is wanted: its weight, whether it is named, and how early."""
    major = form.media_type.partition("/")[0]
    for specific, media_range in ((2, form.media_type), (1, f"{major}/*"), (0, "*/*")):
        for place, (media, weight) in enumerate(offers):
            if media == media_range:
                return weight, specific, -place
    return 0.0, 0, 0


def _echo(text: str) -> str:
    """What was asked for, in quotes and cut: an error repeats no more than it must."""
    return repr(text if len(text) <= _ECHOED else f"{text[:_ECHOED]}…")


def _invalid(sentence: str) -> PermanentError:
    return PermanentError("invalid_request", sentence)
