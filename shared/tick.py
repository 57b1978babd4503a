"""The tick: what the rules make of the cells at one evaluation time. Pure; live, replay and backtest run this.

Evaluation times T are whole multiples of a rule's frequency. A rule looks at (T - delay - window, T - delay]. First
every rule is judged, then it is decided who hears (``telling``), because one rule's firing can keep another quiet.
Each transition of an alert is returned once.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from .alerts import ENDINGS, TRANSITIONS, AlertKind, AlertState, Reason, State, decide
from .cells import Cells
from .errors import ConfigError
from .monitoring_config import AlertRule, MetricThreshold, MetricType, MonitoringConfig, OnNoData
from .moving import rule_now
from .notifications import Notification
from .room import Room
from .rule_health import ROLLUP, ROLLUP_ID, failing, missing, no_data_alert, regrouped, removed, still_missing
from .series import Labels
from .telling import Firing, Hearing, Quiet, Step, tell
from .timeline import to_us
from .usual_store import Baselines, rule_key
from .windows import Windows, evaluate

MAX_REASON_CHARACTERS = 300
"""Of why a rule failed: an error's own words can be of any length."""


@dataclass(frozen=True, slots=True)
class Transition:
    """An alert changed its state at ``at`` (aware UTC); what was judged, under which configuration.

    ``episode`` is when the alert fired (None: it never did). ``kind`` says what the alert is about, ``held`` why nobody
    was told at that evaluation of one that fires (empty: somebody was, or there was nothing to tell).
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
    held: str = ""


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
    catch-up. Where notifications were made one (``together``), ``separate`` holds each by itself, with the id of that
    one; otherwise it is empty.
    """

    at: datetime
    states: tuple[AlertState, ...]
    transitions: tuple[Transition, ...]
    notifications: tuple[Notification, ...]
    failures: tuple[RuleFailure, ...]
    unseen: tuple[Transition, ...] = ()
    separate: tuple[tuple[str, Notification], ...] = ()


def tick(
    config: MonitoringConfig,
    minutes: Mapping[int, Cells],
    states: Iterable[AlertState],
    at: datetime,
    hearing: Hearing | None = None,
    broken: Sequence[str] = (),
    windows: Windows | None = None,
    baselines: Baselines | None = None,
) -> TickResult:
    """Evaluate every enabled rule that is due at ``at`` (aware UTC, on a whole minute).

    ``minutes`` are the cells of at least the longest window and delay before ``at``; ``states`` those of the tick
    before. Alerts of rules that are gone or disabled end. ``hearing`` is by default nobody's silence; ``broken`` says
    what failed about the minutes themselves, which is a failure like that of a rule. ``windows`` keeps what was found
    in the same minutes for the evaluations that follow. ``baselines`` are what is usual, for the rules on it.
    """
    known = tuple(states)
    by_rule: dict[str, list[AlertState]] = {}
    for state in known:
        by_rule.setdefault(state.rule_id, []).append(state)
    judging = _Judging(config, minutes, at, Room(known), Windows() if windows is None else windows, baselines or {})
    rules = sorted(_rules(config), key=lambda rule: rule.severity.rank)
    judged = [judging.rule(rule, by_rule.pop(rule.id, [])) for rule in rules]
    judged.append(judging.rollup(by_rule.pop(ROLLUP_ID, []), broken))
    judged += [_removed(rule_id, left, at) for rule_id, left in by_rule.items()]
    return _told(config, judged, hearing or Hearing(), at)


def longest_reach_seconds(config: MonitoringConfig) -> int:
    """How far before T any enabled rule looks; 0 without rules, or for one that cannot be judged anyway."""
    return max((_reach_seconds(config, rule) for rule in _rules(config)), default=0)


def _reach_seconds(config: MonitoringConfig, rule: AlertRule) -> int:
    """A rule that misses groups also looks at who was there an evaluation ago."""
    earlier = rule.evaluation_frequency if rule.on_no_data is OnNoData.ALERT else 0
    try:
        return rule.evaluation_window + config.delay_seconds_for(rule) + earlier
    except ConfigError:
        return 0


def _rules(config: MonitoringConfig) -> list[AlertRule]:
    return config.evaluated_rules()


def _removed(rule_id: str, states: Sequence[AlertState], at: datetime) -> _Judged:
    """The alerts of a rule that is not in the configuration any more, or disabled."""
    return _Judged(rule_id, states, [Step(_gone(state), state, removed(state, at)) for state in states])


