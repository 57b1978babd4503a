"""The collector against a local server of Cloud Monitoring's interface: once each, whole, and by name what is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta

import grpc
import numpy as np
import pytest

from shared.adapters.cloud_monitoring import CloudMonitoring
from shared.adapters.sqlite_store import SqliteStore
from shared.alerts import State
from shared.cells import percentiles
from shared.collector.collect import Failure
from shared.collector.histograms import error_ratio
from shared.collector.sources import Source, load_sources
from shared.configuration import document
from shared.errors import TransientError
from shared.monitoring_config import MonitoringConfig
from shared.rollups import read_live
from shared.rules import AlertRule, MetricThreshold, MetricType
from shared.self_watch import without_own
from shared.series import Series
from shared.timeline import MINUTE_SECONDS, from_minute, minute_floor
from tests.fakes import START, Clock, Countdown, Crash, CrashingBus, CrashingStore, Hook
from tests.monitoring_server import BOUNDS, MonitoringServer, Script
from tests.world import World

LATENCY = "run.googleapis.com/request_latencies"
REQUESTS = "run.googleapis.com/request_count"
CPU = "run.googleapis.com/container/cpu/utilizations"
CONNECTIONS = "cloudsql.googleapis.com/database/network/connections"
DELAYS = {LATENCY: 180, REQUESTS: 240, CPU: 240, CONNECTIONS: 0}
SOURCES = tuple(one for one in load_sources() if one.metric_type in DELAYS)
FIRST = minute_floor(START)
US, EU = "us-central1", "europe-west1"


@pytest.fixture
def clock() -> Clock:
    """Ten seconds after a minute's end, when the schedule calls."""
    return Clock(START + timedelta(seconds=10))


@pytest.fixture
def server(clock: Clock) -> Iterator[MonitoringServer]:
    """A service that knows four metrics."""
    with MonitoringServer(clock, dict(DELAYS)) as running:
        yield running


@pytest.fixture
def api(server: MonitoringServer) -> Iterator[CloudMonitoring]:
    """The adapter on that service."""
    made = CloudMonitoring("ion-test", server.host, deadline_seconds=2.0)
    with closing(made):
        yield made


@pytest.fixture
def world(clock: Clock) -> World:
    """A deployment."""
    return World(SqliteStore(":memory:", clock), clock)


def fill(server: MonitoringServer, minutes: int) -> None:
    """Requests, latencies, CPU and connections of two services in two regions, from an hour before the start on."""
    rng = np.random.default_rng(7)
    for region in (US, EU):
        for service in ("api", "worker"):
            place = {"resource_location": region, "resource_service_name": service}
            names = range(FIRST - 60 * MINUTE_SECONDS, FIRST + minutes * MINUTE_SECONDS, MINUTE_SECONDS)
            counts = {minute: float(rng.integers(0, 50)) for minute in names}
            server.measure(REQUESTS, counts, **place, metric_response_code_class="2xx")
            held = {minute: np.exp(rng.normal(3, 1, int(count) + 1)).tolist() for minute, count in counts.items()}
            server.measure(LATENCY, held, **place)
            server.measure(CPU, {minute: rng.uniform(0.2, 0.4, 3).tolist() for minute in counts}, **place)
        busy = {minute: float(rng.integers(1, 9)) for minute in counts}
        server.measure(CONNECTIONS, busy, resource_region=region, resource_database_id="main")


def truth(server: MonitoringServer, first: int, last: int) -> dict[tuple[str, str], tuple[int, float]]:
    """How many requests and latencies each region had in some minutes, and their sums."""
    found: dict[tuple[str, str], tuple[int, float]] = {}
    for one in server.measured:
        if one.metric_type not in (REQUESTS, LATENCY):
            continue
        key = one.metric_type, one.labels["resource.location"]
        count, total = found.get(key, (0, 0.0))
        for minute, value in one.minutes.items():
            if first <= minute <= last:
                count += 1 if isinstance(value, float) else len(value)
                total += value if isinstance(value, float) else float(np.sum(value))
        found[key] = count, total
    return found


def stored(world: World, first: int, last: int) -> dict[tuple[str, str], tuple[int, float]]:
    """The same of what was stored."""
    names = {"run_requests": REQUESTS, "run_latency": LATENCY}
    found: dict[tuple[str, str], tuple[int, float]] = {}
    for minute in range(first, last + 1, MINUTE_SECONDS):
        cells = without_own(read_live(world.store, minute, world.clock()))
        for row, series in enumerate(cells.series):
            if series.metric in names:
                key = names[series.metric], dict(series.labels)["region"]
                count, total = found.get(key, (0, 0.0))
                found[key] = count + int(cells.count[row]), total + float(cells.sum[row])
    return found


