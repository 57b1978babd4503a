"""A document in parts: read whole or not at all, whatever is written, crashes or expires meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

import numpy as np
import pytest

from shared.adapters.sqlite_store import SqliteStore
from shared.bins import Ints
from shared.errors import PermanentError, PreconditionFailed, TransientError
from shared.parts import ATTEMPTS, CONTENDED, MAX_PART_BYTES, pieces_of, read_parts, write_parts
from shared.store import Delete, Document, Put, Store
from tests.fakes import START, Clock, Countdown, Crash, CrashingStore, Hook

PATH = "rollups/minute-20251018T1200"
FIRST = [b"a0", b"a1", b"a2"]
SECOND = [b"b0", b"b1"]
EXPIRES_AT = START + timedelta(hours=1)
MAX_CALLS = 50


@pytest.fixture
def store() -> SqliteStore:
    """An empty database."""
    return SqliteStore(":memory:", Clock())


def write(store: Store, pieces: Sequence[bytes], before: Document | None = None) -> None:
    """Write a version over ``before``, by default over what is there."""
    write_parts(store, PATH, pieces, EXPIRES_AT, before or store.get([PATH]).get(PATH))


def read(store: Store) -> list[bytes] | None:
    """What a reader sees."""
    found = read_parts(store, [PATH])
    return [document.fields["d"] for document in found[PATH]] if found else None


@pytest.mark.parametrize("pieces", [[b""], [b"x"], FIRST, SECOND], ids=["empty", "one", "three", "two"])
def test_round_trip(store: SqliteStore, pieces: list[bytes]) -> None:
    """What is written in any number of pieces is read in their order; before that nothing is there."""
    assert read(store) is None
    write(store, pieces)
    assert read(store) == pieces


@pytest.mark.parametrize("after", [SECOND, [b"c0", b"c1", b"c2"], [b"a0", b"a1", b"d2"], [b"x"]])
def test_another_version_at_any_call_of_a_reader(after: list[bytes]) -> None:
    """A reader whom a writer overtakes at any of its calls has the one version or the other, never parts of both."""
    seen: set[bool] = set()
    for call in range(MAX_CALLS):
        store = SqliteStore(":memory:", Clock())
        write(store, FIRST)
        hook = Hook(call, partial(write, store, after))
        got = read(CrashingStore(store, hook))
        assert got in (FIRST, after), f"overtaken before call {call}"
        seen.add(got == after)
        if hook.calls <= call:
            break
    assert seen == {True, False}


def test_overtaken_at_every_call(store: SqliteStore) -> None:
    """A reader whom every single call meets with another version gives up by name instead of for ever."""
    versions = iter(range(1000))

    def another() -> None:
        number = next(versions)
        write(store, [b"%d.%d" % (number, part) for part in range(3)])

    another()
    with pytest.raises(TransientError, match=CONTENDED):
        read(CrashingStore(store, Hook(None, another)))
    assert next(versions) <= 2 * ATTEMPTS + 1


@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
def test_a_writer_that_crashes_at_any_call(after: bool) -> None:
    """More than a commit holds is written part by part, and a crash leaves the version before it or all of this one."""
    large = [bytes([number]) * MAX_PART_BYTES for number in range(9)]
    for call in range(MAX_CALLS):
        store = SqliteStore(":memory:", Clock())
        write(store, FIRST)
        countdown = Countdown(call, after=after)
        try:
            write(CrashingStore(store, countdown), large)
        except Crash:
            assert read(store) in (FIRST, large)
            write(store, large)
        assert read(store) == large
        if countdown.calls <= call:
            break
    assert call >= 4, "the read and at least three commits"


def test_whoever_loses_the_race_harms_nothing(store: SqliteStore) -> None:
    """A writer over a version that is gone is told so, and the winner's version is whole."""
    write(store, FIRST)
    before = store.get([PATH])[PATH]
    write(store, SECOND)
    with pytest.raises(PreconditionFailed):
        write(store, [b"c0", b"c1"], before)
    assert read(store) == SECOND


def test_parts_of_the_version_before_are_deleted(store: SqliteStore) -> None:
    """Nothing is left of a version but what the next one holds too; the same version again changes nothing."""
    write(store, FIRST)
    first = store.list("rollups").documents
    write(store, FIRST)
    assert store.list("rollups").documents == first
    write(store, SECOND)
    assert len(store.list("rollups").documents) == 2


def test_one_without_a_part_is_left_out(store: SqliteStore) -> None:
    """What has lost a part for good is not there, and what is beside it is."""
    write(store, FIRST)
    store.commit([Put("rollups/other", {"d": b"o", "parts": 1, "digest": "", "expires_at": EXPIRES_AT})])
    part = next(one.path for one in store.list("rollups").documents if one.path.endswith("~2"))
    store.commit([Delete(part)])
    assert list(read_parts(store, [PATH, "rollups/other", "rollups/none"])) == ["rollups/other"]


class TestPieces:
    """How rows become pieces."""

    def encode(self, rows: Ints) -> bytes:
        """300 KiB a row; more than six cannot be encoded."""
        if len(rows) > 6:
            raise PermanentError("chunk_too_large")
        return b"".join(bytes([row]) * (MAX_PART_BYTES // 3) for row in rows.tolist())

    @pytest.mark.parametrize("rows", [0, 1, 3, 4, 7, 25])
    @pytest.mark.parametrize("most", [0, 5, 100])
    def test_every_row_once_in_order(self, rows: int, most: int) -> None:
        """The pieces together are all rows in order, each of at most 900 KiB."""
        pieces = pieces_of(rows, self.encode, most)
        assert b"".join(pieces) == b"".join(self.encode(np.array([row])) for row in range(rows))
        assert max(map(len, pieces)) <= MAX_PART_BYTES

    def test_one_row_that_cannot_be_encoded(self) -> None:
        """What one row raises is raised, and so is anything but its size."""
        for reason, rows in (("chunk_too_large", 1), ("malformed_chunk", 2)):

            def encode(_: Ints, reason: str = reason) -> bytes:
                raise PermanentError(reason)

            with pytest.raises(PermanentError, match=reason):
                pieces_of(rows, encode, 10)
