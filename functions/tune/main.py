"""The function ``tune``: Cloud Scheduler calls it every day."""

from __future__ import annotations

import functions_framework
from flask import Request
from flask.typing import ResponseReturnValue

from shared.logs import log
from shared.wiring import check_at_start, services

check_at_start()


@functions_framework.http
def tune(_: Request) -> ResponseReturnValue:
    """Learn, recommend and send the digest; raising answers 500, and Scheduler calls again."""
    report = services().tune()()
    log("tuned", queries=report.queries, groups=report.groups, recommended=report.recommended, digest=report.digest)
    return {"queries": report.queries, "groups": report.groups, "recommended": report.recommended}
