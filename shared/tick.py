"""The tick: what the rules make of the cells at one evaluation time. Pure; live, replay and backtest run this.

Evaluation times T are whole multiples of a rule's frequency. A rule looks at (T - delay - window, T - delay]. First
every rule is judged, then it is decided who hears (``telling``), because one rule's firing can keep another quiet.
Each transition of an alert is returned once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from .alerts import ENDINGS, TRANSITIONS, AlertKind, AlertState, Reason, State, decide
from .cells import Cells
from .monitoring_config import AlertRule, MetricThreshold, MetricType, MonitoringConfig, OnNoData
from .notifications import Notification
from .room import Room
from .rule_health import ROLLUP, ROLLUP_ID, failing, missing, no_data_alert, removed, still_missing
from .series import Labels
from .telling import Hearing, Quiet, Step, tell
from .timeline import to_us
from .windows import Windows, evaluate

MAX_REASON_CHARACTERS = 300
"""Of why a rule failed: an error's own words can be of any length."""


@dataclass(frozen=True, slots=True)
class Transition:
    """An alert changed its state at ``at`` (aware UTC); what was judged, under which configuration.

    ``episode`` is when the alert fired (None: it never did). ``kind`` says what the alert is about.
    """

    fingerprint: str
    rule_id: str
    labels: Labels
    severity: str
    at: datetime
    before: State
    after: State
    reason: Reason
    value: float | None
    count: int
    episode: datetime | None
    config_hash: str
    kind: AlertKind = AlertKind.THRESHOLD


@dataclass(frozen=True, slots=True)
class RuleFailure:
    """A rule that could not be evaluated; its alerts keep their states and the other rules go on."""

    rule_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class TickResult:
    """The outcome at one T.

    ``states`` holds what has to be remembered: alerts that are pending or firing, and those in their cooldown; an
    alert it does not hold is inactive. ``unseen`` are the endings of episodes that nobody was told of because of
    catch-up.
    """

    at: datetime
    states: tuple[AlertState, ...]
    transitions: tuple[Transition, ...]
    notifications: tuple[Notification, ...]
    failures: tuple[RuleFailure, ...]
    unseen: tuple[Transition, ...] = ()


def tick(
    config: MonitoringConfig,
    minutes: Mapping[int, Cells],
    states: Iterable[AlertState],
    at: datetime,
    hearing: Hearing | None = None,
    broken: Sequence[str] = (),
    windows: Windows | None = None,
) -> TickResult:
    """Evaluate every enabled rule that is due at ``at`` (aware UTC, on a whole minute).

    ``minutes`` are the cells of at least the longest window and delay before ``at``; ``states`` those of the tick
    before. Alerts of rules that are gone or disabled end. ``hearing`` is by default nobody's silence; ``broken`` says
    what failed about the minutes themselves, which is a failure like that of a rule. ``windows`` keeps what was found
    in the same minutes for the evaluations that follow.
    """
    known = tuple(states)
    by_rule: dict[str, list[AlertState]] = {}
    for state in known:
        by_rule.setdefault(state.rule_id, []).append(state)
    judging = _Judging(config, minutes, at, Room(known), Windows() if windows is None else windows)
    rules = sorted(_rules(config), key=lambda rule: rule.severity.rank)
    judged = [judging.rule(rule, by_rule.pop(rule.id, [])) for rule in rules]
    judged.append(judging.rollup(by_rule.pop(ROLLUP_ID, []), broken))
    steps = [step for part in judged for step in part.steps]
    steps += [Step(_gone(state), state, removed(state, at)) for left in by_rule.values() for state in left]
    kept = tuple(state for part in judged for state in part.kept)
    failures = tuple(failure for part in judged if (failure := part.failure) is not None)
    return _told(config, steps, kept, failures, hearing or Hearing(), at)


def longest_reach_seconds(config: MonitoringConfig) -> int:
    """How far before T any enabled rule looks; 0 without rules."""
    return max((_reach_seconds(config, rule) for rule in _rules(config)), default=0)


def _reach_seconds(config: MonitoringConfig, rule: AlertRule) -> int:
    """A rule that misses groups also looks at who was there an evaluation ago."""
    earlier = rule.evaluation_frequency if rule.on_no_data is OnNoData.ALERT else 0
    return rule.evaluation_window + config.delay_seconds_for(rule) + earlier


