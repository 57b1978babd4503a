"""The overview as an HTML page."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, timedelta
from html.parser import HTMLParser

import pytest
from hypothesis import given

from shared.errors import PermanentError
from shared.panels import Overview, Status, Tab
from shared.render import render_json, render_markdown, render_text
from shared.render.html import asset, asset_href, etag, render_error_html, render_html, render_inbox_html
from shared.render.numbers import figure, terminal_number
from shared.render.status import WORDS
from shared.urls import View
from tests import samples
from tests.hostile import WHOLE_PAGES, hostile_strings, poisoned

PAGES = samples.pages()
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """What a document consists of: elements with attributes, and its text by element."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.words.append(" ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        """All text, runs of space as one."""
        return " ".join("".join(self.words).replace("\u202f", " ").split())

    def values(self, attribute: str) -> list[str]:
        """Every value of an attribute."""
        return [attrs[attribute] or "" for _, attrs in self.elements if attribute in attrs]


def view(page: Overview) -> View:
    """The page's own view."""
    return View(start=page.start, end=page.end)


def rendered(page: Overview) -> str:
    """The page as a document."""
    return render_html(page, view(page))


class TestStory:
    """What the page says, in its own words."""

    def test_answer(self) -> None:
        """The one heading of the page is the answer, with its status as a word for those who do not see the shape."""
        html = rendered(samples.overview())
        assert html.count("<h1>") == 1
        assert "2.3 times its limit, since 14:05 (26 min) (Critical)" in Page(html).text

    def test_title_counts_what_needs_somebody(self) -> None:
        """The title counts critical and warning checks, and a quiet page's title has no count."""
        assert "<title>(2!) Overview · ION Mentoring</title>" in rendered(samples.overview())
        assert "<title>Overview · ION Mentoring</title>" in rendered(samples.all_ok())

    def test_cells_worst_first(self) -> None:
        """The six cells stand worst first, what nobody has to act on last; details are left to the text formats."""
        html = rendered(samples.overview())
        found = re.findall(r'<li class="(\w+)">\s*<span class="n', html)
        assert found == ["critical", "low", "ok", "ok", "ok", "silenced"]

    @pytest.mark.parametrize("status", list(Status))
    def test_status_is_shape_and_word(self, status: Status) -> None:
        """Every status has a glyph that exists on the page; all but ok are named beside it."""
        page = samples.overview()
        html = rendered(replace(page, signals=(replace(page.signals[0], status=status),)))
        symbols = set(re.findall(r'<symbol id="(\w+)"', html))
        assert set(re.findall(r'<use href="#(\w+)"', html)) <= symbols
        cell = html.partition('<ul class="signals panel">')[2].partition("</ul>")[0]
        assert status is Status.OK or f'<b class="w end">{WORDS[status]}</b>' in cell

    def test_alert_row(self) -> None:
        """An alert row has rule, place, who, value, limit and age, the exact instant in its time element."""
        html = rendered(samples.overview())
        text = Page(html).text
        assert "High Response Time, Critical (Critical)" in text
        assert "456 ms > 200" in text
        assert "europe-west1 · ack M. Kessler 14:11" in text
        assert 'datetime="2025-10-18T14:05:07Z" data-age title="since 14:05 UTC">26 min</time>' in html

    def test_footer(self) -> None:
        """The footer tells the monitoring's own health and the age of the data."""
        text = Page(rendered(samples.overview())).text
        assert "Monitoring healthy" in text
        assert "Collections 35 of 35 fresh Deliveries 14 of 14 Dead letters 0" in text
        assert "Data to 14:31:00 UTC" in text

    def test_no_alerts(self) -> None:
        """A quiet page says that nothing needs anybody; a stale one does not."""
        assert "Nothing needs you." in Page(rendered(samples.all_ok())).text
        stale = Page(rendered(samples.stale())).text
        assert "Nothing needs you." not in stale
        assert "None was open at 14:26." in stale

    def test_stale_cells(self) -> None:
        """A stale value names its time and age in place of its change."""
        assert "14:26, 5 min old" in Page(rendered(samples.stale())).text

    def test_empty(self) -> None:
        """Before any data the page shows how to publish, and no panel that would be empty."""
        html = rendered(samples.empty())
        assert "How to publish" in html
        assert "response_time" in Page(html).text
        assert 'class="plot"' not in html
        assert "<h2>Regions" not in html

    def test_chart_in_words(self) -> None:
        """The chart has a sentence and a table for those who do not see it."""
        page = Page(rendered(samples.overview()))
        label = next(attrs["aria-label"] for tag, attrs in page.elements if attrs.get("role") == "img")
        assert label is not None
        assert "europe-west1: now 456" in label
        assert "Time europe-west1 asia-southeast1 us-central1 14:31 456 58.9 23.6" in page.text

    def test_links(self) -> None:
        """Tabs and ranges are those of the page, the current one marked; the other formats are linked."""
        page = Page(rendered(samples.overview()))
        assert "/dashboards/performance" in page.values("href")
        assert "/dashboards/overview.json" in page.values("href")
        assert page.values("aria-current") == ["page", "true"]
        none = Page(rendered(replace(samples.overview(), tabs=(), ranges=())))
        assert none.values("aria-current") == []

    def test_time_zone(self) -> None:
        """Times are in the zone of the view, which is named."""
        page = samples.overview()
        text = Page(render_html(page, replace(view(page), tz="Asia/Tokyo"))).text
        assert "Data to 23:31:00 Asia/Tokyo" in text

    def test_fragment(self) -> None:
        """The fragment is the one element of the document that an open page replaces, letter for letter."""
        page = samples.overview()
        fragment = render_html(page, view(page), fragment=True)
        assert fragment.startswith('<div id="page"')
        assert fragment in rendered(page)
        assert render_html(page, replace(view(page), fragment=True)) == fragment


