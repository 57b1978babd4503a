"""What a person reads of a backtest: aligned lines, times in UTC, nothing hostile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from ..monitoring_config import MonitoringConfig
from ..render.plain import clean
from ..render.report import aligned
from ..series import label_text
from ..timeline import MINUTE_SECONDS, from_minute
from .causes import MEANINGS, Difference
from .compare import Comparison
from .episodes import Episode
from .run import Run, Span
from .scores import Labelled, Score

NONE = "-"
STRIP = 72
"""Signs at most that a span is drawn with."""
_HEADING = ("FIRES (UTC)", "FOR", "RULE", "WHERE", "SEVERITY", "VALUE", "TELLS")


@dataclass(frozen=True, slots=True)
class Column:
    """Alerts that stand beside others: of the present rule, or those that really fired."""

    heading: str
    episodes: Sequence[Episode]


def alerts(config: MonitoringConfig, span: Span, columns_: Sequence[Column], *, named: bool) -> list[str]:
    """A line for each alert of the first column, by time, beside its counterparts in the others.

    So for what only the others have; one line when there is nothing. ``named``: with the names of the rules.
    """
    end, (main, *beside) = from_minute(span.last), columns_
    rows: list[tuple[datetime, list[str]]] = []
    for one in main.episodes:
        others = [_counterpart(one, [o for o in column.episodes if o.overlaps(one)], end) for column in beside]
        rows.append((one.fired_at, [*_cells(config, one, end), *others]))
    for place, column in enumerate(beside):
        for one in column.episodes:
            if not any(one.overlaps(other) for other in main.episodes):
                others = [_when(one, end) if at == place else NONE for at in range(len(beside))]
                rows.append((one.fired_at, [NONE, NONE, *_names(config, one), *[NONE] * 3, *others]))
    if not rows:
        return ["No alert fires."]
    heading = [*_HEADING, *(column.heading for column in beside)]
    lines = [heading, *(row for _, row in sorted(rows, key=lambda row: row[0]))]
    kept = [at for at in range(len(heading)) if named or heading[at] != "RULE"]
    right = {place for place, at in enumerate(kept) if heading[at] in ("FOR", "VALUE")}
    return aligned([[line[at] for at in kept] for line in lines], right)


def _cells(config: MonitoringConfig, one: Episode, end: datetime) -> list[str]:
    rule = config.find_rule(one.rule_id)
    unit = "" if rule is None else config.unit_for(rule)
    value = NONE if one.value is None or one.kind != "threshold" else f"{one.value:.4g} {unit}".strip()
    tells = " ".join(one.channels) or ": ".join(["nobody", *one.held])
    return [_moment(one.fired_at), _lasting(one, end), *_names(config, one), one.severity.value, value, tells]


def _names(config: MonitoringConfig, one: Episode) -> list[str]:
    """The rule, and where or of what about itself it alerts."""
    about = "" if one.kind == "threshold" else f"({one.kind.value.replace('_', ' ')})"
    return [_rule_name(config, one.rule_id), f"{label_text(one.labels)} {about}".strip() or "all"]


def _rule_name(config: MonitoringConfig, rule_id: str) -> str:
    """A rule's name; the id of one that there is no more."""
    rule = config.find_rule(rule_id)
    return rule_id if rule is None else rule.name


def _counterpart(one: Episode, others: Sequence[Episode], end: datetime) -> str:
    if len(others) == 1 and (others[0].fired_at, others[0].ended_at) == (one.fired_at, one.ended_at):
        return "the same" if others[0].severity is one.severity else f"the same, {others[0].severity.value}"
    return "; ".join(_when(other, end, one.fired_at) for other in others) or NONE


def _when(one: Episode, end: datetime, beside: datetime | None = None) -> str:
    """When it fired, without the date where it is that of ``beside``, and for how long."""
    same_day = beside is not None and beside.date() == one.fired_at.date()
    return (
        f"{one.fired_at:%H:%M} for {_lasting(one, end)}"
        if same_day
        else f"{_moment(one.fired_at)} for {_lasting(one, end)}"
    )


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
    return aligned(rows, {1, 2})


def strips(span: Span, columns_: Sequence[Column], windows: Sequence[Labelled] | None = None) -> list[str]:
    """The span in at most ``STRIP`` signs a line: when each column fired, and what was labelled; none when none did."""
    if not any(column.episodes for column in columns_):
        return []
    end = from_minute(span.last + MINUTE_SECONDS)
    shown = [
        (column.heading.lower(), [(one.fired_at, one.ended_at or end) for one in column.episodes])
        for column in columns_
    ]
    if windows is not None:
        shown.append(("labelled", [(one.first, one.last) for one in windows]))
    wide = max(len(name) for name, _ in shown)
    signs = min(STRIP, len(span))
    first, last = f"{from_minute(span.first):%m-%d %H:%M}", f"{from_minute(span.last):%m-%d %H:%M}"
    each = span_text(timedelta(seconds=len(span) * MINUTE_SECONDS / signs))
    return [
        "",
        f"{'':{wide}}  {first}{last:>{max(signs - len(first), len(last) + 1)}}",
        *(f"{name:{wide}}  {_strip(span, times, signs)}" for name, times in shown),
        f"{'':{wide}}  a sign is {each}: # firing, + for less than half of it",
    ]


def _strip(span: Span, times: Iterable[tuple[datetime, datetime]], signs: int) -> str:
    fires = np.zeros(len(span), np.bool_)
    first = from_minute(span.first)
    for begin, end in times:
        fires[_minutes(begin - first) : _minutes(end - first)] = True
    shares = [float(part.mean()) for part in np.array_split(fires, signs)]
    return "".join("#" if share >= 0.5 else "+" if share else "." for share in shares)


def _minutes(since: timedelta) -> int:
    """Whole minutes, begun ones too; none before the beginning."""
    return max(0, -(-since // timedelta(minutes=1)))


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


def comparison(config: MonitoringConfig, span: Span, found: Comparison) -> list[str]:
    """Every difference with its cause, how many there are of each, and what each cause means."""
    rows = [["UTC", "WHAT", "RULE", "LIVE", "REPLAYED", "BECAUSE OF"]]
    rows += [_difference(config, one) for one in found.differences]
    counts = [
        ["", "LIVE", "REPLAYED"],
        ["transitions", str(found.live_transitions), str(found.replayed_transitions)],
        ["notifications", str(found.live_told), str(found.replayed_told)],
    ]
    causes = [[f"{count}", cause.value, MEANINGS[cause]] for cause, count in sorted(found.causes().items())]
    return [
        f"history and its replay, {between(span)}",
        "",
        *([*aligned(rows), ""] if found.differences else []),
        *aligned(counts, {1, 2}),
        "",
        *(["differences:", *aligned(causes, {0})] if causes else ["No difference."]),
    ]


def between(span: Span) -> str:
    """From when to when."""
    return f"{_moment(from_minute(span.first))} to {_moment(from_minute(span.last))} UTC"


def _difference(config: MonitoringConfig, one: Difference) -> list[str]:
    what = f"told {one.what}" if one.told else one.what
    sides = ["yes" if side else "no" for side in (one.live, one.replayed)]
    if one.live and one.replayed:
        sides = ["yes", "otherwise"]
    name = f"{_rule_name(config, one.rule_id)} {label_text(one.labels)}".strip()
    return [_moment(one.at), what, name, *sides, one.cause.value]
