"""Which page an address names: every page of the site is built here, whatever its format."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, tzinfo

from .alert_pages import build_alert, build_alerts
from .boards import build_board
from .configuration.models import Collection
from .errors import ConfigError, PermanentError
from .monitoring_config import MonitoringConfig
from .overview import build_overview
from .own_pages import build_own
from .panels import Shown
from .reader import Reader
from .sources import REGION
from .urls import OVERVIEW, OWN_PAGES, Format, View, is_region


def build_page(config: MonitoringConfig, reader: Reader, view: View, now: datetime, zone: tzinfo = UTC) -> Shown:
    """The page that a view names, at ``now`` (aware UTC), with the times in its sentences in ``zone``.

    Raises PermanentError: ``not_found``, ``invalid_request``.
    """
    if view.prefix == "/":
        return _other(config, reader, view, now, zone)
    try:
        dashboard = config.get_dashboard(view.name)
    except ConfigError as error:
        raise PermanentError("not_found", error.detail) from error
    collection = collection_of(config, view)
    if view.name != OVERVIEW:
        _no_collection(view)
        return build_board(config, reader, dashboard, view.start, view.end, now, zone, view.region)
    page = build_overview(config, reader, view.start, view.end, now, zone, collection, view.region)
    return replace(page, regions=tuple(replace(row, href=_region_href(view, row.name)) for row in page.regions))


def collection_of(config: MonitoringConfig, view: View) -> Collection | None:
    """The collection that a view names; it must be of regions when the view names one of those too.

    Raises PermanentError ``invalid_request``.
    """
    if not view.collection:
        return None
    try:
        collection = config.get_collection(view.collection)
    except ConfigError as error:
        raise PermanentError("invalid_request", error.detail) from error
    metric = config.metric(collection.query.select.metric)
    if view.region and (metric is None or REGION not in metric.labels):
        raise PermanentError("invalid_request", f"{collection.name} is of no region; leave region or collection out")
    return collection


def _other(config: MonitoringConfig, reader: Reader, view: View, now: datetime, zone: tzinfo) -> Shown:
    if view.name in OWN_PAGES:
        return build_own(config, reader, view, now, zone)
    _no_collection(view)
    fingerprint = view.name.partition("/")[2]
    if fingerprint:
        return build_alert(config, reader, fingerprint, now, zone)
    return build_alerts(config, reader, view.start, view.end, now, zone, view.region)


def _no_collection(view: View) -> None:
    if view.collection:
        raise PermanentError("invalid_request", "collection is of the overview alone")


def _region_href(view: View, region: str) -> str:
    """The address of this page for one region; empty for a name that no address can have."""
    return view.href(as_format=Format.HTML, region=region) if is_region(region) else ""