def _gone(state: AlertState) -> AlertRule:
    """What stands for such a rule."""
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
    """One rule at one T: its alerts ``before``, the steps of them and of new ones, and what failed.

    ``steps`` None: nothing was evaluated, and all alerts stay as they were. ``rule`` is who tells of a failure; None
    for a rule that was not due or is gone, of which nothing is told.
    """

    rule_id: str
    before: Sequence[AlertState]
    steps: Sequence[Step] | None = None
    failure: RuleFailure | None = None
    rule: AlertRule | None = None

    def failed(self, error: Exception) -> _Judged:
        """The rule of which nothing was evaluated, because of an error."""
        return replace(self, steps=None, failure=_failure(self.rule_id, f"{type(error).__name__}: {error}"))

    def kept(self) -> list[AlertState]:
        """The alerts that stay as they were; the one on the rule itself has a step of its own."""
        if self.steps is not None:
            return []
        return [state for state in self.before if self.rule is None or state.kind is not AlertKind.FAILURE]

    def about_itself(self, at: datetime) -> Step | None:
        """The alert that the rule cannot be evaluated, where there is one."""
        if self.rule is None:
            return None
        known = next((state for state in self.before if state.kind is AlertKind.FAILURE), None)
        decision = failing(known, self.rule_id, self.failure is not None, at)
        if decision is None:
            return None
        detail = "" if self.failure is None else self.failure.reason
        return Step(self.rule, known or decision.alert.cleared(at), decision, detail)


@dataclass(frozen=True, slots=True)
class _Judging:
    """The rules of one T, one after the other, on the same windows and within the same room."""

    config: MonitoringConfig
    minutes: Mapping[int, Cells]
    at: datetime
    room: Room
    windows: Windows
    baselines: Baselines

    def rule(self, rule: AlertRule, states: Sequence[AlertState]) -> _Judged:
        """Evaluate a rule; one that is not due keeps its states. A failure is contained here, and alerts."""
        due = _Judged(rule.id, states, rule=rule)
        try:
            if to_us(self.at) // 1_000_000 % rule.evaluation_frequency:
                return _Judged(rule.id, states)
            steps, failure = self._judge(rule, states)
        except Exception as error:  # noqa: BLE001 - whatever a rule breaks by, it must not stop the others
            return due.failed(error)
        return replace(due, steps=steps, failure=failure)

    def rollup(self, states: Sequence[AlertState], broken: Sequence[str]) -> _Judged:
        """The alert that minutes cannot be rolled up."""
        failure = _failure(ROLLUP_ID, "; ".join(broken)) if broken else None
        return _Judged(ROLLUP_ID, states, (), failure, ROLLUP)

    def _judge(self, rule: AlertRule, states: Sequence[AlertState]) -> tuple[list[Step], RuleFailure | None]:
        """What is decided of each group, and that there is not room for all."""
        values = rule_values(self.config, rule, self.minutes, self.at, self.windows)
        there, names = self._there(rule, values), tuple(sorted(self.config.query_for(rule).group_by))
        states, others = _apart(states, there, names)
        known = {state.labels: state for state in states if state.kind is AlertKind.THRESHOLD}
        missed = {state.labels: state for state in states if state.kind is AlertKind.NO_DATA}
        as_written, steps = rule, list[Step]()
        beyond = 0
        now = self._moving(rule, values)
        for labels in [*sorted(known), *sorted(there - set(known))]:
            rule = now(labels)
            if labels not in known and labels in values and rule.violated_by(values[labels]) is None:
                continue  # as most are: inactive, and nothing to remember
            before = known.get(labels) or AlertState(rule.id, labels, rule.threshold.severity, grouped_by=names)
            decision = decide(rule, before, values.get(labels), self.at)
            if labels not in known and decision.alert.state is State.INACTIVE:
                continue
            if self.room.takes(rule.id, labels):
                steps.append(Step(rule, before, decision))
            else:
                beyond += 1
        steps += self._missing(as_written, steps, missed, values)
        steps += [Step(as_written, state, regrouped(state, self.at)) for state in others]
        reason = f"too_many_alerts: {beyond} groups violate for which there is no room"
        return steps, _failure(rule.id, reason) if beyond else None

    def _moving(self, rule: AlertRule, values: Mapping[Labels, float]) -> Callable[[Labels], AlertRule]:
        """The rule as it stands for a group: itself, unless its limit moves with what is usual there."""
        if rule.threshold.baseline is None:
            return lambda _labels: rule
        usual = self.baselines.get(rule_key(self.config, rule), {})
        at = self.at - timedelta(seconds=self.config.delay_seconds_for(rule))
        return lambda labels: rule_now(rule, usual.get(labels), values.get(labels), at)

    def _there(self, rule: AlertRule, values: Mapping[Labels, float]) -> set[Labels]:
        """The groups that there are to judge. A rule without groups is judged on an empty window, too."""
        ungrouped: set[Labels] = set() if self.config.query_for(rule).group_by or rule.is_source else {()}
        return {*values, *self._present_before(rule), *ungrouped}

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
            if labels in ended:
                before = missed.get(labels) or no_data_alert(ended[labels].alert, rule.severity)
                yield Step(rule, before, missing(before, ended[labels], self.at))
            else:
                before = missed[labels]
                yield Step(rule, before, still_missing(before, labels in values, self.at))


