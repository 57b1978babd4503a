"""Boards in every format: the same numbers, never stale ones as current, and no name that acts."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from markdown_it import MarkdownIt

from shared.panels import Board, LineChart, Multiples, Shown
from shared.render import render_csv, render_json, render_markdown, render_text
from shared.render.csv_page import inert
from shared.render.html import render_html
from shared.render.plain import clean, columns
from shared.urls import View
from tests import samples
from tests.board_samples import board, boards
from tests.hostile import ATTACKS, WHOLE_PAGES, hostile_strings, poisoned

BOARDS = boards()
SGR = re.compile(r"\x1b\[[0-9;]*m")
VOID = {"meta", "link", "br", "input"}


def html(page: Shown) -> str:
    """The page as a document."""
    return render_html(page, View(start=page.start, end=page.end, name=page.name))


FORMS: dict[str, Callable[[Board], str]] = {
    "html": html,
    "text": render_text,
    "markdown": render_markdown,
    "json": render_json,
    "csv": render_csv,
}


class Elements(HTMLParser):
    """The elements of a document with the names of their attributes, its links, and what was left open."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.found: Counter[tuple[str, ...]] = Counter()
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found[(tag, *sorted(name for name, _ in attrs))] += 1
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found[(tag, *sorted(name for name, _ in attrs))] += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def plain(text: str) -> str:
    """A rendering without what formats put between digits and units."""
    return text.replace("\u202f", "").replace(" ", "").replace("\\", "").replace(",", "")


class TestSameNumbers:
    """One model, five formats."""

    @pytest.mark.parametrize(
        ("number", "exact"),
        [("457", 456.7), ("32.4", 32.4), ("671", 671.3), ("99.91", 99.912), ("17.3", 0.1734), ("23.6", 23.6)],
        ids=["line", "percentile", "table", "strip", "distribution", "second line"],
    )
    def test_every_kind_of_panel(self, number: str, exact: float) -> None:
        """A number of each kind of panel is in HTML, text, Markdown and JSON, at each one's precision."""
        assert number in plain(html(board()))
        for form in (render_text, render_markdown):
            told = plain(form(board()))
            assert number in told or f"{exact:.1f}" in told
        assert f"{exact}" in render_json(board())

    def test_signals(self) -> None:
        """A signal's number is in every format that has words."""
        for name in ("html", "text", "markdown", "json"):
            assert "99.97" in plain(FORMS[name](board())), name

    def test_csv_has_all_values_of_all_lines(self) -> None:
        """Each step of each line is one record with its time, and a gap is an empty value."""
        records = [*csv.DictReader(io.StringIO(render_csv(board())))]
        mine = [one for one in records if one["panel"] == "P95 by region" and one["series"] == "europe-west1"]
        assert [one["value"] for one in mine][-3:] == ["40", "", "456.7"]
        assert mine[-1]["time"] == "2025-10-18T14:31:00Z"
        panels = {one["panel"] for one in records}
        small = [
            small.chart.title for panel in board().panels if isinstance(panel, Multiples) for small in panel.charts
        ]
        assert {*small, "P95 by region"} <= panels

    def test_csv_has_everything_else_that_the_page_shows(self) -> None:
        """A distribution has its shares, a strip its states, a row its cells and trend, an alert its value and note."""
        records = [*csv.DictReader(io.StringIO(render_csv(board())))]
        held = {(one["panel"], one["series"]): one["value"] for one in records}
        distribution = "Distribution in europe-west1"
        assert held[distribution, "share from 19 to 36.1 ms"] == "40"
        assert held[distribution, "share over limit"] == "17.34"
        assert (distribution, "share from 68.6 to 130 ms") not in held
        assert held["Uptime, 24 hours", "Availability"] == "99.912"
        assert held["Uptime, 24 hours", "Availability, status"] == "critical"
        assert held["Endpoints", "/recommend, P95"] == held["Endpoints", "/recommend, Last 3 h"] == "671.3"
        assert held["Endpoints", "/recommend, Since"] == "14:05"
        assert held["Active alerts", "High Response Time - Critical, europe-west1, value"] == "456.48"
        assert held["Percentiles in europe-west1", "P95, usual low"] == "36"
        trend = [one["time"] for one in records if one["series"] == "/recommend, Last 3 h"]
        assert (len(trend), trend[-1]) == (45, "2025-10-18T14:31:12Z")

    @pytest.mark.parametrize(
        ("name", "state", "age"),
        [("board", "current", "12"), ("stale board", "stale", "312"), ("empty board", "no data", "")],
    )
    def test_csv_says_first_how_old_its_data_is(self, name: str, state: str, age: str) -> None:
        """The first lines are whether the data is current, its age in seconds, and the page's status."""
        records = [*csv.reader(io.StringIO(render_csv(BOARDS[name])))][1:4]
        assert [(one[2], one[4]) for one in records[:2]] == [("Data", state), ("Age of the data", age)]
        assert (records[2][2], records[2][4]) == ("Status", BOARDS[name].headline.status.value)

    def test_json_is_a_model_of_all_panels(self) -> None:
        """JSON holds every panel with its kind, id and title, and a distribution with its shares."""
        told = json.loads(render_json(board()))
        assert [panel["kind"] for panel in told["panels"]] == ["multiples", "multiples", "line", "table", "strips"]
        assert told["panels"][1]["charts"][0]["distribution"]["shares"][0][1] == 0.4
        assert told["dashboard"]["performance"]["availability"] == 99.97


