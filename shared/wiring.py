"""Wiring: one place builds the adapters, on first use, and keeps them for warm starts.

Nothing is built at import, and each function imports only what it runs on: somebody waits for a cold start. A local
run and the tests put their own services in place with ``use``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from .adapters.deferred_bus import DeferredBus
from .bus import Bus
from .config import Config, load_config
from .monitoring_config import MonitoringConfig
from .store import Store

if TYPE_CHECKING:
    from .channels import Channel
    from .dashboard import DashboardPages
    from .evaluator import Evaluator
    from .ingest import Ingest
    from .notify import Notify
    from .reader import Reader


def utc_now() -> datetime:
    """The clock: aware UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Services:
    """What the functions run on. ``topic`` turns a topic's name in the manifest into its name on the bus."""

    config: MonitoringConfig
    store: Store
    bus: Bus
    channels: Mapping[str, Channel]
    topic: Callable[[str], str] = str
    now: Callable[[], datetime] = utc_now
    sleep: Callable[[float], None] = time.sleep

    @cached_property
    def reader(self) -> Reader:
        """What pages read with; it remembers what it read."""
        from .reader import Reader

        return Reader(self.store)

    def ingest(self) -> Ingest:
        """The function ``ingest``."""
        from .ingest import Ingest

        kinds = {metric.name: metric.kind for metric in self.config.metrics}
        return Ingest(self.store, self.bus, self.topic("metrics-dead-letter"), kinds)

    def evaluate(self) -> Evaluator:
        """The function ``evaluate``."""
        from .evaluator import Evaluator

        return Evaluator(self.store, self.bus, self.config, self.topic("notifications"), self.now, self.sleep)

    def notify(self) -> Notify:
        """The function ``notify``."""
        from .notify import Notify

        return Notify(self.store, self.channels, self.now)

    def dashboard(self) -> DashboardPages:
        """The function ``dashboard``."""
        from .dashboard import DashboardPages

        is_local = "inbox" in self.channels
        return DashboardPages(self.config, self.reader, self.now, has_inbox=is_local, takes_deeds=is_local)


_lock = Lock()
_services: list[Services] = []


def services() -> Services:
    """The services in use; built from the environment the first time. Raises ConfigError."""
    with _lock:
        if not _services:
            _services.append(build(load_config()))
        return _services[0]


def use(replacement: Services) -> None:
    """Put services in place of whatever is there."""
    with _lock:
        _services[:] = [replacement]


def build(config: Config) -> Services:
    """Services on Firestore and Pub/Sub, or on their emulators where the configuration names them."""
    from .adapters.firestore_store import FirestoreStore

    store = FirestoreStore(config.project, config.database, config.firestore_emulator_host)
    return Services(
        config=_monitoring_config(config),
        store=store,
        bus=DeferredBus(lambda: _pubsub(config)),
        channels=channels(store, config.webhook_url.reveal() if config.webhook_url else "", config.dashboard_url or ""),
        topic=lambda name: f"{config.prefix}{name}",
    )


def _pubsub(config: Config) -> Bus:
    from .adapters.pubsub_bus import PubSubBus

    return PubSubBus(config.project, config.pubsub_emulator_host)


def channels(store: Store, webhook_url: str, dashboard_url: str, *, inbox: bool = False) -> dict[str, Channel]:
    """The channels that are set up here, by name."""
    from .channels.inbox import InboxChannel
    from .channels.webhook import WebhookChannel, post

    found: dict[str, Channel] = {}
    if webhook_url:
        found["webhook"] = WebhookChannel(webhook_url, dashboard_url, post)
    if inbox:
        found["inbox"] = InboxChannel(store)
    return found


def _monitoring_config(config: Config) -> MonitoringConfig:
    if config.config_path is None:
        return MonitoringConfig()
    return MonitoringConfig.from_json(Path(config.config_path).read_text(encoding="utf-8"))
