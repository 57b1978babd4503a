"""Pages with more than a person can read, and with names and numbers that no page was drawn for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from shared.monitoring_config import MonitoringConfig
from shared.panels import KEPT_LINES, KEPT_ROWS, SHOWN_LINES, SHOWN_ROWS, Status
from tests.pages import minute_of_traffic, overview, page, run, world
from tests.world import World, point

REGIONS = 250
TOTAL = REGIONS + 3
"""With those that are configured and report nothing."""
FORMS = ("html", "txt", "md")


@pytest.fixture(scope="module")
def crowd() -> World:
    """250 regions, of which all those above 225 have a CPU above its limit, and as many personas."""
    running = world()
    for _ in range(6):
        at = running.clock() + timedelta(seconds=20)
        running.publish(*crowded_minute(running))
        running.publish(*({**point("response_time", at, 0.0, region=name(number)), "value": float(number + 1)}
                          for number in range(REGIONS)))  # fmt: skip
        running.next_minute()
    return running


def crowded_minute(running: World) -> Iterator[dict[str, Any]]:
    """One observation of the CPU and one request of each of many regions and personas."""
    at = running.clock() + timedelta(seconds=20)
    for number in range(REGIONS):
        yield point("cpu_utilization", at, 95.0 if number > 225 else 40.0, region=name(number))
        yield point("persona_requests", at, float(number + 1), persona=f"p{number:03}")


def name(number: int) -> str:
    """A region's name."""
    return f"r{number:03}"


@pytest.mark.parametrize("form", FORMS)
def test_a_person_is_shown_the_worst_and_how_many_more(crowd: World, form: str) -> None:
    """20 rows of each list and 8 personas are there, the worst first, with the number of those that are not."""
    told = page(crowd, f"/dashboards/overview.{form}").body.decode().replace("\u202f", " ")
    assert f"and {TOTAL - SHOWN_ROWS} more" in told
    assert f"and {REGIONS - SHOWN_LINES} more" in told
    regions = told[re.search("REGIONS|## Regions|<h2>Regions", told).start() :]  # type: ignore[union-attr]  # it is there
    assert "r200" in regions
    assert "r199" not in regions
    assert "P249" in told
    assert "P241" not in told


def test_html_is_small_whatever_the_labels(crowd: World) -> None:
    """A page of 250 regions keeps the budget of a page: 60 kB."""
    assert len(page(crowd).body) <= 60_000


def test_the_chart_has_the_worst_lines(crowd: World) -> None:
    """Of 250 lines the page holds the 50 worst, and a person sees 8, the worst first."""
    chart = overview(crowd).charts[0]
    assert (len(chart.lines), chart.lines_total) == (KEPT_LINES, REGIONS)
    assert [line.name for line in chart.lines[:3]] == ["r249", "r248", "r247"]
    html = page(crowd).body.decode().replace("\u202f", " ")
    assert html.count('vector-effect="non-scaling-stroke"') < 60
    assert f"{SHOWN_LINES} worst lines and {REGIONS - SHOWN_LINES} more" in html


def test_json_holds_more_and_says_how_many_there_are(crowd: World) -> None:
    """JSON has the 200 worst rows of each list and the totals."""
    told = json.loads(page(crowd, "/dashboards/overview.json").body)
    assert (told["totals"]["regions"], told["totals"]["personas"]) == (TOTAL, REGIONS)
    assert len(told["dashboard"]["regions"]) == len(told["personas"]) == KEPT_ROWS
    assert (len(told["charts"][0]["lines"]), told["charts"][0]["lines_total"]) == (KEPT_LINES, REGIONS)


def test_many_alerts_are_cut_and_counted() -> None:
    """Of 240 alerts that fire a person sees 10, JSON has 200, and both say how many there are."""
    running = world()
    for _ in range(6):
        at = running.clock() + timedelta(seconds=20)
        running.publish(*(point("cpu_utilization", at, 95.0, region=name(number)) for number in range(240)))
        running.next_minute()
    shown = overview(running)
    assert (len(shown.alerts), shown.alerts_total) == (KEPT_ROWS, 240)
    assert dict(shown.counts)[Status.LOW] == 240
    assert shown.headline.detail == "239 more alerts fire."
    for form in FORMS:
        assert "and 230 more" in page(running, f"/dashboards/overview.{form}").body.decode().replace("\u202f", " ")
    assert json.loads(page(running, "/dashboards/overview.json").body)["totals"]["alerts"] == 240


