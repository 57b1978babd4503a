"""The specification's blocks about the configuration, executed as they are written there."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from shared import monitoring_config
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
from tests.specification.monitoring_config import ALERT_RULE_TEMPLATE, KEY_CLASSES

_FIRING = AlertState(
    "high-response-time-critical",
    (("region", "us-central1"),),
    Severity.CRITICAL,
    State.FIRING,
    since=datetime(2025, 10, 18, 12, 34, tzinfo=UTC),
)


def _run(block: str, **names: object) -> dict[str, object]:
    """The names that a block leaves behind, given all that the module is said to offer."""
    scope: dict[str, object] = {name: getattr(monitoring_config, name) for name in monitoring_config.__all__}
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
