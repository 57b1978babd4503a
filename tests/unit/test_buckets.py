"""What a message becomes in the store: nothing for nothing, as it was sent where that is small, whole or not at all."""

from __future__ import annotations

import itertools
import json
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from shared import buckets, ingest
from shared.adapters.sqlite_store import SqliteStore
from shared.buckets import MAX_CHUNK_BYTES, Commit, apart, commits_of, stored_in, writers_of
from shared.bus import Message
from shared.cells import EMPTY, Observation, fold
from shared.formats.columns import Writer
from shared.formats.compact import MAX_KEPT_BODY_BYTES, MAX_MESSAGE_COUNT, Chunk, Section, decode, encode
from shared.formats.series_table import encode_table
from shared.identity import identify, rejection
from shared.series import Kind, Series
from shared.store import Put
from shared.timeline import iso
from tests.fakes import START, Clock, CountingStore
from tests.hostile_messages import MINUTE, deflate
from tests.world import World

END = MINUTE * 60


def _commits(data: bytes) -> list[Commit]:
    chunk = decode(data)
    return list(commits_of(chunk, identify(data, chunk.writer, chunk.boot, chunk.seq)))


def _chunks(data: bytes) -> list[bytes]:
    return [chunk for commit in _commits(data) for put in commit.puts for chunk in put.fields["c"].values()]


def _gauges(count: int, minute: int = END) -> Section:
    return Section(
        minute, fold([Observation(Series(f"m{at}"), Kind.GAUGE, minute * 10**6, 1.0) for at in range(count)])
    )


def test_sections_without_rows_are_not_stored() -> None:
    """Minutes in which nothing was measured make no document and no commit."""
    empty = [Section(END + 60 * at, EMPTY) for at in range(3)]
    assert _commits(encode(Chunk("", "", None, tuple(empty)))) == []
    (commit,) = _commits(encode(Chunk("", "", None, (_gauges(1), *empty[1:]))))
    assert (len(commit.puts), list(commit.minutes)) == (1, [END])


def test_a_commit_names_the_minutes_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a message in several commits each names its own minutes, so that no other is marked as late for it."""
    monkeypatch.setattr(buckets, "MAX_WRITES", 2)
    sections = tuple(_gauges(1, END + 60 * at) for at in range(5))
    commits = _commits(encode(Chunk("", "", None, sections)))
    assert [set(commit.minutes) for commit in commits] == [{END, END + 60}, {END + 120, END + 180}, {END + 240}]


def _swollen(strings: int) -> bytes:
    """A chunk of one row beside a table of many series that no row has."""
    out = Writer()
    for _ in range(2):
        out.blob(b"")
    out.varint(0)
    out.blob(encode_table(tuple(Series("m", (("name", f"{at:05}".ljust(500, "x")),)) for at in range(strings))))
    for number in (1, MINUTE, 1, 0):
        out.varint(number)
    for value in (0, 0, 1, 0):
        out.unsigned(np.full(1, value))
    out.floats(np.zeros(1))
    return deflate(out.done())


def test_what_is_swollen_is_not_stored_as_it_was_sent() -> None:
    """A small chunk is kept to the byte; one that inflates to a megabyte of names is stored without those."""
    assert _chunks(_swollen(10)) == [_swollen(10)]
    swollen = _swollen(MAX_KEPT_BODY_BYTES // 500 + 1)
    assert len(swollen) < MAX_CHUNK_BYTES
    (kept,) = _chunks(swollen)
    assert decode(kept).sections[0].cells.series == decode(swollen).sections[0].cells.series
    assert len(kept) < 100


def test_a_message_is_stored_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the last of its commits could not be read back, the first is not made either."""
    for module in (buckets, ingest):
        monkeypatch.setattr(module, "MAX_WRITES", 1)
    clock = Clock()
    store = CountingStore(SqliteStore(":memory:", clock))
    outcome = World(store, clock).services.ingest()(Message(_overfull(), {}, "id", clock()))
    assert (outcome.reason, outcome.observations) == ("malformed_chunk", 0)
    assert all(rejection(_overfull()).wid in path for path in store.written)


def _stored(*puts: Put) -> list[bytes]:
    """The chunks that count after some writes."""
    clock = Clock()
    store = SqliteStore(":memory:", clock)
    for put in puts:
        store.commit([put])
    held = store.list(writers_of(END)).documents
    return [chunk.data for chunk in stored_in(held)]


def _puts(data: bytes, sections: int) -> list[Put]:
    """The writes of a message that a version reads as so many series."""
    chunk = Chunk("", "", None, (_gauges(sections),))
    return [put for commit in commits_of(chunk, identify(data)) for put in commit.puts]


@pytest.mark.parametrize("versions", list(itertools.permutations([1, 200, 400], 2)), ids=str)
def test_the_version_of_a_message_that_was_written_last_counts(
    monkeypatch: pytest.MonkeyPatch, versions: tuple[int, int]
) -> None:
    """A message that is read otherwise when it comes again, as more or fewer series, is there in that version only."""
    monkeypatch.setattr(buckets, "MAX_CHUNK_BYTES", 300)
    first, last = (_puts(b"message", series) for series in versions)
    assert (len(_puts(b"message", 1)), len(_puts(b"message", 200)) > 3) == (1, True)
    rows = [len(section.cells) for data in _stored(*first, *last) for section in decode(data).sections]
    assert sum(rows) == versions[1]
    assert len(rows) == max(1, len(last) - 1)


def test_the_parts_of_a_version_count_when_all_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a crash left of another version changes nothing: its name is written last."""
    monkeypatch.setattr(buckets, "MAX_CHUNK_BYTES", 300)
    before, half = _puts(b"message", 200), _puts(b"message", 400)[:-1]
    assert _stored(*before, *half) == _stored(*before)
    assert _stored(*half) == []


def test_a_message_with_a_document_of_its_own_counts_there_only() -> None:
    """Where it no longer fitted beside others, what is left of it there counts no more."""
    (shared,), (large,) = _puts(b"message", 1), _puts(b"message", 2)
    (moved,) = apart([large], identify(b"message"))
    assert _stored(shared, moved) == _stored(moved) == _stored(large)


def _overfull() -> bytes:
    """A point in one minute, and in the next histograms that hold more together than a cell may."""
    histogram: dict[str, Any] = {"count": MAX_MESSAGE_COUNT, "sum": 1, "min": 0, "max": 1, "scale": 0}
    counted = {"metric": "b", "timestamp": iso(START), "histogram": histogram | {"zeroCount": MAX_MESSAGE_COUNT}}
    first = {"metric": "a", "timestamp": iso(START - timedelta(minutes=1)), "value": 1}
    return json.dumps({"version": 1, "points": [first, counted, counted]}).encode()
