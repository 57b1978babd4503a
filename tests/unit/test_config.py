"""The environment: what is read from it, what is refused, and that secrets stay secret."""

from __future__ import annotations

import ast
from dataclasses import asdict
from pathlib import Path

import pytest

from shared.config import Access, Config, Secret, load_config
from shared.errors import ConfigError
from shared.manifest import load_manifest
from tests.fakes import RecordingEnvironment

ROOT = Path(__file__).parents[2]
EMULATOR_VARIABLES = {"FIRESTORE_EMULATOR_HOST", "MONITORING_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST"}
MINIMAL = {"ION_PROJECT": "ion-test"}


def test_the_manifest_and_the_configuration_name_the_same_variables() -> None:
    """No function is given a variable that nobody reads, and none is read that no function is given."""
    environ = RecordingEnvironment(MINIMAL)
    load_config(environ)
    assert environ.asked - EMULATOR_VARIABLES == load_manifest().environment()
    assert environ.asked >= EMULATOR_VARIABLES


def test_a_project_is_enough() -> None:
    """Everything else has a default, and an empty variable is an absent one."""
    assert load_config({**MINIMAL, "ION_PREFIX": "", "ION_CONFIG": " "}) == Config(project="ion-test")


def test_every_variable_is_kept() -> None:
    """Each variable reaches its field; the dashboard's address loses the slash at its end."""
    config = load_config(
        {
            "ION_PROJECT": "ion-test",
            "ION_DATABASE": "ion-monitoring",
            "ION_PREFIX": "ion-",
            "ION_CONFIG": "/etc/ion.json",
            "ION_DASHBOARD_URL": "https://ion.example/",
            "ION_SLACK_BOT_TOKEN": "xoxb-1",
            "ION_SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/1",
            "ION_SLACK_SIGNING_SECRET": "5lack",
            "ION_PAGERDUTY_ROUTING_KEY": "r0uting",
            "ION_PAGERDUTY_WEBHOOK_SECRET": "pd",
            "ION_SMTP_URL": "smtps://user:password@mail.example",
            "ION_SENTRY_DSN": "https://key@sentry.example/1",
            "ION_WEBHOOK_URL": "https://hooks.example/token",
            "ION_WEBHOOK_SECRET": "whsec_1",
            "ION_HEARTBEAT_URL": "https://watchdog.example/token",
            "ION_DASHBOARD_ACCESS": "iap",
            "ION_IAP_AUDIENCE": "/projects/1/locations/us-central1/services/ion-dashboard-iap",
            "ION_OPERATORS": "Ana@example.com,jon@example.com",
            "FIRESTORE_EMULATOR_HOST": "127.0.0.1:8080",
            "PUBSUB_EMULATOR_HOST": "[::1]:8085",
        }
    )
    assert config == Config(
        project="ion-test",
        database="ion-monitoring",
        prefix="ion-",
        config_path=Path("/etc/ion.json"),
        dashboard_url="https://ion.example",
        slack_bot_token=Secret("xoxb-1"),
        slack_webhook_url=Secret("https://hooks.slack.com/services/1"),
        slack_signing_secret=Secret("5lack"),
        pagerduty_routing_key=Secret("r0uting"),
        pagerduty_webhook_secret=Secret("pd"),
        smtp_url=Secret("smtps://user:password@mail.example"),
        sentry_dsn=Secret("https://key@sentry.example/1"),
        webhook_url=Secret("https://hooks.example/token"),
        webhook_secret=Secret("whsec_1"),
        heartbeat_url=Secret("https://watchdog.example/token"),
        dashboard_access=Access.IAP,
        iap_audience="/projects/1/locations/us-central1/services/ion-dashboard-iap",
        operators=frozenset({"ana@example.com", "jon@example.com"}),
        firestore_emulator_host="127.0.0.1:8080",
        pubsub_emulator_host="[::1]:8085",
    )
    assert config.named("metrics") == "ion-metrics"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ION_PROJECT", "Ion_Test"),
        ("ION_DATABASE", "Main!"),
        ("ION_PREFIX", "ion"),
        ("ION_PREFIX", "averylongprefix-"),
        ("ION_DASHBOARD_URL", "ion.example"),
        ("ION_DASHBOARD_URL", "http://ion.example"),
        ("ION_WEBHOOK_URL", "http://hooks.example/x"),
        ("ION_WEBHOOK_URL", "https://[hooks.example/x"),
        ("ION_WEBHOOK_URL", "https://hooks.example/a b"),
        ("ION_HEARTBEAT_URL", "http://watchdog.example/x"),
        ("ION_DASHBOARD_ACCESS", "everybody"),
        ("ION_IAP_AUDIENCE", "ion-dashboard"),
        ("ION_OPERATORS", "ana@example.com, jon@example.com"),
        ("ION_OPERATORS", "group:team"),
        ("FIRESTORE_EMULATOR_HOST", "8080"),
        ("PUBSUB_EMULATOR_HOST", "http://127.0.0.1:8085"),
    ],
)
def test_a_variable_of_another_form_is_refused_by_name(name: str, value: str) -> None:
    """The error names the variable and the accepted form, and never shows the value."""
    with pytest.raises(ConfigError) as caught:
        load_config({**MINIMAL, name: value})
    assert caught.value.detail.startswith(f"{name}: expected ")
    assert value not in caught.value.detail


