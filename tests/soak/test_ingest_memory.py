"""An instance of ingest under eight of the largest messages at once, as many as it takes requests."""

from __future__ import annotations

import http.client
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.adapters.pubsub_bus import create_resources
from shared.bus import Message
from shared.manifest import load_manifest
from shared.push import push_body
from tests.bench.ingest import INGEST, PROJECT, environment_of
from tests.emulators import Emulator
from tests.fakes import START
from tests.serving import Served, memory_bytes, serving
from tests.worst_messages import WORST

pytestmark = pytest.mark.soak
SIZING = load_manifest().functions["ingest"].sizing
LARGEST = (
    "native_strings",
    "native_keys",
    "native_distributions",
    "otlp_exemplars",
    "otlp_histograms",
    "compact_most_text",
)


def _post(server: Served, body: bytes) -> int:
    """The answer's status; 504 where there is none in time, as for Pub/Sub."""
    try:
        return server.post(body)
    except (OSError, http.client.HTTPException):
        return 504


def test_the_largest_messages_at_once_fit_an_instance(
    firestore_host: Emulator, pubsub_host: Emulator, tmp_path: Path
) -> None:
    """Of each of the largest messages as many as come at once are taken, or come again; memory stays in the limit."""
    create_resources(PROJECT, pubsub_host.host, ["metrics-dead-letter"], [], {})
    environment = environment_of(firestore_host) | {
        "PUBSUB_EMULATOR_HOST": pubsub_host.host,
        "THREADS": str(SIZING.concurrency),
    }
    with serving(INGEST, "ingest", "cloudevent", environment, tmp_path / "log") as server:
        for name in LARGEST:
            sent = WORST[name].make()
            body = push_body(Message(sent.data, sent.attributes, "1", START), "metrics-ingest", PROJECT)
            with ThreadPoolExecutor(SIZING.concurrency) as pool:
                answers = Counter(pool.map(lambda _, body=body: _post(server, body), range(SIZING.concurrency)))
            assert answers[200] + answers[204] >= 1, f"{name}: {answers}"
            assert answers.keys() <= {200, 204, 500, 504}
        assert memory_bytes(server.pid, "VmHWM") <= SIZING.memory_mib * 1024 * 1024
