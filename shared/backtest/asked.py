"""What was asked for: the present configuration, and the rule that is looked at, changed or as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import ConfigError
from ..monitoring_config import AlertRule, MonitoringConfig
from ..timeline import from_minute
from .changes import changed, find, only
from .episodes import Episode, episodes_of
from .run import Candidate, Progress, Run, Source, Span, backtest
from .scores import Labelled, Score, score, windows_of
from .stored import History
from .table import Column, alerts, failures, summary

CHANGED, PRESENT, HISTORY = "CHANGED", "AS IT IS", "HISTORY"


@dataclass(frozen=True, slots=True)
class Asked:
    """The present configuration, and ``changed`` by ``settings`` in the rule or source that is looked at, ``rule``.

    ``before`` is that rule as it is. Without a rule all of them are looked at.
    """

    present: MonitoringConfig
    changed: MonitoringConfig | None = None
    rule: AlertRule | None = None
    before: AlertRule | None = None
    settings: tuple[str, ...] = ()

    @staticmethod
    def read(config: MonitoringConfig, name: str, settings: Sequence[str]) -> Asked:
        """What a rule's name or id and its settings ask for; an empty name is all rules. Raises ``ConfigError``."""
        if not name and settings:
            raise ConfigError("a setting changes a rule: name it")
        if not name:
            return Asked(config)
        place = find(config, name)
        rule = place.rule(config)
        if not settings:
            return Asked(only(config, place), None, _enabled(rule), rule)
        then = changed(config, place, settings)
        return Asked(only(config, place), only(then, place), _enabled(place.rule(then)), rule, tuple(settings))

    @property
    def config(self) -> MonitoringConfig:
        """What is tried."""
        return self.changed or self.present

    def configs(self) -> list[MonitoringConfig]:
        """What is run, what is tried first."""
        return [self.config, *([self.present] if self.changed is not None else [])]

    def headline(self) -> str:
        """What is tried, in words."""
        if self.rule is None:
            rules, sources = len(self.config.list_alert_rules(enabled_only=True)), len(self.config.source_rules)
            return f"all {rules} rules" + (f" and {sources} source{'s' if sources > 1 else ''}" if sources else "")
        return " with ".join([self.rule.name, *([", ".join(self.settings)] if self.settings else [])])

    def of(self, episodes: Sequence[Episode]) -> list[Episode]:
        """The episodes that were asked for; the rule's name may have been changed, too."""
        wanted = {rule.id for rule in (self.rule, self.before) if rule is not None}
        return [one for one in episodes if one.rule_id in wanted or not wanted]


def _enabled(rule: AlertRule) -> AlertRule:
    if not rule.enabled:
        raise ConfigError(f"{rule.id} is not enabled; the setting enabled=true tries it")
    return rule


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found: the columns, what is tried first, and the score of each where windows were given."""

    asked: Asked
    span: Span
    columns: Sequence[Column]
    scores: Mapping[str, Score]
    run: Run

    def lines(self) -> list[str]:
        """Everything but the scores."""
        first, last = from_minute(self.span.first), from_minute(self.span.last)
        return [
            f"{self.asked.headline()}, {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC",
            "",
            *alerts(self.run.config, self.span, self.columns[0], self.columns[1:]),
            "",
            *summary(self.span, self.columns),
            *failures(self.run),
        ]


def outcome(
    asked: Asked,
    source: Source,
    span: Span,
    progress: Progress,
    history: History | None = None,
    windows: Sequence[Labelled] | None = None,
) -> Outcome:
    """Try what was asked for over a span, beside the present rule and history. Raises what the source raises."""
    runs = backtest(source, span, [Candidate(config) for config in asked.configs()], progress)
    headings = [CHANGED, PRESENT] if asked.changed is not None else [PRESENT]
    found = [Column(name, asked.of(run.episodes())) for name, run in zip(headings, runs, strict=True)]
    if history is not None:
        found.append(Column(HISTORY, asked.of(episodes_of(history.transitions, history.tellings()))))
    scored = {} if windows is None else {one.heading: score(one.episodes, windows, span) for one in found}
    return Outcome(asked, span, found, scored, runs[0])


def labelled(windows: Mapping[str, Sequence[Labelled]] | None, name: str) -> Sequence[Labelled] | None:
    """The windows of a file or rule; None where none were given. Raises ``ConfigError`` where its name is missing."""
    if windows is None:
        return None
    found = windows_of(windows, name)
    if found is None:
        raise ConfigError(f"windows: nothing, or too much, is named {name}")
    return found
