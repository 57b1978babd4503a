"""Requests of a Flask application, by their routes: ``monitor_flask(app)``."""

from __future__ import annotations

from flask import Flask, request

from ..metrics_collector import ProductionMetricsCollector
from .requests import UNMATCHED
from .wsgi import ROUTE_KEY, WsgiMiddleware


def monitor_flask(
    app: Flask,
    collector: ProductionMetricsCollector | None = None,
    *,
    region: str | None = None,
    flush_seconds: float = 0.0,
) -> None:
    """Measure all requests of an application. What matches no route is one endpoint."""

    def note_route() -> None:
        request.environ[ROUTE_KEY] = request.url_rule.rule if request.url_rule is not None else UNMATCHED

    app.before_request_funcs.setdefault(None, []).insert(0, note_route)
    app.wsgi_app = WsgiMiddleware(  # type: ignore[method-assign] # as Flask's documentation does it
        app.wsgi_app, collector, region=region, flush_seconds=flush_seconds
    )
