"""What a local run stands on: the embedded adapters, or the real Pub/Sub and Firestore emulators.

A backend holds the store and the bus, delivers what is published to the functions, and can tell when all of it has
been acknowledged. ``Embedded`` delivers from threads as time passes; ``Stepped`` delivers in the caller's thread and
only while asked to, so that a replay is the same every time; ``Emulated`` leaves delivering to Pub/Sub's own push.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from threading import Condition
from typing import TYPE_CHECKING, Protocol

from ..adapters.local_bus import FailureHook, LocalBus, LocalBusRunner
from ..bus import Bus
from ..errors import MonitoringError
from ..manifest import Manifest
from ..store import Store
from .functions import Functions

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PROJECT = "ion-local"


class Backend(Protocol):
    """The ground under a local run."""

    store: Store
    bus: Bus

    def start(self, functions: Functions, url: str) -> None:
        """Begin to deliver to the functions; ``url`` is where the run's server answers."""
        ...

    def pushed(self, name: str) -> WSGIApplication | None:
        """The application behind ``/functions/{name}``, where deliveries come over HTTP."""
        ...

    def deliver(self, timeout_seconds: float) -> bool:
        """Wait until everything published has been acknowledged; False when the time passes first."""
        ...

    def stop(self) -> None:
        """End everything the backend started, within seconds."""
        ...


def local_bus(manifest: Manifest, now: Callable[[], datetime]) -> LocalBus:
    """The bus in this process with the manifest's topics and subscriptions."""
    return LocalBus(manifest.topics, manifest.subscriptions(), now, project=PROJECT)


class Embedded:
    """A store of this process and the bus in it, delivering from threads."""

    def __init__(self, manifest: Manifest, store: Store, now: Callable[[], datetime], on_failure: FailureHook) -> None:
        self.store = store
        self._local = local_bus(manifest, now)
        self.bus: Bus = self._local
        self._on_failure = on_failure
        self._runner: LocalBusRunner | None = None

    def start(self, functions: Functions, url: str) -> None:  # noqa: ARG002 # nothing is pushed over HTTP
        """See ``Backend.start``."""
        handlers = {one.push: functions.push for one in self._local.push_subscriptions() if one.push is not None}
        self._runner = LocalBusRunner(self._local, handlers, self._on_failure)
        self._runner.start()

    def pushed(self, name: str) -> WSGIApplication | None:  # noqa: ARG002
        """Nothing: see ``start``."""
        return None

    def deliver(self, timeout_seconds: float) -> bool:
        """See ``Backend.deliver``."""
        return self._local.wait_until_idle(timeout_seconds)

    def stop(self) -> None:
        """See ``Backend.stop``."""
        if self._runner is not None:
            self._runner.stop(2.0)


class Stepped:
    """A store of this process and the bus in it, delivering when asked to, in an order that ``seed`` decides."""

    def __init__(
        self, manifest: Manifest, store: Store, now: Callable[[], datetime], on_failure: FailureHook, seed: int
    ) -> None:
        self.store = store
        self._local = local_bus(manifest, now)
        self.bus: Bus = self._local
        self._on_failure = on_failure
        self._rng = random.Random(seed)
        self._functions: Functions | None = None

    def start(self, functions: Functions, url: str) -> None:  # noqa: ARG002 # nothing is pushed over HTTP
        """See ``Backend.start``."""
        self._functions = functions

    def pushed(self, name: str) -> WSGIApplication | None:  # noqa: ARG002
        """Nothing: see ``start``."""
        return None

    def deliver(self, timeout_seconds: float) -> bool:  # noqa: ARG002 # no time passes while it delivers
        """Deliver what is due; False when something is left that falls due later."""
        if self._functions is None:
            return False
        while (delivery := self._local.step(self._rng)) is not None:
            name, ack_ids = delivery.subscription.name, [delivery.received.ack_id]
            try:
                self._functions.push(delivery.received.message, delivery.subscription)
            except MonitoringError as error:
                self._local.nack(name, ack_ids)
                self._on_failure(delivery, error)
            else:
                self._local.ack(name, ack_ids)
        return self._local.is_idle()

    def stop(self) -> None:
        """Nothing runs."""


