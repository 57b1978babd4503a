"""Settled minutes as pages hold them: never an absence that has ended, never an old number, and few reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import pytest

from shared.adapters.sqlite_store import SqliteStore
from shared.errors import PermanentError, TransientError
from shared.minute_cache import MAX_HOURS, RECHECK_AFTER, Cursor, MinuteCache, Minutes
from shared.reader import Reader
from shared.rollups import rollup_path
from shared.store import Document, Put, Store
from shared.timeline import from_minute, minute_floor
from tests.fakes import START, Clock, CountingStore
from tests.world import World, point

NOON = minute_floor(START)
ONE = NOON + 3600


class Watched:
    """A deployment whose minutes are watched through a cache that counts its reads."""

    def __init__(self, start: datetime = START) -> None:
        clock = Clock(start)
        self.world = World(SqliteStore(":memory:", clock), clock)
        self.store = CountingStore(self.world.store)
        self.cache = MinuteCache(self.store)

    def publish(self, minute: int, value: float = 1.0) -> None:
        """One observation of a minute."""
        self.world.publish(point("users_active", from_minute(minute) - timedelta(seconds=30), value))

    def run(self, minutes: int) -> None:
        """Let the deployment work for some minutes, each with an observation."""
        for _ in range(minutes):
            self.publish(minute_floor(self.world.clock()) + 60)
            self.world.next_minute()

    def read(self, first: int, last: int) -> Minutes:
        """The minutes as a page would read them now."""
        return self.cache.read(first, last, self.cursor(), self.world.clock())

    def cursor(self) -> Cursor | None:
        """The evaluator's cursor."""
        return Reader(self.world.store).cursor()

    def sums(self, first: int, last: int) -> dict[int, float]:
        """The sum of all observations of each minute that has any."""
        return {
            minute: float(cells.sum[[name.metric == "users_active" for name in cells.series]].sum())
            for minute, cells in self.read(first, last).cells.items()
        }

    def reads(self, work: Callable[[], object]) -> int:
        """How many documents some work asks for."""
        before = self.store.reads.total()
        work()
        return self.store.reads.total() - before


class FailingSecondRead(CountingStore):
    """A store whose second read fails."""

    def __init__(self, inner: Store, error: Exception) -> None:
        super().__init__(inner)
        self._error = error
        self._reads = 0

    def get(self, paths: Sequence[str]) -> dict[str, Document]:
        """As the port says."""
        self._reads += 1
        if self._reads == 2:
            raise self._error
        return super().get(paths)


def test_before_the_first_evaluation_nothing_is_held() -> None:
    """A page that is looked at before there is a cursor sees the first minutes as soon as they are evaluated."""
    watched = Watched()
    assert watched.sums(NOON, NOON + 600) == {}
    watched.run(2)
    assert watched.sums(NOON, NOON + 600) == {NOON + 60: 1.0, NOON + 120: 1.0}


def test_nothing_after_the_cursor_is_shown() -> None:
    """A minute that is rolled up and not judged yet is not on a page, and is there once it is judged."""
    watched = Watched()
    watched.run(2)
    cursor = watched.cursor()
    watched.run(1)
    now = watched.world.clock()
    assert list(watched.cache.read(NOON, NOON + 600, cursor, now).cells) == [NOON + 60, NOON + 120]
    assert list(watched.read(NOON, NOON + 600).cells) == [NOON + 60, NOON + 120, NOON + 180]


def test_an_absence_is_not_believed_for_longer_than_an_evaluation() -> None:
    """A past that is published after the first page was looked at is on the next one."""
    watched = Watched()
    watched.run(3)
    assert len(watched.sums(NOON - 10_800, NOON + 180)) == 3
    for minute in range(NOON - 10_740, NOON + 60, 60):
        watched.publish(minute)
    watched.run(1)
    assert len(watched.sums(NOON - 10_740, NOON + 240)) == 184


@pytest.mark.parametrize(
    "late",
    [
        pytest.param(ONE - 60, id="an hour that has ended"),
        pytest.param(ONE, id="its last minute"),
        pytest.param(ONE + 60, id="the hour that runs"),
        pytest.param(ONE + 120, id="the newest minute"),
    ],
)
def test_late_data_is_there_after_the_evaluation_that_rolled_it_up(late: int) -> None:
    """A minute that was on a page is read again on the first page after it has changed, and no hour but its own."""
    watched = Watched(from_minute(ONE - 180))
    watched.run(5)
    before = watched.read(ONE - 120, ONE + 120)
    watched.publish(late, 10.0)
    watched.run(1)
    assert watched.sums(late, late) == {late: 11.0}
    after = watched.read(ONE - 120, ONE + 120)
    changed = {minute for minute, serial in after.serials.items() if serial != before.serials[minute]}
    assert late in changed
    assert all((minute <= ONE) == (late <= ONE) for minute in changed)


def test_a_minute_that_was_empty_is_there_once_data_came_late() -> None:
    """A gap in an hour that has ended is filled by late data, as is one in the hour that runs."""
    watched = Watched(from_minute(ONE - 180))
    watched.run(1)
    watched.world.next_minute()
    watched.run(1)
    watched.world.next_minute()
    watched.run(1)
    gaps = {ONE - 60, ONE + 60}
    assert gaps.isdisjoint(watched.sums(ONE - 120, ONE + 120))
    for gap in gaps:
        watched.publish(gap, 5.0)
    watched.run(1)
    sums = watched.sums(ONE - 120, ONE + 120)
    assert {gap: sums.get(gap) for gap in gaps} == dict.fromkeys(gaps, 5.0)


