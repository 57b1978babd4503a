"""The suite of the first promise: a message counts exactly once, whatever happens to its deliveries.

Runs on both adapters: ``store`` and ``clock`` are fixtures of the module that takes the suite over.
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from shared.bus import Message
from shared.formats.compact import CONTENT_TYPE
from shared.publisher import Publisher
from shared.rollups import read_live, roll_up
from shared.series import Kind, Series
from shared.store import Store
from shared.timeline import minute_of_us, to_us
from tests.fakes import Clock, Countdown, Crash
from tests.world import World, point

SETTLE = timedelta(seconds=5)


def message(data: bytes, clock: Clock, **attributes: str) -> Message:
    """A delivery of some data now; every call is another copy, as after a redelivery or a dead letter."""
    return Message(data, attributes, str(random.random()), clock())


def chunk(at: datetime, values: list[float]) -> bytes:
    """A compact chunk of one writer, as the publisher sends it."""
    sent: list[bytes] = []
    publisher = Publisher("writer", "boot", lambda data, _: sent.append(data))
    for value in values:
        publisher.record("response_time", value, at, Kind.DISTRIBUTION, {"region": "us-central1"})
        publisher.record("requests", 1.0, at, Kind.COUNTER, {"region": "us-central1"})
    publisher.flush()
    return sent[0]


class ExactlyOnceSuite:
    """What a message adds to its minute, whatever its deliveries go through."""

    @pytest.fixture
    def world(self, store: Store, clock: Clock) -> World:
        """A deployment on the adapter under test."""
        return World(store, clock)

    @pytest.fixture
    def at(self, clock: Clock) -> datetime:
        """When the points were measured: in the minute that has just ended."""
        return clock() - timedelta(seconds=20)

    def count(self, world: World, at: datetime) -> int:
        """How many observations of the response time the minute holds."""
        cells = read_live(world.store, minute_of_us(to_us(at)), world.clock())
        wanted = [row for row, name in enumerate(cells.series) if name.metric == "response_time"]
        return int(cells.count[wanted].sum())

    @pytest.mark.parametrize("deliveries", [1, 2, 5])
    def test_delivered_several_times(self, world: World, at: datetime, deliveries: int) -> None:
        """A message that is delivered N times counts once."""
        data = chunk(at, [1.0, 2.0, 3.0])
        for _ in range(deliveries):
            world.services.ingest()(message(data, world.clock, **{"content-type": CONTENT_TYPE}))
        assert self.count(world, at) == 3

    def test_in_parallel(self, world: World, at: datetime) -> None:
        """Eight deliveries at the same time of each of six messages of one writer count once each."""
        sent: list[bytes] = []
        publisher = Publisher("parallel", "boot", lambda data, _: sent.append(data))
        for value in range(6):
            publisher.record("response_time", value, at, Kind.DISTRIBUTION, {})
            publisher.flush()
        copies = [message(data, world.clock, **{"content-type": CONTENT_TYPE}) for data in sent * 8]
        random.Random(1).shuffle(copies)
        ingest = world.services.ingest()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ingest, copies))
        assert self.count(world, at) == 6

    def test_out_of_order(self, world: World, at: datetime) -> None:
        """Messages of one writer in reverse order give the same cells, bit for bit, as in order."""
        times = [at + timedelta(seconds=second) for second in range(5)]
        sent = [
            world.publish(point("users_active", when, float(number)), writer="w", boot="b", seq=number)
            for number, when in enumerate(times)
        ]
        for data in reversed(sent):
            world.services.ingest()(message(data, world.clock))
        cells = read_live(world.store, minute_of_us(to_us(at)), world.clock())
        assert (int(cells.count[0]), float(cells.last[0])) == (5, 4.0)

    def test_after_a_crash_at_every_call(self, world: World, at: datetime) -> None:
        """A crash before or after each store and bus call, and a redelivery, count each message once.

        The message is late by then, so that the marker's write is among the calls.
        """
        world.clock.sleep(120)
        expected = 0
        for after in (False, True):
            for call in range(10):
                when = at + timedelta(milliseconds=expected)
                data = chunk(when, [float(expected)])
                countdown = Countdown(call, after=after)
                try:
                    world.crashing(countdown).ingest()(message(data, world.clock, **{"content-type": CONTENT_TYPE}))
                except Crash:
                    world.services.ingest()(message(data, world.clock, **{"content-type": CONTENT_TYPE}))
                expected += 1
                assert self.count(world, at) == expected
                if countdown.calls <= call:
                    break
        assert expected >= 6, "the marker and the chunk are two calls, before and after"

    def test_late_chunk_reaches_the_rollup(self, world: World, at: datetime) -> None:
        """A chunk that is committed after its minute was rolled up is in the rollup after the next evaluation."""
        minute = minute_of_us(to_us(at))
        world.publish(point("users_active", at, 1.0))
        world.deliver()
        world.evaluate()
        assert world.totals([minute]) == {Series("users_active"): (1, 1.0)}
        world.publish(point("users_active", at, 2.0))
        world.deliver()
        world.next_minute()
        assert world.totals([minute]) == {Series("users_active"): (2, 3.0)}
        assert world.store.list("late").documents == ()

    def test_rebuilt_rollup_is_equal(self, world: World, at: datetime) -> None:
        """A rollup built again from the same chunks has the same bytes."""
        minute = minute_of_us(to_us(at))
        for number in range(20):
            world.publish(point("response_time", at, 1.1 * number, region="us-central1"), writer=f"w{number}", seq=1)
        world.deliver()
        world.evaluate()
        first = self.rollup(world)
        roll_up(world.store, minute, world.clock(), SETTLE)
        assert self.rollup(world) == first

    def rollup(self, world: World) -> list[bytes]:
        """The bytes of all rollups."""
        return [document.fields["d"] for document in world.store.list("rollups").documents]

    def test_malformed_message_is_dead_lettered_and_counted_once(self, world: World, at: datetime) -> None:
        """A malformed message blocks nothing, goes whole to the dead letter with its reason, and is counted once."""
        for _ in range(3):
            world.bus.publish("metrics", b'{"version": 1, "points": "none"}', {"from": "test"})
        world.publish(point("users_active", at, 1.0))
        world.deliver()
        world.evaluate()
        world.next_minute()
        dead = world.bus.pull("metrics-dead-letter-pull", 10)
        assert {one.message.data for one in dead} == {b'{"version": 1, "points": "none"}'}
        assert dead[0].message.attributes["ion_reason"] == "malformed_message"
        assert dead[0].message.attributes["from"] == "test"
        now = world.clock()
        totals = world.totals([minute_of_us(to_us(now)) - 60 * back for back in range(4)])
        assert totals[Series("ion_rejected_messages", (("reason", "malformed_message"),))] == (1, 1.0)
        assert totals[Series("users_active")] == (1, 1.0)

    def test_points_out_of_time_cost_no_other(self, world: World, at: datetime) -> None:
        """A message with one point too old is dead-lettered by name, and its other points count."""
        old = at - timedelta(hours=73)
        world.publish(point("users_active", at, 7.0), point("users_active", old, 8.0))
        world.deliver()
        world.evaluate()
        dead = world.bus.pull("metrics-dead-letter-pull", 10)
        assert [one.message.attributes["ion_reason"] for one in dead] == ["point_too_old"]
        assert world.totals([minute_of_us(to_us(at))])[Series("users_active")] == (1, 7.0)

    def test_redriven_dead_letter_adds_nothing_that_counted(self, world: World, at: datetime) -> None:
        """A dead letter published again, days later, is judged by its first publish time and changes nothing."""
        world.publish(point("users_active", at, 7.0), point("users_active", at - timedelta(hours=73), 8.0))
        world.deliver()
        letter = world.bus.pull("metrics-dead-letter-pull", 1)[0].message
        world.clock.sleep(600)
        world.bus.publish("metrics", letter.data, letter.attributes)
        world.deliver()
        world.next_minute()
        assert world.totals([minute_of_us(to_us(at))])[Series("users_active")] == (1, 7.0)
