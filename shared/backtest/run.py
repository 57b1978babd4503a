"""The run: every evaluation time of a span, oldest first, for each of some configurations, in one pass.

Minutes are read an hour at a time and let go when no rule looks back to them, so a run holds about an hour and the
longest window of them. Alerts begin inactive. Pure but for what the source reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from ..alerts import AlertState
from ..cells import Cells, Observation, fold
from ..errors import ConfigError
from ..hours import hour_of, minutes_of
from ..monitoring_config import MonitoringConfig, OnNoData
from ..notifications import Notification
from ..series import Labels
from ..telling import Hearing
from ..tick import RuleFailure, TickResult, Transition, longest_reach_seconds, rule_values, tick
from ..timeline import MINUTE_SECONDS, from_minute, minute_of_us
from ..usual_store import Baselines
from ..windows import Windows
from .episodes import Episode, Key, Telling, episodes_of


class Source(Protocol):
    """Where the minutes are."""

    def read(self, minutes: Sequence[int]) -> Mapping[int, Cells]:
        """The cells of some minutes (Unix seconds of their ends), ascending; one without data is left out."""
        ...


class Recorded:
    """Observations in memory as minutes, as the rollups of one writer's messages would hold them."""

    def __init__(self, observations: Iterable[Observation]) -> None:
        self._by_minute: dict[int, list[Observation]] = {}
        for one in observations:
            self._by_minute.setdefault(minute_of_us(one.at_us), []).append(one)

    def read(self, minutes: Sequence[int]) -> Mapping[int, Cells]:
        """See ``Source.read``."""
        return {minute: fold(self._by_minute[minute]) for minute in minutes if minute in self._by_minute}

    def span(self, hours: float | None = None) -> Span:
        """From the first minute with data to the last, because a recording that ends is no failure; the last ``hours``.

        Raises ``ConfigError`` without any data, and for hours that are not positive and finite.
        """
        if not self._by_minute or (hours is not None and not 0 < hours < math.inf):
            raise ConfigError("expected data and a positive number of hours")
        first, newest = min(self._by_minute), max(self._by_minute)
        if hours is not None:
            first = max(first, newest + MINUTE_SECONDS - max(1, round(hours * 60)) * MINUTE_SECONDS)
        return Span(first, newest)


