"""One chart as a picture that stands alone: SVG with literal colours and its own words, for messages and documents.

The same drawing as on the page, placed in pixels. It names what it is of, how old its data is and what it says, so that
it is never taken for the present when it is not. ``picture`` makes a PNG of it, with a font that comes with a package:
a machine without fonts would draw no word.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo

from ..panels import LineChart
from . import charts, numbers
from .caption import Caption
from .html import render_template

WIDTH, HEIGHT = 960, 405
PNG_WIDTH, PNG_HEIGHT = 1280, 540
"""Sharp in a message, and drawn in a few hundredths of a second."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 176, 92, 44
_PAIR = re.compile(r"(\d+) (\d+)")
THEMES: Mapping[str, Mapping[str, str]] = {
    "light": {
        "panel": "#ffffff", "grid": "#eceff2", "text": "#15181d", "muted": "#545c67", "faint": "#656d78",
        "quiet": "#6e7781", "ok": "#0072b2", "warning": "#b86e00", "low": "#b86e00", "pending": "#b86e00",
        "critical": "#86002d", "s0": "#1f2328", "s1": "#b35900", "s2": "#0072b2", "s3": "#15181d",
    },
    "dark": {
        "panel": "#13161b", "grid": "#20252c", "text": "#e8ebef", "muted": "#a4adb8", "faint": "#858e9a",
        "quiet": "#a0a7b0", "ok": "#4aa3ff", "warning": "#ffc14d", "low": "#ffc14d", "pending": "#ffc14d",
        "critical": "#ff4d6d", "s0": "#e6edf3", "s1": "#e69f00", "s2": "#56b4e9", "s3": "#e8ebef",
    },
}  # fmt: skip
"""The tokens of the style sheet as literal colours: a picture has no style sheet."""


@dataclass(frozen=True, slots=True)
class _Plot:
    """Where the plot lies, in pixels."""

    width: int = WIDTH - _LEFT - _RIGHT
    height: int = HEIGHT - _TOP - _BOTTOM
    left: int = _LEFT
    top: int = _TOP

    def x(self, percent: float) -> float:
        """A place across, from percent."""
        return round(self.left + self.width * percent / 100, 1)

    def y(self, percent: float) -> float:
        """A place down, from percent."""
        return round(self.top + self.height * percent / 100, 1)

    def path(self, data: str) -> str:
        """Path data of a unit of 1000 x 1000, placed."""
        return _PAIR.sub(lambda pair: f"{self.x(int(pair[1]) / 10)} {self.y(int(pair[2]) / 10)}", data)


def render_svg(chart: LineChart, caption: Caption, zone: tzinfo, tz: str, theme: str = "light") -> str:
    """The chart as an SVG document of ``WIDTH`` x ``HEIGHT``; ``theme`` is one of ``THEMES``."""
    drawing = charts.draw_chart(chart, zone)
    return render_template(
        "chart.svg.jinja",
        chart=chart,
        d=drawing,
        plot=_Plot(),
        colours=THEMES[theme],
        width=WIDTH,
        height=HEIGHT,
        title=chart.title,
        subtitle=_subtitle(chart, caption, zone, tz),
        age=caption.age(zone),
        stale=caption.stale,
        caption=caption,
    )


def picture(document: str, height: int = HEIGHT) -> bytes:
    """An SVG document of ``WIDTH`` x ``height`` as PNG, ``PNG_WIDTH`` wide; needs resvg and its font."""
    import resvg_py

    drawn = resvg_py.svg_to_bytes(
        svg_string=document,
        width=PNG_WIDTH,
        height=height * PNG_WIDTH // WIDTH,
        skip_system_fonts=True,
        font_files=list(_fonts()),
        font_family="Roboto",
        sans_serif_family="Roboto",
    )
    return bytes(drawn)


@functools.cache
def _fonts() -> tuple[str, ...]:
    import font_roboto  # type: ignore[import-untyped]  # the package has no types

    return tuple(str(font_roboto.font_files[name]) for name in ("Roboto", "RobotoMedium"))


def _subtitle(chart: LineChart, caption: Caption, zone: tzinfo, tz: str) -> str:
    span = numbers.span(caption.range_seconds)
    when = f"last {span}" if caption.until is None else numbers.stretch(chart.start, caption.until, zone, caption.now)
    return ", ".join(filter(None, (chart.unit, numbers.age(chart.step_seconds), when, tz)))
