"""Alerts and transitions as store documents, and back."""

from __future__ import annotations

from typing import Any

from .alerts import AlertKind, AlertState, Reason, State, Told
from .rules import Severity
from .series import make_labels
from .store import Fields
from .tick import Transition

_INSTANTS = (
    "since", "pending_since", "fired_at", "good_since", "no_data_since", "told_at", "escalated_at", "evaluated_at",
)  # fmt: skip


def alert_to_fields(alert: AlertState) -> dict[str, Any]:
    """An alert as a map."""
    return {
        "rule_id": alert.rule_id,
        "labels": dict(alert.labels),
        "severity": alert.severity.value,
        "state": alert.state.value,
        "value": alert.value,
        "count": alert.count,
        "told": [{"id": told.notification_id, "channels": list(told.channels)} for told in alert.told],
        "told_severity": None if alert.told_severity is None else alert.told_severity.value,
        "kind": alert.kind.value,
        "counts": {severity.value: count for severity, count in alert.counts},
        "held": alert.held,
        **{name: getattr(alert, name) for name in _INSTANTS},
    }


def alert_from_fields(fields: Fields) -> AlertState:
    """The inverse of ``alert_to_fields``."""
    return AlertState(
        rule_id=fields["rule_id"],
        labels=make_labels(fields["labels"]),
        severity=Severity(fields["severity"]),
        state=State(fields["state"]),
        value=fields["value"],
        count=fields["count"],
        told=tuple(Told(told["id"], tuple(told["channels"])) for told in fields["told"]),
        told_severity=None if fields["told_severity"] is None else Severity(fields["told_severity"]),
        kind=AlertKind(fields["kind"]),
        counts=tuple((severity, fields["counts"][severity]) for severity in Severity if severity in fields["counts"]),
        held=fields["held"],
        **{name: fields[name] for name in _INSTANTS},
    )


def transition_to_fields(transition: Transition) -> dict[str, Any]:
    """A transition as a document of ``history``."""
    return {
        "fingerprint": transition.fingerprint,
        "rule_id": transition.rule_id,
        "labels": dict(transition.labels),
        "severity": transition.severity,
        "at": transition.at,
        "before": transition.before.value,
        "after": transition.after.value,
        "reason": transition.reason.value,
        "value": transition.value,
        "count": transition.count,
        "episode": transition.episode,
        "config_hash": transition.config_hash,
        "kind": transition.kind.value,
    }


def transition_from_fields(fields: Fields) -> Transition:
    """The inverse of ``transition_to_fields``."""
    return Transition(
        fingerprint=fields["fingerprint"],
        rule_id=fields["rule_id"],
        labels=make_labels(fields["labels"]),
        severity=fields["severity"],
        at=fields["at"],
        before=State(fields["before"]),
        after=State(fields["after"]),
        reason=Reason(fields["reason"]),
        value=fields["value"],
        count=fields["count"],
        episode=fields["episode"],
        config_hash=fields["config_hash"],
        kind=AlertKind(fields["kind"]),
    )
