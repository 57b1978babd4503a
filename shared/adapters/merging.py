"""What a merge writes: one definition for the adapters that must ask for it and those that must do it.

Maps merge key by key to any depth; everything else, lists too, is a leaf and is set whole. A map without a leaf
says nothing: it neither empties a map that exists nor creates one (a field mask cannot say "create if absent").
A leaf below something that is no map replaces it by a map.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..store import Fields


def leaves(fields: Fields) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The field paths that a merge sets, with their values; none for fields that hold no leaf."""
    for name, value in fields.items():
        if isinstance(value, dict):
            for path, leaf in leaves(value):
                yield (name, *path), leaf
        else:
            yield (name,), value


def merged(existing: Fields, fields: Fields) -> dict[str, Any]:
    """``existing`` with the leaves of ``fields`` set; neither argument is changed."""
    result = dict(existing)
    for name, value in fields.items():
        if not isinstance(value, dict):
            result[name] = value
        elif next(leaves(value), None) is not None:
            inner = result.get(name)
            result[name] = merged(inner if isinstance(inner, dict) else {}, value)
    return result
