"""The monitoring's own metrics: what a rollup says about the monitoring itself, by name like any other.

Each is in every configuration's catalogue, for rules and panels, and is a collection of the same name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .configuration.models import Collection, Metric
from .dead_letters import REJECTED_METRIC
from .rules import Aggregation, Query, Selection
from .series import Kind


@dataclass(frozen=True, slots=True)
class _Own:
    name: str
    description: str
    unit: str
    kind: Kind
    aggregation: Aggregation
    group_by: tuple[str, ...] = field(default=())

    def collection(self) -> Collection:
        query = Query(Selection(self.name), self.aggregation, group_by=self.group_by)
        return Collection(self.name, self.description, self.unit, query)

    def metric(self) -> Metric:
        return Metric(self.name, self.kind, self.unit, self.description, dict.fromkeys(self.group_by, ()))


_COUNTED = (Kind.COUNTER, Aggregation.SUM)
_OWN = (
    _Own("ion_chunks", "Chunks that ingest stored", "", *_COUNTED),
    _Own("ion_chunk_bytes", "Bytes of the chunks stored", "B", *_COUNTED),
    _Own("ion_points", "Observations received", "", *_COUNTED),
    _Own("ion_series", "Series of a minute", "", Kind.GAUGE, Aggregation.LAST),
    _Own("ion_writers", "Writer documents of a minute", "", Kind.GAUGE, Aggregation.LAST),
    _Own("ion_writer_conflicts", "Chunks under a seq that was used before", "", *_COUNTED),
    _Own("ion_unreadable_chunks", "Chunks that could not be read", "", *_COUNTED),
    _Own("ion_late_minutes", "Minutes that changed after they could be rolled up", "", *_COUNTED),
    _Own("ion_dropped_series", "Series beyond the limits, by metric", "", Kind.GAUGE, Aggregation.MAX, ("metric",)),
    _Own("ion_writer_dropped_series", "Series beyond a writer's limit", "", Kind.GAUGE, Aggregation.MAX, ("writer",)),
    _Own(REJECTED_METRIC, "Messages rejected, by reason", "", *_COUNTED, ("reason",)),
)
OWN_COLLECTIONS: Sequence[Collection] = tuple(own.collection() for own in _OWN)
"""The monitoring's own collections, beside the configured ones."""
OWN_METRICS: Sequence[Metric] = tuple(own.metric() for own in _OWN)
"""Their metrics, under the same names."""
