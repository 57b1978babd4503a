"""What an evaluation decided, as the writes of one commit: states, history and outbox.

Idempotent, because the commit depends on the cursor that moves with it. What a tick may change is bounded there, so it
fits one commit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from .alerts import AlertState
from .records import ANNOUNCEMENTS, alert_line, announcement_line, each_line, packed, transition_line
from .store import Delete, Document, Put, Write
from .tick import TickResult
from .timeline import minute_id, to_us

HISTORY_KEPT = timedelta(days=90)
MAX_LINES = 200
MAX_LINES_BYTES = 800_000
"""Of the transitions or notifications in one document, before they are deflated."""


def decided(before: Sequence[AlertState], result: TickResult) -> list[Write]:
    """The writes of a tick that found the alerts as ``before``."""
    return [*_alert_writes(before, result.states), *_history_writes(result), *_outbox_writes(result)]


def _alert_writes(before: Sequence[AlertState], after: Sequence[AlertState]) -> list[Write]:
    """One document a rule, for the rules whose alerts changed; of a rule without any there is none."""
    old, new = _by_rule(before), _by_rule(after)
    writes: list[Write] = []
    for rule_id in sorted({*old, *new}):
        path, alerts = f"alerts/{rule_id}", new.get(rule_id)
        if alerts is None:
            writes.append(Delete(path))
        elif alerts != old.get(rule_id):
            writes.append(Put(path, {"d": packed(map(alert_line, alerts))}))
    return writes


def _by_rule(alerts: Sequence[AlertState]) -> dict[str, list[AlertState]]:
    found: dict[str, list[AlertState]] = {}
    for alert in alerts:
        found.setdefault(alert.rule_id, []).append(alert)
    return found


def _history_writes(result: TickResult) -> list[Write]:
    """The transitions of a T, and what was told of them; documents of either, of which those of a T come together."""
    expires_at = result.at + HISTORY_KEPT
    transitions = [*map(transition_line, result.transitions)]
    told = result.separate or [(one.id, one) for one in result.notifications]
    announcements = [announcement_line(told_as, one) for told_as, one in told]
    return [
        Put(f"history/{_part_id(result.at, mark, part)}", {"d": packed(lines), "expires_at": expires_at})
        for mark, of_mark in (("", transitions), (ANNOUNCEMENTS, announcements))
        for part, lines in enumerate(_parts(of_mark))
    ]


def _outbox_writes(result: TickResult) -> list[Write]:
    """The notifications of a T, as they are published."""
    return [
        Put(f"outbox/{_part_id(result.at, '', part)}", {"d": packed(lines)})
        for part, lines in enumerate(_parts([told.to_json() for told in result.notifications]))
    ]


def notifications_in(document: Document) -> list[tuple[str, bytes]]:
    """The notifications of an outbox document with their ids, in their order; whether they are sound is for notify."""
    return each_line(document, lambda raw: (str(raw["id"]), json.dumps(raw, sort_keys=True).encode()))


def _part_id(at: datetime, mark: str, part: int) -> str:
    return f"{minute_id(to_us(at) // 1_000_000)}~{mark}{part:03}"


def _parts(lines: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Lines by document."""
    some: list[bytes] = []
    size = 0
    for line in lines:
        if some and (len(some) >= MAX_LINES or size + len(line) > MAX_LINES_BYTES):
            yield some
            some, size = [], 0
        some.append(line)
        size += len(line)
    if some:
        yield some
