"""The functions behind the real functions-framework, called in this process as the cloud calls them.

What a function raises is answered with 500, as in the cloud, and told to whoever runs it: the reason of a push goes
with its refusal, everything else to ``on_failure``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import functions_framework
from werkzeug.test import Client

from ..bus import Message, Subscription
from ..errors import TransientError
from ..manifest import MANIFEST_PATH, Manifest, TriggerType
from ..push import push_body

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

SIGNATURES = {TriggerType.PUSH: "cloudevent", TriggerType.SCHEDULE: "http", TriggerType.HTTP: "http"}
OnFailure: TypeAlias = Callable[[str, BaseException], None]
"""Told of a function by name and what it raised; from any thread."""


class Raised(logging.Handler):
    """What a function raises, caught where Flask logs it: whoever collects in that thread gets it, else ``tell``."""

    def __init__(self, name: str, tell: OnFailure) -> None:
        super().__init__()
        self._function = name
        self._tell = tell
        self._collected = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        """Take the exception of a log record; one without is nothing that failed."""
        error = record.exc_info[1] if record.exc_info else None
        into: list[BaseException] | None = getattr(self._collected, "into", None)
        if error is not None and into is not None:
            into.append(error)
        elif error is not None:
            self._tell(self._function, error)

    @contextmanager
    def collecting(self) -> Iterator[list[BaseException]]:
        """What is raised in this thread until the end of the block."""
        self._collected.into = []
        try:
            yield self._collected.into
        finally:
            self._collected.into = None


@dataclass(frozen=True, slots=True)
class _Function:
    app: WSGIApplication
    raised: Raised


class Functions:
    """The functions of a manifest as WSGI applications. Safe to call from any number of threads."""

    def __init__(self, functions: Mapping[str, _Function], project: str, on_failure: OnFailure) -> None:
        self._functions = dict(functions)
        self._project = project
        self._on_failure = on_failure

    @classmethod
    def load(
        cls, manifest: Manifest, project: str, on_failure: OnFailure, folder: Path = MANIFEST_PATH.parent
    ) -> Functions:
        """Create each function's application from ``{folder}/{name}/main.py``."""
        functions = {
            name: _create(name, folder / name / "main.py", SIGNATURES[function.trigger.type], on_failure)
            for name, function in manifest.functions.items()
        }
        return cls(functions, project, on_failure)

    def app(self, name: str) -> WSGIApplication:
        """A function's application. Raises KeyError."""
        return self._functions[name].app

    def push(self, message: Message, subscription: Subscription) -> None:
        """Deliver a message to the function that a push subscription names.

        Raises TransientError (``push_refused``) with the reason for every answer but 2xx, which is what acknowledges.
        """
        name = subscription.push or ""
        status, why = self._post(name, push_body(message, subscription.name, self._project))
        if why is not None:
            raise TransientError("push_refused", f"{name} answered {status}: {described(why)}") from why

    def call(self, name: str) -> int:
        """Call a function as Cloud Scheduler does; the status it answers. A failure is told."""
        status, why = self._post(name, b"")
        if why is not None:
            self._on_failure(name, why)
        return status

    def _post(self, name: str, body: bytes) -> tuple[int, BaseException | None]:
        """The status that a function answers, and why it is not 2xx."""
        function = self._functions[name]
        with function.raised.collecting() as raised:
            response = Client(function.app).post("/", data=body, content_type="application/json")
        if 200 <= response.status_code < 300:
            return response.status_code, None
        answer = TransientError(f"answered_{response.status_code}", response.get_data(as_text=True)[:200])
        return response.status_code, next(iter(raised), answer)


def described(error: BaseException) -> str:
    """An exception on one line: its type, and its reason or text."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _create(name: str, source: Path, signature: str, on_failure: OnFailure) -> _Function:
    create: Callable[[str, str, str], WSGIApplication] = functions_framework.create_app  # which has no types
    app = create(name, str(source), signature)
    raised = Raised(name, on_failure)
    logger = logging.getLogger(name)  # Flask's, which would write each failure with its traceback
    logger.handlers, logger.propagate = [raised], False
    return _Function(app, raised)
