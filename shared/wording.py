"""The words of an alert: a rule's own, with its numbers and labels filled in."""

from __future__ import annotations

from .alerts import AlertKind, AlertState, Reason
from .monitoring_config import AlertRule, MonitoringConfig
from .rule_health import ROLLUP, ROLLUP_ID
from .series import label_text
from .templates import fill

MAX_CHARACTERS = 2000
"""Of a description: a message may name a long label many times."""

_ENDINGS = {
    Reason.RESOLVED: "Resolved",
    Reason.NO_DATA: "Ended without data",
    Reason.BACK: "Data is back",
    Reason.GONE: "Given up, still without data,",
    Reason.WORKS: "The rule works again",
    Reason.REMOVED: "Ended with its rule",
    Reason.REGROUPED: "Ended, as the rule groups otherwise now,",
}
_WELL = {Reason.RESOLVED, Reason.BACK, Reason.WORKS}
_FAILED = "This rule cannot be evaluated, so nobody hears of what it watches."


def how_it_ended(reason: str, about: str) -> str:
    """The words before "after 12 min" of an episode's end, by the name of its reason and what the alert was about.

    Only what is well again is said to be; "Ended" of a reason that another version gave.
    """
    if reason == Reason.RESOLVED and about == AlertKind.NO_DATA:
        return _ENDINGS[Reason.BACK]
    return _ENDINGS.get(Reason(reason), "Ended") if reason in set(Reason) else "Ended"


def ended_well(reason: str) -> bool:
    """Whether an episode ended because all is well again, and not because nobody looks any more."""
    return reason in _WELL


def describe(config: MonitoringConfig, rule: AlertRule, alert: AlertState, detail: str = "") -> str:
    """One sentence about an alert; ``detail`` is what failed, of an alert about that.

    Label values are the writers' own, and an error may quote them: whoever renders it escapes it.
    """
    if alert.kind is AlertKind.NO_DATA or (rule.is_source and alert.kind is AlertKind.THRESHOLD):
        where = f" of {label_text(alert.labels)}" if alert.labels else ""
        return f"No data{where} any more. {rule.description}"[:MAX_CHARACTERS]
    if alert.kind is AlertKind.FAILURE:
        said = ROLLUP.description if alert.rule_id == ROLLUP_ID else _FAILED
        return f"{said} {detail}".rstrip()[:MAX_CHARACTERS]
    if not rule.message:
        return rule.description
    known = {
        **dict(alert.labels),
        "value": "no value" if alert.value is None else f"{alert.value:.4g}",
        "threshold": f"{rule.threshold_of(alert.severity).value:g}",
        "unit": config.unit_for(rule),
        "severity": alert.severity.value,
        "rule": rule.name,
    }
    return fill(rule.message, known)[:MAX_CHARACTERS]
