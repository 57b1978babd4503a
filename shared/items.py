"""What a panel asks: its collections and queries by name, and the series that answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .configuration.models import Panel
from .rules import Aggregation, AlertRule, Query
from .series import Labels
from .sources import REGION, Sources, scope_text
from .value_cache import Window

_WORDS = {"l1": "L1", "l2": "L2", "cpu": "CPU", "us": "US", "eu": "EU"}
_LEFT_OUT = ("global", "percentage")
_ADDITIVE = (Aggregation.SUM, Aggregation.COUNT)


@dataclass(frozen=True, slots=True)
class Item:
    """A collection or query of a panel. ``name`` tells it from the panel's others; ``id`` is of an address."""

    id: str
    name: str
    unit: str
    query: Query
    is_collection: bool


def items_of(sources: Sources, panel: Panel) -> list[Item]:
    """The items of a panel, collections first, as the page's region has them; what is of no region is left out."""
    collections = [sources.config.get_collection(name) for name in panel.collections]
    names = _told_apart([one.query for one in collections], [title_of(one.name) for one in collections])
    found = [
        Item(one.name, name, one.unit, one.query, is_collection=True)
        for one, name in zip(collections, names, strict=True)
    ]
    found += [
        Item(f"{_slug(panel.title)}-{_slug(one.title)}", one.title, one.unit, one.query, is_collection=False)
        for one in panel.queries
    ]
    here = [item for item in found if not _is_elsewhere(sources, item.query)]
    return [_narrowed(item, query) for item in here if (query := sources.narrowed(item.query)) is not None]


def _is_elsewhere(sources: Sources, query: Query) -> bool:
    """Whether a query names another region than the page's."""
    return bool(sources.region) and dict(query.select.labels).get(REGION, sources.region) != sources.region


def rules_on(sources: Sources, query: Query) -> list[AlertRule]:
    """The enabled rules that ask the same of the same metric, whatever the filter and the groups."""
    rules = sources.config.list_alert_rules(enabled_only=True)
    return [rule for rule in rules if _same(sources.config.query_for(rule), query)]


def judges(sources: Sources, rule: AlertRule, query: Query) -> bool:
    """Whether a rule judges the very values that a query gives."""
    asked = sources.config.query_for(rule)
    parts = ((one.select.labels, one.group_by, one.per) for one in (asked, query))
    mine, other = parts
    return _same(asked, query) and mine == other


def name_of(item: Item, labels: Labels, among: int) -> str:
    """What a series of one of ``among`` items is called."""
    if not labels:
        return item.name if among > 1 or not item.query.select.labels else scope_text(item.query.select.labels)
    where = scope_text(labels, item.query.group_by)
    return where if among == 1 else f"{item.name} {where}"


def over_all(sources: Sources, query: Query) -> dict[Labels, float]:
    """A query's values over the whole time of the sources: sums are added up, ratios and means divided once.

    Of what cannot be put together from its parts, such as a percentile, the newest.
    """
    if query.per is None and query.aggregation in _ADDITIVE:
        return sources.total(query)
    if query.per is None and query.aggregation is not Aggregation.AVG:
        return dict(sources.at(query))
    above, below = _parts(query)
    counted, total = sources.total(above), sources.total(below)
    values = {labels: (counted.get(labels, 0.0), one) for labels, one in total.items() if one}
    ratios = {
        labels: query.scale * (whole - part if query.complement else part) / whole
        for labels, (part, whole) in values.items()
    }
    return {labels: value for labels, value in ratios.items() if math.isfinite(value)}


def newest(sources: Sources, query: Query, seconds: int) -> dict[Labels, float]:
    """A query's values as a table shows them: sums of the whole time, everything else of the newest window."""
    if query.per is None and query.aggregation in _ADDITIVE:
        return sources.total(query)
    return dict(sources.values(query, Window(sources.end, seconds)))


def _parts(query: Query) -> tuple[Query, Query]:
    above = Query(query.select, Aggregation.SUM, group_by=query.group_by)
    if query.per is None:
        return above, Query(query.select, Aggregation.COUNT, group_by=query.group_by)
    return above, Query(query.per, Aggregation.SUM, group_by=query.group_by)


def _same(asked: Query, query: Query) -> bool:
    mine, other = ((one.select.metric, one.aggregation, one.per is None, one.complement) for one in (asked, query))
    return mine == other


def _narrowed(item: Item, query: Query) -> Item:
    return item if query is item.query else Item(item.id, item.name, item.unit, query, item.is_collection)


def title_of(name: str) -> str:
    """A collection's name as a title, without what it is grouped by: ``Cache hit rate L1``, ``Throughput``."""
    named = name.partition("_by_")[0]
    words = [_WORDS.get(word, word) for word in named.split("_") if word not in _LEFT_OUT] or [name]
    return f"{words[0][:1].upper()}{words[0][1:]} {' '.join(words[1:])}".strip()


def _told_apart(queries: Sequence[Query], titles: Sequence[str]) -> list[str]:
    """Names of collections: the values of the labels in which alone they differ, else their titles."""
    fixed = [dict(query.select.labels) for query in queries]
    differing = {name for labels in fixed for name in labels if len({one.get(name) for one in fixed}) > 1}
    values = [" ".join(value for name, value in labels.items() if name in differing) for labels in fixed]
    same = len({(query.select.metric, query.aggregation) for query in queries}) == 1
    if len(queries) > 1 and same and all(values) and len(set(values)) == len(values):
        return values
    return list(titles)


def _slug(title: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in title.lower()).split())
