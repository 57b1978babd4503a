"""Publishing from a service: when, how often, within which bounds, and never at the service's expense."""

from __future__ import annotations

import asyncio
import itertools
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import FrozenInstanceError, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from shared import publisher
from shared.cells import Observation
from shared.config import cloud_run_revision
from shared.errors import PermanentError, TransientError
from shared.formats.compact import Chunk, decode
from shared.logs import Captured
from shared.publisher import MAX_UNSENT_BYTES
from shared.publisher_life import Life, PublisherStats, Schedule
from shared.publishing import BackgroundPublisher, Process, default_writer
from shared.series import Kind, Series
from shared.spool import SpoolFolder
from shared.timeline import minute_floor, to_us
from tests.fakes import START, Clock

SECOND_US = 1_000_000


@dataclass
class Bus:
    """Takes messages, unless it is down; keeps every attempt with its time."""

    clock: Clock = field(default_factory=Clock)
    down: bool = False
    error: Exception = field(default_factory=lambda: TransientError("unavailable"))
    attempts: list[tuple[datetime, bytes]] = field(default_factory=list)
    taken: list[tuple[datetime, Chunk]] = field(default_factory=list)

    def __call__(self, data: bytes, _: Mapping[str, str]) -> None:
        """Publish one message."""
        self.attempts.append((self.clock(), data))
        if self.down:
            raise self.error
        self.taken.append((self.clock(), decode(data)))

    def count(self) -> int:
        """How many observations were taken."""
        return sum(int(section.cells.count.sum()) for _, chunk in self.taken for section in chunk.sections)


class Stepped:
    """A life on a fake clock, stepped by hand."""

    def __init__(
        self, spool: Path | None = None, writer: str = "w", boot: str = "b", clock: Clock | None = None
    ) -> None:
        self.clock = clock or Clock()
        self.bus = Bus(self.clock)
        self.started: list[Callable[[], None]] = []
        folder = None if spool is None else SpoolFolder(spool)
        self.life = Life(writer, boot, self.bus, folder, lambda: to_us(self.clock()), self.started.append)

    def run(self, seconds: float, *, every: float | None = None) -> None:
        """Let time pass; with ``every`` a counter is recorded each so many seconds, at its time."""
        end = self.clock() + timedelta(seconds=seconds)
        record_at = self.clock()
        while self.clock() < end:
            step_at = self.clock() + timedelta(seconds=self.life.step())
            while every is not None and record_at < min(step_at, end):
                record_at += timedelta(seconds=every)
                self.life.core.record("m", 1.0, record_at, Kind.COUNTER, {"region": "eu"})
            self.clock.time = min(step_at, end)


def own(send: Callable[[bytes, Mapping[str, str]], object], **changes: Any) -> BackgroundPublisher:
    """A publisher with a thread of its own that leaves the test's process alone."""
    process = Process(at_exit=lambda _: None, sigterm=False, **changes)
    return BackgroundPublisher(send, "w", process=process)


def test_every_quarter_of_a_minute() -> None:
    """In ten minutes forty messages go out, each within 2 s after a quarter of a minute, and none spans two minutes."""
    stepped = Stepped()
    stepped.run(600, every=0.25)
    stepped.run(20)
    times = [at for at, _ in stepped.bus.taken]
    jitter = stepped.bus.taken[0][0].timestamp() % 15
    assert 0 <= jitter < 2
    assert [round(at.timestamp() % 15 - jitter, 2) for at in times] == [0.0] * 40
    assert [len(chunk.sections) for _, chunk in stepped.bus.taken] == [1] * 40
    assert stepped.bus.count() == 2400


def test_what_is_observed_after_the_minute_waits() -> None:
    """An observation on the minute goes with it; one a microsecond later, recorded in time for it, not."""
    stepped = Stepped()
    minute = START + timedelta(minutes=1)
    stepped.run(60)
    for at in (minute, minute + timedelta(microseconds=1)):
        stepped.life.core.record("m", 1.0, at, Kind.COUNTER, {})
    stepped.run(14)
    assert [section.minute for _, chunk in stepped.bus.taken for section in chunk.sections] == [minute_floor(minute)]
    stepped.run(15)
    assert [chunk.sections[0].minute for _, chunk in stepped.bus.taken] == [
        minute_floor(minute), minute_floor(minute) + 60
    ]  # fmt: skip


