"""The function tune: what is usual is learned and used by rules, recommendations and the digest are made once a day."""

from __future__ import annotations

import csv
import io
import json
import math
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.adapters.sqlite_store import SqliteStore
from shared.alerts import AlertState, Reason, State
from shared.backtest.stored import History
from shared.configuration.models import PanelKind
from shared.cost import (
    EVALUATIONS,
    Operations,
    cost_report,
    count_operations,
    dollars_by_function,
    savings,
    total,
    usages,
)
from shared.dashboard import PageRequest
from shared.decided import decided
from shared.digest import began_before, digest_report
from shared.hours import roll_up_hour
from shared.manifest import load_manifest
from shared.monitoring_config import MonitoringConfig
from shared.notifications import NotificationKind
from shared.overview import build_overview
from shared.prices import DAYS, bill
from shared.reader import Reader
from shared.rollups import roll_up
from shared.rules import Severity
from shared.tick import TickResult, Transition
from shared.timeline import minute_floor
from shared.tune import Tuned, asked, digest_channels, read_report
from shared.usual_store import key_of, moving_keys, read_baselines
from tests.fakes import Clock, CountingStore
from tests.world import World, point

END = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
HOURS = 8
REGION = "us-central1"


def _config() -> MonitoringConfig:
    plain: dict[str, Any] = MonitoringConfig().to_dict()
    rule = {"name": "CPU is odd", "metric_type": "cpu_utilization", "threshold": {"baseline": "anomaly"},
            "min_occurrences": 2, "notification_channels": ["inbox"]}  # fmt: skip
    return MonitoringConfig.from_dict({**plain, "rules": [*plain["rules"], rule]})


def _tune(world: World) -> Tuned:
    """What a call does that looks back as far as there are data."""
    return replace(world.services.tune(), minutes_hours=float(HOURS))()


@pytest.fixture(scope="module")
def world() -> World:
    """Eight hours of CPU, errors and requests of one region, evaluated, and then tuned."""
    drawn = random.Random(3)
    clock = Clock(END - timedelta(hours=HOURS))
    made = World(SqliteStore(":memory:", clock, synchronous="OFF"), clock, config=_config())
    for hour in range(HOURS):
        times = [END - timedelta(hours=HOURS - hour) + timedelta(minutes=step + 1) for step in range(60)]
        clock.time = times[-1] + timedelta(seconds=6)
        made.publish(
            *(point("cpu_utilization", at, 40 + drawn.gauss(0, 2), region=REGION) for at in times),
            *(point("requests", at, 100, region=REGION, endpoint="/process") for at in times),
            point("errors", times[30], 1, region=REGION, endpoint="/process", type="timeout"),
        )
        made.deliver()
        for at in times:
            roll_up(made.store, minute_floor(at), clock.time, timedelta(0))
        roll_up_hour(made.store, minute_floor(times[-1]), clock.time)
        made.evaluate()
    assert _tune(made).recommended > 0
    made.settle_deliveries()
    return made


def test_every_query_with_enough_data_has_its_baselines(world: World) -> None:
    """The rule's own query is learned for its group: about forty, give or take two."""
    (key,) = moving_keys(world.services.config)
    found = read_baselines(world.store, [key], world.clock())
    expected = found[key][("region", REGION),].at(END)
    assert expected.level == pytest.approx(40, abs=1.5)
    assert 0.2 < expected.spread < 3
    assert key in {one.key for one in asked(world.services.config)}


def test_a_rule_on_a_baseline_fires_once_and_explains_itself(world: World) -> None:
    """Ten minutes of 80 % are one alert with what was expected, what came, and how unusual it is."""
    for _ in range(10):
        at = world.clock.time.replace(second=0, microsecond=0) + timedelta(minutes=1)
        world.clock.time = at
        world.publish(point("cpu_utilization", at, 80.0, region=REGION))
        world.clock.time = at + timedelta(seconds=6)
        world.deliver()
        world.evaluate()
        world.deliver()
    told = [one for one in world.inbox() if one.rule_id == "cpu-is-odd"]
    assert [one.kind for one in told] == [NotificationKind.FIRING]
    assert told[0].description.startswith("Usual at this time is about ")
    assert told[0].description.endswith("sigma above.")


