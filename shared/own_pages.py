"""Pages about the monitoring itself: silences, audit, configuration, and its own health. All are tables and charts.

They are about now, but for the audit, which is of the AUDIT_DAYS before the end of the range.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo

from .alert_pages import ALERTS
from .audit import Deed, Entry
from .configuration.models import Metric
from .errors import PermanentError
from .frame import frame
from .line_charts import chart_of
from .minute_cache import Cursor
from .monitoring_config import MonitoringConfig
from .own_collections import OWN_COLLECTIONS
from .panels import KEPT_ROWS, Board, Cell, Headline, Health, LineChart, Panel, Row, Status, Table
from .reader import Reader
from .render import numbers
from .rules import AlertRule, Severity
from .silences import Silence, matcher_text
from .sources import Sources, limit_of, read_sources
from .timeline import MINUTE_SECONDS, minute_floor
from .urls import AUDIT, CONFIGURATION, SILENCES, SYSTEM, View

TITLES: Mapping[str, str] = {
    SYSTEM: "System",
    SILENCES: "Silences",
    AUDIT: "Audit",
    CONFIGURATION: "Configuration",
}
AUDIT_DAYS = 30
_MOST_ROWS = 100
_CHARTED = ("ion_points", "ion_series", "ion_writers", "ion_chunk_bytes")
_WORK = (*_CHARTED, "ion_chunks")
"""The monitoring's own metrics that say how much it does; all others count what should not be."""
_FRACTION = re.compile(r"(\d\d:\d\d:\d\d)\.\d+Z")
_DEEDS: Mapping[Deed, str] = {
    Deed.ACKNOWLEDGED: "Acknowledged",
    Deed.SILENCED: "Silenced",
    Deed.UNSILENCED: "Ended a silence",
}


def build_own(config: MonitoringConfig, reader: Reader, view: View, now: datetime, zone: tzinfo = UTC) -> Board:
    """The page that the view names. Raises PermanentError ``invalid_request`` for what it has not."""
    if view.region or view.collection:
        raise PermanentError("invalid_request", f"{view.name} is of no region and no collection")
    if not view.range_name and view.name != AUDIT:
        raise PermanentError("invalid_request", f"{view.name} is about now; leave from and to out")
    sources, cursor = read_sources(config, reader, view.start, view.end, now)
    told = frame(sources, cursor, config.list_alert_rules(enabled_only=True), zone)
    match view.name:
        case "silences":
            about, panels = _silences(reader.silences(now), now, zone)
        case "audit":
            about, panels = _audit(reader, view.end, now, zone)
        case "configuration":
            about, panels = _configuration(config)
        case _:
            about, panels = _system(sources, cursor, told["health"], zone)
    return Board(
        **told | {"headline": about},
        name=view.name,
        title=TITLES[view.name],
        signals=(),
        panels=tuple(panels),
        has_own=True,
    )


def running(silences: Iterable[Silence], now: datetime) -> list[Silence]:
    """The silences that hold or will hold, in the order in which they end."""
    return sorted((one for one in silences if one.ends_at > now), key=lambda one: (one.ends_at, one.id))


def reach(one: Silence) -> str:
    """What a silence is about: ``rule=high-cpu, region=eu``."""
    return ", ".join(map(matcher_text, one.matchers))


def _silences(silences: Sequence[Silence], now: datetime, zone: tzinfo) -> tuple[Headline, Iterator[Panel]]:
    coming = running(silences, now)
    over = sorted((one for one in silences if one.ends_at <= now), key=lambda one: one.ends_at, reverse=True)
    hold = sum(1 for one in coming if one.starts_at <= now)
    sentence = f"{_count(hold, 'silence')} {'holds' if hold == 1 else 'hold'}" if hold else "Nothing is silenced"
    detail = "A silence changes who hears of an alert, never the alert itself."
    return Headline(Status.OK, sentence, detail), iter(
        (
            _silence_table("running", "Silences", coming, "the next to end first",
                           "Nothing is silenced. The page of an alert can silence it.", now, zone),
            _silence_table("over", "Over", over, "7 days, newest first", "No silence ended in 7 days.", now, zone),
        )
    )  # fmt: skip