def test_operators_need_iap() -> None:
    """Operators behind a proxy, where nothing tells them from others, are refused by name, and the error says why."""
    environ = {**MINIMAL, "ION_OPERATORS": "ana@example.com", "ION_DASHBOARD_ACCESS": "proxy"}
    with pytest.raises(ConfigError, match="ION_OPERATORS: expected none with ION_DASHBOARD_ACCESS=proxy; iap tells"):
        load_config(environ)
    assert load_config({**environ, "ION_DASHBOARD_ACCESS": "public"}).operators == {"ana@example.com"}
    assert load_config({**environ, "ION_OPERATORS": ""}).dashboard_access is Access.PROXY


def test_addresses_on_this_machine_need_no_https() -> None:
    """A local dashboard and a local receiver are reached with plain http."""
    config = load_config(
        {**MINIMAL, "ION_WEBHOOK_URL": "http://localhost:9000/", "ION_DASHBOARD_URL": "http://[::1]:1"}
    )
    assert config.webhook_url == Secret("http://localhost:9000/")
    assert config.dashboard_url == "http://[::1]:1"


def test_all_problems_are_reported_at_once() -> None:
    """A missing project and a wrong prefix give two lines."""
    with pytest.raises(ConfigError) as caught:
        load_config({"ION_PREFIX": "-"})
    assert [line.partition(":")[0] for line in caught.value.detail.splitlines()] == ["ION_PROJECT", "ION_PREFIX"]


@pytest.mark.parametrize("form", [str, repr, format, "{0}".format, "{0!r:>3}".format, "%s".__mod__, "%r".__mod__])
def test_a_secret_never_prints(form: object) -> None:
    """However a secret is turned into text, alone or inside the configuration, its value does not appear."""
    assert callable(form)
    config = load_config({**MINIMAL, "ION_WEBHOOK_URL": "https://hooks.example/hush"})
    assert "***" in form(config.webhook_url)
    assert "hush" not in form(config.webhook_url) + repr(config) + repr(asdict(Config("ion-test")))
    assert config.webhook_url is not None
    assert config.webhook_url.reveal() == "https://hooks.example/hush"


def test_the_environment_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument the process's own environment counts."""
    monkeypatch.setenv("ION_PROJECT", "ion-from-outside")
    assert load_config().project == "ion-from-outside"


def test_a_default_stands_in_for_what_is_absent_or_empty() -> None:
    """A caller's default gives way to a variable that is set."""
    defaults = {"ION_PROJECT": "ion-local"}
    assert load_config({"ION_PROJECT": ""}, defaults=defaults).project == "ion-local"
    assert load_config({"ION_PROJECT": "ion-other"}, defaults=defaults).project == "ion-other"


def test_no_other_module_reads_the_environment() -> None:
    """``environ`` and ``getenv``, but for a web request's own, appear in shared/config.py alone."""
    readers = {
        path.relative_to(ROOT).as_posix()
        for folder in ("shared", "functions")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in ("environ", "getenv")
        and ast.unparse(node.value) != "request"
    }
    assert readers == {"shared/config.py"}
