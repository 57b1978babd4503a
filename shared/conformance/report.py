"""What became of a scenario, as JSON: one line an evaluation, then each alert's states in one word."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from ..series import Labels
from ..tick import Transition
from ..timeline import iso
from .run import Alert, Evaluation, timelines
from .scenario import Disagreement, Scenario, disagreements


def report(scenario: Scenario, evaluations: Sequence[Evaluation]) -> str:
    """The whole report; ``disagreements`` is there where the scenario expects something, empty when all agrees."""
    sections: dict[str, list[object]] = {
        "evaluations": [_evaluation(one) for one in evaluations],
        "timelines": [_timeline(*key, states) for key, states in timelines(evaluations).items()],
    }
    if scenario.expected:
        sections["disagreements"] = [_disagreement(one) for one in disagreements(scenario, evaluations)]
    body = ",\n".join(f"{json.dumps(name)}: [{_lines(items)}]" for name, items in sections.items())
    return f"{{\n{body}\n}}\n"


def _lines(items: Iterable[object]) -> str:
    lines = ",\n".join(json.dumps(item, default=_text, allow_nan=False) for item in items)
    return f"\n{lines}\n" if lines else ""


def _text(value: object) -> str:
    """What JSON has no form for: an instant."""
    if isinstance(value, datetime):
        return iso(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def _evaluation(one: Evaluation) -> dict[str, object]:
    return {
        "at": one.at,
        "alerts": [_alert(alert) for alert in one.alerts],
        "transitions": [_transition(transition) for transition in one.transitions],
        "notifications": [notification.to_dict() for notification in one.notifications],
        "failures": [{"rule": failure.rule_id, "reason": failure.reason} for failure in one.failures],
    }


def _alert(alert: Alert) -> dict[str, object]:
    return {
        "rule": alert.rule_id,
        "labels": dict(alert.labels),
        "fingerprint": alert.fingerprint,
        "severity": alert.severity.value,
        "state": alert.state.value,
        "value": alert.value,
        "count": alert.count,
        "since": alert.since,
        "pending_since": alert.pending_since,
        "fired_at": alert.fired_at,
    }


def _transition(transition: Transition) -> dict[str, object]:
    return {
        "rule": transition.rule_id,
        "labels": dict(transition.labels),
        "fingerprint": transition.fingerprint,
        "severity": transition.severity,
        "before": transition.before.value,
        "after": transition.after.value,
        "reason": transition.reason.value,
        "value": transition.value,
        "count": transition.count,
        "episode": transition.episode,
    }


def _timeline(rule_id: str, labels: Labels, states: str) -> Mapping[str, object]:
    return {"rule": rule_id, "labels": dict(labels), "states": states}


def _disagreement(one: Disagreement) -> Mapping[str, object]:
    return {**_timeline(one.rule_id, one.labels, one.states), "expected": one.expected, "at": one.at}
