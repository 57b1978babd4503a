"""Pictures of charts are those that were looked at, but for what another machine's arithmetic moves by a shade.

``GOLDEN=write`` in the environment writes them anew; look at them before they are committed.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from datetime import UTC
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from shared.panels import LineChart
from shared.render.caption import Caption
from shared.render.standalone import picture, render_svg
from tests import board_samples, samples

GOLDEN = Path(__file__).parents[1] / "golden" / "charts"
SHADES = 24
"""Of 255: a pixel that differs by fewer in every colour is the same."""
MOST_DIFFERENT = 0.001
"""The share of pixels that may differ by more."""


def story() -> LineChart:
    """Three regions, one of which is slow since a deploy."""
    return samples.overview().charts[0]


def gap() -> LineChart:
    """Two lines with a gap on a scale from 0, whose flag and span have their words."""
    (chart,) = (panel for panel in board_samples.board().panels if isinstance(panel, LineChart))
    return chart


def drawn(chart: LineChart, theme: str) -> Image.Image:
    """The chart as a picture for messages has it."""
    page = samples.overview()
    caption = Caption(page.service, page.environment, page.now, page.data_to, None, 3 * 3600)
    return Image.open(io.BytesIO(picture(render_svg(chart, caption, UTC, "UTC", theme)))).convert("RGB")


def different(one: Image.Image, other: Image.Image) -> float:
    """The share of pixels that differ by more than ``SHADES`` in any colour."""
    most = ImageChops.difference(one, other).convert("RGB").split()
    worst = ImageChops.lighter(ImageChops.lighter(most[0], most[1]), most[2]).histogram()
    return sum(worst[SHADES + 1 :]) / sum(worst)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("chart", [story, gap])
def test_a_chart_looks_as_it_did(chart: Callable[[], LineChart], theme: str) -> None:
    """A chart of the story is drawn, light and dark, as the picture of it that was looked at."""
    path = GOLDEN / f"{chart.__name__}-{theme}.png"
    now = drawn(chart(), theme)
    if os.environ.get("GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        now.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    with Image.open(path) as golden:
        known = golden.convert("RGB")
    assert now.size == known.size
    assert different(now, known) <= MOST_DIFFERENT


def test_a_picture_that_changed_is_noticed() -> None:
    """A line of another value, or the other theme, differs in more pixels than may."""
    known = drawn(story(), "light")
    assert different(known, drawn(gap(), "light")) > MOST_DIFFERENT
    assert different(known, drawn(samples.all_ok().charts[0], "light")) > MOST_DIFFERENT
    assert different(known, drawn(story(), "dark")) > MOST_DIFFERENT