def test_observations_of_the_future_do_not_wait_for_it() -> None:
    """What is stamped ahead of its time is sent with the second cut at the latest."""
    stepped = Stepped()
    stepped.life.core.record("m", 1.0, START + timedelta(minutes=4), Kind.COUNTER, {})
    stepped.run(33)
    assert stepped.bus.count() == 1


def test_the_jitter_is_the_writers() -> None:
    """It is the same for the same process always, 0 to 2 s, and spreads writers evenly."""
    jitters = [Schedule(f"w{number}", "b", 0).jitter_us for number in range(1000)]
    assert jitters == [Schedule(f"w{number}", "b", 0).jitter_us for number in range(1000)]
    assert min(jitters) >= 0
    assert max(jitters) < 2 * SECOND_US
    for tenth in range(10):
        inside = sum(tenth * 200_000 <= jitter < (tenth + 1) * 200_000 for jitter in jitters)
        assert 60 < inside < 140


def test_an_hour_without_the_bus() -> None:
    """The same bytes are tried after 1, 2, 4 ... 60 s; after an hour all arrives, once, in order, none dropped."""
    stepped = Stepped()
    stepped.bus.down = True
    stepped.run(3600, every=1)
    attempts = [at for at, _ in stepped.bus.attempts]
    gaps = [round((b - a).total_seconds(), 2) for a, b in itertools.pairwise(attempts)]
    assert gaps[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert set(gaps[7:]) == {60}
    assert len({data for _, data in stepped.bus.attempts}) == 1
    stats = stepped.life.stats()
    assert (stats.failed_attempts, stats.last_error) == (len(attempts), "unavailable")
    assert 0 < stats.unsent_bytes < MAX_UNSENT_BYTES / 10
    assert stats.unsent_messages == 239
    stepped.bus.down = False
    stepped.run(90)
    assert stepped.bus.count() == 3600
    assert [chunk.seq for _, chunk in stepped.bus.taken] == list(range(240))
    assert stepped.life.stats().dropped_observations == stepped.life.stats().unsent_messages == 0
    assert stepped.life.stats().last_error == ""


@pytest.mark.parametrize("seconds", [-7200, -40, 40, 7200])
def test_a_clock_that_is_set_harms_nothing(seconds: int) -> None:
    """Whether it jumps ahead or back, while the bus is up or down, publishing goes on within a minute or so."""
    for down in (False, True):
        stepped = Stepped(clock=Clock(START))
        stepped.bus.down = down
        stepped.run(300, every=1)
        stepped.clock.sleep(seconds)
        stepped.bus.down = False
        stepped.run(80, every=1)
        stepped.run(20)
        assert stepped.bus.count() == 380, down


def test_a_message_that_raises_anything_is_tried_again() -> None:
    """A bug or a broken connection in ``send`` costs no message, and an unknown topic may yet be made."""
    for error in (ConnectionError("reset"), ValueError("a bug"), PermanentError("unknown_topic")):
        stepped = Stepped()
        stepped.bus.down, stepped.bus.error = True, error
        stepped.run(40, every=1)
        assert stepped.life.stats().failed_attempts > 2
        stepped.bus.down = False
        stepped.run(80)
        assert stepped.bus.count() == 40


def test_failure_and_recovery_are_logged_once() -> None:
    """However often the bus fails in a row, the log has one line with the reason, and one when it is over."""
    with Captured() as logs:
        stepped = Stepped()
        stepped.bus.down = True
        stepped.run(600, every=5)
        stepped.bus.down = False
        stepped.run(90)
    assert [event["message"] for event in logs.events] == ["publish_failed", "publish_recovered"]
    assert logs.events[0]["reason"] == "unavailable"


def test_a_refused_message_is_told() -> None:
    """What the bus refuses for good is in the log and the last error with its reason, until it takes another."""
    stepped = Stepped()
    stepped.bus.down, stepped.bus.error = True, PermanentError("message_refused", "413 too large")
    with Captured() as logs:
        stepped.run(40, every=1)
        refused = stepped.life.stats()
        stepped.bus.down = False
        stepped.run(40, every=1)
    told = [(event["message"], event["reason"], event["detail"]) for event in logs.events]
    assert told == [("message_dropped", "message_refused", "413 too large")] * len(told) != []
    assert sum(int(str(event["observations"])) for event in logs.events) == refused.dropped_observations > 0
    assert (refused.last_error, stepped.life.stats().last_error) == ("message_refused", "")


def test_nothing_starts_before_the_first_observation(tmp_path: Path) -> None:
    """Until something is recorded there is no thread and no file; then there is one thread."""
    started: list[Callable[[], None]] = []
    process = Process(start=started.append, at_exit=lambda _: None, sigterm=False)
    publisher = BackgroundPublisher(Bus(), "w", spool=tmp_path / "spool", process=process)
    assert publisher.stats() == PublisherStats()
    assert publisher.flush_now()
    assert (started, list(tmp_path.iterdir())) == ([], [])
    for _ in range(3):
        publisher.record("m", 1.0, Kind.GAUGE)
    assert len(started) == 1
    assert publisher.stats().waiting_observations == 3


def test_flush_now() -> None:
    """At the end of a request all that was recorded is with the bus, at once and with the time it was recorded at."""
    bus = Bus()
    publisher = own(bus, clock_us=lambda: to_us(START))
    publisher.record("m", 2.0, Kind.COUNTER, {"region": "eu"})
    assert publisher.flush_now()
    assert publisher.flush_now()
    assert len(bus.taken) == 1
    assert bus.taken[0][1].sections[0].cells.last_at_us.tolist() == [to_us(START)]
    assert publisher.close()


@pytest.mark.parametrize("spooled", [False, True], ids=["memory", "spool"])
def test_more_than_the_memory_holds_is_sent_before_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spooled: bool
) -> None:
    """When half of the bound is reached the thread cuts and sends, though on this clock no quarter ever passes."""
    monkeypatch.setattr(publisher, "MAX_OBSERVATIONS", 1000)
    sizes: SimpleQueue[int] = SimpleQueue()

    def send(data: bytes, _: Mapping[str, str]) -> None:
        sizes.put(sum(int(section.cells.count.sum()) for section in decode(data).sections))

    process = Process(at_exit=lambda _: None, sigterm=False, clock_us=lambda: to_us(START))
    publishing = BackgroundPublisher(send, "w", spool=tmp_path if spooled else None, process=process)
    waiting = 0
    for _ in range(5):
        for _ in range(600):
            publishing.observe(Observation(Series("m"), Kind.COUNTER, to_us(START), 1.0))
        waiting += 600
        while waiting >= 500:
            waiting -= sizes.get(timeout=30)
    assert publishing.close()
    assert publishing.stats().dropped_observations == 0


