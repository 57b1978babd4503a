"""Geometry of charts and sparks, without a pixel: what macros draw and terminals count.

Everything lies in a unit of 1000 x 1000, y down, so that one drawing fits any size: shapes are stretched with
strokes that do not scale, words are placed in percent. A gap stays a gap. No series is drawn with more than
`MOST_POINTS` points.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise

from ..panels import Signal
from ..rules import Operator

UNIT = 1000
MOST_POINTS = 300
_HEADROOM = 1.08
_LEAST_HIGH = 1e-6
_UPPER_HALF = 50.0
_NO_PERCENTAGE = 1e6
"""Beyond this a value in percent is a mistake, and what is around it cannot be shown."""
_MOST_TICKS = 7
_SHORT_DECADES = 3
_TICK_GRIDS = (timedelta(minutes=5), timedelta(minutes=15))
"""Zones lie whole quarters of an hour apart: for ticks an hour apart or more the coarser grid has all of them."""
_TICK_STEPS = ((1.1, 10), (2.1, 15), (4, 30), (8, 60), (26, 180), (math.inf, 720))
"""Hours shown at most, and minutes from tick to tick."""
_DATES_FROM_HOURS = 12
_MINUTES_OF_AN_HOUR = 60
_SUBPATH = re.compile(r"M(\d+ \d+(?: \d+ \d+)*)")

Values = Sequence[float | None]
Worst = Callable[[Sequence[float]], float]


@dataclass(frozen=True, slots=True)
class Scale:
    """A scale from ``low`` (bottom) to ``high`` (top), low < high; what lies beyond is drawn at the edge.

    It is linear, or with ``log`` logarithmic, when ``low`` is greater than 0.
    """

    low: float
    high: float
    log: bool = False

    def share(self, value: float) -> float:
        """0 at the bottom to 1 at the top."""
        if self.log:
            value = math.log(max(value, self.low))
            low, high = math.log(self.low), math.log(self.high)
            return min(1.0, (value - low) / (high - low))
        share = (value - self.low) / (self.high - self.low)
        return share if 0.0 <= share <= 1.0 else min(1.0, max(0.0, share))

    def y(self, value: float) -> int:
        """0 at the top to 1000 at the bottom."""
        return round(UNIT * (1 - self.share(value)))

    def percent(self, value: float) -> float:
        """0 at the top to 100 at the bottom, one decimal."""
        return round(100 * (1 - self.share(value)), 1)


def known(values: Values) -> list[float]:
    """The finite values, in order."""
    return [value for value in values if value is not None and math.isfinite(value)]


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean of at least one value."""
    return math.fsum(values) / len(values)


def worst_for(signal: Signal) -> Worst:
    """Which value stands for a stretch: the worst by the signal's limit, the mean without one."""
    if signal.limit is None:
        return mean
    return max if signal.limit.operator in (Operator.GREATER, Operator.GREATER_EQUAL) else min


def thin(values: Values, most: int, choose: Worst) -> list[float | None]:
    """At most ``most`` values, each chosen from an equal stretch; None where a whole stretch is empty."""
    if len(values) <= most:
        return [value if value is not None and math.isfinite(value) else None for value in values]
    edges = [round(index * len(values) / most) for index in range(most + 1)]
    stretches = (known(values[a:b]) for a, b in pairwise(edges))
    return [choose(stretch) if stretch else None for stretch in stretches]


def spark_scale(signal: Signal) -> Scale:
    """Values and limit with a margin; from 0, except for percentages that stay in the upper half."""
    values = known(signal.spark) + ([signal.limit.value] if signal.limit else []) + list(signal.usual or ())
    return scale_for(values, signal.unit)


