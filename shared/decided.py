"""What an evaluation decided, as the writes of one commit: states, history and outbox.

Idempotent, because the commit depends on the cursor that moves with it. What a tick may change is bounded there, so it
fits one commit.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from .alerts import AlertState
from .notifications import notification_from_json
from .records import alert_to_fields, transition_to_fields
from .store import Document, Put, Write
from .tick import TickResult
from .timeline import minute_id, to_us

HISTORY_KEPT = timedelta(days=90)
PER_DOCUMENT = 200
"""Transitions or notifications in one document: about 1 KB each at most, a fifth of what a document holds."""
T = TypeVar("T")


def decided(before: Sequence[AlertState], result: TickResult) -> list[Write]:
    """The writes of a tick that found the alerts as ``before``."""
    return [*_alert_writes(before, result.states), *_history_writes(result), *_outbox_writes(result)]


def _alert_writes(before: Sequence[AlertState], after: Sequence[AlertState]) -> list[Write]:
    """One document a rule, for the rules whose alerts changed."""
    rules = {alert.rule_id for alert in (*before, *after)}
    writes: list[Write] = []
    for rule_id in sorted(rules):
        old = [alert for alert in before if alert.rule_id == rule_id]
        new = [alert for alert in after if alert.rule_id == rule_id]
        if old != new:
            writes.append(Put(f"alerts/{rule_id}", {"alerts": {a.fingerprint: alert_to_fields(a) for a in new}}))
    return writes


def _history_writes(result: TickResult) -> list[Write]:
    """The transitions of a T, ``PER_DOCUMENT`` to a document, so that a storm fits one commit."""
    expires_at = result.at + HISTORY_KEPT
    return [
        Put(
            f"history/{_part_id(result.at, part)}",
            {"transitions": [*map(transition_to_fields, some)], "expires_at": expires_at},
        )
        for part, some in enumerate(_parts(result.transitions))
    ]


def _outbox_writes(result: TickResult) -> list[Write]:
    """The notifications of a T, ``PER_DOCUMENT`` to a document: JSON, one a line, deflated to a tenth."""
    return [
        Put(f"outbox/{_part_id(result.at, part)}", {"d": zlib.compress(b"\n".join(told.to_json() for told in some))})
        for part, some in enumerate(_parts(result.notifications))
    ]


def notifications_in(document: Document) -> list[tuple[str, bytes]]:
    """The notifications of an outbox document with their ids, in their order."""
    lines = zlib.decompress(document.fields["d"]).splitlines()
    return [(notification_from_json(line).id, line) for line in lines]


def _part_id(at: datetime, part: int) -> str:
    return f"{minute_id(to_us(at) // 1_000_000)}~{part:03}"


def _parts(items: tuple[T, ...]) -> list[tuple[T, ...]]:
    return [items[start : start + PER_DOCUMENT] for start in range(0, len(items), PER_DOCUMENT)]
