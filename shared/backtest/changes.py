"""Changes of a rule or source: ``threshold=250,min_occurrences=2``, set in a configuration and checked like any."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..configuration import document
from ..errors import ConfigError
from ..monitoring_config import AlertRule, MonitoringConfig
from ..rules import rule_id_of

_NEXT = re.compile(r",(?=\s*[a-z_]+(?:\.[a-z_]+)*\s*=)")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a rule stands in a configuration; a source is evaluated as a rule, too."""

    is_source: bool
    number: int

    @property
    def section(self) -> str:
        """The part of the configuration."""
        return "sources" if self.is_source else "rules"

    def rule(self, config: MonitoringConfig) -> AlertRule:
        """What stands there."""
        rules = config.source_rules if self.is_source else config.settings.rules
        return rules[self.number]


def changed(config: MonitoringConfig, place: Place, settings: Sequence[str]) -> MonitoringConfig:
    """A configuration with some fields of one of its rules or sources set.

    A setting is ``field=value``, several with commas between them: a field as it stands in the configuration, with
    dots before those inside another (``query.min_count=100``), and a JSON value, or text that needs no quotes.
    A number for ``threshold`` is its value. Raises ``ConfigError``, as the configuration's own reader does.
    """
    read = [one for text in settings for one in _read(text)]
    plain: dict[str, Any] = config.to_dict()
    fields = plain[place.section][place.number]
    rule = place.rule(config)
    asks = any(name.startswith("query.") for name, _ in read)
    if asks and not place.is_source:  # then the query that it has from elsewhere becomes its own
        asking = document.rule_to_plain(replace(rule, query=config.query_for(rule), collection=""))
        fields = plain[place.section][place.number] = asking
    for name, value in read:
        _set(fields, f"{place.section}[{place.number}]", name, value)
    return MonitoringConfig.from_dict(plain)


def only(config: MonitoringConfig, place: Place) -> MonitoringConfig:
    """A configuration in which one rule or source runs, with the rules that may keep it quiet."""
    rule = place.rule(config)
    needed, left = {rule.id}, [rule]
    while left:
        for name in left.pop().inhibited_by:
            if name not in needed:
                needed.add(name)
                left.append(config.get_rule(name))
    rules = tuple(replace(one, enabled=one.enabled and one.id in needed) for one in config.list_alert_rules())
    sources = (config.settings.sources[place.number],) if place.is_source else ()
    return MonitoringConfig(replace(config.settings, rules=rules, sources=sources))


def find(config: MonitoringConfig, name: str) -> Place:
    """Where a rule or source is, by its id or its name. Raises ``ConfigError`` with the nearest one."""
    wanted = rule_id_of(name)
    found = config.find_rule(wanted) or config.get_rule(name)
    if found.is_source:
        return Place(True, config.source_rules.index(found))
    return Place(False, config.list_alert_rules().index(found))


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
    if last == "threshold" and isinstance(owner.get(last), dict) and not isinstance(value, dict):
        owner[last]["value"] = value
    else:
        owner[last] = value
