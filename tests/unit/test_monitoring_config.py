"""The configuration: the specification's facts in the defaults, found again, exported and imported."""

from __future__ import annotations

import json
import re

import pytest

from shared.configuration.models import Email, PagerDuty, Sentry, Slack
from shared.errors import ConfigError
from shared.monitoring_config import (
    Aggregation,
    AlertRule,
    MetricThreshold,
    MetricType,
    MonitoringConfig,
    OnNoData,
    Operator,
    Query,
    Selection,
    Severity,
)
from shared.series import Kind, make_labels
from tests.unit.configuration_mistakes import GONE, changed

_EVERYONE = ("slack", "sentry", "webhook", "inbox")


@pytest.mark.parametrize(
    ("index", "rule_id", "metric_type", "limit", "severity", "window", "occurrences"),
    [
        (0, "high-response-time-critical", "response_time", "> 200 ms", "critical", 300, 3),
        (1, "high-error-rate-critical", "error_rate", "> 1 %", "critical", 60, 2),
        (2, "availability-sla-breach", "availability", "< 99.95 %", "critical", 300, 3),
        (3, "high-response-time-warning", "response_time", "> 100 ms", "high", 300, 3),
        (4, "high-error-rate-warning", "error_rate", "> 0.5 %", "high", 300, 3),
        (5, "high-database-replication-lag", "database_lag", "> 500 ms", "high", 300, 3),
        (6, "low-cache-hit-rate", "cache_hit_rate", "< 70 %", "low", 600, 5),
        (7, "high-cpu-utilization", "cpu_utilization", "> 80 %", "low", 300, 5),
        (8, "high-memory-utilization", "memory_utilization", "> 80 %", "low", 300, 5),
    ],
)
def test_the_nine_rules(
    index: int, rule_id: str, metric_type: str, limit: str, severity: str, window: int, occurrences: int
) -> None:
    """The defaults hold the specification's nine rules in its order, evaluated every minute, quiet for ten."""
    rules = MonitoringConfig().list_alert_rules(enabled_only=True)
    rule = rules[index]
    threshold = rule.threshold
    assert len(rules) == 9
    assert (rule.id, rule.metric_type, rule.severity) == (rule_id, metric_type, severity)
    assert f"{threshold.operator} {threshold.value:g} {threshold.unit}" == limit
    assert (rule.evaluation_window, rule.min_occurrences) == (window, occurrences)
    assert (rule.evaluation_frequency, rule.cooldown_period, rule.on_no_data) == (60, 600, OnNoData.KEEP)


def test_the_35_collections() -> None:
    """The defaults hold every collection that the specification names."""
    names = [
        "response_time_us",
        "response_time_eu",
        "response_time_asia",
        "response_time_process",
        "response_time_recommend",
        "response_time_bulk_process",
        "error_rate_global",
        "error_count_by_endpoint",
        "error_count_by_region",
        "cache_hit_rate_l1",
        "cache_hit_rate_l2",
        "cache_eviction_rate",
        "cache_miss_count",
        "throughput_global",
        "throughput_by_region",
        "database_lag_eu",
        "database_lag_asia",
        "database_query_time",
        "cpu_utilization_us",
        "cpu_utilization_eu",
        "cpu_utilization_asia",
        "memory_utilization_us",
        "memory_utilization_eu",
        "memory_utilization_asia",
        "instance_count_us",
        "instance_count_eu",
        "instance_count_asia",
        "availability_global",
        "uptime_percentage",
        "persona_lua_count",
        "persona_elro_count",
        "persona_riri_count",
        "persona_nana_count",
        "requests_total",
        "users_active",
    ]
    assert [collection.name for collection in MonitoringConfig().list_collections()] == names
    assert len(names) == 35


