"""The product's own local server, with the simulated fleet behind it and a clock that moves only when it is told to.

The story, the same at every run: a bad release went to europe-west1 on 18 October 2025 and is still there, and it is
14:31:12. What is published is stored when the stage is told to deliver.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.adapters.sqlite_store import SqliteStore
from shared.bus import PUBLISH_TIME_ATTRIBUTE
from shared.config import Config
from shared.local.backends import PROJECT, Stepped
from shared.local.clock import ManualClock
from shared.local.fleet import Fleet
from shared.local.hosting import Host, Hosted
from shared.local.incident import BAD_RELEASE, ERROR_RATIO, NONE, REGION, SLOW_RATIO, Incident, Trouble
from shared.local.server import bind
from shared.local.traffic import Traffic
from shared.logs import Redirected
from shared.manifest import load_manifest
from shared.monitoring_config import MonitoringConfig
from shared.timeline import HOUR_SECONDS, MINUTE_SECONDS, from_minute, iso, minute_floor
from tests.world import point

NOW = datetime(2025, 10, 18, 14, 31, 12, tzinfo=UTC)
_SETTLED = timedelta(seconds=6)
_BEFORE_MINUTES = 2
"""Evaluated before the release, for what is quiet to be known as quiet."""


@dataclass(frozen=True, slots=True)
class LastingRelease(Incident):
    """A bad release that nobody takes back: its answers stay slow, its errors end."""

    def trouble(self, region: str, second: int) -> Trouble:
        """What is wrong in a region in the slice of time that ends at ``second`` (Unix)."""
        elapsed = second - self.start
        if region != REGION or elapsed <= 0:
            return NONE
        errors = ERROR_RATIO if elapsed <= self.error_seconds else 0.0
        return Trouble(errors, SLOW_RATIO, BAD_RELEASE if elapsed <= 10 else "")


class Stage:
    """A hosted run at a moment. ``url`` is where its pages are."""

    def __init__(self, hosted: Hosted, clock: ManualClock, traffic: Traffic) -> None:
        self.url = hosted.url
        self._hosted = hosted
        self._clock = clock
        self._traffic = traffic

    def now(self) -> datetime:
        """What its clock shows."""
        return self._clock.now()

    def publish(self, metric: str, value: float, **labels: str) -> None:
        """Publish one point that is a second old, and have it stored."""
        sent = point(metric, self.now() - timedelta(seconds=1), value, **labels)
        self.send(json.dumps({"version": 1, "points": [sent]}).encode(), {})
        self._deliver()

    def send(self, data: bytes, attributes: Mapping[str, str]) -> object:
        """Publish a message as of the stage's time."""
        return self._hosted.services.bus.publish(
            "metrics", data, {**attributes, PUBLISH_TIME_ATTRIBUTE: iso(self.now())}
        )

    def next_minute(self) -> None:
        """Let the fleet work until the next minute has settled, and have it evaluated."""
        self.evaluate_at(from_minute(minute_floor(self.now()) + MINUTE_SECONDS))

    def evaluate_at(self, minute: datetime) -> None:
        """Publish what the fleet measured until ``minute`` and evaluate there; the clock is a few seconds later."""
        self._clock.move_to(minute)
        self._traffic.publish_until(self.now())
        self._deliver()
        self._clock.move_to(minute + _SETTLED)
        assert self._hosted.evaluate() == 200
        self._deliver()

    def _deliver(self) -> None:
        assert self._hosted.backend.deliver(1.0)


@contextmanager
def staged(hours: float, release_minutes: int) -> Iterator[Stage]:
    """The stage with ``hours`` of the fleet before the release, which went out ``release_minutes`` before ``NOW``."""
    released = from_minute(minute_floor(NOW) - release_minutes * MINUTE_SECONDS)
    first = released - timedelta(minutes=_BEFORE_MINUTES)
    clock = ManualClock(first + _SETTLED)
    manifest = load_manifest()
    backend = Stepped(manifest, SqliteStore(":memory:", clock.now, synchronous="OFF"), clock.now, _fail, seed=1)
    host = Host(manifest, MonitoringConfig(), Config(PROJECT), _ignore, _fail, clock.now, clock.sleep)
    with Redirected(_ignore), host.serving(backend, bind(0)) as hosted:
        begin = minute_floor(first)
        fleet = Fleet(1, LastingRelease(minute_floor(released), 2 * MINUTE_SECONDS))
        stage = Stage(hosted, clock, Traffic(fleet, "boot", lambda *sent: stage.send(*sent), begin))
        stage._traffic.publish_past(begin - round(hours * HOUR_SECONDS), begin)
        for minute in range(begin, minute_floor(NOW) + MINUTE_SECONDS, MINUTE_SECONDS):
            stage.evaluate_at(from_minute(minute))
        clock.move_to(NOW)
        yield stage


def _ignore(_: str) -> None:
    """What a run says is not looked at here."""


def _fail(where: object, error: BaseException) -> None:
    raise AssertionError(where) from error
