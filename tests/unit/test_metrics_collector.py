"""The collector: the specification's examples as written, all 35 collections, statistics from what is published."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared import metrics_collector
from shared.cells import Cells, Observation
from shared.config import load_client_config
from shared.errors import ConfigError
from shared.metrics_collector import MetricsCollection, ProductionMetricsCollector
from shared.monitoring_config import MonitoringConfig
from shared.recent import KEPT_MINUTES
from shared.rules import Aggregation
from shared.series import Kind, Series
from shared.windows import evaluate, read_window
from tests.specification.metrics_collector import KEY_METHODS
from tests.unit.test_instruments import START_US, Evil, Service

ROOT = Path(__file__).parents[2]


def new() -> tuple[ProductionMetricsCollector, Service]:
    """A collector whose messages are kept."""
    service = Service()
    return ProductionMetricsCollector(service.metrics), service


def test_the_specification_runs_as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The block records, reads its statistics and exports them; a collector that is given nothing is the process's."""
    service = Service()
    monkeypatch.setattr(metrics_collector, "_own", [service.metrics])
    scope: dict[str, Any] = {name: getattr(metrics_collector, name) for name in metrics_collector.__all__}
    scope["collection"] = ProductionMetricsCollector().collection("response_time_us")
    exec(compile(KEY_METHODS, "specification", "exec"), scope)
    assert (scope["stats"]["count"], scope["stats"]["p95"], scope["stats"]["value"]) == (1, 25.3, 25.3)
    assert scope["report"]["dashboard"]["overview"]["error_rate"] == 100.0
    assert json.loads(scope["json_export"])["points"] == [{"timestamp": "2025-10-18T12:01:00Z", "value": 25.3}]
    assert sum(service.counts().values()) == 4, "three, and the request that was timed"


