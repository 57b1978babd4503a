"""Debian's chromium, driven by Playwright, with one font on every machine and an eye on what a page must not do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import font_roboto  # type: ignore[import-untyped]  # the package has no types
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

TIMEOUT_MS = 60_000
"""Of a machine that is busy with something else."""
NAMES = ("chromium", "chromium-browser")
_FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{fonts}</dir><cachedir>{cache}</cachedir></fontconfig>"""


def program() -> str | None:
    """Where chromium lies; None when it is not installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def chromium(executable: str, folder: Path) -> Iterator[Browser]:
    """The browser until the end of the block. What it keeps lies in ``folder``; its one font is a package's Roboto."""
    fonts = Path(str(font_roboto.font_files["Roboto"])).parent
    configuration = folder / "fonts.conf"
    configuration.write_text(_FONTS.format(fonts=fonts, cache=folder / "fonts"), encoding="utf-8")
    environment: dict[str, str | float | bool] = {**os.environ, "FONTCONFIG_FILE": str(configuration)}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, env=environment)
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A browsing context and what went wrong in it: ``faults`` holds errors, violations and requests to elsewhere."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.faults: list[str] = []
        self.url = url
        self.context: BrowserContext = browser.new_context(base_url=url, **options)
        self.context.set_default_timeout(TIMEOUT_MS)
        self.context.on("request", lambda request: self._requested(request.url))
        self.context.on("console", lambda message: self._said(message.type, message.text))
        self.context.on("weberror", lambda error: self.faults.append(str(error.error)))

    def open(self, path: str) -> Page:
        """A new tab at a path of the site."""
        page = self.context.new_page()
        page.goto(path)
        return page

    def _requested(self, url: str) -> None:
        if not url.startswith((f"{self.url}/", "data:")):
            self.faults.append(f"requested {url}")

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.faults.append(text)
