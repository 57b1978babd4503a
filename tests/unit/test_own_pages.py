"""The pages about the monitoring itself: what they say in every format, and ending a silence from them."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.actions import acknowledge, silence
from shared.dashboard import DashboardPages, PageRequest, PageResponse
from shared.forms import COOKIE
from shared.monitoring_config import MonitoringConfig
from shared.own_pages import build_own
from shared.panels import Board, Table
from shared.silences import Matcher
from shared.urls import OWN_PAGES, parse_view
from tests.hostile import ATTACKS, poisoned
from tests.pages import run, world
from tests.unit.test_board_formats import FORMS, Elements, html
from tests.unit.test_deeds import FIRED, TOKEN, fired_at, sent, slow_world
from tests.world import World, point

EXTENSIONS = ("txt", "json", "md", "csv")
FORMULA = '=HYPERLINK("http://evil.example")'


def busy_world() -> World:
    """A deployment in which people did things: an alert is taken, one silence holds, one is to come, one is over."""
    running = slow_world()
    now = running.clock()
    acknowledge(running.store, FIRED, fired_at(running), "Maria", FORMULA, now)
    matchers = [Matcher("rule", "high-cpu-utilization"), Matcher("region", "<b>eu</b>")]
    for name, start, hours in (("holds", 0, 4), ("comes", 2, 5), ("over", -5, 1)):
        begins = now + timedelta(hours=start)
        asked = min(now, begins)
        silence(running.store, name, matchers, begins, begins + timedelta(hours=hours), "Jon", f"Load {name}", asked)
    return running


@pytest.fixture(scope="module")
def busy() -> World:
    """One that is only read."""
    return busy_world()


@pytest.fixture
def changing() -> World:
    """One in which silences are ended."""
    return busy_world()


def test_what_came_before_anybody_judged_is_late_for_nobody() -> None:
    """A past that is published afterwards is no warning on the system's page; a late minute since then is one."""
    running = world()
    at = running.clock()
    run(running, 3)
    for minutes_ago in range(5, 20):
        running.publish(point("up", at - timedelta(minutes=minutes_ago), 1.0, region="us-central1"))
    running.next_minute()
    assert late_minutes(running) == 0
    running.clock.sleep(60)
    running.publish(point("up", at + timedelta(seconds=30), 1.0, region="us-central1"))
    running.next_minute()
    assert late_minutes(running) == 1


def late_minutes(running: World) -> float:
    """How many minutes the system's page counts as changed after they could be rolled up."""
    now = running.clock()
    page = build_own(running.services.config, running.services.reader, parse_view("/system", {}, None, now), now)
    (table,) = (panel for panel in page.panels if isinstance(panel, Table) and panel.title == "What should not be")
    (row,) = (row for row in table.rows if row.name.startswith("Minutes that changed"))
    return row.cells[0].value or 0.0


def get(running: World, path: str, **query: str) -> PageResponse:
    """A page as a browser asks for it."""
    asked = {name.rstrip("_"): value for name, value in query.items()}
    return running.services.dashboard()(PageRequest(path, query=asked, accept="text/html"))


def built(running: World, name: str) -> Board:
    """The model of a page."""
    now = running.clock()
    services = running.services
    return build_own(services.config, services.reader, parse_view(f"/{name}", {}, None, now), now)


def end(running: World, content: dict[str, str], **changed: Any) -> PageResponse:
    """Send what the page of the silences sends."""
    asked = {"token": TOKEN, "author": "Maria", "comment": "", "silence": "holds"} | content
    return running.services.dashboard()(PageRequest("/silences/end", "POST", sent=sent(asked, **changed)))


def ends(running: World) -> dict[str, Any]:
    """When each silence ends."""
    return {one.id: one.ends_at for one in running.services.reader.silences(running.clock())}


