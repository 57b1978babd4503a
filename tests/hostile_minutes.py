"""Minutes of whatever a message can hold, decided by a seed, through ingest and the evaluator on the strict store.

That store refuses what production refuses: a commit that is too large or a field that cannot be stored would stop
evaluation for ever, because every call would meet it again.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from shared.adapters.sqlite_store import SqliteStore
from shared.adapters.strict_store import StrictStore
from shared.bus import Message
from shared.cells import Observation, fold
from shared.configuration import document
from shared.evaluator import STATE_PATH
from shared.formats.compact import CONTENT_TYPE, Chunk, Section, encode
from shared.monitoring_config import MonitoringConfig
from shared.rules import Aggregation, AlertRule, MetricThreshold, MetricType, OnNoData, Query, Selection, Severity
from shared.series import Kind, Series, make_labels
from shared.store import Put, Store
from shared.timeline import MINUTE_SECONDS, iso, minute_floor
from tests.fakes import START, Clock, Hook
from tests.world import World

MINUTE = timedelta(minutes=1)
NAMES = ("region", "zone", "pod")
LONG = tuple(f"label_{number:02}" for number in range(16))
ALPHABETS = ("abc", '"\\{}', "\x00\n\x1b\x7f", "ü漢🚨", "{value}", "\u202e\u2028\ufeff")


def rules() -> list[AlertRule]:
    """Five rules that any series of the metric ``wild`` may set off, by all its labels, by some, and by none."""
    base = AlertRule(
        "Wild",
        "Something is wild.",
        MetricType.BUSINESS,
        MetricThreshold(0.0, severity=Severity.HIGH),
        evaluation_window=60,
        min_occurrences=1,
        cooldown_period=3600,
        no_data_after=0,
        query=Query(Selection("wild"), Aggregation.MAX, group_by=NAMES),
        levels=(MetricThreshold(10.0, severity=Severity.CRITICAL),),
        message="{region} {zone} {pod} {region} is {value}",
    )
    everything = Query(Selection("wild"), Aggregation.SUM, group_by=LONG)
    return [
        base,
        replace(base, name="Silent", on_no_data=OnNoData.ALERT, inhibited_by=("wild",)),
        replace(base, name="Slow", evaluation_window=300, evaluation_frequency=120),
        replace(base, name="Long", query=everything, message="{label_00}" * 50),
        replace(base, name="Whole", query=Query(Selection("wild"), Aggregation.COUNT), message=""),
    ]


CONFIG = MonitoringConfig(replace(document.defaults(), rules=(*MonitoringConfig().list_alert_rules(), *rules())))


class Hostile:
    """Writers of whatever a message can hold, decided by a seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.seen: list[dict[str, str]] = []

    def points(self, at: datetime) -> list[dict[str, Any]]:
        """The points of one message of a minute."""
        rng = self.rng
        make = rng.choice([self._storm, self._long, self._torrent, self._again, self._odd])
        values = [-1.0, 5.0, 50.0, 1e100, -1e-100, 0.0]
        return [
            {"metric": "wild", "labels": labels, "timestamp": iso(at), "value": rng.choice(values)} for labels in make()
        ]

    def _storm(self) -> Iterable[dict[str, str]]:
        """More regions than anybody has."""
        first = self.rng.randrange(10**6)
        return [{"region": f"r{first + number}"} for number in range(self.rng.randrange(100, 700))]

    def _long(self) -> Iterable[dict[str, str]]:
        """Labels as long as labels can be."""
        return [{name: self._text(500) for name in LONG} for _ in range(self.rng.randrange(1, 60))]

    def _torrent(self) -> Iterable[dict[str, str]]:
        """Thousands of series."""
        return [{"pod": f"{self.rng.getrandbits(40)}"} for _ in range(self.rng.randrange(1000, 3000))]

    def _again(self) -> Iterable[dict[str, str]]:
        """Some that were there before, and those that are not now have stopped."""
        return self.rng.sample(self.seen, min(len(self.seen), 300))

    def _odd(self) -> Iterable[dict[str, str]]:
        """Text that means something to somebody."""
        return [{name: self._text(self.rng.choice([0, 3, 40])) for name in NAMES} for _ in range(200)]

    def _text(self, size: int) -> str:
        alphabet = self.rng.choice(ALPHABETS)
        text = "".join(self.rng.choice(alphabet) for _ in range(size))
        return text.encode()[:size].decode("utf-8", "ignore")