@dataclass(frozen=True, slots=True)
class Span:
    """The evaluation times from ``first`` to ``last``, both included: Unix seconds of whole minutes."""

    first: int
    last: int

    def __len__(self) -> int:
        return max(0, (self.last - self.first) // MINUTE_SECONDS + 1)

    @property
    def days(self) -> float:
        """How long it is."""
        return len(self) * MINUTE_SECONDS / 86_400


Hears = Callable[[datetime, Sequence[AlertState]], Hearing]
"""What people had said by an evaluation time, for the alerts that there are."""


def nobody(_at: datetime, _alerts: Sequence[AlertState]) -> Hearing:
    """Nobody silenced or acknowledged anything."""
    return Hearing()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A configuration to run, and what people say meanwhile.

    ``earlier`` are configurations that judge before it, oldest first, each with the evaluation time (Unix seconds) at
    which the next takes over. ``counts``: note which groups there were (``Run.seen``). ``baselines`` are what rules on
    one take for usual, over the whole span.
    """

    config: MonitoringConfig
    hears: Hears = nobody
    earlier: Sequence[tuple[int, MonitoringConfig]] = ()
    counts: bool = False
    baselines: Baselines = field(default_factory=dict)

    def at(self, minute: int) -> MonitoringConfig:
        """The configuration that judges T."""
        return next((config for until, config in self.earlier if minute < until), self.config)

    def configs(self) -> list[MonitoringConfig]:
        """All its configurations."""
        return [*(config for _, config in self.earlier), self.config]


@dataclass(slots=True)
class Run:
    """What a candidate did over a span, oldest first. ``held`` names of each episode what a notification waited for."""

    config: MonitoringConfig
    span: Span
    transitions: list[Transition] = field(default_factory=list)
    notifications: list[Notification] = field(default_factory=list)
    failures: dict[RuleFailure, int] = field(default_factory=dict)
    """How often each failed."""
    held: dict[Key, list[str]] = field(default_factory=dict)
    seen: dict[str, dict[Labels, Span]] = field(default_factory=dict)
    """From when to when each group of a rule had values to judge, gaps included; empty unless that was asked for."""

    def series_days(self, rule_id: str | None = None) -> float:
        """How long groups of a rule had values, together; without a rule, those of the rule of which that is most."""
        groups = self.seen.values() if rule_id is None else [self.seen.get(rule_id, {})]
        return max((sum(one.days for one in each.values()) for each in groups), default=0.0)

    def episodes(self) -> list[Episode]:
        """The alerts that fired, by time."""
        tellings: dict[Key, list[Telling]] = {}
        for one in self.notifications:
            told = tellings.setdefault((one.fingerprint, one.fired_at), [])
            told.append(Telling(one.kind.value, one.at, one.channels))
        return episodes_of(self.transitions, tellings, self.held)


Progress = Callable[[int, int], None]
"""Told after each hour: how many evaluation times are done, of how many."""


def backtest(
    source: Source, span: Span, candidates: Sequence[Candidate], progress: Progress = lambda _done, _of: None
) -> list[Run]:
    """Run each candidate over the span; an empty span gives empty runs. Raises what the source raises."""
    running = [_Running(one, Run(one.config, span)) for one in candidates]
    windows = Windows()
    asked_again_seconds = _asked_again_seconds(candidates)
    for done, (minute, minutes) in enumerate(_evaluations(source, span, candidates), start=1):
        for one in running:
            one.step(minutes, minute, windows)
        windows.forget(minute + MINUTE_SECONDS - asked_again_seconds, minutes.values())
        if minute == hour_of(minute) or minute == span.last:
            progress(done, len(span))
    return [one.run for one in running]


def _evaluations(source: Source, span: Span, candidates: Sequence[Candidate]) -> Iterator[tuple[int, dict[int, Cells]]]:
    """Each evaluation time with the minutes that it looks back to."""
    reach = max((longest_reach_seconds(config) for one in candidates for config in one.configs()), default=0)
    held: dict[int, Cells] = {}
    read_until = span.first - max(reach, MINUTE_SECONDS)
    for minute in range(span.first, span.last + MINUTE_SECONDS, MINUTE_SECONDS):
        while read_until < minute:
            wanted = [one for one in minutes_of(hour_of(read_until + MINUTE_SECONDS)) if one > read_until]
            read_until = wanted[-1]
            held.update(source.read([one for one in wanted if one <= span.last]))
        yield minute, held
        held.pop(minute - reach, None)


def _asked_again_seconds(candidates: Sequence[Candidate]) -> int:
    """How long before the next evaluation time a window may end that is asked for again."""
    return max(
        (
            config.delay_seconds_for(rule) + (rule.evaluation_frequency if rule.on_no_data is OnNoData.ALERT else 0)
            for one in candidates
            for config in one.configs()
            for rule in config.evaluated_rules()
        ),
        default=0,
    )


@dataclass(slots=True)
class _Running:
    """A candidate between two evaluation times."""

    candidate: Candidate
    run: Run
    states: tuple[AlertState, ...] = ()

    def step(self, minutes: Mapping[int, Cells], minute: int, windows: Windows) -> None:
        at = from_minute(minute)
        hearing = self.candidate.hears(at, self.states)
        config = self.candidate.at(minute)
        usual = self.candidate.baselines
        result = tick(config, minutes, self.states, at, hearing, windows=windows, baselines=usual)
        self.states = result.states
        self._note(result)
        if self.candidate.counts:
            failed = {failure.rule_id for failure in result.failures}
            for rule in config.evaluated_rules():
                if minute % rule.evaluation_frequency == 0 and rule.id not in failed:
                    self._see(rule.id, rule_values(config, rule, minutes, at, windows), minute)

    def _see(self, rule_id: str, groups: Iterable[Labels], minute: int) -> None:
        seen = self.run.seen.setdefault(rule_id, {})
        for labels in groups:
            seen[labels] = Span(seen[labels].first if labels in seen else minute, minute)

    def _note(self, result: TickResult) -> None:
        run = self.run
        run.transitions += result.transitions
        run.notifications += result.notifications
        for failure in result.failures:
            run.failures[failure] = run.failures.get(failure, 0) + 1
        for alert in result.states:
            if alert.held and alert.fired_at is not None:
                held = run.held.setdefault((alert.fingerprint, alert.fired_at), [])
                held += [alert.held] if alert.held not in held else []
