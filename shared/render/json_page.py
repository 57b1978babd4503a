"""A dashboard as JSON, for programs: the specification's keys, and beside them what is needed to judge them.

``dashboard.overview.response_time_p95`` is the P95 of the worst region, as on the page; each region's own stands in
``dashboard.regions``, under its name with underscores for hyphens. Where two names become one so, both stand under
their own. Lists are bounded, the worst first: ``totals`` says how many regions, alerts and personas there are, a chart
how many lines. ``until`` is the end of a past range, which the page is about; null for one about now. The six
overview keys are always there, null without a value; of any other dashboard ``dashboard`` has its signals by id under
its name, and ``panels`` everything else. Instants are RFC 3339 in UTC, numbers plain and in the unit of
the page, at most nine significant digits. The text is ASCII: every other character is escaped, so that neither a
terminal nor a log viewer acts on it.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ..panels import (
    AlertRow,
    Board,
    Cell,
    Health,
    Heat,
    Limit,
    Line,
    LineChart,
    Multiples,
    Overview,
    Page,
    Panel,
    Row,
    Shown,
    Signal,
    Small,
    Strips,
)
from ..timeline import iso
from .caption import Caption

OVERVIEW_KEYS = (
    "availability",
    "error_rate",
    "response_time_avg",
    "response_time_p95",
    "cache_hit_rate",
    "throughput",
)
VERSION = 1


def render_json(page: Shown) -> str:
    """The page as one JSON object, indented by two, ended by a newline."""
    return dumped(_overview_page(page) if isinstance(page, Overview) else _board_page(page))


def dumped(content: object) -> str:
    """JSON as this project writes it: ASCII, indented by two, ended by a newline."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def chart_page_json(chart: LineChart, caption: Caption) -> str:
    """One chart as one JSON object, with how old its data is."""
    return dumped(
        {
            "timestamp": _instant(caption.now.replace(microsecond=0)),
            "service": caption.service,
            "environment": caption.environment,
            "data_to": _instant(caption.data_to),
            "stale": caption.stale,
            "until": _instant(caption.until),
            "chart": chart_json(chart),
        }
    )


def _overview_page(page: Overview) -> dict[str, Any]:
    told = _page(page, {"overview": _overview(page.signals), "regions": _regions(page.regions)})
    told["totals"] |= {
        "regions": max(page.regions_total, len(page.regions)),
        "personas": max(page.personas_total, len(page.personas)),
    }
    return told | {
        "charts": [chart_json(chart) for chart in page.charts],
        "regions": [_row(row) for row in page.regions],
        "facts": [
            {"name": f.name, "value": _number(f.value), "unit": f.unit, "change_percent": _number(f.change)}
            for f in page.facts
        ],
        "personas": [
            {"name": p.name, "ratio": _number(p.ratio), "count": _number(p.count), "change_points": _number(p.change)}
            for p in page.personas
        ],
    }


def _board_page(page: Board) -> dict[str, Any]:
    values = {signal.id: _number(signal.value) for signal in reversed(page.signals)}
    return _page(page, {page.name: values}) | {"title": page.title, "panels": [_panel(panel) for panel in page.panels]}


def _page(page: Page, dashboard: dict[str, Any]) -> dict[str, Any]:
    return {
        "timestamp": _instant(page.now.replace(microsecond=0)),
        "dashboard": dashboard,
        "version": VERSION,
        "service": page.service,
        "environment": page.environment,
        "status": page.headline.status.value,
        "headline": {"sentence": page.headline.sentence, "detail": page.headline.detail, "note": page.headline.note},
        "data_to": _instant(page.data_to),
        "age_seconds": _number(page.age_seconds),
        "stale": page.stale,
        "until": _instant(page.until),
        "region": page.region or None,
        "notes": list(page.notes),
        "totals": {"alerts": max(page.alerts_total, len(page.alerts))},
        "range": {"from": _instant(page.start), "to": _instant(page.end)},
        "checks": {status.value: count for status, count in page.counts},
        "signals": [_signal(signal) for signal in page.signals],
        "alerts": [alert_json(alert) for alert in page.alerts],
        "monitoring": health_json(page.health) if page.live else None,
    }


def _overview(signals: Sequence[Signal]) -> dict[str, float | None]:
    """The specification's six, each from the first signal with its id."""
    values = {signal.id: _number(signal.value) for signal in reversed(signals)}
    return {key: values.get(key) for key in OVERVIEW_KEYS}


def _regions(regions: Sequence[Row]) -> dict[str, dict[str, float | None]]:
    """Cells by region: ``us-central1`` becomes ``us_central1``, unless another region becomes that too.

    Names differ and a key that is taken twice is no one's, so no region hides another, in whatever order they come.
    """
    keys = [_key(region.name) for region in regions]
    claims = Counter(keys)
    return {
        key if claims[key] == 1 else region.name: {cell.id: _number(cell.value) for cell in region.cells}
        for key, region in zip(keys, regions, strict=True)
    }


def _key(name: str) -> str:
    return name.replace("-", "_")


