"""The OpenAPI document of ``/api``: its routes, their parameters, and what they answer."""

from __future__ import annotations

from typing import Any

from .monitoring_config import MonitoringConfig
from .urls import RANGES

VERSION = "3.1.0"
_NULL_NUMBER = {"type": ["number", "null"]}
_NUMBERS = {"type": "array", "items": _NULL_NUMBER}
_INSTANT = {"type": "string", "format": "date-time"}
_NULL_INSTANT = {"type": ["string", "null"], "format": "date-time"}
_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}


def openapi(config: MonitoringConfig) -> dict[str, Any]:
    """The document; dashboards and collections are those of the configuration."""
    dashboards = _named([one.name for one in config.list_dashboards()])
    collections = _named([one.name for one in config.list_collections()])
    return {
        "openapi": VERSION,
        "info": {
            "title": f"{config.settings.service} monitoring",
            "version": "1",
            "description": "What the dashboards show, for programs. Instants are RFC 3339 in UTC. Reads only.",
        },
        "paths": {
            "/api/dashboards": _route("The dashboards", "List", ()),
            "/api/dashboards/{name}": _route("One dashboard with all its numbers", "Dashboard", _RANGE, dashboards),
            "/api/collections": _route("The collections", "List", ()),
            "/api/collections/{name}": _route("One collection over a range", "ChartPage", _RANGE, collections),
            "/api/alerts/{fingerprint}": _route("One alert: its newest episode of 72 h", "Dashboard", (), _FINGERPRINT),
            "/api/history": _route("What fired in 72 h, newest first", "Dashboard", _RANGE),
            "/api/system": _route("How the monitoring is, with its own metrics", "Dashboard", _RANGE[:1]),
            "/api/silences": _route("Who does not hear of what", "Dashboard", _RANGE[:1]),
            "/api/audit": _route("What people did in the 30 days before the end", "Dashboard", _RANGE[:3]),
            "/api/configuration": _route("What is watched, and who is told", "Dashboard", _RANGE[:1]),
            "/api/alerts": _route("What is pending or firing, worst first", "Alerts", _RANGE),
            "/api/health": _route("How the monitoring itself is", "Health", _RANGE),
            "/api/openapi.json": _route("This document", "Document", ()),
        },
        "components": {"schemas": _SCHEMAS},
    }


def _named(names: list[str]) -> dict[str, Any]:
    return {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "enum": names}}


_FINGERPRINT = {
    "name": "fingerprint",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
}


def _parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


_RANGE = (
    _parameter("range", {"enum": [*RANGES]}, "The last hours up to now; not beside from and to. 3h without either."),
    _parameter("from", _INSTANT, "The beginning of the range, rounded down to the minute; at most 72 h earlier."),
    _parameter("to", _INSTANT, "The end of the range, rounded up to the minute; needs from. Now without it."),
    _parameter("region", {"type": "string", "pattern": "^$|^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"},
               "That region alone; empty for all"),
)  # fmt: skip


def _route(
    summary: str, schema: str, parameters: tuple[dict[str, Any], ...], place: dict[str, Any] | None = None
) -> dict[str, Any]:
    known = [*([place] if place else []), *parameters]
    answers = {"200": _answer("Its content", schema), "400": _answer("What is wrong with a parameter", "Error")}
    if place is not None:
        answers["404"] = _answer("There is none of that name", "Error")
    answers["405"] = _answer("Only GET and HEAD", "Error")
    answers["503"] = _answer("Storage does not answer", "Error")
    return {"get": {"summary": summary, "parameters": known, "responses": answers}}


def _answer(description: str, schema: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "content": content}


def _object(required: dict[str, Any], more: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "object", "required": sorted(required), "properties": required | (more or {})}


def _list(of: str) -> dict[str, Any]:
    return {"type": "array", "items": {"$ref": f"#/components/schemas/{of}"}}


