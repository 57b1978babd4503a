"""The collector's table of sources, and what becomes of distributions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.cells import Observation
from shared.collector.histograms import error_ratio, histogram_of
from shared.collector.port import Align, Distribution, Reduce, TimeSeries
from shared.collector.rows import rows_of, section_of
from shared.collector.sources import DEFAULT_PATH, Source, load_sources
from shared.errors import ConfigError, PermanentError
from shared.formats.exponential import Histogram
from shared.monitoring_config import MonitoringConfig
from shared.series import Kind, Series

SERIES = Series("run_latency")
ROOT = Path(__file__).parents[2]


def test_the_table_that_comes_along_covers_what_was_promised() -> None:
    """Cloud Run, Cloud SQL, Memorystore, Pub/Sub and a log-based metric are in it, and each name is the page's."""
    sources = load_sources(prefix="ion-")
    services = {one.metric_type.partition(".")[0] for one in sources}
    assert services == {"run", "cloudsql", "redis", "pubsub", "logging"}
    assert "logging.googleapis.com/user/ion-errors" in {one.metric_type for one in sources}
    page = (ROOT / "docs" / "collecting.md").read_text("utf-8")
    for one in sources:
        metric_type = one.metric_type.replace("ion-", "{prefix}")
        assert f"| `{one.name}` | `{metric_type}` | `{one.metric}` | {one.kind.name.lower()} |" in page


def test_a_source_agrees_with_the_catalogue() -> None:
    """What goes into a metric of the default configuration has its kind and no label that it lacks."""
    metrics = {one.name: one for one in MonitoringConfig().metrics}
    common = [one for one in load_sources() if one.metric in metrics]
    assert {"cpu_utilization", "memory_utilization", "instance_count", "database_lag"} <= {one.metric for one in common}
    for one in common:
        assert one.kind == metrics[one.metric].kind
        assert set(one.labels) | set(one.constants) <= set(metrics[one.metric].labels)


def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(DEFAULT_PATH.read_text("utf-8"))
    return table


MISTAKES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a version": (lambda one: one.update(version=2), "version: expected a whole number from 1 to 1"),
    "an unknown key": (
        lambda one: one["sources"]["run_cpu"].update(aligner="max"),
        'sources.run_cpu.aligner: unknown key; did you mean "align"?',
    ),
    "a missing key": (lambda one: one["sources"]["run_cpu"].pop("metric"), "sources.run_cpu.metric: missing"),
    "a metric type": (
        lambda one: one["sources"]["run_cpu"].update(type="cpu"),
        "sources.run_cpu.type: expected a metric type like run.googleapis.com/name",
    ),
    "a kind": (
        lambda one: one["sources"]["run_cpu"].update(kind="level"),
        'sources.run_cpu.kind: unknown kind "level"; known: gauge, counter, distribution',
    ),
    "an alignment": (
        lambda one: one["sources"]["run_cpu"].update(align="rate"),
        "sources.run_cpu.align: expected one of delta, mean, max, min",
    ),
    "a place of a label": (
        lambda one: one["sources"]["run_cpu"].update(labels={"region": "location"}),
        "sources.run_cpu.labels.region: expected where a label comes from, like resource.location or metric.state",
    ),
    "a label from two places": (
        lambda one: one["sources"]["redis_hits"].update(constants={"region": "x"}),
        "sources.redis_hits: expected no label in labels and in constants",
    ),
    "a gauge of deltas": (
        lambda one: one["sources"]["run_instances"].update(align="delta"),
        "sources.run_instances: expected align delta for a counter or distribution, and another one for a gauge",
    ),
    "the mean of counters": (
        lambda one: one["sources"]["run_requests"].update(reduce="mean"),
        "sources.run_requests: expected reduce sum for a counter or distribution",
    ),
    "a scale": (
        lambda one: one["sources"]["run_cpu"].update(scale=0),
        "sources.run_cpu.scale: expected a number from 1e-12 to 1e+12",
    ),
}