def _silence_table(
    name: str, title: str, silences: Sequence[Silence], note: str, empty: str, now: datetime, zone: tzinfo
) -> Table:
    rows = [
        _row(
            reach(one),
            ("State", _state(one, now)),
            ("From", numbers.moment(one.starts_at, zone, now)),
            ("Until", numbers.moment(one.ends_at, zone, now)),
            ("By", one.author),
            ("Reason", one.comment),
        )
        for one in silences
    ]
    return _table(name, title, "What", rows, note, empty)


def _state(one: Silence, now: datetime) -> str:
    if one.ends_at <= now:
        return "over"
    if one.starts_at > now:
        return f"begins in {numbers.age((one.starts_at - now).total_seconds())}"
    return f"holds, {numbers.age((one.ends_at - now).total_seconds())} left"


def _audit(reader: Reader, end: datetime, now: datetime, zone: tzinfo) -> tuple[Headline, Iterator[Panel]]:
    last = minute_floor(end) + (MINUTE_SECONDS if now - end < timedelta(seconds=MINUTE_SECONDS) else 0)
    entries = reader.actions(minute_floor(end - timedelta(days=AUDIT_DAYS)), last, now)
    rows = [_entry_row(one, now, zone) for one in reversed(entries)]
    done = f"{_count(len(entries), 'thing')} {'was' if len(entries) == 1 else 'were'} done in {AUDIT_DAYS} days"
    sentence = done if entries else f"Nobody changed anything in {AUDIT_DAYS} days"
    detail = "What people did from Slack, PagerDuty and these pages; kept for a year."
    table = _table("audit", "Audit", "What", rows, "newest first", "Nobody changed anything.")
    return Headline(Status.OK, sentence, detail), iter((table,))


def _entry_row(one: Entry, now: datetime, zone: tzinfo) -> Row:
    return _row(
        _DEEDS[one.deed],
        ("When", numbers.moment(one.at, zone, now)),
        ("Who", one.author),
        ("About", _FRACTION.sub(r"\1Z", one.about)),
        ("Reason", one.comment),
        href=_alert_of(one.target),
    )


def _alert_of(target: str) -> str:
    """The page of the alert whose episode was taken; empty for anything else."""
    folder, _, name = target.partition("/")
    return f"/{ALERTS}/{name.partition('~')[0]}" if folder == "acks" else ""


def _configuration(config: MonitoringConfig) -> tuple[Headline, Iterator[Panel]]:
    settings = config.settings
    parts = (
        _count(len(settings.rules), "rule"),
        _count(len(settings.metrics), "metric"),
        _count(len(settings.collections), "collection"),
        _count(len(settings.dashboards), "dashboard"),
    )
    detail = f"{', '.join(parts)}. A change is a deploy."
    tables = (
        _table("rules", "Rules", "Rule", [_rule_row(config, one) for one in settings.rules], "", "No rule."),
        _table("channels", "Channels", "Channel", _channel_rows(config), "", "No channel: nobody is told anything."),
        _table("metrics", "Metrics", "Metric", [_metric_row(one) for one in settings.metrics], "", "No metric."),
        _table("collections", "Collections", "Collection", [
            _row(one.name, ("What", one.description), ("Metric", one.query.select.metric), ("Unit", one.unit or "–"),
                 ("By", ", ".join(one.query.group_by)))
            for one in settings.collections
        ], "", "No collection."),
    )  # fmt: skip
    return Headline(Status.OK, f"Configuration {config.hash}", detail), iter(tables)


def _rule_row(config: MonitoringConfig, rule: AlertRule) -> Row:
    limit, unit = limit_of(rule.threshold), config.unit_for(rule)
    beyond = f"{limit.operator.value} {numbers.limit_number(limit, unit)}" if limit else ""
    return _row(
        rule.name.replace(" - ", ", "),
        ("Severity", rule.threshold.severity.value),
        ("Fires", beyond if rule.enabled else f"{beyond}, disabled"),
        ("Over", numbers.age(rule.evaluation_window)),
        ("Times", str(rule.min_occurrences)),
        ("By", ", ".join(config.query_for(rule).group_by)),
        ("Told on", ", ".join(config.channels_for(rule, rule.threshold.severity))),
    )


def _channel_rows(config: MonitoringConfig) -> list[Row]:
    routing = config.settings.routing
    return [
        _row(name, ("Kind", type(channel).__name__), ("Hears of", _severities(routing.get(name, ()))))
        for name, channel in config.settings.channels.items()
    ]


def _severities(severities: Iterable[Severity]) -> str:
    return ", ".join(one.value for one in severities)


