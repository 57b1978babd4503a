"""The overview as JSON, for programs: the specification's keys, and beside them what is needed to judge them.

``dashboard.overview.response_time_p95`` is the P95 of the worst region, as on the page; each region's own stands in
``dashboard.regions``, under its name with underscores for hyphens. Where two names become one so, both stand under
their own. Lists are bounded, the worst first: ``totals`` says how many regions, alerts and personas there are, a chart
how many lines. ``until`` is the end of a past range, which the page is about; null for one about now. The six
overview keys are always there, null without a value. Instants are RFC 3339 in UTC, numbers plain and in the unit of
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

from ..panels import AlertRow, Health, Limit, LineChart, Overview, RegionRow, Signal
from ..timeline import iso

OVERVIEW_KEYS = (
    "availability",
    "error_rate",
    "response_time_avg",
    "response_time_p95",
    "cache_hit_rate",
    "throughput",
)
VERSION = 1


def render_json(page: Overview) -> str:
    """The page as one JSON object, indented by two, ended by a newline."""
    return json.dumps(_page(page), indent=2, allow_nan=False) + "\n"


def _page(page: Overview) -> dict[str, Any]:
    return {
        "timestamp": _instant(page.now.replace(microsecond=0)),
        "dashboard": {"overview": _overview(page.signals), "regions": _regions(page.regions)},
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
        "totals": {
            "alerts": max(page.alerts_total, len(page.alerts)),
            "regions": max(page.regions_total, len(page.regions)),
            "personas": max(page.personas_total, len(page.personas)),
        },
        "range": {"from": _instant(page.start), "to": _instant(page.end)},
        "checks": {status.value: count for status, count in page.counts},
        "signals": [_signal(signal) for signal in page.signals],
        "alerts": [_alert(alert) for alert in page.alerts],
        "charts": [_chart(chart) for chart in page.charts],
        "facts": [
            {"name": f.name, "value": _number(f.value), "unit": f.unit, "change_percent": _number(f.change)}
            for f in page.facts
        ],
        "personas": [
            {"name": p.name, "ratio": _number(p.ratio), "count": _number(p.count), "change_points": _number(p.change)}
            for p in page.personas
        ],
        "monitoring": _health(page.health),
    }


def _overview(signals: Sequence[Signal]) -> dict[str, float | None]:
    """The specification's six, each from the first signal with its id."""
    values = {signal.id: _number(signal.value) for signal in reversed(signals)}
    return {key: values.get(key) for key in OVERVIEW_KEYS}


def _regions(regions: Sequence[RegionRow]) -> dict[str, dict[str, float | None]]:
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
    }


def _limit(limit: Limit | None) -> dict[str, Any] | None:
    if limit is None:
        return None
    return {"operator": limit.operator.value, "value": _number(limit.value), "severity": limit.severity.value}


def _alert(alert: AlertRow) -> dict[str, Any]:
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


def _chart(chart: LineChart) -> dict[str, Any]:
    return {
        "id": chart.id,
        "title": chart.title,
        "unit": chart.unit,
        "start": _instant(chart.start),
        "end": _instant(chart.end),
        "step_seconds": chart.step_seconds,
        "lines_total": max(chart.lines_total, len(chart.lines)),
        "limits": [_limit(limit) for limit in chart.limits],
        "lines": [{"name": line.name, "values": [_number(value) for value in line.values]} for line in chart.lines],
    }


def _health(health: Health) -> dict[str, Any]:
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
