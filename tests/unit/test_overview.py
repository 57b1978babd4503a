"""The overview's model, built from what a simulated deployment stored."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest

from shared.dashboard import PageRequest
from shared.overview import build_overview
from shared.panels import Status
from tests.pages import minute_of_traffic, overview, run, world
from tests.world import World, point


def page_of(running: World, path: str, accept: str = "text/html") -> str:
    """A page as it is answered."""
    return running.services.dashboard()(PageRequest(path, accept=accept)).body.decode()


class TestOverview:
    """What the page says."""

    def test_before_any_data(self) -> None:
        """Without data the headline says so, every signal is empty, and nothing claims to be healthy."""
        page = overview(world())
        assert page.headline.status is Status.EMPTY
        assert page.headline.sentence == "Nothing has been received in 3 h"
        assert {signal.status for signal in page.signals} == {Status.EMPTY}
        assert page.data_to is None
        assert not page.health.ok

    def test_values_are_those_of_the_windows(self) -> None:
        """Each signal's value is its query over the last five minutes."""
        running = world()
        run(running, 6)
        values = {signal.id: signal.value for signal in overview(running).signals}
        assert values["throughput"] == pytest.approx(3 * 1000.0)
        assert values["error_rate"] == pytest.approx(0.01)
        assert values["availability"] == pytest.approx(99.99)
        assert values["response_time_p95"] == pytest.approx(20.0, rel=0.011)
        assert values["cpu"] == 50.0

    def test_worst_region_is_the_subject(self) -> None:
        """The signal, the headline and the first region are about the region that is slow."""
        running = world()
        run(running, 6)
        run(running, 4, slow="europe-west1")
        page = overview(running)
        latency = next(signal for signal in page.signals if signal.id == "response_time_p95")
        assert (latency.scope, latency.status) == ("europe-west1", Status.CRITICAL)
        assert "europe-west1" in page.headline.sentence
        assert page.regions[0].name == "europe-west1"
        assert [line.name for line in page.charts[0].lines if line.subject] == ["europe-west1"]
        assert [span.label for span in page.charts[0].spans] == ["europe-west1"]
        assert page.alerts[0].severity == "critical"

    def test_pending_is_said_and_nobody_is_told(self) -> None:
        """One violation is pending in the headline, in the alert's row and in the counts."""
        running = world()
        run(running, 6)
        run(running, 1, slow="europe-west1")
        page = overview(running)
        assert page.headline.status is Status.PENDING
        assert page.alerts[0].note == "pending, 1 of 3"
        assert dict(page.counts)[Status.PENDING] == 2
        assert running.inbox() == []

    def test_resolved_is_said_for_a_while(self) -> None:
        """After the end of an incident the headline says how long it lasted."""
        running = world()
        run(running, 6)
        run(running, 4, slow="europe-west1")
        run(running, 6)
        page = overview(running)
        assert page.headline.status is Status.RESOLVED
        assert page.headline.sentence.startswith("Resolved after")
        assert page.alerts == ()

    def test_old_data_is_never_called_current(self) -> None:
        """When data has stopped for five minutes the page says so and no signal is OK."""
        running = world()
        run(running, 6)
        for _ in range(5):
            running.next_minute()
        page = overview(running)
        assert page.stale
        assert page.headline.status is Status.STALE
        assert Status.OK not in {signal.status for signal in page.signals}

    def test_what_fires_is_counted_when_its_data_has_stopped(self) -> None:
        """The checks say as many critical as the list of alerts has, with data or without."""
        running = world()
        run(running, 6)
        run(running, 6, slow="europe-west1")
        for _ in range(6):
            running.next_minute()
        page = overview(running)
        fires = [alert.status for alert in page.alerts].count(Status.CRITICAL)
        assert dict(page.counts)[Status.CRITICAL] == fires == 1

    def test_the_words_of_old_values(self) -> None:
        """Old values are the last ones, not those of now; data ended when it did; what was received needs no advice."""
        running = world()
        run(running, 20)
        for _ in range(6):
            running.next_minute()
        formats = {name: page_of(running, f"/dashboards/performance.{name}") for name in ("txt", "md")}
        for told in formats.values():
            assert re.search(r"\blast:?\b", told, re.IGNORECASE)
            assert not re.search(r"\bnow\b", told, re.IGNORECASE)
        assert "no data since 12:20" in page_of(running, "/", "text/html")
        assert "Publish requests" not in page_of(running, "/", "text/plain")

    @pytest.mark.parametrize("region", ["", "us-central1"])
    def test_what_has_stopped_is_unknown(self, region: str) -> None:
        """A signal of groups that was received a while ago is unknown, with its past, and not one that never came."""
        running = world()
        run(running, 20)
        for _ in range(6):
            running.next_minute()
        signals = {signal.id: signal for signal in overview(running, region=region).signals}
        for name in ("availability", "error_rate", "response_time_p95", "throughput", "cpu"):
            assert signals[name].status is Status.UNKNOWN
            assert any(value is not None for value in signals[name].spark)
        assert signals["cache_hit_rate"].status is Status.EMPTY

    def test_a_dead_evaluator_is_a_stale_page(self) -> None:
        """When the evaluator stops, the page is stale after two minutes although data still comes."""
        running = world()
        run(running, 6)
        for _ in range(3):
            running.publish(*minute_of_traffic(running.clock() + timedelta(seconds=20)))
            running.clock.sleep(60)
            running.deliver()
        assert overview(running).headline.status is Status.STALE

    def test_gap_is_a_gap(self) -> None:
        """Minutes without data are None in the chart, neither zero nor joined."""
        running = world()
        run(running, 3)
        running.next_minute()
        run(running, 2)
        line = next(one for one in overview(running, hours=0.1).charts[0].lines if one.name == "us-central1")
        assert [value is None for value in line.values] == [False, False, False, True, False, False]

    def test_rejected_messages_are_counted(self) -> None:
        """The page says how many messages were rejected in its range."""
        running = world()
        running.bus.publish("metrics", b"no json")
        run(running, 2)
        page = overview(running)
        assert page.health.dead_letters == 1
        assert not page.health.ok


