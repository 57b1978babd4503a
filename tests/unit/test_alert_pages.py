"""The list of alerts and the page of one, on a simulated deployment."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from shared.actions import acknowledge
from shared.alert_pages import build_alert, build_alerts, episodes
from shared.alerts import fingerprint
from shared.channels.story import link
from shared.errors import PermanentError
from shared.panels import Board, LineChart, Status, Table
from tests.pages import minute_of_traffic, page, run, world
from tests.world import World, point

FIRED = fingerprint("high-response-time-critical", (("region", "europe-west1"),))
FORMS = ("html", "txt", "json", "md", "csv")


@pytest.fixture(scope="module")
def slow() -> World:
    """Ten quiet minutes, then seven in which europe-west1 is slow; somebody has taken its alert."""
    running = world()
    run(running, 10)
    run(running, 7, slow="europe-west1")
    fired = next(one.fired_at for one in running.services.reader.alerts() if one.fingerprint == FIRED)
    assert isinstance(fired, datetime)
    acknowledge(running.store, FIRED, fired, "Maria <b>Kessler</b>", "Looks like the cache key.", running.clock())
    return running


@pytest.fixture(scope="module")
def over() -> World:
    """The same, and ten quiet minutes after it."""
    running = world()
    run(running, 10)
    run(running, 7, slow="europe-west1")
    run(running, 10)
    return running


def test_what_a_message_links_to_is_the_page_of_its_alert(slow: World) -> None:
    """The one link of a notification opens the page of its alert, on which that can be silenced or taken."""
    for told in slow.notified.values():
        shown = page(slow, link(told, "https://d.example").removeprefix("https://d.example"))
        assert shown.status == 200
        assert told.rule_name in shown.body.decode()
        assert f"/alerts/{told.fingerprint}/silence" in shown.body.decode()


def alerts(running: World) -> Board:
    """The list now, of three hours."""
    now, services = running.clock(), running.services
    return build_alerts(services.config, services.reader, now - timedelta(hours=3), now, now)


def alert(running: World, one: str = FIRED) -> Board:
    """One alert's page now."""
    return build_alert(running.services.config, running.services.reader, one, running.clock(), UTC)


def table(shown: Board, title: str) -> Table:
    """The table of a title."""
    return next(one for one in shown.panels if isinstance(one, Table) and one.title == title)


class TestList:
    """What fires and what fired."""

    def test_what_fires(self, slow: World) -> None:
        """The active alerts come first, each with the address of its page, and the history has them as still firing."""
        shown = alerts(slow)
        assert shown.alerts[0].href == f"/alerts/{FIRED}"
        history = table(shown, "History")
        assert history.rows[0].cells[-1].note == "still fires"
        assert {row.status for row in history.rows} == {Status.CRITICAL, Status.WARNING}

    @pytest.mark.parametrize("form", ["html", "txt", "md"])
    def test_active_first(self, slow: World, form: str) -> None:
        """In every format that is read from its beginning what fires stands before what fired."""
        told = page(slow, f"/alerts.{form}").body.decode().lower()
        assert told.index("active alerts") < told.index("history")

    def test_what_fired(self, over: World) -> None:
        """An episode that is over has when it fired, how long it lasted, and how it ended."""
        shown = alerts(over)
        assert shown.alerts == ()
        row = next(one for one in table(shown, "History").rows if one.name == "High Response Time, Critical")
        assert row.status is Status.RESOLVED
        where, fired, lasted, ended = (cell.note for cell in row.cells)
        assert (where, ended) == ("europe-west1", "Resolved")
        assert re.fullmatch(r"12:1\d", fired)
        assert lasted.endswith("min")

    def test_nothing(self) -> None:
        """Before anything fired the page says so, in words."""
        running = world()
        run(running, 3)
        assert "Nothing has fired in 72 h." in page(running, "/alerts").body.decode()

    def test_an_episode_is_one_firing_and_its_end(self, over: World) -> None:
        """Of all transitions each firing is one episode, with the evaluation at which it went pending."""
        now = int(over.clock().timestamp())
        found = list(episodes(over.services.reader.transitions(now - 3600, now, over.clock())))
        one = next(one for one in found if one.fingerprint == FIRED)
        assert one.began < one.fired
        assert one.ended is not None
        assert one.fired < one.ended


