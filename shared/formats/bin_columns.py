"""The bins of a section of a compact chunk.

For the distributions of several observations, where there are any: signed column scale, unsigned column number of bins;
then over all bins, whose **step** is a key's difference to the one before in its row, less 1, and 0 for a row's first:

* Version 2: signed column first key of each row, less that of the row before (OFFSET before the first); a byte for each
  bin, step in its upper four bits and count less 1 in its lower four, where 15 is 15 or more; unsigned columns: by how
  much the steps of 15 are more, and the counts.
* Version 1, which is read and not written any more: unsigned column step, but each row's first key as its zigzag;
  unsigned column count. It has these columns, empty, of no rows, too.
"""

from __future__ import annotations

import numpy as np

from .. import bins
from ..bins import Bools, Floats, Ints
from ..cells import Cells, starts_of
from ..series import Kind
from .columns import Reader, Writer, differences, malformed, too_large

MAX_CHUNK_BINS = 1_000_000
"""A chunk's bins, at most: a bomb of them takes about 100 MB, and 20,000 series may have 50 each."""
_COLUMNS_1 = 4
"""What version 1 has of no rows."""
_OWN_BLOCK_BINS = 256
"""So many bins are compressed apart from the doubles before them: that saves 4 %; for fewer, it costs more."""
_NIBBLE = 15
"""What four bits say, and the least that is said beside them."""
MAX_COUNT = 2**53
"""A cell's observations, at most: exact as a double."""
_MAX_STEP = 8 * bins.OFFSET


def write_bins(out: Writer, cells: Cells, rows: Ints) -> None:
    """Append the bins of some rows, all of them distributions of several observations."""
    if not len(rows):
        return
    chosen = cells if len(rows) == len(cells) else cells.take(rows)
    sizes = chosen.bin_start[1:] - chosen.bin_start[:-1]
    heads = chosen.bin_start[:-1][sizes > 0]
    steps = differences(chosen.bin_key) - 1
    steps[heads] = 0
    more = chosen.bin_count - 1
    if len(steps) >= _OWN_BLOCK_BINS:
        out.cut()
    out.signed(chosen.scale)
    out.unsigned(sizes)
    out.signed(differences(chosen.bin_key[heads], bins.OFFSET))
    out.raw((np.minimum(steps, _NIBBLE) << 4 | np.minimum(more, _NIBBLE)).astype(np.uint8).tobytes())
    for column in (steps, more):
        out.unsigned(column[column >= _NIBBLE] - _NIBBLE)


def read_bins(source: Reader, kind: Ints, count: Ints, last: Floats, version: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Scale, start, key and count of all bins; a distribution's single observation makes its own bin."""
    rows = len(kind)
    distribution = kind == Kind.DISTRIBUTION
    single = distribution & (count == 1)
    stored = np.flatnonzero(distribution ^ single)
    scale, lengths = np.full(rows, bins.SCALE, np.int64), single.astype(np.int64)
    keys = counts = np.zeros(0, np.int64)
    if len(stored):
        scale[stored], lengths[stored], keys, counts = _read_stored(source, count[stored], version)
    elif version == 1:
        for _ in range(_COLUMNS_1):
            source.unsigned(0)
    if single.any():
        keys, counts = _with_singles(np.repeat(single, lengths), bins.keys_of(last[single]), keys, counts)
    return scale, starts_of(lengths), keys, counts


def _with_singles(is_single: Bools, single_keys: Ints, keys: Ints, counts: Ints) -> tuple[Ints, Ints]:
    """Stored bins and those of single observations in their places."""
    all_keys, all_counts = np.empty(len(is_single), np.int64), np.ones(len(is_single), np.int64)
    all_keys[is_single] = single_keys
    all_keys[~is_single], all_counts[~is_single] = keys, counts
    return all_keys, all_counts


def _read_stored(source: Reader, count: Ints, version: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Of rows of ``count`` observations: scale and number of bins; and the keys and counts of all bins."""
    scales, sizes = source.signed(len(count)), source.unsigned(len(count))
    if scales.min() < bins.MIN_SCALE or scales.max() > bins.SCALE or sizes.min() < 1 or sizes.max() > bins.MAX_BINS:
        raise malformed("a scale or a number of bins is out of range")
    total = int(sizes.sum())
    if total > MAX_CHUNK_BINS:
        raise too_large(f"{total} bins in a section")
    heads = np.cumsum(sizes) - sizes
    first, steps, counts = (_read_steps_1 if version == 1 else _read_steps)(source, heads, total)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    if (np.bincount(owner, counts) > count).any():
        raise malformed("bins hold more than their count")
    running = np.cumsum(steps + 1)
    keys = running + (first - running[heads])[owner]
    if np.abs(keys).max() >= 2 * bins.OFFSET:
        raise malformed("a bin is out of range")
    return scales, sizes, keys, counts


def _read_steps(source: Reader, heads: Ints, total: int) -> tuple[Ints, Ints, Ints]:
    """Each row's first key, and every bin's step and count; a row's first step says nothing."""
    moves = source.signed(len(heads))
    pairs = np.frombuffer(source.take(total), np.uint8).astype(np.int64)
    steps, more = pairs >> 4, pairs & _NIBBLE
    for column, most in ((steps, _MAX_STEP), (more, MAX_COUNT)):
        beyond = np.flatnonzero(column == _NIBBLE)
        rest = source.unsigned(len(beyond))
        if len(rest):
            if rest.max() > most:
                raise malformed("a bin is out of range")
            column[beyond] += rest
    return np.cumsum(moves) + bins.OFFSET, steps, more + 1


def _read_steps_1(source: Reader, heads: Ints, total: int) -> tuple[Ints, Ints, Ints]:
    """The same as version 1 has it."""
    steps, counts = source.unsigned(total), source.unsigned(total)
    if steps.max() > _MAX_STEP or counts.min() < 1 or counts.max() > MAX_COUNT:
        raise malformed("a bin is out of range")
    first = (steps[heads] >> 1) ^ -(steps[heads] & 1)
    return first, steps, counts
