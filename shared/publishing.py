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
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from .config import cloud_run_revision
from .errors import PermanentError
from .identity import MAX_WRITER_BYTES, check_writer
from .instruments import PAIR, Instrument, Instruments, Pair
from .series import Kind
from .timeline import US_PER_SECOND, to_us

if TYPE_CHECKING:  # these need numpy, which is loaded with the first publisher, not with this module
    from .cells import Cells, Observation
    from .publisher import Send
    from .publisher_life import Life, PublisherStats

END_SECONDS = 3.0
HURRY_SECONDS = 5
_MAX_CALLED = 100_000
"""Keys under which instruments are remembered."""
_NO_LABELS: Mapping[str, str] = MappingProxyType({})


def _unix_us() -> int:
    return time.time_ns() // 1000


def _start_daemon(run: Callable[[], None]) -> None:
    threading.Thread(target=run, name="ion-publisher", daemon=True).start()


def _at_worker_end(call: Callable[[], Any]) -> None:
    """Have something called at the end of a worker of ``multiprocessing``, which runs nothing that is due at exit."""
    process, util = (sys.modules.get(f"multiprocessing.{name}") for name in ("process", "util"))
    if process is not None and util is not None and process.parent_process() is not None:
        util.Finalize(None, call, exitpriority=0)


@dataclass(frozen=True, slots=True)
class Process:
    """What a publisher asks of its process: the clock (Unix microseconds), a boot id, a thread, a call at exit.

    ``at_worker_end`` is asked at the first observation of each process, forked ones included.

    With ``sigterm`` SIGTERM is preceded by a flush, where it is caught or ends the process: not where it is ignored.
    """

    clock_us: Callable[[], int] = _unix_us
    make_boot: Callable[[], str] = lambda: secrets.token_hex(4)
    start: Callable[[Callable[[], None]], object] = _start_daemon
    at_exit: Callable[[Callable[[], Any]], object] = atexit.register
    at_worker_end: Callable[[Callable[[], Any]], object] = _at_worker_end
    sigterm: bool = True

    @property
    def clock(self) -> Callable[[], float]:
        """The same clock in Unix seconds; the quickest there is, where it is the system's."""
        return time.time if self.clock_us is _unix_us else lambda: self.clock_us() / US_PER_SECOND


def default_writer(revision: str, host: str, instance: str) -> str:
    """The revision and instance on Cloud Run, whose hosts are all called localhost; elsewhere the host."""
    name = f"{revision}-{instance}" if revision else host or instance
    return name.encode(errors="replace")[:MAX_WRITER_BYTES].decode(errors="ignore")