def test_the_digest_is_sent_once_a_day(world: World) -> None:
    """However often tune runs, the inbox has one digest of a day, with all its parts."""
    assert _tune(world).digest
    world.settle_deliveries()
    digests = [one for one in world.inbox() if one.reason == "digest"]
    assert len(digests) == 1
    text = digests[0].description
    for part in ("INCIDENTS", "WORST SERIES", "UPTIME", "NOISY RULES", "RECOMMENDATIONS", "COST"):
        assert part in text
    assert "99.983" in text


def test_recommendations_are_kept_and_nothing_is_applied(world: World) -> None:
    """The stored report has advice on the rule on CPU; the configuration is what it was."""
    report = read_report(world.store, world.clock())
    assert report is not None
    assert report.find("high-cpu-utilization").recommended is not None
    assert report.config_hash == _config().hash == world.services.config.hash


def test_before_the_first_evaluation_nothing_is_learned() -> None:
    """An empty store is no error, and nobody gets a digest of nothing."""
    clock = Clock(END)
    made = World(SqliteStore(":memory:", clock), clock).services.tune()()
    assert (made.queries, made.groups, made.digest) == (0, 0, "")


def test_nobody_gets_a_digest_who_wants_none() -> None:
    """Without a mail that asks for the daily digest none is sent, to the inbox neither."""
    plain: dict[str, Any] = MonitoringConfig().to_dict()
    plain["channels"]["email"]["digest"] = "none"
    assert digest_channels(MonitoringConfig()) == ("email", "inbox")
    assert digest_channels(MonitoringConfig.from_dict(plain)) == ()


def test_the_digest_has_what_began_before_its_day() -> None:
    """An alert that fires since before the day is in it, and so is one that ended in it; neither is noisy for that."""
    before = END - timedelta(hours=30)
    still = AlertState("still", (), Severity.HIGH, State.FIRING, fired_at=before)
    young = AlertState("young", (), Severity.HIGH, State.FIRING, fired_at=END - timedelta(hours=1))
    ended = Transition(
        "f", "ended", (), "low", END - timedelta(hours=2), State.FIRING, State.INACTIVE, Reason.RESOLVED, 1.0, 0,
        before, "h",
    )  # fmt: skip
    found = began_before(History((ended,), alerts=(still, young)), END - timedelta(hours=24))
    assert [(one.rule_id, one.fired_at, one.ended_at) for one in found] == [
        ("ended", before, ended.at), ("still", before, None)
    ]  # fmt: skip
    store = SqliteStore(":memory:", Clock(END))
    states = TickResult(END, (still,), (), (), ())
    store.commit(decided((), states))
    text = digest_report(MonitoringConfig(), store, None, END).render("text")
    assert "1800 min +" in text
    assert "1: 1 high" in text


def test_a_digest_of_an_empty_day_says_so() -> None:
    """Every part has its sentence for nothing."""
    clock = Clock(END)
    text = digest_report(MonitoringConfig(), SqliteStore(":memory:", clock), None, END).render("text")
    assert text.count("None") >= 4
    assert "No data of whole hours." in text


def _operations(**changes: float) -> Operations:
    day = {"chunks": 200_000.0, "chunk_bytes": 4e8, "writers": 43_200.0, "transitions": 20.0, "deliveries": 40.0}
    return Operations(hours=24, queries=40, past_minutes=9, **{**day, **changes})


def test_what_is_counted_of_a_part_of_a_day_is_of_a_day(world: World) -> None:
    """Of the hours that there are, transitions and deliveries are brought to a day as the chunks are."""
    found = count_operations(world.services.config, world.store, END)
    stored = {name: len(world.store.list(name).documents) for name in ("history", "deliveries")}
    assert stored["deliveries"] > 0
    assert (found.hours, found.deliveries) == (HOURS, stored["deliveries"] * 24 / HOURS)
    assert found.transitions == stored["history"] * 24 / HOURS


