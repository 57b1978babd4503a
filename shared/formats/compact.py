"""The compact chunk: what the Python client sends, and what is stored (version 2).

========  =======================================================================================================
bytes     meaning
========  =======================================================================================================
1         version, 2; 1 is read, and not written any more
1         flags: bit 0 rollup columns follow each section; other bits 0
rest      raw DEFLATE of the body (at most 16 MiB inflated)
========  =======================================================================================================

The body, in the columns of ``columns``: blob writer, blob boot (UTF-8), varint seq + 1 (0: none); blob series table;
varint number of sections; the sections, ascending by minute, each minute once.

* **Series table**: see ``series_table``; at most 20,000 series.
* **Section**: varint minute (Unix minutes, of its end); varint rows; a byte, 1 when every series has one row, else 0
  and an unsigned column of the series numbers' differences less 1 (ascending); unsigned columns kind, count, age
  (microseconds from ``last`` to the minute's end); float column last; for the rows with a count above 1, float
  columns sum, min, max; for the distributions among those: see ``bin_columns``, where the versions differ.
  A row of count 1 is its ``last`` alone, a distribution's one bin included.
* **Rollup columns**: float column last_sum, unsigned columns writers and 4 x last_writer (16 bits each).

Bounds, which ``encode`` keeps and ``decode`` checks, so that whatever is stored can be read and no message takes more
than about 200 MB: 5,000 sections, 200,000 rows, 1,000,000 bins; a count of 2**32, in a rollup 2**53. A distribution's
bins hold 1 to ``count`` observations: fewer than ``count`` where a writer once sent the metric with another kind.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..bins import Floats, Ints
from ..cells import MAX_MAGNITUDE, Cells
from ..errors import PermanentError
from ..identity import MAX_WRITER_BYTES
from ..series import Kind, Series
from ..timeline import HOUR_SECONDS, MINUTE_SECONDS, US_PER_SECOND
from .bin_columns import MAX_CHUNK_BINS, MAX_COUNT, read_bins, write_bins
from .columns import Reader, Writer, differences, malformed, too_large
from .series_table import MAX_SERIES, decode_table, encode_table

CONTENT_TYPE = "application/vnd.ion.chunk"
"""The message attribute ``content-type`` of this format."""
VERSION = 2
_READ = (1, VERSION)
MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_KEPT_BODY_BYTES = 1024 * 1024
"""A larger chunk is not stored as it was sent: names that no row has may swell it, to whoever reads it back."""
MAX_MESSAGE_COUNT = 2**32
"""A message's cell's observations, at most, so that no rollup of messages comes near MAX_COUNT."""
MAX_SECTIONS = 5_000
MAX_ROWS = 200_000
_ROLLUP = 1
_LEVEL = 1
"""Of DEFLATE, for a message: 6 takes twice the time to save the service 1 to 6 % of its bytes."""
_ROLLUP_LEVEL = 6
MAX_MINUTE = 253_402_300_740
_US_PER_MINUTE = MINUTE_SECONDS * US_PER_SECOND
_US_PER_HOUR = HOUR_SECONDS * US_PER_SECOND
_SUM_SLACK = 1.0 + 1e-9
"""Sums are rounded: three times 1e200, divided by three, may be above 1e200."""

Writers: TypeAlias = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Section:
    """The cells of one minute (Unix seconds of its end)."""

    minute: int
    cells: Cells


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one message says. ``seq`` None: the writer keeps no count. Sections ascend by minute.

    ``encoded`` are the bytes that it was read from, when they say just this and little else; None otherwise.
    """

    writer: str
    boot: str
    seq: int | None
    sections: tuple[Section, ...]
    encoded: bytes | None = field(default=None, compare=False, repr=False)

    def only(self, sections: Sequence[Section]) -> Chunk:
        """The chunk of some of its sections; itself when they are all."""
        if len(sections) == len(self.sections):
            return self
        return Chunk(self.writer, self.boot, self.seq, tuple(sections))


