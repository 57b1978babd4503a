"""A hostile writer that says one number in ever other ways, until its document is full, and beyond."""

from __future__ import annotations

import json
import random
from datetime import timedelta

import pytest

from shared.adapters.sqlite_store import SqliteStore
from shared.buckets import writers_of
from shared.bus import Message
from shared.limits import document_bytes
from shared.store import MAX_DOCUMENT_BYTES
from shared.timeline import minute_of_us, to_us
from tests.fakes import Clock
from tests.world import World, point

pytestmark = pytest.mark.soak
MESSAGES = 4_000
"""Of some 400 bytes in the store: about 2,600 of them fill the document."""


def test_a_flood_under_one_number_costs_nobody_a_message() -> None:
    """4,000 messages of one writer and seq all count once, in the rollup too; no document is larger than it may be."""
    clock, rng = Clock(), random.Random(5)
    world = World(SqliteStore(":memory:", clock, "OFF"), clock)
    at = clock() + timedelta(seconds=1)
    minute = minute_of_us(to_us(at))
    ingest = world.services.ingest()
    for _ in range(MESSAGES):
        points = [point("flood", at, rng.random(), of=str(one)) for one in range(30)]
        said = {"version": 1, "points": points, "writer": "w", "seq": 7}
        outcome = ingest(Message(json.dumps(said).encode(), {}, "id", clock()))
        assert outcome.reason == ""
    world.publish(point("neighbour", at, 1.0), writer="w", seq=8)
    world.next_minute()
    documents = world.store.list(writers_of(minute)).documents
    sizes = [document_bytes(document.path, document.fields) for document in documents]
    assert MAX_DOCUMENT_BYTES * 0.99 < max(sizes) <= MAX_DOCUMENT_BYTES
    assert len(documents) > 500
    totals = [(name.metric, count) for name, (count, _) in world.totals([minute]).items()]
    assert sorted(totals) == [*[("flood", MESSAGES)] * 30, ("neighbour", 1)]