def test_the_bill_by_function_adds_up_to_the_whole() -> None:
    """Each kind's dollars, after its free quota, are shared by who uses it."""
    parts = usages(_operations(), load_manifest())
    assert sum(dollars_by_function(parts).values()) == pytest.approx(sum(bill(total(parts)).values()))
    assert set(parts) <= set(load_manifest().functions)


def test_an_evaluation_reads_what_is_paid_for() -> None:
    """A day's reads of evaluations are those that one makes, beside its writers' documents, 1,440 times."""
    clock = Clock(END)
    store = CountingStore(SqliteStore(":memory:", clock))
    world = World(store, clock)
    for _ in range(12):
        world.publish(point("users_active", world.clock(), 1.0))
        world.next_minute()
    before = store.reads.copy()
    world.publish(point("users_active", world.clock() + timedelta(seconds=20), 1.0))
    world.next_minute()
    read = store.reads - before
    counted = count_operations(world.services.config, store, world.clock())
    reads = usages(replace(counted, writers=0.0), load_manifest())["evaluate"].reads / DAYS
    assert read["buckets"] == 1
    assert (read.total() - read["buckets"]) * EVALUATIONS == reads - 24 * 61


def test_the_largest_saving_is_to_publish_less_often() -> None:
    """At fifteen seconds a message, once a minute saves most; at most three are named, the largest first."""
    found = savings(_operations(), load_manifest())
    assert 1 <= len(found) <= 3
    assert [one.usd for one in found] == sorted((one.usd for one in found), reverse=True)
    assert found[0].what.startswith(("Publish once a minute", "Run half as many"))


def test_what_is_free_saves_nothing() -> None:
    """Within the free quotas there is nothing to save, and the report says so."""
    tiny = Operations(0, 0, 0, 0, 0, 0, 0, 0)
    assert savings(tiny, load_manifest()) == []
    text = cost_report(tiny, END).render("text")
    assert "Nothing saves a cent." in text
    assert math.isfinite(sum(dollars_by_function(usages(tiny, load_manifest())).values()))


def test_a_line_that_an_alert_is_about_has_what_is_usual_behind_it(world: World) -> None:
    """While the rule fires, the chart of its collection has a band around forty, where eighty is not."""
    config, now = world.services.config, world.clock()
    collection = config.get_collection("cpu_utilization_us")
    page = build_overview(config, Reader(world.store), now - timedelta(hours=1), now, now, UTC, collection, "")
    (line,) = [line for chart in page.charts for line in chart.lines if line.subject]
    assert len(line.usual) == len(line.values)
    assert all(30 < low < 40 < high < 60 for low, high in line.usual)


def test_a_page_about_one_region_has_the_band_of_that_region(world: World) -> None:
    """What is usual of a query by region is usual on the page of that region, too, and in every format with numbers."""
    pages = world.services.dashboard()
    told = json.loads(pages(PageRequest("/dashboards/performance.json", query={"region": REGION})).body)
    (throughput,) = [one for one in told["panels"] if one["title"] == "Throughput"]
    (line,) = throughput["charts"][0]["chart"]["lines"]
    assert len(line["usual_low"]) == len(line["usual_high"]) == len(line["values"])
    assert line["usual_low"][-1] < 100 / 60 < line["usual_high"][-1]
    rows = csv.DictReader(
        io.StringIO(pages(PageRequest("/dashboards/performance.csv", query={"region": REGION})).body.decode())
    )
    highs = [float(one["value"]) for one in rows if one["series"] == "Throughput, usual high"]
    assert highs == line["usual_high"]


def test_what_the_dashboards_draw_is_learned() -> None:
    """A line that no rule and no collection asks for has its baselines too; side by side it is by region."""
    config = MonitoringConfig()
    known = {one.key for one in asked(config)}
    for panel in (panel for dashboard in config.list_dashboards() for panel in dashboard.panels):
        if panel.kind is PanelKind.LINE:
            assert known >= {key_of(one.query, 300) for one in panel.queries}
        if panel.kind is PanelKind.MULTIPLES:
            assert known >= {key_of(replace(one.query, group_by=("region",)), 300) for one in panel.queries}
