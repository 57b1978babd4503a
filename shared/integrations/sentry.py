"""Sentry beside the metrics: measured pieces are spans, events are breadcrumbs and data of spans, traces are shared.

``set_up_sentry()`` uses the SDK as the service has set it up, or sets it up itself: 10 % of transactions are traced and
profiled. What the SDK meets never reaches the service.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import sentry_sdk
from sentry_sdk.tracing import Span

from ..events import Event, plain
from ..performance import WATCHES, Watch

SAMPLE_RATE = 0.1
ENVIRONMENT = "production"


def set_up_sentry(dsn: str | None = None, **options: Any) -> None:
    """Watch measured pieces and events; with a ``dsn``, or SENTRY_DSN in the environment, also start the SDK.

    ``options`` are the SDK's own and come before the defaults here. An SDK that runs already is left as it is.
    """
    if not sentry_sdk.is_initialized():
        defaults = {
            "environment": ENVIRONMENT,
            "traces_sample_rate": SAMPLE_RATE,
            "profile_session_sample_rate": 1.0,  # whatever is traced is profiled, too
            "profile_lifecycle": "trace",
        }
        sentry_sdk.init(dsn, **{**defaults, **options})
    if not any(isinstance(watch, SentryWatch) for watch in WATCHES):
        WATCHES.append(SentryWatch())


def current_trace_id() -> str:
    """The trace that Sentry sees this code in, 32 hex digits; empty where there is none."""
    span = sentry_sdk.get_current_span()
    if span is not None:
        return span.trace_id
    traceparent = sentry_sdk.get_traceparent() or ""
    return traceparent.partition("-")[0]


@dataclass(frozen=True, slots=True)
class _Apart:
    """A span that was begun, and is not the one that runs."""

    span: Span


class SentryWatch(Watch):
    """Opens a span around each measured piece: below the one that runs, else as a transaction of its own.

    A piece that is apart has a span, and what its consumer does meanwhile is not below it.
    """

    def begin(self, name: str, *, apart: bool = False) -> object:
        """A span begins."""
        if sentry_sdk.get_current_span() is None:
            started: Span = sentry_sdk.start_transaction(op="function", name=name)
        else:
            started = sentry_sdk.start_span(op="function", name=name)
        return _Apart(started) if apart else started.__enter__()

    def end(self, begun: object, error: BaseException | None) -> None:
        """The span ends; an error marks it, and is not reported from here: the service may handle it."""
        span = begun.span if isinstance(begun, _Apart) else begun
        if isinstance(span, Span):
            span.set_status("ok" if error is None else "internal_error")
            if span is begun:
                span.__exit__(None, None, None)
            else:
                span.finish()

    def happened(self, event: Event) -> Event:
        """A breadcrumb with what happened, its numbers as data of the span that runs, its trace on both."""
        trace_id = event.trace_id or current_trace_id()
        name = type(event).__name__
        sentry_sdk.add_breadcrumb(
            category=f"ion.{name}", message=name, level="info", data={**plain(event), "trace_id": trace_id}
        )
        span = sentry_sdk.get_current_span()
        if span is not None:
            for name_and_unit, value in event.measurements.items():
                span.set_data(f"ion.{name_and_unit}", value)
            if event.trace_id and event.trace_id != span.trace_id:
                span.set_tag("ion.trace_id", event.trace_id)
        return replace(event, trace_id=trace_id)
