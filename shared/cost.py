"""Cost: the operations of the last day, what they come to in a month at list prices, and what would save most.

Counted are chunks, writers and bytes (the monitoring's own metrics), evaluations, transitions and deliveries; from
them follow requests, reads and writes as the functions make them. Requests to the dashboard are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime

import numpy as np

from .hours import hour_of, read_hours
from .manifest import Manifest, ScheduleTrigger, load_manifest
from .monitoring_config import MonitoringConfig
from .prices import AS_OF, BUS_LEAST_BYTES, DAYS, GIB, MIB, Usage, bill
from .render.report import Report, Section
from .retention import live
from .store import Store
from .tick import longest_reach_seconds
from .timeline import HOUR_SECONDS, MINUTE_SECONDS, minute_floor, minute_id

EVALUATIONS = 1440
_INGEST_SECONDS = 0.1
"""What Cloud Run rounds a request up to."""
_EVALUATE_SECONDS = 6.0
_NOTIFY_SECONDS = 0.3
_TUNE_SECONDS = 120.0
_EVALUATE_READS = 7
"""Of an evaluation beside its writers' documents and the minutes that rules look back at: cursor, alerts, outbox,
silences, the rollup before, and two of late minutes."""
_KEPT_DAYS = 76 / 24


@dataclass(frozen=True, slots=True)
class Operations:
    """What a day had: of ``hours`` hours with data, brought to 24."""

    hours: int
    chunks: float
    chunk_bytes: float
    writers: float
    """Documents of writers: one for each and minute."""
    transitions: float
    deliveries: float
    queries: int
    """Baselines that are learned."""
    past_minutes: int
    """What rules look back at in an evaluation."""


@dataclass(frozen=True, slots=True)
class Saving:
    """Something that could be done, and what it would save a month."""

    what: str
    usd: float


def count_operations(config: MonitoringConfig, store: Store, now: datetime) -> Operations:
    """The operations of the last 24 hours. Reads 24 hours and the day's history and deliveries."""
    last = hour_of(minute_floor(now))
    hours = read_hours(store, list(range(last - 23 * HOUR_SECONDS, last + 1, HOUR_SECONDS)), now)
    total = {"ion_chunks": 0.0, "ion_chunk_bytes": 0.0, "ion_writers": 0.0}
    for hour in hours.values():
        for row, series in enumerate(hour.cells.series):
            if series.metric in total:
                column = hour.slots.last if series.metric == "ion_writers" else hour.slots.sum
                total[series.metric] += float(np.nansum(column[row]))
    day = 24 / len(hours) if hours else 0.0
    since = minute_id(minute_floor(now) - 86_400)
    documents = {name: len(live(store.list(name, since).documents, now)) for name in ("history", "deliveries")}
    queries = len(config.list_collections()) + len(config.list_alert_rules(enabled_only=True))
    return Operations(
        hours=len(hours),
        chunks=total["ion_chunks"] * day,
        chunk_bytes=total["ion_chunk_bytes"] * day,
        writers=total["ion_writers"] * day,
        transitions=documents["history"] * day,
        deliveries=documents["deliveries"] * day,
        queries=queries,
        past_minutes=max(longest_reach_seconds(config) // MINUTE_SECONDS - 1, 0),
    )


def usages(operations: Operations, manifest: Manifest) -> dict[str, Usage]:
    """A month's use by function, as the manifest sizes them."""
    o = operations
    month = {
        "ingest": (o.chunks, _INGEST_SECONDS, Usage(writes=o.chunks, expiry_deletes=o.writers)),
        "evaluate": (
            EVALUATIONS if o.hours else 0,
            _EVALUATE_SECONDS,
            Usage(
                reads=o.writers + EVALUATIONS * (_EVALUATE_READS + o.past_minutes) + 24 * 61,
                writes=2 * EVALUATIONS + 24 + 2 * o.transitions,
                expiry_deletes=EVALUATIONS + 24 + o.transitions,
            ),
        ),
        "notify": (
            o.deliveries,
            _NOTIFY_SECONDS,
            Usage(reads=o.deliveries, writes=2 * o.deliveries, expiry_deletes=o.deliveries),
        ),
        "tune": (1, _TUNE_SECONDS, Usage(reads=72 * 60 + 30 * 24, writes=o.queries + 1)),
    }
    return {name: _monthly(name, *parts, o, manifest) for name, parts in month.items() if name in manifest.functions}


def _monthly(
    name: str, requests: float, seconds: float, usage: Usage, operations: Operations, manifest: Manifest
) -> Usage:
    function = manifest.functions[name]
    busy = requests * seconds * DAYS
    bus = {"ingest": (operations.chunks, operations.chunk_bytes), "notify": (operations.deliveries, 0.0)}
    messages, data = bus.get(name, (0.0, 0.0))
    return replace(
        usage,
        reads=usage.reads * DAYS,
        writes=usage.writes * DAYS,
        expiry_deletes=usage.expiry_deletes * DAYS,
        stored_bytes=operations.chunk_bytes * _KEPT_DAYS if name == "ingest" else 0.0,
        bus_bytes=2 * max(data, messages * BUS_LEAST_BYTES) * DAYS,
        requests=requests * DAYS,
        vcpu_seconds=busy * function.sizing.cpu,
        gib_seconds=busy * function.sizing.memory_mib * MIB / GIB,
        jobs=1.0 if isinstance(function.trigger, ScheduleTrigger) else 0.0,
    )


def total(parts: Mapping[str, Usage]) -> Usage:
    """The sum of some uses."""
    return Usage(**{one.name: sum(getattr(part, one.name) for part in parts.values()) for one in fields(Usage)})


def dollars_by_function(parts: Mapping[str, Usage]) -> dict[str, float]:
    """A month's dollars: each kind's bill, after its free quota, in proportion to who uses it."""
    whole = total(parts)
    costs = bill(whole)
    return {
        name: sum(
            costs[kind] * getattr(part, kind) / getattr(whole, kind) for kind in costs if getattr(whole, kind) > 0
        )
        for name, part in parts.items()
    }


def savings(operations: Operations, manifest: Manifest) -> list[Saving]:
    """The three changes that save most, the largest first; those that save less than a cent are left out."""
    o = operations
    ideas = {
        "Publish once a minute from each service": replace(o, chunks=min(o.chunks, o.writers)),
        "Publish half as many observations, or let services add them up": replace(o, chunk_bytes=o.chunk_bytes / 2),
        "Run half as many writers: several workers of a service can share one": replace(
            o, writers=o.writers / 2, chunks=o.chunks / 2
        ),
        "Halve the notifications: route low severities to one channel": replace(o, deliveries=o.deliveries / 2),
    }
    now = _dollars(o, manifest)
    found = [Saving(what, now - _dollars(then, manifest)) for what, then in ideas.items()]
    return sorted((one for one in found if one.usd >= 0.01), key=lambda one: -one.usd)[:3]


def _dollars(operations: Operations, manifest: Manifest) -> float:
    return sum(dollars_by_function(usages(operations, manifest)).values())


def cost_report(operations: Operations, now: datetime) -> Report:
    """The bill of a month by function, what was counted for it, and the largest savings."""
    manifest = load_manifest()
    by_function = dollars_by_function(usages(operations, manifest))
    whole = sum(by_function.values())
    rows = [(name, f"$ {usd:.2f}") for name, usd in sorted(by_function.items(), key=lambda item: -item[1])]
    basis = f"About $ {whole:.2f} a month, at list prices of {AS_OF:%Y-%m-%d} (us-central1), after the free quotas."
    counted = [
        ("chunks stored", f"{operations.chunks:,.0f}"),
        ("bytes of them", f"{operations.chunk_bytes:,.0f}"),
        ("writers' documents", f"{operations.writers:,.0f}"),
        ("documents of history", f"{operations.transitions:,.0f}"),
        ("deliveries", f"{operations.deliveries:,.0f}"),
    ]
    ideas = [(one.what, f"$ {one.usd:.2f}") for one in savings(operations, manifest)]
    return Report(
        "Cost",
        f"projected from {operations.hours} hours before {now:%Y-%m-%d %H:%M} UTC",
        [
            Section("Cost", [basis, "Requests to the dashboard are not counted."], ("FUNCTION", "A MONTH"), rows),
            Section("Counted, a day", [], ("WHAT", "NUMBER"), counted),
            Section("Largest savings", [] if ideas else ["Nothing saves a cent."], ("WHAT", "A MONTH"), ideas),
        ],
    )
