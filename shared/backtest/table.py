"""What a person reads of a backtest: aligned lines, times in UTC, nothing hostile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..monitoring_config import MonitoringConfig
from ..render.plain import clean, columns
from ..series import label_text
from ..timeline import from_minute
from .causes import Difference
from .compare import Comparison
from .episodes import Episode
from .run import Run, Span
from .scores import Score

NONE = "-"


@dataclass(frozen=True, slots=True)
class Column:
    """Alerts that stand beside others: of the present rule, or those that really fired."""

    heading: str
    episodes: Sequence[Episode]


def alerts(config: MonitoringConfig, span: Span, main: Column, beside: Sequence[Column]) -> list[str]:
    """A line for each alert, by time, and for those beside that have no counterpart; one line when there is none."""
    end = from_minute(span.last)
    rows: list[tuple[datetime, list[str]]] = []
    for one in main.episodes:
        others = [_counterpart(one, [o for o in column.episodes if o.overlaps(one)], end) for column in beside]
        rows.append((one.fired_at, [*_cells(config, one, end), *others]))
    for place, column in enumerate(beside):
        for one in column.episodes:
            if not any(one.overlaps(other) for other in main.episodes):
                others = [_when(one, end) if at == place else NONE for at in range(len(beside))]
                rows.append((one.fired_at, [NONE, NONE, _name(config, one), *[NONE] * 3, *others]))
    if not rows:
        return ["No alert fires."]
    heading = ["FIRES (UTC)", "FOR", "RULE", "SEVERITY", "VALUE", "TELLS", *(column.heading for column in beside)]
    return aligned([heading, *(row for _, row in sorted(rows, key=lambda row: row[0]))])


def _cells(config: MonitoringConfig, one: Episode, end: datetime) -> list[str]:
    rule = config.find_rule(one.rule_id)
    unit = "" if rule is None else config.unit_for(rule)
    value = NONE if one.value is None or one.kind != "threshold" else f"{one.value:.4g} {unit}".strip()
    tells = " ".join(one.channels) or ": ".join(["nobody", *one.held])
    return [_moment(one.fired_at), _lasting(one, end), _name(config, one), one.severity.value, value, tells]


def _name(config: MonitoringConfig, one: Episode) -> str:
    about = "" if one.kind == "threshold" else f" ({one.kind.value.replace('_', ' ')})"
    return f"{_rule_name(config, one.rule_id)}{about} {label_text(one.labels)}".strip()


def _rule_name(config: MonitoringConfig, rule_id: str) -> str:
    """A rule's name; the id of one that there is no more."""
    rule = config.find_rule(rule_id)
    return rule_id if rule is None else rule.name


def _counterpart(one: Episode, others: Sequence[Episode], end: datetime) -> str:
    if len(others) == 1 and (others[0].fired_at, others[0].ended_at) == (one.fired_at, one.ended_at):
        return "the same" if others[0].severity is one.severity else f"the same, {others[0].severity.value}"
    return "; ".join(_when(other, end) for other in others) or NONE


def _when(one: Episode, end: datetime) -> str:
    return f"{_moment(one.fired_at)} for {_lasting(one, end)}"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"


def _lasting(one: Episode, end: datetime) -> str:
    """How long it fired; with a + where it fires still."""
    return span_text(one.duration(end)) + ("" if one.ended_at else " +")


def span_text(duration: timedelta) -> str:
    """``3 min``, ``2 h 16 min``, ``1 d 4 h``."""
    minutes = round(duration / timedelta(minutes=1))
    days, hours = divmod(minutes // 60, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


def summary(span: Span, columns_: Sequence[Column]) -> list[str]:
    """A line for each: how many alerts, how long they fired together, and how many notifications to whom."""
    rows = [["", "ALERTS", "FIRING", "NOTIFICATIONS"]]
    end = from_minute(span.last)
    for column in columns_:
        firing = sum((one.duration(end) for one in column.episodes), timedelta(0))
        told = Counter(name for one in column.episodes for telling in one.told for name in telling.channels)
        number = sum(len(one.told) for one in column.episodes)
        to_whom = ", ".join(f"{name} {count}" for name, count in sorted(told.items()))
        rows.append(
            [
                column.heading.lower(),
                str(len(column.episodes)),
                span_text(firing),
                f"{number} ({to_whom})" if told else str(number),
            ]
        )
    return aligned(rows)


def failures(run: Run) -> list[str]:
    """The rules that could not be evaluated, and how often."""
    return [
        clean(f"{failure.rule_id} could not be evaluated {count} times: {failure.reason}")
        for failure, count in run.failures.items()
    ]


def scores(found: Mapping[str, Score]) -> list[str]:
    """The score of each column against the labelled windows."""
    rows = [["", "PRECISION", "RECALL", "FALSE ALERTS PER SERIES-DAY", "TIME TO DETECT"]]
    for heading, one in found.items():
        detect = one.median_to_detect
        rows.append(
            [
                heading.lower(),
                _share(one.precision, one.true_alerts, one.alerts, "alerts"),
                _share(one.recall, len(one.found), one.windows, "windows"),
                NONE if one.false_alerts_per_series_day is None else f"{one.false_alerts_per_series_day:.3g}",
                NONE if detect is None else f"{span_text(detect)} (median)",
            ]
        )
    return aligned(rows)


def _share(value: float | None, part: int, whole: int, of: str) -> str:
    return NONE if value is None else f"{value:.0%} ({part} of {whole} {of})"


def comparison(config: MonitoringConfig, found: Comparison) -> list[str]:
    """Every difference with its cause, and how many there are of each."""
    rows = [["UTC", "WHAT", "RULE", "LIVE", "REPLAYED", "BECAUSE OF"]]
    rows += [_difference(config, one) for one in found.differences]
    causes = ", ".join(f"{cause.value} {count}" for cause, count in sorted(found.causes().items())) or "none"
    return [
        *(aligned(rows) if found.differences else []),
        f"{found.live_transitions} transitions live and {found.replayed_transitions} replayed, {found.live_told} "
        f"notifications told and {found.replayed_told} replayed.",
        f"{len(found.differences)} differences: {causes}.",
    ]


def _difference(config: MonitoringConfig, one: Difference) -> list[str]:
    what = f"told {one.what}" if one.told else one.what
    sides = ["yes" if side else "no" for side in (one.live, one.replayed)]
    if one.live and one.replayed:
        sides = ["yes", "otherwise"]
    name = f"{_rule_name(config, one.rule_id)} {label_text(one.labels)}".strip()
    return [_moment(one.at), what, name, *sides, one.cause.value]


def aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows as lines whose cells stand below one another, two spaces apart."""
    cleaned = [[clean(cell) for cell in row] for row in rows]
    widths = [max(columns(row[at]) for row in cleaned) for at in range(len(cleaned[0]))]
    return [
        "  ".join(cell + " " * (width - columns(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cleaned
    ]
