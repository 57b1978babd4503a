"""The dashboards that a configuration describes, on a simulated deployment."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import timedelta

import pytest

from shared.boards import build_board, rules_of_dashboard
from shared.monitoring_config import MonitoringConfig
from shared.panels import Board, LineChart, Multiples, Status, Strips, Style, Table
from shared.series_panels import SHOWN_SMALL
from tests.fakes import START
from tests.pages import REGIONS, minute_of_traffic, page, run, world
from tests.world import World, point

NAMES = ("performance", "reliability", "cache", "infrastructure")
FORMS = ("html", "txt", "json", "md", "csv")


def board(running: World, name: str, hours: float = 3.0, region: str = "", ago_minutes: float = 0.0) -> Board:
    """A dashboard of the hours before now, or before some minutes ago."""
    now, services = running.clock(), running.services
    end = now - timedelta(minutes=ago_minutes)
    dashboard = services.config.get_dashboard(name)
    return build_board(
        services.config, services.reader, dashboard, end - timedelta(hours=hours), end, now, region=region
    )


def panel(shown: Board, title: str) -> LineChart | Multiples | Table | Strips:
    """The panel of a title."""
    return next(one for one in shown.panels if one.title == title)


@pytest.fixture(scope="module")
def slow() -> World:
    """Ten quiet minutes with a deploy at their end, then seven in which europe-west1 answers slowly."""
    running = world()
    run(running, 10)
    at = running.clock() + timedelta(seconds=10)
    running.publish(point("deploys", at, 1.0, service="api", version="4.18.0", region="europe-west1"))
    run(running, 7, slow="europe-west1")
    return running


class TestPerformance:
    """The performance dashboard while one region is slow."""

    def test_the_regions_stand_side_by_side_worst_first(self, slow: World) -> None:
        """Percentiles, distribution and throughput are there for each region, in one order, the slow one first."""
        shown = board(slow, "performance")
        rows = [one for one in shown.panels if isinstance(one, Multiples)]
        assert [[small.name for small in row.charts] for row in rows] == [
            ["europe-west1", "us-central1", "asia-southeast1"]
        ] * 3
        assert [small.status for small in rows[0].charts] == [Status.CRITICAL, Status.OK, Status.OK]

    def test_percentiles(self, slow: World) -> None:
        """P50, P95 and P99 of the slow region are its own, and P95, which a rule judges, is the main line."""
        chart = panel(board(slow, "performance"), "Response time percentiles by region")
        assert isinstance(chart, Multiples)
        lines = {line.name: line for line in chart.charts[0].chart.lines}
        assert [line.style for line in lines.values()] == [Style.BELOW, Style.MAIN, Style.ABOVE]
        assert lines["P95"].values[-1] == pytest.approx(400, rel=0.02)
        assert lines["P50"].values[0] is None
        assert chart.charts[0].chart.limits[0].value == 200
        assert chart.charts[0].chart.holds == chart.charts[2].chart.holds

    def test_the_distribution_shows_what_percentiles_hide(self, slow: World) -> None:
        """Half of the slow region's requests are beyond the limit, none of another's, and shares add up to one."""
        heat = panel(board(slow, "performance"), "Distribution of response time")
        assert isinstance(heat, Multiples)
        slow_one, other = heat.charts[0].heat, heat.charts[1].heat
        assert slow_one is not None
        assert other is not None
        assert slow_one.over[-1] == pytest.approx(0.5)
        assert other.over[-1] == 0.0
        assert sum(slow_one.shares[-1]) == pytest.approx(1.0)
        assert (slow_one.low, len(slow_one.shares[0])) == (other.low, len(other.shares[0]))

    def test_the_deploy_is_a_flag(self, slow: World) -> None:
        """The deploy is on the charts of its region at its minute, and not on those of another."""
        chart = panel(board(slow, "performance"), "Throughput")
        assert isinstance(chart, Multiples)
        marks = {small.name: [mark.label for mark in small.chart.marks] for small in chart.charts}
        assert marks == {"europe-west1": ["Deploy api 4.18.0"], "us-central1": [], "asia-southeast1": []}
        assert chart.charts[0].chart.marks[0].at == START + timedelta(minutes=11)

    def test_endpoints(self, slow: World) -> None:
        """An endpoint beyond the limit is told as such, with its other percentiles and how it moved."""
        table = panel(board(slow, "performance"), "Endpoints")
        assert isinstance(table, Table)
        row = table.rows[0]
        assert (row.name, row.status) == ("/process", Status.CRITICAL)
        assert [cell.title for cell in row.cells] == ["P95", "P50", "P99", "Requests/s", "Last 3 h"]
        assert len([value for value in row.cells[-1].spark if value is not None]) > 3

    def test_its_answer_is_about_its_own_rules(self, slow: World) -> None:
        """The answer, the checks and the alerts are those of rules on what it shows."""
        shown = board(slow, "performance")
        assert shown.headline.sentence.startswith("P95 response time in europe-west1 is")
        assert {alert.rule for alert in shown.alerts} == {
            "High Response Time - Critical",
            "High Response Time - Warning",
        }
        assert shown.checks == 6

    def test_another_dashboard_counts_them_as_elsewhere(self, slow: World) -> None:
        """A dashboard that is not about it is quiet, and says that something fires elsewhere."""
        shown = board(slow, "infrastructure")
        assert shown.headline.status is Status.OK
        assert shown.headline.detail.endswith("2 alerts fire elsewhere.")
        assert shown.alerts == ()

    def test_what_nobody_judges_is_not_ok(self, slow: World) -> None:
        """Where no rule judges a region by itself, the answer is unknown: not that all is well."""
        told = board(slow, "cache", region="us-central1").headline
        assert told.sentence == "No rule judges us-central1 by itself"
        assert told.status is Status.UNKNOWN

    def test_of_no_other_region(self, slow: World) -> None:
        """A line of a collection that names another region is not on the page of one."""
        chart = panel(board(slow, "infrastructure", region="us-central1"), "CPU utilization")
        assert isinstance(chart, LineChart)
        assert [line.name for line in chart.lines] == ["us-central1"]

    def test_one_region(self, slow: World) -> None:
        """With a region every panel is about it alone."""
        shown = board(slow, "performance", region="us-central1")
        rows = [one for one in shown.panels if isinstance(one, Multiples)]
        assert {small.name for row in rows for small in row.charts} == {"us-central1"}
        assert shown.headline.status is Status.OK

    def test_a_past_range(self, slow: World) -> None:
        """A range that ended before the trouble shows none of it."""
        shown = board(slow, "performance", 0.1, ago_minutes=8)
        assert shown.headline.sentence.startswith("All ")
        chart = panel(shown, "Response time percentiles by region")
        assert isinstance(chart, Multiples)
        assert max(v for line in chart.charts[0].chart.lines for v in line.values if v) == pytest.approx(20, rel=0.02)


class TestReliability:
    """The reliability dashboard."""

    def test_uptime(self, slow: World) -> None:
        """The strip of availability covers 24 h: nothing before the first data, within the limit since."""
        strips = panel(board(slow, "reliability"), "Uptime, 24 hours")
        assert isinstance(strips, Strips)
        first = strips.strips[0]
        assert first.value == pytest.approx(99.99)
        assert set(first.states[:-3]) == {Status.EMPTY}
        assert first.states[-1] is Status.OK
        assert {strip.name for strip in strips.strips} >= {f"Availability {region}" for region in REGIONS}

    def test_what_no_rule_judges_by_itself_is_beyond_the_limit_beside_it(self) -> None:
        """A region that fails has the status of the limit of all, as a signal of its page and as a line."""
        running = world()
        run(running, 6)
        for _ in range(6):
            at = running.clock() + timedelta(seconds=20)
            running.publish(*minute_of_traffic(at), point("errors", at, 3000.0, region="us-central1"))
            running.next_minute()
        signals = {one.name: one.status for one in board(running, "reliability", region="us-central1").signals}
        assert signals["Availability"] is signals["Error rate"] is Status.CRITICAL
        chart = panel(board(running, "reliability"), "Error rate by region")
        assert isinstance(chart, LineChart)
        critical = [line.name for line in chart.lines if line.status is Status.CRITICAL]
        assert critical == ["us-central1"]

    def test_an_outage_is_a_bar(self) -> None:
        """A quarter of an hour beyond the limit is told by state, count and value, and a gap as one."""
        running = world()
        run(running, 16)
        for _ in range(16):
            at = running.clock() + timedelta(seconds=20)
            running.publish(
                point("requests", at, 1000.0, region="us-central1"), point("errors", at, 500.0, region="us-central1")
            )
            running.next_minute()
        for _ in range(32):
            running.next_minute()
        run(running, 1)
        strips = panel(board(running, "reliability"), "Uptime, 24 hours")
        assert isinstance(strips, Strips)
        states = strips.strips[0].states
        assert Status.CRITICAL in states
        assert Status.UNKNOWN in states
        assert states[-1] is Status.OK
        known = len([state for state in states if state not in (Status.EMPTY, Status.UNKNOWN)])
        assert re.match(rf"beyond its limit in \d of {known} steps", strips.strips[0].note)
        assert "without data in" in strips.strips[0].note

    def test_errors_are_counted_over_their_own_time(self, slow: World) -> None:
        """A table of sums counts over its own 24 h, whatever the page's range, and shares add up to all."""
        table = panel(board(slow, "reliability", hours=0.1), "Errors by region")
        assert isinstance(table, Table)
        assert [row.cells[0].value for row in table.rows] == [17 * 6.0] * 3
        assert sum(row.cells[1].value or 0.0 for row in table.rows) == pytest.approx(100)
        assert table.note == "last 24 h"