def _apart(
    states: Sequence[AlertState], there: Container[Labels], names: tuple[str, ...]
) -> tuple[list[AlertState], list[AlertState]]:
    """The alerts of the groups by ``names``, and those of groups that are asked for no more.

    A group that ``there`` has stays what it is, whatever else it was grouped by.
    """
    mine: list[AlertState] = []
    others: list[AlertState] = []
    for state in states:
        if state.kind is AlertKind.FAILURE or state.labels in there or _is_grouped_by(state, names):
            mine.append(state if state.grouped_by == names else replace(state, grouped_by=names))
        else:
            others.append(state)
    return mine, others


def _is_grouped_by(state: AlertState, names: tuple[str, ...]) -> bool:
    """Whether an alert began under this grouping; where that is not on record, whether it can have."""
    if state.grouped_by is None:
        return all(name in names for name, _ in state.labels)
    return state.grouped_by == names


def _failure(rule_id: str, reason: str) -> RuleFailure:
    """A failure, in so many words as can be stored: an error may quote whatever a writer sent."""
    return RuleFailure(rule_id, reason.encode("utf-8", "replace").decode()[:MAX_REASON_CHARACTERS])


def _lost_its_data(step: Step) -> bool:
    """Whether an alert that fired has just ended for want of data, which its rule does not take for an answer."""
    return step.decision.reason is Reason.NO_DATA and step.before.is_firing and step.rule.on_no_data is OnNoData.KEEP


@dataclass(frozen=True, slots=True)
class _Heard:
    """A step, and who heard of it."""

    step: Step
    alert: AlertState
    notification: Notification | None


def _told(config: MonitoringConfig, judged: Sequence[_Judged], hearing: Hearing, at: datetime) -> TickResult:
    """Decide who hears of each step, and what has to be remembered.

    A rule of which nobody can be told, whatever it breaks by, keeps its states as one that cannot be evaluated.
    """
    firing = Firing(alert for part in judged for alert in _after(part))

    def heard(step: Step) -> _Heard:
        return _Heard(step, *tell(config, step, firing, hearing, at))

    told: list[_Heard] = []
    kept: list[AlertState] = []
    failures: list[RuleFailure] = []
    for judged_rule in judged:
        part = judged_rule
        try:
            told += [heard(step) for step in part.steps or ()]
        except Exception as error:  # noqa: BLE001 - as where rules are judged
            part = part.failed(error)
        kept += part.kept()
        failures += [part.failure] if part.failure is not None else []
        about = part.about_itself(at)
        told += [heard(about)] if about is not None else []
    return _result(config, told, kept, failures, at)


def _after(part: _Judged) -> list[AlertState]:
    return [*part.kept(), *(step.decision.alert for step in part.steps or ())]


def _result(
    config: MonitoringConfig,
    told: Sequence[_Heard],
    kept: Sequence[AlertState],
    failures: Sequence[RuleFailure],
    at: datetime,
) -> TickResult:
    states = list(kept)
    transitions: list[Transition] = []
    unseen: list[Transition] = []
    for heard in told:
        step = heard.step
        if step.decision.reason in TRANSITIONS:
            transition = _transition(config, step, heard.alert.held, at)
            transitions.append(transition)
            if step.decision.reason in ENDINGS and step.before.held == Quiet.CATCH_UP and not step.before.told:
                unseen.append(transition)
        if _is_remembered(step.rule, heard.alert, at):
            states.append(heard.alert)
    notifications = tuple(heard.notification for heard in told if heard.notification is not None)
    return TickResult(at, tuple(states), tuple(transitions), notifications, tuple(failures), tuple(unseen))


def _is_remembered(rule: AlertRule, alert: AlertState, at: datetime) -> bool:
    """Inactive alerts are forgotten when their cooldown is over."""
    if alert.state is not State.INACTIVE:
        return True
    return alert.told_at is not None and at - alert.told_at < timedelta(seconds=rule.cooldown_period)


def _transition(config: MonitoringConfig, step: Step, held: str, at: datetime) -> Transition:
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
        held=held,
    )