_REGION = ("region",)


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("response_time_eu", Query(Selection("response_time", (("region", "europe-west1"),)), Aggregation.P95)),
        ("response_time_process", Query(Selection("response_time", (("endpoint", "/process"),)), Aggregation.P95)),
        ("error_rate_global", Query(Selection("errors"), per=Selection("requests"), scale=100)),
        ("error_count_by_endpoint", Query(Selection("errors"), Aggregation.SUM, group_by=("endpoint",))),
        (
            "cache_hit_rate_l2",
            Query(
                Selection("cache_requests", (("level", "l2"), ("result", "hit"))),
                per=Selection("cache_requests", (("level", "l2"),)),
                scale=100,
            ),
        ),
        ("cache_miss_count", Query(Selection("cache_requests", (("result", "miss"),)), Aggregation.SUM)),
        ("throughput_by_region", Query(Selection("requests"), Aggregation.RATE, group_by=_REGION)),
        ("availability_global", Query(Selection("errors"), per=Selection("requests"), scale=100, complement=True)),
        ("uptime_percentage", Query(Selection("up"), Aggregation.AVG, scale=100)),
        ("persona_nana_count", Query(Selection("persona_requests", (("persona", "nana"),)), Aggregation.SUM)),
        ("users_active", Query(Selection("users_active"), Aggregation.LAST_SUM)),
    ],
)  # fmt: skip
def test_what_a_collection_asks(name: str, query: Query) -> None:
    """A collection's query is the one its name promises."""
    assert MonitoringConfig().get_collection(name).query == query


@pytest.mark.parametrize(
    ("rule_id", "query"),
    [
        ("high-response-time-critical", Query(Selection("response_time"), Aggregation.P95, group_by=_REGION)),
        ("high-error-rate-critical", Query(Selection("errors"), per=Selection("requests"), scale=100, min_count=30)),
        (
            "availability-sla-breach",
            Query(Selection("errors"), per=Selection("requests"), scale=100, complement=True, min_count=100),
        ),
        ("high-database-replication-lag", Query(Selection("database_lag"), group_by=_REGION)),
        (
            "low-cache-hit-rate",
            Query(
                Selection("cache_requests", (("result", "hit"),)),
                per=Selection("cache_requests"),
                scale=100,
                min_count=100,
            ),
        ),
        ("high-cpu-utilization", Query(Selection("cpu_utilization"), group_by=_REGION)),
        ("high-memory-utilization", Query(Selection("memory_utilization"), group_by=_REGION)),
    ],
)
def test_what_a_rule_asks(rule_id: str, query: Query) -> None:
    """Latency, lag, CPU and memory are judged by region; rates globally, with a minimum of requests."""
    config = MonitoringConfig()
    assert config.query_for(config.get_rule(rule_id)) == query


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("overview", "service health|response time|cache hit rate|throughput|active alerts"),
        ("performance", "by region|throughput|percentiles|anomalies"),
        ("reliability", "by endpoint|by region|uptime|patterns and trends|error alerts"),
        ("cache", "hit rates|evictions|hit rate trends|missing data"),
        ("infrastructure", "instances|cpu|memory|replication lag|scaling"),
    ],
)
def test_the_five_dashboards(name: str, words: str) -> None:
    """Each dashboard has a panel for every point of the specification's list."""
    titles = [panel.title.lower() for panel in MonitoringConfig().get_dashboard(name).panels]
    assert [word for word in words.split("|") if not any(word in title for title in titles)] == []
    assert len(MonitoringConfig().list_dashboards()) == 5


def test_the_channels() -> None:
    """Slack, PagerDuty, mail and Sentry have the specification's settings."""
    channels = MonitoringConfig().settings.channels
    slack, pagerduty, email, sentry = (channels[name] for name in ("slack", "pagerduty", "email", "sentry"))
    assert isinstance(slack, Slack)
    assert (slack.channel, slack.mention) == ("#ion-mentoring-alerts", "@oncall")
    assert dict(slack.icons) == {"critical": "🚨", "warning": "⚠️", "info": "ℹ️"}
    assert isinstance(pagerduty, PagerDuty)
    assert (pagerduty.service, pagerduty.escalation_minutes) == ("ion-mentoring-production", 30)
    assert pagerduty.high_urgency == (Severity.CRITICAL,)
    assert isinstance(email, Email)
    assert (email.recipients, email.digest) == (("devops@", "engineering@", "oncall@"), "daily")
    assert isinstance(sentry, Sentry)
    assert (sentry.environment, sentry.traces_sample_rate) == ("production", 0.1)


