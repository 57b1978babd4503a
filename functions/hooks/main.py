"""The function ``hooks``: what people do in Slack and PagerDuty, in requests that these two have signed."""

from __future__ import annotations

import functions_framework
from flask import Request, Response

from shared.hooks import MAX_BODY_BYTES, HookRequest
from shared.wiring import check_at_start, services

check_at_start()


@functions_framework.http
def hooks(request: Request) -> Response:
    """Answer one request; of a body no more is read than could be taken."""
    headers = {name.lower(): value.encode("latin-1", "replace") for name, value in request.headers.items()}
    body = request.stream.read(MAX_BODY_BYTES + 1)
    answer = services().hooks()(HookRequest(request.method, request.path, headers, body))
    return Response(f"{answer.reason}\n" if answer.status >= 400 else "", answer.status, content_type="text/plain")
