"""The dashboards that a configuration describes: signals, then panels in its order, all from one read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo

from .configuration.models import Dashboard, Panel, PanelKind
from .frame import about_rules, aged, frame, is_stale
from .items import Item, items_of, judges, rules_on, title_of
from .monitoring_config import MonitoringConfig
from .panels import Board, Signal
from .panels import Panel as Drawn
from .reader import Reader
from .row_panels import anomalies_panel, bars_panel, table_panel
from .rules import AlertRule
from .series_panels import heat_panel, line_panel, multiples_panel
from .signals import Wanted, make_signal
from .sources import Sources, read_sources
from .strips import gaps_panel, timeline_panel
from .timeline import HOUR_SECONDS


def build_board(
    config: MonitoringConfig,
    reader: Reader,
    dashboard: Dashboard,
    start: datetime,
    end: datetime,
    now: datetime,
    zone: tzinfo = UTC,
    region: str = "",
) -> Board:
    """A dashboard of (start, end] at ``now`` (aware UTC), with the times in its sentences in ``zone``.

    A panel that asks for a longer time than the page's has that, up to the same end. The answer, the checks and the
    alerts are those of the rules on what the dashboard shows; alerts of other rules are counted as elsewhere.
    """
    longest = max((panel.range_hours for panel in dashboard.panels), default=0) * HOUR_SECONDS
    everything, cursor = read_sources(config, reader, start, end, now, region, longest)
    rules = rules_of_dashboard(config, dashboard)
    sources = about_rules(everything, rules)
    stale = is_stale(sources)
    return Board(
        **frame(sources, cursor, rules, zone),
        name=dashboard.name,
        title=dashboard.title,
        signals=tuple(_signals(sources, dashboard, stale)),
        panels=tuple(_panels(sources, dashboard, zone, stale)),
        has_alerts=any(panel.kind is PanelKind.ALERTS for panel in dashboard.panels),
        alerts_title=next((p.title for p in dashboard.panels if p.kind is PanelKind.ALERTS), "Active alerts"),
    )


def rules_of_dashboard(config: MonitoringConfig, dashboard: Dashboard) -> list[AlertRule]:
    """The enabled rules on a metric that a dashboard shows, or of a metric type that it names; the overview has all."""
    rules = config.list_alert_rules(enabled_only=True)
    if any(panel.kind is PanelKind.ALERTS and not panel.metric_types for panel in dashboard.panels):
        return rules
    queries = [config.get_collection(name).query for panel in dashboard.panels for name in panel.collections]
    queries += [one.query for panel in dashboard.panels for one in panel.queries]
    metrics = {query.select.metric for query in queries}
    types = {kind for panel in dashboard.panels for kind in panel.metric_types}
    return [rule for rule in rules if rule.metric_type in types or config.query_for(rule).select.metric in metrics]


def _signals(sources: Sources, dashboard: Dashboard, stale: bool) -> Iterator[Signal]:
    for panel in dashboard.panels:
        if panel.kind is PanelKind.SIGNAL:
            there = _spanning(sources, panel)
            for item in items_of(sources, panel):
                yield make_signal(there, _wanted(sources, panel, item), stale)


def _wanted(sources: Sources, panel: Panel, item: Item) -> Wanted:
    rules = rules_on(sources, item.query)
    judging = [rule for rule in rules if judges(sources, rule, item.query)]
    strictest = min(rules, key=lambda rule: rule.severity.rank, default=None)
    return Wanted(
        id=item.id,
        name=title_of(item.id) if item.is_collection else item.name,
        section=panel.title.upper(),
        unit=item.unit,
        query=item.query,
        rules=judging,
        limit=strictest.threshold if strictest else None,
        publish=item.query.select.metric,
        scope="" if item.query.group_by or sources.region else "all regions",
    )


def _panels(sources: Sources, dashboard: Dashboard, zone: tzinfo, stale: bool) -> Iterator[Drawn]:
    for number, panel in enumerate(dashboard.panels, start=1):
        drawn = _panel(_spanning(sources, panel), panel, f"{dashboard.name}-{number}", zone)
        if drawn is not None:
            yield aged(drawn) if stale and panel.kind is not PanelKind.ANOMALIES else drawn


def _panel(sources: Sources, panel: Panel, panel_id: str, zone: tzinfo) -> Drawn | None:
    """A panel as it is drawn; None for what stands elsewhere on the page."""
    match panel.kind:
        case PanelKind.SIGNAL | PanelKind.ALERTS:
            return None
        case PanelKind.LINE:
            return line_panel(sources, panel, panel_id)
        case PanelKind.MULTIPLES:
            return multiples_panel(sources, panel, panel_id)
        case PanelKind.HEAT:
            return heat_panel(sources, panel, panel_id)
        case PanelKind.BARS:
            return bars_panel(sources, panel, panel_id)
        case PanelKind.TABLE:
            return table_panel(sources, panel, panel_id)
        case PanelKind.ANOMALIES:
            return anomalies_panel(sources, panel, panel_id, zone)
        case PanelKind.TIMELINE:
            return timeline_panel(sources, panel, panel_id)
        case PanelKind.GAPS:
            return gaps_panel(sources, panel, panel_id, zone)


def _spanning(sources: Sources, panel: Panel) -> Sources:
    """The sources over the panel's time: the page's, or the panel's own where that is longer."""
    return sources.spanning(max(sources.end - sources.start, panel.range_hours * HOUR_SECONDS))