class TestPages:
    """The answers of the dashboard function's core."""

    def get(self, running: World, path: str, **options: str) -> tuple[int, str, dict[str, str]]:
        """One request; the status, the body and the headers."""
        response = running.services.dashboard()(PageRequest(path, **options))  # type: ignore[arg-type]
        return response.status, response.body.decode(), dict(response.headers)

    def test_every_format_shows_the_same_number(self) -> None:
        """The throughput is the same in HTML, text, JSON and Markdown."""
        running = world()
        run(running, 6)
        pages = {name: self.get(running, f"/dashboards/overview.{name}")[1] for name in ("html", "txt", "json", "md")}
        assert json.loads(pages["json"])["dashboard"]["overview"]["throughput"] == pytest.approx(3000.0)
        assert "3,000 r/s" in pages["txt"]
        assert "3,000" in pages["md"] or "3.00" in pages["md"]
        assert "3.00" in pages["html"]

    @pytest.mark.parametrize("path", ["/nope", "/dashboards/nope", "/assets/../secret", "/assets/none.css"])
    def test_unknown_address(self, path: str) -> None:
        """An unknown address is a 404 in one sentence, with the security headers."""
        status, body, headers = self.get(world(), path, accept="text/html")
        assert status == 404
        assert "<h1" in body
        assert "default-src 'none'" in headers["Content-Security-Policy"]

    def test_bad_parameter(self) -> None:
        """A malformed parameter is a 400 that names it, and what it said is inert."""
        response = world().services.dashboard()(PageRequest("/", query={"range": "<script>"}, accept="text/html"))
        assert response.status == 400
        assert b"range" in response.body
        assert b"<script>" not in response.body

    def test_not_modified(self) -> None:
        """Who has the page already is answered 304 without a body."""
        running = world()
        run(running, 2)
        _, _, headers = self.get(running, "/", accept="text/html")
        status, body, _ = self.get(running, "/", accept="text/html", if_none_match=headers["ETag"])
        assert (status, body) == (304, "")

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
    def test_only_reads(self, method: str) -> None:
        """Any method but GET and HEAD is refused."""
        assert world().services.dashboard()(PageRequest("/", method=method)).status == 405

    def test_inbox_shows_notifications(self) -> None:
        """The inbox page shows a firing and its resolution, newest first."""
        running = world()
        run(running, 6)
        run(running, 4, slow="europe-west1")
        run(running, 6)
        _, body, _ = self.get(running, "/inbox")
        assert body.index("Resolved after") < body.index("Firing since")
        assert "europe-west1" in body

    def test_healthz(self) -> None:
        """The health check answers without reading anything."""
        assert self.get(world(), "/healthz")[:2] == (200, "ok\n")


class TestCollectionChart:
    """The chart of a collection that the address names."""

    def test_collection_with_its_limit_and_span(self) -> None:
        """The chart of the CPU in Europe has its rule's limit, and the stretch in which it fired there."""
        running = world()
        for _ in range(7):
            at = running.clock() + timedelta(seconds=20)
            running.publish(point("cpu_utilization", at, 95.0, region="europe-west1"))
            running.publish(point("cpu_utilization", at, 40.0, region="us-central1"))
            running.next_minute()
        now = running.clock()
        config = running.services.config
        page = build_overview(
            config, running.services.reader, now - timedelta(hours=1), now, now,
            collection=config.get_collection("cpu_utilization_eu"),
        )  # fmt: skip
        chart = page.charts[0]
        assert [line.name for line in chart.lines] == ["europe-west1"]
        assert chart.lines[0].values[-1] == 95.0
        assert [limit.value for limit in chart.limits] == [80.0]
        assert [span.label for span in chart.spans] == ["europe-west1"]

    def test_unknown_collection(self) -> None:
        """A collection that is not configured is a 400 that names the nearest one."""
        response = world().services.dashboard()(PageRequest("/", query={"collection": "cpu_utilization_uss"}))
        assert response.status == 400
        assert b"cpu_utilization_us" in response.body
