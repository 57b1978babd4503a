"""The conformance entry point: feed points and rules, step to T, read states. ``docs/conformance.md`` is its manual.

No store, no bus, no clock: points become cells and rules are judged by the modules that production runs.
"""

from .run import Alert, Conformance, Evaluation, timelines

__all__ = ["Alert", "Conformance", "Evaluation", "timelines"]
