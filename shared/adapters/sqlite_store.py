"""The store on SQLite: one file for any number of threads and processes, or memory for one process.

Times are strictly consistent whatever the clocks do. The database keeps its newest time. A commit takes, under the
write lock, the greater of the clock and one microsecond more than that. A listing first raises the newest time to
the clock, in a write of its own, and then reads that time and the documents in one snapshot: what the snapshot holds
has at most this time, and whatever commits later gets more. So a clock that stands still, goes back, or differs
between processes makes times run ahead of it, but never breaks the contract.

A file is in WAL mode. ``synchronous`` is SQLite's: ``FULL`` (the default) keeps every commit through a power loss,
``NORMAL`` through a crash of the process, ``OFF`` is for tests and backtests.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

from .. import limits
from ..errors import PreconditionFailed, TransientError
from ..store import Absent, Delete, Document, Fields, Listing, Precondition, Put, Unchanged, Write
from ..timeline import from_us, to_us
from .merging import merged
from .per_process import PerProcess
from .sqlite_fields import decode, encode

Synchronous: TypeAlias = Literal["OFF", "NORMAL", "FULL"]

_WAL_ATTEMPTS = 100

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS documents (collection TEXT NOT NULL, id TEXT NOT NULL, fields BLOB NOT NULL,"
    " update_us INTEGER NOT NULL, expires_us INTEGER, PRIMARY KEY (collection, id))",
    "CREATE INDEX IF NOT EXISTS expiry ON documents (expires_us) WHERE expires_us IS NOT NULL",
    "CREATE TABLE IF NOT EXISTS newest (id INTEGER PRIMARY KEY CHECK (id = 0), time_us INTEGER NOT NULL)",
    "INSERT OR IGNORE INTO newest VALUES (0, 0)",
)
_GET = "SELECT fields, update_us FROM documents WHERE collection = ? AND id = ?"
_LIST = "SELECT id, fields, update_us FROM documents WHERE collection = ? AND id >= ?"
_LIST_BELOW = f"{_LIST} AND id < ? ORDER BY id LIMIT ?"
_LIST_ALL = f"{_LIST} ORDER BY id LIMIT ?"
_NO_LIMIT = -1
_SET = "INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?, ?)"
_DELETE = "DELETE FROM documents WHERE collection = ? AND id = ?"
_SWEEP = "DELETE FROM documents WHERE expires_us <= ?"
_NEWEST = "SELECT time_us FROM newest"
_SET_NEWEST = "UPDATE newest SET time_us = ?"


@dataclass(slots=True)
class _Connection:
    """A connection and the lock under which this process's threads take turns on it."""

    sql: sqlite3.Connection
    lock: threading.Lock


class SqliteStore:
    """A ``Store`` in one SQLite file, which is created; its folder must exist.

    ``":memory:"`` is a database of the calling process alone, until ``close``.

    ``now`` gives aware UTC. ``lock_timeout_seconds`` is how long a call waits for other processes before it raises
    ``TransientError``.
    """

    def __init__(
        self,
        path: Path | Literal[":memory:"],
        now: Callable[[], datetime],
        synchronous: Synchronous = "FULL",
        lock_timeout_seconds: float = 10.0,
    ) -> None:
        self._path = path
        self._now = now
        self._synchronous = synchronous
        self._lock_timeout_seconds = lock_timeout_seconds
        self._connection = PerProcess(self._connect)

    def get(self, paths: Sequence[str]) -> dict[str, Document]:
        """See ``Store.get``."""
        limits.check_paths(paths)
        with self._transaction("DEFERRED") as sql:
            rows = {path: _row(sql, path) for path in paths}
        return {path: Document(path, decode(row[0]), from_us(row[1])) for path, row in rows.items() if row}

    def list(self, collection: str, start: str = "", end: str | None = None, limit: int | None = None) -> Listing:
        """See ``Store.list``."""
        limits.check_range(collection, start, end, limit)
        most = _NO_LIMIT if limit is None else limit
        self._raise_newest(to_us(self._now()))
        with self._transaction("DEFERRED") as sql:
            newest_us = _newest_us(sql)
            if end is None:
                rows = sql.execute(_LIST_ALL, (collection, start, most)).fetchall()
            else:
                rows = sql.execute(_LIST_BELOW, (collection, start, end, most)).fetchall()
        documents = (Document(f"{collection}/{id_}", decode(blob), from_us(us)) for id_, blob, us in rows)
        return Listing(tuple(documents), from_us(newest_us))

    def commit(self, writes: Sequence[Write]) -> datetime:
        """See ``Store.commit``."""
        limits.check_commit(writes)
        with self._transaction("IMMEDIATE") as sql:
            commit_us = max(to_us(self._now()), _newest_us(sql) + 1)
            sql.execute(_SET_NEWEST, (commit_us,))
            for write in writes:
                _apply(sql, write, commit_us)
        return from_us(commit_us)

    def sweep(self) -> int:
        """Delete the documents whose ``expires_at`` has passed, as Firestore's time to live does; how many.

        Idempotent: what is gone is gone. Readers ignore the expired anyway, so it may run at any time.
        """
        with self._transaction("IMMEDIATE") as sql:
            return sql.execute(_SWEEP, (to_us(self._now()),)).rowcount

    def close(self) -> None:
        """Close the calling process's connection, if any; the next call opens another. Not while a call runs."""
        connection = self._connection.drop()
        if connection is not None:
            connection.sql.close()

    def _raise_newest(self, now_us: int) -> None:
        """Let no later commit have a time at or below ``now_us``."""
        with self._transaction("IMMEDIATE") as sql:
            if _newest_us(sql) < now_us:
                sql.execute(_SET_NEWEST, (now_us,))

    def _connect(self) -> _Connection:
        sql = sqlite3.connect(
            self._path, timeout=self._lock_timeout_seconds, isolation_level=None, check_same_thread=False
        )
        _enter_wal(sql)
        sql.execute(f"PRAGMA synchronous = {self._synchronous}")
        with _atomic(sql, "IMMEDIATE"):
            for statement in _SCHEMA:
                sql.execute(statement)
        return _Connection(sql, threading.Lock())

    @contextlib.contextmanager
    def _transaction(self, mode: Literal["DEFERRED", "IMMEDIATE"]) -> Iterator[sqlite3.Connection]:
        """A transaction for this thread alone, committed at the end and rolled back by any exception."""
        try:
            connection = self._connection.get()
            with connection.lock, _atomic(connection.sql, mode):
                yield connection.sql
        except sqlite3.OperationalError as error:
            raise TransientError("store_unavailable", str(error)) from error


