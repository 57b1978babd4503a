"""A figure of the benchmark, and the table that is printed of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One line: what was measured, beside a reference of the same run, and what is to be reached.

    ``ratio`` is ``value / reference``, None where there is no reference; ``goal`` says what it, or the value, has to
    be, and ``met`` whether it is (None: there is no goal).
    """

    name: str
    value: str
    reference: str = ""
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None


def at_least(name: str, value: float, reference: float, goal: float, unit: str) -> Figure:
    """A figure whose ratio should be at least ``goal``."""
    return _ratio(name, value, reference, f">= {goal:g}", value / reference >= goal, unit)


def at_most(name: str, value: float, reference: float, goal: float, unit: str) -> Figure:
    """A figure whose ratio should be at most ``goal``."""
    return _ratio(name, value, reference, f"<= {goal:g}", value / reference <= goal, unit)


def bounded(name: str, value: float, limit: float, unit: str) -> Figure:
    """A figure that should itself be at most ``limit``."""
    return Figure(name, f"{_number(value)} {unit}", goal=f"<= {_number(limit)} {unit}", met=value <= limit)


def exactly(name: str, value: float, goal: float) -> Figure:
    """A count that should be just that."""
    return Figure(name, _number(value), goal=f"= {_number(goal)}", met=value == goal)


def stated(name: str, value: float) -> Figure:
    """A count that is told, and not judged."""
    return Figure(name, _number(value))


def beside(name: str, value: float, other: float, unit: str) -> Figure:
    """A figure beside another that it is not judged by."""
    return Figure(name, f"{_number(value)} {unit}", f"{_number(other)} {unit}", value / other)


def _ratio(name: str, value: float, reference: float, goal: str, met: bool, unit: str) -> Figure:
    shown = f"{_number(value)} {unit}", f"{_number(reference)} {unit}"
    return Figure(name, shown[0], shown[1], value / reference, goal, met)


def _number(value: float) -> str:
    """Three digits, and no exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def paired(ours: Callable[[], float], reference: Callable[[], float], rounds: int) -> tuple[float, float]:
    """Measure both in turn, so that a drift of the machine's speed meets both: our median and the reference's.

    The medians are of the pairs: the reference's own median, and ours as the median ratio times it.
    """
    pairs = [(ours(), reference()) for _ in range(rounds)]
    base = statistics.median(second for _, second in pairs)
    return base * statistics.median(first / second for first, second in pairs), base


def table(figures: Iterable[Figure]) -> Sequence[str]:
    """The lines of the table, with a heading."""
    rows = [("figure", "measured", "reference, same run", "ratio", "to reach", "")]
    rows += [
        (one.name, one.value, one.reference, "" if one.ratio is None else f"{one.ratio:.2f}", one.goal, _verdict(one))
        for one in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _verdict(figure: Figure) -> str:
    return "" if figure.met is None else "ok" if figure.met else "NOT MET"
