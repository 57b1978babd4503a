"""One client or connection per process, built on first use.

Neither a gRPC channel nor a SQLite connection survives a fork, and a server such as gunicorn forks after import.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerProcess(Generic[T]):
    """A value that ``build`` makes once in each process that asks for it. Safe to share between threads."""

    def __init__(self, build: Callable[[], T]) -> None:
        self._build = build
        self._locks: dict[int, threading.Lock] = {}  # one a process: a lock may be held by another thread at the fork
        self._built: dict[int, T] = {}  # an inherited value is kept: closing it would disturb the parent's

    def get(self) -> T:
        """The value of the calling process. Raises whatever ``build`` does, and then the next call builds again."""
        pid = os.getpid()
        with contextlib.suppress(KeyError):
            return self._built[pid]
        with self._locks.setdefault(pid, threading.Lock()):
            if pid not in self._built:
                self._built[pid] = self._build()
            return self._built[pid]

    def drop(self) -> T | None:
        """Forget the calling process's value and return it, None when there is none; ``get`` builds a new one."""
        return self._built.pop(os.getpid(), None)

    def discard(self, value: T) -> None:
        """Forget the calling process's value if it still is this one: another thread may have done so before."""
        with self._locks.setdefault(os.getpid(), threading.Lock()):
            if self._built.get(os.getpid()) is value:
                del self._built[os.getpid()]
