"""Races about rollups, each decided by one seed: ingest, two evaluators, and what may happen to them at any call.

``play`` lets two ingests and two evaluators run for some minutes, one store call at a time in any order. Messages
have points in the running minute, about its end, hours late, 72 h late, and in minutes that expire meanwhile; they
come up to three times, crash between the chunk and its marker, and come again until they are acknowledged. Both
evaluators' clocks are wrong by seconds. Then two ticks, and what was promised must hold.
"""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from shared.adapters.local_bus import LocalBus
from shared.adapters.sqlite_store import SqliteStore
from shared.buckets import EXPIRY_AFTER, SETTLE, chunks_in, writers_of
from shared.bus import PUBLISH_TIME_ATTRIBUTE, Message
from shared.cells import EMPTY, Cells, Observation, equal, fold, merge_writers
from shared.configuration import document
from shared.errors import TransientError
from shared.evaluator import STATE_PATH, Evaluator
from shared.formats.compact import CONTENT_TYPE, Chunk, Section, encode
from shared.formats.dispatch import decode
from shared.formats.otlp_labels import DEFAULT_RULE
from shared.hours import hour_of, hour_path, minutes_of, roll_up_hour
from shared.identity import identify
from shared.ingest import LATE, Ingest
from shared.monitoring_config import MonitoringConfig
from shared.retention import live
from shared.rollups import read_rollups, roll_up, rollup_path
from shared.self_watch import without_own
from shared.series import Kind, Series
from shared.store import READ_LAG, Delete, Document, Listing, Put, Store, Write
from shared.timeline import MINUTE_SECONDS, from_minute, iso, minute_floor, minute_of_us, to_us
from tests.baton import Baton, SteppedStore
from tests.fakes import START, Clock, Crash
from tests.world import point

CONFIG = MonitoringConfig(replace(document.defaults(), rules=()))
STORY = timedelta(seconds=100)
SKEW_SECONDS = 8.0
"""An evaluator's clock is at most this far ahead of the store's."""
LATENESS = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 90, 71 * 60, 72 * 60))
SERIES = tuple(Series(name) for name in ("level", "requests", "delay"))
KINDS = dict(zip(("level", "requests", "delay"), Kind, strict=True))


@dataclass(frozen=True, slots=True)
class Weakness:
    """What a safeguard's absence does: a store that forgets, one for each safeguard. With none it is honest."""

    forgets_markers: bool = False
    writes_rollups_blindly: bool = False
    deletes_markers_blindly: bool = False
    reads_before_the_end: bool = False
    lags_too_long: bool = False


@dataclass(slots=True)
class WatchedStore:
    """The store below all others: it remembers which T were committed, and has the story's weakness.

    Its listings lack what was committed within ``lag`` before their read times.
    """

    inner: Store
    weakness: Weakness = field(default_factory=Weakness)
    lag: timedelta = timedelta(0)
    judged: list[int] = field(default_factory=list)
    changes: Counter[type[Write]] = field(default_factory=Counter)

    def get(self, paths: Sequence[str]) -> dict[str, Document]:
        """As the port says."""
        return self.inner.get(paths)

    def list(self, collection: str, start: str = "", end: str | None = None) -> Listing:
        """As the port says."""
        listing = self.inner.list(collection, start, end)
        early = self.lag
        if self.weakness.reads_before_the_end and collection.startswith("buckets/"):
            early = timedelta(days=1)
        return replace(listing, read_time=listing.read_time + early)

    def commit(self, writes: Sequence[Write]) -> datetime:
        """As the port says."""
        kept = [self._weakened(write) for write in writes if not self._forgotten(write)]
        committed_at = self.inner.commit(kept) if kept else self.inner.list("late").read_time
        self.judged += [
            write.fields["minute"] for write in writes if isinstance(write, Put) and write.path == STATE_PATH
        ]
        self.changes.update(type(write) for write in writes if write.path.startswith("late/"))
        return committed_at

    def _forgotten(self, write: Write) -> bool:
        return self.weakness.forgets_markers and isinstance(write, Put) and write.path.startswith("late/")

    def _weakened(self, write: Write) -> Write:
        blind = self.weakness.writes_rollups_blindly and write.path.startswith("rollups/")
        blind |= self.weakness.deletes_markers_blindly and write.path.startswith("late/")
        return replace(write, precondition=None) if blind else write


