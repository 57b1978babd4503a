"""An open page stays current by itself: what is published appears, what is seen stays as the reader left it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Open
from tests.browser.stage import Stage

OVERVIEW = "/dashboards/overview"
EVERY_MS = 10_000


class Polls:
    """A page whose clock the test moves, and the answers that its polls got."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.statuses: list[int] = []
        page.on("response", lambda answer: self._answered(answer.url, answer.status))
        page.clock.install()
        page.goto(url)

    def pass_time(self, ms: int = EVERY_MS) -> None:
        """Let the page's clock go on; what is due runs."""
        self.page.clock.run_for(ms)

    def poll(self) -> int:
        """Let the time to the next poll pass; the status that it got."""
        with self.page.expect_response(lambda answer: "fragment=1" in answer.url) as answer:
            self.pass_time()
        return int(answer.value.status)

    def _answered(self, url: str, status: int) -> None:
        if "fragment=1" in url:
            self.statuses.append(status)


@pytest.fixture
def polls(opened: Open) -> Polls:
    """The overview, open."""
    return Polls(opened().context.new_page(), OVERVIEW)


def test_what_is_published_appears_without_a_reload(polls: Polls, stage: Stage) -> None:
    """A metric that an open page has not seen is on it after the next poll, and the document is still the same one."""
    page = polls.page
    page.evaluate("document.documentElement.dataset.same = 'yes'")
    polls.poll()
    stage.publish("cpu_utilization", 97.0, region="mars-north1")
    stage.next_minute()
    polls.poll()
    expect(page.locator(".regions")).to_contain_text("mars-north1")
    assert page.locator("html").get_attribute("data-same") == "yes"


def test_a_page_that_did_not_change_is_not_sent_again(polls: Polls) -> None:
    """The first poll learns the page's tag; from then on the answer is 304 with nothing in it."""
    first, *_, before_last, last = [polls.poll() for _ in range(5)]  # a second may go out before the first was read
    assert (first, before_last, last) == (200, 304, 304)


def test_a_hidden_page_does_not_ask(polls: Polls) -> None:
    """In the background nothing is fetched, however long; back in front the page asks at once."""
    page = polls.page
    polls.poll()
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    asked = len(polls.statuses)
    polls.pass_time(20 * EVERY_MS)
    assert len(polls.statuses) == asked
    page.evaluate("delete document.hidden")
    with page.expect_response(lambda answer: "fragment=1" in answer.url):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_an_update_leaves_what_the_reader_does(polls: Polls, stage: Stage) -> None:
    """Open lists, hidden lines, the crosshair and the focus are as they were after the page was replaced."""
    page = polls.page
    page.locator("#lines-1 summary").click()
    page.get_by_label("us-central1", exact=True).check()
    page.locator(".plot").focus()
    page.keyboard.press("Home")
    before = page.locator(".cross text").text_content() or ""
    stage.next_minute()
    page.evaluate("document.getElementById('page').dataset.old = 'yes'")
    polls.poll()
    expect(page.locator("#page[data-old]")).to_have_count(0)
    expect(page.locator("#lines-1 ul")).to_be_visible()
    expect(page.get_by_label("us-central1", exact=True)).to_be_checked()
    expect(page.locator(".names text", has_text="us-central1")).to_be_hidden()
    expect(page.locator(".plot")).to_be_focused()
    expect(page.locator(".cross text")).to_have_text(before)


def test_a_lost_server_is_said_and_forgotten(opened: Open) -> None:
    """When the server does not answer the page says since when it is old, and no more once it answers again."""
    watched = opened()
    page = watched.context.new_page()
    polls = Polls(page, OVERVIEW)

    def fail(route: Route) -> None:
        route.abort()

    page.route(re.compile("fragment=1"), fail)
    polls.pass_time()
    expect(page.locator("#status")).to_have_text(
        re.compile(r"^The server does not answer\. Showing \d\d:\d\d UTC\. Trying again every 10 s\.$")
    )
    expect(page.locator("main")).to_have_css("opacity", "0.55")
    page.unroute(re.compile("fragment=1"))
    polls.poll()
    expect(page.locator("#status")).to_be_hidden()
    watched.faults = [fault for fault in watched.faults if "net::ERR_FAILED" not in fault]


def test_ages_count_on(polls: Polls) -> None:
    """The age of the data grows by itself, by the server's clock."""
    fresh = polls.page.locator(".fresh time")
    before = int((fresh.text_content() or "").removesuffix(" s"))
    polls.pass_time(3_000)
    expect(fresh).to_have_text(f"{before + 3} s")
