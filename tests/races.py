"""Races about rollups, each decided by one seed: ingest, two evaluators, and what may happen to them at any call.

``play`` lets two ingests and two evaluators run for some minutes, one store call at a time in any order. Messages
have points in the running minute, about its end, hours late, 72 h late, and in minutes that expire meanwhile; they
come up to three times, crash between the chunk and its marker, and come again until they are acknowledged. Both
evaluators' clocks are wrong by seconds, and one has another configuration and settles later, as during a deploy. Then
two ticks, and what was promised must hold.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from shared.adapters.local_bus import LocalBus
from shared.adapters.sqlite_store import SqliteStore
from shared.buckets import SETTLE
from shared.bus import Message
from shared.errors import TransientError
from shared.evaluator import STATE_PATH, Evaluator
from shared.ingest import Ingest
from shared.store import READ_LAG, Delete, Put, Write
from shared.timeline import MINUTE_SECONDS, from_minute, minute_floor
from tests.baton import Baton, SteppedStore
from tests.fakes import START, Clock, Crash
from tests.rollup_promises import (
    CONFIG,
    EXPIRED,
    KINDS,
    LATENESS,
    LETTERS,
    OTHER_CONFIG,
    SKEW_SECONDS,
    Messages,
    WatchedStore,
    Weakness,
    check,
    check_whole,
    chunks_of,
    letters_on,
)

STORY = timedelta(seconds=100)


class Race:
    """One story. ``play`` it, then ``check`` it. With ``watched`` somebody reads all the time, too."""

    def __init__(self, seed: int, weakness: Weakness | None = None, *, watched: bool = False) -> None:
        self.rng = random.Random(seed)
        self.clock = Clock(START + timedelta(seconds=self.rng.uniform(20, 50)))
        self.began = self.clock()
        self.store = WatchedStore(
            SqliteStore(":memory:", self.clock), self.clock, weakness or Weakness(), lag=self._lag(weakness)
        )
        self.bus = LocalBus(["dead", "notifications"], [LETTERS], self.clock)
        self.baton = Baton(self.rng, self.clock, self.rng.choice([0.5, 0.8, 0.95]))
        late = [self.rng.choice(LATENESS)] * self.rng.choice([1, 3])
        messages = Messages(self.rng, late, [1, 1, 1, 2])
        self.messages = [messages.make(number, self.began) for number in range(self.rng.randrange(3, 9))]
        self.watched = watched
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
        deploy = [lambda: self._evaluate(old=True), lambda: self._evaluate(old=False)]
        self.baton.run([self._ingest, self._ingest, *deploy, *([self._read] if self.watched else [])])
        newest = max(minute for message in self.messages for minute, _ in chunks_of(message))
        self.clock.time = max(self.clock(), from_minute(newest)) + timedelta(seconds=70)
        for _ in range(2):
            report = Evaluator(self.store, self.bus, CONFIG, "notifications", self.clock, self.clock.sleep)()
            assert report.ended == "caught_up"

    def _ingest(self) -> None:
        """An instance of ingest: it takes what is due, in any order, until nothing is owed."""
        store = SteppedStore(self.store, self.baton, self.rng, misfortune=self.rng.choice([0.0, 0.1]))
        ahead = timedelta(seconds=self.rng.uniform(-SKEW_SECONDS, SKEW_SECONDS))
        ingest = Ingest(store, self.bus, "dead", KINDS, lambda: self.clock() + ahead)
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
            assert outcome.reason in ("", EXPIRED)

    def _evaluate(self, *, old: bool) -> None:
        """An evaluator: it is called every minute, with a clock of its own, and may crash; an old one settles later."""
        ahead = timedelta(seconds=self.rng.choice([-3.0, 0.0, SKEW_SECONDS / 2, SKEW_SECONDS]))
        store = SteppedStore(
            self.store, self.baton, self.rng, misfortune=self.rng.choice([0.0, 0.01]), tempted=self._worst_moment
        )
        settle = SETTLE + (self.rng.choice([timedelta(0), timedelta(seconds=2)]) if old else timedelta(0))
        evaluator = Evaluator(
            store,
            self.bus,
            OTHER_CONFIG if old else CONFIG,
            "notifications",
            lambda: self.clock() + ahead,
            self.baton.sleep,
            settle,
        )
        while self.clock() < self.began + STORY:
            try:
                evaluator()
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

    def _amid_a_version(self, paths: Sequence[str]) -> Callable[[], bool]:
        """Before a head's parts are read: now and then after the head was written again."""
        heads = {path.partition("~")[0] for path in paths if "~" in path}
        count = Counter(self.store.rewritten)
        if not heads or self.rng.random() < 0.5:
            return lambda: True
        return lambda: any(self.store.rewritten[head] > count[head] for head in heads)

    def _read(self) -> None:
        """A dashboard: it reads minutes and hours, which are each of one version."""
        store = SteppedStore(self.store, self.baton, self.rng, misfortune=0.0, overtaken=self._amid_a_version)
        minutes = sorted({minute for message in self.messages for minute, _ in chunks_of(message)})
        while self.clock() < self.began + STORY:
            check_whole(store, self.rng.choice(minutes), self.clock())
            self.baton.sleep(self.rng.uniform(0, 3))

    def check(self) -> None:
        """What was promised, or an AssertionError that names it."""
        check(self.store, self.messages, letters_on(self.bus), self.clock())


def run_race(seed: int, weakness: Weakness | None = None, *, watched: bool = False) -> None:
    """Play a story and check it. Raises AssertionError, with the seed in a note."""
    race = Race(seed, weakness, watched=watched)
    try:
        race.play()
        race.check()
    except AssertionError as error:
        error.add_note(f"seed {seed}")
        raise
