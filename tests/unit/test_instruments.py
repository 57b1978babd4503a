"""Instruments: what a service records the quick way counts exactly once, whatever it is and whoever records it."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared import instruments as module
from shared.cells import Cells, Observation, equal, fold, merge
from shared.errors import PermanentError
from shared.formats.compact import Chunk, decode
from shared.gathering import fold_gathered
from shared.instruments import MAX_EACH, MIN_EACH, OTHERS, PAIR, Gathered, Instrument, Instruments, Pair
from shared.publishing import BackgroundPublisher, Process
from shared.series import Kind, Series
from shared.timeline import minute_of_us, to_us
from tests.fakes import START

START_US = to_us(START)


class Ticking:
    """A clock that stands still until it is moved. Unix microseconds."""

    def __init__(self) -> None:
        self.us = START_US + 1

    def __call__(self) -> int:
        return self.us


class Service:
    """A publisher without a thread, whose messages are kept."""

    def __init__(self, spool: Path | None = None, start: Callable[[Callable[[], None]], object] | None = None) -> None:
        self.clock = Ticking()
        self.taken: list[Chunk] = []
        process = Process(
            clock_us=self.clock, at_exit=lambda _: None, sigterm=False, start=start or _no_thread, make_boot=lambda: "b"
        )
        self.metrics = BackgroundPublisher(self._send, "w", spool=spool, process=process)

    def instrument(self, metric: str = "m", kind: Kind = Kind.DISTRIBUTION, **labels: str) -> Instrument:
        """An instrument."""
        return self.metrics.instrument(metric, kind, labels)

    def cells(self) -> dict[int, Cells]:
        """What has arrived, by minute, after a flush."""
        self.metrics.flush_now()
        found: dict[int, list[Cells]] = {}
        for chunk in self.taken:
            for section in chunk.sections:
                found.setdefault(section.minute, []).append(section.cells)
        return {minute: merge(parts) for minute, parts in found.items()}

    def counts(self) -> dict[Series, int]:
        """How many observations of each series have arrived."""
        found: dict[Series, int] = {}
        for cells in self.cells().values():
            for series, count in zip(cells.series, cells.count.tolist(), strict=True):
                found[series] = found.get(series, 0) + count
        return found

    def _send(self, data: bytes, _: Mapping[str, str]) -> None:
        self.taken.append(decode(data))


def _no_thread(_: Callable[[], None]) -> None:
    raise RuntimeError("no thread: what is asked is done at once")


def drawn(seed: int, many: int = 3000) -> list[tuple[str, int, float]]:
    """Observations of a few series over four minutes: label, Unix microseconds, value."""
    rng = random.Random(seed)
    values: list[Callable[[], float]] = [
        lambda: rng.lognormvariate(3, 1), lambda: -rng.random(), lambda: 0.0, lambda: -0.0,
        lambda: 10.0 ** rng.randint(-190, 190), lambda: float(rng.randint(0, 5)),
    ]  # fmt: skip
    times = sorted(START_US + rng.randrange(1, 240_000_000) for _ in range(many))
    return [(f"s{rng.randrange(7)}", at_us, rng.choice(values)()) for at_us in times]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("each", [MAX_EACH, 40])
def test_cells_are_those_of_the_observations(seed: int, each: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is folded in between, what arrives are the cells of the same observations, to the bit.

    Sums that were folded in parts are within an ulp of the greatest partial sum.
    """
    monkeypatch.setattr(module, "MAX_EACH", each)
    service = Service()
    observations = drawn(seed)
    expected: dict[int, list[Observation]] = {}
    for name, at_us, value in observations:
        service.clock.us = at_us
        one = service.instrument(s=name)
        one.observe(value)
        series = Series("m", (("s", name),))
        expected.setdefault(minute_of_us(at_us), []).append(Observation(series, Kind.DISTRIBUTION, at_us, value))
    found = service.cells()
    assert set(found) == set(expected)
    for minute, within in expected.items():
        truth = fold(within)
        np.testing.assert_allclose(found[minute].sum, truth.sum, rtol=1e-12, atol=1e175)
        if each == MAX_EACH:
            assert equal(found[minute].written_by(0), truth)
        assert (found[minute].bin_key == truth.bin_key).all()
        assert (found[minute].bin_count == truth.bin_count).all()
        assert (found[minute].last == truth.last).all()


