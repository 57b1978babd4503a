"""``make screenshots``: every page light, dark, on a phone and on a wall, from a seeded day of the simulated fleet.

``--readme`` writes the pictures of the README instead: the overview, light and dark.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser

from tests.browser.chromium import NAMES, Watched, chromium, program
from tests.browser.looks import AN_ALERT, NO_PAGE, PAGES, open_page
from tests.browser.stage import Stage, staged

HOURS = 25.0
RELEASE_MINUTES = 26
COLOURS = 128
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1440, "height": 900}},
    "dark": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 375, "height": 812}, "device_scale_factor": 2, "is_mobile": True},
    "wall": {"viewport": {"width": 1920, "height": 1080}},
}


def name_of(path: str) -> str:
    """A page's name in a file's."""
    return {AN_ALERT: "alert", NO_PAGE: "not-found"}.get(path, path.rpartition("/")[2])


def take(browser: Browser, stage: Stage, out: Path) -> None:
    """Write each page in each look to ``out``."""
    for look, options in LOOKS.items():
        for path in PAGES:
            watched = Watched(browser, stage.url, **options)
            page = open_page(watched, path)
            page.screenshot(path=out / f"{name_of(path)}-{look}.png", full_page=True)
            watched.context.close()


def take_for_readme(browser: Browser, stage: Stage, out: Path) -> None:
    """Write ``overview-light.png`` and ``overview-dark.png`` to ``out``, in few colours, so that they are small."""
    for theme in ("light", "dark"):
        watched = Watched(browser, stage.url, viewport={"width": 1366, "height": 768}, color_scheme=theme)
        taken = open_page(watched, PAGES[0]).screenshot()
        with Image.open(io.BytesIO(taken)) as whole:
            few = whole.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
            few.save(out / f"overview-{theme}.png", optimize=True)
        watched.context.close()


def main(arguments: Sequence[str]) -> int:
    """Take the screenshots; the exit status."""
    parser = argparse.ArgumentParser(prog="make screenshots", description=__doc__)
    parser.add_argument("out", type=Path, help="the folder to write to")
    parser.add_argument("--readme", action="store_true", help="only the pictures of the README")
    options = parser.parse_args(arguments)
    executable = program()
    if executable is None:
        sys.exit(f"Cannot take screenshots: none of {', '.join(NAMES)} is installed")
    options.out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        chromium(executable, Path(folder)) as browser,
        staged(HOURS, RELEASE_MINUTES) as stage,
    ):
        (take_for_readme if options.readme else take)(browser, stage, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