def encode(chunk: Chunk, *, rollup: bool = False) -> bytes:
    """The bytes of a chunk: the same for equal chunks. ``rollup`` keeps what only merged cells have.

    Raises PermanentError: ``chunk_too_large`` or ``malformed_chunk`` for what ``decode`` would refuse.
    """
    parts = [section.cells for section in chunk.sections]
    _check_size(len(parts), sum(map(len, parts)), sum(len(part.bin_key) for part in parts))
    table = parts[0].series if len(parts) == 1 else tuple(sorted({name for part in parts for name in part.series}))
    out = Writer()
    out.blob(chunk.writer.encode())
    out.blob(chunk.boot.encode())
    out.varint(0 if chunk.seq is None else chunk.seq + 1)
    out.blob(encode_table(table))
    out.varint(len(chunk.sections))
    whole = all(len(part) == len(table) for part in parts)
    number = {} if whole else {name: index for index, name in enumerate(table)}
    for section in chunk.sections:
        _write_section(out, section, number, rollup=rollup)
    if len(table) > MAX_SERIES or len(out) > MAX_BODY_BYTES:
        raise too_large(f"{len(table)} series, {len(out)} bytes")
    return bytes([VERSION, _ROLLUP if rollup else 0]) + _deflate(out.pieces(), _ROLLUP_LEVEL if rollup else _LEVEL)


def _deflate(pieces: Sequence[bytes], level: int) -> bytes:
    """One stream, in which each piece begins a block: it is coded by its own frequencies."""
    deflate = zlib.compressobj(level, zlib.DEFLATED, -15)
    *before, last = pieces
    blocks = [deflate.compress(piece) + deflate.flush(zlib.Z_BLOCK) for piece in before]
    return b"".join([*blocks, deflate.compress(last), deflate.flush()])


def unweighed(_size_bytes: int) -> None:
    """Says nothing to the size of what is read."""


def decode(data: bytes, *, rollup: bool = False, weigh: Callable[[int], None] = unweighed) -> Chunk:
    """The chunk in some bytes, which has rollup columns if ``rollup`` and none otherwise: no message has any.

    ``weigh`` is told the inflated bytes before they are read, and may raise.

    Raises PermanentError: ``unknown_version``, ``malformed_chunk``, ``chunk_too_large``, ``invalid_series``.
    """
    if len(data) < 2:
        raise malformed("shorter than its header")
    if data[0] not in _READ:
        raise PermanentError("unknown_version", f"expected a chunk of version 1 or {VERSION}, got {data[0]}")
    if data[1] != (_ROLLUP if rollup else 0):
        raise malformed(f"expected flags {_ROLLUP if rollup else 0}, got {data[1]}")
    body = _inflate(data[2:])
    weigh(len(body))
    source = Reader(body)
    writer, boot = _read_writer(source), _read_writer(source)
    seq = source.varint()
    if seq and not writer:
        raise malformed("a seq without a writer")
    table = decode_table(source.blob())
    sections = _read_sections(source, table, data[0], rollup=rollup)
    source.end()
    return Chunk(writer, boot, seq - 1 if seq else None, sections, data if len(body) <= MAX_KEPT_BODY_BYTES else None)


def _check_size(sections: int, rows: int, size: int) -> None:
    if sections > MAX_SECTIONS or rows > MAX_ROWS or size > MAX_CHUNK_BINS:
        raise too_large(f"{sections} sections, {rows} rows, {size} bins")


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj(-15)
    try:
        body = inflater.decompress(data, MAX_BODY_BYTES)
    except zlib.error as error:
        raise malformed("not a DEFLATE stream") from error
    if inflater.unconsumed_tail:
        raise too_large(f"inflates to more than {MAX_BODY_BYTES} bytes")
    if not inflater.eof or inflater.unused_data:
        raise malformed("the DEFLATE stream does not end where the message does")
    return body


