"""The function ``evaluate``: Cloud Scheduler calls it every minute."""

from __future__ import annotations

import functions_framework
from flask import Request
from flask.typing import ResponseReturnValue

from shared.logs import log
from shared.wiring import check_at_start, services

check_at_start()


@functions_framework.http
def evaluate(_: Request) -> ResponseReturnValue:
    """Evaluate all that is due and say what was done; raising answers 500, and Scheduler calls again."""
    report = services().evaluate()()
    for failure in report.failures:
        log("rule_failed", "ERROR", rule_id=failure.rule_id, reason=failure.reason)
    for change in report.transitions:
        log("transition", rule_id=change.rule_id, labels=dict(change.labels), at=change.at, reason=change.reason.value,
            from_state=change.before.value, to_state=change.after.value, value=change.value)  # fmt: skip
    services().heartbeat().after(report)
    return {"ended": report.ended, "evaluated": len(report.evaluated), "published": report.published}
