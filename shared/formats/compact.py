"""The compact chunk: what the Python client sends, and what is stored (version 1).

========  =======================================================================================================
bytes     meaning
========  =======================================================================================================
1         version, 1
1         flags: bit 0 rollup columns follow each section; other bits 0
rest      raw DEFLATE of the body (at most 16 MiB inflated)
========  =======================================================================================================

The body, in the columns of ``columns``: blob writer, blob boot (UTF-8), varint seq + 1 (0: none); blob series table;
varint number of sections; the sections, ascending by minute, each minute once.

* **Series table**: varint strings; signed column of their lengths' differences; the strings, UTF-8, one after the
  other; varint series; unsigned columns: metric (string number), labels of each series; then over all labels: name,
  value (string numbers). Series are strictly ascending.
* **Section**: varint minute (Unix minutes, of its end); varint rows; a byte, 1 when every series has one row, else 0
  and an unsigned column of the series numbers' differences less 1 (ascending); unsigned columns kind, count, age
  (microseconds from ``last`` to the minute's end); float column last; for the rows with a count above 1, float
  columns sum, min, max; for the distributions among those: signed column scale, unsigned column number of bins, and
  over all bins: unsigned column key, as the first key's zigzag and then differences less 1, unsigned column count.
  A row of count 1 is its ``last`` alone, a distribution's one bin included.
* **Rollup columns**: float column last_sum, unsigned columns writers and 4 x last_writer (16 bits each).
"""

from __future__ import annotations

import itertools
import zlib
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import bins
from ..bins import Floats, Ints
from ..cells import MAX_MAGNITUDE, Cells
from ..errors import PermanentError
from ..series import Kind, Series
from ..timeline import MINUTE_SECONDS, US_PER_SECOND
from .columns import Reader, Writer, malformed
from .series_table import decode_table, encode_table

CONTENT_TYPE = "application/vnd.ion.chunk"
"""The message attribute ``content-type`` of this format."""
VERSION = 1
MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_COUNT = 2**53
"""A cell's observations, at most: exact as a double."""
MAX_SECTIONS = 5_000
_ROLLUP = 1
_MAX_MINUTE = 253_402_300_740
_US_PER_MINUTE = MINUTE_SECONDS * US_PER_SECOND