def test_the_specification_runs_in_a_bare_process() -> None:
    """In a process of its own, with no project and no credentials, the block runs, says so once, and ends cleanly."""
    first, _, export = KEY_METHODS.partition("json_export")
    script = (
        f"from shared.metrics_collector import *\n{first}collection = collector.collection('response_time_us')\n"
        f"json_export{export}print(stats['count'], collector.stats().dropped_observations)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={"PATH": "/usr/bin"}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1 0\n"
    assert [json.loads(line)["message"] for line in done.stderr.splitlines()] == ["publishing_off"]


def record_everything(collector: ProductionMetricsCollector) -> None:
    """One observation by every method, in every region."""
    for region in ("us-central1", "europe-west1", "asia-southeast1"):
        for endpoint in ("/process", "/recommend", "/bulk_process"):
            collector.record_response_time(region, endpoint, 20.0)
        collector.record_error("process", region, "timeout")
        collector.record_throughput(region, 5)
        collector.record_database_lag(region, 120.0)
        collector.record_cpu(region, 40.0)
        collector.record_memory(region, 50.0)
        collector.record_instances(region, 3)
        collector.record_availability(region, up=True)
    for level in ("l1", "l2"):
        collector.record_cache_hit(level, "persona", 3)
        collector.record_cache_miss(level, "persona")
        collector.record_cache_eviction(level)
        collector.record_cache_ttl(level, "persona", 30.0, 60.0)
    for persona in ("lua", "elro", "riri", "nana"):
        collector.record_persona(persona)
    collector.record_query_time(4.0)
    collector.record_connection_pool(3, 10)
    collector.record_users_active(17)


def test_all_collections_have_a_value() -> None:
    """Each of the specification's 35 collections has a value once every method was called, the one to be expected."""
    collector, _ = new()
    record_everything(collector)
    assert len(collector.collections) == 35
    values = {name: one.statistics()["value"] for name, one in collector.collections.items()}
    assert [name for name, value in values.items() if value is None] == []
    assert values["error_rate_global"] == pytest.approx(100 * 3 / 24)
    assert values["availability_global"] == pytest.approx(100 * 21 / 24)
    assert values["cache_hit_rate_l1"] == 75.0
    assert values["requests_total"] == 9 + 15
    assert values["uptime_percentage"] == 100.0
    assert values["users_active"] == 17.0
    assert collector.get_metric_statistics("error_count_by_endpoint")["groups"] == {"endpoint=/process": 3.0}
    assert set(collector.get_current_status_report()["collections"]) == set(values)
    assert collector.stats().dropped_observations == 0


def test_what_no_collection_asks_for_is_there_too() -> None:
    """Metrics beside the 35, a pool's use and how well times to live fit, can be asked for by their names."""
    collector, _ = new()
    record_everything(collector)
    assert collector.get_metric_statistics("connection_pool_utilization")["last"] == 30.0
    assert collector.get_metric_statistics("cache_ttl_effectiveness")["p50"] == pytest.approx(50.0, rel=0.02)
    with pytest.raises(ConfigError):
        collector.get_metric_statistics("response_time_mars")


def test_statistics_are_of_what_is_published() -> None:
    """What a collector answers is what the dashboard computes from its messages, before they are sent and after."""
    collector, service = new()
    for second in range(600):
        service.clock.us = START_US + second * 1_000_000 + 1
        collector.record_response_time("us-central1", "/process", 5.0 + second % 37)
        if second % 5 == 0:
            collector.record_cache_hit("l1")
        collector.record_cache_miss("l1")
    before = {name: one.statistics(9) for name, one in collector.collections.items()}
    arrived: dict[int, Cells] = service.cells()
    assert {name: one.statistics(9) for name, one in collector.collections.items()} == before
    end = max(arrived)
    window = read_window(arrived, end, 540)
    for view in MonitoringConfig().list_collections():
        found = evaluate(window, view.query, 540)
        if view.query.aggregation is not Aggregation.RATE:
            assert before[view.name]["value"] == max(found.values(), default=None), view.name
    assert before["response_time_us"]["count"] == 540


def test_rates_are_of_the_time_that_is_covered() -> None:
    """A process that has run for two minutes divides by those, not by the hour it was asked for."""
    collector, service = new()
    for second in range(120):
        service.clock.us = START_US + (second + 1) * 1_000_000
        collector.record_throughput("us-central1", 7)
    assert collector.get_metric_statistics("throughput_global", minutes=60)["value"] == 7.0


@pytest.mark.parametrize("minutes", [0, 61, -1])
def test_minutes_that_are_not_kept(minutes: int) -> None:
    """More than the last hour, or less than a minute, is refused by name."""
    with pytest.raises(ValueError, match="minutes: expected 1 to 60"):
        new()[0].get_metric_statistics("response_time_us", minutes=minutes)


def test_an_hour_is_remembered_and_no_more() -> None:
    """A minute is in the statistics for an hour, and the memory holds no older one."""
    collector, service = new()
    for minute in range(200):
        service.clock.us = START_US + minute * 60_000_000 + 1
        collector.record_query_time(1.0)
        collector.flush()
    assert collector.get_metric_statistics("database_query_time")["count"] == 60
    assert len(service.metrics.recent()) == KEPT_MINUTES + 1


def test_aggregations_and_points() -> None:
    """A collection answers for other aggregations, and minute by minute."""
    collector, service = new()
    for minute, value in enumerate([10.0, 30.0]):
        service.clock.us = START_US + minute * 60_000_000 + 1
        collector.record_database_lag("europe-west1", value)
    view = collector.collection("database_lag_eu")
    assert isinstance(view, MetricsCollection)
    assert (view.aggregate(Aggregation.MAX), view.aggregate(Aggregation.AVG, minutes=1)) == (30.0, 30.0)
    assert [point["value"] for point in view.points()] == [10.0, 30.0]
    assert view.aggregate(Aggregation.P95) is None, "a gauge has no percentiles"
    assert metrics_collector.AggregationMethod is Aggregation


def test_an_empty_report() -> None:
    """A process that has recorded nothing reports nothing, in the same shape."""
    report = new()[0].get_current_status_report()
    assert set(report["dashboard"]["overview"].values()) == {None}
    assert (report["dashboard"]["regions"], report["collections"]) == ({}, {})
    json.dumps(report)


HOSTILE: tuple[Any, ...] = (
    None, 5, b"x", "\ud800", "x" * 600, [], {}, Evil(None), float("nan"), type, "", object(), Exception(), 10**400
)  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda one: f"{type(one).__name__} {one!r:.12}")
def test_no_method_raises(hostile: Any) -> None:
    """Whatever a recording method is given, in any place or in all, it raises nothing, and the others count."""
    collector, service = new()
    methods = [method for name, method in inspect.getmembers(collector) if name.startswith("record")]
    assert len(methods) == 18
    for method in methods:
        names = list(inspect.signature(method).parameters)
        for chosen in (*names, None):
            method(**{name: hostile if chosen in (name, None) else _sound(name) for name in names})
    collector.record_response_time("us-central1", "/sound", 1.0)
    assert service.counts()[Series("requests", (("endpoint", "/sound"), ("region", "us-central1")))] == 1


