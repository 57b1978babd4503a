"""Proposals: a change of a rule, shown with its difference and its backtest before it can be applied.

``Proposal.configuration`` is the only way to a changed configuration, and a proposal cannot be made without both.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .backtest.asked import Asked, Outcome, outcome
from .backtest.changes import changed, find
from .backtest.run import Progress, Source, Span
from .errors import ConfigError
from .monitoring_config import MonitoringConfig
from .usual_store import Baselines


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change that was tried. ``diff`` are the lines of the configuration's JSON that it changes."""

    rule_id: str
    setting: str
    diff: tuple[str, ...]
    outcome: Outcome
    configuration: MonitoringConfig

    def lines(self) -> list[str]:
        """What is shown: the difference, and what the rule would have done with it and did without."""
        return ["The configuration changes:", "", *self.diff, "", "Backtest:", "", *self.outcome.lines()]


def propose(
    config: MonitoringConfig,
    rule_id: str,
    setting: str,
    source: Source,
    span: Span,
    progress: Progress = lambda _done, _of: None,
    baselines: Callable[[Iterable[MonitoringConfig]], Baselines] = lambda _configs: {},
) -> Proposal:
    """Try a setting (``threshold=250``) of a rule over a span.

    ``baselines`` knows what is usual, for the rules on it.
    Raises ``ConfigError`` for a rule or setting that is not, or that changes nothing, and what the source raises.
    """
    after = changed(config, find(config, rule_id), [setting])
    if after == config:
        raise ConfigError(f"{setting} changes nothing of {rule_id}")
    asked = Asked.read(config, rule_id, [setting])
    found = outcome(asked, source, span, progress, baselines=baselines(asked.configs()))
    return Proposal(rule_id, setting, tuple(difference(config, after)), found, after)


def difference(before: MonitoringConfig, after: MonitoringConfig, context: int = 3) -> list[str]:
    """The lines of JSON in which two configurations differ, as ``diff -u`` shows them; none when they do not."""
    names = f"configuration {before.hash}", f"configuration {after.hash}"
    lines = before.to_json().splitlines(), after.to_json().splitlines()
    return list(difflib.unified_diff(*lines, *names, n=context, lineterm=""))
