"""Distributions over time and strips as drawings: few paths, whatever the number of their cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo

from ..panels import Heat, Status, Strip, Strips
from . import numbers, svg
from .charts import Tick, anchor_of

_LEVELS = 6
_POWER = 0.62
"""Opacity is the share to this power: what is rare can still be seen."""
_LEAST_SHARE = 0.002
_GAP = 0.12
_SHAPES = {Status.OK: "ok", Status.EMPTY: "none", Status.UNKNOWN: "unknown"}


@dataclass(frozen=True, slots=True)
class DrawnHeat:
    """A distribution: paths of one opacity each in a grid of ``columns`` x ``rows``, y down."""

    columns: int
    rows: int
    paths: tuple[tuple[float, str], ...]
    y_ticks: tuple[Tick, ...]
    limit_y: float | None
    over: float | None
    """The share of the newest step beyond the limit."""
    label: str
    sentence: str


@dataclass(frozen=True, slots=True)
class DrawnStrip:
    """A strip: path data for each status in a unit of one step, from 0 (top) to 1."""

    strip: Strip
    paths: tuple[tuple[str, str], ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class DrawnStrips:
    """Strips above one time axis of ``steps`` steps."""

    steps: int
    strips: tuple[DrawnStrip, ...]
    x_ticks: tuple[Tick, ...]


def draw_heat(heat: Heat, name: str, unit: str) -> DrawnHeat | None:
    """A distribution; None when nothing was received in its time."""
    rows = len(heat.shares[0]) if heat.shares else 0
    if not rows:
        return None
    top = heat.low * heat.ratio**rows
    scale, ticks = svg.Scale(heat.low, top, log=True), svg.log_ticks(heat.low, top)[1]
    inside = [tick for tick in ticks if heat.low <= tick <= top]
    tens = [tick for tick in inside if _is_ten(tick)]
    inside = tens if len(tens) > 1 else inside
    limit = heat.limit if heat.limit and heat.low < heat.limit.value < top else None
    over = next((share for share in reversed(heat.over) if share is not None), None)
    return DrawnHeat(
        columns=len(heat.shares),
        rows=rows,
        paths=_paths(heat.shares, rows),
        y_ticks=tuple(Tick(scale.percent(tick), numbers.tick(tick)) for tick in inside),
        limit_y=scale.percent(limit.value) if limit else None,
        over=over,
        label=numbers.limit_number(heat.limit, unit) if heat.limit else "",
        sentence=_sentence(heat, name, unit, over),
    )


def draw_strips(panel: Strips, zone: tzinfo) -> DrawnStrips:
    """Strips; without any step they are empty."""
    steps = max((len(strip.states) for strip in panel.strips), default=0)
    ticks = svg.x_ticks(panel.start, panel.end, zone)
    placed = [(svg.across(instant, panel.start, panel.end), label) for instant, label in ticks]
    return DrawnStrips(
        steps=steps,
        strips=tuple(DrawnStrip(strip, _strip_paths(strip.states), _strip_sentence(strip)) for strip in panel.strips),
        x_ticks=tuple(Tick(at, label, anchor_of(at), minor=index % 2 == 1) for index, (at, label) in enumerate(placed)),
    )


def _paths(shares: Sequence[Sequence[float]], rows: int) -> tuple[tuple[float, str], ...]:
    """For each level of opacity the cells that have it, runs of them in one stroke."""
    most = max((share for step in shares for share in step), default=0.0)
    parts: dict[int, list[str]] = {}
    for row in range(rows):
        levels = [_level(step[row], most) for step in shares]
        for start, end, level in _runs(levels):
            if level:
                parts.setdefault(level, []).append(f"M{start} {rows - row - 0.5:g}h{end - start}")
    return tuple((round(level / _LEVELS, 2), "".join(some)) for level, some in sorted(parts.items()))


def _level(share: float, most: float) -> int:
    """0 for hardly any, else 1 to ``_LEVELS``."""
    if share < _LEAST_SHARE or most <= 0:
        return 0
    return max(1, round(_LEVELS * float((share / most) ** _POWER)))


def _runs(levels: Sequence[int]) -> list[tuple[int, int, int]]:
    """Stretches of equal levels: first, end and level."""
    found: list[tuple[int, int, int]] = []
    for index, level in enumerate(levels):
        if found and found[-1][2] == level:
            found[-1] = (found[-1][0], index + 1, level)
        else:
            found.append((index, index + 1, level))
    return found


def _is_ten(tick: float) -> bool:
    return f"{tick:.0e}".startswith("1")


def _sentence(heat: Heat, name: str, unit: str, over: float | None) -> str:
    if heat.limit is None or over is None:
        return f"Distribution of {name} in {unit}." if unit else f"Distribution of {name}."
    limit = numbers.limit_number(heat.limit, unit)
    return f"{numbers.number(100 * over, '%')} of {name} are beyond {limit} now."


def _strip_paths(states: Sequence[Status]) -> tuple[tuple[str, str], ...]:
    """Good steps are low and even, bad ones stand out over the full height, unknown ones are a broken line."""
    parts: dict[str, list[str]] = {}
    known = [_SHAPES.get(state, state.value) for state in states]
    runs: list[tuple[int, int, str]] = []
    for index, shape in enumerate(known):
        if runs and runs[-1][2] == shape and shape != "ok":
            runs[-1] = (runs[-1][0], index + 1, shape)
        else:
            runs.append((index, index + 1, shape))
    for start, end, shape in runs:
        width = end - start
        if shape == "ok":
            parts.setdefault(shape, []).append(f"M{start + _GAP / 2:g} .3h{1 - _GAP:g}v.4h-{1 - _GAP:g}z")
        elif shape == "unknown":
            parts.setdefault(shape, []).append(f"M{start} .45h{width}v.1h-{width}z")
        elif shape != "none":
            parts.setdefault(shape, []).append(f"M{start + _GAP / 2:g} 0h{width - _GAP:g}v1h-{width - _GAP:g}z")
    return tuple((shape, "".join(some)) for shape, some in parts.items())


def _strip_sentence(strip: Strip) -> str:
    value = numbers.number(strip.value, strip.unit, strip.limit)
    return f"{strip.name}: {value}" + (f", {strip.note}" if strip.note else "")
