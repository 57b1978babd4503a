"""The page about publishing: what it shows runs, and its numbers are the code's."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
import tomllib
from base64 import b64decode
from collections.abc import Mapping
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from shared import ingest, instruments, publisher, spool
from shared.adapters import pubsub_http
from shared.adapters.sqlite_store import SqliteStore
from shared.buckets import LOST_AFTER
from shared.bus import MAX_MESSAGE_BYTES
from shared.cardinality import MAX_BINS, MAX_NAME_BYTES, MAX_SERIES, WRITER_SHARE
from shared.cells import MAX_MAGNITUDE, total_count
from shared.formats.compact import Chunk
from shared.formats.dispatch import decode
from shared.formats.native import MAX_OBSERVATIONS
from shared.formats.otlp_labels import DEFAULT_RULE
from shared.manifest import load_manifest
from shared.own_collections import OWN_COLLECTIONS
from shared.publishing import END_SECONDS, BackgroundPublisher
from shared.redrive import main as redrive
from shared.series import MAX_LABEL_VALUE_BYTES, MAX_LABELS
from shared.series import MAX_NAME_BYTES as MAX_METRIC_BYTES
from shared.spool import MAX_SPOOL_BYTES
from shared.wiring import use
from tests.fakes import Clock
from tests.world import World, point

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "publishing.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """The page's blocks of a language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


class FakeTopic:
    """What ``HttpTopic`` is to a publisher: takes messages."""

    taken: list[tuple[str, str, Chunk]]

    def __init__(self, project: str, topic: str, *_: object, **__: object) -> None:
        self._name = project, topic
        FakeTopic.taken = []

    def __call__(self, data: bytes, attributes: Mapping[str, str]) -> None:
        """Take one message."""
        chunk, refused = decode(data, attributes, {}, DEFAULT_RULE)
        assert refused is None
        self.taken.append((*self._name, chunk))


def test_the_python_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All Python on the page runs in its order, and what it records arrives, once each, from a spool as well."""
    monkeypatch.setattr(pubsub_http, "HttpTopic", FakeTopic)
    monkeypatch.setenv("ION_PROJECT", "my-project")
    monkeypatch.setenv("ION_SPOOL", str(tmp_path / "spool"))
    scope: dict[str, object] = {}
    try:
        for block in blocks("python"):
            exec(compile(block.replace("ion_monitoring", "shared"), "docs/publishing.md", "exec"), scope)
        handle, metrics = scope["handle"], scope["metrics"]
        assert callable(handle)
        assert isinstance(metrics, BackgroundPublisher)
        assert list((tmp_path / "spool").glob("*.journal"))
        assert handle(None) == "ok"
        assert (metrics.stats().waiting_observations, metrics.stats().dropped_observations) == (0, 0)
    finally:
        for one in scope.values():
            if isinstance(one, BackgroundPublisher):
                assert one.close()
    assert {(project, topic) for project, topic, _ in FakeTopic.taken} == {("my-project", "metrics")}
    assert sum(total_count(section.cells for section in chunk.sections) for _, _, chunk in FakeTopic.taken) == 4
    assert capsys.readouterr().out in ("0 3 0 \n", "1 0 0 \n"), "gathered, or sent already as a quarter ended"


def test_the_javascript_publishes() -> None:
    """The page's program for Node.js, run as it stands, publishes a sound message that names no writer."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    asked: list[tuple[str, str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            asked.append((self.path, self.headers["authorization"], body))
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.handle_request)
    serving.start()
    (script,) = blocks("js")
    environment = {
        "PATH": os.defpath, "ION_PROJECT": "my-project", "ION_TOKEN": "t",
        "ION_URL": f"http://127.0.0.1:{server.server_port}",
    }  # fmt: skip
    subprocess.run([node, "--input-type=module", "-e", script], env=environment, check=True)
    serving.join()
    server.server_close()
    ((path, token, body),) = asked
    assert (path, token) == ("/v1/projects/my-project/topics/metrics:publish", "Bearer t")
    (published,) = json.loads(body)["messages"]
    message = json.loads(b64decode(published["data"]))
    assert set(message) == {"version", "points"}
    chunk, _ = decode(json.dumps(message).encode(), {}, {}, DEFAULT_RULE)
    assert [series.metric for series in chunk.sections[0].cells.series] == ["requests"]


def test_the_go_says_the_same() -> None:
    """The program for Go names the fields that the one for Node.js does, its route, and no writer or number."""
    (script,), (javascript,) = blocks("go"), blocks("js")
    fields = ("version", "points", "metric", "labels", "timestamp", "kind", "value", "messages", "data")
    for field in fields:
        assert f'"{field}":' in script
        assert f"{field}:" in javascript
    assert "writer" not in script
    assert "seq" not in script
    assert "/v1/projects/%s/topics/metrics:publish" in script


def test_what_the_python_imports_is_installed() -> None:
    """Each module that the page imports is in the package that services install."""
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    imported = re.findall(r"^from (ion_monitoring[.\w]*) import", "".join(blocks("python")), re.MULTILINE)
    assert len(imported) == 2
    assert {module.rpartition(".")[0] for module in imported} <= set(packages)


