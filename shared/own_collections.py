"""The monitoring's own collections: what a rollup says about the monitoring itself, by name like any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .configuration.models import Collection
from .dead_letters import REJECTED_METRIC
from .rules import Aggregation, Query, Selection


@dataclass(frozen=True, slots=True)
class _Own:
    name: str
    description: str
    unit: str
    aggregation: Aggregation
    group_by: tuple[str, ...] = field(default=())

    def collection(self) -> Collection:
        query = Query(Selection(self.name), self.aggregation, group_by=self.group_by)
        return Collection(self.name, self.description, self.unit, query)


OWN_COLLECTIONS: Sequence[Collection] = tuple(
    own.collection()
    for own in (
        _Own("ion_chunks", "Chunks that ingest stored", "", Aggregation.SUM),
        _Own("ion_chunk_bytes", "Bytes of the chunks stored", "B", Aggregation.SUM),
        _Own("ion_points", "Observations received", "", Aggregation.SUM),
        _Own("ion_series", "Series of a minute", "", Aggregation.LAST),
        _Own("ion_writers", "Writer documents of a minute", "", Aggregation.LAST),
        _Own("ion_writer_conflicts", "Chunks under a seq that was used before", "", Aggregation.SUM),
        _Own("ion_unreadable_chunks", "Chunks that could not be read", "", Aggregation.SUM),
        _Own("ion_late_minutes", "Minutes that changed after they could be rolled up", "", Aggregation.SUM),
        _Own("ion_dropped_series", "Series beyond the limits, by metric", "", Aggregation.MAX, ("metric",)),
        _Own("ion_writer_dropped_series", "Series beyond a writer's limit", "", Aggregation.MAX, ("writer",)),
        _Own(REJECTED_METRIC, "Messages rejected, by reason", "", Aggregation.SUM, ("reason",)),
    )
)
"""The monitoring's own collections, beside the configured ones."""
