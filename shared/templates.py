"""Messages with places in braces: ``P95 in {region} is {value} {unit}``. Plain substitution, no expressions."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

NUMBERS = ("value", "threshold", "unit", "severity", "rule")
"""What a rule's message may name besides the rule's group labels."""
_PLACE = re.compile(r"\{([^{}]*)\}")


def unknown_places(message: str, group_by: Collection[str]) -> list[str]:
    """The places of a rule's message that nothing fills, in their order; empty for a sound message."""
    return [name for name in _PLACE.findall(message) if name not in (*NUMBERS, *group_by)]


def fill(message: str, known: Mapping[str, str]) -> str:
    """The message with its places filled, each once; an unknown one stays as it stands."""
    return _PLACE.sub(lambda place: known.get(place[1], place[0]), message)
