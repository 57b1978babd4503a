"""The function manifest: the one place that says what functions there are and what each may touch.

The local run, the bundles, Terraform and the IAM table are derived from ``functions/manifest.json``. Loading it
checks what a deployment would only find out late: every name that is referred to exists, subscriptions have one
name each, every dead-letter topic is read by a pull subscription, and **every collection is written by exactly one
function**. All problems are reported at once, each by its path. Names of topics and subscriptions are short: in the
cloud they get ``ION_PREFIX`` in front.
"""

from __future__ import annotations

from pathlib import Path

from .manifest_models import Function, HttpTrigger, Manifest, PushTrigger, ScheduleTrigger, Sizing, Trigger, TriggerType
from .manifest_reader import read_file

__all__ = [
    "MANIFEST_PATH",
    "Function",
    "HttpTrigger",
    "Manifest",
    "PushTrigger",
    "ScheduleTrigger",
    "Sizing",
    "Trigger",
    "TriggerType",
    "load_manifest",
]

MANIFEST_PATH = Path(__file__).parent.parent / "functions" / "manifest.json"
"""In the repository, and at the same place inside a function's archive."""


def load_manifest(path: Path | None = None) -> Manifest:
    """The manifest at ``path``, by default the project's own.

    Raises ``ConfigError`` with all problems, one line each; it names the file when that cannot be read.
    """
    return read_file(MANIFEST_PATH if path is None else path)
