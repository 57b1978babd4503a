"""The function ``notify``: a push of the topic ``notifications`` reaches its channels."""

from __future__ import annotations

import functions_framework
from cloudevents.http import CloudEvent

from shared.channels.setup import set_up
from shared.dead_letters import dead_letter
from shared.errors import PermanentError
from shared.logs import log
from shared.push import message_from_cloud_event
from shared.wiring import check_at_start, services

check_at_start(also=set_up)


@functions_framework.cloud_event
def notify(event: CloudEvent) -> None:
    """Deliver one notification. Returning acknowledges it, raising delivers it again."""
    try:
        message = message_from_cloud_event(event)
    except PermanentError as error:
        log("envelope_rejected", "ERROR", reason=error.reason, detail=error.detail)
        return
    running = services()
    deliver = running.notify()  # a secret that is none is no fault of the message, which waits until it is mended
    try:
        outcomes = deliver(message)
    except PermanentError as error:
        dead_letter(running.bus, running.topic("notifications-dead-letter"), message, error, message.publish_time)
        log("notification_rejected", "ERROR", reason=error.reason, detail=error.detail)
        return
    for outcome in outcomes:
        log("delivered", channel=outcome.channel, state=outcome.state.value, detail=outcome.detail)