def same(found: dict[tuple[str, str], tuple[int, float]], wanted: dict[tuple[str, str], tuple[int, float]]) -> bool:
    """Equal counts, and sums that are equal but for how they were added up."""
    return found.keys() == wanted.keys() and all(
        found[key][0] == count and found[key][1] == pytest.approx(total, rel=1e-12)
        for key, (count, total) in wanted.items()
    )


def run_minutes(world: World, api: CloudMonitoring, minutes: int) -> None:
    """Collect and deliver for some minutes."""
    for _ in range(minutes):
        world.clock.time += timedelta(seconds=MINUTE_SECONDS)
        world.collect(api, SOURCES)
        world.deliver()


def test_each_series_and_minute_comes_once_and_whole(
    world: World, server: MonitoringServer, api: CloudMonitoring
) -> None:
    """Over half an hour every minute has just what was measured, and no point is fetched again and again."""
    fill(server, 40)
    run_minutes(world, api, 30)
    last = minute_floor(world.clock()) - 240
    assert same(stored(world, FIRST, last), truth(server, FIRST, last))
    assert set(server.asked.values()) <= {1, 2}, "the service shows the minute at which a window begins, too"
    assert len(server.requests) > 30 * len(SOURCES), "answers had several pages"
    assert world.store.list("collector", "message-", "message.").documents == ()


def test_nothing_is_read_before_the_metrics_own_delay(
    world: World, server: MonitoringServer, api: CloudMonitoring
) -> None:
    """A minute is asked for at its metric's ingest delay, after 240 s where that is not told, when it is complete."""
    fill(server, 10)
    run_minutes(world, api, 1)
    newest = {one.filter: monitoring_end(one) for one in server.requests}
    now = minute_floor(world.clock())
    assert newest == {f'metric.type = "{name}"': now - (seconds or 240) for name, seconds in DELAYS.items()}


def monitoring_end(request: object) -> int:
    """The newest minute that a request asks for."""
    end: datetime = request.interval.end_time  # type: ignore[attr-defined]  # proto-plus makes a datetime of it
    return int(end.timestamp())


def test_the_rule_of_a_collected_metric_fires_after_its_delay(
    clock: Clock, server: MonitoringServer, api: CloudMonitoring
) -> None:
    """CPU above 80 % from one minute on fires a rule with a delay of 300 s just three evaluations and 300 s later."""
    rule = AlertRule(
        "High CPU Utilization",
        "",
        MetricType.CPU_UTILIZATION,
        MetricThreshold(80.0),
        evaluation_window=60,
        min_occurrences=3,
        notification_channels=("inbox",),
        evaluation_delay_seconds=300,
    )
    world = World(
        SqliteStore(":memory:", clock), clock, config=MonitoringConfig(replace(document.defaults(), rules=(rule,)))
    )
    breach = FIRST + 5 * MINUTE_SECONDS
    minutes = range(FIRST - 600, FIRST + 1800, MINUTE_SECONDS)
    used = {minute: [0.95, 0.97] if minute >= breach else [0.3, 0.5] for minute in minutes}
    server.measure(CPU, used, resource_location=US, resource_service_name="api")
    fired: list[datetime] = []
    for _ in range(20):
        clock.time = from_minute(minute_floor(clock()) + MINUTE_SECONDS)
        world.deliver()
        world.evaluate()
        fired += [clock()] if any(one.state is State.FIRING for one in world.alerts()) else []
        clock.time += timedelta(seconds=5)
        world.collect(api, SOURCES)
        world.deliver()
    assert minute_floor(fired[0]) == breach + 2 * MINUTE_SECONDS + rule.evaluation_delay_seconds
    world.deliver()
    (told,) = world.inbox()
    assert told.labels == (("region", US),)
    assert told.value == pytest.approx(96.0)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_at_any_call_neither_loses_nor_repeats(
    server: MonitoringServer, api: CloudMonitoring, clock: Clock, after: bool
) -> None:
    """Whichever call to store or bus the process ends at, the next calls make up for it, and all counts once."""
    fill(server, 12)
    began = clock()
    for call in range(40):
        clock.time = began
        world = World(SqliteStore(":memory:", clock), clock)
        run_minutes(world, api, 1)
        clock.time += timedelta(seconds=MINUTE_SECONDS)
        countdown = Countdown(call, after=after)
        services = world.services
        crashing = replace(services, store=CrashingStore(world.store, countdown), bus=CrashingBus(world.bus, countdown))
        try:
            world.collect(api, SOURCES, crashing)
        except Crash:
            pass
        else:
            assert call >= 5
            break
        world.deliver()
        run_minutes(world, api, 3)
        last = minute_floor(clock()) - 240
        assert same(stored(world, FIRST - 300, last), truth(server, FIRST - 300, last)), f"call {call}"
    else:
        pytest.fail("no call was spared")


