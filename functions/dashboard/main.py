"""The function ``dashboard``: renders the pages."""

from __future__ import annotations

import functions_framework
from flask import Request, Response

from shared.dashboard import PageRequest
from shared.wiring import check_at_start, services

check_at_start()


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
        )
    )
    response = Response(page.body, page.status, content_type=page.content_type)
    response.headers.update(page.headers)
    return response
