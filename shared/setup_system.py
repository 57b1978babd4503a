"""The system that the setup command talks to: the deployment of the environment, or the newest local run."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
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
_USUAL_PORT = 8080


@dataclass(frozen=True, slots=True)
class System:
    """Where it is, its store, how to publish to it, and how it is started.

    ``parts`` looks at what is not seen in storage: whether a local run's process answers, what a deployment's may do.
    """

    name: str
    store: Store
    publish: Publish
    start: str
    sleep: Callable[[float], None] = time.sleep
    parts: Callable[[], Iterable[Check]] = tuple


def find_system(folder: Path) -> System:
    """What the environment names, or the newest database in a folder of local runs. Raises ``ConfigError``."""
    environment = load_config(defaults={"ION_PROJECT": LOCAL_PROJECT})
    if environment.project != LOCAL_PROJECT or environment.firestore_emulator_host:
        services = build(environment)

        def publish(topic: str, data: bytes, attributes: Mapping[str, str]) -> None:
            services.bus.publish(services.topic(topic), data, dict(attributes))

        name, start = f"project {environment.project}", "make plan, and apply it"
        is_emulated = environment.firestore_emulator_host or environment.pubsub_emulator_host
        return System(name, services.store, publish, start, parts=tuple if is_emulated else _permissions(environment))
    found = sorted(folder.glob("run-*.sqlite"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ConfigError(NOTHING_RUNS)
    port = int(found[-1].stem.removeprefix("run-"))
    store, parts = SqliteStore(found[-1], utc_now), partial(_answering, port)
    return System(f"the local run {found[-1]}", store, _to_port(port), "make run", parts=parts)


def _permissions(environment: Config) -> Permissions:
    project = environment.project
    return Permissions(project, environment.prefix, environment.database, load_manifest(), CloudPolicies(project))


def _answering(port: int) -> Iterator[Check]:
    """Whether the process of a local run is there: its database stays when it has gone."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=_TIMEOUT_SECONDS):
            yield Check("process", True, f"answers on port {port}")
    except (urllib.error.URLError, OSError) as error:
        fix = "make run" if port == _USUAL_PORT else f"make run PORT={port}"
        yield Check("process", False, f"port {port}: {error}", fix)


def _to_port(port: int) -> Publish:
    """Publishing to the process of a local run."""

    def publish(topic: str, data: bytes, attributes: Mapping[str, str]) -> None:
        message = {"data": base64.b64encode(data).decode("ascii"), "attributes": dict(attributes)}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/projects/{LOCAL_PROJECT}/topics/{topic}:publish",
            json.dumps({"messages": [message]}).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):  # noqa: S310 - as above
                return
        except (urllib.error.URLError, OSError, ValueError) as error:
            raise TransientError("publish_failed", f"port {port}: {error}") from error

    return publish
