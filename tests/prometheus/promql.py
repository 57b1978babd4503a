"""Rules in Prometheus's words: the expression that is violating, and ``for``.

A rule fires at its N-th violating evaluation, one of ``for: d`` at the first that is d after the first violating one:
N evaluations are N - 1 periods. ``(T - w, T]`` needs no other Prometheus: its samples lie on whole milliseconds, so a
range of w - 1 ms, closed at both ends as version 2 has it, holds the same ones. Prometheus 3 opens ranges itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.rules import AlertRule, OnNoData, Query, Selection
from shared.timeline import MINUTE_SECONDS

JOINED = {"avg": "avg", "min": "min", "max": "max", "sum": "sum", "count": "sum", "last": "max", "last_sum": "sum"}
"""How the series of a group are joined, by aggregation; each series goes through ``{aggregation}_over_time`` first."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """How windows are asked for. ``left_open``: as (T - w, T]. ``pooled``: groups may have several series."""

    left_open: bool
    pooled: bool


def alert_expression(rule: AlertRule, query: Query, ranges: Ranges) -> str:
    """What violates: a sample for each group that does."""
    value = value_expression(rule, query, ranges)
    limit = rule.threshold
    violates = f"({value}) {limit.operator} {limit.value!r}"
    if limit.recovery_value is not None:
        held = f"(({value}) {limit.operator} {limit.recovery_value!r})"
        firing = f'ALERTS{{alertname="{rule.id}", alertstate="firing"}}'
        violates = f"({violates}) or ({held} and on ({_names(query)}) {firing})"
    if rule.on_no_data is OnNoData.ALERT:
        violates = f"({violates}) or absent({value})"
    return violates


def value_expression(rule: AlertRule, query: Query, ranges: Ranges) -> str:
    """The value that is judged: a sample for each group that has one."""
    over = _Over(rule, query, ranges)
    scale = f"{query.scale!r} * " if query.scale != 1 else ""
    if query.per is not None:
        whole = over.joined("sum", query.per)
        part = f"({over.joined('sum', query.select)} or 0 * {whole})"
        numerator = f"({whole} - {part})" if query.complement else part
        return f"{scale}{numerator} / ({whole} != 0)" + (f" and {whole} >= {query.min_count!r}" * (query.min_count > 0))
    enough = f" and {over.joined('count', query.select)} >= {query.min_count!r}" if query.min_count > 1 else ""
    return f"{scale}{over.aggregated()}{enough}"


def for_seconds(rule: AlertRule) -> int:
    """``for``."""
    return (rule.min_occurrences - 1) * rule.evaluation_frequency


def _names(query: Query) -> str:
    return ", ".join(query.group_by)


class _Over:
    """Expressions over a rule's window."""

    def __init__(self, rule: AlertRule, query: Query, ranges: Ranges) -> None:
        delay = f" offset {rule.evaluation_delay_seconds}s" if rule.evaluation_delay_seconds else ""
        self._query = query
        self._pooled = ranges.pooled
        self._seconds = rule.evaluation_window
        self._range = f"[{_range(rule.evaluation_window, ranges.left_open)}]{delay}"

    def aggregated(self) -> str:
        """The aggregation of the selection. Percentiles and ``last`` are meant for groups of one series."""
        name, select = self._query.aggregation.value, self._query.select
        if name == "avg" and self._pooled:
            return f"{self.joined('sum', select)} / {self.joined('count', select)}"
        if name == "rate":
            return f"{self.joined('sum', select)} / {self._seconds}"
        if name.startswith("p"):
            return f"max by ({_names(self._query)}) (quantile_over_time({int(name[1:]) / 100}, {self._of(select)}))"
        return self.joined(name, select)

    def joined(self, name: str, select: Selection) -> str:
        """Each series over the window, and these joined to one value a group."""
        over = {"last_sum": "last"}.get(name, name)
        return f"{JOINED[name]} by ({_names(self._query)}) ({over}_over_time({self._of(select)}))"

    def _of(self, select: Selection) -> str:
        wanted = ", ".join(f'{name}="{value}"' for name, value in select.labels)
        return f"{select.metric}{{{wanted}}}{self._range}" if wanted else f"{select.metric}{self._range}"


def _range(seconds: int, left_open: bool) -> str:
    return f"{seconds - 1}s999ms" if left_open else f"{seconds // MINUTE_SECONDS}m"
