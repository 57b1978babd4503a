"""The system watches itself without a loop: what a minute's chunks say about the monitoring is in its rollup.

Nothing is published for it. The numbers are derived from the stored truth with the rollup, so they are exact, cost no
write, and can be rebuilt; rules, charts and collections ask for them like for any other metric.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from .buckets import LATE_AFTER, stored_in, writer_id
from .cardinality import Kept, named
from .cells import Cells, Observation, fold
from .dead_letters import REJECTED_METRIC
from .own_collections import OWN_METRICS
from .series import Labels, Series
from .store import Document
from .timeline import US_PER_SECOND, from_minute

_KINDS = {metric.name: metric.kind for metric in OWN_METRICS}


def own_cells(minute: int, documents: Sequence[Document], unreadable: int, kept: Kept) -> Cells:
    """The monitoring's own series of a minute: of its documents, its cells, and what could not be read or kept.

    A writer's conflict is a seq that it had used already for other data: two processes under one name and boot. A
    minute is late when a chunk came after it may have been rolled up, which its document's update time tells for good.

    Counts of things that should not be are there only when they are.
    """
    chunks = [chunk.data for chunk in stored_in(documents)]
    late_from = from_minute(minute) + LATE_AFTER
    wrong = {
        "ion_writer_conflicts": _conflicts(documents),
        "ion_unreadable_chunks": unreadable,
        "ion_late_minutes": int(any(document.update_time >= late_from for document in documents)),
    }
    found: list[tuple[str, Labels, int]] = [
        ("ion_chunks", (), len(chunks)),
        ("ion_chunk_bytes", (), sum(map(len, chunks))),
        ("ion_points", (), int(kept.cells.count.sum())),
        ("ion_series", (), len(kept.cells)),
        ("ion_writers", (), len({writer_id(document) for document in documents})),
    ]
    found += [(name, (), number) for name, number in wrong.items() if number]
    found += [("ion_dropped_series", (("metric", one),), number) for one, number in named(kept.by_metric).items()]
    crowded = named(_by_name(documents, kept.by_writer))
    found += [("ion_writer_dropped_series", (("writer", one),), number) for one, number in crowded.items()]
    at_us = minute * US_PER_SECOND
    return fold([Observation(Series(name, labels), _KINDS[name], at_us, float(n)) for name, labels, n in found])


def _conflicts(documents: Sequence[Document]) -> int:
    """How many keys have a seq that another of their writer's has, in whichever of its documents."""
    keys = {(writer_id(document), key) for document in documents for key in document.fields["c"]}
    return len(keys) - len({(wid, key.partition("_")[0]) for wid, key in keys})


def _by_name(documents: Sequence[Document], by_writer: Mapping[int, int]) -> dict[str, int]:
    """Counts by what their writers call themselves; the hex digits of one that has no name."""
    names = {writer_id(document): document.fields["writer"] for document in documents}
    found: Counter[str] = Counter()
    for writer, count in by_writer.items():
        wid = f"{writer:016x}"
        found[names[wid] or wid] += count
    return found


def without_own(cells: Cells) -> Cells:
    """The cells that came from chunks alone."""
    derived = _KINDS.keys() - {REJECTED_METRIC}
    rows = [row for row, name in enumerate(cells.series) if name.metric not in derived]
    return cells.take(np.array(rows, np.int64))
