"""The series table of a compact chunk: names and labels, each string once.

In the columns of ``columns``: varint strings; unsigned column of their lengths in bytes; the strings, UTF-8, one
after the other, strictly ascending; varint series; unsigned columns: metric (string number) and number of labels of
each series; then, over all labels, name and value (string numbers). Series are strictly ascending.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from ..bins import Ints
from ..series import MAX_LABELS, Series, check_series
from .columns import Reader, Writer, malformed

MAX_SERIES = 20_000
MAX_STRINGS = MAX_SERIES * (1 + 2 * MAX_LABELS)
_REMEMBERED_BYTES = 8 * 1024
"""Tables up to this size are remembered: 128 of them hold at most some tens of MB, whatever is sent."""
_REMEMBERED_SERIES = 256
_REMEMBERED_TABLES = 128
_known: dict[tuple[Series, ...], bytes] = {}


def encode_table(table: tuple[Series, ...]) -> bytes:
    """The bytes of some series, which ascend. Small tables are remembered, as ``decode_table`` does."""
    if len(table) > _REMEMBERED_SERIES:
        return _encode(table)
    data = _known.get(table)
    if data is None:
        data = _encode(table)
        if len(data) <= _REMEMBERED_BYTES:
            _remember(table, data)
    return data


def _remember(table: tuple[Series, ...], data: bytes) -> None:
    if len(_known) >= _REMEMBERED_TABLES:
        _known.clear()  # in one step, whatever other threads do
    _known[table] = data


def _encode(table: tuple[Series, ...]) -> bytes:
    strings = sorted(
        {name.metric for name in table} | {part for name in table for pair in name.labels for part in pair}
    )
    number = {text: index for index, text in enumerate(strings)}
    labels = [pair for name in table for pair in name.labels]
    raw = [text.encode() for text in strings]
    out = Writer()
    out.varint(len(raw))
    out.unsigned(_column(len(text) for text in raw))
    out.raw(b"".join(raw))
    out.varint(len(table))
    out.unsigned(_column(number[name.metric] for name in table))
    out.unsigned(_column(len(name.labels) for name in table))
    out.unsigned(_column(number[name] for name, _ in labels))
    out.unsigned(_column(number[value] for _, value in labels))
    return out.done()


def _column(numbers: Iterable[int]) -> Ints:
    return np.fromiter(numbers, np.int64)


def decode_table(data: bytes) -> tuple[Series, ...]:
    """The series of a table. Writers repeat theirs, so small tables are remembered, and equal ones are one object.

    Raises PermanentError: ``malformed_chunk``, ``invalid_series``.
    """
    return _remembered(data) if len(data) <= _REMEMBERED_BYTES else _decode(data)


def _decode(data: bytes) -> tuple[Series, ...]:
    source = Reader(data)
    lengths = source.unsigned(source.count(MAX_STRINGS))
    if len(lengths) > 1 and lengths[1:].min() < 1:
        raise malformed("strings do not ascend")  # before hundreds of thousands of empty ones are made
    strings = [source.string(length) for length in lengths.tolist()]
    if any(a >= b for a, b in itertools.pairwise(strings)):
        raise malformed("strings do not ascend")
    rows = source.count(MAX_SERIES)
    metrics, sizes = source.unsigned(rows).tolist(), source.unsigned(rows).tolist()
    if max(sizes, default=0) > MAX_LABELS:
        raise malformed(f"a series has more than {MAX_LABELS} labels")
    names, values = source.unsigned(sum(sizes)).tolist(), source.unsigned(sum(sizes)).tolist()
    source.end()
    if max([*metrics, *names, *values], default=-1) >= len(strings):
        raise malformed("a string number is out of range")
    pairs = iter([(strings[name], strings[value]) for name, value in zip(names, values, strict=True)])
    table = tuple(
        check_series(Series(strings[metric], tuple(next(pairs) for _ in range(size))))
        for metric, size in zip(metrics, sizes, strict=True)
    )
    if any(a >= b for a, b in itertools.pairwise(table)):
        raise malformed("series do not ascend")
    return table


_remembered = lru_cache(maxsize=_REMEMBERED_TABLES)(_decode)
