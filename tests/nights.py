"""Nights on call, each decided by one seed: evaluators, notifiers, people, and what may happen to them at any call.

A night is some minutes in which series go bad, are silent and come back. Two or three evaluators judge them, with
clocks that are wrong by seconds, and now and then under two configurations, as during a deploy; two instances store
what services publish, once, twice or late, and deliver what is decided to two channels, which may have caps, be away
for a while, ask to be left alone, or refuse everything until they are set up anew, so that another has to tell it; two
people look at what fires and what they were told, take it, silence it and change their minds, on a page or by what
vendors send back. One call goes on at a time, in any order; any may crash or fail, before or after its effect, find its
instance frozen for minutes, or the store away. Then all is well for a while, and what was promised must hold.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from unittest.mock import patch

from shared import evaluator
from shared.adapters.sqlite_store import SqliteStore
from shared.alerts import State
from shared.bus import Bus
from shared.channels import Channel
from shared.errors import TransientError
from shared.evaluator import STATE_PATH
from shared.store import Put, Store
from shared.timeline import MINUTE_SECONDS, from_minute, minute_floor
from shared.wiring import Services
from tests.alert_promises import Ledger, check
from tests.baton import Baton, Fate, SteppedBus, SteppedStore
from tests.delivery_promises import check_deliveries
from tests.fakes import START, Clock, Countdown, Crash, CrashingBus, CrashingStore
from tests.night_channels import NAMES, NEW, Health, Receiver, draw_health
from tests.night_people import Person
from tests.night_plan import REGIONS, Misfortune, draw_away, draw_configs, draw_letters, draw_misfortune, draw_points
from tests.ticks import VALUES
from tests.world import World, point

GOOD_AGAIN = 14
"""Minutes of good values after a night, by the end of which every episode has ended."""


class Night:
    """One night. ``play`` it, then ``check`` it. With a ``countdown`` nothing happens but the crash that it makes."""

    def __init__(self, seed: int, countdown: Countdown | None = None) -> None:
        self.rng = rng = random.Random(seed)
        self.clock = Clock(START - timedelta(minutes=rng.choice([1, 8]), seconds=rng.uniform(10, 40)))
        self.ledger = Ledger(SqliteStore(":memory:", self.clock))
        self.baton = Baton(rng, self.clock, rng.choice([0.5, 0.8, 0.95]))
        self.countdown = countdown
        self.misfortune = draw_misfortune(rng, self.clock()) if countdown is None else Misfortune()
        self.configs = draw_configs(rng)
        self.deployed_at = self.clock() + timedelta(minutes=rng.uniform(2, 7))
        self.world = World(self.ledger, self.clock, seed=seed, duplicate=rng.choice([0.0, 0.1]), config=self.configs[1])
        self.began = minute_floor(self.clock())
        letters = draw_letters(rng)
        self.away = draw_away(rng)
        self.ends = from_minute(self.began) + timedelta(minutes=len(letters[REGIONS[0]])) + self.away
        points = [one for region in REGIONS for one in draw_points(rng, self.began, letters[region], region)]
        self.owed = sorted(points, key=lambda one: one[0])
        minutes = (self.ends - from_minute(self.began)) / timedelta(minutes=1)
        self.health = {name: self._health(minutes, name) for name in NAMES}
        self.world.services = self._services(self.ledger, self.world.bus)

    def play(self) -> None:
        """The night is over, all is well for some minutes, and nothing is owed to anybody when this returns."""
        if self.rng.random() < 0.9:  # else the evaluators' first calls ever are in the night
            self.ledger.inner.commit([Put(STATE_PATH, {"minute": self.began})])
        evaluators = [self._evaluate] * self.rng.choice([2, 2, 2, 3])
        works = [self._publish, *[self._serve] * 3, *evaluators, self._person("ann"), self._person("bob")]
        with patch.object(evaluator, "tick", self.ledger.tick):
            self.baton.run(works)
            self._morning()

    def _morning(self) -> None:
        """Good values, and one evaluation a minute, until everything has ended and been told."""
        self.clock.time = max(self.clock(), self.ends)
        self.world.evaluate()
        for _ in range(GOOD_AGAIN):
            for region in REGIONS:
                self.world.publish(point("level", self.clock(), VALUES["g"], region=region))
            self.world.next_minute()
            if not any(alert.state is not State.INACTIVE for alert in self.world.alerts()):
                break
        self.world.settle_deliveries()

    def check(self) -> None:
        """What was promised, or an AssertionError that names it."""
        check(self.ledger)
        check_deliveries(self.ledger, self.world.heard)
        assert not any(self.world.bus.undelivered().values()), "nothing is owed to anybody, nor a dead letter"
        assert self.ledger.list("outbox").documents == (), "nothing is left in the outbox"

    def _services(self, store: Store, bus: Bus) -> Services:
        channels = self._channels(None, dict.fromkeys(NAMES, NEW))
        return replace(self.world.services, store=store, bus=bus, channels=channels, sleep=self.clock.sleep)

    def _health(self, minutes: float, name: str) -> Health:
        began = from_minute(self.began)
        return Health() if self.countdown is not None else draw_health(self.rng, began, minutes, name)

    def _setup(self, name: str) -> str:
        """The key that whoever is deployed now begins with."""
        return self.health[name].setup(self.clock())

    def _channels(self, chance: float | None, setups: Mapping[str, str]) -> dict[str, Channel]:
        """The channels of an instance that was deployed with some keys."""
        around = self.ledger, self.baton, self.clock, self.rng
        return {name: Receiver(name, self.health[name], setups[name], chance, *around) for name in NAMES}

    def _instance(self, misfortune: float, stall: Callable[[], None]) -> Services:
        """The services of one instance, to each of whose calls something may happen."""

        def troubled() -> None:
            stall()
            if self.misfortune.store_is_away(self.clock()):
                raise TransientError("store_unavailable", "busy")

        fate = Fate(self.rng, 4 * misfortune, troubled)
        store: Store = SteppedStore(self.ledger, self.baton, self.rng, misfortune, stall=troubled)
        bus: Bus = SteppedBus(self.world.bus, self.baton, fate, self.misfortune.twice)
        if self.countdown is not None:
            store, bus = CrashingStore(store, self.countdown), CrashingBus(bus, self.countdown)
        return replace(self._services(store, bus), sleep=self.baton.sleep)

    def _freeze(self) -> None:
        """Now and then an instance is frozen for minutes."""
        if self.rng.random() < self.misfortune.freeze:
            self.baton.sleep(self.rng.choice([self.rng.uniform(5, 60), self.rng.uniform(120, 300)]))

    def _overtaken(self) -> None:
        """Now and then an evaluator is frozen until another has judged, or for a minute."""
        if self.rng.random() < 2 * self.misfortune.freeze:
            count, until = len(self.ledger.judged), self.clock() + timedelta(minutes=1)
            self.baton.pause(lambda: len(self.ledger.judged) > count or self.clock() >= until)

    def _publish(self) -> None:
        """The services that are watched."""
        for when, one in self.owed:
            self.baton.sleep(max(0.0, (when - self.clock()).total_seconds()))
            self.world.publish(one)

    def _serve(self) -> None:
        """An instance of what is pushed to: it takes what is due, in any order."""
        services = self._instance(self.misfortune.instance, self._freeze)
        while self.clock() < self.ends:
            channels = self._channels(self.misfortune.instance, {name: self._setup(name) for name in NAMES})
            self.world.deliver(replace(services, channels=channels), self.ledger.note_failure)
            self.baton.sleep(self.rng.uniform(0.2, 5))

    def _person(self, name: str) -> Callable[[], None]:
        """Somebody who looks at what fires until the night is over."""
        services = self._instance(self.misfortune.person, self._freeze)
        return Person(
            name, services, self.ledger, self.baton, self.clock, self.rng, lambda: self.clock() >= self.ends
        ).look

    def _evaluate(self) -> None:
        """An evaluator: it is called every minute, now and then a minute not, and by a retry at once."""
        ahead = timedelta(seconds=self.rng.choice([-3.0, 0.0, 0.0, 4.0]))
        services = replace(self._instance(self.misfortune.evaluator, self._overtaken), now=lambda: self.clock() + ahead)
        switches_at = self.deployed_at + timedelta(seconds=self.rng.uniform(0, 100))
        middle = from_minute(self.began) + timedelta(minutes=self.rng.uniform(3, 5))
        left = self.away
        while self.clock() < self.ends:
            if left and self.clock() > middle:
                self.baton.sleep(left.total_seconds())
                left = timedelta(0)
            config = self.configs[self.clock() >= switches_at]
            with suppress(Crash, TransientError):
                replace(services, config=config).evaluate()()
            if self.rng.random() < 0.9:
                ended = minute_floor(self.clock()) + MINUTE_SECONDS * self.rng.choice([1, 1, 1, 2])
                self.baton.sleep((from_minute(ended) - self.clock()).total_seconds() + self.rng.uniform(0, 8))


def run_night(seed: int, countdown: Countdown | None = None) -> Night:
    """Play a night and check it. Raises AssertionError, or what broke, with how to play it again in a note."""
    night = Night(seed, countdown)
    try:
        night.play()
        night.check()
    except Exception as error:
        error.add_note(replay(seed, countdown))
        raise
    return night


def replay(seed: int, countdown: Countdown | None = None) -> str:
    """How to play a night again."""
    crash = "" if countdown is None else f", Countdown({countdown.crash_at}, after={countdown.after})"
    names = "run_night" if countdown is None else "Countdown, run_night"
    return f"to play it again: .venv/bin/python -c 'from tests.nights import {names}; run_night({seed}{crash})'"
