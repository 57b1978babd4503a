"""From gathered numbers to cells: the observations of many series folded at once, by minute."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from operator import attrgetter
from struct import pack

import numpy as np

from .bins import Floats, Ints
from .cells import MAX_MAGNITUDE, Cells, Observation, fold, fold_segments
from .instruments import Gathered
from .series import Kind, Series
from .timeline import MINUTE_SECONDS, US_PER_SECOND, minute_of_us

_series_of = attrgetter("series")
_PAIR_BYTES = 16
_MAX_SECONDS = 253_402_300_740.0
"""The last minute of the year 9999."""


def fold_gathered(taken: Sequence[Gathered]) -> tuple[dict[int, Cells], int]:
    """Cells by minute, and how many observations were no numbers that may be observed, or below 0 for a counter.

    One series may be there repeatedly; the first says its kind.
    """
    ordered = _merged(sorted(taken, key=_series_of))
    names = tuple(one.series for one in ordered)
    columns = [_columns(one.numbers) for one in ordered]
    given = np.frombuffer(b"".join(columns)).reshape(-1, 2)
    owner = np.repeat(np.arange(len(names)), [len(one) // _PAIR_BYTES for one in columns])
    at, values = given[:, 0], given[:, 1]
    kinds = np.array([one.kind for one in ordered], np.int64)
    sound = (np.abs(values) <= MAX_MAGNITUDE) & (at > 0) & (at <= _MAX_SECONDS)
    sound &= (values >= 0) | (kinds[owner] != Kind.COUNTER)
    if not sound.all():
        at, values, owner = at[sound], values[sound], owner[sound]
    refused = sum(len(one.numbers) // 2 for one in ordered) - len(values)
    at_us = np.rint(at * US_PER_SECOND).astype(np.int64)
    return {minute: fold_segments(names, kinds, *rows) for minute, rows in _by_minute(owner, at_us, values)}, refused


def counters(counts: Mapping[Series, int], at_us: int) -> Cells:
    """One delta for each of some counters."""
    return fold([Observation(series, Kind.COUNTER, at_us, float(count)) for series, count in counts.items()])


def _by_minute(owner: Ints, at_us: Ints, values: Floats) -> list[tuple[int, tuple[Ints, Ints, Floats]]]:
    if not len(at_us):
        return []
    first, last = minute_of_us(int(at_us.min())), minute_of_us(int(at_us.max()))
    if first == last:
        return [(first, (owner, at_us, values))]
    minutes = -(-at_us // (MINUTE_SECONDS * US_PER_SECOND)) * MINUTE_SECONDS
    within = [(minute, minutes == minute) for minute in np.unique(minutes).tolist()]
    return [(minute, (owner[rows], at_us[rows], values[rows])) for minute, rows in within]


def _merged(ordered: list[Gathered]) -> list[Gathered]:
    """The same with each series once."""
    if all(a.series != b.series for a, b in itertools.pairwise(ordered)):
        return ordered
    found: list[Gathered] = []
    for one in ordered:
        if found and found[-1].series == one.series:
            found[-1] = found[-1]._replace(numbers=found[-1].numbers + one.numbers)
        else:
            found.append(one)
    return found


def _columns(numbers: list[float]) -> bytes:
    """Times and values in turn, as doubles; without those that are no numbers."""
    try:
        return pack(f"{len(numbers)}d", *numbers)
    except Exception:  # noqa: BLE001 - whatever a value does, the others count
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        return b"".join(pack("2d", *pair) for pair in pairs if _is_number(pair[1]))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating)
