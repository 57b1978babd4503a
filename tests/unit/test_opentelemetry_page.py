"""The page about OpenTelemetry: its configurations hold together, and it says what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.formats import otlp, otlp_labels
from shared.formats.dispatch import decode
from shared.formats.otlp_labels import DEFAULT_RULE, LabelRule
from shared.monitoring_config import MonitoringConfig
from tests.events import otlp_make
from tests.otel import export, json_of

PAGE = (Path(__file__).parents[2] / "docs" / "opentelemetry.md").read_text("utf-8")
TOPIC = re.compile(r"projects/[a-z][a-z0-9\-]*(:[a-z0-9\-]+)?/topics/metrics")
"""The form that the exporter insists on."""


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def _configurations() -> list[dict[str, Any]]:
    """The Collector's configurations, with its environment put in as the Collector does."""
    return [yaml.safe_load(block.replace("${env:ION_PROJECT}", "ion-mentoring")) for block in _blocks("yaml")]


def test_the_ready_configuration_uses_what_it_defines() -> None:
    """Each component of the pipeline is defined, and each that is defined is in the pipeline."""
    ready, _ = _configurations()
    (pipeline,) = ready["service"]["pipelines"].values()
    for kind in ("receivers", "processors", "exporters"):
        assert sorted(pipeline[kind]) == sorted(ready[kind])


def test_the_ready_configuration_sends_deltas_in_batches_that_fit() -> None:
    """Summaries are dropped before the conversion to delta, and batches are cut after it."""
    ready, _ = _configurations()
    order = ready["service"]["pipelines"]["metrics"]["processors"]
    assert order[0] == "memory_limiter"
    assert order.index("filter/summaries") < order.index("cumulativetodelta") < order.index("batch")
    assert ready["processors"]["filter/summaries"]["metrics"]["metric"] == ["type == METRIC_DATA_TYPE_SUMMARY"]
    assert 0 < ready["processors"]["batch"]["send_batch_max_size"] <= otlp.MAX_POINTS
    assert ready["exporters"]["googlecloudpubsub"]["compression"] == "gzip"


@pytest.mark.parametrize("configuration", _configurations(), ids=["ready", "json"])
def test_the_topic_has_the_form_that_the_exporter_asks_for(configuration: dict[str, Any]) -> None:
    """A topic is a full resource name, or the Collector does not start."""
    assert TOPIC.fullmatch(configuration["exporters"]["googlecloudpubsub"]["topic"])


def test_the_attributes_of_the_json_configuration_are_read_as_otlp() -> None:
    """What the page has the exporter set is what tells the format here."""
    _, configuration = _configurations()
    metrics = configuration["exporters"]["googlecloudpubsub"]["metrics"]
    assert configuration["extensions"][metrics["encoding"]] == {"protocol": "otlp_json"}
    chunk, refused = decode(json_of(export(otlp_make.record)), metrics["attributes"], {}, DEFAULT_RULE)
    assert (len(chunk.sections), refused) == (1, None)


def test_the_rule_on_the_page_is_a_configuration() -> None:
    """The example is a section that loads beside the default ones, and comes back as it was."""
    (block,) = _blocks("json")
    section = json.loads(block)
    config = MonitoringConfig.from_dict({**MonitoringConfig().to_dict(), **section})
    assert config.settings.otlp_labels.dropped == ("url.full", "user.id")
    assert config.to_dict()["otlp_labels"] == section["otlp_labels"]


def test_the_default_rule_on_the_page_is_the_default_rule() -> None:
    """The table lists the attributes of the resource that become labels, and no others."""
    listed = re.findall(r"^\| `([a-z.]+)` \| `([a-z]+)` \|$", PAGE, re.MULTILINE)
    assert LabelRule({label: (attribute,) for attribute, label in listed}) == DEFAULT_RULE
    assert MonitoringConfig().settings.otlp_labels == DEFAULT_RULE


def test_every_reason_is_on_the_page() -> None:
    """What a dead letter may say is explained, and the page that the error points to is this one."""
    folder = Path(otlp_labels.__file__).parent
    code = "".join(path.read_text("utf-8") for path in [*folder.glob("otlp*.py"), folder / "dispatch.py"])
    reasons = set(re.findall(r'PermanentError\(\s*"([a-z_]+)"', code)) | {"malformed_message", "chunk_too_large"}
    assert len(reasons) == 9
    assert [reason for reason in sorted(reasons) if f"`{reason}`" not in PAGE] == []
    assert otlp.HELP == "see docs/opentelemetry.md"
