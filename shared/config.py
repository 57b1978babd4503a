"""The environment: the only module that reads it, once, into one frozen ``Config``.

A variable that is empty counts as absent. Every problem is reported at once, by the variable's name and the form
that is accepted; what a secret holds is never shown.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from .errors import ConfigError

DEFAULT_DATABASE = "(default)"
METRICS_TOPIC = "metrics"
_PROJECT = re.compile(r"([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_DATABASE = re.compile(r"\(default\)|[a-z][a-z0-9-]{2,61}[a-z0-9]")
_PREFIX = re.compile(r"[a-z][a-z0-9-]{0,10}-")
_HOST = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_AUDIENCE = re.compile(r"/projects/[0-9]+/locations/[a-z0-9-]+/services/[a-z0-9-]+")
_OPERATORS = re.compile(r"[^\s,@]+@[^\s,@]+(,[^\s,@]+@[^\s,@]+)*")


class Access(StrEnum):
    """Who may open the dashboard."""

    IAP = "iap"
    """The named people, whom Identity-Aware Proxy lets in, at a service that holds the dashboard's image."""
    PROXY = "proxy"
    """Whoever may call the function: the named people, and who may call everything in the project."""
    PUBLIC = "public"
    """Everybody, to read."""


_ACCESS = re.compile("|".join(Access))


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that is shown as ``***`` wherever it is printed, logged or formatted; ``reveal`` gives it."""

    _value: str = field(repr=False)

    def reveal(self) -> str:
        """The secret itself, for the one call that needs it."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class Config:
    """Where a function runs and what it talks to.

    ``prefix`` stands before the names of topics and subscriptions (empty locally). ``config_path`` None means the
    configuration that comes with the program, ``collect_path`` None its table of what is collected; ``dashboard_url``
    has no slash at its end and is None when links to the dashboard cannot be made. ``operators`` are e-mail addresses
    in lower case; ``iap_audience`` is there when ``dashboard_access`` is ``iap``. An emulator host is ``host:port``,
    None for Google's service.
    """

    project: str
    database: str = DEFAULT_DATABASE
    prefix: str = ""
    config_path: Path | None = None
    dashboard_url: str | None = None
    slack_bot_token: Secret | None = None
    slack_webhook_url: Secret | None = None
    slack_signing_secret: Secret | None = None
    pagerduty_routing_key: Secret | None = None
    pagerduty_webhook_secret: Secret | None = None
    smtp_url: Secret | None = None
    sentry_dsn: Secret | None = None
    webhook_url: Secret | None = None
    webhook_secret: Secret | None = None
    heartbeat_url: Secret | None = None
    firestore_emulator_host: str | None = None
    pubsub_emulator_host: str | None = None
    monitoring_emulator_host: str | None = None
    collect_path: Path | None = None
    dashboard_access: Access = Access.PUBLIC
    iap_audience: str = ""
    operators: frozenset[str] = frozenset()

    def named(self, short_name: str) -> str:
        """A topic's or subscription's name in the project."""
        return self.prefix + short_name


def load_config(environ: Mapping[str, str] | None = None, *, defaults: Mapping[str, str] | None = None) -> Config:
    """The configuration in ``environ``, by default the process's own environment. Raises ``ConfigError``.

    ``defaults`` stand in for variables that are absent or empty there: a local run needs no project.
    """
    reader = _Reader(os.environ if environ is None else environ, defaults or {})
    config_path, collect_path = reader.text("ION_CONFIG"), reader.text("ION_COLLECT")
    access = _access(reader)
    operators = _operators(reader, access)
    config = Config(
        project=reader.required("ION_PROJECT", _PROJECT, "a project id: 6-30 of a-z, 0-9 and -"),
        database=reader.matching("ION_DATABASE", _DATABASE, "(default), or 4-63 of a-z, 0-9 and -") or DEFAULT_DATABASE,
        prefix=reader.matching("ION_PREFIX", _PREFIX, "at most 12 of a-z, 0-9 and -, with a - at the end") or "",
        config_path=Path(config_path) if config_path else None,
        dashboard_url=(reader.url("ION_DASHBOARD_URL") or "").rstrip("/") or None,
        slack_bot_token=reader.secret("ION_SLACK_BOT_TOKEN"),
        slack_webhook_url=reader.secret_url("ION_SLACK_WEBHOOK_URL"),
        slack_signing_secret=reader.secret("ION_SLACK_SIGNING_SECRET"),
        pagerduty_routing_key=reader.secret("ION_PAGERDUTY_ROUTING_KEY"),
        pagerduty_webhook_secret=reader.secret("ION_PAGERDUTY_WEBHOOK_SECRET"),
        smtp_url=reader.secret("ION_SMTP_URL"),
        sentry_dsn=reader.secret_url("ION_SENTRY_DSN"),
        webhook_url=reader.secret_url("ION_WEBHOOK_URL"),
        webhook_secret=reader.secret("ION_WEBHOOK_SECRET"),
        heartbeat_url=reader.secret_url("ION_HEARTBEAT_URL"),
        firestore_emulator_host=reader.matching("FIRESTORE_EMULATOR_HOST", _HOST, "host:port"),
        pubsub_emulator_host=reader.matching("PUBSUB_EMULATOR_HOST", _HOST, "host:port"),
        monitoring_emulator_host=reader.matching("MONITORING_EMULATOR_HOST", _HOST, "host:port"),
        collect_path=Path(collect_path) if collect_path else None,
        dashboard_access=access,
        iap_audience=_audience(reader, access),
        operators=operators,
    )
    if reader.problems:
        raise ConfigError("\n".join(reader.problems))
    return config