def test_flush_soon() -> None:
    """Whoever does not wait is told, by the publisher's thread, once the bus has it."""
    bus = Bus()
    publisher = own(bus, clock_us=lambda: to_us(START))
    told: SimpleQueue[tuple[bool, int]] = SimpleQueue()
    publisher.flush_soon(lambda done: told.put((done, bus.count())))
    publisher.record("m", 1.0, Kind.GAUGE)
    publisher.flush_soon(lambda done: told.put((done, bus.count())))
    assert (told.get(timeout=20), told.get(timeout=20)) == ((True, 0), (True, 1))
    assert publisher.close()


def test_flush_now_while_the_bus_fails() -> None:
    """It returns False and leaves the next try to its turn, so that no request waits on it; ``close`` tries."""
    bus = Bus(down=True)
    publisher = own(bus, clock_us=lambda: to_us(START))
    publisher.record("m", 1.0, Kind.GAUGE)
    assert not publisher.flush_now()
    assert not publisher.flush_now()
    assert len(bus.attempts) == 1
    bus.down = False
    assert publisher.close()
    assert bus.count() == 1


def test_a_bus_that_hangs_holds_up_nobody() -> None:
    """While a message is on its way for ever, recording goes on, and ``flush_now`` and ``close`` end in their time."""
    called, answer = threading.Event(), threading.Event()

    def hang(_: bytes, __: Mapping[str, str]) -> None:
        called.set()
        answer.wait(20)

    publisher = own(hang)
    publisher.record("m", 1.0, Kind.GAUGE)
    assert not publisher.flush_now(0.01)
    assert called.wait(20)
    for _ in range(1000):
        publisher.record("m", 1.0, Kind.GAUGE)
    assert publisher.stats().waiting_observations == 1000
    assert not publisher.close(0.01)
    answer.set()