@pytest.mark.parametrize(
    ("rule_id", "channels"),
    [
        ("high-response-time-critical", {*_EVERYONE, "pagerduty", "email"}),
        ("high-error-rate-warning", {*_EVERYONE, "email"}),
        ("low-cache-hit-rate", {*_EVERYONE}),
    ],
)
def test_the_routing(rule_id: str, channels: set[str]) -> None:
    """Slack, Sentry and the local receivers hear of everything, mail of critical and high, PagerDuty of critical."""
    config = MonitoringConfig()
    rule = config.get_rule(rule_id)
    assert set(config.channels_for(rule, rule.severity)) == channels


def test_a_rule_with_channels_of_its_own_is_not_routed() -> None:
    """``notification_channels`` takes the place of the routing, in its own order."""
    config = MonitoringConfig.from_dict(changed(("rules.0.notification_channels", ["pagerduty", "slack"])))
    assert config.channels_for(config.list_alert_rules()[0], Severity.LOW) == ("pagerduty", "slack")


ROUTES = [
    {"channels": ["email"], "labels": {"region": "europe-west1"}, "severities": ["critical", "high"]},
    {"channels": ["slack"], "rules": ["high-response-time-critical"]},
    {"channels": [], "labels": {"endpoint": "/test"}},
]


@pytest.mark.parametrize(
    ("rule_id", "severity", "labels", "channels"),
    [
        ("high-response-time-critical", "critical", {"region": "europe-west1"}, ("email",)),
        ("high-response-time-critical", "low", {"region": "europe-west1"}, ("slack",)),
        ("low-cache-hit-rate", "high", {"region": "europe-west1", "endpoint": "/test"}, ("email",)),
        ("low-cache-hit-rate", "low", {"endpoint": "/test"}, ()),
        ("low-cache-hit-rate", "low", {}, ("slack", "sentry", "webhook", "inbox")),
    ],
)
def test_routes(rule_id: str, severity: str, labels: dict[str, str], channels: tuple[str, ...]) -> None:
    """The first route that takes an alert by labels, rule and severity decides; without one the routing does."""
    config = MonitoringConfig.from_dict(changed(("routes", ROUTES)))
    assert config.channels_for(config.get_rule(rule_id), Severity(severity), make_labels(labels)) == channels


def test_the_rest_of_the_defaults() -> None:
    """Service, environment, regions and kinds of metrics are the specification's."""
    settings = MonitoringConfig().settings
    assert (settings.service, settings.environment) == ("ION Mentoring", "production")
    assert [(region.name, region.short) for region in settings.regions] == [
        ("us-central1", "us"), ("europe-west1", "eu"), ("asia-southeast1", "asia"),
    ]  # fmt: skip
    kinds = {metric.name: metric.kind for metric in MonitoringConfig().metrics}
    assert {name for name, kind in kinds.items() if kind is Kind.DISTRIBUTION} == {
        "response_time", "database_query_time", "cache_ttl_effectiveness",
    }  # fmt: skip
    assert {name for name, kind in kinds.items() if kind is Kind.COUNTER} == {
        "requests", "errors", "cache_requests", "cache_evictions", "persona_requests", "deploys",
    }  # fmt: skip
    assert set(settings.metric_types) == set(MetricType)


def test_the_threshold_of_a_type_is_its_most_severe() -> None:
    """Of two rules on one type the critical one counts, unless it is disabled; a type without rules has none."""
    critical = MonitoringConfig().get_threshold(MetricType.RESPONSE_TIME)
    assert critical == MetricThreshold(200, severity=Severity.CRITICAL, unit="ms")
    config = MonitoringConfig.from_dict(changed(("rules.0.enabled", False)))
    warning = config.get_threshold(MetricType.RESPONSE_TIME)
    assert warning is not None
    assert warning.value == 100
    assert config.get_threshold(MetricType.PERSONA) is None
    assert (len(config.list_alert_rules()), len(config.list_alert_rules(enabled_only=True))) == (9, 8)


def test_unknown_names_are_refused_with_the_nearest() -> None:
    """Looking up a dashboard, rule or collection that is not there names the nearest one that is."""
    config = MonitoringConfig()
    with pytest.raises(ConfigError, match=r'unknown dashboard "overveiw"; did you mean "overview"[?]$'):
        config.get_dashboard("overveiw")
    with pytest.raises(
        ConfigError, match=r'unknown rule "high-cpu-utilisation"; did you mean "high-cpu-utilization"[?]$'
    ):
        config.get_rule("high-cpu-utilisation")
    with pytest.raises(ConfigError, match=r'unknown collection "x"$'):
        config.get_collection("x")
    assert config.metric("x") is None
    assert (metric := config.metric("up")) is not None
    assert metric.kind is Kind.GAUGE


