"""One chart by itself: SVG, PNG, CSV, JSON and text, and what no name may do in it."""

from __future__ import annotations

import csv
import io
import json
import re
import struct
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, timedelta

import pytest
from hypothesis import given

from shared.panels import LineChart
from shared.render.caption import Caption
from shared.render.csv_page import chart_csv
from shared.render.json_page import chart_page_json
from shared.render.plain import clean, columns
from shared.render.standalone import HEIGHT, THEMES, WIDTH, picture, render_svg
from shared.render.text_panels import chart_text
from tests import samples
from tests.fakes import START
from tests.hostile import WHOLE_PAGES, hostile_strings, poisoned
from tests.pages import page, run, world
from tests.world import World, point

SVG = "{http://www.w3.org/2000/svg}"
CAPTION = Caption("ION Mentoring", "production", samples.NOW, samples.DATA_TO, None, 10_800)
CHART = samples.overview().charts[0]


def svg(chart: LineChart = CHART, caption: Caption = CAPTION, theme: str = "light") -> str:
    """The chart as a document."""
    return render_svg(chart, caption, UTC, "UTC", theme)


def words(document: str) -> list[str]:
    """The texts that are drawn."""
    return ["".join(one.itertext()).replace("\u202f", " ") for one in ET.fromstring(document).iter(f"{SVG}text")]


@pytest.fixture(scope="module")
def slow() -> World:
    """Ten quiet minutes, a deploy, and seven minutes in which europe-west1 is slow."""
    running = world()
    run(running, 10)
    at = START + timedelta(minutes=10, seconds=10)
    running.publish(point("deploys", at, 1.0, service="api", version="4.18.0"))
    run(running, 7, slow="europe-west1")
    return running


class TestPicture:
    """What a picture says."""

    def test_everything_is_named(self) -> None:
        """Title, unit, range, zone, service, age, limits, alert, deploy and the lines' ends are in words."""
        told = " | ".join(words(svg()))
        for part in ("P95 response time by region", "ms, 1 min, last 3 h, UTC", "ION Mentoring production",
                     "data to 14:31, 12 s old", "Critical 200 ms", "Warning 100 ms", "since 14:05",
                     "Deploy api 4.18.0, 14:03", "456 europe-west1", "58.9 asia-southeast1"):  # fmt: skip
            assert part in told

    def test_old_data_is_called_old(self) -> None:
        """A picture of data five minutes old says so, in the warning's colour."""
        old = replace(CAPTION, data_to=samples.DATA_TO - timedelta(minutes=5))
        assert "no data since 14:26 (5 min)" in words(svg(caption=old))
        assert THEMES["light"]["warning"] in svg(caption=old)
        assert THEMES["light"]["warning"] not in svg(replace(CHART, spans=()))

    def test_no_data_is_said(self) -> None:
        """A chart without any line says that nothing was received, and that there is no data."""
        told = words(svg(replace(CHART, lines=(), spans=(), marks=()), replace(CAPTION, data_to=None)))
        assert "Nothing received in this range." in told
        assert "no data" in told

    def test_it_is_described_for_those_who_do_not_see_it(self) -> None:
        """Title and description are in the document, as a sentence with the numbers."""
        root = ET.fromstring(svg())
        assert root.findtext(f"{SVG}title") == CHART.title
        assert "europe-west1: now 456" in (root.findtext(f"{SVG}desc") or "").replace("\u202f", " ")

    @pytest.mark.parametrize("theme", THEMES)
    def test_nothing_lies_outside(self, theme: str) -> None:
        """All paths and words begin inside the picture, and all colours are literal ones of the theme."""
        document = svg(theme=theme)
        for element in ET.fromstring(document).iter():
            for name, most in (("x", WIDTH), ("y", HEIGHT), ("cx", WIDTH), ("cy", HEIGHT)):
                assert 0 <= float(element.get(name, "0")) <= most
        colours = set(re.findall(r'(?:fill|stroke)="([^"]+)"', document)) - {"none"}
        assert colours <= set(THEMES[theme].values())

    def test_the_usual_range_is_a_band(self) -> None:
        """The usual range of the line in question is drawn, and none where none is known."""
        band = f'fill="{THEMES["light"]["quiet"]}" opacity=".2"'
        assert svg().count(band) == 1
        assert band not in svg(replace(CHART, lines=CHART.lines[1:]))

    @pytest.mark.parametrize("theme", THEMES)
    def test_png_has_words(self, theme: str) -> None:
        """A PNG is drawn with a font that comes along: it has the size, and without its texts it is another picture."""
        document = svg(theme=theme)
        image, mute = picture(document), picture(re.sub(r"<text.*?</text>", "", document))
        assert image.startswith(b"\x89PNG\r\n\x1a\n")
        width, height = struct.unpack(">II", image[16:24])
        assert width / height == WIDTH / HEIGHT
        assert len(image) > len(mute) + 2000


