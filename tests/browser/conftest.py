"""One browser and one stage for all browser tests; each test has a browsing context of its own, which must be clean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.chromium import NAMES, TIMEOUT_MS, Watched, chromium, program
from tests.browser.stage import Stage, staged

HOURS = 3.0
expect.set_options(timeout=TIMEOUT_MS)
RELEASE_MINUTES = 5


class Open(Protocol):
    """Opens a browsing context, closed after the test."""

    def __call__(self, **options: Any) -> Watched:
        """With Playwright's options of a context."""
        ...


@pytest.fixture(scope="package")
def stage() -> Iterator[Stage]:
    """Three hours of the fleet, and an incident under way."""
    with staged(HOURS, RELEASE_MINUTES) as built:
        yield built


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Debian's chromium."""
    executable = program()
    if executable is None:
        pytest.skip(f"no browser is installed: none of {', '.join(NAMES)}")
    with chromium(executable, tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest.fixture
def opened(browser: Browser, stage: Stage) -> Iterator[Open]:
    """Opens contexts on the stage; none may log an error, break the content policy or ask another site."""
    contexts: list[Watched] = []

    def open_context(**options: Any) -> Watched:
        contexts.append(Watched(browser, stage.url, **{"viewport": {"width": 1440, "height": 900}, **options}))
        return contexts[-1]

    yield open_context
    for one in contexts:
        one.context.close()
        assert one.faults == []
