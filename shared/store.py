"""The store port: get, list with a read time, and an atomic commit with preconditions.

There are no transactions. A document path is ``collection/id`` or ``collection/id/collection/id``; ids are
1-1500 bytes of UTF-8 without ``/``, not ``.``, ``..`` or ``__x__``. A document is at most 1 MiB, a commit at most
500 writes and 4 MiB (what production refuses, and the emulator above 4 MiB:
https://cloud.google.com/firestore/quotas).

Both adapters (Firestore, SQLite) keep the same contract, proved by one suite:

* a commit is all or nothing, and is visible to every read that starts after it returns;
* ``read_time`` and ``commit_time`` come from one clock: a listing with ``read_time`` R holds every commit whose
  ``commit_time`` is <= R - ``READ_LAG``, and none above R;
* a write that changes nothing keeps the document's ``update_time``; any other sets it to the ``commit_time``;
* every call raises ``TransientError`` when the store does not answer, and may then have taken effect or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeAlias

READ_LAG = timedelta(seconds=1)
"""A listing may lack a commit that is younger than this. SQLite's and production's lack none (strictly serialisable:
https://cloud.google.com/firestore/docs/understand-reads-writes-scale); the emulator stamps a commit before its
listings show it, 0.3 ms at most in 3,000 races measured, and whoever relies on times leaves a second."""
MAX_COMMIT_WRITES = 500
MAX_COMMIT_BYTES = 4 * 1024 * 1024
MAX_DOCUMENT_BYTES = 1024 * 1024

Fields: TypeAlias = Mapping[str, Any]
"""A document's fields: None, bool, int (64 bits), float, str, bytes, aware datetime, list, and dict of those."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it was read. ``update_time`` is aware UTC, to the microsecond."""

    path: str
    fields: Fields
    update_time: datetime

    @property
    def id(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Listing:
    """What a collection held at ``read_time``, in ascending order of id (by code point). May be empty."""

    documents: tuple[Document, ...]
    read_time: datetime


@dataclass(frozen=True, slots=True)
class Absent:
    """Precondition: the document does not exist."""


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Precondition: the document exists and was last updated at ``update_time``."""

    update_time: datetime


Precondition: TypeAlias = Absent | Unchanged


@dataclass(frozen=True, slots=True)
class Put:
    """Write a document: replace it, or with ``merge`` add to it.

    A merge creates the document when it is absent, sets the named fields, and merges maps key by key to any
    depth; it never removes. A map without a leaf says nothing: it neither empties a map nor creates one.
    """

    path: str
    fields: Fields
    merge: bool = False
    precondition: Precondition | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a document; without a precondition an absent one is no error."""

    path: str
    precondition: Unchanged | None = None


Write: TypeAlias = Put | Delete


class Store(Protocol):
    """Where documents live. Safe to share between threads."""

    def get(self, paths: Sequence[str]) -> dict[str, Document]:
        """The documents at ``paths`` that exist, by path, all as of one instant; an empty dict for none."""
        ...

    def list(self, collection: str, start: str = "", end: str | None = None, limit: int | None = None) -> Listing:
        """The documents directly in ``collection`` with start <= id < end; ``end`` None means no upper end.

        At most ``limit`` of them, the first; None for all. A limit below 1 is a ValueError.
        """
        ...

    def commit(self, writes: Sequence[Write]) -> datetime:
        """Apply all writes atomically, at most one to a document, and return the commit time.

        Raises ``PreconditionFailed`` when any precondition does not hold, ``PermanentError`` when a limit is
        broken (``commit_too_large``, ``document_too_large``, ``duplicate_write``, ``invalid_document_path``,
        ``invalid_field``: see ``limits``) or the store refuses (``store_refused``), and ``TransientError``.
        Nothing is written in the first two cases. An empty sequence is a ValueError.
        """
        ...
