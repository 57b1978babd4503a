"""Every page in a real browser: its policy, its accessibility, a phone's width, without JavaScript, and on paper."""

from __future__ import annotations

import re
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # the package has no types
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.looks import NO_PAGE, PAGES, open_page

KINDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
COLOURS = ["color-contrast", "link-in-text-block"]
DASHBOARDS = [path for path in PAGES if path.startswith("/dashboards/")]


def violations(page: Page, rules: list[str]) -> list[str]:
    """What axe-core finds by rules or kinds of them: the rule, what it is about, and what to mend."""
    found: dict[str, Any] = Axe().run(page, options={"runOnly": rules, "resultTypes": ["violations"]}).response
    return [
        f"{rule['id']}: {node['html'][:160]}: {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_sound_and_accessible(opened: Open, path: str) -> None:
    """A page keeps its policy, logs no error and asks no other site; axe-core finds nothing, nor among dark colours."""
    watched = opened()
    page = open_page(watched, path)
    assert violations(page, KINDS) == []
    page.emulate_media(color_scheme="dark")
    assert violations(page, COLOURS) == []
    if path == NO_PAGE:
        watched.faults = [fault for fault in watched.faults if "status of 404" not in fault]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_a_phone(opened: Open, path: str) -> None:
    """At a width of 375 pixels nothing makes the page scroll sideways, and the answer comes first, whole."""
    watched = opened(viewport={"width": 375, "height": 812}, has_touch=True, is_mobile=True)
    page = open_page(watched, path)
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    box = page.locator("h1, h2").first.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 375
    watched.faults = [fault for fault in watched.faults if path != NO_PAGE or "status of 404" not in fault]


def test_dark_is_dark(opened: Open) -> None:
    """The page follows the reader's theme: dark ground with light text, and the other way round."""
    grounds = {}
    for theme in ("light", "dark"):
        page = open_page(opened(color_scheme=theme), "/dashboards/overview")
        grounds[theme] = page.locator("body").evaluate("one => getComputedStyle(one).backgroundColor")
    assert grounds == {"light": "rgb(246, 247, 248)", "dark": "rgb(12, 14, 18)"}


@pytest.mark.parametrize("path", DASHBOARDS)
def test_without_javascript_all_numbers_are_there(opened: Open, path: str) -> None:
    """A page without JavaScript says what it says with it."""
    said = [
        re.sub(r"\d+ s\b", "", open_page(opened(java_script_enabled=scripted), path).locator("main").inner_text())
        for scripted in (True, False)
    ]
    assert said[0] == said[1]
    assert len(re.findall(r"\d", said[1])) > 100


def test_paper_has_the_numbers_and_no_controls(opened: Open) -> None:
    """In print tabs, ranges and buttons are gone, the ground is white whatever the theme, and no panel is cut."""
    page = open_page(opened(color_scheme="dark"), "/dashboards/overview")
    page.emulate_media(media="print")
    for gone in ("nav", ".ranges", ".button", "details"):
        expect(page.locator(gone).first).to_be_hidden()
    expect(page.locator(".signals .v").first).to_be_visible()
    expect(page.locator(".plot").first).to_be_visible()
    assert page.locator(".panel").first.evaluate("one => getComputedStyle(one).breakInside") == "avoid"
    assert page.locator(".panel").first.evaluate("one => getComputedStyle(one).backgroundColor") == "rgb(255, 255, 255)"
