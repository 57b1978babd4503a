"""What rules judged over a span: the values themselves, and when other limits would have fired on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from .alerts import AlertState, Reason, State, decide
from .backtest.run import Source, Span
from .cells import Cells
from .monitoring_config import AlertRule, MonitoringConfig
from .series import Labels
from .tick import longest_reach_seconds, rule_values
from .timeline import HOUR_SECONDS, MINUTE_SECONDS, from_minute
from .windows import Windows


@dataclass(frozen=True, slots=True)
class Judged:
    """The values of one rule by group, oldest first; each with its evaluation time (Unix seconds)."""

    rule: AlertRule
    groups: Mapping[Labels, list[tuple[int, float]]] = field(default_factory=dict)

    @property
    def values(self) -> list[float]:
        """All of them, group by group."""
        return [value for points in self.groups.values() for _, value in points]

    @property
    def seconds(self) -> int:
        """From the first value of any group to the last; 0 without."""
        at = [one for points in self.groups.values() for one in (points[0][0], points[-1][0])]
        return max(at) - min(at) if at else 0

    def fired_at(self, limit: float) -> list[datetime]:
        """When alerts would have fired with this threshold alone, by time: the state machine itself says so.

        Missing values keep the state, whatever the rule makes of them.
        """
        rule = replace(self.rule, threshold=replace(self.rule.threshold, value=limit, recovery_value=None), levels=())
        found = (at for labels, points in self.groups.items() for at in _fired(rule, labels, points))
        return sorted(found)


def _fired(rule: AlertRule, labels: Labels, points: Iterable[tuple[int, float]]) -> Iterable[datetime]:
    alert = AlertState(rule.id, labels, rule.threshold.severity)
    for minute, value in points:
        if alert.state is State.INACTIVE and not rule.threshold.violated_by(value):
            continue
        at = from_minute(minute)
        decision = decide(rule, alert, value, at)
        alert = decision.alert
        if decision.reason is Reason.FIRED:
            yield at


def judged_values(
    config: MonitoringConfig,
    source: Source,
    span: Span,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Sequence[Judged]:
    """What every enabled rule judges over a span, in the configuration's order. Raises what the source raises."""
    found: dict[str, dict[Labels, list[tuple[int, float]]]] = {}
    rules = config.list_alert_rules(enabled_only=True)
    reach = longest_reach_seconds(config)
    windows, held = Windows(), dict[int, Cells]()
    read_until = span.first - max(reach, MINUTE_SECONDS)
    for done, minute in enumerate(range(span.first, span.last + MINUTE_SECONDS, MINUTE_SECONDS), start=1):
        while read_until < minute:
            wanted = [*range(read_until + MINUTE_SECONDS, read_until + HOUR_SECONDS + 1, MINUTE_SECONDS)]
            held.update(source.read([one for one in wanted if one <= span.last]))
            read_until = wanted[-1]
        for rule in rules:
            if minute % rule.evaluation_frequency == 0:
                groups = found.setdefault(rule.id, {})
                for labels, value in rule_values(config, rule, held, from_minute(minute), windows).items():
                    groups.setdefault(labels, []).append((minute, value))
        held.pop(minute - reach, None)
        windows.forget(minute + MINUTE_SECONDS - max(map(config.delay_seconds_for, rules), default=0), held.values())
        if minute % HOUR_SECONDS == 0 or minute == span.last:
            progress(done, len(span))
    return [Judged(rule, found.get(rule.id, {})) for rule in rules]
