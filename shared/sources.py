"""What a page is built from, read once, and the few judgements that all its parts share."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from .alerts import AlertState, AlertStateManager, State
from .cells import Cells
from .hours import hour_of
from .minute_cache import Cursor, Minutes
from .monitoring_config import MonitoringConfig
from .panels import STALE_AFTER, Limit, Status
from .past_alerts import alerts_at
from .reader import Reader
from .render.plain import value_text
from .rules import Aggregation, AlertRule, MetricThreshold, MetricType, Query, Selection
from .series import Labels
from .tick import Transition, longest_reach_seconds, rule_values
from .timeline import HOUR_SECONDS, MINUTE_SECONDS, from_minute, minute_floor
from .usual_store import key_of
from .value_cache import Window
from .week import MOST_COMPARED_SECONDS, WEEK_SECONDS, is_added_up, of_an_hour, total_of
from .windows import Window as ReadWindow
from .windows import Windows, evaluate

WINDOW_SECONDS = 300
"""The window of every number that no rule gives another."""
USUAL_SIGMAS = 3.0
CHART_POINTS = 180
SPARK_POINTS = 60
PENDING_SECONDS = 3600
"""How far before a past instant history is read for what was pending then."""
_PAST_SECONDS = int(STALE_AFTER.total_seconds())
"""A range that ends this long before the present minute is past: one that ends later has data that is current."""
REGION = "region"
"""The label that says where."""


@dataclass(frozen=True, slots=True)
class Steps:
    """A query's values over a range, oldest first, one a step of ``seconds``; the first step begins at ``start``."""

    start: int
    seconds: int
    values: Sequence[Mapping[Labels, float]]


