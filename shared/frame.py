"""What all dashboards say around their panels: the answer, the checks, the alerts, how old the data is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import tzinfo
from typing import Any

from .alerts import AlertState, AlertStateManager
from .checks import alert_row, count_checks, health_of, newest_minute, notes_of
from .headline import Story, headline
from .minute_cache import Cursor
from .panels import KEPT_ROWS, STALE_AFTER, Headline, LineChart, Multiples, Panel, Row, Status, Table
from .rules import AlertRule, Severity
from .sources import Sources
from .timeline import from_minute


def is_stale(sources: Sources) -> bool:
    """Whether the newest data is too old to be called current."""
    newest = newest_minute(sources)
    return newest is None or sources.about - from_minute(newest) > STALE_AFTER


def aged(panel: Panel) -> Panel:
    """A panel about now whose data is too old to be called so: nothing in it is OK, whatever fired last."""
    if isinstance(panel, LineChart):
        return aged_chart(panel)
    if isinstance(panel, Multiples):
        smalls = (replace(one, status=_old(one.status), chart=aged_chart(one.chart)) for one in panel.charts)
        return replace(panel, charts=tuple(smalls))
    return replace(panel, rows=aged_rows(panel.rows)) if isinstance(panel, Table) else panel


def aged_rows(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Rows about now whose data is too old to be called so."""
    return tuple(replace(row, status=_old(row.status)) for row in rows)


def aged_chart(chart: LineChart) -> LineChart:
    """A chart up to now whose data is too old to be called so."""
    return replace(chart, lines=tuple(replace(line, status=_old(line.status)) for line in chart.lines))


def _old(status: Status) -> Status:
    return status if status in (Status.UNKNOWN, Status.EMPTY) else Status.STALE


def about_rules(sources: Sources, rules: Sequence[AlertRule]) -> Sources:
    """The sources with the alerts and transitions of some rules only; the other alerts are with ``others``."""
    ids = {rule.id for rule in rules}
    return replace(
        sources,
        alerts=tuple(alert for alert in sources.alerts if alert.rule_id in ids),
        others=(*sources.others, *(alert for alert in sources.alerts if alert.rule_id not in ids)),
        transitions=tuple(one for one in sources.transitions if one.rule_id in ids),
    )


def frame(sources: Sources, cursor: Cursor | None, rules: Sequence[AlertRule], zone: tzinfo) -> dict[str, Any]:
    """The fields that every ``Page`` has, but for its name, title and signals; times in its sentences in ``zone``."""
    config = sources.config
    newest = newest_minute(sources)
    data_to = None if newest is None else from_minute(newest)
    alerts = AlertStateManager(sources.alerts).get_active_alerts()
    counts = count_checks(sources, rules)
    start = from_minute(sources.start)
    story = Story(
        config=config,
        alerts=alerts,
        elsewhere=sum(1 for alert in sources.others if alert.is_firing),
        transitions=[one for one in sources.transitions if one.at >= start],
        checks=sum(count for _, count in counts),
        data_to=data_to,
        at=sources.about,
        now=sources.now,
        zone=zone,
        region=sources.region,
        unreadable=len(sources.read.unreadable),
        range_seconds=sources.end - sources.start,
    )
    return {
        "service": config.settings.service,
        "environment": config.settings.environment,
        "now": sources.now,
        "data_to": data_to,
        "start": start,
        "end": from_minute(sources.end),
        "headline": _linked(headline(story), alerts),
        "counts": counts,
        "alerts": tuple(alert_row(config, alert) for alert in alerts[:KEPT_ROWS]),
        "alerts_total": len(alerts),
        "health": health_of(sources, cursor),
        "until": sources.until,
        "region": sources.region,
        "notes": notes_of(sources),
        "firing": _firing(sources),
    }


def _linked(told: Headline, alerts: Sequence[AlertState]) -> Headline:
    """The answer with a button that leads to the alert it is about."""
    if not alerts or told.status not in (Status.CRITICAL, Status.WARNING, Status.LOW, Status.PENDING):
        return told
    return replace(told, action="Open alert", href=f"/alerts/{alerts[0].fingerprint}")


def _firing(sources: Sources) -> tuple[tuple[str, Severity], ...]:
    worst: dict[str, Severity] = {}
    for alert in (*sources.alerts, *sources.others):
        if alert.is_firing and alert.severity.rank < worst.get(alert.rule_id, Severity.LOW).rank + 1:
            worst[alert.rule_id] = alert.severity
    return tuple(sorted(worst.items()))
