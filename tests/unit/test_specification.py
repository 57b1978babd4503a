"""The specification's blocks about the configuration, executed as they are written there."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import ModuleType

from shared import alert_tuning, monitoring_config, monitoring_setup
from shared.alert_tuning import AlertTuningReport, Anomaly, BaselineMetric
from shared.alerts import State
from shared.monitoring_config import (
    AlertRule,
    AlertState,
    AlertStateManager,
    Dashboard,
    MetricThreshold,
    MonitoringConfig,
    Operator,
    Severity,
)
from tests.specification.alert_tuning import KEY_METHODS
from tests.specification.monitoring_config import ALERT_RULE_TEMPLATE, KEY_CLASSES
from tests.specification.monitoring_setup import KEY_FUNCTIONS

_FIRING = AlertState(
    "high-response-time-critical",
    (("region", "us-central1"),),
    Severity.CRITICAL,
    State.FIRING,
    since=datetime(2025, 10, 18, 12, 34, tzinfo=UTC),
)


def _run(block: str, module: ModuleType = monitoring_config, **names: object) -> dict[str, object]:
    """The names that a block leaves behind, given all that the module is said to offer."""
    scope: dict[str, object] = {name: getattr(module, name) for name in module.__all__}
    scope.update(names)
    exec(compile(block, "specification", "exec"), scope)
    return scope


def test_the_key_classes_block_runs_as_written() -> None:
    """The block finds nine rules, the 200 ms threshold, the overview and the critical alert that it added."""
    scope = _run(KEY_CLASSES, alert_state=_FIRING)
    assert isinstance(rules := scope["alert_rules"], list)
    assert [type(rule) for rule in rules] == [AlertRule] * 9
    assert scope["threshold"] == MetricThreshold(200, Operator.GREATER, Severity.CRITICAL, "ms")
    assert isinstance(dashboard := scope["dashboard"], Dashboard)
    assert dashboard.name == "overview"
    assert isinstance(manager := scope["alert_manager"], AlertStateManager)
    assert manager.get_critical_alerts() == [_FIRING]


def test_the_template_builds_the_first_default_rule() -> None:
    """The template's rule, with a real threshold, is the first of the defaults, which is routed by severity."""
    default = MonitoringConfig().list_alert_rules()[0]
    block = ALERT_RULE_TEMPLATE.replace("MetricThreshold(...)", "limit")
    rule = _run("rule = " + block, limit=default.threshold)["rule"]
    assert isinstance(rule, AlertRule)
    assert rule.notification_channels == ["slack", "pagerduty"]
    assert replace(rule, notification_channels=()) == default


def test_the_template_runs_with_its_literal_ellipsis() -> None:
    """Executed with its literal ellipsis, the template still builds a rule: a threshold is not read before use."""
    rule = _run("rule = " + ALERT_RULE_TEMPLATE)["rule"]
    assert isinstance(rule, AlertRule)
    assert rule.id == "high-response-time-critical"
    assert (rule.evaluation_window, rule.evaluation_frequency, rule.min_occurrences) == (300, 60, 3)
    assert rule.cooldown_period == 600


def test_the_block_of_alert_tuning_runs_as_written() -> None:
    """Its baseline, thresholds, anomalies and score are those of its own example: mean 50, deviation 5."""
    scope = _run(KEY_METHODS, alert_tuning, values=[45.0, 55.0] * 720)
    assert isinstance(baseline := scope["baseline"], BaselineMetric)
    assert (baseline.name, baseline.mean, baseline.std_dev) == ("response_time_us", 50, 5)
    assert isinstance(thresholds := scope["thresholds"], dict)
    assert [thresholds[f"{name}_upper"] for name in ("critical", "high", "medium")] == [65, 60, 55]
    assert [thresholds[f"{name}_lower"] for name in ("critical", "high", "medium")] == [35, 40, 45]
    assert scope["clean_data"] == [45.0, 55.0] * 720
    assert scope["anomalies"] == []
    assert scope["score"] == 90.0


def test_the_block_of_alert_tuning_finds_what_is_odd() -> None:
    """One value far out is removed, and found again against a baseline of the others."""
    scope = _run(KEY_METHODS, alert_tuning, values=[*[45.0, 55.0] * 720, 500.0])
    assert scope["clean_data"] == [45.0, 55.0] * 720
    assert isinstance(anomalies := scope["anomalies"], list)
    assert [(one.index, one.value) for one in anomalies if isinstance(one, Anomaly)] == [(1440, 500.0)]


def test_the_block_of_monitoring_setup_runs_as_written() -> None:
    """The defaults are sound, the reports name what there is, and the export is the same configuration."""
    scope = _run(KEY_FUNCTIONS, monitoring_setup)
    assert scope["verification"]
    assert "High Response Time - Critical" in str(scope["summary"])
    headings = [line for line in str(scope["dashboard"]).splitlines() if line.isupper()]
    assert set(headings) >= {"OVERVIEW", "PERFORMANCE", "RELIABILITY & ERRORS", "CACHE", "INFRASTRUCTURE"}
    assert isinstance(scope["tuning_report"], AlertTuningReport)
    assert MonitoringConfig.from_json(str(scope["config_json"])) == MonitoringConfig()