class TestSameNumbers:
    """One model, four formats."""

    @pytest.mark.parametrize("name", list(PAGES))
    def test_every_signal(self, name: str) -> None:
        """Every signal's number is the same in every format, at that format's precision."""
        page = PAGES[name]
        html, text, markdown, json = (
            Page(rendered(page)).text,
            render_text(page),
            render_markdown(page),
            render_json(page),
        )
        for signal in page.signals:
            digits, unit = figure(signal.value, signal.unit, signal.limit)
            terminal = terminal_number(signal.value, signal.unit, signal.limit)
            assert signal.detail or f"{digits}{unit}" in html
            assert terminal in text
            assert f"| {terminal} |" in markdown
            assert signal.value is None or f'"value": {float(signal.value)}' in json


class TestBudgets:
    """How heavy a page may be."""

    @pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
    def test_page(self, page: Overview) -> None:
        """A page is at most 15 kB compressed and 60 kB raw."""
        html = rendered(page).encode()
        assert len(html) <= 60_000
        assert len(gzip.compress(html, 6, mtime=0)) <= 15_000

    def test_assets(self) -> None:
        """The script is at most 6 kB, the style sheet at most 8 kB."""
        assert len(asset("app.js")[0]) <= 6000
        assert len(asset("app.css")[0]) <= 8000

    def test_long_range_is_not_heavier(self) -> None:
        """Three days at full resolution are drawn with no more points than three hours need."""
        page = samples.overview()
        chart = page.charts[0]
        long = replace(chart, lines=tuple(replace(line, values=line.values * 24) for line in chart.lines))
        html = rendered(replace(page, charts=(long,), start=page.end - timedelta(hours=72))).encode()
        assert len(gzip.compress(html, 6, mtime=0)) <= 15_000