class TestCache:
    """The cache dashboard, of caches that are and are not published."""

    def test_what_is_not_published_says_how_to(self, slow: World) -> None:
        """A signal without data names the metric that would fill it."""
        shown = board(slow, "cache")
        assert {signal.publish for signal in shown.signals if signal.status is Status.EMPTY} == {
            "cache_requests", "cache_evictions", "cache_ttl_effectiveness",
        }  # fmt: skip

    def test_missing_data(self) -> None:
        """Five minutes in which only the cache was silent are told as missing, with the longest stretch."""
        running = world()
        for minute in range(20):
            at = running.clock() + timedelta(seconds=20)
            running.publish(*minute_of_traffic(at))
            if not 8 <= minute < 13:
                running.publish(point("cache_requests", at, 80.0, level="l1", result="hit", region="us-central1"))
            running.next_minute()
        strips = panel(board(running, "cache"), "Missing data")
        assert isinstance(strips, Strips)
        assert strips.strips[0].value == pytest.approx(75.0)
        assert strips.strips[0].note == "5 min missing, from 12:08"
        assert strips.strips[1].note == "nothing received"

    def test_ttl_effectiveness(self) -> None:
        """It is how much of their time to live entries had lived when they were last of use, on average."""
        running = world()
        for _ in range(5):
            at = running.clock() + timedelta(seconds=20)
            running.publish(*(point("cache_ttl_effectiveness", at, value, level="l1") for value in (60.0, 90.0)))
            running.next_minute()
        signal = next(one for one in board(running, "cache").signals if one.name == "TTL effectiveness")
        assert (signal.value, signal.unit, signal.status) == (75.0, "%", Status.OK)


