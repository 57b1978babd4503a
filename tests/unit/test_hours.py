"""Hours: built from minutes, exact, and the same bytes again."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from shared import cardinality, hours
from shared.adapters.sqlite_store import SqliteStore
from shared.bus import Message
from shared.cells import Cells, Observation, equal, fold, merge, percentiles
from shared.errors import PermanentError
from shared.evaluator import STATE_PATH
from shared.formats.compact import Chunk, Section, encode
from shared.formats.hour_columns import Slots, decode_hour, encode_hour
from shared.hours import build_hour, hour_of, hour_path, minutes_of, read_hours, roll_up_hour
from shared.logs import Captured
from shared.parts import read_parts, write_parts
from shared.rollups import roll_up, rollup_path
from shared.series import Kind, Series
from shared.store import MAX_COMMIT_BYTES, Put
from shared.timeline import from_minute, minute_floor, minute_id
from tests.fakes import Clock
from tests.world import World, point

HOUR = int(datetime(2025, 10, 18, 13, 0, tzinfo=UTC).timestamp())


def minute_of_cells(minute: int, seed: int) -> Cells:
    """One minute of a distribution, a gauge and, every other minute, a counter."""
    rng = np.random.default_rng(seed)
    at = minute * 1_000_000 - 7
    seen = [Observation(Series("latency"), Kind.DISTRIBUTION, at, float(v)) for v in rng.lognormal(3, 0.5, 20)]
    seen.append(Observation(Series("users"), Kind.GAUGE, at, float(seed)))
    if seed % 2:
        seen.append(Observation(Series("errors"), Kind.COUNTER, at, 2.0))
    return fold(seen, writer=7)


class TestNames:
    """Which minutes an hour holds."""

    def test_sixty_minutes_that_end_in_it(self) -> None:
        """Hour H holds the minutes that end in (H - 1 h, H]."""
        assert minutes_of(HOUR)[0] == HOUR - 59 * 60
        assert minutes_of(HOUR)[-1] == HOUR
        assert {hour_of(minute) for minute in minutes_of(HOUR)} == {HOUR}
        assert hour_of(HOUR + 60) == HOUR + 3600


class TestBuild:
    """What an hour says."""

    def test_slots_are_the_minutes(self) -> None:
        """Every slot holds its minute's numbers, and a minute without data an empty slot."""
        minutes = {minute: minute_of_cells(minute, slot) for slot, minute in enumerate(minutes_of(HOUR)) if slot != 5}
        hour = build_hour(HOUR, minutes)
        row = hour.cells.series.index(Series("latency"))
        assert hour.slots.count[row, 5] == 0
        assert np.isnan(hour.slots.p95[row, 5])
        for slot, minute in enumerate(minutes_of(HOUR)):
            if slot != 5:
                cells = minutes[minute]
                own = cells.series.index(Series("latency"))
                assert hour.slots.p95[row, slot] == percentiles(cells, 0.95)[own]
                assert hour.slots.sum[row, slot] == cells.sum[own]

    def test_merged_cells_are_the_minutes_merged(self) -> None:
        """The hour's bins are those of all its minutes, so its percentiles are not averages."""
        minutes = {minute: minute_of_cells(minute, slot) for slot, minute in enumerate(minutes_of(HOUR))}
        assert equal(build_hour(HOUR, minutes).cells, merge([minutes[minute] for minute in minutes_of(HOUR)]))

    def test_round_trip(self) -> None:
        """An hour survives its bytes bit for bit; a metric that was a gauge and then a distribution too."""
        minutes = {minute: minute_of_cells(minute, slot) for slot, minute in enumerate(minutes_of(HOUR)) if slot % 3}
        mixed = Observation(Series("users"), Kind.DISTRIBUTION, HOUR * 1_000_000, 4.0)
        minutes[HOUR] = fold([mixed])
        hour = build_hour(HOUR, minutes)
        data = encode_hour(HOUR, hour.cells, hour.slots)
        cells, slots = decode_hour(data)
        assert equal(cells, hour.cells)
        for name in ("count", "sum", "min", "max", "last", "last_sum", "p50", "p95", "p99"):
            assert np.array_equal(getattr(slots, name), getattr(hour.slots, name), equal_nan=True)
        assert encode_hour(HOUR, cells, slots) == data

    @pytest.mark.parametrize("cut", [0, 1, 5, -1])
    def test_damaged_bytes(self, cut: int) -> None:
        """Bytes that end early are a named error."""
        hour = build_hour(HOUR, {HOUR: minute_of_cells(HOUR, 1)})
        data = encode_hour(HOUR, hour.cells, hour.slots)
        with pytest.raises(PermanentError):
            decode_hour(data[:cut])


