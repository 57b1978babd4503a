"""The simulation: the functions on a store and the in-process bus, a clock that is set, and seeded misfortune.

``World`` runs what a deployment runs, minute by minute, without threads or sleeping. Deliveries may be duplicated,
reordered, and cut off by a crash at any store or bus call; what was promised must hold all the same.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from shared.adapters.local_bus import LocalBus
from shared.alerts import AlertState
from shared.bus import Message
from shared.channels.inbox import InboxChannel
from shared.collector.collect import Collected, Collector
from shared.collector.port import MonitoringApi
from shared.collector.sources import Source
from shared.errors import MonitoringError
from shared.evaluator import Evaluator, Report
from shared.manifest import load_manifest
from shared.monitoring_config import MonitoringConfig
from shared.notifications import Notification, notification_from_json
from shared.records import alerts_in
from shared.rollups import read_rollups
from shared.self_watch import without_own
from shared.series import Labels, Series, make_labels
from shared.store import Store
from shared.timeline import MINUTE_SECONDS, from_minute, iso, minute_floor
from shared.wiring import Services
from tests.fakes import Clock, Countdown, Crash, CrashingBus, CrashingStore, Unexpected


class World:
    """One deployment. ``duplicate`` is the chance that a delivery is made twice."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        seed: int = 0,
        duplicate: float = 0.0,
        config: MonitoringConfig | None = None,
    ) -> None:
        manifest = load_manifest()
        self.store = store
        self.clock = clock
        self.rng = random.Random(seed)
        self.duplicate = duplicate
        self.notified: dict[str, Notification] = {}
        self.heard: list[Notification] = []
        self.bus = LocalBus(manifest.topics, manifest.subscriptions(), now=clock)
        self.services = Services(
            config or MonitoringConfig(), store, self.bus, {"inbox": InboxChannel(store)}, now=clock, sleep=clock.sleep
        )

    def publish(self, *points: Mapping[str, Any], **envelope: object) -> bytes:
        """Publish points as native JSON; returns the message's data."""
        data = json.dumps({"version": 1, "points": list(points), **envelope}).encode()
        self.bus.publish("metrics", data)
        return data

    def deliver(
        self, services: Services | None = None, failed: Callable[[Message, BaseException], None] = lambda *_: None
    ) -> None:
        """Deliver all that is due now, in any order; a crash or a failure is a delivery that comes again.

        ``failed`` hears of each of those.
        """
        while (delivery := self.bus.step(self.rng)) is not None:
            subscription, received = delivery.subscription, delivery.received
            try:
                self.handle(subscription.push or "", received.message, services or self.services)
            except (MonitoringError, Crash, Unexpected) as error:
                failed(received.message, error)
                self.bus.nack(subscription.name, [received.ack_id])
                continue
            if self.rng.random() < self.duplicate:
                self.bus.repeat(delivery)
            else:
                self.bus.ack(subscription.name, [received.ack_id])

    def settle_deliveries(self) -> None:
        """Deliver until nothing is owed to a push subscription, letting the backoff pass."""
        self.deliver()
        for _ in range(200):
            due = self.bus.next_due()
            if due is None or not any(self.bus.undelivered().get(s.name) for s in self.bus.push_subscriptions()):
                return
            self.clock.time = max(self.clock.time, due)
            self.deliver()

    def handle(self, function: str, message: Message, services: Services) -> None:
        """What a push does: call the function."""
        if function == "ingest":
            services.ingest()(message)
        else:
            notification = notification_from_json(message.data)
            self.notified[notification.id] = notification
            self.heard.append(notification)
            services.notify()(message)

    def evaluate(self, services: Services | None = None) -> Report:
        """What Cloud Scheduler does every minute."""
        return (services or self.services).evaluate()()

    def collect(self, api: MonitoringApi, sources: Sequence[Source], services: Services | None = None) -> Collected:
        """What Cloud Scheduler does every minute, too, where something is collected."""
        running = services or self.services
        return Collector(running.store, running.bus, api, sources, running.topic("metrics"), running.now)()

    def crashing(self, countdown: Countdown) -> Services:
        """The same services, on ports that count down to a crash."""
        store = CrashingStore(self.store, countdown)
        bus = CrashingBus(self.bus, countdown)
        return replace(self.services, store=store, bus=bus, channels={"inbox": InboxChannel(store)})

    def next_minute(self) -> datetime:
        """Go to the next whole minute, deliver, evaluate, deliver; the evaluation time T."""
        minute = minute_floor(self.clock()) + MINUTE_SECONDS
        self.clock.time = from_minute(minute)
        self.deliver()
        self.evaluate()
        self.deliver()
        return from_minute(minute)

    def alerts(self) -> list[AlertState]:
        """All alerts that are remembered."""
        documents = self.store.list("alerts").documents
        return [alert for document in documents for alert in alerts_in(document)]

    def inbox(self) -> list[Notification]:
        """What the inbox received, by time and episode."""
        return [notification_from_json(one.fields["notification"]) for one in self.store.list("inbox").documents]

    def told(self) -> list[Notification]:
        """What was delivered to the inbox, or needed no delivery because its end tells it; by id."""
        found = [one.fields for one in self.store.list("deliveries").documents]
        done = [one["notification"] for one in found if one["state"] in ("sent", "superseded")]
        return [self.notified[one] for one in done]

    def totals(self, minutes: Iterable[int]) -> dict[Series, tuple[int, float]]:
        """Count and sum of every series over the rollups of some minutes."""
        found: dict[Series, tuple[int, float]] = {}
        for cells in map(without_own, read_rollups(self.store, list(minutes), self.clock()).values()):
            for row, name in enumerate(cells.series):
                count, total = found.get(name, (0, 0.0))
                found[name] = (count + int(cells.count[row]), total + float(cells.sum[row]))
        return found


def evaluator_of(services: Services) -> Evaluator:
    """The evaluator itself, to be changed."""
    evaluator = services.evaluate()
    assert isinstance(evaluator, Evaluator)
    return evaluator


def point(metric: str, at: datetime, value: float, **labels: str) -> dict[str, Any]:
    """A point of native JSON."""
    return {"metric": metric, "labels": labels, "timestamp": iso(at), "value": value}


def labels(**pairs: str) -> Labels:
    """Labels in canonical order."""
    return make_labels(pairs)


def minutes_between(first: datetime, last: datetime) -> list[int]:
    """The minutes that end in [first, last]."""
    return list(range(minute_floor(first), minute_floor(last + timedelta(seconds=59)) + 1, MINUTE_SECONDS))
