"""A Prometheus server as a reference: how long it takes to evaluate nine rules like ours over the same series.

It has 25 minutes of samples, one every 30 seconds for each series, from blocks that promtool makes, and is asked for
the group's last duration while it evaluates every second. Of response times it has one sample where we have bins of all
observations, so it has less to do there.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from shared.series import Series

STEP_SECONDS = 30
BEFORE_SECONDS, AFTER_SECONDS = 1200, 300
STARTS_WITHIN_SECONDS = 60
READINGS = 12
_DURATION = re.compile(r"^prometheus_rule_group_last_duration_seconds\{.*\} (\S+)$", re.MULTILINE)
RULES = {
    "response_time_critical": "quantile by (region) (0.95, avg_over_time(response_time[5m])) > 200",
    "error_rate_critical": "100 * sum(increase(errors[1m])) / sum(increase(requests[1m])) > 1",
    "availability": "100 * (1 - sum(increase(errors[5m])) / sum(increase(requests[5m]))) < 99.95",
    "response_time_warning": "quantile by (region) (0.95, avg_over_time(response_time[5m])) > 100",
    "error_rate_warning": "100 * sum(increase(errors[5m])) / sum(increase(requests[5m])) > 0.5",
    "database_lag": "avg by (region) (avg_over_time(database_lag[5m])) > 500",
    "cache_hit_rate": '100 * sum(increase(cache_requests{result="hit"}[10m]))'
    " / sum(increase(cache_requests[10m])) < 70",
    "cpu": "avg by (region) (avg_over_time(cpu_utilization[5m])) > 80",
    "memory": "avg by (region) (avg_over_time(memory_utilization[5m])) > 80",
}


def missing() -> bool:
    """Whether Prometheus is not installed here."""
    return shutil.which("prometheus") is None or shutil.which("promtool") is None


def group_duration_ms(series: Sequence[Series]) -> float:
    """The median of what the server says its group took, once it is warm."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        _write_blocks(folder, series)
        _write_configuration(folder)
        with _serving(folder) as port:
            readings = [_duration_ms(port) for _ in range(READINGS)]
    return statistics.median(readings[READINGS // 2 :])


def _write_blocks(folder: Path, series: Sequence[Series]) -> None:
    now = int(time.time())
    with (folder / "samples.txt").open("w", encoding="utf-8") as out:
        for number, one in enumerate(series):
            labels = ",".join(f'{name}="{value}"' for name, value in one.labels)
            for step in range(0, BEFORE_SECONDS + AFTER_SECONDS, STEP_SECONDS):
                value = (number % 50 + 10) * (step // STEP_SECONDS + 1)  # grows, as a counter does
                out.write(f"{one.metric}{{{labels}}} {value} {now - BEFORE_SECONDS + step}\n")
        out.write("# EOF\n")
    command = [
        "promtool",
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        f"{folder / 'samples.txt'}",
        f"{folder / 'data'}",
    ]
    subprocess.run(command, check=True, capture_output=True)


def _write_configuration(folder: Path) -> None:
    rules = "\n".join(f"  - alert: {name}\n    expr: '{expr}'\n    for: 2m" for name, expr in RULES.items())
    (folder / "rules.yml").write_text(f"groups:\n- name: nine\n  rules:\n{rules}\n", "utf-8")
    (folder / "prometheus.yml").write_text("global:\n  evaluation_interval: 1s\nrule_files: [rules.yml]\n", "utf-8")


@contextlib.contextmanager
def _serving(folder: Path) -> Iterator[int]:
    """A server on loopback with its own folder; it has ended afterwards. Raises RuntimeError when it does not start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
               f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]  # fmt: skip
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait_until_evaluated(server, port, folder / "log")
            yield port
        finally:
            server.terminate()
            server.wait(30)


def _wait_until_evaluated(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError, StopIteration):
            if _metrics(port):
                return
        time.sleep(0.2)
    raise RuntimeError(log.read_text("utf-8", "replace")[-500:])


def _duration_ms(port: int) -> float:
    time.sleep(1.0)  # until it has evaluated again
    return 1000 * _metrics(port)


def _metrics(port: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        found = _DURATION.search(answer.read().decode())
    return float(found[1]) if found else 0.0