def test_a_long_title_is_not_cut() -> None:
    """A panel's title that has no room beside the heads of its columns stands above them."""
    chart = replace(_line_chart(), title="95th percentile of the response time in europe-west1")
    told = render_text(replace(board(), panels=(chart,)))
    assert "95TH PERCENTILE OF THE RESPONSE TIME IN EUROPE-WEST1\n" in told
    assert all(columns(line) <= 100 for line in told.split("\n"))


def _line_chart() -> LineChart:
    return next(panel for panel in board().panels if isinstance(panel, LineChart))


class TestStates:
    """Age, stale and empty are said."""

    @pytest.mark.parametrize("form", ["html", "text", "markdown", "json"])
    def test_stale_is_said(self, form: str) -> None:
        """A page whose data is five minutes old says so in every format that has words."""
        told = FORMS[form](BOARDS["stale board"])
        assert "No data since 14:26" in told.replace("\\", "")
        assert form != "html" or 'class="board old"' in told
        assert form != "json" or json.loads(told)["stale"] is True

    @pytest.mark.parametrize("form", ["html", "text", "markdown"])
    def test_empty_says_how_to_publish(self, form: str) -> None:
        """Before any data the page shows the smallest message that gives it some."""
        assert "response_time" in FORMS[form](BOARDS["empty board"])

    @pytest.mark.parametrize("form", ["html", "text", "markdown"])
    def test_what_is_left_out_is_counted(self, form: str) -> None:
        """Lists that are cut say how many more there are."""
        told = FORMS[form](board()).replace("\u202f", " ")
        assert {"and 2 more", "and 5 more", "and 1 more"} <= set(re.findall(r"and \d more", told))