class TestFormats:
    """Every page in every format."""

    @pytest.mark.parametrize("name", OWN_PAGES)
    def test_all_are_there(self, busy: World, name: str) -> None:
        """Each page is there in five formats, and leads to the others."""
        document = get(busy, f"/{name}")
        assert document.status == 200
        for other in OWN_PAGES:
            assert f'href="/{other}"' in document.body.decode()
        for extension in EXTENSIONS:
            assert get(busy, f"/{name}.{extension}").status == 200

    @pytest.mark.parametrize("name", OWN_PAGES)
    @pytest.mark.parametrize("extension", EXTENSIONS)
    def test_they_say_the_same(self, busy: World, name: str, extension: str) -> None:
        """The first row's name of each table, and what its first cell says, are in every format alike."""
        told = get(busy, f"/{name}.{extension}").body.decode().replace("\\", "")
        for panel in json.loads(get(busy, f"/{name}.json").body)["panels"]:
            for row in panel.get("rows", ())[:1]:
                cell = row["cells"][0]
                words = cell["note"] if cell["value"] is None else f"{cell['value']:g}"
                assert row["name"][:12] in told
                assert words[:12] in told

    @pytest.mark.parametrize("name", OWN_PAGES)
    def test_alerts_stay_said(self, busy: World, name: str) -> None:
        """What fires is on these pages, too."""
        assert [one["fingerprint"] for one in json.loads(get(busy, f"/{name}.json").body)["alerts"]] != []

    @pytest.mark.parametrize("name", OWN_PAGES)
    def test_before_any_data(self, name: str) -> None:
        """The pages are there before anything was published."""
        answer = get(world(), f"/{name}")
        assert answer.status == 200
        assert b"How to publish" not in answer.body
        assert b"<h2>" in answer.body

    @pytest.mark.parametrize(
        ("name", "query"),
        [("silences", {"region": "eu"}), ("audit", {"collection": "throughput_global"}),
         ("system", {"from_": "20251018T1000"}), ("configuration", {"from_": "20251018T1000"})],
    )  # fmt: skip
    def test_what_they_have_not(self, busy: World, name: str, query: dict[str, str]) -> None:
        """A parameter that would change nothing is refused."""
        assert get(busy, f"/{name}", **query).status == 400


class TestHostile:
    """Names that are not what they seem."""

    @pytest.mark.parametrize("name", OWN_PAGES)
    @pytest.mark.parametrize("form", FORMS)
    def test_every_known_attack(self, busy: World, name: str, form: str) -> None:
        """All known attacks in all strings of a page leave no script and no character that acts."""
        page = built(busy, name)
        for text in ATTACKS:
            told = FORMS[form](poisoned(page, text))
            assert form not in ("html", "markdown") or "<script>alert" not in told
            assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", told)

    @pytest.mark.parametrize("name", OWN_PAGES)
    def test_html_has_the_same_elements(self, busy: World, name: str) -> None:
        """Whatever the strings, the page has the elements and attributes of one with harmless ones."""
        page = built(busy, name)
        harmless = Elements(html(poisoned(page, "x"))).found
        for text in filter(None, ATTACKS):
            assert Elements(html(poisoned(page, text))).found == harmless

    def test_formulas(self, busy: World) -> None:
        """A reason that is a formula is text in CSV, in the column of values, too."""
        records = list(csv.reader(io.StringIO(get(busy, "/audit.csv").body.decode())))
        assert "'" + FORMULA in [record[4] for record in records]
        assert all(len(record) == 5 and not record[4].startswith("=") for record in records)

    def test_a_matcher_is_text(self, busy: World) -> None:
        """A silence's matcher is escaped in the table and in the form."""
        document = get(busy, "/silences").body.decode()
        assert "<b>eu</b>" not in document
        assert document.count("region=&lt;b&gt;eu&lt;/b&gt;") == 5