def strict_world(config: MonitoringConfig = CONFIG, wrap: Callable[[Store], Store] = lambda inner: inner) -> World:
    """A deployment on the strict store that has been evaluated up to START."""
    clock = Clock(START)
    world = World(wrap(StrictStore(SqliteStore(":memory:", clock), clock)), clock, config=config)
    world.store.commit([Put(STATE_PATH, {"minute": minute_floor(START)})])
    return world


def check_minutes(seed: int, minutes: int) -> Counter[str]:
    """Play some minutes, each of which must be judged in its minute; how often what happened, by reason."""
    hostile, world = Hostile(seed), strict_world()
    happened: Counter[str] = Counter()
    seq = 0
    for number in range(1, minutes + 1):
        at = START + number * MINUTE
        for _ in range(hostile.rng.randrange(3)):
            points = hostile.points(at - timedelta(seconds=20))
            hostile.seen += [one["labels"] for one in points]
            for start in range(0, len(points), 1000):
                seq += 1
                world.publish(*points[start : start + 1000], writer=f"w{hostile.rng.randrange(5)}", seq=seq)
        world.clock.time = at
        world.deliver()
        report = world.evaluate()
        assert (report.ended, report.evaluated) == ("caught_up", (at,)), seed
        assert world.store.list("outbox").documents == (), seed
        happened += Counter(change.reason.value for change in report.transitions)
        happened += Counter(failure.reason.partition(":")[0] for failure in report.failures)
    dead = [one.message.attributes for one in world.bus.pull("metrics-dead-letter-pull", 9)]
    assert dead == [], "all of it is what ingest accepts"
    return happened


def mark_many(world: World, first: int, number: int) -> None:
    """Deliver one message with a point in each of some minutes, all of which have been evaluated."""
    minutes = range(first, first + number * MINUTE_SECONDS, MINUTE_SECONDS)
    series = Series("users_active", make_labels({"region": "hostile"}))
    sections = [Section(minute, fold([Observation(series, Kind.GAUGE, minute * 10**6, 1.0)])) for minute in minutes]
    data = encode(Chunk("hostile", "", 1, tuple(sections)))
    outcome = world.services.ingest()(Message(data, {"content-type": CONTENT_TYPE}, "hostile", world.clock()))
    assert (outcome.observations, outcome.late_minutes, len(data) < 64 + 4 * number) == (number, number, True)


def check_marked_minutes(number: int, seconds_per_call: float) -> int:
    """One message marks ``number`` minutes, while each call to the store takes some time; how many ticks that lasts.

    Meanwhile each T is judged in its minute, a point that is late by three minutes is rolled up by the next tick, and
    at last every marked minute is.
    """
    world = strict_world()
    last = minute_floor(START) - 3600
    first = last - (number - 1) * MINUTE_SECONDS
    mark_many(world, first, number)
    slow = world.crashing(Hook(None, lambda: world.clock.sleep(seconds_per_call)))
    ticks = 0
    while world.store.list("late", limit=1).documents:
        ticks += 1
        at = START + ticks * MINUTE
        assert world.clock() <= at, "each tick ends in its minute"
        world.clock.time = at
        world.publish({"metric": "users_active", "labels": {}, "timestamp": iso(at - 3 * MINUTE), "value": 5.0})
        world.deliver()
        report = world.evaluate(slow)
        assert (report.ended, report.evaluated) == ("caught_up", (at,)), "each T is judged in its minute"
        found = world.totals([minute_floor(at - 3 * MINUTE)])
        assert found[Series("users_active")] == (1, 5.0), "the late point of now waits for no other"
    marked = world.totals(range(first, last + MINUTE_SECONDS, MINUTE_SECONDS))
    assert marked == {Series("users_active", make_labels({"region": "hostile"})): (number, float(number))}
    return ticks
