"""Reads the section ``otlp_labels``: which of OpenTelemetry's attributes become labels, and under which names."""

from __future__ import annotations

from ..formats.otlp_labels import DEFAULT_RULE, LabelRule, Names
from ..series import MAX_LABELS
from .reader import Node, shown


def label_rule(node: Node) -> LabelRule:
    """The rule; a part that is left out is as by default. An attribute of points has one label or is dropped."""
    f = node.fields([], ["resource", "scope", "point", "dropped"])
    resource, scope = f.get("resource", _names, DEFAULT_RULE.resource), f.get("scope", _names, DEFAULT_RULE.scope)
    dropped = f.get("dropped", lambda n: n.distinct(Node.text), DEFAULT_RULE.dropped)
    point = f.get("point", lambda n: _renamed(n, dropped), DEFAULT_RULE.point)
    return LabelRule(resource, scope, point, dropped)


def _names(node: Node) -> Names:
    """Labels, each with its attributes in the order of preference."""
    return {label: _attributes(entry) for label, entry in node.entries(MAX_LABELS, key=Node.text).items()}


def _attributes(node: Node) -> tuple[str, ...]:
    if node.value == []:
        node.expected("a list of attributes")
    return node.distinct(Node.text)


def _renamed(node: Node, dropped: tuple[str, ...]) -> Names:
    sound, names = node.sound(_names)
    label_of: dict[str, str] = {}
    for label, attributes in names.items() if sound else ():
        for attribute in attributes:
            if attribute in dropped:
                node.child(label, None).fail(f"{shown(attribute)} is dropped")
            elif label_of.setdefault(attribute, label) != label:
                node.child(label, None).fail(f"{shown(attribute)} has the label {shown(label_of[attribute])} already")
    return names