class TestContent:
    """What each page says."""

    def test_silences(self, busy: World) -> None:
        """What holds and what is to come are one table, what is over another."""
        told = get(busy, "/silences.txt").body.decode()
        assert "1 silence holds" in told
        assert "holds, 4 h left" in told
        assert "begins in 2 h" in told
        assert "over" in told[told.index("OVER") + 4 :]

    def test_audit(self, busy: World) -> None:
        """Who did what is there, newest first, for thirty days before the end of the range."""
        rows = json.loads(get(busy, "/audit.json").body)["panels"][0]["rows"]
        assert sorted(row["name"] for row in rows) == ["Acknowledged", "Silenced", "Silenced", "Silenced"]
        assert rows[-1]["cells"][-1]["note"] == "Load over"
        assert {row["cells"][1]["note"] for row in rows if row["name"] == "Acknowledged"} == {"Maria"}
        earlier = get(busy, "/audit.json", from_="20250901T0000", to="20250902T0000").body
        assert json.loads(earlier)["panels"][0]["rows"] == []

    def test_configuration(self, busy: World) -> None:
        """All rules are there with what they fire on and who hears, and the hash that transitions carry."""
        config = busy.services.config
        told = json.loads(get(busy, "/configuration.json").body)
        assert config.hash in told["headline"]["sentence"]
        assert len(told["panels"][0]["rows"]) == len(config.settings.rules)
        first = {cell["title"]: cell["note"] for cell in told["panels"][0]["rows"][0]["cells"]}
        assert first["Fires"] == "> 200\u202fms"
        assert first["Told on"].startswith("slack, pagerduty")

    def test_no_secret(self, busy: World) -> None:
        """The configuration holds no secret, and the page names none."""
        for extension in ("html", *EXTENSIONS):
            assert b"ION_" not in get(busy, f"/configuration.{extension}").body

    def test_system(self, busy: World) -> None:
        """The health that every footer sums up is there check by check."""
        assert "The monitoring is healthy" in get(busy, "/system.txt").body.decode()
        assert '<a href="/system">Monitoring healthy</a>' in get(busy, "/").body.decode()

    def test_the_system_is_not_well(self) -> None:
        """Without an evaluation the page says what is wrong."""
        told = get(world(), "/system.txt").body.decode()
        assert "The monitoring needs you" in told
        assert "Evaluated." in told

    def test_without_rules(self) -> None:
        """A configuration of nothing says so."""
        settings = replace(MonitoringConfig().settings, rules=())
        told = get(world(MonitoringConfig(settings)), "/configuration.txt").body.decode()
        assert "0 rules" in told
        assert "No rule." in told


class TestEnding:
    """Ending a silence."""

    def test_it_ends(self, changing: World) -> None:
        """It ends now, is in the audit, and the answer leads back; sent twice it changes nothing more."""
        now = changing.clock()
        for _ in range(2):
            answer = end(changing, {})
            assert (answer.status, answer.headers["Location"]) == (303, "/silences")
        assert ends(changing)["holds"] == now
        assert get(changing, "/audit.txt").body.decode().count("Ended a silence") == 1

    def test_one_to_come(self, changing: World) -> None:
        """One that has not begun never holds."""
        assert end(changing, {"silence": "comes"}).status == 303
        assert all(one.ends_at <= one.starts_at for one in changing.services.reader.silences(changing.clock())
                   if one.id == "comes")  # fmt: skip

    @pytest.mark.parametrize(
        ("content", "changed", "status"),
        [
            ({}, {"fetch_site": "cross-site"}, 403),
            ({}, {"fetch_site": None, "origin": "http://evil.example"}, 403),
            ({}, {"cookies": {}}, 403),
            ({"token": "x" * 43}, {}, 403),
            ({"author": ""}, {}, 400),
            ({"silence": ""}, {}, 400),
            ({"silence": "../alerts/x"}, {}, 400),
            ({"silence": "unknown"}, {}, 404),
            ({"comment": "x" * 2000}, {}, 400),
        ],
    )
    def test_refused(self, busy: World, content: dict[str, str], changed: dict[str, Any], status: int) -> None:
        """What is not sent from here, or names nobody or nothing, ends nothing."""
        before = ends(busy)
        assert end(busy, content, **changed).status == status
        assert ends(busy) == before

    def test_read_only(self, busy: World) -> None:
        """Where nothing may be changed there is no form and no token, and whatever is sent is refused."""
        services, before = busy.services, ends(busy)
        pages = DashboardPages(services.config, services.reader, services.now)
        answer = pages(PageRequest("/silences", accept="text/html"))
        assert b"<form" not in answer.body
        assert "Set-Cookie" not in answer.headers
        asked = sent({"token": TOKEN, "author": "Maria", "silence": "holds"})
        assert pages(PageRequest("/silences/end", "POST", sent=asked)).status == 405
        assert ends(busy) == before

    def test_the_form(self, busy: World) -> None:
        """Silences that hold or will hold can be chosen; without any there is no form and no token."""
        answer = get(busy, "/silences")
        document = answer.body.decode()
        assert re.findall(r'<option value="([^"]+)"', document) == ["holds", "comes"]
        assert COOKIE in answer.headers["Set-Cookie"]
        nothing = get(world(), "/silences")
        assert b"<form" not in nothing.body
        assert "Set-Cookie" not in nothing.headers
