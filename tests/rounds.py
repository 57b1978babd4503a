"""Rounds of real races about rollups: many writers, two evaluators and a reader on threads, on a store's own clock.

No minute is waited for. The minutes lie in 2025, and a round's evaluators settle theirs a good second after the round
began, whatever the store's clock says by then; ingest marks as late what is committed in the last second before that.
Around both moments the writers commit. Messages have points in the round's minute, about its ends, hours and 72 h
late, and in minutes that expire between the rounds; they come up to three times at once, crash between the chunk and
its marker, and come again until they are acknowledged. At the end two more evaluations, and what was promised must
hold.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from shared.adapters.local_bus import LocalBus
from shared.bus import Message
from shared.errors import TransientError
from shared.evaluator import STATE_PATH, Evaluator
from shared.ingest import Ingest
from shared.monitoring_config import MonitoringConfig
from shared.store import READ_LAG, Put, Store
from shared.timeline import MINUTE_SECONDS, from_minute, minute_floor
from tests.baton import SteppedStore, Undirected
from tests.fakes import START, Crash
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
    letters_on,
)

INGESTS = 6
MESSAGES = 24
BEGINS_BEFORE = timedelta(minutes=3)
"""The third round's minute is the last of an hour."""
POLL_SECONDS = 0.002


def _now() -> datetime:
    return datetime.now(UTC)


class Rounds:
    """Some rounds on one store. ``play`` them, then ``check`` them."""

    def __init__(self, store: Store, seed: int, weakness: Weakness | None = None) -> None:
        self.rng = random.Random(seed)
        self.store = WatchedStore(store, lambda: from_minute(self.minute), weakness or Weakness())
        self.bus = LocalBus(["dead", "notifications"], [LETTERS], _now)
        self.minute = minute_floor(START - BEGINS_BEFORE)
        self.messages: list[Message] = []
        self.acknowledged = threading.Event()
        self.settle = timedelta(0)
        self.store.commit([Put(STATE_PATH, {"minute": self.minute})])

    def play(self, rounds: int) -> None:
        """Everything is acknowledged and two more evaluations have passed when this returns."""
        for _ in range(rounds):
            self._begin(READ_LAG + timedelta(seconds=0.3))
            self._round()
        self._begin(timedelta(seconds=-1))
        for _ in range(2):
            assert self._evaluator(self.store, timedelta(0), CONFIG)().ended == "caught_up"

    def check(self) -> None:
        """What was promised, or an AssertionError that names it."""
        check(self.store, self.messages, letters_on(self.bus), from_minute(self.minute))

    def _begin(self, settles_in: timedelta) -> None:
        """Go to the next minute, which settles in a moment by the store's clock."""
        self.minute += MINUTE_SECONDS
        self.settle = _now() + settles_in - from_minute(self.minute)
        self.acknowledged.clear()

    def _round(self) -> None:
        began = from_minute(self.minute) - timedelta(seconds=30)
        numbers = range(len(self.messages), len(self.messages) + MESSAGES)
        made = Messages(self.rng, [self.rng.choice(LATENESS)], range(8))
        fresh = [made.make(number, began) for number in numbers]
        self.messages += fresh
        copies = [message for message in fresh for _ in range(self.rng.choice([1, 1, 3]))]
        owed = sorted(((self._due(), number) for number in range(len(copies))), key=lambda one: one[0])
        with ThreadPoolExecutor(INGESTS + 3) as pool:
            ingests = [
                self._start(pool, self._ingest, [(due, copies[number]) for due, number in owed[at::INGESTS]])
                for at in range(INGESTS)
            ]
            others = [self._start(pool, self._evaluate, old) for old in (True, False)]
            others.append(self._start(pool, self._read, sorted({self.minute, self.minute - MINUTE_SECONDS})))
            errors = [error for one in ingests if (error := one.exception()) is not None]
            self.acknowledged.set()
        for error in [*errors, *(error for one in others if (error := one.exception()) is not None)]:
            raise error

    def _start(self, pool: ThreadPoolExecutor, work: Callable[..., None], argument: object) -> Future[None]:
        return pool.submit(work, argument, random.Random(self.rng.random()))

    def _due(self) -> datetime:
        """About the moment from which chunks are marked, or about that at which the minute settles."""
        settles_at = from_minute(self.minute) + self.settle
        return settles_at + timedelta(seconds=self.rng.uniform(-0.1, 0.1)) - self.rng.choice([READ_LAG, timedelta(0)])

    def _ingest(self, owed: list[tuple[datetime, Message]], rng: random.Random) -> None:
        """An instance of ingest: it takes what is due until it owes nothing."""
        ingest = Ingest(
            SteppedStore(self.store, Undirected(), rng, misfortune=0.05),
            self.bus,
            "dead",
            KINDS,
            lambda: from_minute(self.minute),
            late_after=self.settle - READ_LAG,
        )
        for due, message in owed:
            time.sleep(max(0.0, (due - _now()).total_seconds()))
            while not _acknowledged(ingest, message):
                pass

    def _evaluate(self, old: bool, rng: random.Random) -> None:
        """An evaluator: called again and again until all is acknowledged and the minute judged; it may crash."""
        store = SteppedStore(self.store, Undirected(), rng, misfortune=rng.choice([0.0, 0.02]))
        evaluator = self._evaluator(
            store, timedelta(seconds=rng.uniform(0, SKEW_SECONDS)), OTHER_CONFIG if old else CONFIG
        )
        time.sleep(max(0.0, (from_minute(self.minute) + self.settle - _now()).total_seconds() - rng.uniform(0, 0.3)))
        ended = ""
        while not self.acknowledged.is_set() or ended != "caught_up":
            try:
                ended = evaluator().ended
            except (Crash, TransientError):
                ended = ""

    def _evaluator(self, store: Store, ahead: timedelta, config: MonitoringConfig) -> Evaluator:
        """An evaluator whose time is the minute's end; what it waits for comes by the store's clock."""
        now = from_minute(self.minute) + ahead
        return Evaluator(
            store, self.bus, config, "notifications", lambda: now, lambda _: time.sleep(POLL_SECONDS), self.settle
        )

    def _read(self, minutes: list[int], rng: random.Random) -> None:
        """A dashboard: it reads minutes and their hours, which are each of one version."""
        while not self.acknowledged.is_set():
            with suppress(TransientError):  # overtaken each time that it looked
                check_whole(self.store, rng.choice(minutes), from_minute(self.minute))
            time.sleep(POLL_SECONDS)


def _acknowledged(ingest: Ingest, message: Message) -> bool:
    try:
        outcome = ingest(message)
    except (Crash, TransientError):
        return False
    assert outcome.reason in ("", EXPIRED)
    return True


def run_rounds(store: Store, seed: int, rounds: int, weakness: Weakness | None = None) -> None:
    """Play some rounds and check them. Raises AssertionError."""
    race = Rounds(store, seed, weakness)
    race.play(rounds)
    race.check()