def test_an_evaluation_that_failed_after_it_rolled_up_is_seen_within_a_minute() -> None:
    """A minute that was rebuilt by a call which did not move the cursor is read again after ``RECHECK_AFTER``."""
    watched = Watched()
    watched.run(3)
    watched.read(NOON, NOON + 180)
    watched.publish(NOON + 60, 10.0)
    watched.world.deliver()
    watched.world.evaluate()
    watched.world.clock.sleep(RECHECK_AFTER.total_seconds())
    assert watched.sums(NOON + 60, NOON + 60) == {NOON + 60: 11.0}


def test_reads_are_few_and_none_while_the_cursor_stands() -> None:
    """Three hours cost their minutes once, then nothing; after an evaluation one read an hour and 61 at most."""
    watched = Watched()
    watched.run(1)
    for minute in range(NOON - 10_740, NOON + 60, 60):
        watched.publish(minute)
    watched.run(30)
    first, last = NOON - 10_740, NOON + 1860
    assert watched.reads(lambda: watched.read(first, last)) <= 3 + 3 * 60 + 2 * 31
    assert watched.reads(lambda: watched.read(first, last)) == 0
    watched.run(1)
    assert watched.reads(lambda: watched.read(first, last + 60)) == 3 + 32 + 1
    watched.publish(NOON - 60, 2.0)
    watched.run(1)
    assert watched.reads(lambda: watched.read(first, last + 120)) == 3 + 60 + 33 + 1


def test_an_empty_past_costs_one_read_an_hour() -> None:
    """Three days without data are 72 reads after an evaluation, and none after that."""
    watched = Watched()
    watched.run(1)
    first, last = NOON - 72 * 3600 + 60, NOON
    assert watched.reads(lambda: watched.read(first, last)) == 72
    assert watched.reads(lambda: watched.read(first, last)) == 0


def test_no_more_hours_are_held_than_there_is_room_for() -> None:
    """Hours beyond ``MAX_HOURS`` are forgotten, those first that were not looked at for longest, and read again."""
    watched = Watched()
    watched.run(1)

    def hour(number: int) -> int:
        return watched.reads(lambda: watched.read(NOON - 3600 * number - 60, NOON - 3600 * number - 60))

    assert [hour(number) for number in range(MAX_HOURS + 1)] == [1] * (MAX_HOURS + 1)
    assert (hour(MAX_HOURS), hour(0)) == (0, 1)


def test_series_are_shared_between_minutes() -> None:
    """The names of two minutes' series are the same objects, not equal ones."""
    watched = Watched()
    watched.run(2)
    first, second = watched.read(NOON, NOON + 120).cells.values()
    assert all(one is other for one, other in zip(first.series, second.series, strict=True))


def test_what_cannot_be_read_hides_nothing_else() -> None:
    """Rollups of an unknown version are named as such, and every other minute is there."""
    watched = Watched()
    watched.run(20)
    for minute in (NOON + 120, NOON + 600):
        path = rollup_path(minute)
        head = watched.world.store.get([path])[path]
        watched.world.store.commit([Put(path, {**head.fields, "d": b"\xff" + head.fields["d"][1:]})])
    minutes = watched.read(NOON, NOON + 1200)
    assert minutes.unreadable == {NOON + 120, NOON + 600}
    assert len(minutes.cells) == 18
    assert watched.reads(lambda: watched.read(NOON, NOON + 1200)) == 0


@pytest.mark.parametrize("error", [PermanentError("store_refused"), TransientError("store_unavailable")])
def test_a_store_that_fails_is_no_unreadable_minute(error: Exception) -> None:
    """What the store refuses or does not answer is raised, and nothing is held of it."""
    watched = Watched()
    watched.run(2)
    failing = FailingSecondRead(watched.world.store, error)
    cache = MinuteCache(failing)
    with pytest.raises(type(error)):
        cache.read(NOON, NOON + 120, watched.cursor(), watched.world.clock())
    assert len(cache.read(NOON, NOON + 120, watched.cursor(), watched.world.clock()).cells) == 2


def test_what_was_looked_at_later_than_now_is_read_again() -> None:
    """A cache that saw a minute expire, by a clock that has gone back since, has it again."""
    watched = Watched()
    watched.run(2)
    cursor, now = watched.cursor(), watched.world.clock()
    assert not watched.cache.read(NOON, NOON + 120, cursor, now + timedelta(hours=76)).cells
    assert list(watched.cache.read(NOON, NOON + 120, cursor, now).cells) == [NOON + 60, NOON + 120]


def test_what_is_past_its_time_to_live_is_gone() -> None:
    """A minute that was held is not shown after 76 hours."""
    watched = Watched()
    watched.run(2)
    assert len(watched.sums(NOON, NOON + 120)) == 2
    watched.world.clock.sleep(76 * 3600 - 60)
    assert watched.sums(NOON, NOON + 120) == {NOON + 120: 1.0}
