"""Fakes of outside things: a clock that is set, and ports that crash at a chosen call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from shared.bus import Bus, Received
from shared.channels import Answer, Turn
from shared.errors import PermanentError
from shared.notifications import Notification
from shared.store import Document, Listing, Put, Store, Write

T = TypeVar("T")
START = datetime(2025, 10, 18, 12, 0, tzinfo=UTC)


class Crash(BaseException):
    """The process ends here; nothing that catches errors sees it."""


class Unexpected(Exception):
    """What no port says that it raises."""


class Clock:
    """A clock that moves only when it is told to; ``sleep`` moves it."""

    def __init__(self, now: datetime = START) -> None:
        self.time = now

    def __call__(self) -> datetime:
        """The time; aware UTC."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.time += timedelta(seconds=seconds)


class Countdown:
    """Counts the calls to all ports that share it, and crashes at one: before it takes effect, or after.

    ``failure`` makes what is raised there in place of the crash.
    """

    def __init__(
        self, crash_at: int | None = None, *, after: bool = False, failure: Callable[[], BaseException] = Crash
    ) -> None:
        self.calls = 0
        self.crash_at = crash_at
        self.after = after
        self.failure = failure

    def before_call(self) -> bool:
        """Count a call; True when it must crash after its effect."""
        hit = self.calls == self.crash_at
        self.calls += 1
        if hit and not self.after:
            raise self.failure()
        return hit

    def unless(self, hit: bool, result: T) -> T:
        """The result of a call, unless it is hit after its effect."""
        if hit:
            raise self.failure()
        return result


class Hook(Countdown):
    """Counts the same calls, and instead of crashing runs something before one of them (None: before each)."""

    def __init__(self, run_at: int | None, run: Callable[[], object]) -> None:
        super().__init__()
        self._run_at = run_at
        self.run = run

    def before_call(self) -> bool:
        """Count a call; what runs may raise in its place."""
        due = self._run_at is None or self.calls == self._run_at
        self.calls += 1
        if due:
            self.run()
        return False


class CrashingStore:
    """A store whose calls count down."""

    def __init__(self, inner: Store, countdown: Countdown) -> None:
        self._inner = inner
        self._countdown = countdown

    def get(self, paths: Sequence[str]) -> dict[str, Document]:
        """As the port says."""
        hit = self._countdown.before_call()
        found = self._inner.get(paths)
        return self._countdown.unless(hit, found)

    def list(self, collection: str, start: str = "", end: str | None = None, limit: int | None = None) -> Listing:
        """As the port says."""
        hit = self._countdown.before_call()
        return self._countdown.unless(hit, self._inner.list(collection, start, end, limit))

    def commit(self, writes: Sequence[Write]) -> datetime:
        """As the port says."""
        hit = self._countdown.before_call()
        return self._countdown.unless(hit, self._inner.commit(writes))


class CrashingBus:
    """A bus whose publishes count down."""

    def __init__(self, inner: Bus, countdown: Countdown) -> None:
        self._inner = inner
        self._countdown = countdown

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str] | None = None) -> str:
        """As the port says."""
        hit = self._countdown.before_call()
        return self._countdown.unless(hit, self._inner.publish(topic, data, attributes))

    def pull(self, subscription: str, limit: int) -> Sequence[Received]:
        """As the port says."""
        return self._inner.pull(subscription, limit)

    def ack(self, subscription: str, ack_ids: Sequence[str]) -> None:
        """As the port says."""
        self._inner.ack(subscription, ack_ids)

    def nack(self, subscription: str, ack_ids: Sequence[str]) -> None:
        """As the port says."""
        self._inner.nack(subscription, ack_ids)


class RefusingStore:
    """A store that refuses some calls for good: ``refuses`` says which, by verb (get, list, commit) and path."""

    def __init__(self, inner: Store, refuses: Callable[[str, str], bool] = lambda *_: False) -> None:
        self.refuses = refuses
        self._inner = inner

    def get(self, paths: Sequence[str]) -> dict[str, Document]:
        """As the port says."""
        self._check("get", paths)
        return self._inner.get(paths)

    def list(self, collection: str, start: str = "", end: str | None = None, limit: int | None = None) -> Listing:
        """As the port says."""
        self._check("list", [collection])
        return self._inner.list(collection, start, end, limit)

    def commit(self, writes: Sequence[Write]) -> datetime:
        """As the port says."""
        self._check("commit", [write.path for write in writes])
        return self._inner.commit(writes)

    def _check(self, verb: str, paths: Sequence[str]) -> None:
        for path in paths:
            if self.refuses(verb, path):
                raise PermanentError("document_too_large", path)


class FakeChannel:
    """A channel that keeps what it is given, and then does what was asked of it for that call, if anything."""

    setup = "fake"

    def __init__(
        self, *answers: Callable[[], object] | BaseException | None, max_per_minute: int | None = None
    ) -> None:
        self.sent: list[str] = []
        self.turns: list[Turn] = []
        self.undone: list[dict[str, str]] = []
        self.max_per_minute = max_per_minute
        self._answers = list(answers)

    def undo(self, _notification: Notification, late: Mapping[str, str], _turn: Turn, /) -> None:
        """As the port says."""
        self.undone.append(dict(late))

    def send(self, notification: Notification, turn: Turn, /) -> Answer:
        """As the port says."""
        self.sent.append(notification.id)
        self.turns.append(turn)
        answer = self._answers.pop(0) if self._answers else None
        if isinstance(answer, BaseException):
            raise answer
        if answer is not None:
            answer()
        return Answer("taken", {"began": notification.id, **turn.handle})


class CountingStore:
    """A store that counts as Firestore bills: a read for each document asked for or listed, at least one a query.

    ``reads`` are by top-level collection; ``written`` holds the paths that were ever written.
    """

    def __init__(self, inner: Store) -> None:
        self.reads: Counter[str] = Counter()
        self.writes = self.deletes = 0
        self.written: set[str] = set()
        self._inner = inner

    def get(self, paths: Sequence[str]) -> dict[str, Document]:
        """As the port says."""
        self.reads.update(path.partition("/")[0] for path in set(paths))
        return self._inner.get(paths)

    def list(self, collection: str, start: str = "", end: str | None = None, limit: int | None = None) -> Listing:
        """As the port says."""
        listing = self._inner.list(collection, start, end, limit)
        self.reads[collection.partition("/")[0]] += max(len(listing.documents), 1)
        return listing

    def commit(self, writes: Sequence[Write]) -> datetime:
        """As the port says."""
        committed_at = self._inner.commit(writes)
        put = [write.path for write in writes if isinstance(write, Put)]
        self.writes += len(put)
        self.deletes += len(writes) - len(put)
        self.written.update(put)
        return committed_at


class RecordingEnvironment(Mapping[str, str]):
    """An environment that remembers which variables were asked for."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self._variables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)
