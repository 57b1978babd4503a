"""The package that a service installs: imported as ``ion_monitoring``, typed, and with numpy alone it publishes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import ROOT

SERVICE = """
import json, sys
before = {name.partition(".")[0] for name in sys.modules}
from ion_monitoring.metrics_collector import ProductionMetricsCollector
from ion_monitoring.performance import monitor_performance
from ion_monitoring.integrations.wsgi import WsgiMiddleware
from ion_monitoring.integrations.asgi import AsgiMiddleware
from ion_monitoring.integrations import process
collector = ProductionMetricsCollector()
collector.record_response_time("us-central1", "/process", 25.3)
statistics = collector.get_metric_statistics("response_time_us")
collector.get_current_status_report()
collector.close()
roots = {name.partition(".")[0] for name in sys.modules}
print(json.dumps([statistics["p95"], sorted(roots - before - set(sys.stdlib_module_names))]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which this repository is installed, without what it depends on."""
    folder = tmp_path_factory.mktemp("installed")
    source = tmp_path_factory.mktemp("source") / "repository"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "shared"):
        (source / name).symlink_to(ROOT / name)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
    done = subprocess.run([*command, "--target", folder, source], capture_output=True, text=True, check=False)
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip("pip cannot reach any packages: no network")
    assert done.returncode == 0, done.stderr
    return folder


def test_a_service_needs_numpy_alone(installed: Path) -> None:
    """All that a service calls is there, and loads nothing but the standard library, numpy and itself."""
    done = subprocess.run([sys.executable, "-c", SERVICE], cwd=installed, capture_output=True, text=True, check=True)
    p95, loaded = json.loads(done.stdout)
    assert p95 == 25.3
    assert [name for name in loaded if not name.startswith("_")] == ["ion_monitoring", "numpy"]


def test_it_is_typed(installed: Path) -> None:
    """A type checker reads the installed package's own types."""
    (installed / "service.py").write_text(
        "from ion_monitoring.metrics_collector import ProductionMetricsCollector\n"
        "from ion_monitoring.performance import monitor_performance\n"
        "collector = ProductionMetricsCollector()\n"
        "collector.record_response_time('us', '/a', 'slow')\n"
        "@monitor_performance\ndef double(x: int) -> int: return 2 * x\n"
        "double('x')\nreveal_type(collector.get_metric_statistics('a')['p95'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--follow-imports=silent", "service.py"],
        cwd=installed, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert [line.partition(": ")[0] for line in done.stdout.splitlines() if "error" in line][:-1] == [
        "service.py:4", "service.py:7"
    ]  # fmt: skip
    assert "float | None" in done.stdout or "Union[builtins.float, None]" in done.stdout