def _write_section(out: Writer, section: Section, number: dict[Series, int], *, rollup: bool) -> None:
    """``number`` is each series' in the table; empty where every section has all of them."""
    cells = section.cells
    age = section.minute * US_PER_SECOND - cells.last_at_us
    _check_rows(cells.kind, cells.count, age, rollup=rollup)
    out.varint(section.minute // MINUTE_SECONDS)
    out.varint(len(cells))
    whole = not number or len(cells) == len(number)
    out.varint(int(whole))
    if not whole:
        rows = np.array([number[name] for name in cells.series], np.int64)
        out.unsigned(differences(rows, -1) - 1)
    out.unsigned(cells.kind)
    out.unsigned(cells.count)
    out.unsigned(age)
    out.floats(cells.last)
    many = cells.count > 1
    for column in (cells.sum, cells.min, cells.max):
        out.floats(column[many])
    write_bins(out, cells, np.flatnonzero(many & (cells.kind == Kind.DISTRIBUTION)))
    if rollup:
        out.floats(cells.last_sum)
        out.unsigned(cells.writers)
        for shift in (0, 16, 32, 48):
            out.unsigned((cells.last_writer >> np.uint64(shift) & np.uint64(0xFFFF)).astype(np.int64))


def _read_writer(source: Reader) -> str:
    length = source.count(MAX_WRITER_BYTES)
    return source.string(length)


def _read_sections(source: Reader, table: tuple[Series, ...], version: int, *, rollup: bool) -> tuple[Section, ...]:
    sections: list[Section] = []
    rows = size = 0
    for _ in range(source.count(MAX_SECTIONS)):
        section = _read_section(source, table, version, rollup=rollup)
        sections.append(section)
        rows += len(section.cells)
        size += len(section.cells.bin_key)
        _check_size(len(sections), rows, size)
    if any(a.minute >= b.minute for a, b in itertools.pairwise(sections)):
        raise malformed("sections do not ascend")
    return tuple(sections)


def _read_section(source: Reader, table: tuple[Series, ...], version: int, *, rollup: bool) -> Section:
    minute = source.varint() * MINUTE_SECONDS
    if minute > MAX_MINUTE:
        raise malformed("a minute is after the year 9999")
    names = _read_names(source, table, source.count(len(table)))
    rows = len(names)
    kind, count, age = source.unsigned(rows), source.unsigned(rows), source.unsigned(rows)
    _check_rows(kind, count, age, rollup=rollup)
    last, total, low, high = _read_values(source, count)
    scale, start, key, bin_count = read_bins(source, kind, count, last, version)
    last_sum, writers, writer = _read_rollup(source, rows) if rollup else _unrolled(last)
    last_at = minute * US_PER_SECOND - age
    columns = (kind, count, total, low, high, last_at, last, writer, last_sum, writers, scale, start, key, bin_count)
    return Section(minute, Cells(names, *columns))


def _read_names(source: Reader, table: tuple[Series, ...], rows: int) -> tuple[Series, ...]:
    whole = source.take(1)[0]
    if whole > 1 or (whole and rows != len(table)):
        raise malformed("a whole section lacks series")
    if whole:
        return table
    numbers = np.cumsum(source.unsigned(rows) + 1) - 1
    if rows and (int(numbers[-1]) >= len(table) or int(numbers.min()) < 0):
        raise malformed("a series number is out of range")
    return tuple(table[number] for number in numbers.tolist())


def _check_rows(kind: Ints, count: Ints, age: Ints, *, rollup: bool) -> None:
    """An hour's rollup ends its interval where its last minute does, so its newest value may be an hour old."""
    if not len(kind):
        return
    if kind.max() > Kind.DISTRIBUTION:
        raise malformed("a kind is out of range")
    if count.min() < 1 or count.max() > (MAX_COUNT if rollup else MAX_MESSAGE_COUNT):
        raise malformed("a count is out of range")
    if age.min() < 0 or age.max() >= (_US_PER_HOUR if rollup else _US_PER_MINUTE):
        raise malformed("a time lies outside its interval")


def _read_values(source: Reader, count: Ints) -> tuple[Floats, Floats, Floats, Floats]:
    """Last, sum, min and max: the last three are stored for rows of several observations, else they are the last."""
    rows, several = len(count), np.flatnonzero(count > 1)
    stored = source.floats(rows + 3 * len(several))
    last, spread = stored[:rows], stored[rows:].reshape(3, -1)
    total, low, high = last.copy(), last.copy(), last.copy()
    total[several], low[several], high[several] = spread
    if rows and (
        low.min() < -MAX_MAGNITUDE
        or high.max() > MAX_MAGNITUDE
        or ((last < low) | (last > high)).any()
        or (np.abs(total) > MAX_MAGNITUDE * _SUM_SLACK * count).any()
    ):
        raise malformed("a value is out of range")
    return last, total, low, high


def _unrolled(last: Floats) -> tuple[Floats, Ints, Writers]:
    return last, np.ones(len(last), np.int64), np.zeros(len(last), np.uint64)


def _read_rollup(source: Reader, rows: int) -> tuple[Floats, Ints, Writers]:
    last_sum, writers = source.floats(rows), source.unsigned(rows)
    parts = [source.unsigned(rows) for _ in range(4)]
    if rows and max(int(part.max()) for part in parts) > 0xFFFF:
        raise malformed("a writer is out of range")
    writer = sum((part.astype(np.uint64) << np.uint64(16 * at) for at, part in enumerate(parts)), np.uint64(0))
    return last_sum, writers, np.asarray(writer, np.uint64).reshape(rows)