def _rules(config: MonitoringConfig) -> list[AlertRule]:
    return config.evaluated_rules()


def _gone(state: AlertState) -> AlertRule:
    """What stands for a rule that is not in the configuration any more."""
    limit = MetricThreshold(0.0, severity=state.severity)
    return AlertRule(state.rule_id, "This rule is no longer in use.", MetricType.BUSINESS, limit)


def rule_values(
    config: MonitoringConfig,
    rule: AlertRule,
    minutes: Mapping[int, Cells],
    at: datetime,
    windows: Windows | None = None,
) -> dict[Labels, float]:
    """The values a rule judges at ``at``, one for each group that has one.

    ``windows`` keeps what was found in the same ``minutes``, for the next rule.
    """
    end = to_us(at) // 1_000_000 - config.delay_seconds_for(rule)
    window = (Windows() if windows is None else windows).read(minutes, end, rule.evaluation_window)
    return evaluate(window, config.query_for(rule), rule.evaluation_window)


@dataclass(frozen=True, slots=True)
class _Judged:
    """One rule at one T: the alerts that were evaluated, those that were not due, and what failed."""

    steps: Sequence[Step] = ()
    kept: Sequence[AlertState] = ()
    failure: RuleFailure | None = None


@dataclass(frozen=True, slots=True)
class _Judging:
    """The rules of one T, one after the other, on the same windows and within the same room."""

    config: MonitoringConfig
    minutes: Mapping[int, Cells]
    at: datetime
    room: Room
    windows: Windows

    def rule(self, rule: AlertRule, states: Sequence[AlertState]) -> _Judged:
        """Evaluate a rule; one that is not due keeps its states. A failure is contained here, and alerts."""
        if to_us(self.at) // 1_000_000 % rule.evaluation_frequency:
            return _Judged(kept=states)
        others = [state for state in states if state.kind is not AlertKind.FAILURE]
        try:
            judged = self._judge(rule, others)
        except Exception as error:  # noqa: BLE001 - whatever a rule breaks by, it must not stop the others
            judged = _Judged(kept=others, failure=_failure(rule.id, f"{type(error).__name__}: {error}"))
        return self._about_itself(rule, rule.id, states, judged)

    def rollup(self, states: Sequence[AlertState], broken: Sequence[str]) -> _Judged:
        """The alert that minutes cannot be rolled up."""
        failure = _failure(ROLLUP_ID, "; ".join(broken)) if broken else None
        return self._about_itself(ROLLUP, ROLLUP_ID, states, _Judged(failure=failure))

    def _about_itself(self, rule: AlertRule, rule_id: str, states: Sequence[AlertState], judged: _Judged) -> _Judged:
        """With the alert that the rule cannot be evaluated, where there is one."""
        known = next((state for state in states if state.kind is AlertKind.FAILURE), None)
        decision = failing(known, rule_id, judged.failure is not None, self.at)
        if decision is None:
            return judged
        before = known or decision.alert.cleared(self.at)
        return _Judged((*judged.steps, Step(rule, before, decision)), judged.kept, judged.failure)

    def _judge(self, rule: AlertRule, states: Sequence[AlertState]) -> _Judged:
        values = rule_values(self.config, rule, self.minutes, self.at, self.windows)
        known = {state.labels: state for state in states if state.kind is AlertKind.THRESHOLD}
        missed = {state.labels: state for state in states if state.kind is AlertKind.NO_DATA}
        steps: list[Step] = []
        beyond = 0
        for labels in self._groups(rule, values, known):
            if labels not in known and labels in values and rule.violated_by(values[labels]) is None:
                continue  # as most are: inactive, and nothing to remember
            before = known.get(labels) or AlertState(rule.id, labels, rule.threshold.severity)
            decision = decide(rule, before, values.get(labels), self.at)
            if labels not in known and decision.alert.state is State.INACTIVE:
                continue
            if self.room.takes(rule.id, labels):
                steps.append(Step(rule, before, decision))
            else:
                beyond += 1
        steps += self._missing(rule, steps, missed, values)
        reason = f"too_many_alerts: {beyond} groups violate for which there is no room"
        return _Judged(steps, failure=_failure(rule.id, reason) if beyond else None)

    def _groups(
        self, rule: AlertRule, values: Mapping[Labels, float], known: Mapping[Labels, AlertState]
    ) -> list[Labels]:
        """The groups to judge, what is remembered first. A rule without groups is judged on an empty window too."""
        ungrouped: set[Labels] = set() if self.config.query_for(rule).group_by or rule.is_source else {()}
        return [*sorted(known), *sorted({*values, *self._present_before(rule), *ungrouped} - set(known))]

    def _present_before(self, rule: AlertRule) -> Iterable[Labels]:
        """Where missing data violate, the groups that had a value an evaluation ago: inactive ones are forgotten."""
        if rule.on_no_data is not OnNoData.ALERT:
            return ()
        earlier = self.at - timedelta(seconds=rule.evaluation_frequency)
        return rule_values(self.config, rule, self.minutes, earlier, self.windows)

    def _missing(
        self,
        rule: AlertRule,
        steps: Sequence[Step],
        missed: Mapping[Labels, AlertState],
        values: Mapping[Labels, float],
    ) -> Iterator[Step]:
        """The no-data alerts: those that take the place of what has just ended, and those that there are."""
        ended = {step.before.labels: step.decision for step in steps if _lost_its_data(step)}
        for labels in sorted({*missed, *ended}):
            before = missed.get(labels) or no_data_alert(rule.id, labels, rule.severity)
            if labels in ended:
                yield Step(rule, before, missing(before, ended[labels], self.at))
            else:
                yield Step(rule, before, still_missing(before, labels in values, self.at))


