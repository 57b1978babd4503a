"""The overview as a picture that stands alone: the answer in words, its numbers with their states, and its chart.

For the daily mail. The words are those of the page, and every state is a word and a shape beside its colour.
"""

from __future__ import annotations

from datetime import tzinfo

from markupsafe import Markup

from ..panels import Overview
from .caption import Caption
from .html import render_template
from .standalone import HEIGHT, THEMES, WIDTH, render_svg

SHOWN = 6
HEAD_HEIGHT = 150
PICTURE_HEIGHT = HEAD_HEIGHT + HEIGHT


def overview_svg(page: Overview, zone: tzinfo, tz: str, theme: str = "light") -> str:
    """An SVG document of ``WIDTH`` x ``PICTURE_HEIGHT``; ``theme`` is one of ``THEMES``."""
    chart = render_svg(page.charts[0], _caption(page), zone, tz, theme)
    return render_template(
        "overview.svg.jinja",
        page=page,
        signals=[one for one in page.signals if not one.detail][:SHOWN],
        chart=Markup(chart),  # noqa: S704 # a document of ours, escaped where it was made
        colours=THEMES[theme],
        width=WIDTH,
        height=PICTURE_HEIGHT,
        head=HEAD_HEIGHT,
        column=(WIDTH - 40) // SHOWN,
    )


def _caption(page: Overview) -> Caption:
    seconds = int((page.end - page.start).total_seconds())
    return Caption(page.service, page.environment, page.now, page.data_to, page.until, seconds)