def _access(reader: _Reader) -> Access:
    """Who may open the dashboard; unless it is said, everybody, and nobody can change anything."""
    text = reader.matching("ION_DASHBOARD_ACCESS", _ACCESS, f"one of {', '.join(Access)}")
    return Access(text) if text in list(Access) else Access.PUBLIC


def _operators(reader: _Reader, access: Access) -> frozenset[str]:
    """Who may change something, by address; through a proxy nobody's address is known, so none can be named."""
    text = reader.matching("ION_OPERATORS", _OPERATORS, "e-mail addresses with commas between them") or ""
    if text and access is Access.PROXY:
        reader.problems.append("ION_OPERATORS: expected none with ION_DASHBOARD_ACCESS=proxy; iap tells who is who")
    return frozenset(filter(None, text.lower().split(",")))


def _audience(reader: _Reader, access: Access) -> str:
    form = "/projects/NUMBER/locations/REGION/services/NAME"
    if access is Access.IAP:
        return reader.required("ION_IAP_AUDIENCE", _AUDIENCE, form)
    return reader.matching("ION_IAP_AUDIENCE", _AUDIENCE, form) or ""


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """Where a service publishes its metrics. ``project`` is empty where nothing is published.

    ``region`` is what it runs in, empty when unknown; ``credentials_file`` the application default credentials, where
    there are any; ``metadata_host`` another metadata server than Google's, empty for that one.
    """

    project: str = ""
    topic: str = METRICS_TOPIC
    region: str = ""
    writer: str = ""
    spool: Path | None = None
    pubsub_emulator_host: str | None = None
    credentials_file: Path | None = None
    metadata_host: str = ""


def load_client_config(environ: Mapping[str, str] | None = None) -> ClientConfig:
    """What a service's environment says of its metrics. Raises ``ConfigError``; absent variables are none."""
    environ = os.environ if environ is None else environ
    reader = _Reader(environ, {})
    spool, writer = reader.text("ION_SPOOL"), reader.text("ION_WRITER")
    config = ClientConfig(
        project=reader.matching("ION_PROJECT", _PROJECT, "a project id: 6-30 of a-z, 0-9 and -") or "",
        topic=(reader.matching("ION_PREFIX", _PREFIX, "at most 12 of a-z, 0-9 and -, with a - at the end") or "")
        + METRICS_TOPIC,
        region=reader.text("ION_REGION") or "",
        writer=writer or "",
        spool=Path(spool) if spool else None,
        pubsub_emulator_host=reader.matching("PUBSUB_EMULATOR_HOST", _HOST, "host:port"),
        credentials_file=_credentials_file(reader),
        metadata_host=reader.text("GCE_METADATA_HOST") or "",
    )
    if reader.problems:
        raise ConfigError("\n".join(reader.problems))
    return config


def _credentials_file(reader: _Reader) -> Path | None:
    """Where Google's libraries look for application default credentials, if there is a file."""
    named = reader.text("GOOGLE_APPLICATION_CREDENTIALS")
    if named:
        return Path(named)
    folder = reader.text("CLOUDSDK_CONFIG") or (f"{home}/.config/gcloud" if (home := reader.text("HOME")) else "")
    usual = Path(folder) / "application_default_credentials.json"
    return usual if folder and usual.is_file() else None


def cloud_run_revision(environ: Mapping[str, str] | None = None) -> str:
    """The revision that Cloud Run says it is running; empty elsewhere."""
    return (os.environ if environ is None else environ).get("K_REVISION", "")


class _Reader:
    """Reads variables and collects problems. No problem quotes a value: it may be a secret in the wrong place."""

    def __init__(self, environ: Mapping[str, str], defaults: Mapping[str, str]) -> None:
        self._environ = environ
        self._defaults = defaults
        self.problems: list[str] = []

    def text(self, name: str) -> str | None:
        """A variable's text without the space around it, or its default; None when both are absent or empty."""
        return self._environ.get(name, "").strip() or self._defaults.get(name)

    def matching(self, name: str, pattern: re.Pattern[str], form: str) -> str | None:
        """A text that a pattern matches as a whole; None when it is absent."""
        text = self.text(name)
        if text is not None and not pattern.fullmatch(text):
            self.problems.append(f"{name}: expected {form}")
        return text

    def required(self, name: str, pattern: re.Pattern[str], form: str) -> str:
        """Like ``matching``, and absence is a problem."""
        text = self.matching(name, pattern, form)
        if text is None:
            self.problems.append(f"{name}: missing; expected {form}")
        return text or ""

    def secret(self, name: str) -> Secret | None:
        """A text of plain characters that is shown nowhere; None when it is absent."""
        text = self.text(name)
        if text is not None and not (text.isascii() and text.isprintable()):
            self.problems.append(f"{name}: expected plain characters")
        return None if text is None else Secret(text)

    def secret_url(self, name: str) -> Secret | None:
        """An address as ``url`` takes it, shown nowhere; None when it is absent."""
        text = self.url(name)
        return None if text is None else Secret(text)

    def url(self, name: str) -> str | None:
        """An address with https, or with http on this machine; None when it is absent."""
        text = self.text(name)
        if text is not None and not _is_safe_url(text):
            self.problems.append(f"{name}: expected an https:// address, or an http:// one on 127.0.0.1 or localhost")
        return text


def _is_safe_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError:
        return False
    return (
        bool(host)
        and text.isprintable()
        and " " not in text
        and (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK))
    )