class TestPages:
    """All dashboards over HTTP."""

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("form", FORMS)
    def test_every_format_answers(self, slow: World, name: str, form: str) -> None:
        """Every dashboard answers in every format, with the policy and with nothing undefined."""
        answer = page(slow, f"/dashboards/{name}.{form}")
        assert answer.status == 200
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert not re.search(r"\bNone\b(?!\.$)|\bnan\b|object at 0x", answer.body.decode(), re.M)

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("form", FORMS)
    def test_before_any_data(self, name: str, form: str) -> None:
        """Before any data every dashboard answers in every format."""
        assert page(world(), f"/dashboards/{name}.{form}").status == 200

    @pytest.mark.parametrize("name", NAMES)
    def test_queries_carry_the_view(self, slow: World, name: str) -> None:
        """The tabs keep range, region and zone, and the ranges keep the dashboard."""
        document = page(
            slow, f"/dashboards/{name}", range="24h", region="us-central1", tz="Europe/Berlin"
        ).body.decode()
        for other in NAMES:
            assert f"/dashboards/{other}?range=24h&amp;region=us-central1&amp;tz=Europe/Berlin" in document
        assert f"/dashboards/{name}?range=72h&amp;region=us-central1&amp;tz=Europe/Berlin" in document

    def test_tabs_have_the_worst_of_their_own(self, slow: World) -> None:
        """The tabs of overview and performance say critical, those of the others nothing."""
        document = page(slow, "/dashboards/cache").body.decode()
        tabs = re.findall(r'<a href="/dashboards/(\w+)"[^>]*>[^<]*(<svg class="g (\w+) s")?', document)
        said = {name: status for name, _, status in tabs}
        assert said == {
            "overview": "critical",
            "performance": "critical",
            "reliability": "",
            "cache": "",
            "infrastructure": "",
        }

    def test_the_numbers_are_those_of_the_model(self, slow: World) -> None:
        """The P95 of the slow endpoint is the same in the model and in every format that has tables."""
        endpoints = panel(board(slow, "performance"), "Endpoints")
        assert isinstance(endpoints, Table)
        value = endpoints.rows[0].cells[0].value
        assert value is not None
        assert f"{value:.3g}" in page(slow, "/dashboards/performance.html").body.decode()
        assert f"{value:.3g}" in page(slow, "/dashboards/performance.txt").body.decode()
        assert f"{value:.1f}" in page(slow, "/dashboards/performance.md").body.decode()
        told = json.loads(page(slow, "/dashboards/performance.json").body)
        table = next(one for one in told["panels"] if one["title"] == "Endpoints")
        assert table["rows"][0]["cells"][0]["value"] == pytest.approx(value)

    def test_csv_has_every_chart(self, slow: World) -> None:
        """CSV has the percentiles of every region by minute, and the newest is the page's."""
        body = page(slow, "/dashboards/performance.csv").body.decode()
        records = [*csv.DictReader(io.StringIO(body))]
        mine = [one for one in records if one["panel"].endswith("in europe-west1") and one["series"] == "P95"]
        assert float(mine[-1]["value"]) == pytest.approx(400, rel=0.02)

    def test_collection_is_of_the_overview(self, slow: World) -> None:
        """A collection chooses the overview's chart, and nothing of another dashboard."""
        assert page(slow, "/dashboards/cache", collection="cpu_utilization_us").status == 400


