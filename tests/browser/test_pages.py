"""Every page in a real browser: nothing is refused by its policy, nothing is fetched elsewhere, nothing sticks out."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Open

PAGES = (
    "/dashboards/overview",
    "/dashboards/performance",
    "/dashboards/reliability",
    "/dashboards/cache",
    "/dashboards/infrastructure",
    "/alerts",
    "/silences",
    "/audit",
    "/configuration",
    "/system",
    "/inbox",
    "/no-such-page",
)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_keeps_its_policy(opened: Open, path: str) -> None:
    """A page draws without an error, a violation of its content policy or a request to another site."""
    watched = opened()
    page = watched.open(path)
    assert page.locator("main").inner_text().strip()
    if path == "/no-such-page":
        watched.faults = [fault for fault in watched.faults if "status of 404" not in fault]