def _failure(rule_id: str, reason: str) -> RuleFailure:
    """A failure, in so many words as can be stored: an error may quote whatever a writer sent."""
    return RuleFailure(rule_id, reason.encode("utf-8", "replace").decode()[:MAX_REASON_CHARACTERS])


def _lost_its_data(step: Step) -> bool:
    """Whether an alert that fired has just ended for want of data, which its rule does not take for an answer."""
    return step.decision.reason is Reason.NO_DATA and step.before.is_firing and step.rule.on_no_data is OnNoData.KEEP


def _told(
    config: MonitoringConfig,
    steps: Sequence[Step],
    kept: tuple[AlertState, ...],
    failures: tuple[RuleFailure, ...],
    hearing: Hearing,
    at: datetime,
) -> TickResult:
    """Decide who hears of each step, and what has to be remembered."""
    firing = [alert for alert in (*kept, *(step.decision.alert for step in steps)) if alert.is_firing]
    states = list(kept)
    transitions: list[Transition] = []
    notifications: list[Notification] = []
    unseen: list[Transition] = []
    for step in steps:
        alert, notification = tell(config, step, firing, hearing, at)
        if notification is not None:
            notifications.append(notification)
        if step.decision.reason in TRANSITIONS:
            transition = _transition(config, step, at)
            transitions.append(transition)
            if step.decision.reason in ENDINGS and step.before.held == Quiet.CATCH_UP and not step.before.told:
                unseen.append(transition)
        if _is_remembered(step.rule, alert, at):
            states.append(alert)
    return TickResult(at, tuple(states), tuple(transitions), tuple(notifications), failures, tuple(unseen))


def _is_remembered(rule: AlertRule, alert: AlertState, at: datetime) -> bool:
    """Inactive alerts are forgotten when their cooldown is over."""
    if alert.state is not State.INACTIVE:
        return True
    return alert.told_at is not None and at - alert.told_at < timedelta(seconds=rule.cooldown_period)


def _transition(config: MonitoringConfig, step: Step, at: datetime) -> Transition:
    alert, before, reason = step.decision.alert, step.before, step.decision.reason
    return Transition(
        fingerprint=alert.fingerprint,
        rule_id=alert.rule_id,
        labels=alert.labels,
        severity=alert.severity.value,
        at=at,
        before=before.state,
        after=alert.state,
        reason=reason,
        value=None if reason is Reason.NO_DATA else alert.value,
        count=alert.count,
        episode=alert.fired_at or before.fired_at,
        config_hash=config.hash,
        kind=alert.kind,
    )