_SCHEMAS: dict[str, Any] = {
    "Error": _object({"error": _object({"reason": _TEXT, "detail": _TEXT})}),
    "Document": {"type": "object"},
    "Entry": _object({"name": _TEXT, "description": _TEXT, "href": _TEXT}, {"title": _TEXT, "unit": _TEXT}),
    "List": {"type": "object", "minProperties": 1, "additionalProperties": _list("Entry")},
    "Limit": {
        "type": ["object", "null"],
        "required": ["operator", "severity", "value"],
        "properties": {"operator": _TEXT, "value": _NULL_NUMBER, "severity": _TEXT},
    },
    "Line": _object(
        {"name": _TEXT, "values": _NUMBERS},
        {"live": _NULL_NUMBER, "usual_low": _NUMBERS, "usual_high": _NUMBERS},
    ),
    "Chart": _object(
        {
            "id": _TEXT,
            "title": _TEXT,
            "unit": _TEXT,
            "start": _INSTANT,
            "end": _INSTANT,
            "step_seconds": {"type": "integer", "minimum": 60},
            "lines_total": _COUNT,
            "live_to": _NULL_INSTANT,
            "limits": _list("Limit"),
            "spans": {"type": "array", "items": {"type": "object"}},
            "marks": {"type": "array", "items": {"type": "object"}},
            "lines": _list("Line"),
        }
    ),
    "ChartPage": _object(
        {
            "timestamp": _INSTANT,
            "service": _TEXT,
            "environment": _TEXT,
            "data_to": _NULL_INSTANT,
            "stale": {"type": "boolean"},
            "until": _NULL_INSTANT,
            "chart": {"$ref": "#/components/schemas/Chart"},
        }
    ),
    "Alert": _object(
        {
            "fingerprint": _TEXT,
            "rule": _TEXT,
            "scope": _TEXT,
            "severity": _TEXT,
            "status": _TEXT,
            "value": _NULL_NUMBER,
            "unit": _TEXT,
            "limit": {"$ref": "#/components/schemas/Limit"},
            "since": _INSTANT,
            "note": _TEXT,
            "count": _COUNT,
            "min_occurrences": _COUNT,
        }
    ),
    "Alerts": _object({"timestamp": _INSTANT, "stale": {"type": "boolean"}, "total": _COUNT, "alerts": _list("Alert")}),
    "Monitoring": _object(
        {
            "ok": {"type": "boolean"},
            "evaluated_at": _NULL_INSTANT,
            "collections_fresh": _COUNT,
            "collections_total": _COUNT,
            "deliveries_done": _COUNT,
            "deliveries_total": _COUNT,
            "dead_letters": _COUNT,
            "ingest_seconds": _NULL_NUMBER,
        }
    ),
    "Health": _object(
        {
            "timestamp": _INSTANT,
            "data_to": _NULL_INSTANT,
            "stale": {"type": "boolean"},
            "monitoring": {"$ref": "#/components/schemas/Monitoring"},
        }
    ),
    "Signal": _object(
        {
            "id": _TEXT,
            "name": _TEXT,
            "scope": _TEXT,
            "value": _NULL_NUMBER,
            "unit": _TEXT,
            "status": _TEXT,
            "limit": {"$ref": "#/components/schemas/Limit"},
            "change": _NULL_NUMBER,
            "change_unit": _TEXT,
            "as_of": _NULL_INSTANT,
            "note": _TEXT,
            "values": _NUMBERS,
            "step_seconds": {"type": "integer", "minimum": 60},
            "usual": {"type": ["array", "null"], "items": _NULL_NUMBER},
        }
    ),
    "Dashboard": _object(
        {
            "timestamp": _INSTANT,
            "dashboard": {"type": "object"},
            "version": {"type": "integer"},
            "service": _TEXT,
            "environment": _TEXT,
            "status": _TEXT,
            "headline": _object({"sentence": _TEXT, "detail": _TEXT, "note": _TEXT}),
            "data_to": _NULL_INSTANT,
            "age_seconds": _NULL_NUMBER,
            "stale": {"type": "boolean"},
            "until": _NULL_INSTANT,
            "region": {"type": ["string", "null"]},
            "notes": {"type": "array", "items": _TEXT},
            "range": _object({"from": _INSTANT, "to": _INSTANT}),
            "checks": {"type": "object", "additionalProperties": _COUNT},
            "totals": {"type": "object", "additionalProperties": _COUNT},
            "signals": _list("Signal"),
            "alerts": _list("Alert"),
            "monitoring": {"$ref": "#/components/schemas/Monitoring"},
        },
        {
            "title": _TEXT,
            "charts": _list("Chart"),
            "regions": {"type": "array", "items": _object({"name": _TEXT, "status": _TEXT})},
            "panels": {"type": "array", "items": _object({"kind": _TEXT, "id": _TEXT, "title": _TEXT})},
            "facts": {"type": "array", "items": {"type": "object"}},
            "personas": {"type": "array", "items": {"type": "object"}},
        },
    ),
}