class Race:
    """One story. ``play`` it, then ``check`` it."""

    def __init__(self, seed: int, weakness: Weakness | None = None) -> None:
        self.rng = random.Random(seed)
        self.clock = Clock(START + timedelta(seconds=self.rng.uniform(20, 50)))
        self.began = self.clock()
        self.store = WatchedStore(SqliteStore(":memory:", self.clock), weakness or Weakness(), lag=self._lag(weakness))
        self.bus = LocalBus(["dead", "notifications"], [], self.clock)
        self.baton = Baton(self.rng, self.clock, self.rng.choice([0.5, 0.8, 0.95]))
        self.late = [self.rng.choice(LATENESS)] * self.rng.choice([1, 3])
        self.messages = [self._message(number) for number in range(self.rng.randrange(3, 9))]
        copies = self.rng.choice([(1,), (1,), (1, 2, 3)])
        self.owed = [(self._due(message), message) for message in self.messages for _ in range(self.rng.choice(copies))]

    def _lag(self, weakness: Weakness | None) -> timedelta:
        """None, or as much as the port allows, less the microsecond that SQLite may run ahead of the clock."""
        if weakness is not None and weakness.lags_too_long:
            return 10 * READ_LAG
        return self.rng.choice([timedelta(0), READ_LAG - timedelta(milliseconds=1)])

    def _due(self, message: Message) -> datetime:
        """When a copy is delivered first: at once, about the time its minute is rolled up, or much later."""
        ends = from_minute(minute_floor(message.publish_time) + MINUTE_SECONDS)
        rolled_up = max(message.publish_time, ends + timedelta(seconds=self.rng.uniform(-5, 7)))
        later = message.publish_time + timedelta(seconds=self.rng.uniform(0, 80))
        return self.rng.choice([message.publish_time, rolled_up, rolled_up, later])

    def play(self) -> None:
        """Everything is acknowledged and two more ticks have passed when this returns."""
        if self.rng.random() < 0.9:  # else the evaluators' first calls ever are in the story, with the hour before
            self.store.commit([Put(STATE_PATH, {"minute": minute_floor(self.clock()) - MINUTE_SECONDS})])
        self.baton.run([self._ingest, self._ingest, self._evaluate, self._evaluate])
        newest = max(minute for message in self.messages for minute, _ in chunks_of(message))
        self.clock.time = max(self.clock(), from_minute(newest)) + timedelta(seconds=70)
        for _ in range(2):
            report = self._evaluator(self.store, self.clock, self.clock.sleep)()
            assert report.ended == "caught_up"

    def _ingest(self) -> None:
        """An instance of ingest: it takes what is due, in any order, until nothing is owed."""
        store = SteppedStore(self.store, self.baton, self.rng, misfortune=self.rng.choice([0.0, 0.1]))
        ingest = Ingest(store, self.bus, "dead", KINDS)
        while self.owed:
            due = [one for one in self.owed if one[0] <= self.clock()]
            if not due:
                self.baton.sleep((min(when for when, _ in self.owed) - self.clock()).total_seconds())
                continue
            delivery = self.rng.choice(due)
            self.owed.remove(delivery)
            try:
                outcome = ingest(delivery[1])
            except (Crash, TransientError):
                self.owed.append((self.clock() + timedelta(seconds=self.rng.uniform(0, 5)), delivery[1]))
                continue
            assert outcome.reason == ""

    def _evaluate(self) -> None:
        """An evaluator: it is called every minute, with a clock of its own, and may crash."""
        ahead = timedelta(seconds=self.rng.choice([-3.0, 0.0, SKEW_SECONDS / 2, SKEW_SECONDS]))
        store = SteppedStore(
            self.store, self.baton, self.rng, misfortune=self.rng.choice([0.0, 0.01]), tempted=self._worst_moment
        )
        while self.clock() < self.began + STORY:
            try:
                self._evaluator(store, lambda: self.clock() + ahead, self.baton.sleep)()
            except (Crash, TransientError):
                continue
            self.baton.sleep(self.rng.uniform(0, 12))

    def _worst_moment(self, writes: Sequence[Write]) -> Callable[[], bool]:
        """Before a rollup is written or a marker deleted: now and then after the next marker was set or deleted."""
        count = Counter(self.store.changes)
        if writes[0].path.startswith("rollups/minute") and self.rng.random() < 0.5:
            return lambda: self.store.changes[Delete] > count[Delete]
        if writes[0].path.startswith("late/") and self.rng.random() < 0.5:
            return lambda: self.store.changes[Put] > count[Put]
        return lambda: True

    def _evaluator(self, store: Store, now: Callable[[], datetime], sleep: Callable[[float], None]) -> Evaluator:
        return Evaluator(store, self.bus, CONFIG, "notifications", now, sleep)

    def _message(self, number: int) -> Message:
        """A message of one of three writers; now and then one that says its number twice, or no number."""
        rng = self.rng
        published = self.began + timedelta(seconds=rng.choice([20.0, 60.0]) * rng.random())
        told = published - rng.choice([timedelta(0)] * 4 + [EXPIRY_AFTER - LATE, timedelta(hours=5)])
        at = [self._instant(told) for _ in range(rng.choice([1, 1, 1, 3]))]
        attributes = {PUBLISH_TIME_ATTRIBUTE: iso(told)}
        writer, seq = f"writer-{rng.choice([1, 1, 1, 2])}", rng.choice([number] * 6 + [number % 3, None])
        if seq is not None and rng.random() < 0.5:
            attributes["content-type"] = CONTENT_TYPE
            data = encode(Chunk(writer, "boot", seq, tuple(self._sections(at))))
        else:
            points = [point(rng.choice(SERIES).metric, when, float(rng.randrange(1, 100))) for when in at]
            envelope = {} if seq is None else {"writer": writer, "boot": "boot", "seq": seq}
            data = json.dumps({"version": 1, "points": points, **envelope}).encode()
        return Message(data, attributes, str(number), published)

    def _instant(self, told: datetime) -> datetime:
        """When a point was measured: in the running minute, in the one that just ended, or in the story's late one."""
        into_minute = timedelta(seconds=to_us(told) / 1e6 % MINUTE_SECONDS)
        running = timedelta(seconds=self.rng.uniform(-5, 5))
        return told - self.rng.choice([running, into_minute + running, *self.late])

    def _sections(self, at: Sequence[datetime]) -> Iterator[Section]:
        minutes = [(minute_of_us(to_us(when)), to_us(when)) for when in sorted(at)]
        for minute, group in itertools.groupby(minutes, lambda one: one[0]):
            yield Section(
                minute,
                fold(
                    [
                        Observation(self.rng.choice(SERIES), Kind.GAUGE, at_us, float(self.rng.randrange(1, 100)))
                        for _, at_us in group
                    ]
                ),
            )

    def check(self) -> None:
        """What was promised, or an AssertionError that names it."""
        assert self.store.judged == list(range(self.store.judged[0], self.store.judged[-1] + 1, MINUTE_SECONDS)), (
            "every T is judged once"
        )
        assert self.store.list("late").documents == (), "no late marker is left"
        chunks: dict[int, list[Cells]] = {}
        for message in self.messages:
            for minute, cells in chunks_of(message):
                chunks.setdefault(minute, []).append(cells)
        for minute, parts in chunks.items():
            self._check_minute(minute, parts)
        for hour in {hour_of(minute) for minute in chunks}:
            self._check_hour(hour)

    def _check_minute(self, minute: int, parts: Sequence[Cells]) -> None:
        now = self.clock()
        found = read_rollups(self.store, [minute], now)
        if from_minute(minute) + EXPIRY_AFTER <= now:
            assert found == {}, "an expired minute is not read"
        elif from_minute(minute) + EXPIRY_AFTER > now + timedelta(seconds=SKEW_SECONDS):
            assert equal(without_own(found.get(minute, EMPTY)), merge_writers(parts)), (
                f"all acknowledged chunks are in the rollup of {minute}"
            )
            raw, unreadable = chunks_in(live(self.store.list(writers_of(minute)).documents, now))
            assert unreadable == 0
            assert equal(without_own(found[minute]), merge_writers(raw)), "the rollup is the merge of what is stored"
            self._check_rebuilt(rollup_path(minute), lambda: roll_up(self.store, minute, now, SETTLE))

    def _check_hour(self, hour: int) -> None:
        now = self.clock()
        kept = from_minute(minutes_of(hour)[0]) + EXPIRY_AFTER > now + timedelta(seconds=SKEW_SECONDS)
        if kept and hour <= minute_floor(now):
            self._check_rebuilt(hour_path(hour), lambda: roll_up_hour(self.store, hour, now))

    def _check_rebuilt(self, path: str, rebuild: Callable[[], object]) -> None:
        before = self.store.get([path])[path].fields["d"]
        self.store.commit([Delete(path)])
        rebuild()
        assert self.store.get([path])[path].fields["d"] == before, f"{path} rebuilt from scratch has the same bytes"


def chunks_of(message: Message) -> Iterator[tuple[int, Cells]]:
    """What a message says, minute by minute, under its writer's id."""
    chunk, refused = decode(message.data, message.attributes, KINDS, DEFAULT_RULE)
    assert refused is None
    writer = identify(message.data, chunk.writer, chunk.boot, chunk.seq).writer
    for section in chunk.sections:
        yield section.minute, section.cells.written_by(writer)


def run_race(seed: int, weakness: Weakness | None = None) -> None:
    """Play a story and check it. Raises AssertionError, with the seed in a note."""
    race = Race(seed, weakness)
    try:
        race.play()
        race.check()
    except AssertionError as error:
        error.add_note(f"seed {seed}")
        raise