def _signal(signal: Signal) -> dict[str, Any]:
    return {
        "id": signal.id,
        "name": signal.name,
        "scope": signal.scope,
        "value": _number(signal.value),
        "unit": signal.unit,
        "status": signal.status.value,
        "limit": _limit(signal.limit),
        "change": _number(signal.change),
        "change_unit": signal.change_unit,
        "as_of": _instant(signal.as_of),
        "note": signal.note,
        "values": [_number(value) for value in signal.spark],
        "step_seconds": signal.spark_step_seconds,
        "usual": None if signal.usual is None else [_number(value) for value in signal.usual],
    }


def _limit(limit: Limit | None) -> dict[str, Any] | None:
    if limit is None:
        return None
    return {"operator": limit.operator.value, "value": _number(limit.value), "severity": limit.severity.value}


def alert_json(alert: AlertRow) -> dict[str, Any]:
    """An alert as a page lists it."""
    return {
        "fingerprint": alert.fingerprint,
        "rule": alert.rule,
        "scope": alert.scope,
        "severity": alert.severity.value,
        "status": alert.status.value,
        "value": _number(alert.value),
        "unit": alert.unit,
        "limit": _limit(alert.limit),
        "since": _instant(alert.since),
        "note": alert.note,
        "count": alert.count,
        "min_occurrences": alert.min_occurrences,
    }


def chart_json(chart: LineChart) -> dict[str, Any]:
    """A chart with all its values."""
    return {
        "id": chart.id,
        "title": chart.title,
        "unit": chart.unit,
        "start": _instant(chart.start),
        "end": _instant(chart.end),
        "step_seconds": chart.step_seconds,
        "lines_total": max(chart.lines_total, len(chart.lines)),
        "limits": [_limit(limit) for limit in chart.limits],
        "spans": [
            {
                "from": _instant(span.start),
                "to": _instant(span.end),
                "severity": span.severity.value,
                "pending": span.pending,
                "label": span.label,
            }
            for span in chart.spans
        ],
        "marks": [{"at": _instant(mark.at), "label": mark.label} for mark in chart.marks],
        "live_to": _instant(chart.live_to),
        "lines": [_line(line) for line in chart.lines],
    }


def _line(line: Line) -> dict[str, Any]:
    told: dict[str, Any] = {"name": line.name, "values": [_number(value) for value in line.values]}
    if line.live is not None:
        told["live"] = _number(line.live)
    if line.usual:
        told["usual_low"] = [_number(low) for low, _ in line.usual]
        told["usual_high"] = [_number(high) for _, high in line.usual]
    return told


def _panel(panel: Panel) -> dict[str, Any]:
    if isinstance(panel, LineChart):
        return {"kind": "line", **chart_json(panel)}
    head: dict[str, Any] = {"id": panel.id, "title": panel.title, "total": panel.total}
    if isinstance(panel, Multiples):
        return {"kind": "multiples", **head, "unit": panel.unit, "charts": [_small(small) for small in panel.charts]}
    if isinstance(panel, Strips):
        return {"kind": "strips", **head, **_strips(panel)}
    return {"kind": "table", **head, "note": panel.note, "rows": [_row(row) for row in panel.rows]}


def _small(small: Small) -> dict[str, Any]:
    told = {"name": small.name, "status": small.status.value, "chart": chart_json(small.chart)}
    return told | ({"distribution": _heat(small.heat)} if small.heat else {})


def _heat(heat: Heat) -> dict[str, Any]:
    """Bin j is (low * ratio**j, low * ratio**(j + 1)]."""
    return {
        "start": _instant(heat.start),
        "step_seconds": heat.step_seconds,
        "low": _number(heat.low),
        "ratio": _number(heat.ratio),
        "limit": _limit(heat.limit),
        "beyond_limit_ratio": [_number(share) for share in heat.over],
        "shares": [[_number(round(share, 6)) for share in step] for step in heat.shares],
    }


def _strips(panel: Strips) -> dict[str, Any]:
    return {
        "start": _instant(panel.start),
        "end": _instant(panel.end),
        "step_seconds": panel.step_seconds,
        "strips": [
            {
                "name": strip.name,
                "value": _number(strip.value),
                "unit": strip.unit,
                "status": strip.status.value,
                "limit": _limit(strip.limit),
                "note": strip.note,
                "states": [state.value for state in strip.states],
            }
            for strip in panel.strips
        ],
    }


def _row(row: Row) -> dict[str, Any]:
    return {"name": row.name, "status": row.status.value, "cells": [_cell(cell) for cell in row.cells]}


def _cell(cell: Cell) -> dict[str, Any]:
    told: dict[str, Any] = {"id": cell.id, "title": cell.title, "value": _number(cell.value), "unit": cell.unit}
    if cell.note:
        told["note"] = cell.note
    if cell.spark:
        told["values"] = [_number(value) for value in cell.spark]
        told["step_seconds"] = cell.spark_step_seconds
    return told


def health_json(health: Health) -> dict[str, Any]:
    """How the monitoring itself is."""
    return {
        "ok": health.ok,
        "evaluated_at": _instant(health.evaluated_at),
        "collections_fresh": health.collections_fresh,
        "collections_total": health.collections_total,
        "deliveries_done": health.deliveries_done,
        "deliveries_total": health.deliveries_total,
        "dead_letters": health.dead_letters,
        "channels_gone": list(health.channels_gone),
        "ingest_seconds": _number(health.ingest_seconds),
    }


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else iso(instant)


def _number(value: float | None) -> float | None:
    """The value without binary noise (0.1 + 0.2 is 0.3); null for what JSON cannot hold."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.9g}")
