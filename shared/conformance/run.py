"""Rules over points that are fed by hand, evaluation by evaluation.

Points are read, folded and merged as ingest and rollups do it, and every evaluation is one ``tick``: what differs from
a deployment is only that nothing is stored, sent or waited for. A point counts from the first evaluation after it was
fed; what has been judged is never judged again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from ..alerts import AlertKind, AlertState, State, fingerprint
from ..cells import Cells, merge_writers
from ..configuration import document
from ..formats.native import decode_native
from ..identity import identify
from ..monitoring_config import AlertRule, MonitoringConfig, Query, Severity
from ..notifications import Notification
from ..records import alert_line, alerts_in, packed
from ..series import Kind, Labels
from ..store import Document
from ..tick import RuleFailure, TickResult, Transition, rule_values, tick
from ..timeline import MINUTE_SECONDS, US_PER_SECOND, from_minute, iso, to_us
from ..windows import Windows

Rules = MonitoringConfig | Iterable[AlertRule | Mapping[str, object]]
"""A whole configuration, or rules alone: objects, or as they stand in the configuration's JSON."""
LETTERS = {State.INACTIVE: ".", State.PENDING: "p", State.FIRING: "F"}
"""How a timeline writes a state."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule on one group as it stands after an evaluation time.

    ``value`` is what the evaluation judged: None without data, and where the rule was not due or failed. ``count`` is
    the number of violations in a row. ``since`` is when the state began, ``pending_since`` and ``fired_at`` belong to
    the episode; all three are None when inactive.
    """

    rule_id: str
    labels: Labels
    severity: Severity
    state: State = State.INACTIVE
    value: float | None = None
    count: int = 0
    since: datetime | None = None
    pending_since: datetime | None = None
    fired_at: datetime | None = None

    @property
    def fingerprint(self) -> str:
        """The fingerprint of transitions and notifications."""
        return fingerprint(self.rule_id, self.labels)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one evaluation time left: every alert that was ever seen, and what changed, was told, or failed.

    Alerts are those on the rules' values; no-data alerts and failures of rules are among the transitions alone.
    An alert is seen from the first evaluation at which its group has a value; that of a rule without ``group_by``
    from the first evaluation at which it is due. In order of the rules, then of the labels.
    """

    at: datetime
    alerts: tuple[Alert, ...]
    transitions: tuple[Transition, ...]
    notifications: tuple[Notification, ...]
    failures: tuple[RuleFailure, ...]


@dataclass(slots=True, eq=False)
class Conformance:
    """Rules and the points they judge. Raises ``ConfigError`` for rules that the configuration would refuse.

    Of ``rules`` alone the metrics may have any name; the rest is the configuration that comes with the program.
    """

    rules: Rules
    config: MonitoringConfig = field(init=False)
    _chunks: dict[int, list[Cells]] = field(init=False, default_factory=dict)
    _minutes: dict[int, Cells] = field(init=False, default_factory=dict)
    _states: tuple[AlertState, ...] = field(init=False, default=())
    _seen: dict[str, set[Labels]] = field(init=False, default_factory=dict)
    _last: int | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.configure(self.rules)

    def configure(self, rules: Rules) -> None:
        """Judge by other rules from the next evaluation on; alerts of rules that stay keep their states."""
        self.config = config_of(rules)
        self.rules = self.config

    def feed(self, *points: Mapping[str, object], writer: str = "") -> None:
        """Observe points of the native JSON format; a ``timestamp`` may be an aware datetime, too. None do nothing.

        A point's kind is its own, else the metric's, else what the rules need of it. At most 100,000 observations.
        Raises PermanentError with the path of what the format refuses; then none of the points counts.
        """
        if not points:
            return
        message = {"version": 1, "points": [_written(point) for point in points]}
        chunk = decode_native(json.dumps(message).encode(), _kinds(self.config))
        number = identify(b"", writer, "", 0).writer if writer else 0
        for section in chunk.sections:
            self._chunks.setdefault(section.minute, []).append(section.cells.written_by(number))
            self._minutes.pop(section.minute, None)

    def restart(self) -> None:
        """Go on as a new process does: with the points that were fed, and the alerts as they are stored."""
        stored = Document("alerts/all", {"d": packed(map(alert_line, self._states))}, from_minute(self._last or 0))
        self._states = tuple(alerts_in(stored))
        self._minutes.clear()

    def step(self, to: datetime) -> list[Evaluation]:
        """Evaluate every minute after the last one evaluated, up to and with ``to``; the first time ``to`` alone.

        Raises ValueError when ``to`` is naive, no whole minute, or not after the last one evaluated.
        """
        last = _minute_of(to)
        first = last if self._last is None else self._last + MINUTE_SECONDS
        if last < first:
            raise ValueError(f"expected a minute after {iso(from_minute(first - MINUTE_SECONDS))}, got {iso(to)}")
        for minute in self._chunks.keys() - self._minutes.keys():
            self._minutes[minute] = merge_writers(self._chunks[minute])
        return [self._evaluate(minute) for minute in range(first, last + MINUTE_SECONDS, MINUTE_SECONDS)]

    def _evaluate(self, minute: int) -> Evaluation:
        at = from_minute(minute)
        result = tick(self.config, self._minutes, self._states, at)
        self._states, self._last = result.states, minute
        rules, windows = self.config.list_alert_rules(enabled_only=True), Windows()
        alerts = [alert for rule in rules for alert in self._of(rule, result, windows)]
        return Evaluation(at, tuple(alerts), result.transitions, result.notifications, result.failures)

    def _of(self, rule: AlertRule, result: TickResult, windows: Windows) -> Iterable[Alert]:
        """A rule's alerts on its values: the tick remembers those that matter, the others are inactive."""
        mine = [state for state in result.states if state.rule_id == rule.id and state.kind is AlertKind.THRESHOLD]
        states = {state.labels: state for state in mine}
        values: dict[Labels, float] = {}
        seen = self._seen.setdefault(rule.id, set())
        due = to_us(result.at) // US_PER_SECOND % rule.evaluation_frequency == 0
        if due and all(failure.rule_id != rule.id for failure in result.failures):
            values = rule_values(self.config, rule, self._minutes, result.at, windows)
            seen |= set() if self.config.query_for(rule).group_by else {()}
        seen |= values.keys() | states.keys()
        return [_alert(rule, labels, states.get(labels), values.get(labels)) for labels in sorted(seen)]


