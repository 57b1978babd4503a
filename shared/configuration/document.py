"""From JSON to checked settings and back.

``parse`` reports every problem of a document in one ``ConfigError``, one line each, at most 20. ``export`` writes
every field, so that what it writes needs no defaults and parses to equal settings; ``digest`` names a
configuration by its content, whatever the text's order of keys, spacing and omitted defaults.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from collections.abc import Collection as Names
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import resources
from typing import TypeVar

from ..errors import ConfigError
from ..rules import AlertRule, Query
from ..series import Kind
from .models import Settings
from .queries import QueryReader
from .reader import JsonObject, Node
from .rules_reader import RuleReader
from .settings import read_settings

T = TypeVar("T")

MAX_PROBLEMS = 20


def parse(text: str) -> Settings:
    """The settings in a JSON text. Raises ``ConfigError``: the place of the mistake, or all problems."""
    return from_plain(parse_json(text))


def parse_json(text: str) -> object:
    """What a JSON text holds, ready for the readers. Raises ``ConfigError`` with the place of the mistake."""
    try:
        return json.loads(text, object_pairs_hook=JsonObject, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise ConfigError(f"line {error.lineno} column {error.colno}: not JSON: {error.msg}") from error
    except RecursionError as error:
        raise ConfigError("document: nested too deeply") from error


def _integer(digits: str) -> int | float:
    """A whole number; one too long for any field becomes a float, which the readers refuse with its path."""
    return int(digits) if len(digits) <= 20 else float(digits)


def from_plain(document: object) -> Settings:
    """The settings in a document made of dicts, lists, strings, numbers and booleans. Raises ``ConfigError``."""
    return checked(document, "", read_settings)


def checked(value: object, path: str, read: Callable[[Node], T]) -> T:
    """What ``read`` makes of a value that stands at ``path``. Raises ``ConfigError``: all problems, at most 20."""
    problems: list[str] = []
    result = read(Node(value, path, problems))
    if problems:
        more = [f"and {len(problems) - MAX_PROBLEMS} more"] if len(problems) > MAX_PROBLEMS else []
        raise ConfigError("\n".join(problems[:MAX_PROBLEMS] + more))
    return result


def read_rules(node: Node) -> tuple[AlertRule, ...]:
    """The section ``rules`` alone, beside the bundled rest: only the metrics may have any name."""
    bundled = defaults()
    queries = QueryReader(None, frozenset(region.name for region in bundled.regions))
    types = {name: one.query for name, one in bundled.metric_types.items()}
    collections = {one.name: one for one in bundled.collections}
    return RuleReader(queries, types, bundled.channels, collections).read_all(node)


def rule_to_plain(rule: AlertRule) -> dict[str, object]:
    """A rule as it stands in a document, with every field."""
    return {f.name: _field(rule, f.name) for f in fields(rule) if _is_written(rule, f.name)}


@cache
def defaults() -> Settings:
    """The settings that come with the program, read once in a process. Raises ``ConfigError`` that names the file."""
    try:
        return parse(resources.files(__package__).joinpath("defaults.json").read_text("utf-8"))
    except ConfigError as error:
        raise ConfigError("\n".join(f"defaults.json: {line}" for line in error.detail.splitlines())) from error


def export(settings: Settings) -> dict[str, object]:
    """The settings as a document of their own, in the order of the sections."""
    return {f.name: _plain(getattr(settings, f.name)) for f in fields(settings)}


def digest(settings: Settings) -> str:
    """12 hex digits of the content."""
    canonical = json.dumps(export(settings), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:12]


def _plain(value: object) -> object:
    """A value as JSON has it; an enum by its value, a dataclass without the fields that are None."""
    if isinstance(value, Kind):
        return value.name.lower()
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _field(value, f.name) for f in fields(value) if _is_written(value, f.name)}
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Names):
        return [_plain(item) for item in value]
    return value


def _field(owner: object, name: str) -> object:
    value = getattr(owner, name)
    return dict(value) if name == "labels" and isinstance(value, tuple) else _plain(value)


def _is_written(owner: object, name: str) -> bool:
    """Whether a field stands in the document: not None, and not the aggregation that a ratio does not have."""
    if isinstance(owner, Query) and owner.per is not None and name == "aggregation":
        return False
    return getattr(owner, name) is not None