class TestOne:
    """One alert."""

    def test_what_fires_elsewhere(self, slow: World) -> None:
        """Its first sentences do not deny in one what the next says."""
        assert alert(slow).headline.detail == "Nothing else fires here. 1 alert fires elsewhere."

    def test_its_graph(self, slow: World) -> None:
        """The graph is of its own group alone, at the range of the episode, with its limit and its span."""
        chart = alert(slow).panels[0]
        assert isinstance(chart, LineChart)
        assert [line.name for line in chart.lines] == ["europe-west1"]
        assert chart.lines[0].values[-1] == pytest.approx(400, rel=0.02)
        assert 200 in {limit.value for limit in chart.limits}
        assert [span.end for span in chart.spans] == [None]

    def test_a_ratio_has_contributors_by_what_both_sides_have(self) -> None:
        """Errors have a type and requests none, so a rate of errors has no contributors by type."""
        running = world()
        run(running, 5)
        for _ in range(4):
            at = running.clock() + timedelta(seconds=20)
            running.publish(*minute_of_traffic(at), point("errors", at, 9000.0, region="us-central1", type="timeout"))
            running.next_minute()
        titles = [panel.title for panel in alert(running, fingerprint("high-error-rate-critical", ())).panels]
        assert "Contributors by region" in titles
        assert "Contributors by type" not in titles

    def test_its_contributors(self, slow: World) -> None:
        """The endpoints of the slow region stand with their values during and before the episode."""
        rows = table(alert(slow), "Contributors by endpoint").rows
        assert [(row.name, row.status) for row in rows] == [("/process", Status.CRITICAL)]
        during, before = rows[0].cells
        assert during.value == pytest.approx(400, rel=0.02)
        assert before.value == pytest.approx(20, rel=0.02)

    def test_its_timeline(self, slow: World) -> None:
        """What happened and who did what stand in it, the newest first."""
        rows = table(alert(slow), "Timeline").rows
        assert [row.name for row in rows] == ["Acknowledged: Looks like the cache key.", "Fired", "Pending"]
        assert rows[0].cells[-1].note == "Maria <b>Kessler</b>"

    def test_what_fires_with_it(self, slow: World) -> None:
        """The other alerts that fire stand beside it, and it is none of them."""
        shown = alert(slow)
        assert [one.rule for one in shown.alerts] == ["High Response Time - Warning"]
        for form in ("html", "txt", "md"):
            assert "also firing" in page(slow, f"/alerts/{FIRED}.{form}").body.decode().lower()

    def test_it_fires(self, slow: World) -> None:
        """While it fires the answer is the one of the dashboards, without a button that leads here."""
        shown = alert(slow)
        assert shown.headline.status is Status.CRITICAL
        assert shown.headline.sentence.startswith("P95 response time in europe-west1 is")
        assert shown.headline.href == ""

    def test_it_is_over(self, over: World) -> None:
        """Afterwards it says what was, how long it lasted, and when."""
        told = alert(over).headline
        assert told.status is Status.RESOLVED
        assert re.fullmatch(
            r"Resolved after \d+ min: P95 response time in europe-west1 was above 200.ms", told.sentence
        )
        assert "ended" in told.detail

    def test_none(self, slow: World) -> None:
        """An alert that never was is not found."""
        with pytest.raises(PermanentError) as error:
            alert(slow, "0" * 16)
        assert error.value.reason == "not_found"


class TestPages:
    """Both over HTTP."""

    @pytest.mark.parametrize("path", ["/alerts", f"/alerts/{FIRED}"])
    @pytest.mark.parametrize("form", FORMS)
    def test_every_format(self, slow: World, over: World, path: str, form: str) -> None:
        """Every format answers, while it fires and after."""
        for running in (slow, over):
            answer = page(running, f"{path}.{form}")
            assert answer.status == 200
            assert b"<b>Kessler" not in answer.body or form in ("json", "txt", "csv")

    def test_the_answer_leads_to_it(self, slow: World) -> None:
        """Every dashboard that says that it fires has a button that opens it, and the list's rows do too."""
        for name in ("overview", "performance"):
            assert f'href="/alerts/{FIRED}">Open alert' in page(slow, f"/dashboards/{name}").body.decode()
        assert page(slow, "/alerts").body.decode().count(f"/alerts/{FIRED}") >= 2

    @pytest.mark.parametrize("path", ["/alerts/0000000000000000", "/alerts/x", "/alerts/", "/alerts.gif"])
    def test_unknown(self, slow: World, path: str) -> None:
        """What is no alert is a 404."""
        assert page(slow, path).status == 404

    def test_json_has_the_panels(self, slow: World) -> None:
        """The page of an alert in JSON holds graph, timeline and contributors."""
        told = json.loads(page(slow, f"/alerts/{FIRED}.json").body)
        assert [one["title"] for one in told["panels"]][1:] == [
            "Timeline", "Contributors by endpoint", "This rule with other settings",
        ]  # fmt: skip

    def test_the_formats_are_linked(self, slow: World) -> None:
        """An alert's page links to its other formats, and the tabs lead to the dashboards."""
        document = page(slow, f"/alerts/{FIRED}").body.decode()
        assert f'href="/alerts/{FIRED}.json"' in document
        assert 'href="/dashboards/performance"' in document
        assert 'href="/alerts" aria-current="page"' in document