def test_the_shell_publishes(tmp_path: Path) -> None:
    """The page's shell, with a gcloud and a curl that only note what they are given, publishes a sound message."""
    for name in ("gcloud", "curl"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\nfor one in "$@"; do printf "%s\\n" "$one" >> "$NOTES/{name}"; done\n')
        program.chmod(0o755)
    script = "set -eu\n" + "".join(block for block in blocks("sh") if "make " not in block)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "NOTES": str(tmp_path / "notes"), "ION_PROJECT": "my-project"}
    (tmp_path / "notes").mkdir()
    subprocess.run(["sh", "-c", script], env=environment, check=True)
    by_gcloud = (tmp_path / "notes" / "gcloud").read_text("utf-8").splitlines()
    by_curl = (tmp_path / "notes" / "curl").read_text("utf-8").splitlines()
    assert "https://pubsub.googleapis.com/v1/projects/my-project/topics/metrics:publish" in by_curl
    message = by_gcloud[by_gcloud.index("--message") + 1]
    (published,) = json.loads(by_curl[by_curl.index("-d") + 1])["messages"]
    assert b64decode(published["data"]).decode() == message
    chunk, _ = decode(message.encode(), {}, {}, DEFAULT_RULE)
    assert [series.metric for series in chunk.sections[0].cells.series] == ["cache_hits"]


def test_the_json_is_a_message() -> None:
    """The message with a writer is read as it stands there."""
    (block,) = blocks("json")
    chunk, _ = decode(block.encode(), {}, {}, DEFAULT_RULE)
    assert (chunk.writer, chunk.seq, total_count(section.cells for section in chunk.sections)) == (
        "checkout-7f9c",
        41,
        4,
    )


def _hours_and_minutes(age: timedelta) -> str:
    minutes = age // timedelta(minutes=1)
    return f"{minutes // 60} h {minutes % 60} min"


@pytest.mark.parametrize(
    ("what", "limit"),
    [
        ("a message", f"{MAX_MESSAGE_BYTES:,} bytes"),
        ("observations in a JSON message", f"{MAX_OBSERVATIONS:,}"),
        (
            "a name; a label's value; labels of a series",
            f"{MAX_METRIC_BYTES} bytes; {MAX_LABEL_VALUE_BYTES} bytes; {MAX_LABELS}",
        ),
        ("a number", f"finite, at most {MAX_MAGNITUDE:.0e}".replace("+", "")),
        ("how old a point may be", f"{ingest.LATE.total_seconds() / 3600:.0f} h"),
        ("how far ahead", f"{ingest.EARLY.total_seconds() / 60:.0f} minutes"),
        ("how long after its minute", _hours_and_minutes(LOST_AFTER)),
        ("series that one writer alone", f"{MAX_SERIES * WRITER_SHARE:,.0f}"),
        ("series of a minute in all", f"{MAX_SERIES:,}"),
        ("observations in the client", f"{publisher.MAX_OBSERVATIONS:,}"),
        ("unsent messages in the client", f"{publisher.MAX_UNSENT_BYTES >> 20} MiB"),
        ("names and labels in the client", f"{instruments.MAX_SERIES_BYTES >> 20} MiB"),
        ("the spool", f"{MAX_SPOOL_BYTES >> 20} MiB"),
    ],
)
def test_the_limits_are_the_codes(what: str, limit: str) -> None:
    """Each row of the table of limits says what the code holds to."""
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| [^|]+ \|$", PAGE, re.MULTILINE)
    assert [found.partition(", also")[0] for name, found in rows if name.startswith(what)] == [limit]


def test_the_other_numbers_are_the_codes() -> None:
    """What the text says of bins, names, and the end of a process is what the code does."""
    text = " ".join(PAGE.split())
    assert f"{MAX_BINS:,} bins and {MAX_NAME_BYTES // 1_000_000} MB of names" in text
    assert f"at most {END_SECONDS:.0f} seconds" in text
    assert f"at most {spool.MAX_SPOOL_BYTES >> 20} MiB" in text


def test_every_reason_and_metric_is_one() -> None:
    """The reasons and own metrics that the page names are those of the code."""
    code = "".join(path.read_text("utf-8") for path in (ROOT / "shared").rglob("*.py"))
    reasons = set(re.findall(r"(?:dead letter|message is a dead letter|likewise): `([a-z_]+)`", PAGE))
    points = {"point_too_old", "point_too_early", "point_expired"}
    assert reasons == {"chunk_too_large", "malformed_message", "invalid_series"} | points
    assert [reason for reason in reasons if f'"{reason}"' not in code] == []
    own = set(re.findall(r"`(ion_(?!reason|detail|monitoring)\w+)`", PAGE))
    assert own <= {one.name for one in OWN_COLLECTIONS}
    assert "metrics-dead-letter-pull" in {one.name for one in load_manifest().pull_subscriptions}


def test_the_redrive_commands_run(capsys: pytest.CaptureFixture[str]) -> None:
    """The page's first command lists letters by reason and moves none, its second sends those of one reason again."""
    clock = Clock()
    world = World(SqliteStore(":memory:", clock), clock)
    world.bus.publish("metrics", b"?")
    world.publish(point("requests", clock() - timedelta(hours=73), 1.0))
    world.deliver()
    use(world.services)
    given = re.findall(r'^make redrive ARGS="(.*)"$', PAGE, re.MULTILINE)
    assert [redrive(arguments.split()) for arguments in given[:1]] == [0]
    assert capsys.readouterr().out.split("\n")[-2] == "2 found, 0 sent again"
    clock.time += timedelta(minutes=10)
    assert [redrive(arguments.split()) for arguments in given[1:]] == [0]
    assert capsys.readouterr().out.split("\n")[-2] == "2 found, 1 sent again"


def test_every_link_leads_somewhere() -> None:
    """The pages and headings that the page links to are there."""
    links = re.findall(r"\]\(([^)]+)\)", PAGE)
    headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^##+ (.+)$", PAGE, re.MULTILINE)}
    assert {"opentelemetry.md", "wire-formats.md"} <= set(links)
    assert [
        one for one in links if not (one[1:] in headings if one[0] == "#" else (ROOT / "docs" / one).exists())
    ] == []
