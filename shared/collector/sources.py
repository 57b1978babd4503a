"""What is collected: a table of Cloud Monitoring's metric types, and what each becomes here.

The table that comes with the program is ``sources.json``; another one is read from the path in ``ION_COLLECT``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..configuration.reader import JsonObject, Node
from ..errors import ConfigError, PermanentError
from ..series import Kind, Labels, Series, check_series
from .port import Align, Reduce

DEFAULT_PATH = Path(__file__).with_name("sources.json")
VERSION = 1
MAX_SOURCES = 100
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TYPE = re.compile(r"[a-z0-9.-]+(/[A-Za-z0-9_.{}-]+)+")
_FROM = re.compile(r"(resource|metric)\.[a-z][a-z0-9_]*")
_KINDS = {kind.name.lower(): kind for kind in Kind}
_REQUIRED = ("type", "metric", "kind", "align", "reduce")
_OPTIONAL = ("labels", "constants", "scale", "filter")


@dataclass(frozen=True, slots=True)
class Source:
    """One metric type. ``labels`` says from where each label of ours comes, such as ``resource.location``.

    ``constants`` are labels that are always the same; ``scale`` turns the service's unit into ours.
    """

    name: str
    metric_type: str
    metric: str
    kind: Kind
    align: Align
    reduce: Reduce
    labels: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    scale: float = 1.0
    filter: str = ""

    def series(self, found: Mapping[str, str]) -> Series:
        """The series that the service's labels become, without those that it leaves out. Raises PermanentError."""
        pairs = {name: found[origin] for name, origin in self.labels.items() if found.get(origin)}
        labels: Labels = tuple(sorted({**self.constants, **pairs}.items()))
        return check_series(Series(self.metric, labels))


def load_sources(path: Path | None = None, prefix: str = "") -> tuple[Source, ...]:
    """The table at ``path``, by default the one that comes along; ``{prefix}`` in it is the deployment's prefix.

    Raises ``ConfigError`` with every problem, one line each.
    """
    path = path or DEFAULT_PATH
    try:
        document = json.loads(path.read_text("utf-8").replace("{prefix}", prefix), object_pairs_hook=JsonObject)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path.name}: cannot be read as JSON: {error}") from error
    problems: list[str] = []
    fields = Node(document, "", problems).fields(("version", "sources"))
    fields.get("version", lambda one: one.integer(VERSION, VERSION), VERSION)
    none: tuple[Source, ...] = ()
    sources = fields.get("sources", _sources, none)
    if problems:
        raise ConfigError("\n".join(f"{path.name}: {problem}" for problem in problems))
    return sources


def _sources(node: Node) -> tuple[Source, ...]:
    entries = node.entries(MAX_SOURCES, key=lambda one: one.matching(_NAME, "a source's name of a-z, 0-9 and _"))
    return tuple(_source(name, one) for name, one in entries.items())


def _source(name: str, node: Node) -> Source:
    f = node.fields(_REQUIRED, _OPTIONAL)
    source = Source(
        name=name,
        metric_type=f.get("type", lambda one: one.matching(_TYPE, "a metric type like run.googleapis.com/name"), ""),
        metric=f.get("metric", Node.identifier, ""),
        kind=_KINDS.get(f.get("kind", lambda one: one.reference("kind", _KINDS), ""), Kind.GAUGE),
        align=f.get("align", lambda one: one.choice(Align), Align.MEAN),
        reduce=f.get("reduce", lambda one: one.choice(Reduce), Reduce.SUM),
        labels=f.get("labels", lambda one: _texts(one, _FROM), {}),
        constants=f.get("constants", lambda one: _texts(one, None), {}),
        scale=f.get("scale", lambda one: one.number(1e-12, 1e12), 1.0),
        filter=f.get("filter", Node.text, ""),
    )
    if source.metric and not node.problems:
        _check_fit(source, node)
    return source


def _texts(node: Node, pattern: re.Pattern[str] | None) -> dict[str, str]:
    form = "where a label comes from, like resource.location or metric.state"
    entries = node.entries(16, key=Node.identifier)
    return {name: one.matching(pattern, form) if pattern else one.text() for name, one in entries.items()}


def _check_fit(source: Source, node: Node) -> None:
    """What each field alone cannot tell."""
    if set(source.labels) & set(source.constants):
        node.fail("expected no label in labels and in constants")
    if (source.align is Align.DELTA) == (source.kind is Kind.GAUGE) and source.reduce is not Reduce.MEAN:
        node.fail("expected align delta for a counter or distribution, and another one for a gauge")
    if source.kind is not Kind.GAUGE and source.reduce is not Reduce.SUM:
        node.fail("expected reduce sum for a counter or distribution")
    try:
        source.series({})
    except PermanentError as error:
        node.fail(error.detail)
