"""One thread at a time: a seeded choice, at every call to the store, of who goes on.

Work that was written for threads runs in threads, but a baton goes round: whoever holds it runs to its next call,
lays it down, and waits. So commits of one land between the list and the write of another, nothing sleeps, and a seed
gives the same order every time.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from shared.bus import Bus, Received
from shared.errors import TransientError
from shared.store import Document, Listing, Store, Write
from tests.fakes import Clock, Crash

T = TypeVar("T")


class Abandoned(BaseException):
    """Another's work has failed, so that this one need not end."""


def _held() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(eq=False, slots=True)
class _Runner:
    """One work and its thread: it has to wait until ``wake_at``, and it rests until something has happened."""

    turn: threading.Lock = field(default_factory=_held)
    wake_at: datetime = field(default_factory=lambda: datetime.min.replace(tzinfo=UTC))
    rested: Callable[[], bool] = lambda: True
    ended: bool = False


class Baton:
    """Runs works one at a time. Time passes between their steps, and for whoever sleeps when nobody else can run.

    ``haste`` is the chance that a step takes no time; of the others each takes up to two seconds.
    """

    def __init__(self, rng: random.Random, clock: Clock, haste: float) -> None:
        self._rng = rng
        self._clock = clock
        self._haste = haste
        self._runners: list[_Runner] = []
        self._current = _Runner()
        self._abandoned = False

    def run(self, works: Sequence[Callable[[], None]]) -> None:
        """Run all works to their ends, and raise what the first of them raised."""
        self._runners = [_Runner() for _ in works]
        with ThreadPoolExecutor(len(works)) as pool:
            futures = [pool.submit(self._work, one, work) for one, work in zip(self._runners, works, strict=True)]
            self._pass_on(self._current)
        _raise_first(futures)

    def pause(self, rested: Callable[[], bool] = lambda: True) -> None:
        """Lay the baton down before a call; called by the work that holds it.

        It gets the baton again when ``rested`` says so, or when all others rest as well or have ended.
        """
        runner = self._current
        runner.rested = rested
        if self._pass_on(runner):
            runner.turn.acquire()
        if self._abandoned:
            raise Abandoned

    def sleep(self, seconds: float) -> None:
        """What a work calls to wait."""
        self._current.wake_at = self._clock() + timedelta(seconds=seconds)
        self.pause()

    def _work(self, runner: _Runner, work: Callable[[], None]) -> None:
        runner.turn.acquire()
        try:
            if not self._abandoned:
                work()
        except BaseException:
            self._abandoned = True
            raise
        finally:
            runner.ended = True
            if any(not one.ended for one in self._runners):
                self._pass_on(runner)

    def _pass_on(self, holder: _Runner) -> bool:
        """Choose who goes on; whether that is another than who holds the baton, who has it at once then."""
        chosen = self._choose([one for one in self._runners if not one.ended])
        self._current = chosen
        if chosen is holder:
            return False
        chosen.turn.release()
        return True

    def _choose(self, running: Sequence[_Runner]) -> _Runner:
        if self._rng.random() > self._haste:
            self._clock.sleep(self._rng.uniform(0, 2))
        able = [one for one in running if one.rested()] or running
        wake_at = min(one.wake_at for one in able)
        self._clock.time = max(self._clock.time, wake_at)
        return self._rng.choice([one for one in able if one.wake_at <= self._clock.time])


def _raise_first(futures: Sequence[Future[None]]) -> None:
    errors = [error for future in futures if (error := future.exception()) is not None]
    for error in errors:
        if not isinstance(error, Abandoned):
            raise error


class Undirected:
    """No baton: whoever comes to a call makes it, so that real threads race as they do."""

    def pause(self, rested: Callable[[], bool] = lambda: True) -> None:
        """Go on."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What may happen to a call besides its effect.

    With the chance ``misfortune`` it ends in a crash or in a failure, half of them after it took effect. ``stall`` is
    called before and after the effect, and may sleep: an instance that is frozen for a while.
    """

    rng: random.Random
    misfortune: float
    stall: Callable[[], None] = lambda: None

    def call(self, effect: Callable[[], T], reason: str = "store_unavailable") -> T:
        """The call's result, unless misfortune has it."""
        self.stall()
        if self.rng.random() >= self.misfortune:
            result = effect()
            self.stall()
            return result
        if self.rng.random() < 0.5:
            effect()
        if self.rng.random() < 0.5:
            raise Crash
        raise TransientError(reason, "misfortune")


class SteppedStore:
    """A store before each of whose calls the baton is laid down.

    Each call has the chance ``misfortune``, and may ``stall``: see ``Fate``. ``tempted`` says when a commit goes on and
    ``overtaken`` when a get does; by default whenever it is chosen.
    """

    def __init__(
        self,
        inner: Store,
        baton: Baton | Undirected,
        rng: random.Random,
        misfortune: float,
        tempted: Callable[[Sequence[Write]], Callable[[], bool]] = lambda _: lambda: True,
        stall: Callable[[], None] = lambda: None,
        overtaken: Callable[[Sequence[str]], Callable[[], bool]] = lambda _: lambda: True,
    ) -> None:
        self._inner = inner
        self._baton = baton
        self._fate = Fate(rng, misfortune, stall)
        self._tempted = tempted
        self._overtaken = overtaken

    def get(self, paths: Sequence[str]) -> dict[str, Document]:
        """As the port says."""
        self._baton.pause(self._overtaken(paths))
        return self._fate.call(lambda: self._inner.get(paths))

    def list(self, collection: str, start: str = "", end: str | None = None, limit: int | None = None) -> Listing:
        """As the port says."""
        self._baton.pause()
        return self._fate.call(lambda: self._inner.list(collection, start, end, limit))

    def commit(self, writes: Sequence[Write]) -> datetime:
        """As the port says."""
        self._baton.pause(self._tempted(writes))
        return self._fate.call(lambda: self._inner.commit(writes))


class SteppedBus:
    """A bus before each of whose publishes the baton is laid down, and to each of which things happen: see ``Fate``.

    With the chance ``twice`` a message arrives as two, as when a client library tries again.
    """

    def __init__(self, inner: Bus, baton: Baton, fate: Fate, twice: float) -> None:
        self._inner = inner
        self._baton = baton
        self._fate = fate
        self._twice = twice

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str] | None = None) -> str:
        """As the port says."""
        self._baton.pause()
        if self._fate.rng.random() < self._twice:
            self._inner.publish(topic, data, attributes)
        return self._fate.call(lambda: self._inner.publish(topic, data, attributes), "bus_unavailable")

    def pull(self, subscription: str, limit: int) -> Sequence[Received]:
        """As the port says."""
        return self._inner.pull(subscription, limit)

    def ack(self, subscription: str, ack_ids: Sequence[str]) -> None:
        """As the port says."""
        self._inner.ack(subscription, ack_ids)

    def nack(self, subscription: str, ack_ids: Sequence[str]) -> None:
        """As the port says."""
        self._inner.nack(subscription, ack_ids)
