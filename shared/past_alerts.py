"""The alerts as they were at a past instant: what is known now, and what history says happened since.

The first transition after the instant tells the state before it; an alert without one has the state that it has now.
So no history before the instant is needed to know what was pending or firing then, however long it had been; it only
tells since when something was pending.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from .alerts import AlertState, Reason, State
from .rules import Severity
from .tick import Transition


def alerts_at(
    at: datetime, present: Iterable[AlertState], before: Sequence[Transition], after: Sequence[Transition]
) -> list[AlertState]:
    """The alerts that were pending or firing at ``at`` (aware UTC), in no order.

    ``present`` are all alerts known now, ``after`` all transitions later than ``at``, ``before`` some up to it; both
    oldest first. ``value`` and ``count`` of the alerts are those of another instant.
    """
    changed: dict[str, Transition] = {}
    for transition in after:
        changed.setdefault(transition.fingerprint, transition)
    unchanged = [
        alert for alert in present if alert.fingerprint not in changed and (alert.since is None or alert.since <= at)
    ]
    found = [*unchanged, *(_before(transition, before) for transition in changed.values())]
    return [alert for alert in found if alert.state is not State.INACTIVE]


def _before(first: Transition, earlier: Iterable[Transition]) -> AlertState:
    """The alert of a transition as it was before."""
    begun = [t.at for t in earlier if t.fingerprint == first.fingerprint and t.reason is Reason.STARTED]
    pending_since = max(begun, default=None)
    alert = AlertState(
        first.rule_id,
        first.labels,
        Severity(first.severity),
        state=first.before,
        value=first.value,
        since=pending_since,
        pending_since=pending_since,
    )
    if first.before is not State.FIRING:
        return alert
    known = pending_since if pending_since and first.episode and pending_since <= first.episode else None
    return replace(alert, since=first.episode, fired_at=first.episode, pending_since=known)
