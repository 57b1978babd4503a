"""The JSON Schema and the documentation say what the loader does."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from shared.configuration.models import Source
from shared.formats.otlp_labels import LabelRule
from shared.monitoring_config import AlertRule, MetricThreshold, MonitoringConfig, Query, Selection
from tests.unit.configuration_mistakes import MISTAKES, RATIO, changed, limit, query

_DOCUMENTATION = Path(__file__).parents[2] / "docs" / "configuration.md"


def _bundled(name: str) -> str:
    return resources.files("shared.configuration").joinpath(name).read_text("utf-8")


_VALIDATOR = jsonschema.Draft202012Validator(json.loads(_bundled("schema.json")))

_BEYOND_THE_SCHEMA = (
    "unknown metric",
    "unknown label",
    "unknown value",
    'unknown channel "',
    "unknown collection",
    "unknown rule",
    "has a threshold already",
    "has to lie beyond",
    "would keep itself quiet",
    "nothing fills",
    "is taken by",
    "has the label",
    "is dropped",
    "needs a distribution",
    "needs a gauge",
    "needs a query",
    "needs sums",
    "the threshold",
    "at most 200 bytes",
    "bits",
    "Python tuple",
    "finite",
    "\\ud800",
)
"""What only the loader can tell: references, comparisons, bytes, and values that no JSON text holds."""


@pytest.mark.parametrize("text", [_bundled("defaults.json"), MonitoringConfig().to_json()], ids=["bundled", "exported"])
def test_the_schema_accepts_the_defaults(text: str) -> None:
    """The schema is a schema, and the defaults and their export are what it describes."""
    jsonschema.Draft202012Validator.check_schema(_VALIDATOR.schema)
    assert list(_VALIDATOR.iter_errors(json.loads(text))) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param(path, value, id=message[:60])
        for path, value, message in MISTAKES
        if not any(word in message for word in _BEYOND_THE_SCHEMA)
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(path: str, value: Any) -> None:
    """A mistake of form that the loader reports is one that an editor with the schema shows too."""
    assert not _VALIDATOR.is_valid(changed((path, value)))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("rules.0.evaluation_window", 600.0),
        ("rules.0.threshold.value", -1e15),
        ("rules.0.threshold.recovery_value", 200),
        ("rules.0.threshold", {"value": 0}),
        ("rules.0.description", ""),
        ("rules.0.name", "Latenz über 200 ms"),
        ("rules.0.name", "a" * 200),
        ("rules.0.tags", {}),
        ("rules.0.query", query(aggregation="p99", complement=False)),
        ("rules.0.query", RATIO),
        ("rules.0.evaluation_frequency", 259200),
        ("rules.0.min_occurrences", 100),
        ("dashboards.0.panels", []),
        ("channels.webhook", {}),
        ("channels.email.domain", "example.com"),
        ("dashboards", []),
        ("rules.0.levels", [limit(100, "high"), limit(50, "medium", ">="), limit(25, "low", recovery_value=20)]),
        ("rules.6.levels", [limit(50, "critical", "<="), limit(55, "high", "<")]),
        ("rules.0.levels", []),
        ("rules.0.inhibited_by", ["low-cache-hit-rate"]),
        ("rules.0.message", "{rule} in {region}: {value} {unit} above {threshold} ({severity})"),
        ("rules.0.message", "{"),
        ("rules.0.collection", "error_rate_global"),
        ("rules.0.collection", "ion_chunks"),
        ("otlp_labels", {}),
        ("otlp_labels", {"resource": {}, "point": {"endpoint": ["http.route", "http.target"]}, "dropped": ["user.id"]}),
    ],
)  # fmt: skip
def test_both_accept(path: str, value: Any) -> None:
    """Schema and loader accept the same values at the edges of what is allowed."""
    document = changed((path, value))
    assert list(_VALIDATOR.iter_errors(document)) == []
    exported = MonitoringConfig.from_dict(document).to_dict()
    assert MonitoringConfig.from_dict(exported).to_dict() == exported


@pytest.mark.parametrize("owner", [AlertRule, LabelRule, MetricThreshold, Query, Selection, Source])
def test_the_schema_names_every_field(owner: type) -> None:
    """The schema has exactly the fields of rules, also those of labels, thresholds, queries, selections and sources."""
    names = {"AlertRule": "rule", "LabelRule": "otlp_labels", "MetricThreshold": "threshold"}
    name = names.get(owner.__name__, owner.__name__.lower())
    schema: Any = _VALIDATOR.schema
    assert set(schema["$defs"][name]["properties"]) == {f.name for f in fields(owner)}


@pytest.mark.parametrize("owner", [AlertRule, MetricThreshold, Query, Selection, Source])
def test_every_field_is_documented(owner: type) -> None:
    """``docs/configuration.md`` has a table row for every field of rules, queries and sources."""
    rows = set(re.findall(r"^\| `(\w+)` \|", _DOCUMENTATION.read_text("utf-8"), re.MULTILINE))
    assert {f.name for f in fields(owner)} - rows == set()


def test_the_documentations_examples_load() -> None:
    """Every rule and source that is shown as JSON in the documentation is accepted beside the default ones."""
    shown = [json.loads(one) for one in re.findall(r"```json\n(.*?)```", _DOCUMENTATION.read_text("utf-8"), re.DOTALL)]
    document = changed()
    document["rules"] += [one for one in shown if "threshold" in one]
    document["sources"] += [one for one in shown if "threshold" not in one]
    config = MonitoringConfig.from_dict(document)
    assert len(config.list_alert_rules()) >= 11
    assert len(config.source_rules) >= 2
    assert len(config.list_alert_rules()) + len(config.source_rules) == 10 + len(shown)
