"""Sentry: an event for each firing, one issue an alert, and check-ins that watch the evaluator from outside.

The SDK makes the envelopes, without integrations (5 ms instead of 50 at a cold start); the POST is ours, so that a
delivery is known to have been taken before it is recorded as sent. The event's id is a digest of the notification's:
Sentry drops a second event of one id in a project, so a repetition shows once. The fingerprint is rule and labels: all
episodes of an alert are one issue. An event cannot resolve an issue; the end is told as an event of level info.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import local
from typing import Any, TypeVar
from uuid import uuid4

from sentry_sdk import Client, Scope
from sentry_sdk.envelope import Envelope
from sentry_sdk.scope import use_scope
from sentry_sdk.transport import Transport
from sentry_sdk.utils import BadDsn, Dsn

from ..configuration.models import Sentry, Settings
from ..errors import ConfigError, MonitoringError
from ..logs import log
from ..notifications import Notification, NotificationKind
from ..rules import Severity
from ..series import label_text
from ..timeline import iso
from . import Answer, Turn, digest
from .posting import Reply, Vendor, post
from .story import TITLE, Story, cut, tell

T = TypeVar("T")
NAME = "sentry"
CLIENT = "ion-monitoring/1.0"
MAX_MESSAGE, MAX_TAG = 8192, 200
"""https://develop.sentry.dev/sdk/data-model/event-payloads/"""
_LEVELS = {Severity.CRITICAL: "fatal", Severity.HIGH: "error", Severity.MEDIUM: "warning", Severity.LOW: "info"}
_SILENT = {NotificationKind.ACKNOWLEDGED, NotificationKind.SILENCED}
MONITOR = "ion-evaluate"
MONITOR_CONFIG: Mapping[str, Any] = {
    "schedule": {"type": "interval", "value": 1, "unit": "minute"},
    "checkin_margin": 3,
    "max_runtime": 3,
    "failure_issue_threshold": 3,
    "recovery_threshold": 2,
    "timezone": "UTC",
}
"""Three minutes without a good evaluation are an issue; margins are minutes."""


def payload(notification: Notification, story: Story) -> dict[str, Any]:
    """The event, as the SDK takes it."""
    told = notification
    is_over = told.kind is NotificationKind.RESOLVED
    tags = {
        "rule": told.rule_id, "severity": told.severity.value, "state": told.kind.value,
        **{f"label.{name}"[:32]: value for name, value in told.labels},
    }  # fmt: skip
    alert: dict[str, Any] = {"what": story.sentence, "description": story.description}
    alert |= {one.name: one.value for one in story.facts}
    alert |= {"dashboard": story.url, "runbook": story.runbook_url, "conversation": told.conversation_on(NAME)}
    return {
        "event_id": hashlib.sha256(told.id.encode()).hexdigest()[:32],
        "timestamp": iso(told.at),
        "message": cut(story.headline, MAX_MESSAGE),
        "level": "info" if is_over else _LEVELS[told.severity],
        "logger": "ion-monitoring",
        "fingerprint": ["ion-alert", told.rule_id, label_text(told.labels), told.about],
        "tags": {_tag_name(name): cut(value, MAX_TAG).replace("\n", " ") for name, value in tags.items()},
        "contexts": {"alert": {name: value for name, value in alert.items() if value}},
    }


def _tag_name(name: str) -> str:
    """Sentry takes letters, digits and ``_.:-``, at most 32."""
    return "".join(one if one.isascii() and (one.isalnum() or one in "_.:-") else "_" for one in name)


class _Collected(Transport):
    """Keeps what the SDK encodes, for the thread that had it encoded."""

    def __init__(self, options: dict[str, Any] | None = None) -> None:
        super().__init__(options)
        self._kept = local()

    def capture_envelope(self, envelope: Envelope) -> None:
        """Keep one."""
        self._envelopes().append(envelope.serialize())

    def take(self) -> list[bytes]:
        """What was kept since the last time."""
        found = self._envelopes()
        self._kept.envelopes = []
        return found

    def _envelopes(self) -> list[bytes]:
        if not hasattr(self._kept, "envelopes"):
            self._kept.envelopes = []
        found: list[bytes] = self._kept.envelopes
        return found