class TestStored:
    """Hours in a deployment."""

    def world(self) -> World:
        """A deployment whose clock stands at 12:00."""
        clock = Clock()
        return World(SqliteStore(":memory:", clock), clock)

    def users(self, world: World) -> Slots:
        """The slots of the one series that was published."""
        hour = read_hours(world.store, [HOUR], world.clock())[HOUR]
        return hour.slots.take(np.array([hour.cells.series.index(Series("users_active"))]))

    def run_hour(self, world: World) -> None:
        """One hour of a gauge, a point a minute."""
        for minute in range(60):
            world.publish(point("users_active", world.clock() + timedelta(seconds=20), float(minute)))
            world.next_minute()

    def test_built_when_its_last_minute_is(self) -> None:
        """After an hour of evaluations the hour is there, with sixty slots."""
        world = self.world()
        self.run_hour(world)
        assert self.users(world).last[0].tolist() == [float(minute) for minute in range(60)]

    def test_late_minute_rebuilds_its_hour(self) -> None:
        """A point that comes two hours late is in its minute and in its hour."""
        world = self.world()
        self.run_hour(world)
        world.clock.time += timedelta(hours=2)
        world.publish(point("users_active", from_minute(HOUR - 600) - timedelta(seconds=5), 1000.0))
        world.deliver()
        world.evaluate()
        assert self.users(world).max.max() == 1000.0
        assert world.store.list("late").documents == ()

    def test_rebuilt_hour_has_the_same_bytes(self) -> None:
        """Building an hour again from its minutes gives the same bytes."""
        world = self.world()
        self.run_hour(world)
        first = world.store.get([hour_path(HOUR)])[hour_path(HOUR)].fields["d"]
        for minute in minutes_of(HOUR):
            roll_up(world.store, minute, world.clock(), timedelta(seconds=5))
        assert roll_up_hour(world.store, HOUR, world.clock())
        assert world.store.get([hour_path(HOUR)])[hour_path(HOUR)].fields["d"] == first

    def test_an_hour_that_lost_minutes_is_left_alone(self) -> None:
        """When the first of its minutes has expired an hour is not rebuilt, because it could only lose."""
        world = self.world()
        self.run_hour(world)
        assert not roll_up_hour(world.store, HOUR, from_minute(HOUR - 59 * 60) + timedelta(hours=76))
        assert self.users(world).count.sum() == 60

    def test_what_comes_too_late_for_its_hour_is_told(self) -> None:
        """Where the hour's first minute has expired a late point is in its own minute only, and the log says so."""
        world = self.world()
        self.run_hour(world)
        data = json.dumps({"version": 1, "points": [point("users_active", from_minute(HOUR), 1000.0)]}).encode()
        sent = Message(data, {}, "late", world.clock())
        world.clock.time = from_minute(HOUR) + timedelta(hours=75, minutes=30)
        world.store.commit([Put(STATE_PATH, {"minute": minute_floor(world.clock()) - 60})])
        assert world.services.ingest()(sent).reason == ""
        with Captured() as logs:
            world.evaluate()
        assert [(one["message"], one["hour"]) for one in logs.events] == [("hour_not_rebuilt", minute_id(HOUR))]
        assert world.totals([HOUR])[Series("users_active")] == (2, 1059.0)
        assert self.users(world).max.max() == 59.0
        assert world.store.list("late").documents == ()

    def test_expired_hour_is_not_read(self) -> None:
        """After thirty days an hour is gone for readers."""
        world = self.world()
        self.run_hour(world)
        assert read_hours(world.store, [HOUR], from_minute(HOUR) + timedelta(days=30)) == {}


