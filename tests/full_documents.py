"""The suite of documents that many messages share: none grows beyond its limit, and none that is full costs a message.

Runs on both adapters: ``store`` and ``clock`` are fixtures of the module that takes the suite over.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from shared.buckets import MAX_CHUNK_BYTES, stored_in, writers_of
from shared.bus import Message
from shared.cells import Observation, fold, total_count
from shared.formats.compact import CONTENT_TYPE, Chunk, Section, encode
from shared.identity import SEQS_PER_DOCUMENT, identify
from shared.limits import document_bytes
from shared.series import Kind, Series
from shared.store import MAX_DOCUMENT_BYTES, Put, Store
from shared.timeline import MINUTE_SECONDS, minute_of_us, to_us
from tests.fakes import Clock
from tests.world import World, point

COMPACT = {"content-type": CONTENT_TYPE}
ROWS = 5500
"""So many random gauges take most of 64 KiB."""
ROOM_BYTES = 190
"""Room that a full document here has for its own fields, and not for another chunk."""


def large(seq: int, minute: int, rng: random.Random) -> bytes:
    """A message of one minute that is nearly as large as a chunk may be."""
    at_us = minute * 1_000_000
    observed = [Observation(Series(f"m{at:04}"), Kind.GAUGE, at_us, rng.random()) for at in range(ROWS)]
    data = encode(Chunk("twin", "boot", seq, (Section(minute, fold(observed)),)))
    assert MAX_CHUNK_BYTES * 0.7 < len(data) <= MAX_CHUNK_BYTES
    return data


def small(*at: datetime) -> bytes:
    """A message with a point at each of some times."""
    points = [point("users_active", when, 1.0) for when in at]
    return json.dumps({"version": 1, "points": points, "writer": "twin", "boot": "boot", "seq": 7}).encode()


class FullDocumentsSuite:
    """What becomes of messages whose document has no room for them."""

    @pytest.fixture
    def world(self, store: Store, clock: Clock) -> World:
        """A deployment on the adapter under test."""
        return World(store, clock)

    @pytest.fixture
    def minute(self, clock: Clock) -> int:
        """The running minute."""
        return minute_of_us(to_us(clock() + timedelta(seconds=1)))

    def ingest(self, world: World, data: bytes, attributes: dict[str, str]) -> None:
        """One delivery, which must store the whole message."""
        outcome = world.services.ingest()(Message(data, attributes, "id", world.clock()))
        assert (outcome.reason, outcome.detail) == ("", "")

    def count(self, world: World, minute: int) -> int:
        """How many observations a minute holds, after checking every document's size."""
        documents = world.store.list(writers_of(minute)).documents
        for document in documents:
            assert document_bytes(document.path, document.fields) <= MAX_DOCUMENT_BYTES
        chunks = [chunk for chunk in stored_in(documents) if len(chunk.data) <= MAX_CHUNK_BYTES]  # without the filling
        return total_count(cells for chunk in chunks for cells in chunk.cells())

    def fill(self, world: World, data: bytes, minutes: Sequence[int]) -> None:
        """Leave no room in the documents that a message goes to."""
        document = identify(data, "twin", "boot", 7).document
        fields = {"c": {"s7_held": bytes(MAX_DOCUMENT_BYTES - ROOM_BYTES)}, "writer": "twin", "boot": "boot"}
        expires_at = world.clock() + timedelta(hours=76)
        for minute in minutes:
            world.store.commit([Put(f"{writers_of(minute)}/{document}", {**fields, "expires_at": expires_at})])

    def test_two_processes_of_one_name_with_large_messages(self, world: World, minute: int) -> None:
        """Twice twelve messages that need 1.3 MiB, of one writer and its numbers, all count once, in any order."""
        rng = random.Random(3)
        messages = [large(seq, minute, rng) for seq in range(SEQS_PER_DOCUMENT) for _ in range(2)]
        assert sum(map(len, messages)) > MAX_DOCUMENT_BYTES
        for data in rng.sample(messages, len(messages)) + rng.sample(messages, 8):
            self.ingest(world, data, COMPACT)
        assert self.count(world, minute) == ROWS * len(messages)

    def test_a_message_without_room_counts_once(self, world: World, minute: int, clock: Clock) -> None:
        """However often and in parallel it is delivered, it lies in one document of its own."""
        data = small(clock() + timedelta(seconds=1))
        self.fill(world, data, [minute])
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: self.ingest(world, data, {}), range(8)))
        assert self.count(world, minute) == 1
        assert len(world.store.list(writers_of(minute)).documents) == 2

    def test_a_message_stays_where_it_was_stored(self, world: World, minute: int, clock: Clock) -> None:
        """A document that has become full takes what it holds already again: nothing is stored a second time."""
        data = small(clock() + timedelta(seconds=1))
        self.ingest(world, data, {})
        held = world.store.list(writers_of(minute)).documents[0]
        room = MAX_DOCUMENT_BYTES - document_bytes(held.path, held.fields) - len("s7_held") - 1
        world.store.commit([Put(held.path, {"c": {"s7_held": bytes(room)}}, merge=True)])
        self.ingest(world, data, {})
        self.ingest(world, data.replace(b'"value": 1.0', b'"value": 2.0'), {})
        assert self.count(world, minute) == 2
        assert len(world.store.list(writers_of(minute)).documents) == 2

    def test_one_full_document_of_several(self, world: World, minute: int, clock: Clock) -> None:
        """A message of three minutes, in one of which its document is full, counts once in each."""
        data = small(*(clock() + timedelta(seconds=1 - MINUTE_SECONDS * back) for back in range(3)))
        self.fill(world, data, [minute - MINUTE_SECONDS])
        for _ in range(2):
            self.ingest(world, data, {})
        assert [self.count(world, minute - MINUTE_SECONDS * back) for back in range(3)] == [1, 1, 1]
