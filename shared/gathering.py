"""From gathered numbers to cells: the observations of many series folded at once, by minute."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .bins import Floats, Ints
from .cells import MAX_MAGNITUDE, Cells, Observation, fold, fold_segments
from .instruments import Gathered
from .series import Kind, Series
from .timeline import MINUTE_SECONDS, US_PER_SECOND, minute_of_us

_MAX_SECONDS = 253_402_300_740.0
"""The last minute of the year 9999."""


def fold_gathered(taken: Mapping[Series, Gathered]) -> tuple[dict[int, Cells], int]:
    """Cells by minute, and how many observations were no numbers that may be observed, or below 0 for a counter."""
    names = tuple(sorted(taken))
    columns = [_columns(taken[name].numbers) for name in names]
    given = np.concatenate(columns)
    owner = np.repeat(np.arange(len(names)), [len(one) for one in columns])
    at, values = given[:, 0], given[:, 1]
    kinds = np.array([taken[name].kind for name in names], np.int64)
    sound = (np.abs(values) <= MAX_MAGNITUDE) & (at > 0) & (at <= _MAX_SECONDS)
    sound &= (values >= 0) | (kinds[owner] != Kind.COUNTER)
    if not sound.all():
        at, values, owner = at[sound], values[sound], owner[sound]
    refused = sum(len(one.numbers) // 2 for one in taken.values()) - len(values)
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


def _columns(numbers: list[float]) -> Floats:
    """Times and values as two columns; without those that are no numbers."""
    try:
        return np.fromiter(numbers, np.float64, len(numbers)).reshape(-1, 2)
    except Exception:  # noqa: BLE001 - whatever a value does, the others count
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        return np.array([pair for pair in pairs if _is_number(pair[1])], np.float64).reshape(-1, 2)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating)