class TestLayout:
    """What the style sheet keeps apart, whatever the reader's font."""

    def test_nothing_of_a_signal_cell_shares_a_place(self) -> None:
        """Name, status word, value, scope and spark of a signal stand in cells of their own."""
        sheet = asset("app.css")[0].decode()
        areas = {name: places(re.search(rf"(?<![\w-])\.{name}{{grid-area:([0-9/]+)", sheet)) for name in "nwk"}
        areas["v"] = places(re.search(r"}\.v{grid-area:([0-9/]+)", sheet))
        areas["scope"] = places(re.search(r"\.scope{grid-area:([0-9/]+)", sheet))
        taken = [place for some in areas.values() for place in some]
        assert len(taken) == len(set(taken)) >= 8

    @pytest.mark.parametrize("part", ["n", "v", "scope", "d"])
    def test_what_is_too_long_is_cut(self, part: str) -> None:
        """The parts of a signal cell that hold names and numbers end in an ellipsis where there is no room."""
        cells = rendered(samples.overview()).partition('<ul class="signals panel">')[2].partition("</ul>")[0]
        found = re.findall(rf'class="({part}\b[^"]*)"', cells)
        assert len(found) == 6
        assert all("cut" in names.split() for names in found)

    def test_a_column_without_numbers_is_not_there(self) -> None:
        """Without changes against last week the personas have no column of them."""
        page = samples.overview()
        still = replace(page, personas=tuple(replace(persona, change=None) for persona in page.personas),
                        facts=tuple(replace(fact, change=None) for fact in page.facts))  # fmt: skip
        assert "Change</th>" in rendered(page)
        assert "Change</th>" not in rendered(still)

    def test_a_line_keeps_its_colour(self) -> None:
        """A region's line has the colour of its place among the regions, also where it is drawn alone."""
        page = samples.overview()
        alone = replace(page.charts[0], lines=(replace(page.charts[0].lines[0], place=1),))
        assert '<b class="s1"><span class="v1">456</span> europe-west1</b>' in rendered(replace(page, charts=(alone,)))


def places(area: re.Match[str] | None) -> set[tuple[int, int]]:
    """The cells of a grid area ``row/column/row/column``."""
    assert area is not None
    row, column, _, *end = [*map(int, area[1].split("/")), 0, 0][:4]
    last = end[0] if end and end[0] else column + 1
    return {(row, place) for place in range(column, last)}


class TestPolicy:
    """What the content security policy demands of every page."""

    @pytest.mark.parametrize(
        "render",
        [
            *(lambda page=page: rendered(page) for page in PAGES.values()),
            lambda: inbox(),
            lambda: render_error_html(404, "No.", service="s", environment="e", now=samples.NOW),
        ],
        ids=[*PAGES, "inbox", "error"],
    )
    def test_nothing_inline_nothing_elsewhere(self, render: Callable[[], str]) -> None:
        """No style attribute or element, no handler, no inline script, and no address of another site."""
        page = Page(render())
        for tag, attrs in page.elements:
            assert tag not in ("style", "base", "iframe", "object", "embed", "form")
            assert "style" not in attrs
            assert not [name for name in attrs if name.startswith("on")]
            assert tag != "script" or (attrs["src"] or "").startswith("/assets/app.js?v=")
        addresses = [address for name in ("href", "src") for address in page.values(name)]
        assert all(address.startswith(("/", "#", "data:image/svg+xml,")) for address in addresses)
        assert page.open == []

    def test_assets_reach_nowhere(self) -> None:
        """Neither asset names another site or makes code of text."""
        for name in ("app.css", "app.js"):
            content = asset(name)[0].decode()
            assert not re.search(r"https?:|//[a-z]|@import|url\(|\beval\b|innerHTML|new Function", content)

    def test_asset_hash(self) -> None:
        """An asset's address changes with its content; another asset does not exist."""
        body, content_type, digest = asset("app.css")
        assert content_type.startswith("text/css")
        assert body
        assert asset_href("app.css") == f"/assets/app.css?v={digest}"
        with pytest.raises(PermanentError) as error:
            asset("../html.py")
        assert error.value.reason == "not_found"