class TestLarge:
    """Hours larger than a document, than a commit, and than is held at once."""

    def stored(self, series: Callable[[int], list[Series]]) -> SqliteStore:
        """A database with an hour's rollups, each of one gauge value of the series that ``series`` gives for a slot."""
        store = SqliteStore(":memory:", Clock())
        rng = np.random.default_rng(5)
        for slot, minute in enumerate(minutes_of(HOUR)):
            seen = [Observation(name, Kind.GAUGE, minute * 1_000_000 - 5, rng.random()) for name in series(slot)]
            data = encode(Chunk("", "", None, (Section(minute, fold(seen, writer=7)),)), rollup=True)
            write_parts(store, rollup_path(minute), [data], from_minute(minute) + timedelta(hours=76), None)
        return store

    def bytes_of(self, store: SqliteStore) -> list[bytes]:
        """The hour as it is stored, part by part."""
        return [one.fields["d"] for one in read_parts(store, [hour_path(HOUR)])[hour_path(HOUR)]]

    def test_larger_than_a_commit(self) -> None:
        """2,000 series that change every minute make more than 4 MiB, and are all there, the same bytes twice."""
        names = [Series("m", (("n", f"{number:04}"),)) for number in range(2000)]
        store = self.stored(lambda _: names)
        assert roll_up_hour(store, HOUR, from_minute(HOUR))
        first = self.bytes_of(store)
        assert sum(map(len, first)) > MAX_COMMIT_BYTES
        hour = read_hours(store, [HOUR], from_minute(HOUR))[HOUR]
        assert list(hour.cells.series) == names
        assert hour.cells.count.tolist() == hour.slots.count.sum(axis=1).tolist() == [60] * 2000
        assert hour.dropped == {}
        assert roll_up_hour(store, HOUR, from_minute(HOUR))
        assert self.bytes_of(store) == first

    def test_read_in_two_passes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is read again because it is not held gives the same bytes."""
        store = self.stored(lambda slot: [Series("m", (("n", str(slot % 7)),)), Series("all")])
        assert roll_up_hour(store, HOUR, from_minute(HOUR))
        first = self.bytes_of(store)
        monkeypatch.setattr(hours, "MAX_HELD_NUMBERS", 0)
        assert roll_up_hour(store, HOUR, from_minute(HOUR))
        assert self.bytes_of(store) == first

    def test_a_minute_that_is_written_between_the_passes(self) -> None:
        """A minute that holds other series the second time breaks nothing: whoever wrote it builds the hour again."""
        before = {minute: fold([Observation(Series("a"), Kind.GAUGE, 1, 1.0)]) for minute in minutes_of(HOUR)}
        after = {minute: fold([Observation(Series("b"), Kind.GAUGE, 1, 1.0)]) for minute in minutes_of(HOUR)}
        after[HOUR] = before[HOUR]
        times: Counter[int] = Counter()

        class Changing:
            def get(self, minute: int, /) -> Cells | None:
                times[minute] += 1
                return before[minute] if times[minute] == 1 and minute != HOUR - 60 else after[minute]

        hour = build_hour(HOUR, Changing())
        assert [name.metric for name in hour.cells.series] == ["a", "b"]
        assert hour.slots.count.sum(axis=1).tolist() == hour.cells.count.tolist() == [1, 59]

    def test_more_series_than_it_holds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of labels that change every minute an hour holds what there is room for, and says what it left out."""
        monkeypatch.setattr(cardinality, "MAX_SERIES", 50)
        store = self.stored(
            lambda slot: [Series("calm"), *(Series("noisy", (("n", f"{slot}-{n}"),)) for n in range(3))]
        )
        assert roll_up_hour(store, HOUR, from_minute(HOUR))
        hour = read_hours(store, [HOUR], from_minute(HOUR))[HOUR]
        assert len(hour.cells) == 50
        assert hour.cells.count[hour.cells.series.index(Series("calm"))] == 60
        assert hour.dropped == {"noisy": 131}


