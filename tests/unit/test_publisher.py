"""The publisher: each observation in exactly one message, the same message at every attempt, bounded memory."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest

from shared import publisher as publishing_core
from shared.bus import MAX_MESSAGE_BYTES
from shared.cardinality import OTHERS
from shared.cells import Observation
from shared.errors import PermanentError, TransientError
from shared.formats.compact import CONTENT_TYPE, MAX_SECTIONS, Chunk, decode
from shared.formats.series_table import MAX_SERIES
from shared.publisher import MAX_OBSERVATIONS, MAX_UNSENT_BYTES, Publisher, try_flush
from shared.series import MAX_LABEL_VALUE_BYTES, MAX_LABELS, Kind, Series
from shared.timeline import minute_floor, to_us
from tests.fakes import START

AT = START + timedelta(seconds=30)
SIGNS = [chr(point) for point in range(0x4E00, 0x9FFF)]
"""Random text of these hardly compresses."""


read = cache(decode)
"""The chunk of a message; each is read once."""


@dataclass
class Bus:
    """Takes messages; fails as scripted, before or after it has taken one."""

    failures: list[str] = field(default_factory=list)
    taken: list[bytes] = field(default_factory=list)
    attempts: list[bytes] = field(default_factory=list)

    def __call__(self, data: bytes, attributes: Mapping[str, str]) -> None:
        """Publish one message."""
        assert attributes == {"content-type": CONTENT_TYPE}
        self.attempts.append(data)
        failure = self.failures.pop(0) if self.failures else ""
        if failure == "refused":
            raise PermanentError("message_refused")
        if failure == "before":
            raise TransientError("unavailable")
        self.taken.append(data)
        if failure == "after":
            raise TransientError("unavailable")

    def chunks(self) -> list[Chunk]:
        """What was taken, each message once, in order."""
        return [read(data) for data in dict.fromkeys(self.taken)]

    def count(self, metric: str = "m") -> int:
        """How many observations of a metric were taken."""
        return sum(
            int(section.cells.count[row])
            for chunk in self.chunks()
            for section in chunk.sections
            for row, series in enumerate(section.cells.series)
            if series.metric == metric
        )


def record(publisher: Publisher, value: float = 1.0, at: datetime = AT, metric: str = "m") -> None:
    """One observation of a counter."""
    publisher.record(metric, value, at, Kind.COUNTER, {"region": "eu"})


def new() -> tuple[Publisher, Bus]:
    """A publisher and its bus."""
    bus = Bus()
    return Publisher("writer", "boot", bus), bus


def test_at_half_of_its_bound_it_asks_for_a_cut_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever cuts when asked loses nothing, however much is recorded; each half is told once."""
    monkeypatch.setattr(publishing_core, "MAX_OBSERVATIONS", 100)
    bus = Bus()
    asked: list[int] = []
    publisher = Publisher("w", "b", bus, half_full=lambda: asked.append(publisher.waiting))
    for _ in range(4):
        for _ in range(80):
            record(publisher)
        publisher.cut()
    publisher.send()
    assert (asked, bus.count(), publisher.dropped) == ([50] * 4, 320, 0)


def test_messages_are_counted() -> None:
    """Every flush with something to say is one message with the writer, its boot and the next number."""
    publisher, bus = new()
    sent = []
    for number in range(3):
        record(publisher, float(number))
        sent.append(publisher.flush())
    assert sent == [1, 1, 1]
    assert [(chunk.writer, chunk.boot, chunk.seq) for chunk in bus.chunks()] == [
        ("writer", "boot", n) for n in range(3)
    ]


def test_nothing_gathered_is_no_message() -> None:
    """A flush of nothing sends nothing and uses no number."""
    publisher, bus = new()
    assert publisher.flush() == 0
    record(publisher)
    publisher.flush()
    assert [chunk.seq for chunk in bus.chunks()] == [0]


@pytest.mark.parametrize("failure", ["before", "after"])
def test_a_retry_is_the_same_message(failure: str) -> None:
    """Whether the bus fails before or after taking a message, the next attempt has the same bytes and number."""
    publisher, bus = new()
    bus.failures = [failure] * 3
    record(publisher)
    for _ in range(3):
        assert not try_flush(publisher)
        record(publisher)
    assert try_flush(publisher)
    assert len(set(bus.attempts[:4])) == 1
    assert [chunk.seq for chunk in bus.chunks()] == [0, 1, 2, 3]
    assert (bus.count(), publisher.dropped) == (4, 0)


