"""Whole episodes: a violation is measured, told on every channel, taken with a signed button, and ended.

Everything runs as in a deployment: the functions behind functions-framework, the bus delivering to them, the real
channels before the vendors' fakes. Only the minutes are not waited for: the clock is set, in the hour before now.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from werkzeug.test import Client

from shared.channels import Channel
from shared.channels.posting import Post, Reply
from shared.channels.slack_blocks import ACKNOWLEDGE
from shared.config import Config, Secret
from shared.configuration import document
from shared.local.backends import PROJECT, Backend
from shared.local.clock import ManualClock
from shared.local.hosting import Host, Hosted
from shared.local.server import bind
from shared.logs import Captured
from shared.manifest import load_manifest
from shared.monitoring_config import MonitoringConfig
from shared.rules import Aggregation, AlertRule, MetricThreshold, MetricType, Query, Selection, Severity
from shared.timeline import MINUTE_SECONDS, from_minute, iso, minute_floor
from shared.wiring import use
from tests import vendors
from tests.conversations import RIGS, Rig
from tests.hook_requests import SLACK_SECRET, button, headers_of

CHANNELS = ("slack", "pagerduty", "email", "sentry", "webhook")
BAD, GOOD = 1000.0, 1.0
RULE = AlertRule(
    "Level",
    "The level is high.",
    MetricType.BUSINESS,
    MetricThreshold(100.0, severity=Severity.CRITICAL),
    evaluation_window=60,
    min_occurrences=1,
    cooldown_period=0,
    notification_channels=CHANNELS,
    query=Query(Selection("users_active"), Aggregation.LAST, group_by=("region",)),
)
MINUTES = 3
"""Of an episode: it fires, it is taken, it ends, and the minute after that is good."""


@dataclass(frozen=True, slots=True)
class Times:
    """How long parts of an episode took, in seconds: until the last channel was asked, and what is before."""

    stored: float
    evaluated: float
    told: float


class Episodes:
    """A deployment on a backend that plays one episode after the other, each of another region."""

    def __init__(self, backend: Callable[[ManualClock], Backend], now: datetime, episodes: int) -> None:
        first = from_minute(minute_floor(now) - MINUTE_SECONDS * (MINUTES * episodes + 5))
        self.clock = ManualClock(first)
        self.asked: list[float] = []
        self.rigs: dict[str, Rig] = {name: RIGS[name](self._noting) for name in CHANNELS}
        self.failed: list[str] = []
        self._backend = backend
        self._stack = ExitStack()

    def _noting(self, post: Post) -> Post:
        def noted(url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
            self.asked.append(time.perf_counter())
            return post(url, body, headers)

        return noted

    def __enter__(self) -> Episodes:
        monitoring = MonitoringConfig(replace(document.defaults(), rules=(RULE,)))
        host = Host(
            load_manifest(), monitoring, Config(PROJECT), self.failed.append,
            lambda function, error: self.failed.append(f"{function}: {error!r}"), self.clock.now, self.clock.sleep,
        )  # fmt: skip
        listener = self._stack.enter_context(bind(0))
        self.hosted: Hosted = self._stack.enter_context(host.serving(self._backend(self.clock), listener))
        channels: dict[str, Channel] = {name: rig.channel for name, rig in self.rigs.items()}
        use(replace(self.hosted.services, channels=channels, slack_signing_secret=Secret(SLACK_SECRET)))
        self.hosted.evaluate()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def play(self, number: int) -> Times:
        """One episode, checked on its way. Raises AssertionError."""
        region = f"region-{number}"
        times = self._minute(region, BAD)
        self._check(number, "Critical", "triggered")
        self._press(number)
        self._check(number, "Acknowledged by maria.kessler", "acknowledged")
        self._minute(region, GOOD)
        self._check(number, "Resolved after 1 min", "resolved")
        self._minute(region, GOOD)
        return times

    def _minute(self, region: str, value: float) -> Times:
        """A value in the running minute, and the evaluation at its end."""
        at = self.clock.now() + timedelta(seconds=30)
        began = time.perf_counter()
        point = {"metric": "users_active", "labels": {"region": region}, "timestamp": iso(at), "value": value}
        self.clock.sleep(MINUTE_SECONDS)
        self._publish(point)
        stored = time.perf_counter()
        self.asked.clear()
        assert self.hosted.evaluate() == 200, self.failed
        evaluated = time.perf_counter()
        self._deliver()
        last = max(self.asked, default=evaluated)
        return Times(stored - began, evaluated - stored, max(last, evaluated) - stored)

    def _publish(self, point: Mapping[str, object]) -> None:
        self.hosted.services.bus.publish("metrics", json.dumps({"version": 1, "points": [point]}).encode())
        self._deliver()

    def _deliver(self) -> None:
        assert self.hosted.backend.deliver(60.0), self.failed

    def _press(self, number: int) -> None:
        """Somebody presses Acknowledge under the newest message."""
        workspace = self.rigs["slack"].vendor
        assert isinstance(workspace, vendors.Slack)
        (elements,) = [one["elements"] for one in workspace.conversations()[number].blocks if one["type"] == "actions"]
        (value,) = [one["value"] for one in elements if one["action_id"] == ACKNOWLEDGE]
        body = button(ACKNOWLEDGE, value)
        client = Client(self.hosted.functions.app("hooks"))
        assert client.post("/slack", data=body, headers=headers_of(body, self.clock.now())).status_code == 200
        self._deliver()

    def _check(self, number: int, words: str, incident: str) -> None:
        """What each vendor shows of an episode: one message, one incident, one thread, one issue."""
        workspace, service = self.rigs["slack"].vendor, self.rigs["pagerduty"].vendor
        assert isinstance(workspace, vendors.Slack)
        assert isinstance(service, vendors.PagerDuty)
        assert len(workspace.conversations()) == number + 1
        assert words in str(workspace.conversations()[number].blocks)
        assert [one.status for one in service.incidents[number:]] == [incident]
        assert len(service.open()) == (incident != "resolved")

    def counts(self) -> dict[str, int]:
        """What mail, Sentry and the webhook have of all episodes."""
        mail, project, receiver = (self.rigs[name].vendor for name in ("email", "sentry", "webhook"))
        assert isinstance(mail, vendors.Mailbox)
        assert isinstance(project, vendors.Sentry)
        assert isinstance(receiver, vendors.Receiver)
        return {"email": len(mail.mails), "sentry": len(project.events), "webhook": len(receiver.seen)}


def play(backend: Callable[[ManualClock], Backend], episodes: int) -> list[Times]:
    """Some episodes in a row on a backend, all checked; how long each took."""
    with Captured(), Episodes(backend, datetime.now(UTC), episodes) as playing:
        times = [playing.play(number) for number in range(episodes)]
        assert playing.counts() == {"email": 2 * episodes, "sentry": 2 * episodes, "webhook": 3 * episodes}
        assert playing.failed == []
    return times
