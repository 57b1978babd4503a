"""The page for who measures a service: its Python runs, its settings are those that are read, its names exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import sentry_sdk

from shared import metrics_collector, performance
from shared.config import load_client_config
from shared.metrics_collector import ProductionMetricsCollector
from shared.publisher_life import PublisherStats
from tests.bench.__main__ import PARTS
from tests.unit.test_instruments import Service

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "client.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """The page's blocks of a language, in order, without what a list indents them by."""
    found = re.findall(rf"^( *)```{language}\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
    return [re.sub(f"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def test_the_python_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """All Python on the page runs in its order; nothing of it is dropped, and each method of the collector is shown."""
    service = Service()
    collector = ProductionMetricsCollector(service.metrics, region="us-central1")
    monkeypatch.setattr(metrics_collector, "_own", [service.metrics])
    monkeypatch.setattr(metrics_collector, "_own_collector", [collector])
    monkeypatch.setattr(performance, "WATCHES", [])
    for name in ("ION_PROJECT", "SENTRY_DSN"):
        monkeypatch.delenv(name, raising=False)
    scope: dict[str, Any] = {"__name__": "page"}
    try:
        for block in blocks("python"):
            exec(compile(block.replace("ion_monitoring", "shared"), "docs/client.md", "exec"), scope)
    finally:
        scope["levels"].stop()
        scope["provider"].shutdown()
        sentry_sdk.get_global_scope().set_client(None)
    assert capsys.readouterr().out.startswith("1 25.3\nPublisherStats(")
    assert service.metrics.stats().dropped_observations == 0
    recorded = {series.metric for series in service.counts()}
    assert {"response_time", "basket_value", "checkout_time", "function_time", "persona_process_time"} <= recorded
    methods = {name for name in dir(collector) if name.startswith("record_")}
    assert [name for name in methods - {"record_function_time"} if name not in PAGE] == []


def test_the_settings_are_those_that_are_read() -> None:
    """Each variable of the table changes what is read, and there is no other."""
    named = re.findall(r"^\| `([A-Z_]+)` \|", PAGE, re.MULTILINE)
    sound = {
        "ION_PROJECT": "my-project", "ION_PREFIX": "dev-", "ION_REGION": "r", "ION_WRITER": "w", "ION_SPOOL": "/s",
        "PUBSUB_EMULATOR_HOST": "127.0.0.1:1",
    }  # fmt: skip
    assert named == list(sound)
    for name, value in sound.items():
        assert load_client_config({name: value}) != load_client_config({}), name
    source = (ROOT / "shared" / "config.py").read_text("utf-8").partition("def load_client_config")[2]
    assert set(re.findall(r'"(ION_[A-Z]+)"', source)) == {name for name in named if name.startswith("ION_")}


def test_what_it_names_is_there() -> None:
    """The counters, the part of the benchmark, the modules and the pages that it names exist."""
    counters = set(re.findall(r"`((?:last_error|\w+_observations|crowded_metrics))\b", PAGE))
    assert counters <= set(PublisherStats.__dataclass_fields__)
    assert len(counters) == 4
    assert re.findall(r"make bench PART=(\w+)", PAGE) == ["client"]
    assert "client" in PARTS
    for module in re.findall(r"ion_monitoring\.([a-z_.]+[a-z])", PAGE):
        path = ROOT / "shared" / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or path.is_dir(), module
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / link).resolve().exists(), link
