"""What the dashboards show, for programs: JSON under ``/api``, described by ``/api/openapi.json``. Reads only.

Every number comes from the model that the pages are drawn from. Parameters are those of the pages (``urls``): ``range``
or ``from`` and ``to``, and ``region``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from .alert_pages import ALERTS
from .chart_pages import build_chart
from .configuration.models import Collection
from .errors import ConfigError, PermanentError
from .monitoring_config import MonitoringConfig
from .openapi import openapi
from .overview import build_overview
from .pages import build_page
from .panels import Overview
from .reader import Reader
from .render.json_page import alert_json, chart_page_json, dumped, health_json, render_json
from .sources import REGION
from .timeline import iso
from .urls import OVERVIEW, OWN_PAGES, View, parse_api

API = "/api/"
_PAGES = {"history": ALERTS}
_OTHER = re.compile(rf"/api/(?:{ALERTS}/(?P<alert>[0-9a-f]{{16}})|(?P<page>{'|'.join(OWN_PAGES)}|history))")
_ONE = re.compile(r"/api/(?P<kind>dashboards|collections)/(?P<name>[a-z0-9_-]{1,100})")


@dataclass(frozen=True, slots=True)
class Api:
    """The routes under ``/api``."""

    config: MonitoringConfig
    reader: Reader
    now: Callable[[], datetime]

    def answer(self, path: str, query: Mapping[str, str]) -> str:
        """The JSON that a path stands for. Raises PermanentError: ``not_found``, ``invalid_request``."""
        one = _ONE.fullmatch(path)
        if one is not None:
            view = parse_api(query, self.now(), one["name"])
            return self._page(view) if one["kind"] == "dashboards" else self._collection(view)
        other = _OTHER.fullmatch(path)
        if other is not None:
            _check_none(query if other["alert"] else {})
            name = f"{ALERTS}/{other['alert']}" if other["alert"] else _PAGES.get(other["page"], other["page"])
            return self._page(replace(parse_api(query, self.now(), name), prefix="/"))
        match path:
            case "/api/" | "/api/openapi.json":
                return dumped(openapi(self.config))
            case "/api/dashboards":
                return dumped(self._dashboards(query))
            case "/api/collections":
                return dumped(self._collections(query))
            case "/api/alerts":
                return dumped(self._alerts(parse_api(query, self.now(), OVERVIEW)))
            case "/api/health":
                return dumped(self._health(parse_api(query, self.now(), OVERVIEW)))
        raise PermanentError("not_found", "there is no such route; /api/openapi.json has them all")

    def _page(self, view: View) -> str:
        return render_json(build_page(self.config, self.reader, view, self.now()))

    def _overview(self, view: View) -> Overview:
        return build_overview(self.config, self.reader, view.start, view.end, self.now(), region=view.region)

    def _collection(self, view: View) -> str:
        try:
            collection = self.config.get_collection(view.name)
        except ConfigError as error:
            raise PermanentError("not_found", error.detail) from error
        if view.region and not has_region(self.config, collection):
            raise PermanentError("invalid_request", f"{collection.name} is of no region; leave region out")
        return chart_page_json(*build_chart(self.config, self.reader, collection, view, self.now()))

    def _dashboards(self, query: Mapping[str, str]) -> dict[str, Any]:
        _check_none(query)
        return {
            "dashboards": [
                {"name": one.name, "title": one.title, "description": one.description,
                 "href": f"{API}dashboards/{one.name}"}
                for one in self.config.list_dashboards()
            ]
        }  # fmt: skip

    def _collections(self, query: Mapping[str, str]) -> dict[str, Any]:
        _check_none(query)
        return {
            "collections": [
                {"name": one.name, "description": one.description, "unit": one.unit,
                 "href": f"{API}collections/{one.name}"}
                for one in self.config.list_collections()
            ]
        }  # fmt: skip

    def _alerts(self, view: View) -> dict[str, Any]:
        page = self._overview(view)
        return {
            "timestamp": iso(page.now.replace(microsecond=0)),
            "stale": page.stale,
            "total": max(page.alerts_total, len(page.alerts)),
            "alerts": [alert_json(alert) for alert in page.alerts],
        }

    def _health(self, view: View) -> dict[str, Any]:
        page = self._overview(view)
        return {
            "timestamp": iso(page.now.replace(microsecond=0)),
            "data_to": None if page.data_to is None else iso(page.data_to),
            "stale": page.stale,
            "monitoring": health_json(page.health),
        }


def has_region(config: MonitoringConfig, collection: Collection) -> bool:
    """Whether a collection's metric is of regions."""
    metric = config.metric(collection.query.select.metric)
    return metric is not None and REGION in metric.labels


def _check_none(query: Mapping[str, str]) -> None:
    if query:
        raise PermanentError("invalid_request", "this route takes no parameters")
