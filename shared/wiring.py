"""Wiring: one place builds the adapters, on first use, and keeps them for warm starts.

Nothing is built at import, and each function imports only what it runs on: somebody waits for a cold start. A local
run and the tests put their own services in place with ``use``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
    from .channels.sentry import SentryWatch
    from .dashboard import DashboardPages
    from .evaluator import Report
    from .evidence import Charts
    from .hooks import Hooks
    from .ingest import Ingest
    from .notify import Notify
    from .reader import Reader


def utc_now() -> datetime:
    """The clock: aware UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Services:
    """What the functions run on. ``topic`` turns a topic's name in the manifest into its name on the bus.

    ``chart`` draws what a notification is about, for the channels that show pictures; None where nothing is drawn.
    ``environment`` is what the secrets come from; with it the channels beside those given are set up when notify first
    needs them.
    """

    config: MonitoringConfig
    store: Store
    bus: Bus
    channels: Mapping[str, Channel]
    topic: Callable[[str], str] = str
    now: Callable[[], datetime] = utc_now
    sleep: Callable[[float], None] = time.sleep
    chart: Charts | None = None
    environment: Config | None = None
    _set_up: list[dict[str, Channel]] = field(default_factory=list, repr=False)
    _watches: list[SentryWatch] = field(default_factory=list, repr=False)

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

    def evaluate(self) -> Callable[[], Report]:
        """The function ``evaluate``; where Sentry is set up, watched from there. Raises ConfigError for its secret."""
        from .evaluator import Evaluator

        evaluator = Evaluator(self.store, self.bus, self.config, self.topic("notifications"), self.now, self.sleep)
        if self.environment is None or self.environment.sentry_dsn is None:
            return evaluator
        from .channels.sentry import watch_from

        with _lock:
            if not self._watches:
                self._watches.append(watch_from(self.environment.sentry_dsn.reveal(), self.config.settings))
        return self._watches[0].watching("evaluate", evaluator)

    def notify(self) -> Notify:
        """The function ``notify``. Raises ConfigError for a secret that is none."""
        from .channels.setup import set_up
        from .evidence import EvidenceFrom, no_chart
        from .notify import Notify

        with _lock:
            if self.environment is not None and not self._set_up:
                url = self.environment.dashboard_url or ""
                self._set_up.append(set_up(self.environment, self.config.settings, url))
        made = self._set_up[0] if self._set_up else {}
        evidence = EvidenceFrom(self.store, self.config, self.chart or no_chart)
        return Notify(self.store, {**made, **self.channels}, self.now, evidence)

    def hooks(self) -> Hooks:
        """The function ``hooks``."""
        from .channels.posting import tell_in_slack
        from .hooks import Hooks

        known, topic = self.environment, self.topic("notifications")
        slack, pagerduty = (known.slack_signing_secret, known.pagerduty_webhook_secret) if known else (None, None)
        return Hooks(self.store, self.bus, self.config, topic, self.now, slack, pagerduty, tell_in_slack)

    def dashboard(self) -> DashboardPages:
        """The function ``dashboard``."""
        from .dashboard import DashboardPages

        return DashboardPages(self.config, self.reader, self.now, has_inbox="inbox" in self.channels)


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

    monitoring = _monitoring_config(config)
    store = FirestoreStore(config.project, config.database, config.firestore_emulator_host)
    return Services(
        config=monitoring,
        store=store,
        bus=DeferredBus(lambda: _pubsub(config)),
        channels={},
        environment=config,
        topic=lambda name: f"{config.prefix}{name}",
    )


def _pubsub(config: Config) -> Bus:
    from .adapters.pubsub_bus import PubSubBus

    return PubSubBus(config.project, config.pubsub_emulator_host)


def _monitoring_config(config: Config) -> MonitoringConfig:
    if config.config_path is None:
        return MonitoringConfig()
    return MonitoringConfig.from_json(Path(config.config_path).read_text(encoding="utf-8"))