class TestCrowd:
    """More regions than fit side by side."""

    def test_the_worst_are_shown_and_the_rest_counted(self) -> None:
        """Of 30 regions the three worst have charts, and the page says how many more there are."""
        running = world()
        for _ in range(5):
            at = running.clock() + timedelta(seconds=20)
            running.publish(
                *(point("response_time", at, 300.0 if n == 7 else 20.0, region=f"r{n:02}") for n in range(30))
            )
            running.next_minute()
        chart = panel(board(running, "performance"), "Response time percentiles by region")
        assert isinstance(chart, Multiples)
        assert (chart.charts[0].name, len(chart.charts), chart.total) == ("r07", SHOWN_SMALL, 33)
        assert "and 30 more" in page(running, "/dashboards/performance").body.decode().replace("\u202f", " ")

    def test_immense_numbers(self) -> None:
        """Values up to 1e200 beside tiny ones leave every dashboard small and in one piece."""
        running = world()
        for _ in range(5):
            at = running.clock() + timedelta(seconds=20)
            for value in (1e200, 1e-300, 0.0, 5.0):
                running.publish(point("response_time", at, value, region="us-central1", endpoint="/process"))
            running.publish(point("cpu_utilization", at, 1e200, region="us-central1"))
            running.next_minute()
        for name in NAMES:
            for form in FORMS:
                answer = page(running, f"/dashboards/{name}.{form}")
                assert answer.status == 200
                assert len(answer.body) < (60_000 if form == "html" else 300_000)


@pytest.mark.parametrize(
    ("name", "count"), [("overview", 9), ("performance", 2), ("reliability", 3), ("cache", 1), ("infrastructure", 3)]
)
def test_every_rule_is_of_a_dashboard(name: str, count: int) -> None:
    """The nine rules are all on the overview, and each is on one of the other dashboards."""
    config = MonitoringConfig()
    assert len(rules_of_dashboard(config, config.get_dashboard(name))) == count
