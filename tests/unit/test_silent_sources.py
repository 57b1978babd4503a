"""Sources: what used to report and stopped alerts, and the alert resolves when it reports again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.backtest.asked import Asked, outcome
from shared.backtest.run import Span
from shared.channels import Turn
from shared.channels.story import tell
from shared.configuration import document
from shared.configuration.models import Source
from shared.monitoring_config import MonitoringConfig
from shared.rules import Severity
from shared.series import Series
from shared.tick import tick
from shared.timeline import minute_floor
from tests.fakes import START
from tests.pages import minute_of_traffic, overview, page, world
from tests.ticks import GROUPED, MINUTE, RULE, config_of, level, minutes_of, notifications, reasons, run, told
from tests.unit.test_backtest import Kept
from tests.world import labels

EU, US = level("eu"), level("us")


def watched(*sources: Source) -> MonitoringConfig:
    """The bundled configuration with no rules and some sources."""
    return MonitoringConfig(replace(document.defaults(), rules=(), sources=sources))


REGIONS = Source("level", group_by=("region",), silent_after_seconds=180, notification_channels=("inbox",))
WHOLE = replace(REGIONS, group_by=())


@pytest.mark.parametrize(
    ("source", "patterns", "expected"),
    [
        pytest.param(
            REGIONS, {EU: "ggggggggggg", US: "gg.....gggg"}, [("firing", 4, 4), ("resolved", 7, 4)], id="a region"
        ),
        pytest.param(REGIONS, {EU: "gggggggg", US: "gg..gg.."}, [], id="a gap that is shorter"),
        pytest.param(REGIONS, {EU: "gggggggg"}, [], id="a region that never reported"),
        pytest.param(
            REGIONS,
            {EU: "g......", US: "g......"},
            [("firing", 3, 3), ("firing", 3, 3)],
            id="all regions, each by itself",
        ),
        pytest.param(WHOLE, {EU: "ggggggggg", US: "gg......."}, [], id="one of several that are watched together"),
        pytest.param(
            WHOLE, {EU: "gg.....g", US: "ggg....."}, [("firing", 5, 5), ("resolved", 7, 5)], id="a metric as a whole"
        ),
        pytest.param(WHOLE, {level("eu", "other"): "gggggggg"}, [], id="a metric that never reported"),
        pytest.param(
            replace(WHOLE, labels=labels(region="us")),
            {EU: "ggggggg", US: "gg....."},
            [("firing", 4, 4)],
            id="the series that carry a label",
        ),
        pytest.param(
            replace(REGIONS, evaluation_delay_seconds=120),
            {EU: "ggggggggggg", US: "gg........."},
            [("firing", 6, 6)],
            id="data that arrive late",
        ),
    ],
)
def test_what_stops_is_told(source: Source, patterns: dict[Series, str], expected: list[tuple[str, int, int]]) -> None:
    """One alert for each group, ``silent_after_seconds`` after its last minute, until its next one."""
    length = max(map(len, patterns.values()))
    assert told(run(watched(source), minutes_of(patterns), length)) == expected


def test_nobody_waits_for_a_source_for_ever() -> None:
    """When it is given up the alert ends by that name, of a group as of a metric as a whole, and begins no other."""
    for source in (REGIONS, WHOLE):
        results = run(watched(replace(source, gone_after_seconds=7200)), minutes_of({EU: "gg"}), 150)
        assert reasons(results) == [(4, "fired"), (4 + 120, "gone")]
        assert told(results) == [("firing", 4, 4), ("resolved", 124, 4)]
        story = tell(notifications(results)[-1], Turn(START), "", "inbox")
        assert (story.status, story.is_over, story.is_well) == ("Given up, still without data, after 2 h", True, False)


def test_a_source_is_missed_for_a_week() -> None:
    """By default a silent source fires for seven days, and one that comes back before that resolves."""
    (fired,) = run(watched(WHOLE), minutes_of({EU: "gg"}), 6)[-1].states
    for days, expected in ((6, []), (7, ["gone"])):
        at = START + 4 * MINUTE + timedelta(days=days)
        assert [one.reason.value for one in tick(watched(WHOLE), {}, [fired], at).transitions] == expected
        back = {minute_floor(at): minutes_of({EU: "g"})[minute_floor(START)]}
        assert [one.reason.value for one in tick(watched(WHOLE), back, [fired], at).transitions] == ["resolved"]


def test_a_source_takes_nothing_from_the_rules() -> None:
    """The rules' alerts are the same with and without it, and a source that is taken away ends its alert."""
    minutes = minutes_of({EU: "BBgg.....", US: "ggBBgggg."})
    rules = config_of(replace(RULE, query=GROUPED))
    both = MonitoringConfig(replace(rules.settings, sources=(REGIONS,)))
    alone, beside = run(rules, minutes, 9), run(both, minutes, 9)
    assert [one for one in reasons(beside) if one not in reasons(alone)] == [(6, "fired")]
    assert [one for one in notifications(beside) if one.rule_id == "level"] == [
        replace(one, config_hash=both.hash) for one in notifications(alone)
    ]
    (ended,) = run(rules, {}, 1, beside[6].states)[0].notifications[:1]
    assert (ended.rule_id, ended.reason) == ("no-more-level-by-region", "rule_removed")


