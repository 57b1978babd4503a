"""The life of a publisher in one process: when it publishes, on whose thread, and what it does for the dead.

Every 15 seconds, at 0 to 2 s, the same for one process always, after each quarter of a minute, it sends what was
observed up to that quarter; and at once when half of the room for observations is taken. When the bus does not answer,
it tries the same bytes again after 1, 2, 4 ... 60 seconds.
Once all of its own is sent it sends, from the spool, what dead processes have left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from .bus import RetryPolicy
from .errors import PermanentError, TransientError
from .identity import identify
from .instruments import Instruments
from .journal import NoJournal
from .logs import try_log
from .publisher import Publisher, Send
from .recent import History
from .spool import Spool, SpoolFolder
from .timeline import US_PER_SECOND

INTERVAL_SECONDS = 15
MAX_JITTER_SECONDS = 2.0
RETRY = RetryPolicy(1.0, 60.0)
_INTERVAL_US = INTERVAL_SECONDS * US_PER_SECOND


@dataclass(frozen=True, slots=True)
class PublisherStats:
    """What became of this process's observations; all but the unsent and waiting ones since its start.

    ``dropped_observations`` were unusable, above the memory's bound, refused by the bus, or came after ``close``;
    ``crowded_metrics`` says how many of them were of which metrics that had too many series for the memory.
    ``unspooled_observations`` could not be kept from SIGKILL, though there is a spool. ``recovered_messages`` were
    sent in the place of processes that had died. ``last_error`` is a reason, empty when the last try succeeded.
    """

    dropped_observations: int = 0
    crowded_metrics: Mapping[str, int] = field(default_factory=dict)
    waiting_observations: int = 0
    unsent_messages: int = 0
    unsent_bytes: int = 0
    sent_messages: int = 0
    recovered_messages: int = 0
    failed_attempts: int = 0
    unspooled_observations: int = 0
    last_error: str = ""


class Schedule:
    """When a writer publishes. All times are Unix microseconds."""

    def __init__(self, writer: str, boot: str, now_us: int) -> None:
        share = int(identify(b"", writer, boot, 0).wid, 16) / 2**64
        self.jitter_us = int(share * MAX_JITTER_SECONDS * US_PER_SECOND)
        self.failures = 0
        self._cut_us = self.boundary(now_us)
        self._retry_us = 0

    def boundary(self, now_us: int) -> int:
        """The newest quarter of a minute whose time to be published has come."""
        return (now_us - self.jitter_us) // _INTERVAL_US * _INTERVAL_US

    def next_cut(self, now_us: int) -> int | None:
        """The quarter to be published now; None when that is done. Each is asked for once."""
        boundary = self.boundary(now_us)
        if boundary == self._cut_us:
            return None
        self._cut_us = boundary
        return boundary

    def may_send(self, now_us: int) -> bool:
        """Whether the pause after a failure is over, or the clock was set back before it."""
        longest = int(RETRY.maximum_seconds * US_PER_SECOND)
        return not self._retry_us - longest <= now_us < self._retry_us

    def succeeded(self) -> None:
        """The bus took everything."""
        self.failures, self._retry_us = 0, 0

    def failed(self, now_us: int) -> None:
        """The bus did not answer."""
        self.failures += 1
        self._retry_us = now_us + int(RETRY.delay_seconds(self.failures) * US_PER_SECOND)

    def wait_seconds(self, now_us: int) -> float:
        """How long nothing is due; above 0, at most 15."""
        due_us = self.boundary(now_us) + _INTERVAL_US + self.jitter_us
        if self.failures and not self.may_send(now_us):
            due_us = min(due_us, self._retry_us)
        return max(due_us - now_us, 1000) / US_PER_SECOND


@dataclass(frozen=True, slots=True)
class _Request:
    """Asks the thread to flush at once; ``insist`` even while the bus fails, ``end`` for the last time."""

    reply: Callable[[bool], object]
    insist: bool = False
    end: bool = False


class Life:
    """The publisher of one process, from its first observation to its end. ``core`` gathers; the rest is the thread's.

    ``clock_us`` is the time in Unix microseconds; ``start`` runs a function on a thread, and raises RuntimeError when
    there can be none: then ``ask`` does the work.
    """

    def __init__(
        self,
        writer: str,
        boot: str,
        send: Send,
        folder: SpoolFolder | None,
        clock_us: Callable[[], int],
        start: Callable[[Callable[[], None]], object],
        instruments: Instruments | None = None,
        history: History | None = None,
    ) -> None:
        """Raises PermanentError ``invalid_writer``."""
        self._clock_us = clock_us
        self._send = send
        self._folder = folder
        self._spool = self._open_spool(writer, boot)
        self.core = Publisher(
            writer,
            boot,
            self._publish,
            journal=self._spool,
            instruments=instruments,
            history=history,
            half_full=self.hurry,
        )
        self._adopted: tuple[Publisher, Spool] | None = None
        self._schedule = Schedule(writer, boot, clock_us())
        self._requests: SimpleQueue[_Request] = SimpleQueue()
        self._recovered = self._failed = self._dropped = 0
        self._last_error = ""
        self._looked = False
        self._has_thread = True
        self._hurried = False
        try:
            start(self._run)
        except RuntimeError:  # the interpreter is ending
            self._has_thread = False

    def ask(self, timeout_seconds: float, *, insist: bool = False, end: bool = False) -> bool:
        """Have the thread flush; whether the bus took everything in time."""
        reply: SimpleQueue[bool] = SimpleQueue()
        request = _Request(reply.put, insist, end)
        if not self._has_thread:
            return self._serve(request)
        self._requests.put(request)
        try:
            return reply.get(timeout=timeout_seconds)
        except Empty:
            return False

    def ask_for(self, tell: Callable[[bool], object]) -> None:
        """Have the thread flush, and tell whether the bus took everything."""
        if self._has_thread:
            self._requests.put(_Request(tell))
        else:
            tell(self._serve(_Request(tell)))

    def hurry(self) -> None:
        """Have the thread flush, and wait for nothing; while it is asked already, nothing."""
        if self._has_thread and not self._hurried:
            self._hurried = True
            self._requests.put(_Request(bool))

    def step(self) -> float:
        """Do what is due; how many seconds until something is again."""
        now_us = self._clock_us()
        boundary = self._schedule.next_cut(now_us)
        if boundary is not None:
            self.core.cut(boundary)
        if boundary is not None or self._schedule.failures or not self._looked:
            self._looked = True
            self._send_what_may_be(now_us)
        return self._schedule.wait_seconds(self._clock_us())

    def stats(self) -> PublisherStats:
        """The counters now."""
        messages, size = self.core.unsent
        return PublisherStats(
            dropped_observations=self.core.dropped + self._dropped,
            crowded_metrics=dict(self.core.crowded),
            waiting_observations=self.core.waiting,
            unsent_messages=messages,
            unsent_bytes=size,
            sent_messages=self.core.sent,
            recovered_messages=self._recovered,
            failed_attempts=self._failed,
            unspooled_observations=self._spool.unspooled if self._spool is not None else 0,
            last_error=self._last_error,
        )

    def release(self, *, empty: bool) -> None:
        """Let go of the spool, and with ``empty`` clear this process's part of it."""
        if self._spool is not None:
            self._spool.release(empty=empty)
        if self._adopted is not None:
            self._adopted[1].release(empty=False)

    def _open_spool(self, writer: str, boot: str) -> Spool | NoJournal | None:
        if self._folder is None:
            return None
        try:
            return self._folder.open(writer, boot)
        except OSError as error:
            try_log("spool_unavailable", "WARNING", error=str(error))
            return NoJournal()

    def _run(self) -> None:
        """The thread: what is due, and what is asked for, until the end is."""
        request = None
        while request is None or not request.end:
            wait_seconds = self._try_step()
            try:
                request = self._requests.get(timeout=wait_seconds)
            except Empty:
                request = None
            else:
                request.reply(self._serve(request))

    def _try_step(self) -> float:
        try:
            return self.step()
        except Exception as error:  # noqa: BLE001 - the thread goes on, whatever one step met
            try_log("publisher_failed", "ERROR", error=repr(error))
            return float(INTERVAL_SECONDS)

    def _serve(self, request: _Request) -> bool:
        self._hurried = False
        try:
            self.core.cut()
            done = self._send_what_may_be(self._clock_us(), insist=request.insist)
        except Exception as error:  # noqa: BLE001 - as above
            try_log("publisher_failed", "ERROR", error=repr(error))
            done = False
        if request.end:
            self.release(empty=not self.core.unsent[0] and not self.core.waiting)
        return done

    def _send_what_may_be(self, now_us: int, *, insist: bool = False) -> bool:
        """Send what is cut, then what the dead have left; whether that is all."""
        if not insist and not self._schedule.may_send(now_us):
            return False
        try:
            self.core.send()
            self._send_adopted()
        except TransientError as error:
            if not self._schedule.failures:
                try_log("publish_failed", "WARNING", reason=error.reason, detail=error.detail)
            self._failed += 1
            self._last_error = error.reason
            self._schedule.failed(self._clock_us())
            return False
        if self._schedule.failures:
            try_log("publish_recovered", "INFO", failures=self._schedule.failures)
        self._last_error = self.core.refused
        self._schedule.succeeded()
        return True

    def _send_adopted(self) -> None:
        while self._adopt():
            if self._adopted is not None:
                core, spool = self._adopted
                core.flush()
                self._recovered += core.sent
                self._dropped += core.dropped
                self._adopted = None
                spool.release(empty=True)

    def _adopt(self) -> bool:
        """Take a dead process's place, unless it is taken already; False when there is none."""
        if self._adopted is None and self._folder is not None:
            found = self._folder.adopt()
            if found is not None:
                owner, spool, left = found
                core = Publisher(owner.writer, owner.boot, self._publish, journal=spool, left=left)
                self._adopted = core, spool
        return self._adopted is not None

    def _publish(self, data: bytes, attributes: Mapping[str, str]) -> None:
        """Send a message; what no bus says, a bug or a broken connection, may be over the next time."""
        try:
            self._send(data, attributes)
        except (PermanentError, TransientError):
            raise
        except Exception as error:
            raise TransientError("send_failed", repr(error)) from error
