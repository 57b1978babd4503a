"""Mistakes that a configuration can hold, each with the one message it gives."""

from __future__ import annotations

import json
from typing import Any

from shared.monitoring_config import MonitoringConfig

GONE = object()
"""Removes the value at a path."""

_DEFAULTS = MonitoringConfig().to_json()


def changed(*changes: tuple[str, Any]) -> dict[str, Any]:
    """The exported defaults with the values at some paths (``rules.3.threshold.value``) replaced, added or removed."""
    document: dict[str, Any] = json.loads(_DEFAULTS)
    for path, value in changes:
        *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        owner: Any = document
        for part in way:
            owner = owner[part]
        if value is GONE:
            del owner[last]
        elif isinstance(owner, list) and last == len(owner):
            owner.append(value)
        else:
            owner[last] = value
    return document


RATIO = {"select": {"metric": "errors"}, "per": {"metric": "requests"}}


def query(**query: object) -> dict[str, object]:
    """A query of the response time with more fields."""
    return {"select": {"metric": "response_time"}, **query}


def limit(value: float, severity: str, operator: str = ">", **more: object) -> dict[str, object]:
    """A threshold."""
    return {"value": value, "severity": severity, "operator": operator, **more}


MISTAKES: list[tuple[str, Any, str]] = [
    ("rules.3.threshold.value", "abc", 'rules[3].threshold.value: expected a number, got "abc"'),
    ("rules.3.threshold.value", True, "rules[3].threshold.value: expected a number, got true"),
    ("rules.3.threshold.value", None, "rules[3].threshold.value: expected a number, got null"),
    ("rules.3.threshold.value", float("nan"), "rules[3].threshold.value: expected a finite number, got NaN"),
    ("rules.3.threshold.value", float("-inf"), "rules[3].threshold.value: expected a finite number, got -Infinity"),
    (
        "rules.3.threshold.value", 10**5000,
        "rules[3].threshold.value: expected a number from -1e+15 to 1e+15, got a whole number of 16610 bits",
    ),
    ("rules.3.threshold.value", (1,), "rules[3].threshold.value: expected a number, got a Python tuple"),
    ("rules.3.threshold.value", GONE, "rules[3].threshold.value: missing"),
    ("rules.3.threshold", [1], "rules[3].threshold: expected an object, got a list of 1"),
    ("rules.3.threshold.operator", "=>", 'rules[3].threshold.operator: expected one of >, >=, <, <=, ==, !=, got "=>"'),
    (
        "rules.3.threshold.severity", "warning",
        'rules[3].threshold.severity: expected one of critical, high, medium, low, got "warning"',
    ),
    ("rules.0.threshold.recovery_value", 201,
     "rules[0].threshold.recovery_value: expected at most the threshold 200, got 201"),
    ("rules.6.threshold.recovery_value", 69,
     "rules[6].threshold.recovery_value: expected at least the threshold 70, got 69"),
    ("rules.0.threshold", {"value": 1, "operator": "==", "recovery_value": 1},
     "rules[0].threshold.recovery_value: operator == has no recovery value"),
    ("rules.0.treshold", {}, 'rules[0].treshold: unknown key; did you mean "threshold"?'),
    ("rules.0.bad key\n", 1, 'rules[0]["bad key\\n"]: unknown key'),
    ("dashbords", [], 'dashbords: unknown key; did you mean "dashboards"?'),
    ("rules", GONE, "rules: missing"),
    ("version", 2, "version: expected a whole number from 1 to 1, got 2"),
    ("rules.0.name", "", 'rules[0].name: expected some text, got ""'),
    ("rules.0.name", "a\nb", 'rules[0].name: expected text without control characters, got "a\\nb"'),
    ("rules.0.name", "a\u202eb", 'rules[0].name: expected text without control characters, got "a\\u202eb"'),
    ("rules.0.name", "a\ud800b", 'rules[0].name: expected text without control characters, got "a\\ud800b"'),
    ("rules.0.name", " a", 'rules[0].name: expected text without space at its ends, got " a"'),
    ("rules.0.name", "é" * 101, "rules[0].name: expected at most 200 bytes, got 202"),
    ("rules.0.name", "日本", 'rules[0].name: expected a name with a letter a-z or a digit, got "\\u65e5\\u672c"'),
    ("rules.1.name", "High response time: critical!",
     'rules[1].name: the id "high-response-time-critical" is taken by the rule before it, number 0'),
    ("rules.0.enabled", 1, "rules[0].enabled: expected true or false, got 1"),
    ("rules.0.evaluation_window", 90, "rules[0].evaluation_window: expected a multiple of 60, got 90"),
    ("rules.0.evaluation_window", 0, "rules[0].evaluation_window: expected a whole number from 60 to 259200, got 0"),
    ("rules.0.evaluation_window", 259260,
     "rules[0].evaluation_window: expected a whole number from 60 to 259200, got 259260"),
    ("rules.0.evaluation_window", 60.5, "rules[0].evaluation_window: expected a whole number, got 60.5"),
    ("rules.0.evaluation_frequency", 30,
     "rules[0].evaluation_frequency: expected a whole number from 60 to 259200, got 30"),
    ("rules.0.min_occurrences", 0, "rules[0].min_occurrences: expected a whole number from 1 to 100, got 0"),
    ("rules.0.min_occurrences", 101, "rules[0].min_occurrences: expected a whole number from 1 to 100, got 101"),
    ("rules.0.min_occurrences", True, "rules[0].min_occurrences: expected a whole number, got true"),
    ("rules.0.evaluation_delay_seconds", 30, "rules[0].evaluation_delay_seconds: expected a multiple of 60, got 30"),
    ("rules.0.on_no_data", "ignore", 'rules[0].on_no_data: expected one of keep, ok, alert, got "ignore"'),
    ("rules.0.runbook_url", "javascript:alert(1)",
     'rules[0].runbook_url: expected a URL that begins with https://, got "javascript:alert(1)"'),
    ("rules.0.tags", {"a": 1}, "rules[0].tags.a: expected a string, got 1"),
    ("rules.0.tags", {"": "x"}, 'rules[0].tags[""]: expected some text, got ""'),
    ("rules.0.tags", {str(i): "x" for i in range(17)}, "rules[0].tags: expected at most 16 keys, got 17"),
    ("rules.0.notification_channels", ["slak"],
     'rules[0].notification_channels[0]: unknown channel "slak"; did you mean "slack"?'),
    ("rules.0.notification_channels", ["slack", "slack"],
     'rules[0].notification_channels[1]: "slack" stands here twice'),
    ("rules.0.metric_type", "latency",
     "rules[0].metric_type: expected one of response_time, error_rate, cache_hit_rate, throughput, database_lag, "
     'cpu_utilization, memory_utilization, availability, persona, business, got "latency"'),
    ("metric_types.database_lag", GONE,
     "rules[5].metric_type: database_lag has no query in metric_types, so the rule needs a query"),
    ("rules.0.query", {"select": {"metric": "reponse_time"}},
     'rules[0].query.select.metric: unknown metric "reponse_time"; did you mean "response_time"?'),
    ("rules.0.query", query(aggregation="p97"),
     "rules[0].query.aggregation: expected one of avg, min, max, sum, count, last, last_sum, rate, p50, p90, p95, p99, "
     'got "p97"'),
    ("rules.0.query", {"select": {"metric": "requests"}, "aggregation": "p95"},
     'rules[0].query.aggregation: p95 needs a distribution, and "requests" is a counter'),
    ("rules.0.query", query(aggregation="last_sum"),
     'rules[0].query.aggregation: last_sum needs a gauge, and "response_time" is a distribution'),
    ("rules.0.query", {**RATIO, "aggregation": "sum"},
     "rules[0].query.aggregation: a ratio (per) divides sums and has no aggregation"),
    ("rules.0.query", {**RATIO, "per": {"metric": "up"}},
     'rules[0].query.per: "up" is a gauge, and a ratio needs sums'),
    ("rules.0.query", query(complement=True), "rules[0].query.complement: only a ratio (per) has a complement"),
    ("rules.0.query", query(group_by=["regoin"]),
     'rules[0].query.group_by[0]: unknown label of "response_time"; did you mean "region"?'),
    ("rules.0.query", query(group_by=["region", "region"]), 'rules[0].query.group_by[1]: "region" stands here twice'),
    ("rules.0.query", {**RATIO, "group_by": ["type"]},
     'rules[0].query.group_by[0]: unknown label of "requests"; known: region, endpoint'),
    ("rules.0.query", query(min_count=-1), "rules[0].query.min_count: expected a number from 0 to 1e+15, got -1"),
    ("collections.0.query.select.labels", {"zone": "a"},
     'collections[0].query.select.labels.zone: unknown label of "response_time"; known: region, endpoint'),
    ("collections.0.query.select.labels.region", "us-central2",
     'collections[0].query.select.labels.region: unknown value "us-central2"; did you mean "us-central1"?'),
    ("collections.9.query.per.labels.level", "l3",
     'collections[9].query.per.labels.level: unknown value "l3"; known: l1, l2'),
    ("collections.35", {"name": "response_time_us", "unit": "", "query": query()},
     'collections[35]: the name "response_time_us" is taken by one before it'),
    ("collections.35", {"name": "Response Time", "unit": "", "query": query()},
     "collections[35].name: expected a name of a-z, 0-9, _, . and - that begins with a letter, "
     'got "Response Time"'),
    ("metrics.17", {"name": "response_time", "unit": "", "kind": "gauge"},
     'metrics[17]: the name "response_time" is taken by one before it'),
    ("metrics.17", {"name": "ion_chunks", "unit": "", "kind": "gauge"},
     'metrics[17]: the name "ion_chunks" is taken by the monitoring itself'),
    ("collections.35", {"name": "ion_chunks", "unit": "", "query": query()},
     'collections[35]: the name "ion_chunks" is taken by the monitoring itself'),
    ("metrics.12.kind", "gage", 'metrics[12].kind: expected one of gauge, counter, distribution, got "gage"'),
    ("regions.0.short", "eu", 'regions[1]: the name "eu" is taken by one before it'),
    ("dashboards.0.panels.0.collections", ["error_rate"],
     'dashboards[0].panels[0].collections[0]: unknown collection "error_rate"; did you mean "error_rate_global"?'),
    ("dashboards.0.panels.0.collections", [],
     "dashboards[0].panels[0]: a panel of kind signal needs collections or queries"),
    ("dashboards.1.name", "overview", 'dashboards[1]: the name "overview" is taken by one before it'),
    ("channels.slak", {},
     'channels.slak: unknown channel; did you mean "slack"?'),
    ("channels.slack.channel", "alerts", 'channels.slack.channel: expected a channel like #alerts, got "alerts"'),
    ("channels.email.recipients", ["devops"],
     'channels.email.recipients[0]: expected an address, or its part up to the @, got "devops"'),
    ("channels.sentry.traces_sample_rate", 10,
     "channels.sentry.traces_sample_rate: expected a number from 0 to 1, got 10"),
    ("routes", [{"labels": {}}], "routes[0].channels: missing"),
    ("routes", [{"channels": ["sms"]}],
     'routes[0].channels[0]: unknown channel "sms"; known: slack, pagerduty, email, sentry, webhook, inbox'),
    ("routes", [{"channels": [], "severities": ["bad"]}],
     'routes[0].severities[0]: expected one of critical, high, medium, low, got "bad"'),
    ("routes", [{"channels": [], "labels": {"region": 1}}], "routes[0].labels.region: expected a string, got 1"),
    ("channels.slack.max_per_minute", 0, "channels.slack.max_per_minute: expected a whole number from 1 to 600, got 0"),
    ("routing.sms", ["critical"],
     'routing.sms: unknown channel "sms"; known: slack, pagerduty, email, sentry, webhook, inbox'),
    ("otlp_labels", {"resources": {}},
     'otlp_labels.resources: unknown key; did you mean "resource"?'),
    ("otlp_labels", {"resource": ["service.name"]}, "otlp_labels.resource: expected an object, got a list of 1"),
    ("otlp_labels", {"resource": {"service": "service.name"}},
     'otlp_labels.resource.service: expected a list, got "service.name"'),
    ("otlp_labels", {"scope": {"library": []}},
     "otlp_labels.scope.library: expected a list of attributes, got a list of 0"),
    ("otlp_labels", {"resource": {"": ["service.name"]}}, 'otlp_labels.resource[""]: expected some text, got ""'),
    ("otlp_labels", {"resource": {"service": ["service.name", "service.name"]}},
     'otlp_labels.resource.service[1]: "service.name" stands here twice'),
    ("otlp_labels", {"resource": {f"l{at}": ["a"] for at in range(17)}},
     "otlp_labels.resource: expected at most 16 keys, got 17"),
    ("otlp_labels", {"dropped": [5]}, "otlp_labels.dropped[0]: expected a string, got 5"),
    ("otlp_labels", {"point": {"a": ["x"], "b": ["x"]}}, 'otlp_labels.point.b: "x" has the label "a" already'),
    ("otlp_labels", {"point": {"a": ["x"]}, "dropped": ["x"]}, 'otlp_labels.point.a: "x" is dropped'),
    ("rules.0.levels", 5, "rules[0].levels: expected a list, got 5"),
    ("rules.0.levels", [limit(level, "low") for level in range(4)],
     "rules[0].levels: expected at most 3 elements, got 4"),
    ("rules.0.levels", [{"operator": ">"}], "rules[0].levels[0].value: missing"),
    ("rules.0.levels", [limit(100, "critical")],
     "rules[0].levels[0]: the severity critical has a threshold already"),
    ("rules.0.levels", [limit(100, "high"), limit(90, "high")],
     "rules[0].levels[1]: the severity high has a threshold already"),
    ("rules.0.levels", [limit(300, "high")],
     "rules[0].levels[0]: critical has to lie beyond high on the same side, got > 200 and > 300"),
    ("rules.0.levels", [limit(200, "high", ">=")],
     "rules[0].levels[0]: critical has to lie beyond high on the same side, got > 200 and >= 200"),
    ("rules.0.levels", [limit(100, "high", "<")],
     "rules[0].levels[0]: critical has to lie beyond high on the same side, got > 200 and < 100"),
    ("rules.0.levels", [limit(100, "high", "!=")],
     "rules[0].levels[0]: critical has to lie beyond high on the same side, got > 200 and != 100"),
    ("rules.0.levels", [limit(100, "high"), limit(150, "low")],
     "rules[0].levels[1]: high has to lie beyond low on the same side, got > 100 and > 150"),
    ("rules.6.levels", [limit(75, "high", "<")],
     "rules[6].levels[0]: high has to lie beyond low on the same side, got < 75 and < 70"),
    ("rules.0.levels", [limit(100, "high", recovery_value=120)],
     "rules[0].levels[0].recovery_value: expected at most the threshold 100, got 120"),
    ("rules.0.inhibited_by", "high-error-rate-critical",
     'rules[0].inhibited_by: expected a list, got "high-error-rate-critical"'),
    ("rules.0.inhibited_by", [5], "rules[0].inhibited_by[0]: expected a string, got 5"),
    ("rules.0.inhibited_by", [""], 'rules[0].inhibited_by[0]: expected some text, got ""'),
    ("rules.0.inhibited_by", ["low-cache-hit-rate", "high-error-rate-critcal"],
     'rules[0].inhibited_by[1]: unknown rule "high-error-rate-critcal"; did you mean "high-error-rate-critical"?'),
    ("rules.0.inhibited_by", ["low-cache-hit-rate", "low-cache-hit-rate"],
     'rules[0].inhibited_by[1]: "low-cache-hit-rate" stands here twice'),
    ("rules.0.inhibited_by", ["high-response-time-critical"],
     'rules[0].inhibited_by: "high-response-time-critical" would keep itself quiet'),
    ("rules.0.message", 5, "rules[0].message: expected a string, got 5"),
    ("rules.0.message", "{valu} ms", 'rules[0].message: nothing fills "{valu}"'),
    ("rules.0.message", "{region} {zone}", 'rules[0].message: nothing fills "{zone}"'),
    ("rules.0.message", "a\nb", 'rules[0].message: expected text without control characters, got "a\\nb"'),
    ("rules.0.message", "x" * 1001, "rules[0].message: expected at most 1000 bytes, got 1001"),
    ("rules.0.collection", 5, "rules[0].collection: expected a string, got 5"),
    ("rules.0.collection", "error_rate",
     'rules[0].collection: unknown collection "error_rate"; did you mean "error_rate_global"?'),
    ("rules.0", {**changed()["rules"][0], "collection": "error_rate_global", "query": query()},
     "rules[0].collection: a rule asks a query or a collection, not both"),
    ("rules.0", {**changed()["rules"][0], "collection": "error_rate_global", "message": "{region}"},
     'rules[0].message: nothing fills "{region}"'),
    ("rules", [{**changed()["rules"][0], "name": f"rule {number}"} for number in range(301)],
     "rules: expected at most 300 elements, got 301"),
    ("sources", {}, "sources: expected a list, got an object of 0"),
    ("sources.0.metric", "request", 'sources[0].metric: unknown metric "request"; did you mean "requests"?'),
    ("sources.0.metric", GONE, "sources[0].metric: missing"),
    ("sources.0.group_by", ["zone"], 'sources[0].group_by[0]: unknown label of "requests"; known: region, endpoint'),
    ("sources.0.labels", {"region": "mars"},
     ('sources[0].labels.region: unknown value "mars"; known: asia-southeast1, '
      'europe-west1, us-central1')),
    ("sources.0.silent_after_seconds", 90, "sources[0].silent_after_seconds: expected a multiple of 60, got 90"),
    ("sources.0.gone_after_seconds", 60,
     "sources[0].gone_after_seconds: expected a whole number from 3600 to 2592000, got 60"),
    ("sources.0.silent_after_seconds", 0,
     "sources[0].silent_after_seconds: expected a whole number from 60 to 259200, got 0"),
    ("sources.0.severity", "urgent",
     'sources[0].severity: expected one of critical, high, medium, low, got "urgent"'),
    ("sources.0.name", "?", 'sources[0].name: expected a name with a letter a-z or a digit, got "?"'),
    ("sources.0.name", "High CPU Utilization", 'sources[0].name: the id "high-cpu-utilization" is taken by a rule'),
    ("sources.1", {"metric": "requests", "group_by": ["region"]},
     'sources[1].name: the id "no-more-requests-by-region" is taken by a source before it'),
    ("sources.0.notification_channels", ["pager"],
     'sources[0].notification_channels[0]: unknown channel "pager"; did you mean "pagerduty"?'),
    ("sources.0.runbook_url", "ftp://x", 'sources[0].runbook_url: expected a URL that begins with https://, got "ftp://x"'),
    ("sources.0.threshold", 5,
     ("sources[0].threshold: unknown key; known: metric, labels, group_by, "
      "silent_after_seconds, gone_after_seconds, severity, name, evaluation_delay_seconds, "
      "notification_channels, runbook_url")),
    ("sources", [{"metric": "requests", "name": f"source {number}"} for number in range(51)],
     "sources: expected at most 50 elements, got 51"),
]  # fmt: skip
