"""A minute's chunks merged in groups are the chunks merged at once, in memory that does not grow with their bins."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shared import bins
from shared.adapters.sqlite_store import SqliteStore
from shared.buckets import EXPIRY_AFTER, writers_of
from shared.cells import Cells, Observation, equal, fold, merge_writers
from shared.formats.compact import Chunk, Section, encode
from shared.minute_chunks import MAX_HELD_BINS, merge_chunks
from shared.rollups import roll_up
from shared.series import Kind, Series
from shared.store import Document, Put
from shared.timeline import US_PER_SECOND, from_minute
from tests.cell_cases import END_US, FEW, SERIES, chunks_of_cells
from tests.fakes import Clock

MINUTE = END_US // US_PER_SECOND
AT = datetime(2025, 10, 18, 12, 40, tzinfo=UTC)
ROWS = 480
MB = 1_000_000


def _stored(writer: int, number: int, cells: Cells, minute: int = MINUTE) -> Put:
    data = encode(Chunk("", "", None, (Section(minute, cells),)))
    fields = {"c": {f"{number}_x": data}, "writer": "", "boot": "", "expires_at": from_minute(minute) + EXPIRY_AFTER}
    return Put(f"{writers_of(minute)}/{writer:016x}~{number}", fields, merge=True)


def _documents(parts: Sequence[Cells]) -> list[Document]:
    """The chunks as they would be listed; each part is of one writer."""
    puts = [_stored(int(part.last_writer[0]), at, part) for at, part in enumerate(parts) if len(part)]
    return [Document(put.path, put.fields, AT) for put in puts]


@FEW
@given(chunks_of_cells(), st.integers(1, 12))
def test_groups_of_any_size_give_what_one_merge_gives(parts: list[Cells], held_bins: int) -> None:
    """However few bins may be held at once, the cells are those of one merge to the bit, sums included."""
    kept, unreadable = merge_chunks(MINUTE, _documents(parts), held_bins)
    assert equal(kept.cells, merge_writers(parts))
    assert unreadable == 0


def test_a_series_with_more_bins_than_it_may_keep_gets_the_same_scale_in_groups() -> None:
    """Bins that are joined step by step, chunk after chunk, end at the scale and the counts of one merge."""
    values = np.exp2(np.arange(6_000) / 32 - 90)
    parts = [
        fold([Observation(one, Kind.DISTRIBUTION, END_US, float(value)) for value in values[start::3]], start)
        for start in range(3)
        for one in SERIES[start : start + 2]
    ]
    kept, _ = merge_chunks(MINUTE, _documents(parts), 1_000)
    assert kept.cells.scale.min() < bins.SCALE
    assert equal(kept.cells, merge_writers(parts))


def test_what_is_beyond_the_limits_is_the_same_in_groups() -> None:
    """Series that a rollup has no room for are left out alike, and counted alike by metric and writer."""
    crowd = [Observation(Series("m", (("i", f"{at:04}"),)), Kind.DISTRIBUTION, END_US, 1.0) for at in range(2_500)]
    documents = _documents([fold(crowd, 1), fold(crowd[:700], 2)])
    assert merge_chunks(MINUTE, documents, 600)[0].by_writer == merge_chunks(MINUTE, documents)[0].by_writer != {}
    assert merge_chunks(MINUTE, documents, 600)[0].by_metric == merge_chunks(MINUTE, documents)[0].by_metric != {}
    assert equal(merge_chunks(MINUTE, documents, 600)[0].cells, merge_chunks(MINUTE, documents)[0].cells)


def test_a_chunk_that_cannot_be_read_is_counted_in_groups_too() -> None:
    """One chunk of a newer version is passed over and counted, and the others are merged."""
    part = fold([Observation(SERIES[0], Kind.DISTRIBUTION, END_US, float(at)) for at in range(9)], 3)
    newer = Document(f"{writers_of(MINUTE)}/{9:016x}", {"c": {"0_x": b"\xff?"}, "writer": ""}, AT)
    for held_bins in (1, MAX_HELD_BINS):
        kept, unreadable = merge_chunks(MINUTE, [*_documents([part]), newer], held_bins)
        assert (equal(kept.cells, merge_writers([part])), unreadable) == (True, 1)


def _dense(minute: int, name: str) -> Cells:
    """As many bins as a message may have: they are regular, so 8 KB hold them all."""
    held = bins.MAX_BINS
    ones = np.ones(ROWS)
    return Cells(
        series=tuple(Series(name, (("i", f"{at:03}"),)) for at in range(ROWS)),
        kind=np.full(ROWS, int(Kind.DISTRIBUTION), np.int64),
        count=np.full(ROWS, held, np.int64),
        sum=np.full(ROWS, float(held)),
        min=ones,
        max=2 * ones,
        last_at_us=np.full(ROWS, minute * US_PER_SECOND, np.int64),
        last=ones,
        last_writer=np.zeros(ROWS, np.uint64),
        last_sum=ones,
        writers=np.ones(ROWS, np.int64),
        scale=np.full(ROWS, bins.SCALE, np.int64),
        bin_start=np.arange(0, ROWS * held + 1, held).astype(np.int64),
        bin_key=np.tile(np.arange(held), ROWS).astype(np.int64) + bins.OFFSET,
        bin_count=np.ones(ROWS * held, np.int64),
    )


def test_small_messages_with_millions_of_bins_are_rolled_up_in_bounded_memory() -> None:
    """Eight writers' 8,000,000 bins, of their own series and of shared ones, take less than 200 MB to roll up."""
    store = SqliteStore(":memory:", Clock(AT))
    for writer in range(8):
        store.commit([_stored(writer, 0, _dense(MINUTE, "shared" if writer % 2 else f"own_{writer}"))])
    tracemalloc.start()
    try:
        rolled = roll_up(store, MINUTE, AT, timedelta(seconds=5)).cells
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 200 * MB
    shared = [row for row, series in enumerate(rolled.series) if series.metric == "shared"]
    assert shared
    assert rolled.count[shared].tolist() == [4 * bins.MAX_BINS] * len(shared)