class Emulated:
    """The real emulators, started here and ended by ``stop``; Pub/Sub pushes to the run's own server."""

    def __init__(self, manifest: Manifest) -> None:
        from ..adapters.firestore_store import FirestoreStore
        from ..adapters.pubsub_bus import PubSubBus
        from . import emulators

        self._manifest = manifest
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as starting:
            firestore = starting.enter_context(emulators.firestore_emulator(project=PROJECT))
            pubsub = starting.enter_context(emulators.pubsub_emulator(project=PROJECT))
            self._stack = starting.pop_all()
        self._pubsub_host = pubsub.host
        real = PubSubBus(PROJECT, pubsub.host)
        self._stack.callback(real.close)
        pushing = {one.topic for one in manifest.subscriptions() if one.push is not None}
        self._tracked = Tracked(real, pushing)
        self.store: Store = FirestoreStore(PROJECT, emulator_host=firestore.host)
        self.bus: Bus = self._tracked
        self._functions: Functions | None = None

    def start(self, functions: Functions, url: str) -> None:
        """See ``Backend.start``; the server must answer by now."""
        from ..adapters.pubsub_bus import create_resources

        self._functions = functions
        subscriptions = self._manifest.subscriptions()
        endpoints = {one.push: f"{url}/functions/{one.push}" for one in subscriptions if one.push is not None}
        create_resources(PROJECT, self._pubsub_host, self._manifest.topics, subscriptions, endpoints)

    def pushed(self, name: str) -> WSGIApplication | None:
        """A pushed function's application, which notes what it has acknowledged."""
        names = {one.push for one in self._manifest.subscriptions()}
        if self._functions is None or name not in names:
            return None
        return self._tracked.noting(self._functions.app(name))

    def deliver(self, timeout_seconds: float) -> bool:
        """See ``Backend.deliver``."""
        return self._tracked.wait_until_idle(timeout_seconds)

    def stop(self) -> None:
        """See ``Backend.stop``."""
        self._stack.close()


class Tracked:
    """A bus that knows which of its messages have been acknowledged by a push, whichever it hears of first."""

    def __init__(self, inner: Bus, pushing: Iterable[str]) -> None:
        self._inner = inner
        self._pushing = frozenset(pushing)
        self._published: set[str] = set()
        self._early: set[str] = set()
        self._publishing = 0
        self._changed = Condition()
        self.pull, self.ack, self.nack = inner.pull, inner.ack, inner.nack

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str] | None = None) -> str:
        """See ``Bus.publish``."""
        if topic not in self._pushing:
            return self._inner.publish(topic, data, attributes)
        with self._changed:
            self._publishing += 1
        message_id = ""
        try:
            message_id = self._inner.publish(topic, data, attributes)
        finally:
            self._note_published(message_id)
        return message_id

    def noting(self, app: WSGIApplication) -> WSGIApplication:
        """The application, noting the message of every push that it answers with 2xx."""

        def note(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
            statuses: list[str] = []

            def start(status: str, *rest: object) -> Callable[[bytes], object]:
                statuses.append(status)
                return start_response(status, *rest)  # type: ignore[arg-type]  # passed on as it came

            answer = list(app(environ, start))
            if statuses[-1].startswith("2"):
                self._note_acknowledged(str(json.loads(body)["message"]["messageId"]))
            return answer

        return note

    def wait_until_idle(self, timeout_seconds: float) -> bool:
        """Wait until all that was published has been acknowledged; False when the time passes first."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._published and not self._publishing, timeout_seconds)

    def _note_published(self, message_id: str) -> None:
        with self._changed:
            self._publishing -= 1
            if message_id and message_id not in self._early:
                self._published.add(message_id)
            self._early.discard(message_id)
            self._changed.notify_all()

    def _note_acknowledged(self, message_id: str) -> None:
        with self._changed:
            if message_id in self._published:
                self._published.remove(message_id)
            elif self._publishing:
                self._early.add(message_id)
            self._changed.notify_all()