def test_what_is_told_of_a_source() -> None:
    """The words name what is missing; there is no value, and nothing to compare one with."""
    results = run(watched(replace(REGIONS, severity=Severity.LOW)), minutes_of({EU: "gg....g"}), 7)
    firing, resolved = notifications(results)
    assert firing.rule_name == "No more level by region"
    assert firing.description == "No data of region=eu any more. level has not been reported for 3 minutes"
    assert (firing.severity, firing.about, firing.value) == (Severity.LOW, "no_data", None)
    assert (resolved.reason, resolved.about, resolved.value) == ("resolved", "no_data", None)
    assert firing.channels == ("inbox",)


def test_the_bundled_configuration_misses_a_region() -> None:
    """When a region has sent no requests for five minutes, the inbox and the first line of the page say so."""
    running = world()
    regions = {"us-central1", "europe-west1", "asia-southeast1"}
    for number in range(11):
        here = regions if number < 4 else regions - {"europe-west1"}
        points: list[Any] = minute_of_traffic(running.clock() + timedelta(seconds=20))
        running.publish(*(one for one in points if one["labels"]["region"] in here))
        running.next_minute()
    running.settle_deliveries()
    assert [one.rule_id for one in running.inbox()] == ["no-more-requests-by-region"]
    said = overview(running).headline
    assert said.sentence == "No more requests by region in europe-west1, since 12:09 (2 min)"
    rows = [one for one in overview(running).alerts if one.rule == "No more requests by region"]
    assert [(one.scope, one.value, one.limit) for one in rows] == [("europe-west1", None, None)]
    for kind in ("txt", "md", "json", "html"):
        assert "No more requests by region" in str(page(running, f"/dashboards/overview.{kind}").body)


def test_a_source_has_a_backtest() -> None:
    """It is asked for by its name or id, and changed like a rule; nothing else runs beside it."""
    minutes = minutes_of({level("eu", "requests"): "gggggggggggg", level("us", "requests"): "gg..ggg....."})
    by_region = replace(REGIONS, metric="requests")
    sources = (replace(by_region, group_by=()), by_region)
    config = MonitoringConfig(replace(document.defaults(), sources=sources))
    asked = Asked.read(config, "No more requests by region", ["silent_after_seconds=60"])
    assert [len(one.evaluated_rules()) for one in asked.configs()] == [1, 1]
    first = minute_floor(START)
    found = outcome(asked, Kept(minutes), Span(first, first + 11 * 60), lambda *_: None)
    starts = [[(one.fired_at - START) // timedelta(minutes=1) for one in column.episodes] for column in found.columns]
    assert starts == [[2, 7], [9]]
    assert "No more requests by region with silent_after_seconds=60" in found.lines()[0]
