"""The function ``ingest``: a push of the topic ``metrics`` becomes chunks."""

from __future__ import annotations

import functions_framework
from cloudevents.http import CloudEvent

from shared.errors import PermanentError
from shared.large_messages import give_memory_back
from shared.logs import log
from shared.push import message_from_cloud_event
from shared.wiring import check_at_start, services

check_at_start()
give_memory_back()


@functions_framework.cloud_event
def ingest(event: CloudEvent) -> None:
    """Store one message. Returning acknowledges it, raising delivers it again."""
    try:
        message = message_from_cloud_event(event)
    except PermanentError as error:
        log("envelope_rejected", "ERROR", reason=error.reason, detail=error.detail)
        services().ingest().reject_envelope(event.data, error, services().now())
        return
    outcome = services().ingest()(message)
    if outcome.reason:
        log("message_rejected", "WARNING", reason=outcome.reason, detail=outcome.detail, kept=outcome.observations)
