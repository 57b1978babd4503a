"""Nights on call, each decided by one seed: evaluators, notifiers, people, and what may happen to them at any call.

A night is some minutes in which series go bad, are silent and come back. Two or three evaluators judge them, with
clocks that are wrong by seconds, and now and then under two configurations, as during a deploy; two instances store
what services publish, once, twice or late, and deliver what is decided to two channels; two people look at what fires,
take it, silence it and change their minds. One call goes on at a time, in any order; any may crash or fail, before or
after its effect, or find its instance frozen for minutes. Then all is well for a while, and what was promised must
hold.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar
from unittest.mock import patch

from shared import evaluator
from shared.acks import ack_from_fields, ack_path
from shared.actions import acknowledge, end_silence, silence
from shared.adapters.sqlite_store import SqliteStore
from shared.alerts import AlertState, State
from shared.bus import Bus
from shared.channels import Answer, Channel, Turn
from shared.deliveries import delivery_path
from shared.errors import PermanentError, TransientError
from shared.evaluator import STATE_PATH
from shared.notifications import Notification
from shared.records import alerts_in
from shared.silences import Matcher, matchers_of
from shared.store import Put, Store
from shared.timeline import MINUTE_SECONDS, from_minute, minute_floor
from shared.wiring import Services
from tests.alert_promises import Ledger, check
from tests.baton import Baton, Fate, SteppedBus, SteppedStore
from tests.fakes import START, Clock, Countdown, Crash, CrashingBus, CrashingStore
from tests.night_plan import REGIONS, Misfortune, draw_away, draw_configs, draw_letters, draw_misfortune, draw_points
from tests.ticks import VALUES
from tests.world import World, point

T = TypeVar("T")
GOOD_AGAIN = 14
"""Minutes of good values after a night, by the end of which every episode has ended."""


class Receiver:
    """A channel whose receiver sees what is sent, and to which things happen before and after that."""

    setup = "as it was"
    max_per_minute: int | None = None

    def __init__(self, night: Night, name: str) -> None:
        self._night = night
        self._name = name

    def undo(self, _notification: Notification, late: Mapping[str, str], _turn: Turn, /) -> None:
        """As the port says; now and then it fails or crashes."""
        night, rng, chance = self._night, self._night.rng, self._night.misfortune.instance
        if not night.is_over:
            night.baton.pause()
            if rng.random() < chance:
                raise rng.choice([TransientError("receiver_away"), Crash()])
        night.ledger.undone.add(late["seen"])

    def send(self, notification: Notification, _turn: Turn, /) -> Answer:
        """As the port says; now and then it refuses for good, fails, crashes, or answers after minutes."""
        night, rng, chance = self._night, self._night.rng, self._night.misfortune.instance
        if night.is_over:
            return self._see(notification)
        if rng.random() < chance:
            raise rng.choice([self._failure, self._crash, self._refusal])(notification)
        answer = self._see(notification)
        night.baton.pause()
        is_slow = rng.random() < 2 * chance
        if is_slow:
            night.baton.sleep(rng.uniform(60, 240))
        if rng.random() < (0.5 if is_slow else chance):
            raise rng.choice([self._failure, self._crash])(notification)
        return answer

    def _see(self, notification: Notification) -> Answer:
        number = self._night.ledger.see(self._night.clock(), self._name, notification)
        return Answer("seen", {"seen": str(number)})

    def _failure(self, _: Notification) -> BaseException:
        return TransientError("receiver_away")

    def _crash(self, _: Notification) -> BaseException:
        return Crash()

    def _refusal(self, notification: Notification) -> PermanentError:
        self._night.ledger.refused.add(delivery_path(notification.id, self._name))
        return PermanentError("refused")


class Night:
    """One night. ``play`` it, then ``check`` it. With a ``countdown`` nothing happens but the crash that it makes."""

    def __init__(self, seed: int, countdown: Countdown | None = None) -> None:
        self.rng = rng = random.Random(seed)
        self.clock = Clock(START - timedelta(minutes=rng.choice([1, 8]), seconds=rng.uniform(10, 40)))
        self.ledger = Ledger(SqliteStore(":memory:", self.clock))
        self.baton = Baton(rng, self.clock, rng.choice([0.5, 0.8, 0.95]))
        self.countdown = countdown
        self.misfortune = draw_misfortune(rng) if countdown is None else Misfortune()
        self.configs = draw_configs(rng)
        self.deployed_at = self.clock() + timedelta(minutes=rng.uniform(2, 7))
        self.world = World(self.ledger, self.clock, seed=seed, duplicate=rng.choice([0.0, 0.1]), config=self.configs[1])
        self.world.services = self._services(self.ledger, self.world.bus)
        self.began = minute_floor(self.clock())
        letters = draw_letters(rng)
        self.away = draw_away(rng)
        self.ends = from_minute(self.began) + timedelta(minutes=len(letters[REGIONS[0]])) + self.away
        points = [one for region in REGIONS for one in draw_points(rng, self.began, letters[region], region)]
        self.owed = sorted(points, key=lambda one: one[0])
        self.is_over = False

    def play(self) -> None:
        """The night is over, all is well for some minutes, and nothing is owed to anybody when this returns."""
        if self.rng.random() < 0.9:  # else the evaluators' first calls ever are in the night
            self.ledger.inner.commit([Put(STATE_PATH, {"minute": self.began})])
        evaluators = [self._evaluate] * self.rng.choice([2, 2, 2, 3])
        works = [self._publish, *[self._serve] * 3, *evaluators, self._look("ann"), self._look("bob")]
        with patch.object(evaluator, "tick", self.ledger.tick):
            self.baton.run(works)
            self._morning()

    def _morning(self) -> None:
        """Good values, and one evaluation a minute, until everything has ended and been told."""
        self.is_over = True
        self.clock.time = self.ends
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
        assert not any(self.world.bus.undelivered().values()), "nothing is owed to anybody, nor a dead letter"
        assert self.ledger.list("outbox").documents == (), "nothing is left in the outbox"

    def _services(self, store: Store, bus: Bus) -> Services:
        channels: dict[str, Channel] = {name: Receiver(self, name) for name in ("chat", "pager")}
        return replace(self.world.services, store=store, bus=bus, channels=channels, sleep=self.clock.sleep)

    def _instance(self, misfortune: float, stall: Callable[[], None]) -> Services:
        """The services of one instance, to each of whose calls something may happen."""
        fate = Fate(self.rng, 4 * misfortune, stall)
        store: Store = SteppedStore(self.ledger, self.baton, self.rng, misfortune, stall=stall)
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
            self.world.deliver(services)
            self.baton.sleep(self.rng.uniform(0.2, 5))

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

    def _look(self, name: str) -> Callable[[], None]:
        """Somebody who looks at what fires now and then, and does something about it."""

        def look() -> None:
            store = self._instance(self.misfortune.person, self._freeze).store
            while self.clock() < self.ends:
                self.baton.sleep(self.rng.uniform(10, 90))
                firing = self._insist(lambda: _firing(store)) or []
                if firing:
                    self._act(store, name, self.rng.choice(firing))

        return look

    def _act(self, store: Store, name: str, alert: AlertState) -> None:
        """Take an alert, silence it or its region, or end a silence."""
        rng, fired_at = self.rng, alert.fired_at or self.clock()
        deed = rng.random()
        if deed < 0.5:
            taken = self._insist(lambda: acknowledge(store, alert.fingerprint, fired_at, name, "on it", self.clock()))
            first = self.ledger.acks.get(ack_path(alert.fingerprint, fired_at))
            assert taken is None or (first and taken.ack == ack_from_fields(first)), "people are told who has an alert"
        elif deed < 0.8:
            matchers = rng.choice([matchers_of(dict(alert.labels), alert.rule_id), (Matcher("severity", "critical"),)])
            starts_at = self.clock() + timedelta(seconds=rng.choice([-60, 0, 60]))
            ends_at = self.clock() + timedelta(seconds=rng.uniform(70, 300))
            silence_id = f"{name}-{len(self.ledger.silences)}"
            self._insist(
                lambda: silence(store, silence_id, matchers, starts_at, ends_at, name, "a deploy", self.clock())
            )
        elif self.ledger.silences:
            silence_id = rng.choice(list(self.ledger.silences)).partition("/")[2]
            self._insist(lambda: end_silence(store, silence_id, name, "", self.clock()))

    def _insist(self, ask: Callable[[], T]) -> T | None:
        """Ask until there is an answer, as somebody does whose page did not load; None for a refusal."""
        while True:
            try:
                return ask()
            except PermanentError:
                return None
            except (Crash, TransientError):
                self.baton.sleep(self.rng.uniform(1, 5))


def _firing(store: Store) -> list[AlertState]:
    return [alert for one in store.list("alerts").documents for alert in alerts_in(one) if alert.is_firing]


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