def test_a_failure_between_two_messages() -> None:
    """What the bus has taken is not sent again; what it has not taken goes next, in order."""
    publisher, bus = new()
    bus.failures = ["before", "", "before"]
    record(publisher)
    assert not try_flush(publisher)
    record(publisher)
    assert not try_flush(publisher)
    assert publisher.flush() == 1
    assert [decode(data).seq for data in bus.attempts] == [0, 0, 1, 1]


def test_a_message_that_is_refused_for_good_holds_up_no_other() -> None:
    """It is dropped, its observations are counted, and those behind it are sent."""
    publisher, bus = new()
    bus.failures = ["before", "refused"]
    for _ in range(3):
        record(publisher)
    assert not try_flush(publisher)
    record(publisher)
    assert publisher.flush() == 1
    assert ([chunk.seq for chunk in bus.chunks()], bus.count(), publisher.dropped) == ([1], 1, 3)


def test_observations_above_the_bound_are_dropped() -> None:
    """Between two flushes 100,000 observations are kept and the rest is counted; after a flush there is room."""
    publisher, bus = new()
    one = Observation(Series("m"), Kind.COUNTER, to_us(AT), 1.0)
    for _ in range(MAX_OBSERVATIONS + 7):
        publisher.observe(one)
    assert publisher.dropped == 7
    publisher.flush()
    publisher.observe(one)
    publisher.flush()
    assert (bus.count(), publisher.dropped) == (MAX_OBSERVATIONS + 1, 7)