def config_of(rules: Rules) -> MonitoringConfig:
    """The configuration that some rules make with the bundled rest. Raises ``ConfigError``."""
    if isinstance(rules, MonitoringConfig):
        return rules
    plain = [document.rule_to_plain(rule) if isinstance(rule, AlertRule) else rule for rule in rules]
    return with_rules(document.checked(plain, "rules", document.read_rules))


def with_rules(rules: tuple[AlertRule, ...]) -> MonitoringConfig:
    """The bundled configuration with other rules, and no sources."""
    return MonitoringConfig(replace(document.defaults(), rules=rules, sources=()))


def timelines(evaluations: Sequence[Evaluation]) -> dict[tuple[str, Labels], str]:
    """Each alert's states, a letter an evaluation: ``.`` inactive or not seen yet, ``p`` pending, ``F`` firing."""
    states = [{(one.rule_id, one.labels): one.state for one in evaluation.alerts} for evaluation in evaluations]
    keys = list(dict.fromkeys(key for found in states for key in found))
    return {key: "".join(LETTERS[found.get(key, State.INACTIVE)] for found in states) for key in keys}


def _alert(rule: AlertRule, labels: Labels, state: AlertState | None, value: float | None) -> Alert:
    if state is None or state.state is State.INACTIVE:
        return Alert(rule.id, labels, rule.severity, value=value)
    return Alert(
        rule.id, labels, state.severity, state.state, value, state.count, state.since, state.pending_since,
        state.fired_at,
    )  # fmt: skip


def _written(point: Mapping[str, object]) -> dict[str, object]:
    """A point as JSON has it."""
    at = point.get("timestamp")
    return {**point, "timestamp": iso(at)} if isinstance(at, datetime) else dict(point)


def _kinds(config: MonitoringConfig) -> dict[str, Kind]:
    """The kinds of metrics: the catalogue's, and of others what a percentile or a ratio of them needs."""
    needed: dict[str, Kind] = {}
    for rule in config.list_alert_rules():
        for metric, kind in _needed(rule.query).items():
            needed[metric] = max(kind, needed.get(metric, kind))
    return needed | {metric.name: metric.kind for metric in config.metrics}


def _needed(query: Query | None) -> dict[str, Kind]:
    """The kinds that a rule's own query needs; that of a metric type asks for metrics of the catalogue."""
    if query is None:
        return {}
    if query.per is not None:
        return {query.select.metric: Kind.COUNTER, query.per.metric: Kind.COUNTER}
    return {query.select.metric: Kind.DISTRIBUTION} if query.aggregation.quantile is not None else {}


def _minute_of(instant: datetime) -> int:
    at_us = to_us(instant)
    if at_us % (MINUTE_SECONDS * US_PER_SECOND):
        raise ValueError(f"expected a whole minute, got {iso(instant)}")
    return at_us // US_PER_SECOND