def _sound(name: str) -> Any:
    """A sound argument for a parameter."""
    texts = ("region", "endpoint", "error_type", "level", "cache", "persona", "pool", "metric", "function")
    return "a" if name in texts else Kind.GAUGE if name == "kind" else {"a": "b"} if name == "labels" else 1.0


def test_refused_labels_are_not_kept() -> None:
    """Labels that no series can have are counted each time, and are not in memory afterwards."""
    collector, service = new()
    for number in range(50):
        collector.record_error("/a", "us-central1", f"{number}" + "x" * 5_000)
        collector.record_response_time("us-central1", f"/{number}" + "x" * 5_000, 1.0)
    collector.record_response_time("us-central1", "/a", 1.0)
    assert len(service.metrics.called) == 1
    assert service.metrics.stats().dropped_observations == 100


def test_what_is_taken_from_a_counter() -> None:
    """A counter takes nothing below 0, as ingest does not, however it is recorded; other kinds do."""
    collector, service = new()
    for value in (2.0, -1.0, 0.0):
        collector.counter("held").add(value)
        collector.record("named", value, Kind.COUNTER)
        collector.gauge("level").set(value)
        collector.record("other", value)
    found = {series.metric: count for series, count in service.counts().items()}
    assert found == {"held": 2, "named": 2, "level": 3, "other": 3}
    assert service.metrics.stats().dropped_observations == 2


def test_a_value_beyond_its_limit_is_published_at_once() -> None:
    """It asks for a message now, at most once in five seconds; values within the limit wait for their quarter."""
    asked: list[int] = []
    collector, service = new()
    collector.publish_at_once("response_time", above=200.0)
    collector.publish_at_once("cache", below=1.0)
    collector.record_response_time("us-central1", "/a", 5.0)
    assert service.metrics._life is not None
    service.metrics._life.hurry = lambda: asked.append(service.clock.us)  # type: ignore[method-assign]
    for second in range(12):
        service.clock.us = START_US + second * 1_000_000
        collector.record_response_time("us-central1", "/a", 300.0 if second else 200.0)
        collector.record_response_time("us-central1", "/b", 100.0)
    assert [(us - START_US) // 1_000_000 for us in asked] == [1, 6, 11]
    timed = [count for series, count in service.counts().items() if series.metric == "response_time"]
    assert sum(timed) == 1 + 2 * 12


@pytest.mark.parametrize("how", ["instrument", "name", "observation"])
@pytest.mark.parametrize("spooled", [False, True], ids=["memory", "spool"])
def test_a_limit_that_is_set_late(how: str, spooled: bool, tmp_path: Path) -> None:
    """However a value is recorded, a limit holds that is set after others of its series were; all values count."""
    service = Service(tmp_path if spooled else None)
    collector = ProductionMetricsCollector(service.metrics)
    held = collector.distribution("m")

    def record(value: float) -> None:
        if how == "instrument":
            held.observe(value)
        elif how == "name":
            collector.record("m", value)
        else:
            service.metrics.observe(Observation(Series("m"), Kind.DISTRIBUTION, START_US + 1, value))

    asked: list[float] = []
    record(300.0)
    assert service.metrics._life is not None
    service.metrics._life.hurry = lambda: asked.append(service.clock.us)  # type: ignore[method-assign]
    collector.publish_at_once("m", above=200.0)
    for value in (100.0, 300.0):
        record(value)
        assert len(asked) == (value > 200.0)
    assert service.counts()[Series("m")] == 3


def test_the_endpoint_has_one_name() -> None:
    """The specification's ``process`` and ``/process`` are one endpoint."""
    collector, service = new()
    collector.record_response_time("r", "/process", 1.0)
    collector.record_error("process", "r", "timeout")
    assert {dict(series.labels)["endpoint"] for series in service.counts()} == {"/process"}


def test_the_environment() -> None:
    """What a service's environment says is read by name, and what is wrong is told by name."""
    config = load_client_config(
        {"ION_PROJECT": "my-project", "ION_PREFIX": "dev-", "ION_REGION": "us-central1", "ION_SPOOL": "/var/spool"}
    )
    assert (config.project, config.topic, config.region, config.spool) == (
        "my-project", "dev-metrics", "us-central1", Path("/var/spool")
    )  # fmt: skip
    with pytest.raises(ConfigError, match="ION_PROJECT: expected"):
        load_client_config({"ION_PROJECT": "My Project"})