class BackgroundPublisher:
    """Publishes a service's observations. Make one for each process and share it between threads.

    Without a ``writer`` it is named for the host or the Cloud Run revision. ``spool`` is a folder on a local disk.
    ``called`` holds the instruments of ``remember``, for who looks for one on every request.
    """

    def __init__(
        self, send: Send, writer: str = "", *, spool: Path | str | None = None, process: Process | None = None
    ) -> None:
        """Raises PermanentError ``invalid_writer``."""
        from .publisher_life import Life
        from .recent import History
        from .spool import SpoolFolder

        import_module(".gathering", __package__)  # which folding needs, and no thread should load
        self._make_life, self._make_folder = Life, SpoolFolder
        self._process = process or Process()
        self._send = send
        self._writer = writer or default_writer(cloud_run_revision(), os.uname().nodename, self._process.make_boot())
        check_writer(self._writer)
        self._spool = None if spool is None else Path(spool)
        self._clock_us = self._process.clock_us
        self._instruments = Instruments(self._process.clock, self._begin_instrument)
        self._history = History(self._process.clock)
        self.called = self._instruments.called
        self._urgent: dict[str, Callable[[float], bool]] = {}
        self._hurried_us = 0
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
            if self._urgent:
                self._hurry_beyond(metric, value)
        except Exception:  # noqa: BLE001 - a service does not fail for its metrics
            self._lose()

    def observe(self, observation: Observation) -> None:
        """Gather one observation."""
        try:
            (self._life or self._begin()).core.observe(observation)
            if self._urgent:
                self._hurry_beyond(observation.series.metric, observation.value)
        except Exception:  # noqa: BLE001 - as above
            self._lose()

    def instrument(
        self, metric: str, kind: Kind, labels: Mapping[str, str] = _NO_LABELS, *, counted: str | None = None
    ) -> Instrument:
        """The instrument of a series, whose ``observe`` is the quickest way to record; the same for equal arguments.

        Each observation is one of the counter ``counted`` of the same labels, too. For what is no series, or where
        there are too many, it is one that drops and counts.
        """
        try:
            return self._instruments.bind(metric, kind, labels, counted)
        except Exception as error:  # noqa: BLE001 - as above
            return self._instruments.refusing(metric if getattr(error, "reason", "") == "too_many_series" else None)

    def remember(
        self,
        key: tuple[object, ...],
        metric: str,
        kind: Kind,
        labels: Mapping[str, str] = _NO_LABELS,
        counted: str | None = None,
    ) -> Instrument:
        """An instrument that is found under ``key`` in ``called`` from now on, until many are.

        One that refuses is not: what it was asked for may be of any size, and no bound counts it.
        """
        found = self.instrument(metric, kind, labels, counted=counted)
        with contextlib.suppress(Exception):  # what cannot be hashed is made again each time
            if found.is_of_a_series and len(self.called) < _MAX_CALLED:
                self.called[key] = found
        return found

    def publish_at_once(self, metric: str, beyond: Callable[[float], bool]) -> None:
        """Publish what was gathered as soon as a value of a metric is ``beyond``; at most once in HURRY_SECONDS."""
        self._urgent[metric] = beyond
        self._instruments.begin_anew(metric)

    def now_us(self) -> int:
        """The time by this publisher's clock: Unix microseconds."""
        return self._clock_us()

    def recent(self) -> dict[int, Cells]:
        """By minute (Unix seconds of its end), the cells of the last hour: what is published, and what waits for it."""
        life = self._life or self._ended
        return {} if life is None else life.core.recent()

    def hurry(self) -> None:
        """Have all that was gathered published now instead of at the end of the quarter; waits for nothing.

        Within HURRY_SECONDS of the last time it is left to the quarter.
        """
        life, now_us = self._life, self._clock_us()
        if life is not None and not 0 <= now_us - self._hurried_us < HURRY_SECONDS * US_PER_SECOND:
            self._hurried_us = now_us
            life.hurry()

    def flush_now(self, timeout_seconds: float = END_SECONDS) -> bool:
        """Publish all that was gathered, where the CPU stops after a response; whether the bus took it in time.

        While the bus fails, this leaves the next try to its turn, and returns False at once.
        """
        life = self._life
        return life is None or life.ask(timeout_seconds)

    def flush_soon(self, tell: Callable[[bool], object]) -> None:
        """The same without waiting: the publisher's thread calls ``tell``, which must not raise, when it is done."""
        life = self._life
        if life is None:
            tell(True)
        else:
            life.ask_for(tell)

    def close(self, timeout_seconds: float = END_SECONDS) -> bool:
        """Publish all that was gathered and end the thread; whether the bus took it in time. Again: nothing, True.

        Observations that come later are dropped and counted. What is left stays in the spool, if there is one.
        """
        with self._lock:
            self._closed = True
            life, self._life = self._life, None
            self._ended = life or self._ended
            self._instruments.end()
        self._unchain_sigterm()
        atexit.unregister(self.close)
        return life is None or life.ask(timeout_seconds, insist=True, end=True)

    def stats(self) -> PublisherStats:
        """What became of the observations of this process until now."""
        from .publisher_life import PublisherStats

        life = self._life or self._ended
        stats = PublisherStats() if life is None else life.stats()
        crowded = dict(stats.crowded_metrics)
        for metric, count in self._instruments.crowded.copy().items():
            crowded[metric] = crowded.get(metric, 0) + count
        dropped = stats.dropped_observations + self._lost + self._instruments.dropped
        return replace(stats, dropped_observations=dropped, crowded_metrics=crowded)

    def _begin(self) -> Life:
        with self._lock:
            if self._closed:
                raise PermanentError("closed")
            if self._life is None:
                process = self._process
                folder = None if self._spool is None else self._make_folder(self._spool)
                self._life = self._make_life(
                    self._writer,
                    process.make_boot(),
                    self._send,
                    folder,
                    process.clock_us,
                    process.start,
                    self._instruments,
                    self._history,
                )
                process.at_worker_end(self.close)
            return self._life

    def _begin_instrument(self, instrument: Instrument) -> Callable[[Pair], object]:
        """An instrument's first observation in this process; with a spool each goes through its journal."""
        self._life or self._begin()
        plain = instrument.hold if self._spool is None else partial(self._observe_durably, instrument)
        return partial(self._observe_urgently, instrument) if instrument.series.metric in self._urgent else plain

    def _observe_urgently(self, instrument: Instrument, pair: Pair) -> None:
        if self._spool is None:
            instrument.hold(pair)
        else:
            self._observe_durably(instrument, pair)
        self._hurry_beyond(instrument.series.metric, PAIR.unpack(pair)[1])

    def _hurry_beyond(self, metric: str, value: float) -> None:
        with contextlib.suppress(Exception):  # whatever the limit says to this value, it is recorded
            beyond = self._urgent.get(metric)
            if beyond is not None and beyond(value):
                self.hurry()

    def _observe_durably(self, instrument: Instrument, pair: Pair) -> None:
        core = (self._life or self._begin()).core
        at, value = PAIR.unpack(pair)
        core.observe_us(instrument.series, instrument.kind, round(at * US_PER_SECOND), value)
        if instrument.counted is not None:
            core.observe_us(instrument.counted, Kind.COUNTER, round(at * US_PER_SECOND), 1.0)

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

        Nothing is waited for here: the main thread may have been stopped while it held any lock. An event loop has
        heard of the signal already, by its wakeup file; it must not hear of it twice.
        """
        signal.signal(signum, self._previous)
        again = not _is_a_loops(self._previous)
        try:
            _thread.start_new_thread(self._flush_and_signal, (signum, again))
        except RuntimeError:  # the interpreter is ending
            if again:
                signal.raise_signal(signum)

    def _flush_and_signal(self, signum: int, again: bool) -> None:
        life = self._life
        if life is not None:
            life.ask(END_SECONDS, insist=True)
        if again:
            signal.pthread_kill(threading.main_thread().ident or 0, signum)

    def _begin_again(self) -> None:
        """In a forked child: be a publisher that has not begun. The parent's files are let go of, not touched."""
        life, self._life, self._ended = self._life, None, None
        self._lock = threading.RLock()
        self._lost = 0
        self._instruments.begin_again()
        self._history.begin_again()
        if life is not None:
            life.release(empty=False)


def _is_a_loops(handler: object) -> bool:
    """Whether a handler was put there by an event loop: asyncio's, which does nothing, or uvloop's, a method of it."""
    events = sys.modules.get("asyncio.unix_events")
    loop = getattr(sys.modules.get("asyncio.events"), "AbstractEventLoop", ())
    return events is not None and (
        handler is getattr(events, "_sighandler_noop", events) or isinstance(getattr(handler, "__self__", None), loop)
    )


_ALL: WeakSet[BackgroundPublisher] = WeakSet()


def _after_fork() -> None:
    for publisher in list(_ALL):
        publisher._begin_again()


os.register_at_fork(after_in_child=_after_fork)