def test_threads_record_while_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight threads record 5,000 each while another cuts and reads without pause: each arrives exactly once."""
    monkeypatch.setattr(module, "MAX_EACH", 64)
    service = Service()
    gate = threading.Barrier(9)
    done = threading.Event()

    def work(number: int) -> None:
        one = service.instrument(thread=str(number % 2))
        gate.wait()
        for _ in range(5000):
            one.observe(1.0)

    def cut() -> None:
        gate.wait()
        while not done.is_set():
            service.metrics.flush_now()
            service.metrics.recent()

    with ThreadPoolExecutor(9) as pool:
        cutting = pool.submit(cut)
        list(pool.map(work, range(8)))
        done.set()
        cutting.result()
    assert sum(service.counts().values()) == 40_000
    assert service.metrics.stats().dropped_observations == 0


class Evil:
    """A value that becomes a number as it likes."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def __float__(self) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


UNUSABLE: Iterable[Any] = (
    float("nan"), float("inf"), float("-inf"), 1e300, -1e300, 10**400, "1", b"1", None, 1 + 2j, [1.0], {}, object(),
    np.array([1.0, 2.0]), Evil("text"), Evil(None), Evil(ValueError()), Evil([1]), Evil(object()), Decimal("NaN"),
)  # fmt: skip


@pytest.mark.parametrize("unusable", UNUSABLE, ids=lambda one: f"{type(one).__name__} {one!r:.12}")
def test_unusable_values_harm_nothing_else(unusable: Any) -> None:
    """What is no number that may be observed raises nothing and is counted; its neighbours arrive."""
    service = Service()
    one = service.instrument()
    for value in (1.0, unusable, 3.0):
        one.observe(value)
    assert service.counts() == {Series("m"): 2}
    assert service.metrics.stats().dropped_observations == 1


@pytest.mark.parametrize(
    "value", [7, True, Decimal("2.5"), Fraction(1, 4), np.float32(0.5), np.int64(3), 1e200, 5e-324]
)
def test_numbers_of_other_types_arrive(value: Any) -> None:
    """Whatever is a number counts as one."""
    service = Service()
    service.instrument().observe(value)
    (cells,) = service.cells().values()
    assert (cells.last.tolist(), service.metrics.stats().dropped_observations) == ([float(value)], 0)


HOSTILE: Iterable[tuple[Any, Any]] = (
    ("", {}), ("x" * 201, {}), ("\ud800", {}), (None, {}), (5, {}), ("m", {"a": None}), ("m", {"a": 5}),
    ("m", {5: "a"}), ("m", {"": "a"}), ("m", {"a": "x" * 501}), ("m", {"a": "\ud800"}), ("m", None), ("m", 7),
    ("m", {f"l{n}": "" for n in range(17)}), ("m", [("a", "b")]),
)  # fmt: skip


@pytest.mark.parametrize(("metric", "labels"), HOSTILE, ids=lambda one: f"{one!r:.12}")
def test_hostile_series(metric: Any, labels: Any) -> None:
    """What is no series gets an instrument all the same: it counts what it is given, and drops it."""
    service = Service()
    service.instrument("good").observe(1.0)
    for _ in range(3):
        service.metrics.instrument(metric, Kind.GAUGE, labels).observe(1.0)
    assert service.counts() == {Series("good"): 1}
    assert service.metrics.stats().dropped_observations == 3


def test_the_minute_is_the_clocks() -> None:
    """An observation on the minute belongs to the minute that ends, one a microsecond later to the next."""
    service = Service()
    one = service.instrument()
    for after_us in (60_000_000, 60_000_001):
        service.clock.us = START_US + after_us
        one.observe(1.0)
    assert {minute: int(cells.count[0]) for minute, cells in service.cells().items()} == {
        START_US // 1_000_000 + 60: 1, START_US // 1_000_000 + 120: 1
    }  # fmt: skip


def test_what_is_counted_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A counter beside an instrument has grown by exactly its observations, together with what is added directly."""
    monkeypatch.setattr(module, "MAX_EACH", MIN_EACH)
    service = Service()
    timed = service.metrics.instrument("time", Kind.DISTRIBUTION, {"e": "a"}, counted="requests")
    for number in range(1, 151):
        timed.observe(1.0)
        timed.observe("no number")  # type: ignore[arg-type] # that is the point
        service.clock.us += 1_000_000
        if number % 40 == 0:
            service.metrics.flush_now()
    service.instrument("requests", Kind.COUNTER, e="a").add(10.0)
    added = {
        (series.metric, kind): float(total)
        for cells in [merge(list(service.cells().values()))]
        for series, kind, total in zip(cells.series, cells.kind.tolist(), cells.sum, strict=True)
    }
    assert added == {("time", Kind.DISTRIBUTION): 150.0, ("requests", Kind.COUNTER): 160.0}


def test_what_waits_is_bounded() -> None:
    """An instrument that nobody asks for a long time keeps few numbers, and loses none."""
    service = Service()
    one = service.instrument()
    most = 0
    for _ in range(5 * MAX_EACH + 17):
        one.observe(1.0)
        most = max(most, one.waiting)
    assert most < MAX_EACH
    assert service.counts() == {Series("m"): 5 * MAX_EACH + 17}


def test_threads_that_wait_for_a_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one thread folds the others go on without trying again at each observation; then all is as before."""
    monkeypatch.setattr(module, "MAX_EACH", 10)
    service = Service()
    one = service.instrument()
    room = service.metrics._instruments
    tried: list[int] = []
    fold_one = room.fold_one

    def counted(instrument: Instrument) -> None:
        tried.append(instrument.waiting)
        fold_one(instrument)

    monkeypatch.setattr(room, "fold_one", counted)
    with ThreadPoolExecutor(1) as another, room._lock:
        list(another.map(one.observe, [1.0] * 95))
    assert tried == [10, 20, 30, 40, 50, 60, 70, 80, 90]
    for _ in range(10):
        one.observe(1.0)
    assert (tried[-1], one.waiting) == (100, 5)
    assert service.counts() == {Series("m"): 105}


