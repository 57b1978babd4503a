"""The system watches itself without a loop: what a minute's chunks say about the monitoring is in its rollup.

Nothing is published for it. The numbers are derived from the stored truth with the rollup, so they are exact, cost no
write, and can be rebuilt; rules, charts and collections ask for them like for any other metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .cells import Cells, Observation, fold
from .dead_letters import REJECTED_METRIC
from .own_collections import OWN_COLLECTIONS
from .series import Kind, Series
from .store import Document
from .timeline import US_PER_SECOND

MAX_SERIES = 10_000
"""Series of a minute that are rolled up, about 300 KB of scalars; the excess is counted by metric and left out."""
MAX_BINS = 600_000
"""Bins of a minute's distributions, about 1.5 MB; together they keep a rollup below the 4 MiB of a commit."""


def own_cells(
    minute: int, documents: Sequence[Document], unreadable: int, cells: Cells, dropped: Mapping[str, int]
) -> Cells:
    """The monitoring's own series of a minute: of its documents, its cells, and what could not be read or kept.

    A writer's conflict is a seq that it had used already for other data: two processes under one name and boot.

    Counts of things that should not be are there only when they are.
    """
    at_us = minute * US_PER_SECOND
    chunks = [document.fields["c"] for document in documents]
    conflicts = sum(len(held) - len({key.partition("_")[0] for key in held}) for held in chunks)
    numbers = [
        Observation(Series("ion_chunks"), Kind.COUNTER, at_us, float(sum(map(len, chunks)))),
        Observation(
            Series("ion_chunk_bytes"),
            Kind.COUNTER,
            at_us,
            float(sum(len(data) for held in chunks for data in held.values())),
        ),
        Observation(Series("ion_points"), Kind.COUNTER, at_us, float(int(cells.count.sum()))),
        Observation(Series("ion_series"), Kind.GAUGE, at_us, float(len(cells))),
        Observation(Series("ion_writers"), Kind.GAUGE, at_us, float(len(documents))),
    ]
    wrong = {"ion_writer_conflicts": conflicts, "ion_unreadable_chunks": unreadable}
    numbers += [
        Observation(Series(name), Kind.COUNTER, at_us, float(number)) for name, number in wrong.items() if number
    ]
    numbers += [
        Observation(Series("ion_dropped_series", (("metric", metric),)), Kind.GAUGE, at_us, float(number))
        for metric, number in dropped.items()
    ]
    return fold(numbers)


def within_limits(cells: Cells) -> tuple[Cells, dict[str, int]]:
    """The cells that a rollup may hold, and how many series of which metrics are beyond.

    Metrics with few series come first, so one that explodes takes the room of no other; of the last one that fits in
    part, the first series are kept. The same cells always give the same answer.
    """
    sizes = np.diff(cells.bin_start)
    if len(cells) <= MAX_SERIES and int(sizes.sum()) <= MAX_BINS:
        return cells, {}
    rows_of: dict[str, list[int]] = {}
    for row, name in enumerate(cells.series):
        rows_of.setdefault(name.metric, []).append(row)
    order = [row for metric in sorted(rows_of, key=lambda one: (len(rows_of[one]), one)) for row in rows_of[metric]]
    fits = (np.arange(len(order)) < MAX_SERIES) & (np.cumsum(sizes[order]) <= MAX_BINS)
    beyond: dict[str, int] = {}
    for row, kept in zip(order, fits.tolist(), strict=True):
        if not kept:
            beyond[cells.series[row].metric] = beyond.get(cells.series[row].metric, 0) + 1
    return cells.take(np.sort(np.array(order, np.int64)[fits])), beyond


def without_own(cells: Cells) -> Cells:
    """The cells that came from chunks alone."""
    derived = {one.name for one in OWN_COLLECTIONS} - {REJECTED_METRIC}
    rows = [row for row, name in enumerate(cells.series) if name.metric not in derived]
    return cells.take(np.array(rows, np.int64))
