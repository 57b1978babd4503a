"""What stands between Pub/Sub and ingest in a storm: it passes pushes on, knows their fates, and loses answers."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LOST_ANSWERS_RATIO = 0.02
ANSWER_WITHIN_SECONDS = 60.0


class FrontEnd:
    """Stands before ingest, as Google's front end does: passes each push on, and remembers what became of it.

    A fate is the answer's status; ``answer lost``, where ingest succeeded and Pub/Sub is told otherwise; ``cut off``,
    where ingest ended before it answered; ``refused``, where for half a second nobody listened.
    """

    def __init__(self, port: int, rng: random.Random) -> None:
        self._port = port
        self._rng = rng
        self.changed = threading.Condition()
        self.acknowledged: set[str] = set()
        self.in_flight = 0
        self.fates: Counter[str] = Counter()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass a push on; whatever is not a success is one for Pub/Sub to send again."""
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        with self.changed:
            self.in_flight += 1
            self.changed.notify_all()
        fate = self._fate(body)
        message_id = str(json.loads(body)["message"]["messageId"])
        with self.changed:
            self.in_flight -= 1
            if fate.startswith("2") and self._rng.random() < LOST_ANSWERS_RATIO:
                fate = "answer lost"
            self.fates[fate] += 1
            if fate.startswith("2"):
                self.acknowledged.add(message_id)
            self.changed.notify_all()
        start_response("204 No Content" if fate.startswith("2") else "503 Service Unavailable", [])
        return [b""]

    def _fate(self, body: bytes) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_WITHIN_SECONDS)
        with contextlib.closing(connection):
            try:
                self._connect(connection)
                connection.request("POST", "/", body, {"Content-Type": "application/json"})
                return str(connection.getresponse().status)
            except ConnectionRefusedError:
                return "refused"
            except (OSError, http.client.HTTPException):
                return "cut off"

    def _connect(self, connection: http.client.HTTPConnection) -> None:
        """Connect, and wait a little for an ingest that is being started. Raises ConnectionRefusedError."""
        for _ in range(10):
            with contextlib.suppress(ConnectionRefusedError):
                return connection.connect()
            time.sleep(0.05)
        raise ConnectionRefusedError