class TestHostile:
    """Names that are not what they seem, in every format."""

    @WHOLE_PAGES
    @given(hostile_strings())
    def test_html(self, text: str) -> None:
        """Whatever the names, the page has the elements and attributes of one with harmless names, and local links."""
        page = Elements(html(poisoned(board(), text)))
        assert page.found == Elements(html(poisoned(board(), "x" if text else ""))).found
        assert page.open == []
        for address in page.links:
            assert address.startswith(("#", "data:image/svg+xml,", "https://")) or re.match(r"/(?![/\\])", address)

    @WHOLE_PAGES
    @given(hostile_strings())
    def test_text(self, text: str) -> None:
        """Whatever the names, no line exceeds 100 columns or acts; colours are ours; ASCII is ASCII."""
        for page in BOARDS.values():
            for line in render_text(poisoned(page, text)).split("\n"):
                assert columns(line) <= 100
                assert clean(line) == line
        for line in render_text(poisoned(board(), text), colour=True).split("\n"):
            assert "\x1b" not in SGR.sub("", line)
        assert render_text(poisoned(board(), text), ascii_only=True).isascii()

    @WHOLE_PAGES
    @given(hostile_strings())
    def test_markdown(self, text: str) -> None:
        """Whatever the names, Markdown has the blocks of one with harmless names, and neither HTML nor links."""
        reader = MarkdownIt("gfm-like")
        tokens = reader.parse(render_markdown(poisoned(board(), text)))
        harmless = reader.parse(render_markdown(poisoned(board(), "x" if text.strip() else text)))
        assert [one.type for one in tokens] == [one.type for one in harmless]
        inside = {child.type for one in tokens for child in one.children or []}
        assert inside <= {"text", "strong_open", "strong_close", "softbreak", "text_special"}

    @WHOLE_PAGES
    @given(hostile_strings())
    def test_json(self, text: str) -> None:
        """Whatever the names, JSON is ASCII and gives them back."""
        told = render_json(poisoned(board(), text))
        assert told.isascii()
        assert json.loads(told)["panels"][0]["title"] == text

    @WHOLE_PAGES
    @given(hostile_strings())
    def test_csv(self, text: str) -> None:
        """Whatever the names, every record has five fields, and none begins as a formula does."""
        for record in csv.reader(io.StringIO(render_csv(poisoned(board(), text)))):
            assert len(record) == 5
            for field in record[1:4]:
                assert not field.lstrip(" ").startswith(("=", "+", "-", "@", "|", "%", "\t", "\r", "\n"))

    @pytest.mark.parametrize("text", ["=1+1", "@SUM(A1)", "+1", "-1", "  =1", '"=1', "'=1", "\t=1", "\r=1", "|x", "%x"])
    def test_a_formula_is_text(self, text: str) -> None:
        """What a spreadsheet would calculate has an apostrophe first."""
        assert inert(text).startswith("'")

    @pytest.mark.parametrize("text", ["europe-west1", "/process", "P95, 5 min", ""])
    def test_a_name_stays(self, text: str) -> None:
        """A name that is no formula is what it was."""
        assert inert(text) == text

    @pytest.mark.parametrize("form", FORMS)
    def test_every_known_attack(self, form: str) -> None:
        """All known attacks at once, in every format, leave no script and no character that acts."""
        for text in ATTACKS:
            told = FORMS[form](poisoned(board(), text))
            assert form not in ("html", "markdown") or "<script>alert" not in told
            assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", told)


class TestBudgets:
    """How heavy a board may be."""

    @pytest.mark.parametrize("page", BOARDS.values(), ids=BOARDS)
    def test_page(self, page: Board) -> None:
        """A board is at most 15 kB compressed and 60 kB raw."""
        document = html(page).encode()
        assert len(document) <= 60_000
        assert len(gzip.compress(document, 6, mtime=0)) <= 15_000

    def test_nothing_inline(self) -> None:
        """A board has no style attribute, no handler and no inline script."""
        names = {name for element in Elements(html(board())).found for name in element[1:]}
        assert not {name for name in names if name.startswith("on")} | (names & {"style"})
        assert "<style" not in html(board())


def test_a_board_without_signals_has_no_empty_list() -> None:
    """Without signals there is no panel of them."""
    assert '<ul class="signals' not in html(replace(board(), signals=()))
    assert '<ul class="signals' in html(board())


def test_samples_are_of_now() -> None:
    """The sample's alert is as old in every format: 26 minutes."""
    assert samples.overview().alerts == board().alerts
    for form in (html, render_text, render_markdown):
        assert "26 min" in form(board())