class TestWide:
    """Hours of distributions that have more bins together than are merged at once."""

    def minute(self, slot: int, series: int, apart: int) -> Cells:
        """A minute's cells of so many distributions, each of fifty bins, which lie ``apart`` further each minute."""
        at = (HOUR - (59 - slot) * 60) * 1_000_000
        rows, size = np.ones(series, np.int64), 50
        keys = np.arange(size) * 3 + slot * apart
        return Cells(
            series=tuple(Series("m", (("n", f"{number:05}"),)) for number in range(series)),
            kind=rows * int(Kind.DISTRIBUTION),
            count=rows * size,
            sum=np.full(series, 1.5),
            min=np.full(series, 1e-9),
            max=np.full(series, 1e99),
            last_at_us=rows * at,
            last=np.full(series, 1.0),
            last_writer=rows.astype(np.uint64),
            last_sum=np.full(series, 1.0),
            writers=rows,
            scale=rows * 5,
            bin_start=np.arange(series + 1) * size,
            bin_key=np.tile(keys, series),
            bin_count=np.ones(series * size, np.int64),
        )

    def stored(self, series: int, apart: int) -> SqliteStore:
        """A database with the sixty minutes."""
        store = SqliteStore(":memory:", Clock(), "OFF")
        for slot, minute in enumerate(minutes_of(HOUR)):
            data = encode(Chunk("", "", None, (Section(minute, self.minute(slot, series, apart)),)), rollup=True)
            write_parts(store, rollup_path(minute), [data], from_minute(minute) + timedelta(hours=76), None)
        return store

    def built(self, store: SqliteStore) -> Cells:
        """The hour's cells."""
        assert roll_up_hour(store, HOUR, from_minute(HOUR))
        return read_hours(store, [HOUR], from_minute(HOUR))[HOUR].cells

    def test_merged_in_groups(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is merged a few minutes and a few series at a time is what all of it is merged at once."""
        store = self.stored(40, 0)
        monkeypatch.setattr(hours, "MAX_GROUP_BINS", 10**9)
        monkeypatch.setattr(hours, "MAX_HELD_NUMBERS", 10**9)
        at_once = self.built(store)
        monkeypatch.setattr(hours, "MAX_GROUP_BINS", 1500)
        monkeypatch.setattr(hours, "MAX_HELD_NUMBERS", 10_000)
        assert equal(self.built(store), at_once)
        assert at_once.count.tolist() == [3000] * 40
        assert set(at_once.scale.tolist()) == {5}

    def test_too_many_bins_become_coarser(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where minutes have other bins each, the hour's are at most the bound, and every observation is in them."""
        store = self.stored(40, 200)
        fine = self.built(store)
        monkeypatch.setattr(hours, "MAX_GROUP_BINS", 10_000)
        coarse = self.built(store)
        assert len(fine.bin_key) > 10_000 >= len(coarse.bin_key)
        assert coarse.count.tolist() == np.add.reduceat(coarse.bin_count, coarse.bin_start[:-1]).tolist() == [3000] * 40
        steps = int(coarse.scale.max())
        assert steps < int(fine.scale.min())
        error = 2.0**2.0**-steps - 1
        assert percentiles(coarse, 0.5) == pytest.approx(percentiles(fine, 0.5), rel=error)

    def test_memory_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Sixty minutes of 20,000 bins each are merged in a tenth of the memory that all of them would take."""
        monkeypatch.setattr(hours, "MAX_GROUP_BINS", 8_000)
        monkeypatch.setattr(hours, "MAX_HELD_NUMBERS", 20_000)
        store = self.stored(400, 1)
        tracemalloc.start()
        try:
            assert roll_up_hour(store, HOUR, from_minute(HOUR))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 60 * 20_000 * 100 // 10
