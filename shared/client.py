"""A service's own publisher, as its environment says: to Pub/Sub, to an emulator or a local run, or nowhere.

Whatever is wrong with the environment is said once in the log and is no reason to fail. All modules that publishing
needs are loaded here, on the thread that makes the publisher: a process that forks while another thread imports would
leave its child with half a module.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .config import ClientConfig, load_client_config
from .errors import MonitoringError
from .logs import try_log
from .publishing import BackgroundPublisher

if TYPE_CHECKING:
    from .adapters.pubsub_http import Credentials
    from .publisher import Send


def publisher_from_environment(environ: Mapping[str, str] | None = None) -> BackgroundPublisher:
    """A publisher; never raises. ``environ`` None is the process's own environment."""
    config = _read(environ)
    send = sender(config)
    spool = config.spool if config.project else None
    try:
        return BackgroundPublisher(send, config.writer, spool=spool)
    except MonitoringError as error:
        try_log("writer_refused", "WARNING", detail=error.detail)
        return BackgroundPublisher(send, spool=spool)


def region_from_environment(environ: Mapping[str, str] | None = None) -> str:
    """The region in the environment; empty where there is none."""
    return _read(environ).region


def sender(config: ClientConfig) -> Send:
    """What publishes a message as a configuration says; without a project nothing does."""
    if not config.project:
        try_log("publishing_off", "INFO", detail="ION_PROJECT is not set: metrics stay in this process")
        return _nowhere
    from .adapters.pubsub_http import HttpTopic

    host = config.pubsub_emulator_host
    return HttpTopic(
        config.project, config.topic, time.monotonic, host=host, credentials=None if host else _credentials(config)
    )


def _read(environ: Mapping[str, str] | None) -> ClientConfig:
    try:
        return load_client_config(environ)
    except MonitoringError as error:
        try_log("invalid_configuration", "WARNING", detail=error.detail)
        return ClientConfig()


def _credentials(config: ClientConfig) -> Credentials:
    """Those of a file, where there is one; else the metadata server's."""
    from .adapters.pubsub_http import METADATA_HOST, MetadataServer

    if config.credentials_file is not None:
        try:
            from .adapters.google_credentials import GoogleCredentials

            return GoogleCredentials()
        except ImportError:
            try_log("google_auth_missing", "WARNING", detail="needs google-auth: pip install '.[google]'")
    return MetadataServer(config.metadata_host or METADATA_HOST)


def _nowhere(_: bytes, __: Mapping[str, str]) -> None:
    """Takes a message, and is its end."""
