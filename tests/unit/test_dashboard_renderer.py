"""The specification's renderer and builder, as its examples use them."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given

from shared import dashboard_renderer
from shared.dashboard_renderer import DashboardBuilder, DashboardMetric, DashboardRenderer
from shared.errors import ConfigError
from shared.monitoring_config import MonitoringConfig
from shared.panels import Status
from shared.render.plain import clean, columns
from shared.rules import MetricThreshold, Operator, Severity
from tests.hostile import WHOLE_PAGES, hostile_strings
from tests.specification.dashboard_renderer import JSON_EXAMPLE, KEY_METHODS, TEXT_ROWS

NOW = datetime(2025, 10, 18, 12, 34, 56, tzinfo=UTC)
DATA: dict[str, Any] = json.loads(JSON_EXAMPLE)
RENDERER = DashboardRenderer(now=lambda: NOW)


def overview(**figures: float | None) -> dict[str, Any]:
    """The example's figures with some changed."""
    return {**DATA["dashboard"]["overview"], **figures}


@pytest.mark.parametrize(
    "metrics",
    [DATA, DATA["dashboard"], overview(), [DashboardMetric("Error rate", 0.3, "%", id="error_rate")]],
    ids=["document", "dashboard", "figures", "metrics"],
)
def test_the_key_methods_block_runs_as_written(metrics: Any) -> None:
    """The block runs on everything that metrics can be, and each format says the error rate."""
    scope: dict[str, Any] = {name: getattr(dashboard_renderer, name) for name in dashboard_renderer.__all__}
    scope.update(metrics=metrics, data=metrics)
    exec(compile(KEY_METHODS, "specification", "exec"), scope)
    assert "0.30%" in scope["text"]
    assert "0.30%" in scope["markdown"]
    assert "0.30" in scope["html"]
    assert "error_rate" in scope["json"]
    assert scope["overview"]["dashboard"]["overview"]["error_rate"] == 0.3
    assert set(scope["regional"]["dashboard"]) == {"regions"}


def test_the_text_is_the_specifications() -> None:
    """The title, the time and the six rows are those of the example, to the column."""
    lines = RENDERER.render_overview_text(overview()).splitlines()
    assert lines[0] == "ION MENTORING PRODUCTION DASHBOARD"
    assert lines[1].startswith("Updated: 2025-10-18 12:34:56 UTC")
    for row in TEXT_ROWS:
        assert any(line.startswith(row) for line in lines), row
    assert "ACTIVE ALERTS" not in "".join(lines)


def test_the_json_is_the_specifications() -> None:
    """The document that is built of the example's figures is the example, and so is what is rendered of it."""
    built = DashboardBuilder.build_overview_dashboard(DATA)
    assert built == DATA
    assert json.loads(RENDERER.render_json(built)) == DATA


def test_the_regions() -> None:
    """Every region has the same figures, null where it has none."""
    data = {"regions": {"us_central1": {"response_time": 10.2}, "europe_west1": {"cpu_utilization": 50.0}}}
    regions = DashboardBuilder.build_regional_dashboard(data)["dashboard"]["regions"]
    assert regions["us_central1"] == {"response_time": 10.2, "cpu_utilization": None}
    assert regions["europe_west1"] == {"response_time": None, "cpu_utilization": 50.0}
    assert "us_central1" in RENDERER.render_overview_text(data)


@pytest.mark.parametrize(
    ("figures", "word"),
    [
        ({"response_time_p95": 201.0}, "CRITICAL"),
        ({"response_time_p95": 101.0}, "WARNING"),
        ({"response_time_p95": 100.0}, "HEALTHY"),
        ({"availability": 99.94}, "CRITICAL"),
        ({"error_rate": 0.51}, "WARNING"),
        ({"cache_hit_rate": 69.9}, "LOW"),
        ({"throughput": None}, "UNKNOWN"),
    ],
)
def test_figures_are_judged_by_the_rules(figures: dict[str, float | None], word: str) -> None:
    """A figure has the status of the worst rule that it violates, at the rule's own threshold."""
    text = RENDERER.render_overview_text(overview(**figures))
    assert f"[{word}]" in text


@pytest.mark.parametrize(
    ("metric", "status"),
    [
        (DashboardMetric("x", 5.0), Status.OK),
        (DashboardMetric("x", 5.0, threshold=4), Status.CRITICAL),
        (DashboardMetric("x", 4.0, threshold=4), Status.OK),
        (DashboardMetric("x", 5.0, threshold=MetricThreshold(6, Operator.LESS, Severity.LOW)), Status.LOW),
        (DashboardMetric("x", 5.0, threshold=4, status=Status.SILENCED), Status.SILENCED),
        (DashboardMetric("x", None), Status.UNKNOWN),
        (DashboardMetric("x", float("nan"), threshold=1), Status.UNKNOWN),
    ],
)
def test_a_metric_is_judged_by_its_threshold(metric: DashboardMetric, status: Status) -> None:
    """A number above a plain threshold is critical, a configured one has its severity, and no value is unknown."""
    assert metric.judged is status


def test_the_worst_metric_is_the_answer() -> None:
    """The page begins with the worst metric in words, or says that all are ok."""
    told = RENDERER.render_overview_text(overview(response_time_p95=456.0))
    assert "P95 response time is 456 ms, beyond its limit of 200" in told.replace("\ufffd", " ").replace("\u202f", " ")
    assert "All 6 metrics are ok" in RENDERER.render_markdown(overview())
    assert "There is no metric" in RENDERER.render_markdown([])


def test_html_is_one_file() -> None:
    """The page needs nothing beside it: its style is in it, and it has neither script nor links."""
    html = RENDERER.render_html(overview(), title="Week 15")
    assert "<title>Week 15 · ION Mentoring</title>" in html
    assert "<style>:root{" in html
    assert "<script" not in html
    assert 'rel="stylesheet"' not in html


def test_json_has_no_numbers_that_json_has_not() -> None:
    """NaN and infinity are null."""
    told = json.loads(RENDERER.render_json({"a": float("nan"), "b": [float("inf"), 1.5]}))
    assert told == {"a": None, "b": [None, 1.5]}


def test_a_mapping_of_something_else_is_refused() -> None:
    """A mapping without any of the six figures is a mistake that is named."""
    with pytest.raises(ConfigError, match="availability"):
        RENDERER.render_markdown({"availabilty": 99.9})


def test_another_configuration() -> None:
    """Thresholds are those of the configuration that the renderer was made with."""
    plain = MonitoringConfig().to_dict()
    rules: Any = plain["rules"]
    plain["rules"] = [rule for rule in rules if rule["metric_type"] != "response_time"]
    renderer = DashboardRenderer(MonitoringConfig.from_dict(plain), lambda: NOW)
    assert "[HEALTHY]" in renderer.render_overview_text(overview(response_time_p95=900.0))


@WHOLE_PAGES
@given(hostile_strings())
def test_hostile_names(text: str) -> None:
    """Whatever a metric is called, no format lets it act."""
    metrics = [DashboardMetric(text, 1.0, text, section=text or "S", scope=text, history=(1.0, 2.0))]
    for line in RENDERER.render_overview_text(metrics).split("\n"):
        assert columns(line) <= 100
        assert clean(line) == line
    assert "<script>alert" not in RENDERER.render_html(metrics, title=text)
    assert "<script>alert" not in RENDERER.render_markdown(metrics)
    assert RENDERER.render_json(metrics).isascii()
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f]", RENDERER.render_html(metrics))