def test_series_above_the_bound_are_dropped_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Series beyond the memory's bound are dropped and counted by metric; the known ones go on, and a flush makes room.

    Of more metrics than are named the rest is counted together.
    """
    monkeypatch.setattr(publishing_core, "MAX_SERIES_BYTES", 10 * 320)
    publisher, bus = new()
    record(publisher)
    for number in range(500):
        publisher.record("noisy", 1.0, AT, Kind.GAUGE, {"n": str(number)})
    for number in range(50):
        publisher.record(f"rare_{number:02}", 1.0, AT, Kind.GAUGE, {})
    record(publisher)
    publisher.flush()
    assert bus.count() == 2
    assert publisher.dropped == sum(publisher.crowded.values()) > 500
    assert publisher.crowded["noisy"] == 500 - bus.count("noisy")
    assert publisher.crowded[OTHERS] == 50 - 19
    record(publisher, metric="late")
    publisher.flush()
    assert bus.count("late") == 1


def test_what_the_bus_does_not_take_is_bounded() -> None:
    """Above 8 MiB of unsent messages new observations are dropped and counted; once the bus takes them all is well."""
    publisher, bus = new()
    rng = random.Random(1)
    gathered = 0
    bus.failures = ["before"] * 100
    while not publisher.dropped:
        for number in range(2000):
            noise = "".join(rng.choices(SIGNS, k=160))
            series = Series("m", (("noise", f"{noise}{number}"),))
            publisher.observe(Observation(series, Kind.GAUGE, to_us(AT), rng.random()))
            gathered += 1
        assert not try_flush(publisher)
        assert len(bus.attempts) < 50, "the bound must be met"
    unsent = gathered - publisher.dropped
    bus.failures = []
    publisher.flush()
    size = sum(map(len, bus.taken))
    assert MAX_UNSENT_BYTES < size < 2 * MAX_UNSENT_BYTES
    assert bus.count() == unsent
    record(publisher)
    publisher.flush()
    assert bus.count() == unsent + 1


def test_cut_at_the_minute() -> None:
    """An observation on the minute belongs to the minute that ends there, one a microsecond later to the next."""
    publisher, bus = new()
    for at in (START, START + timedelta(microseconds=1), START + timedelta(minutes=1), START - timedelta(seconds=60)):
        record(publisher, at=at)
    publisher.flush()
    (chunk,) = bus.chunks()
    first = minute_floor(START)
    assert [(section.minute, int(section.cells.count[0])) for section in chunk.sections] == [
        (first - 60, 1), (first, 1), (first + 60, 2)
    ]  # fmt: skip


def test_threads() -> None:
    """Eight threads that record and flush while the bus fails at random lose nothing and repeat nothing."""
    publisher, bus = new()
    rng = random.Random(3)
    bus.failures = [rng.choice(["", "before", "after"]) for _ in range(300)]

    def work(_: int) -> None:
        for _ in range(50):
            record(publisher)
            try_flush(publisher)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    while not try_flush(publisher):
        pass
    assert (bus.count(), publisher.dropped) == (400, 0)
    assert [chunk.seq for chunk in bus.chunks()] == list(range(len(bus.chunks())))


def observed(value: Any = 1.0, at_us: int = to_us(AT), series: Series = Series("m")) -> Observation:  # noqa: B008
    """An observation that may be unusable in any part."""
    return Observation(series, Kind.GAUGE, at_us, value)


def labelled(**labels: Any) -> Series:
    """A series with labels as they are."""
    return Series("m", tuple(labels.items()))


@pytest.mark.parametrize(
    "unusable",
    [
        observed(float("nan")), observed(float("inf")), observed(float("-inf")), observed(1e300), observed(-1e300),
        observed(10**400), observed("1"), observed(None), observed(1 + 2j),
        observed(at_us=-1), observed(at_us=to_us(datetime.max.replace(tzinfo=UTC))),
        observed(series=Series("")), observed(series=Series("x" * 201)), observed(series=Series("\ud800")),
        observed(series=labelled(region="x" * (MAX_LABEL_VALUE_BYTES + 1))), observed(series=labelled(region="\ud800")),
        observed(series=labelled(region=5)), observed(series=labelled(region=None)),
        observed(series=labelled(**{"": "x"})), observed(series=labelled(b="1", a="2")),
        observed(series=labelled(**{f"l{n:02}": "x" for n in range(MAX_LABELS + 1)})),
    ],
    ids=lambda one: f"{one.value!r:.8} {one.at_us:.0e} {one.series!r:.40}",
)  # fmt: skip
def test_unusable_observations_harm_nothing_else(unusable: Observation) -> None:
    """What ingest would refuse is dropped and counted at once, and its neighbours arrive."""
    publisher, bus = new()
    record(publisher)
    publisher.observe(unusable)
    record(publisher)
    assert publisher.dropped == 1
    publisher.flush()
    assert bus.count() == 2
    assert len(bus.chunks()[0].sections) == 1


@pytest.mark.parametrize("value", [1e200, -1e200, 5e-324, 0.0, -0.0, True, 7])
def test_extreme_values_arrive(value: float) -> None:
    """The greatest and the least numbers that may be observed arrive as they are."""
    publisher, bus = new()
    publisher.observe(observed(value))
    publisher.flush()
    assert (bus.chunks()[0].sections[0].cells.last[0], publisher.dropped) == (value, 0)


@pytest.mark.parametrize(
    ("bound", "series_of"),
    [
        pytest.param(MAX_SERIES, lambda number: (Series("m", (("n", str(number)),)), to_us(AT)), id="series"),
        pytest.param(MAX_SECTIONS, lambda number: (Series("m"), to_us(AT + timedelta(minutes=number))), id="minutes"),
    ],
)
def test_what_one_message_cannot_hold_goes_in_several(
    bound: int, series_of: Callable[[int], tuple[Series, int]]
) -> None:
    """More series or minutes than a message may have are sent in as many messages as it takes, none lost."""
    publisher, bus = new()
    for number in range(bound + 1):
        series, at_us = series_of(number)
        publisher.observe(Observation(series, Kind.COUNTER, at_us, 1.0))
    assert publisher.flush() == 2
    assert (bus.count(), publisher.dropped) == (bound + 1, 0)
    assert [chunk.seq for chunk in bus.chunks()] == list(range(len(bus.chunks())))


def test_messages_fit_the_bus() -> None:
    """However little the observations compress, no message is larger than the bus takes."""
    publisher, bus = new()
    rng = random.Random(2)
    for number in range(15_000):
        noise = "".join(rng.choices(SIGNS, k=160))
        publisher.observe(observed(rng.random(), series=labelled(a=noise, b=noise[::-1], n=str(number))))
    assert publisher.flush() >= 2
    assert max(map(len, bus.taken)) <= MAX_MESSAGE_BYTES - 1000
    assert (bus.count(), publisher.dropped) == (15_000, 0)


@pytest.mark.parametrize(("writer", "boot"), [("x" * 201, "b"), ("w", "é" * 101), ("\ud800", "b")])
def test_a_name_that_no_message_can_carry(writer: str, boot: str) -> None:
    """A writer or boot that every reader would refuse is refused where it is given."""
    with pytest.raises(PermanentError) as raised:
        Publisher(writer, boot, Bus())
    assert raised.value.reason == "invalid_writer"


def test_try_flush_hides_no_other_error() -> None:
    """Only a bus that does not answer is answered with False."""

    def broken(_: bytes, __: Mapping[str, str]) -> None:
        raise RuntimeError("a bug")

    publisher = Publisher("writer", "boot", broken)
    record(publisher)
    with pytest.raises(RuntimeError):
        try_flush(publisher)
