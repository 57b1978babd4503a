"""Publishing from a service: a publisher that runs by itself, and ends with its process.

A daemon thread, started by the first observation, publishes every 15 seconds (``publisher_life``). At exit the rest
is published, in at most 3 s; at SIGTERM likewise, and then the signal goes to whoever had it before, the process's
own handler or the system. A forked child is a writer of its own: what was gathered before the fork is its parent's.
With a spool folder SIGKILL loses nothing either.

Whatever happens here, the service gets no exception from ``record`` and ``observe``, and they wait for no network
and no disk; the first one makes the spool's files. ``flush_now`` and ``close`` wait, for a bounded time.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Any
from weakref import WeakSet

from .cells import Observation
from .config import cloud_run_revision
from .errors import PermanentError
from .formats.compact import MAX_WRITER_BYTES
from .publisher import Send, check_writer
from .publisher_life import Life, PublisherStats
from .series import Kind
from .spool import SpoolFolder
from .timeline import to_us

END_SECONDS = 3.0
_NO_LABELS: Mapping[str, str] = MappingProxyType({})


def _start_daemon(run: Callable[[], None]) -> None:
    threading.Thread(target=run, name="ion-publisher", daemon=True).start()


@dataclass(frozen=True, slots=True)
class Process:
    """What a publisher asks of its process: the clock (Unix microseconds), a boot id, a thread, a call at exit.

    With ``sigterm`` SIGTERM is preceded by a flush, where it is caught or ends the process: not where it is ignored.
    """

    clock_us: Callable[[], int] = lambda: time.time_ns() // 1000
    make_boot: Callable[[], str] = lambda: secrets.token_hex(4)
    start: Callable[[Callable[[], None]], object] = _start_daemon
    at_exit: Callable[[Callable[[], Any]], object] = atexit.register
    sigterm: bool = True


def default_writer(revision: str, host: str, instance: str) -> str:
    """The revision and instance on Cloud Run, whose hosts are all called localhost; elsewhere the host."""
    name = f"{revision}-{instance}" if revision else host or instance
    return name.encode(errors="replace")[:MAX_WRITER_BYTES].decode(errors="ignore")


class BackgroundPublisher:
    """Publishes a service's observations. Make one for each process and share it between threads.

    Without a ``writer`` it is named for the host or the Cloud Run revision. ``spool`` is a folder on a local disk.
    """

    def __init__(
        self, send: Send, writer: str = "", *, spool: Path | str | None = None, process: Process | None = None
    ) -> None:
        """Raises PermanentError ``invalid_writer``."""
        self._process = process or Process()
        self._send = send
        self._writer = writer or default_writer(cloud_run_revision(), os.uname().nodename, self._process.make_boot())
        check_writer(self._writer)
        self._spool = None if spool is None else Path(spool)
        self._clock_us = self._process.clock_us
        self._lock = threading.RLock()
        self._life: Life | None = None
        self._ended: Life | None = None
        self._closed = False
        self._lost = 0
        self._previous: Any = None
        self._process.at_exit(self.close)
        if self._process.sigterm:
            self._chain_sigterm()
        _ALL.add(self)

    def record(
        self,
        metric: str,
        value: float,
        kind: Kind,
        labels: Mapping[str, str] = _NO_LABELS,
        at: datetime | None = None,
    ) -> None:
        """Gather one observation made at ``at`` (aware; None: now). What cannot be used is counted, never raised."""
        try:
            life = self._life or self._begin()
            at_us = self._clock_us() if at is None else to_us(at)
            life.core.record_us(metric, value, at_us, kind, labels)
        except Exception:  # noqa: BLE001 - a service does not fail for its metrics
            self._lose()

    def observe(self, observation: Observation) -> None:
        """Gather one observation."""
        try:
            (self._life or self._begin()).core.observe(observation)
        except Exception:  # noqa: BLE001 - as above
            self._lose()

    def flush_now(self, timeout_seconds: float = END_SECONDS) -> bool:
        """Publish all that was gathered, where the CPU stops after a response; whether the bus took it in time.

        While the bus fails, this leaves the next try to its turn, and returns False at once.
        """
        life = self._life
        return life is None or life.ask(timeout_seconds)

    def close(self, timeout_seconds: float = END_SECONDS) -> bool:
        """Publish all that was gathered and end the thread; whether the bus took it in time. Again: nothing, True.

        Observations that come later are dropped and counted. What is left stays in the spool, if there is one.
        """
        with self._lock:
            self._closed = True
            life, self._life = self._life, None
            self._ended = life or self._ended
        self._unchain_sigterm()
        atexit.unregister(self.close)
        return life is None or life.ask(timeout_seconds, insist=True, end=True)

    def stats(self) -> PublisherStats:
        """What became of the observations of this process until now."""
        life = self._life or self._ended
        stats = PublisherStats() if life is None else life.stats()
        return replace(stats, dropped_observations=stats.dropped_observations + self._lost)

    def _begin(self) -> Life:
        with self._lock:
            if self._closed:
                raise PermanentError("closed")
            if self._life is None:
                process = self._process
                folder = None if self._spool is None else SpoolFolder(self._spool)
                self._life = Life(
                    self._writer, process.make_boot(), self._send, folder, process.clock_us, process.start
                )
            return self._life

    def _lose(self) -> None:
        with self._lock:
            self._lost += 1

    def _chain_sigterm(self) -> None:
        """Stand before the handler there is. One that is not Python's could not be called, so it is left alone."""
        previous = signal.getsignal(signal.SIGTERM)
        if threading.current_thread() is threading.main_thread() and previous not in (None, signal.SIG_IGN):
            self._previous = previous
            signal.signal(signal.SIGTERM, self._on_sigterm)

    def _unchain_sigterm(self) -> None:
        with contextlib.suppress(ValueError):  # another thread, which may not
            if self._previous is not None and signal.getsignal(signal.SIGTERM) == self._on_sigterm:
                signal.signal(signal.SIGTERM, self._previous)

    def _on_sigterm(self, signum: int, _frame: FrameType | None) -> None:
        """Flush on another thread, then have the signal again with the handler there was.

        Nothing is waited for here: the main thread may have been stopped while it held any lock.
        """
        signal.signal(signum, self._previous)
        try:
            _thread.start_new_thread(self._flush_and_signal, (signum,))
        except RuntimeError:  # the interpreter is ending
            signal.raise_signal(signum)

    def _flush_and_signal(self, signum: int) -> None:
        life = self._life
        if life is not None:
            life.ask(END_SECONDS, insist=True)
        signal.pthread_kill(threading.main_thread().ident or 0, signum)

    def _begin_again(self) -> None:
        """In a forked child: be a publisher that has not begun. The parent's files are let go of, not touched."""
        life, self._life, self._ended = self._life, None, None
        self._lock = threading.RLock()
        self._lost = 0
        if life is not None:
            life.release(empty=False)


_ALL: WeakSet[BackgroundPublisher] = WeakSet()


def _after_fork() -> None:
    for publisher in list(_ALL):
        publisher._begin_again()


os.register_at_fork(after_in_child=_after_fork)
