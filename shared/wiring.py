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
from threading import Lock
from typing import TYPE_CHECKING

from .adapters.deferred_bus import DeferredBus
from .bus import Bus
from .config import Access, Config, Secret, cloud_run_revision, load_config
from .errors import ConfigError, MonitoringError
from .logs import log
from .monitoring_config import MonitoringConfig
from .store import Store

if TYPE_CHECKING:
    from .access import Gate
    from .channels import Channel
    from .channels.sentry import SentryWatch
    from .collector.collect import Collector
    from .configuration.models import Settings
    from .dashboard import DashboardPages
    from .evaluator import Report
    from .heartbeat import Heartbeat
    from .hooks import Hooks
    from .ingest import Ingest
    from .notifications import Notification
    from .notify import Notify
    from .reader import Reader
    from .tune import Tune


def utc_now() -> datetime:
    """The clock: aware UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Services:
    """What the functions run on. ``topic`` turns a topic's name in the manifest into its name on the bus.

    With ``settings`` the channels beside those given are set up when notify first needs them.
    """

    config: MonitoringConfig
    store: Store
    bus: Bus
    channels: Mapping[str, Channel]
    topic: Callable[[str], str] = str
    now: Callable[[], datetime] = utc_now
    sleep: Callable[[float], None] = time.sleep
    heartbeat_url: Secret | None = None
    slack_signing_secret: Secret | None = None
    pagerduty_webhook_secret: Secret | None = None
    settings: Config | None = None
    """The environment of a deployment, secrets included; None in a local run, which collects nothing."""
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
        letters = self.topic("metrics-dead-letter")
        return Ingest(self.store, self.bus, letters, kinds, self.now, self.config.settings.otlp_labels)

    def evaluate(self) -> Callable[[], Report]:
        """The function ``evaluate``; where Sentry is set up, watched from there. A DSN that is none stops nothing."""
        from .evaluator import Evaluator

        evaluator = Evaluator(self.store, self.bus, self.config, self.topic("notifications"), self.now, self.sleep)
        if self.settings is None or self.settings.sentry_dsn is None:
            return evaluator
        from .channels.sentry import watch_from

        with _lock:
            try:
                if not self._watches:
                    self._watches.append(watch_from(self.settings.sentry_dsn.reveal(), self.config.settings))
            except ConfigError as error:
                log("watch_refused", "ERROR", detail=error.detail)
                return evaluator
        return self._watches[0].watching("evaluate", evaluator)

    def heartbeat(self) -> Heartbeat:
        """What is told to the outside watchdog of the function ``evaluate``."""
        from .heartbeat import Heartbeat

        return Heartbeat(self.heartbeat_url)

    def notify(self) -> Notify:
        """The function ``notify``. Raises ConfigError for a secret that is none."""
        from .channels.setup import set_up
        from .evidence import EvidenceFrom
        from .notify import Notify

        def chart(notification: Notification) -> bytes | None:
            """What draws is imported when the first channel asks for a picture."""
            from .alert_charts import AlertCharts

            return AlertCharts(self.config, self.reader, self.now)(notification)

        with _lock:
            if self.settings is not None and not self._set_up:
                url = self.settings.dashboard_url or ""
                self._set_up.append(set_up(self.settings, self.config.settings, url))
        made = self._set_up[0] if self._set_up else {}
        evidence = EvidenceFrom(self.store, self.config, chart)
        return Notify(self.store, {**made, **self.channels}, self.now, evidence)

    def hooks(self) -> Hooks:
        """The function ``hooks``."""
        from .channels.posting import tell_in_slack
        from .hooks import Hooks

        topic, slack, pagerduty = self.topic("notifications"), self.slack_signing_secret, self.pagerduty_webhook_secret
        return Hooks(self.store, self.bus, self.config, topic, self.now, slack, pagerduty, tell_in_slack)

    def tune(self) -> Tune:
        """The function ``tune``."""
        from .tune import Tune

        return Tune(self.store, self.bus, self.config, self.topic("notifications"), self.now)

    def dashboard(self) -> DashboardPages:
        """The function ``dashboard``."""
        from .dashboard import DashboardPages

        def tell(told: Notification) -> None:
            self.bus.publish(self.topic("notifications"), told.to_json(), {"notification": told.id})

        has_inbox = "inbox" in self.channels
        return DashboardPages(self.config, self.reader, self.now, has_inbox=has_inbox, gate=self._gate, tell=tell)

    @cached_property
    def _gate(self) -> Gate:
        """Who may change something: in a local run whoever reaches it, as nobody else's machine can."""
        from .access import Gate

        known = self.settings
        if known is None:
            return Gate(Access.PROXY) if "inbox" in self.channels else Gate()
        if known.dashboard_access is not Access.IAP:
            return Gate(known.dashboard_access, known.operators)
        from .adapters.iap import IapAssertions

        return Gate(Access.IAP, known.operators, IapAssertions(known.iap_audience))

    def collect(self) -> Collector:
        """The function ``collect``, which remembers its connection. Raises ConfigError outside a deployment."""
        from .adapters.cloud_monitoring import CloudMonitoring
        from .collector.collect import Collector
        from .collector.sources import load_sources

        if self.settings is None:
            raise ConfigError("collect: nothing is collected in a local run")
        if not self._collectors:
            sources = load_sources(self.settings.collect_path, self.settings.prefix)
            api = CloudMonitoring(self.settings.project, self.settings.monitoring_emulator_host)
            self._collectors.append(Collector(self.store, self.bus, api, sources, self.topic("metrics"), self.now))
        return self._collectors[0]

    @cached_property
    def _collectors(self) -> list[Collector]:
        return []


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


