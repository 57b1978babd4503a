"""What the SQLite store promises beyond the contract: other processes, its clock, locks, its blobs."""

from __future__ import annotations

import multiprocessing
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from shared.adapters.per_process import PerProcess
from shared.adapters.sqlite_fields import decode, encode
from shared.adapters.sqlite_store import SqliteStore
from shared.errors import TransientError
from shared.store import Put
from tests.store_cases import FIELDS, same

NOON = datetime(2025, 10, 18, 12, tzinfo=UTC)
_COMMITS = 30


def _commit_and_list(path: Path, process: int, skew: timedelta, start: Any, results: Any) -> None:
    """One process's part: its commits with their times, and what its listings held, sent as plain values."""
    store = SqliteStore(path, now=lambda: datetime.now(UTC) + skew, synchronous="OFF")
    committed: dict[str, datetime] = {}
    listed = []
    start.wait()
    for i in range(_COMMITS):
        path_ = f"a/{process}-{i}"
        committed[path_] = store.commit([Put(path_, {})])
        listing = store.list("a")
        listed.append((listing.read_time, {document.path for document in listing.documents}))
    store.close()
    results.put((committed, listed))


def test_processes_with_different_clocks_share_one_time(tmp_path: Path) -> None:
    """Three processes, one 5 s behind and one 5 s ahead, list exactly the commits up to each read time."""
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(3), context.Queue()
    skews = (timedelta(0), timedelta(seconds=-5), timedelta(seconds=5))
    arguments = [(tmp_path / "s.sqlite", i, skew, start, results) for i, skew in enumerate(skews)]
    processes = [context.Process(target=_commit_and_list, args=each) for each in arguments]
    for process in processes:
        process.start()
    outcomes = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    committed = {path: time for times, _ in outcomes for path, time in times.items()}
    assert len(set(committed.values())) == 3 * _COMMITS
    for read_time, paths in (listing for _, listings in outcomes for listing in listings):
        assert paths == {path for path, time in committed.items() if time <= read_time}


def test_read_time_follows_the_clock_without_commits() -> None:
    """An idle store's read time is the clock's, so a reader that waits for a time sees it come."""
    times = iter([NOON, NOON + timedelta(hours=1)])
    store = SqliteStore(":memory:", now=lambda: next(times))
    assert [store.list("a").read_time for _ in range(2)] == [NOON, NOON + timedelta(hours=1)]
    store.close()


def test_time_goes_on_after_the_clock_went_back(tmp_path: Path) -> None:
    """A store that is opened again with a clock an hour behind still gives later times than any before."""
    first = SqliteStore(tmp_path / "s.sqlite", now=lambda: NOON)
    read_time = first.list("a").read_time
    first.close()
    second = SqliteStore(tmp_path / "s.sqlite", now=lambda: NOON - timedelta(hours=1))
    assert second.commit([Put("a/1", {})]) == read_time + timedelta(microseconds=1)
    assert second.list("a").read_time == read_time + timedelta(microseconds=1)
    second.close()


def test_a_lock_held_too_long_is_transient(tmp_path: Path) -> None:
    """While another process keeps the write lock a commit gives up with a transient failure, and a get does not."""
    store = SqliteStore(tmp_path / "s.sqlite", now=lambda: NOON, lock_timeout_seconds=0.01)
    store.commit([Put("a/1", {})])
    other = sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TransientError, match="store_unavailable"):
        store.commit([Put("a/2", {})])
    assert set(store.get(["a/1", "a/2"])) == {"a/1"}
    other.execute("ROLLBACK")
    other.close()
    store.commit([Put("a/2", {})])
    store.close()


def test_a_folder_that_is_missing_is_transient(tmp_path: Path) -> None:
    """A file that cannot be opened yet is a transient failure, and works once it can."""
    store = SqliteStore(tmp_path / "later" / "s.sqlite", now=lambda: NOON)
    with pytest.raises(TransientError, match="store_unavailable"):
        store.list("a")
    (tmp_path / "later").mkdir()
    assert store.list("a").documents == ()
    store.close()


@given(fields=FIELDS)
def test_blobs_are_exact_and_canonical(fields: dict[str, Any]) -> None:
    """Fields survive the blob with their types, and the order of keys does not show in it."""
    assert same(decode(encode(fields)), fields)
    assert encode(dict(reversed(fields.items()))) == encode(fields)


@pytest.mark.parametrize("fields", [{"$b": [0, 1]}, {"$t": 0}, {"$": {"$b": [0, 1], "$t": 5}}, {"$$b": b"x"}], ids=str)
def test_tags_in_fields_are_only_fields(fields: dict[str, Any]) -> None:
    """A map that looks like the blob's own mark for bytes or time stays a map."""
    assert decode(encode(fields)) == fields


def test_a_value_is_built_once_for_all_threads() -> None:
    """Threads that ask at once share one value, and a value that was dropped is built again."""
    built: list[int] = []

    def build() -> object:
        built.append(1)
        return object()

    value = PerProcess(build)
    threads = [threading.Thread(target=value.get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    dropped = value.drop()
    assert dropped is not None
    assert value.drop() is None
    assert value.get() is not dropped


def test_only_the_value_that_was_meant_is_discarded() -> None:
    """A value that another thread has replaced already stays."""
    value = PerProcess(object)
    first = value.get()
    value.discard(first)
    second = value.get()
    assert second is not first
    value.discard(first)
    assert value.get() is second


_FORK = """
import os
from shared.adapters.per_process import PerProcess
value = PerProcess(os.getpid)
parent = value.get()
child = os.fork()
if child == 0:
    os._exit(0 if value.get() == os.getpid() != parent else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_builds_its_own() -> None:
    """A child does not use what its parent built."""
    assert subprocess.run([sys.executable, "-c", _FORK], cwd=Path(__file__).parents[2], check=False).returncode == 0


def test_sweep_deletes_what_has_expired_and_nothing_else(tmp_path: Path) -> None:
    """Of documents that expire now, in a second and never, a sweep deletes the first; a second one nothing."""
    now = datetime(2025, 10, 18, 12, tzinfo=UTC)
    store = SqliteStore(tmp_path / "store.sqlite", lambda: now)
    store.commit([
        Put("inbox/now", {"expires_at": now}),
        Put("inbox/later", {"expires_at": now + timedelta(seconds=1)}),
        Put("inbox/never", {"text": "kept"}),
    ])  # fmt: skip
    assert (store.sweep(), store.sweep()) == (1, 0)
    assert [document.id for document in store.list("inbox").documents] == ["later", "never"]
