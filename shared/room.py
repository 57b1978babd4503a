"""How many alerts are remembered: as many as one evaluation can change, all at once, within one commit.

A group (a rule on some labels) takes room from when its alert begins until it is forgotten, and room for two alerts,
because a no-data alert may take the place of one that fired. So whatever happens next, the states, transitions and
notifications of all that is remembered fit the commit of one T. What does not fit is not begun.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from .alerts import AlertKind, AlertState
from .series import Labels

MAX_GROUPS = 1000
"""Of one rule."""
MAX_RULE_BYTES = 900_000
"""Of the states of one rule, which are one document."""
MAX_TICK_BYTES = 3_400_000
"""Of all rules; the cursor and the alerts about rules themselves take less than the rest of a commit."""
STATE_BYTES = 200
"""At most what a state takes besides its labels, deflated among others; a test measures it."""
CHANGE_BYTES = 400
"""At most what one T writes of one alert besides its labels.

These stand in its state, its transition, the notification, and the announcement of that.
"""


@dataclass(slots=True)
class _Taken:
    groups: set[Labels] = field(default_factory=set)
    size: int = 0


class Room:
    """What is taken: at first, by the alerts that are remembered."""

    def __init__(self, states: Iterable[AlertState] = ()) -> None:
        self._left = MAX_TICK_BYTES
        self._rules: dict[str, _Taken] = {}
        for state in states:
            if state.kind is not AlertKind.FAILURE:
                self._take(state.rule_id, state.labels)

    def takes(self, rule_id: str, labels: Labels) -> bool:
        """Whether a group is remembered or can be; it has its room from then on."""
        taken = self._rules.get(rule_id, _Taken())
        if labels in taken.groups:
            return True
        text = label_bytes(labels)
        if len(taken.groups) >= MAX_GROUPS or taken.size + _state_bytes(text) > MAX_RULE_BYTES:
            return False
        if _change_bytes(text) > self._left:
            return False
        self._take(rule_id, labels)
        return True

    def _take(self, rule_id: str, labels: Labels) -> None:
        taken = self._rules.setdefault(rule_id, _Taken())
        if labels not in taken.groups:
            text = label_bytes(labels)
            taken.groups.add(labels)
            taken.size += _state_bytes(text)
            self._left -= _change_bytes(text)


def label_bytes(labels: Labels) -> int:
    """As JSON writes them, which is at least what they take when they are deflated."""
    return len(json.dumps(dict(labels)))


def _state_bytes(label_bytes: int) -> int:
    return 2 * (STATE_BYTES + label_bytes)


def _change_bytes(label_bytes: int) -> int:
    return 2 * (CHANGE_BYTES + 4 * label_bytes)
