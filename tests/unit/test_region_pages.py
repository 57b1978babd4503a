"""A page of one region: its signals, alerts and chart, and nothing of another's."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from shared.panels import Status
from shared.urls import parse_view
from tests.fakes import START
from tests.pages import REGIONS, minute_of_traffic, overview, page, run, world
from tests.world import World, point


@pytest.fixture(scope="module")
def story() -> World:
    """Three regions, of which europe-west1 is slow, and users that are of no region."""
    running = world()
    run(running, 6)
    for _ in range(4):
        at = running.clock() + timedelta(seconds=20)
        running.publish(*minute_of_traffic(at, slow="europe-west1"), point("users_active", at, 7.0))
        running.next_minute()
    return running


def test_signals_are_the_regions_own(story: World) -> None:
    """Every signal's value is the region's, a third of the requests among them, and names the region as its scope."""
    shown = overview(story, region="us-central1")
    values = {signal.id: signal.value for signal in shown.signals}
    assert values["throughput"] == pytest.approx(1000.0)
    assert values["response_time_p95"] == pytest.approx(20.0, rel=0.011)
    assert {signal.scope for signal in shown.signals} == {"us-central1"}
    assert [(fact.name, fact.value) for fact in shown.facts] == [("Requests, 3 h", 600_000.0)]


def test_another_regions_alert_is_only_counted(story: World) -> None:
    """A good region's page is ok, has no alert and only its own checks, and says that some fire elsewhere."""
    shown = overview(story, region="us-central1")
    assert (shown.headline.status, shown.alerts) == (Status.OK, ())
    assert shown.headline.sentence.startswith("All 3 checks of us-central1 are ok")
    assert "2 alerts fire elsewhere." in shown.headline.detail
    assert shown.tabs == ()


def test_its_own_alert_is_the_headline(story: World) -> None:
    """A slow region's page is about it."""
    shown = overview(story, region="europe-west1")
    assert shown.headline.status is Status.CRITICAL
    assert {alert.scope for alert in shown.alerts} == {"europe-west1"}
    assert shown.headline.detail == "1 more alert fires."


def test_the_chart_has_one_line(story: World) -> None:
    """The chart is that of the region, with the stretch in which it fired."""
    chart = overview(story, region="europe-west1").charts[0]
    assert [line.name for line in chart.lines] == ["europe-west1"]
    assert [span.label for span in chart.spans] == ["europe-west1"]
    assert overview(story, region="us-central1").charts[0].spans == ()


def test_all_regions_stay_in_their_table(story: World) -> None:
    """The table compares the region with the others, and leads to each and back to all."""
    html = page(story, region="us-central1").body.decode()
    assert overview(story, region="us-central1").regions[0].name == "europe-west1"
    for name in REGIONS:
        assert f'href="/dashboards/overview?region={name}"' in html
    assert 'href="/dashboards/overview" title="All regions">us-central1 ×</a>' in html


@pytest.mark.parametrize("form", ["html", "txt", "md", "json"])
def test_every_format_names_the_region(story: World, form: str) -> None:
    """Each format says which region it is about, and no format does when it is about all."""
    told = page(story, f"/dashboards/overview.{form}", region="asia-southeast1").body.decode()
    everywhere = page(story, f"/dashboards/overview.{form}").body.decode()
    if form == "json":
        assert (json.loads(told)["region"], json.loads(everywhere)["region"]) == ("asia-southeast1", None)
    else:
        assert "All 3 checks of asia" in told.replace("\\", "")
        assert "of asia" not in everywhere


def test_a_region_that_stopped_is_stale_alone() -> None:
    """A region without data for three minutes is stale on its own page, and the others are not."""
    running = world()
    run(running, 3)
    for _ in range(3):
        at = running.clock() + timedelta(seconds=20)
        running.publish(*(one for one in minute_of_traffic(at) if "us-central1" not in str(one["labels"])))
        running.next_minute()
    assert overview(running, region="us-central1").headline.sentence.startswith("No data from us-central1 since 12:03")
    assert overview(running, region="europe-west1").headline.status is Status.OK


def test_a_region_that_nobody_heard_of(story: World) -> None:
    """A region that reports nothing has a page that says so, and lists those that do."""
    shown = overview(story, region="us-west9")
    assert shown.headline.sentence == "Nothing has been received from us-west9 in 3 h"
    assert {signal.status for signal in shown.signals} == {Status.EMPTY}
    assert len(shown.regions) == 3


def test_a_collection_of_a_region(story: World) -> None:
    """The chart of a collection is narrowed to the region, and one that names its region keeps it."""
    config = story.services.config
    narrowed = overview(story, region="us-central1", collection=config.get_collection("throughput_global"))
    assert narrowed.charts[0].lines[0].values[-1] == pytest.approx(1000.0)
    kept = overview(story, region="us-central1", collection=config.get_collection("cpu_utilization_eu"))
    assert [line.name for line in kept.charts[0].lines] == ["europe-west1"]


def test_a_collection_of_no_region_is_refused(story: World) -> None:
    """An address that names a region and a collection without regions is refused by name."""
    metrics = {metric.name: metric.labels for metric in story.services.config.metrics}
    name = next(
        one.name for one in story.services.config.list_collections() if "region" not in metrics[one.query.select.metric]
    )
    answer = page(story, region="us-central1", collection=name)
    assert answer.status == 400
    assert f"{name} is of no region" in answer.body.decode()


def test_ranges_keep_the_region() -> None:
    """The links to other ranges and formats are of the same region."""
    view = parse_view("/", {"region": "us-central1"}, "text/html", START)
    assert view.href(range_name="24h") == "/dashboards/overview?range=24h&region=us-central1"
