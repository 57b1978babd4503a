"""Alerts of a rule that fire together are told together: one notification, one conversation.

Of what one evaluation tells, everything about the same rule with the same kind, severity, episode's start, reason,
receivers and history becomes one notification. It leads with the alert whose labels come first and bears its id; the
others are named beside it. All of them remember that id as what was told, so what follows of any of them, an
escalation, a rise, a resolution, finds the conversation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from .alerts import AlertState, Told
from .notifications import Member, Notification, NotificationKind
from .tick import TickResult

MAX_NAMED = 20
"""Alerts named beside the first; of more, how many: no message of any channel shows more."""


def together(result: TickResult) -> TickResult:
    """What an evaluation decided, with notifications that belong together made one."""
    groups: dict[object, list[Notification]] = {}
    for one in result.notifications:
        groups.setdefault(_group(one), []).append(one)
    still: dict[str, list[AlertState]] = {}
    for state in result.states:
        for told in state.told if state.is_firing else ():
            still.setdefault(told.notification_id, []).append(state)
    leading = [_one(group, still) for group in groups.values()]
    if all(len(group) == 1 for group in groups.values()):
        return replace(result, notifications=tuple(leading))
    leads = {one.id: lead.id for lead, group in zip(leading, groups.values(), strict=True) for one in group}
    states = tuple(_led(state, leads) for state in result.states)
    separate = tuple((leads[one.id], one) for one in result.notifications)
    return replace(result, notifications=tuple(leading), states=states, separate=separate)


def _group(one: Notification) -> object:
    if one.kind is NotificationKind.SUMMARY:
        return one.id
    return one.rule_id, one.kind, one.severity, one.fired_at, one.reason, one.channels, one.follows, one.about


def _one(group: Sequence[Notification], still_firing: Mapping[str, Sequence[AlertState]]) -> Notification:
    """One notification of several; ``still_firing`` are the alerts that fire on, by what was told of them."""
    first, *others = sorted(group, key=lambda one: one.labels)
    named = tuple(Member(one.labels, one.value) for one in others[:MAX_NAMED])
    lead = replace(first, also=named, more=len(others) - len(named))
    if lead.kind is not NotificationKind.RESOLVED:
        return lead
    open_on = (one for one in lead.channels if _is_told(still_firing.get(lead.conversation_on(one), ()), one))
    return replace(lead, still_firing=len(still_firing.get(lead.conversation, ())), open_on=tuple(open_on))


def _is_told(states: Sequence[AlertState], channel: str) -> bool:
    return any(channel in told.channels for state in states for told in state.told)


def _led(state: AlertState, leads: Mapping[str, str]) -> AlertState:
    """The alert, which was told of under the name of the first of its group."""
    told = tuple(Told(leads.get(one.notification_id, one.notification_id), one.channels) for one in state.told)
    return state if told == state.told else replace(state, told=told)
