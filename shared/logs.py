"""Logs: one JSON object a line, a constant event name and fields. No prose, no secrets.

Cloud Logging reads ``severity`` and ``message``: https://cloud.google.com/logging/docs/structured-logging
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

Sink: TypeAlias = Callable[[str], None]


def _stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


_sinks: list[Sink] = [_stderr]


def log(event: str, severity: str = "INFO", **fields: object) -> None:
    """Write one event; ``event`` is a constant, snake_case name. Values that are no JSON are written as text."""
    line = json.dumps({"severity": severity, "message": event, **fields}, default=_text, sort_keys=False)
    _sinks[-1](line)


def try_log(event: str, severity: str = "INFO", **fields: object) -> None:
    """The same, unless there is nowhere to write: a service may have closed its standard error."""
    with contextlib.suppress(OSError, ValueError):
        log(event, severity, **fields)


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


class Captured:
    """Collects events instead of writing them; for tests and local runs: ``with Captured() as logs``."""

    def __init__(self) -> None:
        self.events: list[dict[str, object]] = []

    def __enter__(self) -> Captured:
        _sinks.append(self._keep)
        return self

    def __exit__(self, *_: object) -> None:
        _sinks.remove(self._keep)

    def _keep(self, line: str) -> None:
        self.events.append(json.loads(line))


class Redirected:
    """Gives each event, its line of JSON, to ``sink`` instead of writing it: ``with Redirected(print):``."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def __enter__(self) -> Redirected:
        _sinks.append(self._sink)
        return self

    def __exit__(self, *_: object) -> None:
        _sinks.remove(self._sink)
