"""Live history replayed: every transition and every notification that differs has a name for why.

States depend on minutes and configuration alone, so a transition differs where a minute changed after it was judged,
where another configuration judged, or where the alert was not inactive when the replay began. Who hears depends on
people, too: the replay asks what the rules alone would have told, and what they told with the silences and
acknowledgements that are stored.

Differences are explained by the stretch of time in which an alert was not inactive, live or replayed: what differs
early in it makes what follows differ, whatever the later minutes hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ..alerts import State
from ..series import Labels
from ..tick import Transition
from ..timeline import from_minute
from .causes import Cause, Clock, Difference, Facts, LateMinutes, People, Replayed, minute_of, timeline
from .episodes import Key
from .run import Candidate, Progress, Run, Source, Span, backtest
from .tellings import Tellings


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many transitions and notifications each side had, and the differences by time."""

    live_transitions: int
    replayed_transitions: int
    live_told: int
    replayed_told: int
    differences: tuple[Difference, ...]

    def causes(self) -> Mapping[Cause, int]:
        """How many differences each cause has; only those that occur."""
        return Counter(one.cause for one in self.differences)


def compare(source: Source, span: Span, then: Replayed, progress: Progress = lambda _done, _of: None) -> Comparison:
    """Replay a span and explain what differs from its history. Raises what the source raises."""
    late = LateMinutes(source)
    clock = Clock(then.history)
    alone = Candidate(then.config, earlier=timeline(then), baselines=then.baselines)
    people = People(then.history, clock)
    runs = backtest(late, span, [alone, replace(alone, hears=people.hear)], progress)
    facts = Facts(then, span, alone, clock, late.found)
    transitions = _Transitions(facts, runs[0])
    tellings = Tellings(facts, runs[0], runs[1], transitions.episodes)
    differences = sorted([*transitions.found, *tellings.differences()], key=lambda one: (one.at, one.rule_id, one.what))
    return Comparison(
        len(then.history.transitions),
        len(runs[0].transitions),
        len(tellings.live),
        len(runs[0].notifications),
        tuple(differences),
    )


@dataclass(slots=True)
class _Stretch:
    """What is known of one rule on one set of labels, from both sides, as time goes on."""

    firing: set[tuple[str, bool]] = field(default_factory=set)
    """Alerts that are not inactive: fingerprint, and whether live."""
    began: int = 0
    cause: Cause | None = None


class _Transitions:
    """The transitions that differ, and the episodes that do for that."""

    def __init__(self, facts: Facts, run: Run) -> None:
        self._facts = facts
        self.found: list[Difference] = []
        self.episodes: dict[Key, Cause] = {}
        live, replayed = _by_time(facts.then.history.transitions), _by_time(run.transitions)
        stretches = self._began_before()
        for key in sorted({*live, *replayed}):
            self._look_at(key[0], live.get(key), replayed.get(key), stretches)

    def _began_before(self) -> dict[tuple[str, Labels], _Stretch]:
        """The alerts that were not inactive when the replay began, as their first transition or they themselves say."""
        if self._facts.span.first == self._facts.then.first_judged:
            return {}
        first: dict[str, Transition] = {}
        for change in self._facts.then.history.transitions:
            first.setdefault(change.fingerprint, change)
        start = from_minute(self._facts.span.first)
        found: dict[tuple[str, Labels], _Stretch] = {}
        for change in first.values():
            if change.before is not State.INACTIVE:
                found.setdefault((change.rule_id, change.labels), self._before()).firing.add((change.fingerprint, True))
        for alert in self._facts.then.history.alerts:
            since = alert.since
            if alert.fingerprint not in first and alert.state is not State.INACTIVE and since and since < start:
                found.setdefault((alert.rule_id, alert.labels), self._before()).firing.add((alert.fingerprint, True))
        return found

    def _before(self) -> _Stretch:
        return _Stretch(began=self._facts.span.first, cause=Cause.BEGAN_BEFORE)

    def _look_at(
        self,
        minute: int,
        live: Transition | None,
        replayed: Transition | None,
        stretches: dict[tuple[str, Labels], _Stretch],
    ) -> None:
        change = live or replayed
        if change is None:
            return
        stretch = stretches.setdefault((change.rule_id, change.labels), _Stretch())
        if not stretch.firing:
            stretch.began, stretch.cause = minute, None
        if not _same(live, replayed):
            stretch.cause = self._facts.why(change.rule_id, stretch.began, minute) or stretch.cause
            self._differs(change, live, replayed, stretch.cause or Cause.UNEXPLAINED)
        for side, is_live in ((live, True), (replayed, False)):
            if side is not None:
                active = side.after is not State.INACTIVE
                (stretch.firing.add if active else stretch.firing.discard)((side.fingerprint, is_live))

    def _differs(self, change: Transition, live: Transition | None, replayed: Transition | None, cause: Cause) -> None:
        self.found.append(
            Difference(
                change.at,
                change.rule_id,
                change.labels,
                change.reason.value,
                live is not None,
                replayed is not None,
                cause,
            )
        )
        for side in (live, replayed):
            if side is not None and side.episode is not None:
                self.episodes.setdefault((side.fingerprint, side.episode), cause)


def _by_time(transitions: Iterable[Transition]) -> dict[tuple[int, str, str], Transition]:
    return {(minute_of(change.at), change.rule_id, change.fingerprint): change for change in transitions}


def _same(a: Transition | None, b: Transition | None) -> bool:
    """Whether two transitions say the same of the alert, under whichever configuration."""
    return a is not None and b is not None and _said(a) == _said(b)


def _said(change: Transition) -> tuple[object, ...]:
    return change.before, change.after, change.reason, change.severity, change.value, change.count, change.episode
