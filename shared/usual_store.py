"""Baselines as they are stored: ``baselines/{key}``, all groups of one query over windows of one length.

The key names the query and the length, so rules and charts that ask the same share one. The function ``tune`` alone
writes them, every day; a baseline that was not made again for eight days is gone for every reader.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import TypeAlias

from .monitoring_config import AlertRule, MonitoringConfig
from .retention import live
from .rules import Query, Selection
from .series import Labels, make_labels
from .store import Document, Put, Store
from .usual import Usual

KEPT = timedelta(days=8)
HELD = timedelta(minutes=10)
MAX_HELD_GROUPS = 1000
MAX_GROUPS = 300
"""Of a query, those with the most values: about 2 kB each."""

Baselines: TypeAlias = Mapping[str, Mapping[Labels, Usual]]
"""What is usual, by ``key_of`` and by group."""


@dataclass(frozen=True, slots=True)
class Learned:
    """The baselines of one query, and when they were made (aware UTC)."""

    key: str
    made_at: datetime
    groups: Mapping[Labels, Usual]


def key_of(query: Query, window_seconds: int) -> str:
    """16 hex digits of what is asked: the same for ever."""
    plain = [
        _selection(query.select),
        query.aggregation.value if query.per is None else None,
        None if query.per is None else _selection(query.per),
        query.scale,
        query.complement,
        list(query.group_by),
        query.min_count,
        window_seconds,
    ]
    return hashlib.sha256(json.dumps(plain).encode("ascii")).hexdigest()[:16]


def _selection(selection: Selection) -> list[object]:
    return [selection.metric, *([name, value] for name, value in selection.labels)]


def rule_key(config: MonitoringConfig, rule: AlertRule) -> str:
    """Where the baselines of what a rule judges are."""
    return key_of(config.query_for(rule), rule.evaluation_window)


def moving_keys(config: MonitoringConfig) -> set[str]:
    """What the enabled rules on a baseline need to be known of."""
    rules = config.list_alert_rules(enabled_only=True)
    return {rule_key(config, rule) for rule in rules if rule.threshold.baseline is not None}


def baselines_path(key: str) -> str:
    """The document of a key."""
    return f"baselines/{key}"


def put_baselines(learned: Learned) -> Put:
    """The write of a query's baselines."""
    most = sorted(learned.groups.items(), key=lambda item: (-item[1].count, item[0]))[:MAX_GROUPS]
    lines = [json.dumps({"labels": dict(labels), **usual.to_plain()}, allow_nan=False) for labels, usual in most]
    packed = zlib.compress("\n".join(lines).encode("ascii"))
    fields = {"d": packed, "made_at": learned.made_at, "expires_at": learned.made_at + KEPT}
    return Put(baselines_path(learned.key), fields)


def read_baselines(store: Store, keys: Iterable[str], now: datetime) -> dict[str, Mapping[Labels, Usual]]:
    """The baselines of some keys; one that is not there, is too old or cannot be read is left out."""
    paths = sorted({baselines_path(key) for key in keys})
    found = store.get(paths) if paths else {}
    read = {document.id: _groups(document) for document in live(found.values(), now)}
    return {key: groups for key, groups in read.items() if groups}


class UsualCache:
    """The baselines of one store as pages hold them: read again after ``HELD``, as they change once a day.

    Safe to share between threads. At most ``MAX_HELD_GROUPS`` groups are held, about 11 MB.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held: dict[str, tuple[datetime, Mapping[Labels, Usual]]] = {}
        self._lock = Lock()

    def read(self, key: str, now: datetime) -> Mapping[Labels, Usual]:
        """What is usual of a query (``key_of``), by group; empty when nothing is known."""
        with self._lock:
            at, groups = self._held.get(key, (None, {}))
        if at is not None and timedelta(0) <= now - at < HELD:
            return groups
        groups = read_baselines(self._store, [key], now).get(key, {})
        with self._lock:
            if sum(len(one) for _, one in self._held.values()) + len(groups) > MAX_HELD_GROUPS:
                self._held.clear()
            self._held[key] = now, groups
        return groups


def read_made_at(store: Store, keys: Iterable[str], now: datetime) -> dict[str, datetime]:
    """When the baselines of some keys were made (aware UTC); one that is not there or is too old is left out."""
    paths = sorted({baselines_path(key) for key in keys})
    found = live(store.get(paths).values(), now) if paths else []
    return {document.id: document.fields["made_at"] for document in found if "made_at" in document.fields}


def _groups(document: Document) -> dict[Labels, Usual]:
    try:
        lines = zlib.decompress(document.fields["d"]).splitlines()
        plain = [json.loads(line) for line in lines]
        return {make_labels(one["labels"]): Usual.from_plain(one) for one in plain}
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError, zlib.error):
        return {}  # of another version, or spoilt: it is made again every day
