"""The bins of a section of a compact chunk.

For the distributions of several observations: signed column scale, unsigned column number of bins; then over all
bins: unsigned column key, each row's first as zigzag, the others as the difference to the one before less 1;
unsigned column count.
"""

from __future__ import annotations

import numpy as np

from .. import bins
from ..bins import Bools, Floats, Ints
from ..cells import Cells
from ..series import Kind
from .columns import Reader, Writer, malformed, too_large

MAX_CHUNK_BINS = 1_000_000
"""A chunk's bins, at most: a bomb of them takes about 100 MB, and 20,000 series may have 50 each."""
_NO_COLUMNS = bytes(4)
"""The four columns of no bins."""
MAX_COUNT = 2**53
"""A cell's observations, at most: exact as a double."""


def write_bins(out: Writer, cells: Cells, rows: Ints) -> None:
    """Append the bins of some rows, all of them distributions of several observations."""
    if not len(rows):
        out.raw(_NO_COLUMNS)
        return
    chosen = cells.take(rows)
    out.signed(chosen.scale)
    out.unsigned(np.diff(chosen.bin_start))
    steps = np.diff(chosen.bin_key, prepend=0) - 1
    heads = chosen.bin_start[:-1][np.diff(chosen.bin_start) > 0]
    steps[heads] = (chosen.bin_key[heads] << 1) ^ (chosen.bin_key[heads] >> 63)
    out.unsigned(steps)
    out.unsigned(chosen.bin_count)


def read_bins(source: Reader, kind: Ints, count: Ints, last: Floats) -> tuple[Ints, Ints, Ints, Ints]:
    """Scale, start, key and count of all bins; a distribution's single observation makes its own bin."""
    rows = len(kind)
    distribution = kind == Kind.DISTRIBUTION
    stored = np.flatnonzero(distribution & (count > 1))
    scales, sizes = source.signed(len(stored)), source.unsigned(len(stored))
    if len(stored) and (scales.min() < bins.MIN_SCALE or scales.max() > bins.SCALE or sizes.max() > bins.MAX_BINS):
        raise malformed("a scale or a number of bins is out of range")
    keys, counts = _read_keys(source, sizes)
    scale, lengths = np.full(rows, bins.SCALE, np.int64), np.zeros(rows, np.int64)
    scale[stored], lengths[stored] = scales, sizes
    held = np.bincount(np.repeat(np.arange(len(stored)), sizes), counts, len(stored))
    if (held < 1).any() or (held > count[stored]).any():
        raise malformed("bins do not add up to their count")
    single = distribution & (count == 1)
    if single.any():
        lengths[single] = 1
        keys, counts = _with_singles(np.repeat(single, lengths), bins.keys_of(last[single]), keys, counts)
    return scale, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), keys, counts


def _with_singles(is_single: Bools, single_keys: Ints, keys: Ints, counts: Ints) -> tuple[Ints, Ints]:
    """Stored bins and those of single observations in their places."""
    all_keys, all_counts = np.empty(len(is_single), np.int64), np.ones(len(is_single), np.int64)
    all_keys[is_single] = single_keys
    all_keys[~is_single], all_counts[~is_single] = keys, counts
    return all_keys, all_counts


def _read_keys(source: Reader, sizes: Ints) -> tuple[Ints, Ints]:
    """Keys ascend within each row: the first is a signed number, the others are steps."""
    total = int(sizes.sum())
    if total > MAX_CHUNK_BINS:
        raise too_large(f"{total} bins in a section")
    steps, counts = source.unsigned(total), source.unsigned(total)
    start = np.cumsum(sizes) - sizes
    heads = start[sizes > 0]
    if total and (steps.max() > 8 * bins.OFFSET or counts.min() < 1 or counts.max() > MAX_COUNT):
        raise malformed("a bin is out of range")
    first = (steps[heads] >> 1) ^ -(steps[heads] & 1)
    steps = steps + 1
    running = np.cumsum(steps)
    owner = np.repeat(np.arange(len(heads)), sizes[sizes > 0])
    keys = running - (running[heads] - first)[owner]
    if total and np.abs(keys).max() >= 2 * bins.OFFSET:
        raise malformed("a bin is out of range")
    return keys, counts