def _enter_wal(sql: sqlite3.Connection) -> None:
    """Put the file in WAL mode, which it keeps.

    While another process has a new file open the switch fails at once, without the usual wait. So wait for a lock
    of the usual kind and try again; as soon as one process has switched, there is nothing left to do for the others.
    """
    for _ in range(_WAL_ATTEMPTS - 1):
        with contextlib.suppress(sqlite3.OperationalError):
            sql.execute("PRAGMA journal_mode = WAL")
            return
        with _atomic(sql, "EXCLUSIVE"):
            pass
    sql.execute("PRAGMA journal_mode = WAL")


@contextlib.contextmanager
def _atomic(sql: sqlite3.Connection, mode: str) -> Iterator[None]:
    sql.execute(f"BEGIN {mode}")
    try:
        yield
        sql.execute("COMMIT")
    finally:
        if sql.in_transaction:
            sql.execute("ROLLBACK")


def _split(path: str) -> tuple[str, str]:
    """The collection and the id of a document's path."""
    collection, _, id_ = path.rpartition("/")
    return collection, id_


def _row(sql: sqlite3.Connection, path: str) -> tuple[bytes, int] | None:
    row: tuple[bytes, int] | None = sql.execute(_GET, _split(path)).fetchone()
    return row


def _newest_us(sql: sqlite3.Connection) -> int:
    return int(sql.execute(_NEWEST).fetchone()[0])


def _apply(sql: sqlite3.Connection, write: Write, commit_us: int) -> None:
    row = _row(sql, write.path)
    _require(write.precondition, write.path, row)
    if isinstance(write, Delete):
        sql.execute(_DELETE, _split(write.path))
        return
    fields = _resulting_fields(write, row)
    blob = encode(fields)
    if row is None or row[0] != blob:
        sql.execute(_SET, (*_split(write.path), blob, commit_us, _expiry_us(fields)))


def _expiry_us(fields: Fields) -> int | None:
    """When a document's time to live ends; None for one that has none."""
    expires_at = fields.get("expires_at")
    return to_us(expires_at) if isinstance(expires_at, datetime) else None


def _resulting_fields(write: Put, row: tuple[bytes, int] | None) -> Fields:
    if not write.merge:
        return write.fields
    fields = merged(decode(row[0]) if row else {}, write.fields)
    limits.check_document(write.path, fields)
    return fields


def _require(precondition: Precondition | None, path: str, row: tuple[bytes, int] | None) -> None:
    """Raise ``PreconditionFailed`` unless the stored row is as the precondition says."""
    if isinstance(precondition, Absent) and row is not None:
        raise PreconditionFailed(f"exists: {path}")
    if isinstance(precondition, Unchanged) and (row is None or from_us(row[1]) != precondition.update_time):
        raise PreconditionFailed(f"changed: {path}")
