"""Limits that move: a rule on a baseline, as it stands at one evaluation for one group.

``3_sigma`` is that many spreads from what is usual at the time of the week, above it, below it or (``!=``) on both
sides. ``anomaly`` is farther out than anything that is known, and than 4.5 spreads; such an alert ends when the value
is back within three spreads and has been for a quarter of an hour, so one incident is one alert. While nothing is
known of a group, nothing violates.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from .rules import ANOMALY, AlertRule, Operator
from .usual import Expected, Usual

BACK_SIGMAS = 3.0
KEPT_SECONDS = 900


def rule_now(rule: AlertRule, usual: Usual | None, value: float | None, at: datetime) -> AlertRule:
    """The rule with the limit in numbers that it has at ``at`` (aware), on the side on which the value is.

    A rule without a baseline, or of whose group nothing is known, is as it was. Its description is what was expected.
    """
    if rule.threshold.baseline is None or usual is None:
        return rule
    expected = usual.at(at)
    above = _is_above(rule.threshold.operator, value, expected)
    sigmas = rule.threshold.baseline_sigmas
    low, high = expected.anomalous() if sigmas is None else expected.limits(sigmas)
    limit = replace(
        rule.threshold,
        value=high if above else low,
        operator=Operator.GREATER if above else Operator.LESS,
        baseline=None,
    )
    now = replace(rule, threshold=limit, description=_joined(rule.description, explanation(expected, value)))
    if rule.threshold.baseline != ANOMALY:
        return now
    back = expected.limits(BACK_SIGMAS)[above]
    back = min(back, limit.value) if above else max(back, limit.value)
    return replace(
        now,
        threshold=replace(limit, recovery_value=back),
        keep_firing_for=rule.keep_firing_for or KEPT_SECONDS,
    )


def explanation(expected: Expected, value: float | None) -> str:
    """What was expected, what came, and how unusual that is: one sentence."""
    low, high = expected.limits(BACK_SIGMAS)
    usual = f"Usual at this time is about {expected.level:.4g} ({low:.4g} to {high:.4g})"
    if value is None:
        return f"{usual}."
    sigmas = expected.sigmas(value)
    far = "more than 1000" if abs(sigmas) >= 1000 else f"{abs(sigmas):.1f}"
    return f"{usual}; {value:.4g} is {far} sigma {'above' if sigmas >= 0 else 'below'}."


def _is_above(operator: Operator, value: float | None, expected: Expected) -> bool:
    if operator is Operator.NOT_EQUAL:
        return value is None or value >= expected.level
    return operator is Operator.GREATER


def _joined(description: str, sentence: str) -> str:
    return f"{description} {sentence}" if description else sentence
