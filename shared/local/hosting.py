"""What the live run and the replay share: services on a backend, the functions, and the one server before them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from ..channels import Channel
from ..channels.inbox import InboxChannel
from ..channels.setup import set_up
from ..config import Config
from ..manifest import Manifest
from ..monitoring_config import MonitoringConfig
from ..store import Store
from ..wiring import Services, use
from .backends import PROJECT, Backend
from .functions import Functions, OnFailure
from .narrator import AnnouncedChannel
from .publishing import PublishRoute
from .server import HOST, Server, bind, port_of, router


@dataclass(frozen=True, slots=True)
class Hosted:
    """A run whose server answers at ``url``."""

    url: str
    services: Services
    backend: Backend
    functions: Functions

    def evaluate(self) -> int:
        """Call the function ``evaluate``; the HTTP status it answers."""
        return self.functions.call("evaluate")

    def tune(self) -> int:
        """Call the function ``tune``; the HTTP status it answers."""
        return self.functions.call("tune")


@dataclass(frozen=True, slots=True)
class Host:
    """What a run is made from. ``now`` and ``sleep`` are its clock; ``failed`` is told what a function raised."""

    manifest: Manifest
    monitoring: MonitoringConfig
    config: Config
    say: Callable[[str], None]
    failed: OnFailure
    now: Callable[[], datetime]
    sleep: Callable[[float], None]

    @contextmanager
    def serving(self, backend: Backend, listener: socket.socket | None) -> Iterator[Hosted]:
        """Wire the services, answer on ``listener`` and deliver; everything has ended afterwards.

        Without a listener nothing is served, ``url`` is empty, and only a backend that delivers in the process works.
        """
        url = f"http://{HOST}:{port_of(listener)}" if listener else ""
        services = Services(
            config=self.monitoring,
            store=backend.store,
            bus=backend.bus,
            channels=self._channels(backend.store, url),
            now=self.now,
            sleep=self.sleep,
            heartbeat_url=self.config.heartbeat_url,
            slack_signing_secret=self.config.slack_signing_secret,
            pagerduty_webhook_secret=self.config.pagerduty_webhook_secret,
        )
        use(services)
        functions = Functions.load(self.manifest, PROJECT, self.failed)
        route = PublishRoute(backend.bus, PROJECT, self.manifest.topics)
        app = router(functions.app("dashboard"), route, backend.pushed, functions.app("hooks"))
        server = Server(listener, app) if listener else None
        try:
            if server:
                server.start()
            backend.start(functions, url)
            yield Hosted(url, services, backend, functions)
        finally:
            backend.stop()
            if server:
                server.stop()

    def _channels(self, store: Store, url: str) -> dict[str, Channel]:
        """The local inbox, and what the environment sets up beside it; each delivery is said."""
        made: dict[str, Channel] = {**set_up(self.config, self.monitoring.settings, url), "inbox": InboxChannel(store)}
        links = {"inbox": f"{url}/inbox"}
        return {name: AnnouncedChannel(name, one, self.say, links.get(name, "")) for name, one in made.items()}


def listen(port: int, say: Callable[[str], None]) -> socket.socket:
    """Listen on ``port``, or say that it is busy and take the next free one. Raises OSError without any."""
    listener = bind(port)
    if port_of(listener) != port and port:
        say(f"Port {port} is busy, so this run is on port {port_of(listener)}; PORT=... chooses another.")
    return listener