def test_close() -> None:
    """It sends the rest and ends the thread; what comes later is dropped and counted; closing again is harmless."""
    bus = Bus()
    threads: list[threading.Thread] = []

    def start(run: Callable[[], None]) -> None:
        threads.append(threading.Thread(target=run, daemon=True))
        threads[0].start()

    publisher = own(bus, start=start)
    publisher.record("m", 1.0, Kind.GAUGE)
    assert publisher.close()
    threads[0].join(20)
    assert not threads[0].is_alive()
    publisher.record("m", 1.0, Kind.GAUGE)
    assert publisher.close()
    assert bus.count() == 1
    assert publisher.stats() == PublisherStats(dropped_observations=1, sent_messages=1)
    with pytest.raises(FrozenInstanceError):
        publisher.stats().sent_messages = 2  # type: ignore[misc]


def test_no_thread_can_be_started() -> None:
    """In an interpreter that is ending, the flush happens where it is asked for."""

    def start(_: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread at interpreter shutdown")

    bus = Bus()
    publisher = own(bus, start=start)
    publisher.record("m", 1.0, Kind.GAUGE)
    assert publisher.close()
    assert bus.count() == 1


class Evil(str):
    """A label that raises wherever it is looked at."""

    __slots__ = ()

    def __hash__(self) -> int:
        raise RuntimeError("hash")

    def encode(self, *_: Any) -> bytes:
        raise RuntimeError("encode")


class Number(float):
    """A number that is none."""

    def __float__(self) -> float:
        raise RuntimeError("float")


HOSTILE: list[tuple[Any, Any, Any, Any, Any]] = [
    (None, 1.0, Kind.GAUGE, {}, None), ("", 1.0, Kind.GAUGE, {}, None), (b"m", 1.0, Kind.GAUGE, {}, None),
    (Evil("m"), 1.0, Kind.GAUGE, {}, None), (["m"], 1.0, Kind.GAUGE, {}, None), ("m" * 201, 1.0, Kind.GAUGE, {}, None),
    ("m", "1", Kind.GAUGE, {}, None), ("m", None, Kind.GAUGE, {}, None), ("m", [1.0], Kind.GAUGE, {}, None),
    ("m", float("nan"), Kind.GAUGE, {}, None), ("m", 10**400, Kind.GAUGE, {}, None), ("m", 1j, Kind.GAUGE, {}, None),
    ("m", Number(1.0), Kind.GAUGE, {}, None),
    ("m", 1.0, None, {}, None), ("m", 1.0, "gauge", {}, None), ("m", 1.0, 7, {}, None), ("m", 1.0, -1, {}, None),
    ("m", 1.0, Kind.GAUGE, None, None), ("m", 1.0, Kind.GAUGE, [("a", "b")], None),
    ("m", 1.0, Kind.GAUGE, {"a": 1}, None), ("m", 1.0, Kind.GAUGE, {"a": None}, None),
    ("m", 1.0, Kind.GAUGE, {1: "a", "b": "c"}, None), ("m", 1.0, Kind.GAUGE, {"a": ["b"]}, None),
    ("m", 1.0, Kind.GAUGE, {"a": Evil("b")}, None), ("m", 1.0, Kind.GAUGE, {"a": "\ud800"}, None),
    ("m", 1.0, Kind.GAUGE, {str(n): "" for n in range(17)}, None),
    ("m", 1.0, Kind.GAUGE, {}, "now"), ("m", 1.0, Kind.GAUGE, {}, START.replace(tzinfo=None)),
    ("m", 1.0, Kind.GAUGE, {}, START.replace(year=1)),
]  # fmt: skip


@pytest.mark.parametrize("spooled", [False, True], ids=["memory", "spool"])
def test_hostile_observations(tmp_path: Path, spooled: bool) -> None:
    """Whatever is recorded, the service gets no exception, each unusable one is counted, and the others arrive."""
    bus = Bus()
    process = Process(at_exit=lambda _: None, sigterm=False)
    publisher = BackgroundPublisher(bus, "w", spool=tmp_path if spooled else None, process=process)
    for metric, value, kind, labels, at in HOSTILE:
        publisher.record("good", 1.0, Kind.COUNTER, {"a": "b"})
        publisher.record(metric, value, kind, labels, at)
    unusable: list[Any] = [
        None, (1, 2), Observation(Series("m", [("a", "b")]), Kind.GAUGE, 1, 1.0),  # type: ignore[arg-type]
        Observation(None, Kind.GAUGE, 1, 1.0), Observation(Series("m"), Kind.GAUGE, 1.5, 1.0),  # type: ignore[arg-type]
    ]  # fmt: skip
    for one in unusable:
        publisher.observe(one)
    assert publisher.close()
    assert publisher.stats().dropped_observations == len(HOSTILE) + len(unusable)
    assert (bus.count(), publisher.stats().unspooled_observations) == (len(HOSTILE), 0)


def test_eight_threads(tmp_path: Path) -> None:
    """Eight threads that record at once, two of which flush, with a failing bus and a spool, lose nothing."""
    bus = Bus()
    taken: SimpleQueue[bytes] = SimpleQueue()

    def send(data: bytes, _: Mapping[str, str]) -> None:
        if hash(data) % 3 == 0 and data not in seen:
            seen.add(data)
            raise TransientError("unavailable")
        taken.put(data)

    seen: set[bytes] = set()
    ticks = iter(range(10**9))
    process = Process(
        clock_us=lambda: to_us(START) + next(ticks) * SECOND_US // 100, at_exit=lambda _: None, sigterm=False
    )
    publisher = BackgroundPublisher(send, "w", spool=tmp_path, process=process)

    def work(thread: int) -> None:
        for number in range(2000):
            publisher.record("m", 1.0, Kind.COUNTER, {"thread": str(thread)})
            if thread < 2 and number % 100 == 0:
                publisher.flush_now()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
    finally:
        sys.setswitchinterval(interval)
    while not publisher.flush_now():
        pass
    assert publisher.close()
    chunks = [decode(taken.get()) for _ in range(taken.qsize())]
    bus.taken = [(START, chunk) for chunk in chunks]
    assert [chunk.seq for chunk in chunks] == list(range(len(chunks)))
    assert (bus.count(), publisher.stats().dropped_observations) == (16_000, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_dead_process_is_replaced_by_a_living_one(tmp_path: Path) -> None:
    """At its first step a life sends what the dead left, with their names and numbers; the living are let be."""
    dead = Stepped(tmp_path, "dead", "1")
    dead.bus.down = True
    dead.run(40, every=1)
    living = Stepped(tmp_path, "living", "2", dead.clock)
    living.life.step()
    assert living.bus.taken == []
    dead.life.release(empty=False)
    living.run(17)
    assert {(chunk.writer, chunk.boot) for _, chunk in living.bus.taken} == {("dead", "1")}
    assert living.bus.count() == 40
    assert living.life.stats().recovered_messages == len(living.bus.taken) == 3
    assert living.life.stats().sent_messages == 0


def test_the_dead_wait_while_the_bus_fails(tmp_path: Path) -> None:
    """What was taken over is tried until it succeeds, and if that process ends as well, by the next."""
    dead = Stepped(tmp_path, "dead", "1")
    dead.life.core.record("m", 1.0, START, Kind.COUNTER, {})
    dead.life.release(empty=False)
    second = Stepped(tmp_path, "second", "2")
    second.bus.down = True
    second.run(100)
    assert len(second.bus.attempts) > 3
    second.life.release(empty=False)
    third = Stepped(tmp_path, "third", "3")
    third.run(1)
    assert third.bus.count() == 1


def test_a_spool_that_cannot_be_made(tmp_path: Path) -> None:
    """Where a file stands in the folder's place, publishing goes on, and the log and the counters say so."""
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    bus = Bus()
    with Captured() as logs:
        publisher = BackgroundPublisher(bus, "w", spool=blocked, process=Process(at_exit=lambda _: None, sigterm=False))
        publisher.record("m", 1.0, Kind.GAUGE)
        publisher.instrument("m", Kind.GAUGE).observe(2.0)
        assert publisher.close()
    assert (bus.count(), publisher.stats().unspooled_observations) == (2, 2)
    assert [event["message"] for event in logs.events] == ["spool_unavailable"]


@pytest.mark.parametrize(
    ("environ", "host", "writer"),
    [
        ({}, "web-1", "web-1"),
        ({"K_REVISION": "shop-00042-abc"}, "localhost", "shop-00042-abc-0a1b2c3d"),
        ({"K_REVISION": ""}, "", "0a1b2c3d"),
        ({"K_REVISION": "é" * 150}, "", "é" * 100),
        ({"K_REVISION": "\ud800"}, "", "?-0a1b2c3d"),
    ],
)
def test_the_writers_name(environ: dict[str, str], host: str, writer: str) -> None:
    """A writer is the host, or the revision and instance on Cloud Run, in at most 200 bytes of UTF-8."""
    assert default_writer(cloud_run_revision(environ), host, "0a1b2c3d") == writer


def test_a_name_no_message_can_carry() -> None:
    """A writer's name that every reader would refuse is refused where it is given."""
    with pytest.raises(PermanentError):
        BackgroundPublisher(Bus(), "w" * 201)


@contextmanager
def sigterm_is(handler: Any) -> Iterator[None]:
    """SIGTERM with a handler, for the while."""
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def quiet(**changes: Any) -> BackgroundPublisher:
    """A publisher that stands before SIGTERM."""
    return BackgroundPublisher(Bus(), "w", process=Process(at_exit=lambda _: None, **changes))


def test_an_ignored_sigterm_stays_ignored() -> None:
    """A process that ignores SIGTERM goes on ignoring it."""
    with sigterm_is(signal.SIG_IGN):
        quiet()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN


def test_sigterm_is_left_alone_off_the_main_thread() -> None:
    """A publisher that is made on another thread leaves SIGTERM as it is."""
    with sigterm_is(signal.SIG_DFL), ThreadPoolExecutor(1) as pool:
        pool.submit(quiet).result()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


class OtherLoop(asyncio.SelectorEventLoop):
    """An event loop that puts a method of its own where it handles a signal, as uvloop does."""

    def add_signal_handler(  # type: ignore[override] # generic there, to no avail here
        self, sig: int, callback: Callable[..., Any], *args: Any
    ) -> None:
        """Handle a signal."""
        super().add_signal_handler(sig, callback, *args)
        signal.signal(sig, self._hear)

    def _hear(self, *_: object) -> None:
        """It hears of it by its wakeup file."""


@pytest.mark.parametrize(
    ("make_loop", "by_loop"),
    [(asyncio.new_event_loop, True), (OtherLoop, True), (asyncio.new_event_loop, False)],
    ids=["asyncio", "another loop", "handler"],
)
def test_sigterm_is_heard_once(make_loop: Callable[[], asyncio.AbstractEventLoop], by_loop: bool) -> None:
    """An event loop's handler, as any other, is called once for one SIGTERM, and what was gathered is published."""
    heard: list[int] = []
    bus = Bus()
    flushed = threading.Event()

    def send(data: bytes, attributes: Mapping[str, str]) -> None:
        bus(data, attributes)
        flushed.set()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        if by_loop:
            loop.add_signal_handler(signal.SIGTERM, heard.append, signal.SIGTERM)
        else:
            signal.signal(signal.SIGTERM, lambda signum, _: heard.append(signum))
        publisher = BackgroundPublisher(send, "w", process=Process(at_exit=lambda _: None))
        publisher.record("m", 1.0, Kind.GAUGE)
        ended = threading.Event()
        flush_and_signal = publisher._flush_and_signal

        def tell_the_end(signum: int, again: bool) -> None:
            flush_and_signal(signum, again)
            ended.set()

        publisher._flush_and_signal = tell_the_end  # type: ignore[method-assign] # as it is, and told of
        signal.raise_signal(signal.SIGTERM)
        assert await asyncio.to_thread(ended.wait, 20)
        assert flushed.is_set()
        for _ in range(3):  # whatever the loop was woken for
            await asyncio.sleep(0)
        publisher.close()

    with sigterm_is(signal.SIG_DFL), asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(run())
    assert (heard, bus.count()) == ([signal.SIGTERM], 1)


def test_the_handler_is_given_back() -> None:
    """``close`` restores the process's own handler, and leaves alone one that was put in place since."""

    def handler(_: int, __: object) -> None:
        """The process's own."""

    with sigterm_is(handler):
        publisher = quiet()
        assert signal.getsignal(signal.SIGTERM) != handler
        publisher.close()
        assert signal.getsignal(signal.SIGTERM) == handler
        publisher = quiet()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        publisher.close()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
