"""The system that the setup command talks to: the deployment of the environment, or the newest local run."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .adapters.cloud_policies import CloudPolicies
from .adapters.sqlite_store import SqliteStore
from .config import Config, load_config
from .errors import ConfigError, TransientError
from .manifest import load_manifest
from .permissions import Permissions
from .store import Store
from .verification import Check, Publish
from .wiring import build, utc_now

LOCAL_PROJECT = "ion-local"
NOTHING_RUNS = "Nothing runs here: `make run` starts everything locally, and ION_PROJECT=... names a deployment."
_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class System:
    """Where it is, its store, how to publish to it, and how it is started.

    ``permissions`` looks at what its parts may do; a local run has none.
    """

    name: str
    store: Store
    publish: Publish
    start: str
    sleep: Callable[[float], None] = time.sleep
    permissions: Callable[[], Iterable[Check]] = tuple


def find_system(folder: Path) -> System:
    """What the environment names, or the newest database in a folder of local runs. Raises ``ConfigError``."""
    environment = load_config(defaults={"ION_PROJECT": LOCAL_PROJECT})
    if environment.project != LOCAL_PROJECT or environment.firestore_emulator_host:
        services = build(environment)

        def publish(topic: str, data: bytes, attributes: Mapping[str, str]) -> None:
            services.bus.publish(services.topic(topic), data, dict(attributes))

        name, start = f"project {environment.project}", "make plan, and apply it"
        is_emulated = environment.firestore_emulator_host or environment.pubsub_emulator_host
        return System(
            name, services.store, publish, start, permissions=tuple if is_emulated else _permissions(environment)
        )
    found = sorted(folder.glob("run-*.sqlite"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ConfigError(NOTHING_RUNS)
    return System(f"the local run {found[-1]}", SqliteStore(found[-1], utc_now), _to_port(found[-1]), "make run")


def _permissions(environment: Config) -> Permissions:
    project = environment.project
    return Permissions(project, environment.prefix, environment.database, load_manifest(), CloudPolicies(project))


def _to_port(database: Path) -> Publish:
    """Publishing to the process that has a database: its name says on which port that answers."""
    port = database.stem.removeprefix("run-")

    def publish(topic: str, data: bytes, attributes: Mapping[str, str]) -> None:
        message = {"data": base64.b64encode(data).decode("ascii"), "attributes": dict(attributes)}
        request = urllib.request.Request(
            f"http://127.0.0.1:{int(port)}/v1/projects/{LOCAL_PROJECT}/topics/{topic}:publish",
            json.dumps({"messages": [message]}).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):  # noqa: S310 - as above
                return
        except (urllib.error.URLError, OSError, ValueError) as error:
            raise TransientError("publish_failed", f"port {port}: {error}") from error

    return publish
