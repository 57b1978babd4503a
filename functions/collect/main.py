"""The function ``collect``: Cloud Scheduler calls it every minute."""

from __future__ import annotations

import functions_framework
from flask import Request
from flask.typing import ResponseReturnValue

from shared.logs import log
from shared.wiring import check_at_start, services

check_at_start()


@functions_framework.http
def collect(_: Request) -> ResponseReturnValue:
    """Collect what is due and say what was done; raising answers 500, and Scheduler calls again."""
    report = services().collect()()
    for failure in report.failures:
        log("source_failed", "ERROR", source=failure.source, reason=failure.reason, detail=failure.detail)
    return {"messages": report.messages, "rows": report.rows, "absent": report.absent, "lost_race": report.lost_race}