def test_a_short_page_leaves_nothing_out() -> None:
    """A page of three regions has no word of more."""
    running = world()
    run(running, 3)
    for form in FORMS:
        assert not re.search(r"and \d+ more", page(running, f"/dashboards/overview.{form}").body.decode())


@pytest.fixture(scope="module")
def changed() -> World:
    """A deployment whose configuration lost its latency rules while they fire."""
    running = world()
    run(running, 6)
    run(running, 7, slow="europe-west1")
    plain = MonitoringConfig().to_dict()
    rules: Any = plain["rules"]
    plain["rules"] = [rule for rule in rules if "Response" not in rule["name"]]
    object.__setattr__(running.services, "config", MonitoringConfig.from_dict(plain))
    return running


@pytest.fixture(scope="module")
def nameless() -> World:
    """A CPU above its limit in a region whose name is empty, and one of no region at all."""
    running = world()
    for _ in range(6):
        at = running.clock() + timedelta(seconds=20)
        running.publish(
            *minute_of_traffic(at),
            *(point(metric, at, 95.0, region="") for metric in ("cpu_utilization", "response_time")),
            *(point(metric, at, 90.0) for metric in ("cpu_utilization", "response_time")),
        )
        running.next_minute()
    return running


class TestGoneRules:
    """Alerts of rules that are no longer configured, until the next evaluation drops them."""

    @pytest.mark.parametrize("path", ["/", "/dashboards/overview.txt", "/dashboards/overview.md", "/inbox",
                                      "/dashboards/overview.json"])  # fmt: skip
    def test_pages_answer(self, changed: World, path: str) -> None:
        """Every page answers; the overview shows the alert by its rule's id."""
        answer = page(changed, path)
        assert answer.status == 200
        assert path == "/inbox" or "high-response-time-critical" in answer.body.decode().replace("\\", "")

    def test_the_alert_is_told(self, changed: World) -> None:
        """The headline says that it fires and that its rule is gone, and the checks count it."""
        shown = overview(changed)
        assert shown.headline.status is Status.CRITICAL
        assert shown.headline.sentence.startswith("high-response-time-critical in europe-west1 fires, since 12:07")
        assert "no longer configured" in shown.headline.sentence
        assert shown.alerts[0].note == "its rule is no longer configured"
        assert dict(shown.counts)[Status.CRITICAL] == 1

    def test_a_past_range_has_it_too(self, changed: World) -> None:
        """An alert of a gone rule is on the page of a range in which it fired."""
        shown = overview(changed, 0.1, end=changed.clock() - timedelta(seconds=70))
        assert shown.alerts[0].rule == "high-response-time-critical"
        assert " fired, since " in shown.headline.sentence


class TestEmptyLabels:
    """Labels that are there and say nothing, and labels that are not there."""

    def test_alerts_say_where(self, nameless: World) -> None:
        """Neither alert is one of all regions."""
        assert {alert.scope for alert in overview(nameless).alerts} == {"(empty)", "no region"}

    @pytest.mark.parametrize("form", FORMS)
    def test_the_region_has_a_name(self, nameless: World, form: str) -> None:
        """The row of the region is not nameless."""
        told = page(nameless, f"/dashboards/overview.{form}").body.decode().replace("\\", "")
        assert "(empty)" in told[re.search("REGIONS|## Regions|<h2>Regions", told).start() :]  # type: ignore[union-attr]

    def test_lines_say_where(self, nameless: World) -> None:
        """The lines of the chart are told apart."""
        assert {"(empty)", "no region"} <= {line.name for line in overview(nameless).charts[0].lines}


@pytest.mark.parametrize("metric", ["cpu_utilization", "response_time", "requests"])
@pytest.mark.parametrize("form", [*FORMS, "json"])
def test_an_immense_number_is_short(metric: str, form: str) -> None:
    """1e200 is written with an exponent wherever it stands: no page has 20 digits in a row."""
    running = world()
    for _ in range(6):
        at = running.clock() + timedelta(seconds=20)
        running.publish(point(metric, at, 1e200, region="us-central1", endpoint="/process"))
        running.next_minute()
    told = page(running, f"/dashboards/overview.{form}").body.decode()
    assert "e200" in told or "e+200" in told or "e199" in told or "e+199" in told or "e198" in told or "e+198" in told
    assert not re.search(r"[0-9,\u202f]{20}", told)