@dataclass(frozen=True, slots=True)
class Sources:
    """All that was read for a page. ``end`` is its newest minute (Unix seconds), ``start`` the one before its first.

    ``alerts`` and ``transitions`` are those of ``region``, where one is given, and ``others`` are the alerts that are
    left out for it. ``until`` is the end of a past range, which the page is about; None: it is about ``now``.
    """

    config: MonitoringConfig
    reader: Reader
    read: Minutes
    alerts: tuple[AlertState, ...]
    transitions: tuple[Transition, ...]
    start: int
    end: int
    now: datetime
    oldest: int
    """Before the first minute that was read for any panel; at most ``start``. ``transitions`` begin there."""
    until: datetime | None = None
    region: str = ""
    others: tuple[AlertState, ...] = ()
    windows: Windows = field(default_factory=Windows)
    """The windows that were read for this page, and what was found in them."""
    serials: dict[Window, tuple[int, ...]] = field(default_factory=dict)
    memo: dict[Hashable, Any] = field(default_factory=dict)
    """What was asked for this page already, by what was asked."""
    by_check: dict[tuple[str, Labels], AlertState] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_check", {(alert.rule_id, alert.labels): alert for alert in self.alerts})

    @property
    def about(self) -> datetime:
        """The instant that the page is about."""
        return self.now if self.until is None else self.until

    @property
    def minutes(self) -> Mapping[int, Cells]:
        """The minutes that have data."""
        return self.read.cells

    def narrowed(self, query: Query) -> Query | None:
        """A query asked of the page's region alone; None when its metric is of no region.

        A query that names a region of its own is asked as it stands.
        """
        if not self.region or any(name == REGION for name, _ in query.select.labels):
            return query
        metric = self.config.metric(query.select.metric)
        if metric is not None and REGION not in metric.labels:
            return None
        here = (REGION, self.region)
        return replace(
            query,
            select=_with_label(query.select, here),
            per=_with_label(query.per, here) if query.per else None,
            group_by=tuple(sorted({*query.group_by, REGION})),
        )

    def spanning(self, seconds: int) -> Sources:
        """The same over the last ``seconds`` of the page; they must have been asked for when it was read."""
        return replace(self, start=max(self.end - seconds, self.oldest))

    def at(self, query: Query, seconds: int = WINDOW_SECONDS) -> Mapping[Labels, float]:
        """A query's values over the window that ends with the page."""
        return self.values(query, Window(self.end, seconds))

    def over(self, query: Query, points: int) -> Steps:
        """A query's values over the range in at most about ``points`` steps.

        Steps end at whole multiples of their length, so that they stay what they are while the range moves on; the
        last one ends with the page, and where that is no multiple it overlaps the one before.
        """
        token = self.reader.values.token(query)
        key = token, self.start, points
        if key not in self.memo:
            windows = self.steps(points)
            step = windows[0].seconds
            values = [self._values(query, token, window) for window in windows]
            self.memo[key] = Steps(windows[0].end - step, step, values)
        found: Steps = self.memo[key]
        return found

    def steps(self, points: int) -> list[Window]:
        """The windows of the steps, oldest first; at least one."""
        step = _step_seconds(self.start, self.end, points)
        first = self.start // step * step + step
        ends = [*range(first, self.end + 1, step)]
        if self.end % step:
            ends.append(self.end)
        return [Window(end, step) for end in ends]

    def total(self, query: Query) -> dict[Labels, float]:
        """A sum's values over the whole range: it is added up from the chart's steps and what is left at both ends."""
        parts: dict[Labels, list[float]] = {}
        token = self.reader.values.token(query)
        for window in _tiles(self.start, self.end, _step_seconds(self.start, self.end, CHART_POINTS)):
            for labels, value in self._values(query, token, window).items():
                parts.setdefault(labels, []).append(value)
        return {labels: math.fsum(values) for labels, values in parts.items()}

    def live(self, query: Query) -> Mapping[Labels, float]:
        """A query's values over the minutes that are not settled yet; of a past range none.

        Nor of what is added up or divided by time: part of a minute says nothing about it.
        """
        growing = query.per is None and query.aggregation in (Aggregation.SUM, Aggregation.COUNT, Aggregation.RATE)
        if growing or self.until is not None:
            return {}
        minutes = self.reader.live_minutes(self.end, self.now)
        seconds = len(minutes) * MINUTE_SECONDS
        key = "live", max(minutes, default=0), seconds
        if key not in self.memo:
            self.memo[key] = ReadWindow([minutes[minute] for minute in sorted(minutes)])
        return evaluate(self.memo[key], query, seconds) if minutes else {}

    @property
    def live_to(self) -> datetime | None:
        """The end of the minute that runs, where anything of it, or of one that is not settled, is there."""
        newest = max(self.reader.live_minutes(self.end, self.now), default=None) if self.until is None else None
        return None if newest is None else from_minute(newest)

    def week_before(self, query: Query) -> Mapping[Labels, float]:
        """A query's values in the hour in which the page ended a week before; empty when nothing is known of it."""
        hour = hour_of(self.end - WEEK_SECONDS)
        held = self.reader.past_hours([hour], self.now).get(hour)
        if held is None:
            return {}
        token = self.reader.values.token(("week before", query))
        window = Window(hour, HOUR_SECONDS)
        return self.reader.values.values(window, token, (), lambda: of_an_hour(held.cells, query, WINDOW_SECONDS))

    def total_week_before(self, query: Query) -> Mapping[Labels, float]:
        """A sum's values over the same range a week before; empty unless all of it is known, and beyond 24 h."""
        start, end = self.start - WEEK_SECONDS, self.end - WEEK_SECONDS
        if end - start > MOST_COMPARED_SECONDS:
            return {}
        key = "total week before", query, start
        if key not in self.memo:
            wanted = range(hour_of(start + MINUTE_SECONDS), hour_of(end) + 1, HOUR_SECONDS)
            self.memo[key] = total_of(self.reader.past_hours(wanted, self.now), query, start, end)
        found: Mapping[Labels, float] = self.memo[key]
        return found

    def values(self, query: Query, window: Window) -> Mapping[Labels, float]:
        """A query's values over a window; of a window without data none, whatever the query."""
        return self._values(query, self.reader.values.token(query), window)

    def _values(self, query: Query, token: int, window: Window) -> Mapping[Labels, float]:
        read = self.windows.read
        return self._known(token, window, lambda: evaluate(read(self.minutes, *window), query, window.seconds))

    def computed(
        self, key: Hashable, window: Window, compute: Callable[[Sequence[Cells]], Mapping[Labels, float]]
    ) -> Mapping[Labels, float]:
        """What ``compute``, which ``key`` names, gives of a window's minutes; of a window without data none."""
        return self.of_minutes(key, window, lambda: compute(self.windows.read(self.minutes, *window).minutes))

    def of_minutes(
        self, key: Hashable, window: Window, compute: Callable[[], Mapping[Labels, float]]
    ) -> Mapping[Labels, float]:
        """What ``compute``, which ``key`` names, gives of the minutes of a window; without data none."""
        return self._known(self.reader.values.token(key), window, compute)

    def _known(
        self, token: int, window: Window, compute: Callable[[], Mapping[Labels, float]]
    ) -> Mapping[Labels, float]:
        serials = self._serials(window)
        if not serials:
            return {}
        return self.reader.values.values(window, token, serials, compute)

    def judged(self, rule: AlertRule) -> dict[Labels, float]:
        """What a rule judges at the page's end, of the page's region where one is given."""
        window = Window(self.end - self.config.delay_seconds_for(rule), rule.evaluation_window)
        values = self.reader.values.values(
            window,
            self.reader.values.token(self.config.query_for(rule)),
            self._serials(window),
            lambda: rule_values(self.config, rule, self.minutes, from_minute(self.end), self.windows),
        )
        return {labels: value for labels, value in values.items() if self.is_here(labels)}

    def is_here(self, labels: Labels) -> bool:
        """Whether labels are of the page's region, or the page is of all."""
        return not self.region or (REGION, self.region) in labels

    def alert(self, rule: AlertRule, labels: Labels) -> AlertState | None:
        """The alert of a rule on some labels, unless it is inactive."""
        return self.by_check.get((rule.id, labels))

    def usual(self, query: Query, labels: Labels) -> tuple[float, float] | None:
        """Where three spreads around what is usual of a group lie at the page's end; None when nothing is known."""
        band = self.usual_over(query, labels, [Window(self.end, WINDOW_SECONDS)])
        return band[0] if band else None

    def usual_over(self, query: Query, labels: Labels, windows: Sequence[Window]) -> tuple[tuple[float, float], ...]:
        """Where they lie in the middle of each of some windows of one length; empty when nothing is known.

        What is usual is learned of windows of ``WINDOW_SECONDS``: a sum or count of others is in proportion. Of a page
        about one region only a query that is grouped by it was learned.
        """
        asked = self._learned(query)
        found = self.reader.usual(key_of(asked, WINDOW_SECONDS), self.now).get(labels) if asked and windows else None
        if found is None:
            return ()
        factor = windows[0].seconds / WINDOW_SECONDS if is_added_up(query) else 1.0
        at = [window.end - (window.seconds - WINDOW_SECONDS) // 2 for window in windows]
        return tuple((factor * low, factor * high) for low, high in found.band(at, USUAL_SIGMAS))

    def _learned(self, query: Query) -> Query | None:
        """The query that was learned of which one that is narrowed to the page's region is a part."""
        here = (REGION, self.region)
        if here not in query.select.labels:
            return query
        if REGION not in query.group_by:
            return None
        return replace(
            query,
            select=_without_label(query.select, here),
            per=_without_label(query.per, here) if query.per else None,
        )

    def _serials(self, window: Window) -> tuple[int, ...]:
        if window not in self.serials:
            known = self.read.serials
            first = window.end - window.seconds + MINUTE_SECONDS
            wanted = range(first, window.end + MINUTE_SECONDS, MINUTE_SECONDS)
            self.serials[window] = tuple(known[minute] for minute in wanted if minute in known)
        return self.serials[window]


def read_sources(
    config: MonitoringConfig,
    reader: Reader,
    start: datetime,
    end: datetime,
    now: datetime,
    region: str = "",
    longest_seconds: int = 0,
) -> tuple[Sources, Cursor | None]:
    """Read what the page shows of (start, end]; nothing after the evaluator's cursor, which is None before any.

    Where a panel of the page goes back further, ``longest_seconds`` are read.
    """
    cursor = reader.cursor()
    newest = min(cursor.minute if cursor else minute_floor(now), minute_floor(end))
    behind = minute_floor(end) - newest
    shift = behind if behind <= _PAST_SECONDS else 0  # a minute that is not judged yet does not shorten the range
    first = min(minute_floor(start) - shift, newest - WINDOW_SECONDS)
    oldest = min(first, newest - longest_seconds)
    reach = max(longest_reach_seconds(config), WINDOW_SECONDS, _step_seconds(oldest, newest, SPARK_POINTS))
    read = reader.minutes(min(oldest - reach, newest - reach) + MINUTE_SECONDS, newest, cursor, now)
    transitions = reader.transitions(oldest, newest, now)
    sources = Sources(
        config=config,
        reader=reader,
        read=read,
        alerts=(),
        transitions=tuple(transitions),
        start=first,
        oldest=oldest,
        end=newest,
        now=now,
        until=end if minute_floor(end) + _PAST_SECONDS <= minute_floor(now) else None,
    )
    alerts = _alerts(sources, cursor)
    return _of_region(replace(sources, alerts=tuple(alerts)), region), cursor


def _alerts(sources: Sources, cursor: Cursor | None) -> list[AlertState]:
    """The alerts at the page's end: as they are known, or as history says that they were."""
    present = sources.reader.alerts()
    if cursor is None or sources.end >= cursor.minute:
        return [alert for alert in present if alert.state is not State.INACTIVE]
    at, reader = from_minute(sources.end), sources.reader
    before = reader.transitions(min(sources.start, sources.end - PENDING_SECONDS), sources.end, sources.now)
    after = reader.transitions(sources.end + MINUTE_SECONDS, cursor.minute, sources.now)
    found = alerts_at(at, present, before, after)
    judged = {rule_id: _values_of(sources, rule_id) for rule_id in {alert.rule_id for alert in found}}
    return [_as_judged(sources.config, alert, judged[alert.rule_id], at) for alert in found]


def _values_of(sources: Sources, rule_id: str) -> Mapping[Labels, float]:
    rule = sources.config.find_rule(rule_id)
    return sources.judged(rule) if rule else {}


def _as_judged(config: MonitoringConfig, alert: AlertState, values: Mapping[Labels, float], at: datetime) -> AlertState:
    """An alert with what its rule judged at a past instant, and how often in a row it had been a violation by then."""
    rule = config.find_rule(alert.rule_id)
    begun = alert.pending_since or alert.since
    if rule is None or begun is None:
        return replace(alert, value=values.get(alert.labels), count=1, evaluated_at=at)
    count = 1 + int((at - begun).total_seconds()) // rule.evaluation_frequency
    most = count if alert.is_firing else rule.min_occurrences - 1
    return replace(alert, value=values.get(alert.labels), count=min(count, most), evaluated_at=at)


def _of_region(sources: Sources, region: str) -> Sources:
    """The sources of one region; themselves for none."""
    if not region:
        return sources
    here = (REGION, region)
    return replace(
        sources,
        region=region,
        alerts=tuple(alert for alert in sources.alerts if here in alert.labels),
        others=tuple(alert for alert in sources.alerts if here not in alert.labels),
        transitions=tuple(one for one in sources.transitions if here in one.labels),
    )


def _with_label(selection: Selection, label: tuple[str, str]) -> Selection:
    return replace(selection, labels=tuple(sorted({*selection.labels, label})))


def _without_label(selection: Selection, label: tuple[str, str]) -> Selection:
    return replace(selection, labels=tuple(pair for pair in selection.labels if pair != label))


def _step_seconds(start: int, end: int, points: int) -> int:
    """The length of a step when a range has at most about ``points``: a whole number of minutes."""
    return max(1, -(-(end - start) // MINUTE_SECONDS // points)) * MINUTE_SECONDS


def _tiles(start: int, end: int, step: int) -> Iterable[Window]:
    """Windows that cover (start, end] without overlap: whole steps, and minutes before the first and after the last."""
    first, last = -(-start // step) * step, end // step * step
    if first > last:
        first = last = end
    for minute in [*range(start, first, MINUTE_SECONDS), *range(last, end, MINUTE_SECONDS)]:
        yield Window(minute + MINUTE_SECONDS, MINUTE_SECONDS)
    for multiple in range(first, last, step):
        yield Window(multiple + step, step)


def limit_of(threshold: MetricThreshold | None) -> Limit | None:
    """A threshold as a page draws it."""
    if threshold is None or threshold.baseline is not None:  # which is another at every moment
        return None
    return Limit(threshold.value, threshold.operator, threshold.severity)


def worst_alert(alerts: Iterable[AlertState]) -> AlertState | None:
    """Firing before pending, then by severity; None of none."""
    return next(iter(AlertStateManager(alerts).get_active_alerts()), None)


def status_of(alert: AlertState | None, value: float | None, seen: bool, stale: bool) -> Status:
    """The status of one number: its alert's, or what its value alone says."""
    if value is None:
        return Status.UNKNOWN if seen else Status.EMPTY
    if stale:
        return Status.STALE
    if alert is None:
        return Status.OK
    return Status.of(alert.severity) if alert.is_firing else Status.PENDING


def or_beyond(status: Status, value: float | None, limit: Limit | None) -> Status:
    """A status; where it is ok, that of the limit which the value alone is beyond."""
    if status is Status.OK and limit and value is not None and limit.operator.holds(value, limit.value):
        return Status.of(limit.severity)
    return status


def scope_text(labels: Labels, group_by: Sequence[str] = ()) -> str:
    """Where a number holds, in a few words: the label values, or "all regions"; of a query with groups, which it lacks.

    An empty value is said, so that it is neither nameless nor taken for everything.
    """
    if not labels:
        return f"no {group_by[0]}" if group_by else "all regions"
    return " ".join(value_text(value) for _, value in labels)


def rules_of(config: MonitoringConfig, metric_type: MetricType) -> list[AlertRule]:
    """The enabled rules of a metric type."""
    return [rule for rule in config.list_alert_rules(enabled_only=True) if rule.metric_type is metric_type]
