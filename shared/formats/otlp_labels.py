"""How OpenTelemetry's attributes become labels: by a rule, the section ``otlp_labels`` of the configuration.

A point's series is its metric's name, unchanged, with these labels:

* of the resource and of the scope, the labels that the rule names, each with the first of its attributes that is there.
  The scope's own name and version are the attributes ``otel.scope.name`` and ``otel.scope.version``.
* of the point, all attributes but the dropped ones: under the label that lists them, else under their own name with
  underscores for dots.

Where labels meet, the point's counts before the scope's, and that before the resource's. Two attributes of one point
that become one label are refused, for either answer would merge series that are not one.

Numbers and booleans become text: ``8080``, ``0.5``, ``true``. Arrays, maps, bytes and empty values become no label.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from ..errors import PermanentError
from ..series import Labels, Series, check_series

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource

Names: TypeAlias = Mapping[str, tuple[str, ...]]
"""Labels and the attributes that become them."""


def _default_resource() -> Names:
    return {"service": ("service.name",), "region": ("cloud.region",)}


@dataclass(frozen=True, slots=True)
class LabelRule:
    """Which attributes become labels, and their names. ``dropped`` are attributes of points that become none."""

    resource: Names = field(default_factory=_default_resource)
    scope: Names = field(default_factory=dict)
    point: Names = field(default_factory=dict)
    dropped: tuple[str, ...] = ()


DEFAULT_RULE = LabelRule()


class Labeller:
    """Applies a rule to one message, whose attributes' names it remembers."""

    def __init__(self, rule: LabelRule) -> None:
        self._rule = rule
        renamed = {attribute: label for label, attributes in rule.point.items() for attribute in attributes}
        self._names: dict[str, str | None] = renamed | dict.fromkeys(rule.dropped)

    def of_resource(self, resource: Resource) -> Labels:
        """The labels that all points of a resource share; in no order."""
        return _chosen(_texts(resource.attributes), self._rule.resource)

    def of_scope(self, shared: Labels, scope: InstrumentationScope) -> Labels:
        """The labels that all points of a scope share, those of their resource (``shared``) included; in no order."""
        if not self._rule.scope:
            return shared
        texts = _texts(scope.attributes)
        named = {"otel.scope.name": scope.name, "otel.scope.version": scope.version}
        texts.update((name, text) for name, text in named.items() if text)
        return tuple((dict(shared) | dict(_chosen(texts, self._rule.scope))).items())

    def series(self, metric: str, common: Labels, attributes: Iterable[KeyValue]) -> Series:
        """A point's series. Raises PermanentError ``invalid_series``."""
        own: list[tuple[str, str]] = []
        for attribute in attributes:
            name = attribute.key
            label = self._names[name] if name in self._names else self._name(name)
            text = text_of(attribute.value)
            if text is not None and label is not None:
                own.append((label, text))
        return _series(metric, common, tuple(own))

    def _name(self, attribute: str) -> str:
        """The label of an attribute that no rule names; remembered for this message's other points."""
        label = self._names[attribute] = attribute.replace(".", "_")
        return label


def _texts(attributes: Iterable[KeyValue]) -> dict[str, str | None]:
    return {attribute.key: text_of(attribute.value) for attribute in attributes}


def _chosen(texts: Mapping[str, str | None], names: Names) -> Labels:
    """The labels of which an attribute is there."""
    found = ((label, next(filter(_is_text, map(texts.get, attributes)), None)) for label, attributes in names.items())
    return tuple((label, text) for label, text in found if text is not None)


def _is_text(text: str | None) -> bool:
    return text is not None


@lru_cache(maxsize=2048)
def _series(metric: str, common: Labels, own: Labels) -> Series:
    """The checked series. Writers repeat theirs, so they are remembered: 25 MB at the very most."""
    labels = dict(own)
    if len(labels) < len(own):
        raise PermanentError("invalid_series", f"two attributes of {metric[:40]!r} become one label")
    return check_series(Series(metric, tuple(sorted((dict(common) | labels).items()))))


def text_of(value: AnyValue) -> str | None:
    """A label's value; None for what becomes no label."""
    text = value.string_value
    if text:
        return text
    match value.WhichOneof("value"):
        case "string_value":
            return ""
        case "bool_value":
            return "true" if value.bool_value else "false"
        case "int_value":
            return str(value.int_value)
        case "double_value":
            return _number_text(value.double_value)
        case _:
            return None


def _number_text(number: float) -> str:
    """The shortest decimal that reads back as the number, as JSON and OpenTelemetry write it."""
    if math.isfinite(number):
        return repr(number)
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
