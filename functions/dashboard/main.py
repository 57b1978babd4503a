"""The function ``dashboard``: renders the pages."""

from __future__ import annotations

import functions_framework
from flask import Request, Response

from shared.dashboard import PageRequest
from shared.forms import Sent
from shared.wiring import check_at_start, services

check_at_start()

MOST_FORM_BYTES = 16_384
"""A longer form is a 413."""


@functions_framework.http
def dashboard(request: Request) -> Response:
    """Answer one request."""
    page = services().dashboard()(
        PageRequest(
            path=request.path,
            method=request.method,
            query=request.args.to_dict(),
            accept=request.headers.get("Accept"),
            if_none_match=request.headers.get("If-None-Match"),
            sent=_sent(request),
            assertion=request.headers.get("X-Goog-IAP-JWT-Assertion", ""),
        )
    )
    response = Response(page.body, page.status, content_type=page.content_type)
    response.headers.update(page.headers)
    return response


def _sent(request: Request) -> Sent:
    request.max_content_length = MOST_FORM_BYTES
    return Sent(
        form=request.form.to_dict() if request.method == "POST" else {},
        cookies=request.cookies.to_dict(),
        host=request.host,
        origin=request.headers.get("Origin"),
        fetch_site=request.headers.get("Sec-Fetch-Site"),
    )
