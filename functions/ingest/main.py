"""The function ``ingest``: a push of the topic ``metrics`` becomes chunks."""

from __future__ import annotations

import functions_framework
from cloudevents.http import CloudEvent

from shared.logs import log
from shared.push import message_from_cloud_event
from shared.wiring import services


@functions_framework.cloud_event
def ingest(event: CloudEvent) -> None:
    """Store one message. Returning acknowledges it, raising delivers it again."""
    outcome = services().ingest()(message_from_cloud_event(event))
    if outcome.reason:
        log("message_rejected", "WARNING", reason=outcome.reason, detail=outcome.detail, kept=outcome.observations)
