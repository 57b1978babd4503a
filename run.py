"""The live run: everything in one process on the real clock, with the simulated fleet and its incident."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from ..adapters.sqlite_store import SqliteStore
from ..config import Config
from ..evaluator import STATE_PATH
from ..logs import Redirected
from ..manifest import Manifest, load_manifest
from ..monitoring_config import MonitoringConfig
from ..store import Store
from ..timeline import MINUTE_SECONDS, minute_floor
from ..wiring import Services, channels, use, utc_now
from .backends import PROJECT, Backend, Embedded, Emulated
from .fleet import Fleet
from .functions import Functions
from .incident import incident_at_start
from .narrator import AnnouncedChannel, Narrator
from .publishing import PublishRoute
from .scheduler import run_every_minute
from .server import HOST, Server, bind, port_of, router
from .traffic import Traffic, run_traffic

FIRST_MINUTES = 60
"""Published before the first page, so that its charts have a past."""
MORE_MINUTES = 120
"""Published after it."""
_DELIVERED_WITHIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a local run was asked for. ``port`` 0 is any free one; ``folder`` holds the database."""

    port: int
    emulators: bool
    keep: bool
    seed: int
    folder: Path


@dataclass(frozen=True, slots=True)
class Running:
    """The parts of a local run while its server answers at ``url``."""

    url: str
    services: Services
    backend: Backend
    functions: Functions


def run(options: RunOptions, config: Config, say: Callable[[str], None], stopping: Event) -> None:
    """Run until ``stopping`` is set or an exception such as KeyboardInterrupt ends it.

    Raises MonitoringError, OSError (no port) and RuntimeError (an emulator that does not start).
    """
    monitoring = load_monitoring(config)
    narrator = Narrator(monitoring, say)
    manifest = load_manifest()
    listener = bind(options.port)
    port = port_of(listener)
    if port != options.port and options.port:
        say(f"Port {options.port} is busy: using {port}. (make run PORT=... chooses another.)")
    with Redirected(narrator.event):
        backend = _backend(options, port, manifest, narrator)
        with serving(backend, manifest, monitoring, config, say, listener, stopping) as running:
            _live(running, options, say, stopping)


def load_monitoring(config: Config) -> MonitoringConfig:
    """The monitoring configuration that the environment names, or the default. Raises ConfigError."""
    if config.config_path is None:
        return MonitoringConfig()
    return MonitoringConfig.from_json(config.config_path.read_text(encoding="utf-8"))