def test_of_two_collectors_one_publishes(world: World, server: MonitoringServer, api: CloudMonitoring) -> None:
    """When a collector runs while another is at work, the other's commit fails, and all counts once."""
    fill(server, 30)
    calls = Countdown()

    def collect_a_minute_later() -> None:
        world.clock.time += timedelta(seconds=MINUTE_SECONDS)
        world.collect(api, SOURCES)

    run_minutes(world, api, 1)
    world.clock.time += timedelta(seconds=MINUTE_SECONDS)
    world.collect(api, SOURCES, replace(world.services, store=CrashingStore(world.store, calls)))
    for call in range(calls.calls):
        world.clock.time += timedelta(seconds=MINUTE_SECONDS)
        hook = Hook(call, collect_a_minute_later)
        world.collect(api, SOURCES, replace(world.services, store=CrashingStore(world.store, hook)))
        world.deliver()
    last = minute_floor(world.clock()) - 240
    assert same(stored(world, FIRST - 300, last), truth(server, FIRST - 300, last))


def test_an_outage_is_made_up_for(world: World, server: MonitoringServer, api: CloudMonitoring) -> None:
    """After fifty minutes without a call one call reads them all, the oldest first and 15 minutes at a time."""
    fill(server, 60)
    run_minutes(world, api, 1)
    world.clock.time += timedelta(minutes=50)
    server.requests.clear()
    run_minutes(world, api, 1)
    last = minute_floor(world.clock()) - 240
    assert same(stored(world, FIRST, last), truth(server, FIRST, last))
    spans = [one.interval.end_time - one.interval.start_time for one in server.requests]
    assert max(spans) == timedelta(minutes=15)


def test_what_is_older_than_a_day_is_given_up(world: World, server: MonitoringServer, api: CloudMonitoring) -> None:
    """A cursor from three days ago goes on 24 hours before now: the calls that follow are not busy with the past."""
    run_minutes(world, api, 1)
    world.clock.time += timedelta(days=3)
    server.requests.clear()
    world.collect(api, SOURCES)
    oldest = min(one.interval.start_time for one in server.requests)  # type: ignore[type-var]  # datetimes
    assert minute_floor(world.clock()) - 240 - 86_400 == int(oldest.timestamp())  # type: ignore[attr-defined]


FAILURES = {
    "a quota": (Script(grpc.StatusCode.RESOURCE_EXHAUSTED), "resource_exhausted"),
    "no access": (Script(grpc.StatusCode.PERMISSION_DENIED), "permission_denied"),
    "a wrong request": (Script(grpc.StatusCode.INVALID_ARGUMENT), "invalid_argument"),
    "a server that is away": (Script(grpc.StatusCode.UNAVAILABLE, 1000), "deadline_exceeded"),
    "an answer that lacks something": (Script(grpc.StatusCode.UNAVAILABLE, partial=True), "partial_unavailable"),
}


@pytest.mark.parametrize(("script", "reason"), FAILURES.values(), ids=FAILURES)
def test_a_source_that_fails_is_named_and_read_later(
    world: World, server: MonitoringServer, api: CloudMonitoring, script: Script, reason: str
) -> None:
    """It keeps its cursor and stops no other source, but for a quota, which is everybody's; later it is whole."""
    fill(server, 10)
    server.scripts[LATENCY] = replace(script)
    world.clock.time += timedelta(seconds=MINUTE_SECONDS)
    report = world.collect(api, SOURCES)
    assert [(one.source, one.reason) for one in report.failures] == [("run_latency", reason)]
    assert (report.rows == 0) == (reason == "resource_exhausted")
    server.scripts.clear()
    run_minutes(world, api, 5)
    last = minute_floor(world.clock()) - 240
    assert same(stored(world, FIRST, last), truth(server, FIRST, last))


def test_a_server_that_is_away_for_a_moment_is_no_failure(
    world: World, server: MonitoringServer, api: CloudMonitoring
) -> None:
    """An unavailable server is asked again within the call."""
    fill(server, 10)
    server.scripts[LATENCY] = Script(grpc.StatusCode.UNAVAILABLE, 2)
    assert world.collect(api, SOURCES).failures == []