def check_at_start(
    environ: Mapping[str, str] | None = None, also: Callable[[Config, Settings], object] | None = None
) -> None:
    """On Cloud Run, end the process when the configuration cannot be used, with one event that says what to mend.

    ``also`` is what the function makes of both, and raises ConfigError for. A revision that does not start gets no
    requests: the one before it goes on, and nothing is lost meanwhile. Elsewhere this does nothing, and whoever asks
    for the services is told. Raises SystemExit.
    """
    if not cloud_run_revision(environ):
        return
    try:
        config = load_config(environ)
        settings = monitoring_config(config).settings
        if also is not None:
            also(config, settings)
    except MonitoringError as error:
        log("configuration_refused", "CRITICAL", problems=error.detail.splitlines())
        raise SystemExit(1) from None


def build(config: Config) -> Services:
    """Services on Firestore and Pub/Sub, or on their emulators where the configuration names them.

    Raises ConfigError before anything is connected.
    """
    monitoring = monitoring_config(config)
    from .adapters.firestore_store import FirestoreStore

    store = FirestoreStore(config.project, config.database, config.firestore_emulator_host)
    return Services(
        config=monitoring,
        store=store,
        bus=DeferredBus(lambda: _pubsub(config)),
        channels={},
        topic=lambda name: f"{config.prefix}{name}",
        heartbeat_url=config.heartbeat_url,
        slack_signing_secret=config.slack_signing_secret,
        pagerduty_webhook_secret=config.pagerduty_webhook_secret,
        settings=config,
    )


def _pubsub(config: Config) -> Bus:
    from .adapters.pubsub_bus import PubSubBus

    return PubSubBus(config.project, config.pubsub_emulator_host)


def monitoring_config(config: Config) -> MonitoringConfig:
    """The monitoring configuration that the environment names, or the one that comes with the program.

    Raises ConfigError, in which every line begins with the variable: a file that cannot be read is no other mistake.
    """
    if config.config_path is None:
        return MonitoringConfig()
    try:
        return MonitoringConfig.from_json(config.config_path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"ION_CONFIG: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"ION_CONFIG: expected UTF-8, got {error.reason} at byte {error.start}") from error
    except ConfigError as error:
        raise ConfigError("\n".join(f"ION_CONFIG: {line}" for line in error.detail.splitlines())) from error