def _metric_row(one: Metric) -> Row:
    return _row(
        one.name,
        ("What", one.description),
        ("Kind", one.kind.name.lower()),
        ("Unit", one.unit),
        ("Labels", ", ".join(one.labels)),
    )


def _system(sources: Sources, cursor: Cursor | None, health: Health, zone: tzinfo) -> tuple[Headline, Iterator[Panel]]:
    status = Status.OK if health.ok else Status.WARNING
    sentence = "The monitoring is healthy" if health.ok else "The monitoring needs you"
    wrong = [row.name for row in _checks(sources, health, zone) if row.status is not Status.OK]
    detail = f"{', '.join(wrong)}." if wrong else "It is evaluated, everybody was told, and nothing was refused."
    return Headline(status, sentence, detail), _system_panels(sources, cursor, health, zone)


def _system_panels(sources: Sources, cursor: Cursor | None, health: Health, zone: tzinfo) -> Iterator[Panel]:
    yield replace(_table("checks", "Health", "Check", list(_checks(sources, health, zone)), "", ""), wide=True)
    for one in OWN_COLLECTIONS:
        if one.name in _CHARTED:
            yield _per_minute(sources, one.name, one.description, one.unit)
    judged = _judged(sources, cursor)
    rows = [_own_row(judged, one.name) for one in OWN_COLLECTIONS if one.name not in _WORK]
    yield _table("own", "What should not be", "What", rows, "the range shown", "")


def _judged(sources: Sources, cursor: Cursor | None) -> Sources:
    """The minutes that were judged: what is published of the time before the first evaluation is late for nobody."""
    first = cursor.first - MINUTE_SECONDS if cursor else 0
    return replace(sources, start=min(max(sources.start, first), sources.end))


def _per_minute(sources: Sources, name: str, title: str, unit: str) -> LineChart:
    query = next(one.query for one in OWN_COLLECTIONS if one.name == name)
    return chart_of(sources, name, title, unit, query, ())


def _own_row(sources: Sources, name: str) -> Row:
    """A count of what should be zero, and where most of it was."""
    own = next(one for one in OWN_COLLECTIONS if one.name == name)
    found = sources.total(own.query) if not own.query.group_by or name.endswith("rejected") else sources.at(own.query)
    most = max(found, key=lambda labels: (found[labels], labels), default=())
    where = ", ".join(f"{key} {value}" for key, value in most)
    total = sum(found.values())
    status = Status.WARNING if total else Status.OK
    cells = (Cell("count", "Count", total, "", over=status), Cell("most", "Most", None, "", note=where or "–"))
    return Row(own.description, status, cells)


def _checks(sources: Sources, health: Health, zone: tzinfo) -> Iterator[Row]:
    evaluated = health.evaluated_at
    behind = numbers.age((sources.now - evaluated).total_seconds()) if evaluated else ""
    ago = f"{numbers.moment(evaluated, zone, sources.now)}, {behind} ago" if evaluated else "never"
    yield _check("Evaluated", ago, "within 3 min", evaluated is not None and not health.late)
    told = f"{health.deliveries_done} of {health.deliveries_total}"
    yield _check("Told in 24 h", told, "all", health.deliveries_done == health.deliveries_total)
    gone = ", ".join(health.channels_gone)
    yield _check("Channels that refuse", gone or "none", "none", not gone)
    yield _check("Messages rejected", str(health.dead_letters), "0", health.dead_letters == 0)
    unreadable = len(sources.read.unreadable)
    yield _check("Minutes that cannot be read", str(unreadable), "0", unreadable == 0)
    fresh = f"{health.collections_fresh} of {health.collections_total}"
    yield _check("Collections with data in 5 min", fresh, "what is published", is_good=True)


def _check(name: str, value: str, good: str, is_good: bool) -> Row:
    return replace(_row(name, ("Is", value), ("Should be", good)), status=Status.OK if is_good else Status.WARNING)


def _row(name: str, *cells: tuple[str, str], href: str = "") -> Row:
    """A row of texts; an empty one is a dash."""
    made = (Cell(title.lower().replace(" ", "_"), title, None, "", note=text or "–") for title, text in cells)
    return Row(name, Status.OK, tuple(made), href=href)


def _table(name: str, title: str, head: str, rows: Sequence[Row], note: str, empty: str) -> Table:
    return Table(name, title, head, tuple(rows[:KEPT_ROWS]), note, empty, len(rows), wide=True, most=_MOST_ROWS)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