@pytest.mark.parametrize(("damage", "problem"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_a_table_is_named(
    tmp_path: Path, damage: Callable[[dict[str, Any]], object], problem: str
) -> None:
    """The path and what was expected stand in the error, behind the file's name."""
    table = _table()
    damage(table)
    (tmp_path / "mine.json").write_text(json.dumps(table), "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_sources(tmp_path / "mine.json")
    assert any(line.startswith(f"mine.json: {problem}") for line in caught.value.detail.splitlines()), caught.value


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The error says which file is meant."""
    with pytest.raises(ConfigError, match=r"mine\.json: cannot be read as JSON"):
        load_sources(tmp_path / "mine.json")


def _histogram(found: Distribution, scale: float = 1.0) -> Histogram:
    histogram = histogram_of(SERIES, 60_000_000, found, scale)
    assert isinstance(histogram, Histogram)
    return histogram


def test_count_and_sum_are_the_services_own() -> None:
    """Whatever the buckets, the mean is exact, in our unit."""
    one = _histogram(Distribution(4, 2.5, (1.0, 2.0, 4.0), (1, 1, 2)), scale=0.001)
    assert one.count == 4
    assert one.sum == pytest.approx(0.01)
    assert one.counts.sum() == 4
    assert one.min <= one.sum / one.count <= one.max


def test_extremes_that_are_known_are_kept() -> None:
    """A range in the distribution bounds the buckets at its ends; without one the nearest bounds do."""
    known = _histogram(Distribution(3, 5.0, (1.0, 2.0), (1, 0, 2), low=0.5, high=9.0))
    assert (known.min, known.max) == (0.5, 9.0)
    unknown = _histogram(Distribution(3, 1.5, (1.0, 2.0), (1, 1, 1)))
    assert (unknown.min, unknown.max) == (0.0, 2.0)


def test_values_below_zero_keep_their_sign() -> None:
    """Buckets below zero become negative bins, and one around zero its middle."""
    one = _histogram(Distribution(3, -1.0, (-4.0, -1.0, 1.0), (0, 1, 2)))
    assert sorted(one.keys.tolist())[0] < 0
    assert 0 in one.keys.tolist()


def test_one_value_is_an_observation_and_none_is_nothing() -> None:
    """As in every wire format here a distribution of one value is that value."""
    assert histogram_of(SERIES, 60_000_000, Distribution(0, 0.0, (), ()), 1.0) is None
    one = histogram_of(SERIES, 60_000_000, Distribution(1, 7.0, (), ()), 2.0)
    assert one == Observation(SERIES, Kind.DISTRIBUTION, 60_000_000, 14.0)


@pytest.mark.parametrize(
    "found", [Distribution(3, 1.0, (), ()), Distribution(3, 1.0, (1.0, 2.0), (1,))], ids=["none", "too few"]
)
def test_a_distribution_without_buckets_is_refused(found: Distribution) -> None:
    """Its percentiles cannot be told, so nothing is made up."""
    with pytest.raises(PermanentError, match="no_buckets"):
        histogram_of(SERIES, 60_000_000, found, 1.0)


def test_the_error_is_that_of_the_widest_bucket() -> None:
    """Bounds that double give 41 %, and our own bins 1.1 % more; bounds that say nothing of ratios give none."""
    assert error_ratio((1.0, 2.0, 4.0, 8.0)) == pytest.approx(2**0.5 * 1.0108 - 1, abs=1e-3)
    assert error_ratio((-1.0, 0.0, 1.0)) == 0.0


SOURCE = Source("s", "x.com/y", "lag", Kind.GAUGE, Align.MAX, Reduce.MAX, {"region": "resource.region"}, scale=1000.0)


def test_values_come_in_our_unit_and_missing_labels_are_left_out() -> None:
    """Seconds become milliseconds, and a series without the label is the series without it."""
    found = [TimeSeries({"resource.region": "eu"}, {60: 0.5, 120: 0.25}), TimeSeries({}, {60: 1.0})]
    rows = rows_of(SOURCE, found)
    cells = section_of(60, rows[60]).cells
    assert cells.series == (Series("lag"), Series("lag", (("region", "eu"),)))
    assert cells.sum.tolist() == [1000.0, 500.0]
    assert rows.keys() == {60, 120}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused_by_name(value: float) -> None:
    """Neither NaN nor infinity is ever published."""
    with pytest.raises(PermanentError, match="unexpected_value"):
        rows_of(SOURCE, [TimeSeries({}, {60: value})])