class SentryClient:
    """The SDK's encoder and our POST. Raises ConfigError for a DSN that is none, without quoting it."""

    def __init__(self, vendor: Vendor, dsn: str, environment: str, traces_sample_rate: float) -> None:
        try:
            auth = Dsn(dsn).to_auth(CLIENT)
        except (BadDsn, ValueError):
            raise ConfigError("ION_SENTRY_DSN: expected https://KEY@HOST/PROJECT") from None
        self._vendor = vendor
        self._url = auth.get_api_url()
        self._headers = {"Content-Type": "application/x-sentry-envelope", "X-Sentry-Auth": auth.to_header()}
        self._client = Client(
            dsn=dsn, environment=environment, traces_sample_rate=traces_sample_rate, transport=_Collected,
            default_integrations=False, auto_enabling_integrations=False, auto_session_tracking=False,
            send_client_reports=False, server_name="ion-monitoring", shutdown_timeout=0,
        )  # fmt: skip

    def capture(self, event: Mapping[str, Any]) -> Reply:
        """Send one event or check-in; what was answered. Raises TransientError and Gone without an answer."""
        self._client.capture_event(dict(event))  # type: ignore[arg-type] # a TypedDict there, a mapping here
        (envelope,) = self._taken()
        return self._vendor.ask(self._url, envelope, self._headers)

    def flush(self) -> None:
        """Send what tracing has made in this thread."""
        for envelope in self._taken():
            self._vendor.ask(self._url, envelope, self._headers)

    def scope(self) -> Scope:
        """A scope whose transactions this client encodes."""
        scope = Scope()
        scope.set_client(self._client)
        return scope

    def _taken(self) -> list[bytes]:
        transport = self._client.transport
        return transport.take() if isinstance(transport, _Collected) else []


@dataclass(frozen=True, slots=True)
class SentryChannel:
    """Sends events to the project behind a DSN."""

    client: SentryClient
    vendor: Vendor
    dsn: str = field(repr=False)
    dashboard_url: str
    max_per_minute: int | None = 60

    @property
    def setup(self) -> str:
        """As the port says."""
        return digest(self.dsn)

    def send(self, notification: Notification, turn: Turn) -> Answer:
        """Send one event: 200 is taken, 429 and 5xx are tried again."""
        if notification.kind in _SILENT:
            return Answer("nothing to tell", turn.handle)
        story = tell(notification, turn, self.dashboard_url, NAME)
        said = self.vendor.accepted(self.client.capture(payload(notification, story)), turn.now)
        return Answer(said, {TITLE: story.title})

    def undo(self, _notification: Notification, _late: Mapping[str, str], _turn: Turn, /) -> None:
        """Nothing: Sentry drops what it has."""


@dataclass(frozen=True, slots=True)
class SentryWatch:
    """Watches functions from outside: a trace of some calls, and for the evaluator a check-in of every call.

    Sentry tells somebody when check-ins stay away, so the evaluator's own silence is heard. Nothing that Sentry does
    or does not do stops what is watched.
    """

    client: SentryClient
    check_in: str = ""

    @contextmanager
    def __call__(self, function: str) -> Iterator[None]:
        """Watch one call of a function."""
        scope = self.client.scope()
        checked = uuid4().hex if function == self.check_in else ""
        self._report(checked, "in_progress")
        status = "error"
        try:
            with use_scope(scope), scope.start_transaction(op="function", name=function):
                yield
            status = "ok"
        finally:
            self._report(checked, status)

    def watching(self, function: str, run: Callable[[], T]) -> Callable[[], T]:
        """A function, watched whenever it is called."""

        def watched() -> T:
            with self(function):
                return run()

        return watched

    def _report(self, checked: str, status: str) -> None:
        try:
            self.client.flush()
            if checked:
                event = {
                    "type": "check_in", "check_in_id": checked, "monitor_slug": MONITOR, "status": status,
                    "monitor_config": dict(MONITOR_CONFIG),
                }  # fmt: skip
                self.client.capture(event)
        except MonitoringError as error:
            log("sentry_not_reached", "WARNING", reason=error.reason)


def watch_from(dsn: str, settings: Settings) -> SentryWatch:
    """The watch of the evaluator, as the configuration has it. Raises ConfigError."""
    known = settings.channels.get(NAME)
    found = known if isinstance(known, Sentry) else Sentry(settings.environment)
    client = SentryClient(Vendor(NAME, post, (dsn,)), dsn, found.environment, found.traces_sample_rate)
    return SentryWatch(client, check_in="evaluate")
