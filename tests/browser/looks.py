"""The pages there are, and how each is opened."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.browser.chromium import Watched

AN_ALERT = "an alert"
NO_PAGE = "/no-such-page"
PAGES = (
    "/dashboards/overview",
    "/dashboards/performance",
    "/dashboards/reliability",
    "/dashboards/cache",
    "/dashboards/infrastructure",
    "/alerts",
    AN_ALERT,
    "/silences",
    "/audit",
    "/configuration",
    "/system",
    "/inbox",
    NO_PAGE,
)


def open_page(watched: Watched, path: str) -> Page:
    """A page; ``AN_ALERT`` is the one that the first link of the alerts leads to."""
    if path != AN_ALERT:
        return watched.open(path)
    page = watched.open("/alerts")
    href = page.locator("main a[href^='/alerts/']").first.get_attribute("href")
    page.goto(href or "")
    return page