class TestHostile:
    """Names that are not what they seem."""

    @WHOLE_PAGES
    @given(hostile_strings())
    def test_svg(self, text: str) -> None:
        """Whatever the names, the document is well formed and has the elements of one with harmless names."""
        mine, harmless = (svg(poisoned(CHART, one), poisoned(CAPTION, one)) for one in (text, "x" if text else ""))
        root = ET.fromstring(mine)
        assert [one.tag for one in root.iter()] == [one.tag for one in ET.fromstring(harmless).iter()]
        assert {name for one in root.iter() for name in one.attrib if name.startswith("on") or "href" in name} == set()
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", mine)

    @WHOLE_PAGES
    @given(hostile_strings())
    def test_text_json_and_csv(self, text: str) -> None:
        """Whatever the names, text is plain and narrow, JSON gives them back, and CSV has no formula."""
        chart, caption = poisoned(CHART, text), poisoned(CAPTION, text)
        for line in chart_text(chart, caption, UTC).split("\n"):
            assert columns(line) <= 100
            assert clean(line) == line
        assert json.loads(chart_page_json(chart, caption))["chart"]["title"] == text
        for record in csv.reader(io.StringIO(chart_csv(chart, caption))):
            assert not any(field.lstrip().startswith(("=", "+", "-", "@")) for field in record[1:4])

    def test_png(self) -> None:
        """A picture whose names are markup is drawn."""
        for text in ("</svg><script>", "&#0;", "]]>", "\ud800", "漢字🚨"):
            assert picture(svg(poisoned(CHART, text), poisoned(CAPTION, text))).startswith(b"\x89PNG")


class TestPages:
    """The addresses of charts."""

    @pytest.mark.parametrize(
        ("extension", "media_type"),
        [("", "image/svg+xml"), (".svg", "image/svg+xml"), (".png", "image/png"), (".csv", "text/csv; charset=utf-8"),
         (".json", "application/json"), (".txt", "text/plain; charset=utf-8")],
    )  # fmt: skip
    def test_formats(self, slow: World, extension: str, media_type: str) -> None:
        """Every extension answers with its media type, none with SVG."""
        answer = page(slow, f"/charts/response_time_eu{extension}")
        assert (answer.status, answer.content_type) == (200, media_type)

    def test_all_show_the_same_number(self, slow: World) -> None:
        """The newest P95 is the same in SVG, CSV, JSON and text."""
        chart = json.loads(page(slow, "/charts/response_time_eu.json").body)["chart"]
        value = chart["lines"][0]["values"][-1]
        assert value == pytest.approx(400, rel=0.02)
        assert f"{value:.3g} europe-west1" in words(page(slow, "/charts/response_time_eu.svg").body.decode())
        assert f"{value:.9g}" in page(slow, "/charts/response_time_eu.csv").body.decode().splitlines()[-1]
        assert f"{value:.1f}ms" in page(slow, "/charts/response_time_eu.txt").body.decode()

    def test_limit_alert_and_deploy_are_drawn(self, slow: World) -> None:
        """The chart of a collection has the limits of its rules, the span of its alert and the deploy."""
        chart = json.loads(page(slow, "/charts/response_time_eu.json").body)["chart"]
        assert [limit["value"] for limit in chart["limits"]] == [200.0, 100.0]
        assert [span["severity"] for span in chart["spans"]] == ["critical"]
        assert [mark["label"] for mark in chart["marks"]] == ["Deploy api 4.18.0"]

    @pytest.mark.parametrize(
        ("query", "status"),
        [({"range": "24h"}, 200), ({"from_": "2025-10-18T12:02:00Z", "to": "2025-10-18T12:09:00Z"}, 200),
         ({"tz": "Asia/Tokyo", "theme": "dark"}, 200), ({"theme": "neon"}, 400), ({"range": "9h"}, 400),
         ({"colour": "1"}, 400), ({"region": "us-central1"}, 200)],
    )  # fmt: skip
    def test_queries(self, slow: World, query: dict[str, str], status: int) -> None:
        """Range, from, to, zone, theme and region are taken, and mistakes are a 400."""
        assert page(slow, "/charts/response_time_eu.svg", **query).status == status

    @pytest.mark.parametrize("path", ["/charts/nope.svg", "/charts/requests_total.gif", "/charts/", "/charts/A.svg"])
    def test_unknown(self, slow: World, path: str) -> None:
        """An unknown chart or format is a 404 or, of a name that could be one, a 400."""
        assert page(slow, path).status in (400, 404)

    def test_a_region_of_a_metric_without_regions(self, slow: World) -> None:
        """A region of what has none is refused."""
        assert page(slow, "/charts/persona_lua_count.svg", region="us-central1").status == 400

    def test_the_monitorings_own(self, slow: World) -> None:
        """The monitoring's own metrics have charts too."""
        assert page(slow, "/charts/ion_points.svg").status == 200