def test_many_series_share_the_room() -> None:
    """The more series there are, the fewer observations of each wait to be folded."""
    service = Service()
    many = [service.instrument(n=str(number)) for number in range(module.MAX_WAITING // MAX_EACH * 4)]
    for one in many:
        for _ in range(MAX_EACH // 2):
            one.observe(1.0)
    assert sum(one.waiting for one in many) <= module.MAX_WAITING
    assert set(service.counts().values()) == {MAX_EACH // 2}


def test_series_above_the_bound_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Series beyond the memory's bound are dropped and counted by metric; a cut makes room for the new ones."""
    monkeypatch.setattr(module, "MAX_SERIES_BYTES", 10 * 320)
    service = Service()
    for number in range(100):
        service.instrument("noisy", n=str(number)).observe(1.0)
    for number in range(30):
        service.instrument(f"rare_{number:02}").observe(1.0)
    arrived = sum(service.counts().values())
    stats = service.metrics.stats()
    assert stats.dropped_observations == sum(stats.crowded_metrics.values()) == 130 - arrived > 100
    assert stats.crowded_metrics["noisy"] == 100 - arrived
    assert stats.crowded_metrics[OTHERS] == 30 - 19
    service.instrument("late").observe(1.0)
    assert service.counts()[Series("late")] == 1


@pytest.mark.parametrize("urgent", [False, True], ids=["plain", "urgent"])
def test_a_held_instrument_is_never_let_go(urgent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody still holds is read for as long as it is held, however crowded it has become meanwhile."""
    monkeypatch.setattr(module, "MAX_SERIES_BYTES", 10 * 320)
    service = Service()
    if urgent:
        service.metrics.publish_at_once("held", lambda _: False)
    held = service.instrument("held")
    for round_number in range(6):
        held.observe(1.0)
        again = service.instrument("held")
        again.observe(1.0)
        del again
        for number in range(12):
            service.instrument("passing", n=f"{round_number}.{number}").observe(1.0)
        service.metrics.flush_now()
        service.metrics.flush_now()
    assert service.counts()[Series("held")] == 12


def test_instruments_that_nobody_holds_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service whose labels change all day, each a few at a time, loses nothing."""
    monkeypatch.setattr(module, "MAX_SERIES_BYTES", 10 * 320)
    service = Service()
    for number in range(200):
        service.instrument(n=str(number)).observe(1.0)
        if number % 3 == 2:
            service.metrics.flush_now()
    assert len(service.counts()) == 200
    assert service.metrics.stats().dropped_observations == 0


def test_recording_in_the_midst_of_recording() -> None:
    """A signal handler that records, binds and publishes in the midst of recording loses nothing."""
    service = Service()
    one = service.instrument()
    depth = itertools.count()
    plain = service.clock.__call__

    class Interrupting(Ticking):
        def __call__(self) -> int:
            if next(depth) % 7 == 3:
                service.instrument(n=str(next(depth))).observe(1.0)
                one.observe(1.0)
                service.metrics.flush_now()
            return plain()

    service.metrics._instruments.clock = lambda: Interrupting()() / 1e6
    one._clock = service.metrics._instruments.clock
    for _ in range(400):
        one.observe(1.0)
    counts = service.counts()
    assert counts[Series("m")] == 400 + sum(count for series, count in counts.items() if series.labels)


def test_interrupted_while_taking() -> None:
    """What another thread or a signal handler records and reads between the copy and the removal counts once."""
    service = Service()
    one = service.instrument()

    interruptions = itertools.count()

    class Interrupted(bytearray):
        def __getitem__(self, key: Any) -> Any:
            found = super().__getitem__(key)
            if next(interruptions) < 4:
                one.observe(1.0)
                service.metrics.recent()
            return found

    one._held = Interrupted()
    one.hold = one._held.extend
    for _ in range(5):
        one.observe(1.0)
    for _ in range(5):
        service.metrics.flush_now()
    assert service.counts() == {Series("m"): 9}


def test_a_later_minute_waits_once() -> None:
    """What belongs to the minute after the one that is cut waits for the next cut, and no longer."""
    service = Service()
    one = service.instrument()
    one.observe(1.0)
    service.clock.us += 120_000_000
    one.observe(1.0)
    assert service.metrics._life is not None
    core = service.metrics._life.core
    sent = []
    for _ in range(3):
        core.cut(START_US + 15_000_000)
        core.send()
        sent.append(len(service.taken))
    assert sent == [1, 2, 2]
    assert [len(chunk.sections) for chunk in service.taken] == [1, 1]


def test_recording_in_the_midst_of_a_conversion() -> None:
    """What is recorded, read and published by a value's own conversion to a number is lost neither."""
    service = Service()
    one = service.instrument()

    class Interrupting:
        def __float__(self) -> float:
            service.metrics.recent()
            one.observe(1.0)
            service.metrics.flush_now()
            return 5.0

    for value in (1.0, Interrupting(), 1.0):
        one.observe(value)  # type: ignore[arg-type] # that is the point
    assert service.counts() == {Series("m"): 4}
    assert service.metrics.stats().dropped_observations == 0


def test_two_instruments_of_a_series() -> None:
    """Where a series has two instruments for a while, what both gathered is folded as one's, of the first's kind."""
    at = START_US / 1e6 + 1
    pairs = [bytearray(b"".join(PAIR.pack(at, value) for value in values)) for values in ((1.0, 2.0), (5.0,), (9.0,))]
    names = [Series("b"), Series("b"), Series("a")]
    kinds = [Kind.DISTRIBUTION, Kind.GAUGE, Kind.GAUGE]
    gathered = [Gathered(name, kind, None, held) for name, kind, held in zip(names, kinds, pairs, strict=True)]
    minutes, refused = fold_gathered(gathered)
    (cells,) = minutes.values()
    assert (cells.series, cells.count.tolist(), refused) == ((Series("a"), Series("b")), [1, 3], 0)
    assert (cells.sum.tolist(), cells.kind.tolist()) == ([9.0, 8.0], [Kind.GAUGE, Kind.DISTRIBUTION])


def test_after_the_end() -> None:
    """What is observed after ``close`` is counted and dropped, by old instruments and new ones."""
    service = Service()
    one = service.instrument()
    one.observe(1.0)
    assert service.metrics.close()
    one.observe(1.0)
    service.instrument("other").observe(1.0)
    assert service.metrics.stats().dropped_observations == 2
    assert [int(section.cells.count.sum()) for chunk in service.taken for section in chunk.sections] == [1]


def test_in_a_forked_child() -> None:
    """A child begins with nothing: what had gathered is its parent's; its own observations arrive."""
    service = Service()
    one = service.instrument()
    one.observe(1.0)
    service.metrics._begin_again()
    assert service.metrics.stats().waiting_observations == 0
    assert service.metrics.recent() == {}
    one.observe(1.0)
    assert service.counts() == {Series("m"): 1}


def test_with_a_spool(tmp_path: Path) -> None:
    """With a spool each observation, and what counts it, is in the journal before ``observe`` returns."""
    service = Service(spool=tmp_path)
    one = service.metrics.instrument("time", Kind.DISTRIBUTION, {"e": "a"}, counted="requests")
    one.observe(5.0)
    (journal,) = [path for path in tmp_path.glob("*.journal") if b"time" in path.read_bytes()]
    assert b"requests" in journal.read_bytes()
    assert service.counts() == {Series("time", (("e", "a"),)): 1, Series("requests", (("e", "a"),)): 1}
    assert service.metrics.close()
    assert list(tmp_path.iterdir()) == []


def test_a_life_that_cannot_begin() -> None:
    """Where nothing can be published, observing raises nothing and is counted."""

    def fail(_: Instrument) -> Callable[[Pair], object]:
        raise PermanentError("closed")

    room = Instruments(lambda: 1.0, fail)
    room.bind("m", Kind.GAUGE, {}).observe(1.0)
    assert room.dropped == 1


def test_reading_changes_nothing() -> None:
    """What is read before the cut, after it, and what is published are the same cells."""
    service = Service()
    for name, at_us, value in drawn(9, 500):
        service.clock.us = at_us
        service.instrument(s=name).observe(value)
    before = service.metrics.recent()
    published = service.cells()
    after = service.metrics.recent()
    assert set(before) == set(published) == set(after)
    for minute in published:
        assert equal(before[minute], published[minute].written_by(0))
        assert equal(before[minute], after[minute])
