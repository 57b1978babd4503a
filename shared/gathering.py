"""From gathered numbers to cells: the observations of many series folded at once, by minute."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from operator import attrgetter

import numpy as np

from .bins import Floats, Ints
from .cells import MAX_MAGNITUDE, Cells, Observation, Segments, fold, fold_segments
from .instruments import Gathered
from .series import Kind, Series
from .timeline import MINUTE_SECONDS, US_PER_SECOND, minute_of_us

_series_of = attrgetter("series")
_MAX_US = 253_402_300_740 * US_PER_SECOND
"""The last minute of the year 9999."""


def fold_gathered(taken: Sequence[Gathered]) -> tuple[dict[int, Cells], int]:
    """Cells by minute, and how many observations were no numbers that may be observed, or below 0 for a counter.

    One series may be there repeatedly; the first says its kind.
    """
    ordered = _merged(sorted(taken, key=_series_of))
    found = _sound(ordered)
    refused = sum(one.observations for one in ordered) - len(found.values)
    return {minute: fold_segments(within) for minute, within in _by_minute(found).items()}, refused


def counters(counts: Mapping[Series, int], at_us: int) -> Cells:
    """One delta for each of some counters."""
    return fold([Observation(series, Kind.COUNTER, at_us, float(count)) for series, count in counts.items()])


def _sound(ordered: Sequence[Gathered]) -> Segments:
    """What may be observed."""
    given = np.frombuffer(b"".join([one.pairs for one in ordered]))
    names, kinds = tuple(map(_series_of, ordered)), np.array([one.kind for one in ordered], np.int64)
    count = np.array([one.observations for one in ordered], np.int64)
    at_us, values = np.rint(given[::2] * US_PER_SECOND), given[1::2] + 0.0  # -0.0 becomes 0.0
    if _all_sound(kinds, at_us, values):
        return Segments(names, kinds, count, at_us.astype(np.int64), values)
    sound = (np.abs(values) <= MAX_MAGNITUDE) & (at_us > 0) & (at_us <= _MAX_US)
    sound &= (values >= 0) | (np.repeat(kinds, count) != Kind.COUNTER)
    return Segments(names, kinds, count, np.where(sound, at_us, 0.0).astype(np.int64), values).where(sound)


def _all_sound(kinds: Ints, at_us: Floats, values: Floats) -> bool:
    """Whether the extremes say that each observation is; they are NaN where one is."""
    least = 0.0 if (kinds == Kind.COUNTER).any() else -MAX_MAGNITUDE
    return bool(0 < at_us.min() <= at_us.max() <= _MAX_US and least <= values.min() <= values.max() <= MAX_MAGNITUDE)


def _by_minute(given: Segments) -> dict[int, Segments]:
    at_us = given.at_us
    if not len(at_us):
        return {}
    first, last = minute_of_us(int(at_us.min())), minute_of_us(int(at_us.max()))
    if first == last:
        return {first: given}
    minutes = -(-at_us // (MINUTE_SECONDS * US_PER_SECOND)) * MINUTE_SECONDS
    return {minute: given.where(minutes == minute) for minute in np.unique(minutes).tolist()}


def _merged(ordered: list[Gathered]) -> list[Gathered]:
    """The same with each series once."""
    if all(a.series != b.series for a, b in itertools.pairwise(ordered)):
        return ordered
    found: list[Gathered] = []
    for one in ordered:
        if found and found[-1].series == one.series:
            found[-1] = found[-1]._replace(pairs=found[-1].pairs + one.pairs)
        else:
            found.append(one)
    return found
