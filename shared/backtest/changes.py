"""Changes of a rule: ``threshold=250,min_occurrences=2`` on a rule of a configuration, and checked like any."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..configuration import document
from ..errors import ConfigError
from ..monitoring_config import AlertRule, MonitoringConfig
from ..rules import rule_id_of

_NEXT = re.compile(r",(?=\s*[a-z_]+(?:\.[a-z_]+)*\s*=)")
_DECODER = json.JSONDecoder()


def changed(config: MonitoringConfig, rule: AlertRule, settings: Sequence[str]) -> tuple[MonitoringConfig, AlertRule]:
    """A configuration with some fields of one of its rules set, and the rule as it is then.

    A setting is ``field=value``, several with commas between them: a field as it stands in the configuration, with
    dots before those inside another (``query.min_count=100``), and a JSON value, or text that needs no quotes.
    A number for ``threshold`` is its value. Raises ``ConfigError``, as the configuration's own reader does.
    """
    read = [one for text in settings for one in _read(text)]
    plain: dict[str, Any] = config.to_dict()
    number = config.list_alert_rules().index(rule)
    fields = plain["rules"][number]
    if any(name.startswith("query.") for name, _ in read):  # of what the rule asks, wherever that stands
        asking = document.rule_to_plain(replace(rule, query=config.query_for(rule), collection=""))
        fields = plain["rules"][number] = asking
    for name, value in read:
        _set(fields, f"rules[{number}]", name, value)
    result = MonitoringConfig.from_dict(plain)
    return result, result.list_alert_rules()[number]


def only(config: MonitoringConfig, rule: AlertRule) -> MonitoringConfig:
    """A configuration in which one rule runs, with those that may keep it quiet."""
    needed, left = {rule.id}, [rule]
    while left:
        for name in left.pop().inhibited_by:
            if name not in needed:
                needed.add(name)
                left.append(config.get_rule(name))
    rules = tuple(replace(one, enabled=one.enabled and one.id in needed) for one in config.list_alert_rules())
    return MonitoringConfig(replace(config.settings, rules=rules))


def find(config: MonitoringConfig, name: str) -> AlertRule:
    """A rule by its id or its name. Raises ``ConfigError`` with the nearest one."""
    known = {rule.id for rule in config.list_alert_rules()}
    return config.get_rule(rule_id_of(name) if rule_id_of(name) in known else name)


def _read(text: str) -> Iterator[tuple[str, object]]:
    """The settings in a text."""
    while text:
        name, found, rest = text.partition("=")
        if not found or not name.strip():
            raise ConfigError(f"expected field=value, got {json.dumps(text[:60])}")
        value, text = _value(rest.lstrip())
        yield name.strip(), value


def _value(text: str) -> tuple[object, str]:
    """The value at the beginning of a text, and what is left after the comma behind it."""
    try:
        value, end = _DECODER.raw_decode(text)
    except ValueError:
        pass
    else:
        rest = text[end:].lstrip()
        if not rest or _NEXT.match(rest):
            return value, rest[1:]
    found = _NEXT.search(text)
    return (text.strip(), "") if found is None else (text[: found.start()].strip(), text[found.end() :])


def _set(owner: dict[str, Any], path: str, name: str, value: object) -> None:
    """Set a field where it stands; what it stands in is made where it is absent."""
    *parents, last = name.split(".")
    for parent in parents:
        path = f"{path}.{parent}"
        if not isinstance(owner.setdefault(parent, {}), dict):
            raise ConfigError(f"{path}: expected an object, and {name} sets a field of it")
        owner = owner[parent]
    if last == "threshold" and not parents and not isinstance(value, dict):
        owner[last]["value"] = value
    else:
        owner[last] = value
