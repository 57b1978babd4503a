"""An hour's rollup as bytes (version 1): the merged cells as a compact chunk, and sixty slots of each series.

========  =======================================================================================================
bytes     meaning
========  =======================================================================================================
1         version, 1
rest      raw DEFLATE of: blob compact chunk with rollup columns, its one section the hour; varint series;
          unsigned column count, series by series, 60 each, 0: nothing in that minute; then for the slots that
          hold something an unsigned column, 1: has percentiles, and float columns sum, min, max, last, last_sum;
          then for those with percentiles float columns p50, p95, p99
========  =======================================================================================================
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from ..bins import Floats, Ints
from ..cells import Cells
from ..errors import PermanentError
from .columns import Reader, Writer, malformed
from .compact import Chunk, Section, decode, encode

VERSION = 1
SLOTS = 60
MAX_BODY_BYTES = 64 * 1024 * 1024
_NUMBERS = ("sum", "min", "max", "last", "last_sum")
_PERCENTILES = ("p50", "p95", "p99")


@dataclass(frozen=True, slots=True, eq=False)
class Slots:
    """Numbers of each series (rows) in each of 60 minutes; a count of 0, and NaN elsewhere, where there is none."""

    count: Ints
    sum: Floats
    min: Floats
    max: Floats
    last: Floats
    last_sum: Floats
    p50: Floats
    p95: Floats
    p99: Floats

    def take(self, rows: Ints) -> Slots:
        """The slots of some series."""
        return Slots(*(getattr(self, field.name)[rows] for field in fields(self)))

    @staticmethod
    def joined(parts: Sequence[Slots]) -> Slots:
        """The slots of all parts, one below the other."""
        return Slots(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Slots)))


def encode_hour(hour: int, cells: Cells, slots: Slots) -> bytes:
    """The bytes of an hour; the same for equal hours."""
    held = slots.count > 0
    counted = ~np.isnan(slots.p50)
    out = Writer()
    out.blob(encode(Chunk("", "", None, (Section(hour, cells),)), rollup=True))
    out.varint(len(cells))
    out.unsigned(slots.count.ravel())
    out.unsigned(counted[held].astype(np.int64))
    for name in _NUMBERS:
        out.floats(getattr(slots, name)[held])
    for name in _PERCENTILES:
        out.floats(getattr(slots, name)[counted])
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    return bytes([VERSION]) + deflate.compress(out.done()) + deflate.flush()


def decode_hour(data: bytes) -> tuple[Cells, Slots]:
    """The inverse of ``encode_hour``. Raises PermanentError ``malformed_chunk`` or ``unknown_version``."""
    if data[:1] != bytes([VERSION]):
        raise PermanentError("unknown_version", f"expected an hour of version {VERSION}")
    source = Reader(_inflate(data[1:]))
    sections = decode(source.blob(), rollup=True).sections
    rows = source.varint()
    if len(sections) != 1 or len(sections[0].cells) != rows:
        raise malformed("an hour's slots do not fit its cells")
    cells = sections[0].cells
    count = source.unsigned(rows * SLOTS).reshape(rows, SLOTS)
    held = count > 0
    counted = held.copy()
    counted[held] = source.unsigned(int(held.sum())) == 1
    numbers = [_spread(source, held) for _ in _NUMBERS]
    quantiles = [_spread(source, counted) for _ in _PERCENTILES]
    source.end()
    return cells, Slots(count, *numbers, *quantiles)


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj(-15)
    try:
        body = inflater.decompress(data, MAX_BODY_BYTES)
    except zlib.error as error:
        raise malformed("not a DEFLATE stream") from error
    if not inflater.eof or inflater.unused_data:
        raise malformed("the DEFLATE stream does not end where the document does")
    return body


def _spread(source: Reader, where: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Floats:
    column = np.full(where.shape, np.nan)
    column[where] = source.floats(int(where.sum()))
    return column
