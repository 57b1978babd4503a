"""The functions behind the real functions-framework, called in this process as the cloud calls them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import functions_framework
from werkzeug.test import Client

from ..bus import Message, Subscription
from ..errors import TransientError
from ..manifest import MANIFEST_PATH, Manifest, TriggerType
from ..push import push_body

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

SIGNATURES = {TriggerType.PUSH: "cloudevent", TriggerType.SCHEDULE: "http", TriggerType.HTTP: "http"}


class Functions:
    """The functions of a manifest as WSGI applications. Safe to call from any number of threads."""

    def __init__(self, apps: Mapping[str, WSGIApplication], project: str) -> None:
        self._apps = dict(apps)
        self._project = project

    @classmethod
    def load(cls, manifest: Manifest, project: str, folder: Path = MANIFEST_PATH.parent) -> Functions:
        """Create each function's application from ``{folder}/{name}/main.py``."""
        apps = {
            name: _create(name, folder / name / "main.py", SIGNATURES[function.trigger.type])
            for name, function in manifest.functions.items()
        }
        return cls(apps, project)

    def app(self, name: str) -> WSGIApplication:
        """A function's application. Raises KeyError."""
        return self._apps[name]

    def push(self, message: Message, subscription: Subscription) -> None:
        """Deliver a message to the function that a push subscription names.

        Raises TransientError (``push_refused``) for every answer but 2xx, which is what acknowledges.
        """
        body = push_body(message, subscription.name, self._project)
        status, answer = self._post(subscription.push or "", body)
        if not 200 <= status < 300:
            raise TransientError("push_refused", f"{subscription.push} answered {status}: {answer[:200]}")

    def call(self, name: str) -> int:
        """Call a function as Cloud Scheduler does; the status it answers."""
        return self._post(name, b"")[0]

    def _post(self, name: str, body: bytes) -> tuple[int, str]:
        response = Client(self.app(name)).post("/", data=body, content_type="application/json")
        return response.status_code, response.get_data(as_text=True)


def _create(name: str, source: Path, signature: str) -> WSGIApplication:
    create: Callable[[str, str, str], WSGIApplication] = functions_framework.create_app  # which has no types
    app = create(name, str(source), signature)
    # Flask logs each failure with its traceback; here the caller gets the reason in the answer and says it in a line.
    logging.getLogger(name).disabled = True
    return app