class TestHostile:
    """Names that are not what they seem."""

    @WHOLE_PAGES
    @given(hostile_strings())
    def test_same_elements(self, text: str) -> None:
        """Whatever the names, the page has the elements and attributes it has with harmless ones."""
        harmless = poisoned(samples.overview(), "x" if text else "")
        assert skeleton(rendered(poisoned(samples.overview(), text))) == skeleton(rendered(harmless))

    @WHOLE_PAGES
    @given(hostile_strings())
    def test_links_stay_here(self, text: str) -> None:
        """Whatever the names, every link leads to a path of this site, to a place on the page or to https."""
        for address in Page(rendered(poisoned(samples.overview(), text))).values("href"):
            assert address.startswith(("#", "data:image/svg+xml,", "https://")) or re.match(r"/(?![/\\])", address)

    @pytest.mark.parametrize(
        "href", ["javascript:alert(1)", "//evil.example", "/\\evil.example", "data:text/html,x", ""]
    )
    def test_bad_addresses(self, href: str) -> None:
        """An address that is no path and not https leads nowhere."""
        page = replace(samples.overview(), tabs=(Tab("x", "X", href, Status.OK, False),))
        assert '<a href="#">X</a>' in rendered(page)

    @WHOLE_PAGES
    @given(hostile_strings())
    def test_inbox(self, text: str) -> None:
        """Whatever a notification says, the inbox has the elements it has with harmless words."""
        assert skeleton(inbox(text)) == skeleton(inbox("x"))


class TestEtag:
    """When a page that is open has to be sent again."""

    def test_seconds_do_not_matter(self) -> None:
        """Within a minute the validator stays, because ages count on in the browser."""
        page = samples.overview()
        later = replace(page, now=page.now + timedelta(seconds=20))
        assert etag(page, view(page)) == etag(later, view(page))

    @pytest.mark.parametrize("name", ["minute", "value", "stale", "zone", "format"])
    def test_what_matters(self, name: str) -> None:
        """A new minute, value, zone or form, and becoming stale, change it."""
        page = samples.overview()
        page = replace(page, data_to=samples.DATA_TO - timedelta(seconds=105))
        other, its_view = page, view(page)
        if name == "minute":
            other = replace(page, now=page.now + timedelta(seconds=50))
        elif name == "stale":
            other = replace(page, now=page.now + timedelta(seconds=10))
        elif name == "value":
            other = replace(page, signals=(replace(page.signals[0], value=1.0), *page.signals[1:]))
        elif name == "zone":
            its_view = replace(its_view, tz="Asia/Tokyo")
        else:
            its_view = replace(its_view, fragment=True)
        assert etag(other, its_view) != etag(page, view(page))


class TestOtherPages:
    """The inbox and errors."""

    def test_inbox_newest_first(self) -> None:
        """The inbox shows the newest notification first, whatever the order given, with its channels."""
        text = Page(inbox()).text
        assert text.index("still firing") < text.index("in europe-west1")
        assert "slack, pagerduty, email" in text

    def test_empty_inbox(self) -> None:
        """An empty inbox says so."""
        html = render_inbox_html((), service="s", environment="e", now=samples.NOW, zone=UTC, tabs=())
        assert "Nothing has been sent yet." in html

    def test_error(self) -> None:
        """An error page has the status and one sentence, escaped."""
        html = render_error_html(400, "range must be <1h>", service="s", environment="e", now=samples.NOW)
        assert "<h1>400 Bad Request</h1>" in html
        assert "range must be &lt;1h&gt;" in html


def inbox(text: str | None = None) -> str:
    """The inbox of the story, its strings replaced by ``text``."""
    entries = [*samples.inbox()][::-1]
    entries = entries if text is None else [replace(poisoned(entry, text), href="/x") for entry in entries]
    return render_inbox_html(entries, service="s", environment="e", now=samples.NOW, zone=UTC, tabs=())


def skeleton(html: str) -> Counter[tuple[str, ...]]:
    """How many elements there are of each name with each set of attributes."""
    return Counter((tag, *sorted(attrs)) for tag, attrs in Page(html).elements)