def test_a_metric_that_the_project_lacks_is_no_failure(
    world: World, server: MonitoringServer, api: CloudMonitoring
) -> None:
    """A project without Cloud SQL has no such metric, which is said and disturbs nothing."""
    del server.delays[CONNECTIONS]
    report = world.collect(api, SOURCES)
    assert (report.absent, report.failures) == (["sql_connections"], [])


def test_a_value_of_another_kind_is_named(world: World, server: MonitoringServer, api: CloudMonitoring) -> None:
    """Where the table says counter and the service gives a distribution, the source fails by that name."""
    server.measure(REQUESTS, {FIRST - 300: [1.0, 2.0]}, resource_location=US)
    server.measure(CPU, {FIRST - 300: [0.5]}, resource_location=US)
    report = world.collect(api, SOURCES)
    assert report.failures == [
        Failure("run_requests", "unexpected_value", "run.googleapis.com/request_count gives a distribution")
    ]
    assert report.rows == 1


def test_a_call_in_which_every_source_fails_fails(world: World, server: MonitoringServer, api: CloudMonitoring) -> None:
    """The first reason is told, so that the alert on the collector's silence is about something."""
    server.scripts = {name: Script(grpc.StatusCode.PERMISSION_DENIED) for name in DELAYS}
    with pytest.raises(TransientError, match="every_source_failed: run_latency: permission_denied"):
        world.collect(api, SOURCES)
    assert world.store.list("collector").documents == ()


@pytest.mark.parametrize("seed", range(5))
def test_a_percentile_is_within_the_stated_error(
    world: World, server: MonitoringServer, api: CloudMonitoring, seed: int
) -> None:
    """Count and sum are exact, and P50, P95 and P99 of Google's buckets are within 19.6 % of the values themselves."""
    rng = np.random.default_rng(seed)
    shapes: tuple[Callable[[], np.ndarray[tuple[int], np.dtype[np.float64]]], ...] = (
        lambda: np.exp(rng.normal(4, 1.2, 3000)),
        lambda: rng.exponential(300, 3000) + 1.5,
        lambda: np.concatenate([rng.normal(20, 2, 2000), rng.normal(2000, 100, 1000)]),
    )
    bound = error_ratio(BOUNDS)
    assert bound == pytest.approx(0.196, abs=1e-3)
    values = [np.maximum(shape(), 1.0) for shape in shapes]
    for number, held in enumerate(values):
        server.measure(LATENCY, {FIRST - 180: held.tolist()}, resource_location=US, resource_service_name=str(number))
    world.collect(api, SOURCES)
    world.deliver()
    cells = without_own(read_live(world.store, FIRST - 180, world.clock()))
    for number, held in enumerate(values):
        row = cells.series.index(Series("run_latency", (("region", US), ("service", str(number)))))
        assert cells.count[row] == len(held)
        assert cells.sum[row] == pytest.approx(held.sum(), rel=1e-12)
        for quantile in (0.5, 0.95, 0.99):
            exact = np.sort(held)[int(np.ceil(quantile * len(held))) - 1]
            assert abs(percentiles(cells, quantile)[row] / exact - 1) <= bound


def test_a_custom_table_is_read_with_its_own_labels(
    world: World, server: MonitoringServer, api: CloudMonitoring, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A log-based metric of one's own becomes a metric here, under the labels that the table names."""
    path = tmp_path_factory.mktemp("table") / "mine.json"
    entry = {
        "type": "logging.googleapis.com/user/{prefix}failed_logins",
        "metric": "failed_logins",
        "kind": "counter",
        "align": "delta",
        "reduce": "sum",
        "labels": {"reason": "metric.why"},
        "constants": {"system": "login"},
    }
    path.write_text(json.dumps({"version": 1, "sources": {"logins": entry}}), "utf-8")
    sources: tuple[Source, ...] = load_sources(path, "ion-")
    server.delays["logging.googleapis.com/user/ion-failed_logins"] = 60
    server.measure("logging.googleapis.com/user/ion-failed_logins", {FIRST - 60: 4.0}, metric_why="password")
    server.measure("logging.googleapis.com/user/ion-failed_logins", {FIRST - 60: 3.0}, metric_why="password")
    world.collect(api, sources)
    world.deliver()
    cells = without_own(read_live(world.store, FIRST - 60, world.clock()))
    assert cells.series == (Series("failed_logins", (("reason", "password"), ("system", "login"))),)
    assert cells.sum.tolist() == [7.0]