def scale_for(values: Sequence[float], unit: str) -> Scale:
    """A scale that holds the values; (0, 1) for none, and (0, 1) where all are 0 (below a millionth)."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if unit == "%" and _UPPER_HALF < low <= high < _NO_PERCENTAGE:
        margin = max((high - low) * 0.15, 0.01 if low > 99 else 0.5)
        return Scale(low - margin, min(high + margin, max(100.0, high)))
    return Scale(min(0.0, low), high * _HEADROOM if high > _LEAST_HIGH else 1.0)


def spark_levels(signal: Signal, width: int, levels: int) -> list[int | None]:
    """A spark as ``width`` steps of 0 to ``levels`` - 1 for a terminal; None for a gap, shorter when new."""
    scale = spark_scale(signal)
    shares = (None if v is None else scale.share(v) for v in thin(signal.spark, width, worst_for(signal)))
    return [None if share is None else min(levels - 1, int(share * levels)) for share in shares]


def levels(values: Values, unit: str, width: int, count: int, choose: Worst) -> list[int | None]:
    """Values as at most ``width`` steps of 0 to ``count`` - 1, on a scale of their own; None for a gap."""
    few = thin(values, width, choose)
    scale = scale_for(known(few), unit)
    return [None if value is None else min(count - 1, int(scale.share(value) * count)) for value in few]


def runs(values: Values) -> Iterator[list[tuple[int, float]]]:
    """Stretches without a gap, as (index, value)."""
    run: list[tuple[int, float]] = []
    for index, value in enumerate(values):
        if value is not None:
            run.append((index, value))
        elif run:
            yield run
            run = []
    if run:
        yield run


@functools.lru_cache(maxsize=64)
def _places(count: int, first: float) -> tuple[str, ...]:
    """The beginnings of the points of a path: where each value stands across, and a space."""
    step = (1 - first) / max(1, count - 1)
    return tuple(f"{round(UNIT * (first + index * step))} " for index in range(count))


def path(values: Values, scale: Scale, first: float = 0.0) -> str:
    """SVG path data, one subpath for each stretch without a gap; a lone value is a dot. Empty for no value.

    The first value stands at ``first`` (0 to 1) of the width, the last at its end.
    """
    places = _places(len(values), first)
    parts = []
    for run in runs(values):
        points = [places[index] + str(scale.y(value)) for index, value in run]
        parts.append(f"M{' '.join(points)}" + ("h0" if len(points) == 1 else ""))
    return "".join(parts)


def relative(data: str) -> str:
    """The path data of ``path`` as steps from point to point, of which a page compresses to two thirds."""
    return _SUBPATH.sub(lambda found: _steps(found[1]), data)


def _steps(points: str) -> str:
    numbers = [int(one) for one in points.split()]
    places = list(zip(numbers[::2], numbers[1::2], strict=True))
    steps = " ".join(f"{x - a}{'' if y < b else ' '}{y - b}" for (a, b), (x, y) in pairwise(places))
    return f"M{places[0][0]} {places[0][1]}{f'l{steps}' if steps else ''}"


def y_ticks(values: Sequence[float], unit: str) -> tuple[Scale, list[float]]:
    """A scale with room above the greatest value, and 3 to 7 ticks on 1-2-5 steps from its bottom to its top."""
    rough = scale_for(values, unit)
    step = _step((rough.high - rough.low) / (_MOST_TICKS - 1))
    first, last = math.floor(rough.low / step), math.ceil(rough.high / step - 1e-9)
    if last - first >= _MOST_TICKS:
        step = _step(step * 1.01)
        first, last = math.floor(rough.low / step), math.ceil(rough.high / step - 1e-9)
    ticks = [round(index * step, 10) for index in range(first, last + 1)]
    return Scale(ticks[0], ticks[-1]), ticks


def log_ticks(low: float, high: float) -> tuple[Scale, list[float]]:
    """A logarithmic scale that holds 0 < ``low`` <= ``high``, with ticks on 1-2-5 steps, or on powers of ten."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high) - 1e-9)
    steps = (1, 2, 5) if last - first <= _SHORT_DECADES else (1,)
    every = max(1, (last - first) // _MOST_TICKS)
    ticks = [step * 10.0**power for power in range(first, last + 1, every) for step in steps]
    bottom = max((tick for tick in ticks if tick <= low * (1 + 1e-9)), default=ticks[0])
    top = min((tick for tick in ticks if tick >= high * (1 - 1e-9)), default=10.0 ** max(last, first + 1))
    top = top if top > bottom else bottom * 10
    return Scale(bottom, top, log=True), [float(f"{tick:.1g}") for tick in ticks if bottom <= tick <= top]


@functools.lru_cache(maxsize=128)
def x_ticks(start: datetime, end: datetime, zone: tzinfo) -> tuple[tuple[datetime, str], ...]:
    """Round times of day of the zone in (start, end], with their labels; midnight shows the date on long ranges."""
    hours = (end - start).total_seconds() / 3600
    every = next(minutes for most, minutes in _TICK_STEPS if hours <= most)
    step = _TICK_GRIDS[every >= _MINUTES_OF_AN_HOUR]
    grid = step.total_seconds()
    instant = datetime.fromtimestamp(math.floor(start.timestamp() / grid) * grid, zone) + step
    found = []
    while instant <= end:
        local = instant.astimezone(zone)
        if (local.hour * 60 + local.minute) % every == 0:
            midnight = local.hour == local.minute == 0 and hours > _DATES_FROM_HOURS
            found.append((instant, local.strftime("%a %d" if midnight else "%H:%M")))
        instant += step
    return tuple(found)


def across(instant: datetime, start: datetime, end: datetime) -> float:
    """Where an instant lies between two others, in percent with one decimal, kept inside."""
    share = (instant - start) / (end - start)
    return round(100 * min(1.0, max(0.0, share)), 1)


def area(lows: Sequence[float], highs: Sequence[float], scale: Scale, most: int) -> str:
    """A closed path between two edges of as many values, which end with their steps; at most ``most`` points an edge.

    Where both edges are level it is a rectangle.
    """
    last = len(lows) - 1
    step = max(1.0, last / (most - 1))
    kept = sorted({round(place * step) for place in range(most) if round(place * step) <= last} | {0, last})
    if len(set(lows)) == len(set(highs)) == 1:
        kept = [0, last]
    places = [0, *(round(UNIT * (index + 1) / (last + 1)) for index in kept[1:])]
    above = [f"{x} {scale.y(highs[index])}" for x, index in zip(places, kept, strict=True)]
    below = [f"{x} {scale.y(lows[index])}" for x, index in zip(places, kept, strict=True)]
    return f"M{' '.join(above)} {' '.join(reversed(below))}z"


def spread(wanted: Sequence[float], gap: float, low: float = 0.0, high: float = 100.0) -> list[float]:
    """Places for labels near the wanted ones, at least ``gap`` apart and within [low, high], in the same order.

    Where there is no room for the gap the labels share what there is, evenly.
    """
    gap = min(gap, (high - low) / max(1, len(wanted) - 1))
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    places: list[float] = [0.0] * len(wanted)
    floor = low
    for index in order:
        places[index] = max(wanted[index], floor)
        floor = places[index] + gap
    ceiling = high
    for index in reversed(order):
        places[index] = round(min(places[index], ceiling), 1)
        ceiling = places[index] - gap
    return places


def _step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least ``least`` (> 0)."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least * (1 - 1e-9))