def test_a_rule_built_by_hand_uses_its_type() -> None:
    """A rule without unit or query takes both from its metric type; its own come first."""
    config = MonitoringConfig()
    rule = AlertRule("Slow", "", MetricType.RESPONSE_TIME, MetricThreshold(1))
    assert (config.unit_for(rule), config.query_for(rule).aggregation) == ("ms", Aggregation.P95)
    limit = MetricThreshold(1, Operator.LESS, unit="regions")
    own = AlertRule("Up", "", MetricType.AVAILABILITY, limit, query=Query(Selection("up")))
    assert (config.unit_for(own), config.query_for(own)) == ("regions", Query(Selection("up")))


def test_addresses_need_a_domain() -> None:
    """A recipient up to the @ is completed with the domain, and is left out without one."""
    assert Email(("devops@", "a@example.org")).addresses == ("a@example.org",)
    assert Email(("devops@", "a@example.org"), "example.com").addresses == ("devops@example.com", "a@example.org")


def test_an_export_imports_equal() -> None:
    """Exported as text or as a document and read again, a configuration is equal and has the same hash."""
    config = MonitoringConfig()
    again = MonitoringConfig.from_json(config.to_json())
    assert again == MonitoringConfig.from_dict(config.to_dict()) == config
    assert again.hash == config.hash
    assert re.fullmatch("[0-9a-f]{12}", config.hash)


def test_an_export_of_every_field_imports_equal() -> None:
    """A rule that uses every field survives export and import."""
    rule = {
        "name": "All", "description": "x", "metric_type": "availability",
        "threshold": {"value": 1, "operator": "<", "severity": "low", "unit": "s", "recovery_value": 2.5},
        "enabled": False, "evaluation_window": 3600, "evaluation_frequency": 120, "min_occurrences": 7,
        "cooldown_period": 1, "notification_channels": ["inbox"], "tags": {"team": "a"},
        "query": {
            "select": {"metric": "errors", "labels": {"region": "us-central1", "endpoint": "/x"}},
            "per": {"metric": "requests", "labels": {"endpoint": "/x"}},
            "scale": 2, "complement": True, "group_by": ["region"], "min_count": 5,
        },
        "evaluation_delay_seconds": 300, "keep_firing_for": 90, "on_no_data": "alert", "no_data_after": 0,
        "runbook_url": "https://example.com/a",
        "levels": [{"value": 0.5, "operator": "<", "severity": "critical", "unit": ""}],
        "inhibited_by": ["other"], "message": "{region}: {value} {unit}", "collection": "",
    }  # fmt: skip
    other = {"name": "Other", "metric_type": "throughput", "threshold": {"value": 1}, "collection": "throughput_global"}
    document = changed(("rules", [rule, other]))
    config = MonitoringConfig.from_dict(document)
    assert MonitoringConfig.from_dict(config.to_dict()) == config
    exported = config.to_dict()["rules"]
    assert isinstance(exported, list)
    assert exported[0] == rule
    assert exported[1]["collection"] == "throughput_global"


def test_the_hash_names_the_content() -> None:
    """Spacing, key order and omitted defaults leave the hash alone; a changed threshold does not."""
    config = MonitoringConfig()
    assert MonitoringConfig.from_json(json.dumps(config.to_dict(), sort_keys=True)).hash == config.hash
    assert MonitoringConfig.from_dict(changed(("rules.0.enabled", GONE))).hash == config.hash
    assert MonitoringConfig.from_dict(changed(("rules.0.threshold.value", 201))).hash != config.hash


def test_only_six_sections_are_required() -> None:
    """A configuration without dashboards, collections, channels, routing and regions is one without rules' hearers."""
    optional = ("regions", "collections", "channels", "routing", "dashboards")
    document = changed(*((name, GONE) for name in optional), ("collections", []))
    config = MonitoringConfig.from_dict(document)
    assert config.list_dashboards() == []
    assert config.list_collections() == []
    assert config.channels_for(config.list_alert_rules()[0], Severity.CRITICAL) == ()