Writers: TypeAlias = NDArray[np.uint64]
Bools: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Section:
    """The cells of one minute (Unix seconds of its end)."""

    minute: int
    cells: Cells


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one message says. ``seq`` None: the writer keeps no count. Sections ascend by minute."""

    writer: str
    boot: str
    seq: int | None
    sections: tuple[Section, ...]


def encode(chunk: Chunk, *, rollup: bool = False) -> bytes:
    """The bytes of a chunk: the same for equal chunks. ``rollup`` keeps what only merged cells have."""
    table = tuple(sorted({name for section in chunk.sections for name in section.cells.series}))
    out = Writer()
    out.blob(chunk.writer.encode())
    out.blob(chunk.boot.encode())
    out.varint(0 if chunk.seq is None else chunk.seq + 1)
    out.blob(encode_table(table))
    out.varint(len(chunk.sections))
    number = {name: index for index, name in enumerate(table)}
    for section in chunk.sections:
        _write_section(out, section, number, rollup=rollup)
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    return bytes([VERSION, _ROLLUP if rollup else 0]) + deflate.compress(out.done()) + deflate.flush()


def decode(data: bytes) -> Chunk:
    """The chunk in some bytes.

    Raises PermanentError: ``unknown_version``, ``malformed_chunk``, ``chunk_too_large``, ``invalid_series``.
    """
    if len(data) < 2:
        raise malformed("shorter than its header")
    if data[0] != VERSION:
        raise PermanentError("unknown_version", f"expected a chunk of version {VERSION}, got {data[0]}")
    if data[1] & ~_ROLLUP:
        raise malformed("unknown flags")
    source = Reader(_inflate(data[2:]))
    writer, boot = source.text(), source.text()
    seq = source.varint()
    table = decode_table(source.blob())
    sections = tuple(_read_section(source, table, rollup=bool(data[1])) for _ in range(source.count(MAX_SECTIONS)))
    source.end()
    if any(a.minute >= b.minute for a, b in itertools.pairwise(sections)):
        raise malformed("sections do not ascend")
    return Chunk(writer, boot, seq - 1 if seq else None, sections)


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj(-15)
    try:
        body = inflater.decompress(data, MAX_BODY_BYTES)
    except zlib.error as error:
        raise malformed("not a DEFLATE stream") from error
    if inflater.unconsumed_tail:
        raise PermanentError("chunk_too_large", f"inflates to more than {MAX_BODY_BYTES} bytes")
    if not inflater.eof or inflater.unused_data:
        raise malformed("the DEFLATE stream does not end where the message does")
    return body


def _write_section(out: Writer, section: Section, number: dict[Series, int], *, rollup: bool) -> None:
    cells = section.cells
    out.varint(section.minute // MINUTE_SECONDS)
    out.varint(len(cells))
    whole = len(cells) == len(number)
    out.varint(int(whole))
    if not whole:
        rows = np.array([number[name] for name in cells.series], np.int64)
        out.unsigned(np.diff(rows, prepend=-1) - 1)
    out.unsigned(cells.kind)
    out.unsigned(cells.count)
    out.unsigned(section.minute * US_PER_SECOND - cells.last_at_us)
    out.floats(cells.last)
    many = cells.count > 1
    for column in (cells.sum, cells.min, cells.max):
        out.floats(column[many])
    _write_bins(out, cells, np.flatnonzero(many & (cells.kind == Kind.DISTRIBUTION)))
    if rollup:
        out.floats(cells.last_sum)
        out.unsigned(cells.writers)
        for shift in (0, 16, 32, 48):
            out.unsigned((cells.last_writer >> np.uint64(shift) & np.uint64(0xFFFF)).astype(np.int64))


def _write_bins(out: Writer, cells: Cells, rows: Ints) -> None:
    chosen = cells.take(rows)
    out.signed(chosen.scale)
    out.unsigned(np.diff(chosen.bin_start))
    steps = np.diff(chosen.bin_key, prepend=0) - 1
    heads = chosen.bin_start[:-1][np.diff(chosen.bin_start) > 0]
    steps[heads] = (chosen.bin_key[heads] << 1) ^ (chosen.bin_key[heads] >> 63)
    out.unsigned(steps)
    out.unsigned(chosen.bin_count)


def _read_section(source: Reader, table: tuple[Series, ...], *, rollup: bool) -> Section:
    minute = source.varint() * MINUTE_SECONDS
    if minute > _MAX_MINUTE:
        raise malformed("a minute is after the year 9999")
    names = _read_names(source, table, source.count(len(table)))
    rows = len(names)
    kind, count, age = source.unsigned(rows), source.unsigned(rows), source.unsigned(rows)
    _check_rows(kind, count, age)
    last = source.floats(rows)
    many = count > 1
    total, low, high = (_spread(source, last, many) for _ in range(3))
    _check_values(last, total, low, high, count)
    scale, start, key, bin_count = _read_bins(source, kind, count, last)
    last_sum, writers, writer = _read_rollup(source, rows) if rollup else _unrolled(last)
    last_at = minute * US_PER_SECOND - age
    columns = (kind, count, total, low, high, last_at, last, writer, last_sum, writers, scale, start, key, bin_count)
    return Section(minute, Cells(names, *columns))


def _read_names(source: Reader, table: tuple[Series, ...], rows: int) -> tuple[Series, ...]:
    if source.take(1)[0] == 1:
        if rows != len(table):
            raise malformed("a whole section lacks series")
        return table
    numbers = np.cumsum(source.unsigned(rows) + 1) - 1
    if rows and (int(numbers[-1]) >= len(table) or int(numbers.min()) < 0):
        raise malformed("a series number is out of range")
    return tuple(table[number] for number in numbers.tolist())


def _check_rows(kind: Ints, count: Ints, age: Ints) -> None:
    if len(kind) and (kind.max() > Kind.DISTRIBUTION or count.min() < 1 or count.max() > MAX_COUNT):
        raise malformed("a kind or a count is out of range")
    if len(age) and age.max() >= _US_PER_MINUTE:
        raise malformed("a time lies outside its minute")


def _spread(source: Reader, last: Floats, many: Bools) -> Floats:
    """A column that is stored only for rows of several observations; the others have their last value."""
    column = last.copy()
    column[many] = source.floats(int(many.sum()))
    return column


def _check_values(last: Floats, total: Floats, low: Floats, high: Floats, count: Ints) -> None:
    sizes = np.concatenate([np.abs(last), np.abs(low), np.abs(high), np.abs(total) / count])
    if len(sizes) and (sizes.max() > MAX_MAGNITUDE or (low > high).any() or (last < low).any() or (last > high).any()):
        raise malformed("a value is out of range")


def _read_bins(source: Reader, kind: Ints, count: Ints, last: Floats) -> tuple[Ints, Ints, Ints, Ints]:
    """Scale, start, key and count of all bins; a distribution's single observation makes its own bin."""
    rows = len(kind)
    single = (kind == Kind.DISTRIBUTION) & (count == 1)
    stored = np.flatnonzero((kind == Kind.DISTRIBUTION) & (count > 1))
    scales, sizes = source.signed(len(stored)), source.unsigned(len(stored))
    if len(stored) and (scales.min() < bins.MIN_SCALE or scales.max() > bins.SCALE or sizes.max() > bins.MAX_BINS):
        raise malformed("a scale or a number of bins is out of range")
    keys, counts = _read_keys(source, sizes)
    scale = np.full(rows, bins.SCALE, np.int64)
    scale[stored] = scales
    lengths = single.astype(np.int64)
    lengths[stored] = sizes
    start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    owner_is_single = np.repeat(single, lengths)
    key, bin_count = np.empty(len(owner_is_single), np.int64), np.ones(len(owner_is_single), np.int64)
    key[owner_is_single] = bins.keys_of(last[single])
    key[~owner_is_single], bin_count[~owner_is_single] = keys, counts
    if not np.array_equal(np.bincount(np.repeat(stored, sizes), counts, rows)[stored], count[stored]):
        raise malformed("bins do not add up to their count")
    return scale, start, key, bin_count


def _read_keys(source: Reader, sizes: Ints) -> tuple[Ints, Ints]:
    """Keys ascend within each row: the first is a signed number, the others are steps."""
    total = int(sizes.sum())
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


def _unrolled(last: Floats) -> tuple[Floats, Ints, Writers]:
    return last, np.ones(len(last), np.int64), np.zeros(len(last), np.uint64)


def _read_rollup(source: Reader, rows: int) -> tuple[Floats, Ints, Writers]:
    last_sum, writers = source.floats(rows), source.unsigned(rows)
    parts = [source.unsigned(rows) for _ in range(4)]
    if rows and max(int(part.max()) for part in parts) > 0xFFFF:
        raise malformed("a writer is out of range")
    writer = sum((part.astype(np.uint64) << np.uint64(16 * at) for at, part in enumerate(parts)), np.uint64(0))
    return last_sum, writers, np.asarray(writer, np.uint64).reshape(rows)
