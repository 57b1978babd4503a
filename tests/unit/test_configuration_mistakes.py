"""Whatever is wrong with a configuration is reported exactly, all of it, and nothing twice."""

from __future__ import annotations

from typing import Any

import pytest

from shared.errors import ConfigError
from shared.monitoring_config import MonitoringConfig
from tests.unit.configuration_mistakes import MISTAKES, changed


def _detail(document: object) -> str:
    with pytest.raises(ConfigError) as caught:
        MonitoringConfig.from_dict(document)
    return caught.value.detail


@pytest.mark.parametrize(("path", "value", "message"), MISTAKES, ids=[message[:60] for *_, message in MISTAKES])
def test_one_mistake_gives_one_exact_message(path: str, value: Any, message: str) -> None:
    """A mistake is reported once, under its path, with what was expected and what was met."""
    assert _detail(changed((path, value))) == message


@pytest.mark.parametrize(("document", "met"), [([], "a list of 0"), ("x", '"x"'), (None, "null"), ({1: 2}, None)])
def test_what_is_no_document(document: object, met: str | None) -> None:
    """Anything but an object with strings as keys is refused as a whole."""
    lines = _detail(document).splitlines()
    assert lines[0] == (f"document: expected an object, got {met}" if met else "document: expected strings as keys")


def test_a_secret_is_never_quoted() -> None:
    """What stands where a variable's name should may be the secret itself, and does not appear in the message."""
    detail = _detail(changed(("channels.slack.secrets", ["https://hooks.slack.com/services/T0/B0/hunter2"])))
    assert detail.startswith("channels.slack.secrets[0]: expected the name of an environment variable")
    assert "hunter2" not in detail


def test_all_mistakes_are_reported_in_the_order_of_the_document() -> None:
    """One error lists the mistakes of all sections, one a line, metrics before rules before dashboards."""
    document = changed(
        ("dashboards.0.title", 7),
        ("rules.2.min_occurrences", 0),
        ("rules.1.threshold.value", "x"),
        ("metrics.0.unit", 1),
    )
    assert [line.partition(":")[0] for line in _detail(document).splitlines()] == [
        "metrics[0].unit",
        "rules[1].threshold.value",
        "rules[2].min_occurrences",
        "dashboards[0].title",
    ]


def test_at_most_twenty_mistakes_are_listed() -> None:
    """Of 35 mistakes the first twenty are listed and the others counted."""
    lines = _detail(changed(*((f"collections.{i}.unit", i) for i in range(35)))).splitlines()
    assert lines[0] == "collections[0].unit: expected a string, got 0"
    assert lines[19] == "collections[19].unit: expected a string, got 19"
    assert lines[20:] == ["and 15 more"]


def test_a_broken_metric_is_reported_once() -> None:
    """A metric that cannot be read brings no further messages for the queries that name it."""
    assert _detail(changed(("metrics.0.kind", "histogram"))).count("\n") == 0
    assert _detail(changed(("metrics", "none"))) == 'metrics: expected a list, got "none"'
    assert _detail(changed(("metrics.0.name", 5))) == "metrics[0].name: expected a string, got 5"


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ('{\n  "version": 1,\n  "rules": oops\n}', "line 3 column 12: not JSON: Expecting value"),
        ("", "line 1 column 1: not JSON: Expecting value"),
        ("[" * 100_000, "document: nested too deeply"),
        (
            MonitoringConfig().to_json().replace(": 300,", ": 3" + "0" * 5000 + ",", 1),
            "rules[0].evaluation_window: expected a whole number, got Infinity",
        ),
    ],
    ids=["place", "empty", "deep", "huge"],
)  # fmt: skip
def test_what_is_no_json(text: str, detail: str) -> None:
    """A text that cannot be parsed is refused with line and column, and neither depth nor digits break the reader."""
    with pytest.raises(ConfigError) as caught:
        MonitoringConfig.from_json(text)
    assert caught.value.detail == detail


def test_a_key_that_comes_twice_is_refused() -> None:
    """A key that stands twice in one object is reported with its path, although JSON's last one would count."""
    text = MonitoringConfig().to_json().replace('"enabled": true', '"enabled": true, "enabled": false', 1)
    with pytest.raises(ConfigError) as caught:
        MonitoringConfig.from_json(text)
    assert caught.value.detail == 'rules[0]: key "enabled" stands here twice'


A, B, C = "high-response-time-critical", "high-error-rate-critical", "availability-sla-breach"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({0: [B], 1: [A]}, f'rules[0].inhibited_by: "{A}" would keep itself quiet by way of "{B}"'),
        ({0: [B], 1: [C], 2: [A]}, f'rules[0].inhibited_by: "{A}" would keep itself quiet by way of "{B}", "{C}"'),
        ({0: [B], 1: [C], 2: [B]}, f'rules[1].inhibited_by: "{B}" would keep itself quiet by way of "{C}"'),
        ({0: [B, C], 1: [C], 2: [A]}, f'rules[0].inhibited_by: "{A}" would keep itself quiet by way of "{C}"'),
    ],
    ids=["two", "three", "behind another", "the shortest way"],
)
def test_a_circle_of_inhibition_is_reported_once(names: dict[int, list[str]], message: str) -> None:
    """Rules that keep one another quiet would be so for ever: the first of them is named with the way back to it."""
    assert _detail(changed(*((f"rules.{number}.inhibited_by", some) for number, some in names.items()))) == message


def test_two_circles_are_two_mistakes() -> None:
    """Each is reported under its first rule."""
    found = _detail(
        changed(("rules.0.inhibited_by", [A]), ("rules.2.inhibited_by", [C]), ("rules.1.inhibited_by", [A]))
    )
    assert [line.partition(":")[0] for line in found.splitlines()] == [
        "rules[0].inhibited_by", "rules[2].inhibited_by"
    ]  # fmt: skip


def test_inhibition_without_a_circle() -> None:
    """Several rules may keep one quiet, one several, and in a row."""
    config = MonitoringConfig.from_dict(
        changed(("rules.0.inhibited_by", [B, C]), ("rules.1.inhibited_by", [C]), ("rules.3.inhibited_by", [A, C]))
    )
    assert config.get_rule(A).inhibited_by == (B, C)


def test_a_rule_without_a_name_is_reported_alone() -> None:
    """What names it cannot be told from what names nothing, and a rule without a name is no name to suggest."""
    found = _detail(changed(("rules.0.name", ""), ("rules.1.inhibited_by", ["x"]))).splitlines()
    assert found[0] == 'rules[0].name: expected some text, got ""'
    assert found[1].startswith('rules[1].inhibited_by[0]: unknown rule "x"; known: high-error-rate-critical, ')
