"""How signs, colours and sparks are put on a terminal: with or without colour, in ASCII or beyond."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..panels import Signal, Status
from . import svg
from .plain import left
from .status import ASCII_GLYPHS, GLYPHS

COLOURS: Mapping[Status, str] = {
    **dict.fromkeys(Status, "2"),
    Status.OK: "36",
    Status.RESOLVED: "36",
    Status.LOW: "33",
    Status.WARNING: "33",
    Status.PENDING: "33",
    Status.CRITICAL: "1;31",
}
"""The eight basic colours, so that they follow the reader's own theme."""
_SPARKS = "▁▂▃▄▅▆▇█"
_ASCII_SPARKS = "_.-=#"
_STATES = {Status.OK: ("▄", "="), Status.UNKNOWN: ("·", "."), Status.EMPTY: (" ", " ")}
_BEYOND = ("█", "#")


@dataclass(frozen=True, slots=True)
class Pen:
    """One way of writing. Without ``colour`` it puts no escape sequence, with ``ascii_only`` only ASCII signs."""

    colour: bool = False
    ascii_only: bool = False

    def paint(self, style: str, text: str) -> str:
        """A text in a style (an SGR parameter), where colours are wanted."""
        return f"\x1b[{style}m{text}\x1b[0m" if text and self.colour else text

    def glyph(self, status: Status) -> str:
        """The sign of a status in its colour."""
        return self.paint(COLOURS[status], self.sign(status))

    def sign(self, status: Status) -> str:
        """The sign of a status, one or two columns wide."""
        return (ASCII_GLYPHS if self.ascii_only else GLYPHS)[status]

    def lead(self, status: Status | None) -> str:
        """The first four columns of a row: the sign ends in the third. None: they are empty."""
        if status is None:
            return "    "
        sign = self.sign(status)
        return " " * (3 - len(sign)) + self.paint(COLOURS[status], sign) + " "

    def signal_spark(self, signal: Signal, width: int) -> str:
        """A signal's spark, its last step in the colour of its status."""
        drawn = left(self._signs(svg.spark_levels(signal, width, len(self._levels))), width)
        return self.paint("2", drawn[:-1]) + self.paint(COLOURS[signal.status], drawn[-1])

    def spark(self, values: svg.Values, unit: str, width: int, choose: svg.Worst) -> str:
        """Values as ``width`` steps; of a longer list ``choose`` picks the one that stands for a stretch."""
        return self.paint("2", left(self._signs(svg.levels(values, unit, width, len(self._levels), choose)), width))

    def states(self, states: Sequence[Status], width: int) -> str:
        """A strip in at most ``width`` columns, the worst state of each stretch."""
        edges = [round(index * len(states) / width) for index in range(width + 1)] if len(states) > width else []
        runs = [states[a:b] for a, b in pairwise(edges)] or [[state] for state in states]
        return left("".join(self._state(run) for run in runs), width)

    def _state(self, run: Sequence[Status]) -> str:
        worst = min(run, key=lambda state: (state in _STATES, list(_STATES).index(state) if state in _STATES else 0))
        if Status.UNKNOWN in run and worst is Status.OK:
            worst = Status.UNKNOWN
        return _STATES.get(worst, _BEYOND)[1 if self.ascii_only else 0]

    def _signs(self, levels: Sequence[int | None]) -> str:
        return "".join(" " if level is None else self._levels[level] for level in levels)

    @property
    def _levels(self) -> str:
        return _ASCII_SPARKS if self.ascii_only else _SPARKS
