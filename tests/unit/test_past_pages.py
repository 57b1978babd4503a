"""A page of a past range: what was so at its end, whatever has happened since."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta

import pytest

from shared.panels import Overview, Status
from tests.fakes import START
from tests.pages import overview, page, run, world
from tests.world import World, point

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def story() -> World:
    """Ten good minutes, an episode of five in europe-west1, ten good ones, and an episode that still lasts."""
    running = world()
    run(running, 10)
    run(running, 5, slow="europe-west1")
    run(running, 10)
    run(running, 4, slow="us-central1")
    return running


def then(running: World, minute: int, hours: float = 0.1) -> Overview:
    """The page of the range that ended some minutes after the start."""
    return overview(running, hours, end=START + timedelta(minutes=minute))


class TestAlerts:
    """What was wrong then."""

    def test_todays_alerts_are_not_yesterdays(self, story: World) -> None:
        """A range that ended before anything fired is quiet in all its parts, though something fires now."""
        shown = then(story, 9)
        assert overview(story).headline.status is Status.CRITICAL
        assert (shown.headline.status, shown.alerts) == (Status.OK, ())
        assert {status for status, _ in shown.counts} == {Status.OK, Status.UNKNOWN}
        assert {row.status for row in shown.regions} == {Status.OK}
        assert shown.headline.sentence.endswith("were ok at 12:09")

    def test_what_fired_then_fires_on_the_page(self, story: World) -> None:
        """A range that ended within the episode has its alert, its region and its value, told in the past."""
        shown = then(story, 14)
        assert shown.alerts[0].scope == "europe-west1"
        assert shown.regions[0].name == "europe-west1"
        assert shown.regions[0].status is Status.CRITICAL
        assert re.fullmatch(
            r"P95 response time in europe-west1 was 39\d ms at 12:14, 2.0 times its limit, since 12:11 \(3 min\)",
            shown.headline.sentence.replace("\u202f", " "),
        )
        assert next(one for one in shown.signals if one.id == "response_time_p95").status is Status.CRITICAL

    def test_pending_is_told_as_it_was(self, story: World) -> None:
        """A range that ended at the first violation was pending, one of three."""
        shown = then(story, 11)
        assert shown.headline.status is Status.PENDING
        assert shown.alerts[0].note == "pending, 1 of 3"
        assert shown.headline.sentence.endswith("over its limit at 12:11, 1 of 3 evaluations by then")
        assert shown.headline.detail == "Nobody was told yet."

    def test_resolved_is_told_as_it_was(self, story: World) -> None:
        """A range that ended soon after the episode says that it was over."""
        shown = then(story, 22, hours=0.3)
        assert shown.headline.status is Status.RESOLVED
        assert "was back within its limit" in shown.headline.sentence


class TestAge:
    """What is old, and what is only past."""

    def test_a_past_range_is_not_stale(self, story: World) -> None:
        """A page of a range that has data to its end is current as of its end, a day later too."""
        story.clock.sleep(DAY.total_seconds())
        shown = then(story, 9)
        story.clock.sleep(-DAY.total_seconds())
        assert not shown.stale
        assert Status.STALE not in {signal.status for signal in shown.signals}
        assert shown.until == START + timedelta(minutes=9)

    def test_data_that_ended_before_the_range_did(self) -> None:
        """A past range without data at its end says from when to when, and calls no value current."""
        running = world()
        run(running, 5)
        for _ in range(30):
            running.next_minute()
        shown = overview(running, 0.4, end=START + timedelta(minutes=20))
        assert shown.headline.status is Status.STALE
        assert shown.headline.sentence == "No data from 12:05 to 12:20"
        assert Status.OK not in {signal.status for signal in shown.signals}

    def test_an_empty_past_is_no_question_of_publishing(self, story: World) -> None:
        """A range without data does not tell how to publish, nor that this page may be wrong."""
        start = START - timedelta(hours=5)
        for form in ("html", "txt", "md", "json"):
            query = {"from_": start.isoformat(), "to": (start + timedelta(hours=1)).isoformat()}
            text = page(story, f"/dashboards/overview.{form}", **query).body.decode()
            assert "Nothing is stored of this range" in text
            assert "ublish" not in text
            assert "may be wrong" not in text

    def test_what_was_not_received_is_not_asked_for(self, story: World) -> None:
        """A past range lacks a metric without a word on how to publish it; a page about now has that word."""
        assert {signal.publish for signal in then(story, 9).signals} == {""}
        assert "cache_requests" in {signal.publish for signal in overview(story).signals}


class TestRange:
    """The range names itself."""

    @pytest.mark.parametrize(
        ("hours", "expected"), [(0.25, "Requests, 15 min"), (0.5, "Requests, 30 min"), (2.0, "Requests, 2 h")]
    )
    def test_facts_name_their_range(self, story: World, hours: float, expected: str) -> None:
        """Half an hour's requests are not called an hour's, and are counted over just that range."""
        shown = then(story, 20, hours)
        fact = next(fact for fact in shown.facts if fact.name.startswith("Requests"))
        assert fact.name == expected
        assert fact.value == min(20, hours * 60) * 180_000.0

    def test_every_format_says_which_range(self, story: World) -> None:
        """A day later the page names the day and both ends, and nothing on it counts on."""
        story.clock.sleep(DAY.total_seconds())
        query = {"from_": "2025-10-18T12:00:00Z", "to": "2025-10-18T12:14:00Z"}
        html, text, markdown, plain = (
            page(story, f"/dashboards/overview.{form}", **query).body.decode() for form in ("html", "txt", "md", "json")
        )
        story.clock.sleep(-DAY.total_seconds())
        for told in (html, text, markdown):
            assert "18 Oct 12:00 to 12:14" in told
        assert json.loads(plain)["until"] == "2025-10-18T12:14:00Z"
        main = html.partition("<main")[2].partition("</main>")[0]
        assert "data-age" not in main
        assert "at 18 Oct 12:14, tick = limit" in html

    def test_the_chart_ends_where_the_range_does(self, story: World) -> None:
        """The newest point of the chart is at the range's end, at any step."""
        for hours in (0.1, 3.0, 24.0):
            chart = then(story, 14, hours).charts[0]
            assert chart.end == START + timedelta(minutes=14)
            assert chart.instant(len(chart.lines[0].values) - 1) == chart.end

    @pytest.mark.parametrize(("seconds_ago", "past"), [(0, False), (65, False), (70, True)])
    def test_where_the_past_begins(self, story: World, seconds_ago: int, past: bool) -> None:
        """A range that ended a minute ago is about now, an earlier one about its end, and neither is stale."""
        shown = overview(story, 1.0, end=story.clock() - timedelta(seconds=seconds_ago))
        assert (shown.until is not None) == past
        assert (" was " if past else " is ") in shown.headline.sentence
        assert not shown.stale


def test_the_monitoring_itself_is_that_of_now(story: World) -> None:
    """A past page tells whether the evaluator runs now, and the deliveries of the day until now."""
    past, live = then(story, 9).health, overview(story).health
    assert (past.evaluated_at, past.late, past.deliveries_total) == (
        live.evaluated_at, live.late, live.deliveries_total,
    )  # fmt: skip


def test_dates_are_told_when_they_are_not_todays() -> None:
    """An alert that has fired since yesterday says so with its date."""
    running = world()
    running.clock.time = datetime.fromisoformat("2025-10-18T23:50:00+00:00")
    for _ in range(15):
        running.publish(point("cpu_utilization", running.clock() + timedelta(seconds=20), 95.0, region="us-central1"))
        running.next_minute()
    sentence = overview(running).headline.sentence
    assert "since 18 Oct 23:5" in sentence
