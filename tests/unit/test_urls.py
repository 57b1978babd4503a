"""The URL grammar."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import PermanentError
from shared.urls import DEFAULT_RANGE, PAGE_FORMATS, RANGES, Format, View, parse_view, preferred

NOW = datetime(2025, 10, 18, 14, 31, 12, tzinfo=UTC)
END = datetime(2025, 10, 18, 14, 31, tzinfo=UTC)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


def view(path: str = "/", accept: str | None = BROWSER, **query: str) -> View:
    """The view of an address; a parameter that is a keyword has an underscore behind it."""
    return parse_view(path, {name.rstrip("_"): value for name, value in query.items()}, accept, NOW)


def outcome(query: dict[str, str]) -> View | PermanentError:
    """What some parameters make: a view, or why not."""
    try:
        return parse_view("/", query, None, NOW)
    except PermanentError as error:
        return error


class TestPath:
    """Names and formats."""

    @pytest.mark.parametrize(
        ("path", "name", "form"),
        [
            ("/", "overview", Format.HTML),
            ("/dashboards/overview", "overview", Format.HTML),
            ("/dashboards/overview.txt", "overview", Format.TEXT),
            ("/dashboards/overview.json", "overview", Format.JSON),
            ("/dashboards/overview.md", "overview", Format.MARKDOWN),
            ("/dashboards/overview.html", "overview", Format.HTML),
            ("/dashboards/cache-performance.txt", "cache-performance", Format.TEXT),
        ],
    )
    def test_known(self, path: str, name: str, form: Format) -> None:
        """A path names a dashboard and, by its extension, a format."""
        found = view(path)
        assert (found.name, found.format) == (name, form)

    @pytest.mark.parametrize(
        "path",
        ["", "/x", "/dashboards", "/dashboards/", "/dashboards/a.pdf", "/dashboards/../x", "/dashboards/A", "//",
         "/dashboards/a/b", "/dashboards/a.", "/dashboards/-a", f"/dashboards/{'a' * 65}", "/dashboards/a\n"],
    )  # fmt: skip
    def test_unknown(self, path: str) -> None:
        """Any other path is not found."""
        with pytest.raises(PermanentError) as error:
            view(path)
        assert error.value.reason == "not_found"

    def test_extension_beats_accept(self) -> None:
        """A browser that opens a .json address gets JSON."""
        assert view("/dashboards/overview.json", BROWSER).format is Format.JSON


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (BROWSER, Format.HTML),
        ("*/*", Format.TEXT),
        (None, Format.TEXT),
        ("", Format.TEXT),
        ("text/html", Format.HTML),
        ("text/html, */*", Format.HTML),
        ("text/plain", Format.TEXT),
        ("text/*", Format.TEXT),
        ("application/json", Format.JSON),
        ("application/json, text/plain, */*", Format.JSON),
        ("text/plain;q=0.5, text/markdown", Format.MARKDOWN),
        ("TEXT/HTML; q=1.0", Format.HTML),
        ("text/html;q=0, */*", Format.TEXT),
        ("image/png", Format.HTML),
        ("text/plain;q=nonsense", Format.HTML),
        ("text/plain;q=nan, application/json;q=0.1", Format.JSON),
        (";;,,/", Format.HTML),
    ],
)
def test_accept(accept: str | None, expected: Format) -> None:
    """Browsers get HTML, programs that accept anything alike get text, others what they prefer."""
    assert preferred(accept) is expected


class TestTimes:
    """Ranges and instants."""

    @pytest.mark.parametrize(("name", "seconds"), RANGES.items())
    def test_range(self, name: str, seconds: int) -> None:
        """A range ends with the newest whole minute."""
        found = view(range=name)
        assert (found.end, found.end - found.start, found.range_name) == (END, timedelta(seconds=seconds), name)

    def test_default(self) -> None:
        """Without parameters the view is three hours in UTC."""
        found = view()
        assert found == View(END - timedelta(hours=3), END)
        assert found.range_name == DEFAULT_RANGE

    @pytest.mark.parametrize(
        "start",
        ["2025-10-18T14:05:00Z", "20251018T1405", "2025-10-18T16:05:00+02:00", "2025-10-18T16:05:00 02:00",
         "2025-10-18T14:05:59.9Z"],
    )  # fmt: skip
    def test_from(self, start: str) -> None:
        """From is RFC 3339 or a minute, a decoded plus is understood, and it is rounded down."""
        found = view(from_=start)
        assert (found.start, found.end, found.range_name) == (END.replace(minute=5), END, "")

    def test_to_is_rounded_up(self) -> None:
        """What was asked for is in the view: to is rounded up to the minute."""
        found = view(from_="20251018T1405", to="2025-10-18T14:42:00.000001Z")
        assert found.end == END.replace(minute=43)


class TestRefused:
    """Malformed parameters."""

    @pytest.mark.parametrize(
        ("query", "name"),
        [
            ({"range": "5h"}, "range"),
            ({"range": ""}, "range"),
            ({"range": "3h", "from": "20251018T1405"}, "range"),
            ({"to": "20251018T1405"}, "to"),
            ({"from": "yesterday"}, "from"),
            ({"from": "2025-10-18T14:05:00"}, "from"),
            ({"from": "20251318T1405"}, "from"),
            ({"from": "20251018T1405", "to": "x"}, "to"),
            ({"from": "20251018T1405", "to": "20251018T1405"}, "from"),
            ({"from": "20251018T1405", "to": "20251018T1400"}, "from"),
            ({"from": "20251019T1405"}, "from"),
            ({"from": "20251014T1405"}, "from"),
            ({"from": "20251018T1431", "to": "20251018T1500"}, "from"),
            ({"from": "9999-12-31T23:59:30Z", "to": "9999-12-31T23:59:30Z"}, "to"),
            ({"region": "a b"}, "region"),
            ({"region": "-a"}, "region"),
            ({"region": "<b>"}, "region"),
            ({"tz": "Mars/Base"}, "tz"),
            ({"tz": "../../etc/passwd"}, "tz"),
            ({"tz": ""}, "tz"),
            ({"tz": "\x00"}, "tz"),
            ({"ascii": "yes"}, "ascii"),
            ({"colour": "2"}, "colour"),
            ({"fragment": ""}, "fragment"),
            ({"rnage": "3h"}, "rnage"),
        ],
    )
    def test_names_the_parameter(self, query: dict[str, str], name: str) -> None:
        """A malformed parameter is an invalid request whose sentence names it."""
        with pytest.raises(PermanentError) as error:
            parse_view("/", query, None, NOW)
        assert error.value.reason == "invalid_request"
        assert name in error.value.detail

    @given(st.sampled_from(["range", "from", "to", "region", "tz", "ascii", "colour", "fragment", "x"]), st.text())
    def test_nothing_else_is_raised(self, name: str, value: str) -> None:
        """Any text in any parameter makes a view or a permanent error with a short sentence."""
        found = outcome({name: value})
        assert isinstance(found, View) or (found.reason == "invalid_request" and len(found.detail) < 400)

    @given(st.text())
    def test_any_accept(self, accept: str) -> None:
        """Any Accept header makes a format."""
        assert preferred(accept) in list(Format)


class TestHref:
    """Addresses of views."""

    @pytest.mark.parametrize(
        "query",
        [
            {},
            {"range": "24h"},
            {"from": "20251018T1405"},
            {"from": "2025-10-18T14:05:00Z", "to": "2025-10-18T14:42:00Z", "region": "europe-west1"},
            {"tz": "Europe/Berlin", "range": "72h"},
        ],
    )
    @pytest.mark.parametrize("form", PAGE_FORMATS)
    def test_round_trip(self, query: dict[str, str], form: Format) -> None:
        """Parsing a view's address gives the view back, in every format."""
        found = replace(parse_view("/", query, BROWSER, NOW), format=form)
        parts = urlsplit(found.href())
        assert parse_view(parts.path, dict(parse_qsl(parts.query)), BROWSER, NOW) == found

    def test_short(self) -> None:
        """Defaults are left out, and HTML has no extension."""
        assert view().href() == "/dashboards/overview"
        assert view(range="24h").href() == "/dashboards/overview?range=24h"

    def test_changes(self) -> None:
        """An address can be asked for with another format, name, range, region or zone."""
        found = view(from_="20251018T1405", region="us-central1", fragment="1")
        assert (
            found.href(range_name="1h", as_format=Format.JSON)
            == "/dashboards/overview.json?range=1h&region=us-central1"
        )
        assert found.href(region="", range_name="3h", name="cache") == "/dashboards/cache"

    def test_text_flags(self) -> None:
        """The text format keeps its flags, the others have none."""
        found = view("/dashboards/overview.txt", ascii="1", colour="1")
        assert found.href() == "/dashboards/overview.txt?ascii=1&colour=1"
        assert found.href(as_format=Format.HTML) == "/dashboards/overview"


def test_content_types() -> None:
    """Each format has its media type, text ones with their encoding."""
    assert [form.content_type for form in Format] == [
        "text/html; charset=utf-8",
        "text/plain; charset=utf-8",
        "application/json",
        "text/markdown; charset=utf-8",
        "text/csv; charset=utf-8",
        "image/svg+xml",
        "image/png",
    ]
