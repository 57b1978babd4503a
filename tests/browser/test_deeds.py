"""What a person does in the browser: takes an alert, silences one, ends the silence; and walks by keyboard alone."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open


def open_alert(page: Page, rule: str) -> None:
    """Go from the page of alerts to the one of a rule that fires."""
    page.goto("/alerts")
    page.get_by_role("link", name=rule).first.click()
    expect(page).to_have_url(re.compile("/alerts/[0-9a-f]{16}$"))


@pytest.mark.parametrize("scripted", [True, False])
def test_an_alert_is_taken_once(opened: Open, scripted: bool) -> None:
    """The form of an alert's page, with JavaScript or without, leads back to it; who is second reads who was first."""
    rule, person = ("High Response Time, Critical", "Ada") if scripted else ("Availability SLA Breach", "Grace")
    watched = opened(java_script_enabled=scripted)
    first, second = watched.context.new_page(), watched.context.new_page()
    for page, name in ((first, person), (second, "Mallory")):
        open_alert(page, rule)
        page.get_by_label("Name").first.fill(name)
        page.get_by_label("Reason").first.fill("looking at it")
    path = urlsplit(first.url).path
    first.get_by_role("button", name="Acknowledge").click()
    expect(first).to_have_url(re.compile(f"{path}$"))
    expect(first.get_by_role("button", name="Acknowledge")).to_have_count(0)
    expect(first.locator("main")).to_contain_text(person)
    second.get_by_role("button", name="Acknowledge").click()
    expect(second.locator("main")).to_contain_text(f"Somebody acknowledged this first: {person}")
    watched.faults = [fault for fault in watched.faults if "status of 409" not in fault]


def test_an_alert_is_silenced_and_heard_again(opened: Open) -> None:
    """A silence needs a reason, stands on its page with its end, and is ended from there."""
    page = opened().context.new_page()
    open_alert(page, "High Error Rate, Warning")
    silence = page.locator("form", has=page.get_by_role("button", name="Silence"))
    silence.get_by_label("Name").fill("Ada")
    before = page.url
    silence.get_by_role("button").click()
    assert page.url == before
    silence.get_by_label("Reason").fill("known, being mended")
    silence.get_by_label("for").select_option("4")
    silence.get_by_role("button").click()
    page.goto("/silences")
    expect(page.locator("main")).to_contain_text("known, being mended")
    page.get_by_label("Name").fill("Ada")
    page.get_by_role("button", name="End it").click()
    expect(page.get_by_role("button", name="End it")).to_have_count(0)


def test_pages_are_walked_by_keys(opened: Open) -> None:
    """Digits open the pages, brackets the next range, t the table, ? the keys, Escape closes what is open."""
    page = opened().open("/dashboards/overview")
    for key, path in (("2", "performance"), ("5", "infrastructure"), ("1", "overview")):
        with page.expect_navigation():
            page.keyboard.press(key)
        assert urlsplit(page.url).path == f"/dashboards/{path}"
    for key, hours in (("]", "24 h"), ("]", "72 h"), ("[", "24 h")):
        with page.expect_navigation():
            page.keyboard.press(key)
        expect(page.locator("header .ranges [aria-current]")).to_have_text(hours)
    page.keyboard.press("t")
    expect(page.locator("#table-1 table")).to_be_visible()
    page.keyboard.press("?")
    expect(page.locator("#keys p")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("details[open]")).to_have_count(0)


def test_what_is_typed_is_no_command(opened: Open) -> None:
    """Letters and digits in a field of a form are its text, and what is typed outlives the polls."""
    page = opened().context.new_page()
    page.clock.install()
    open_alert(page, "High Response Time, Warning")
    before = page.url
    field = page.get_by_label("Reason").first
    field.press_sequentially("1 ? [t] r")
    with page.expect_response(lambda answer: "fragment=1" in answer.url):
        page.clock.run_for(10_000)
    page.clock.run_for(10_000)
    expect(field).to_have_value("1 ? [t] r")
    expect(field).to_be_focused()
    assert page.url == before


def test_every_control_is_reached_by_tab_and_seen(opened: Open) -> None:
    """Tab walks from the name of the service to the last format, the chart among the stops, each with an outline."""
    page = opened().open("/dashboards/overview")
    stops = page.locator("a[href]:visible, summary:visible, .plot:visible").count()
    reached = set()
    for _ in range(stops):
        page.keyboard.press("Tab")
        here = page.locator(":focus")
        expect(here).to_have_css("outline-style", "solid")
        reached.add(here.evaluate("one => one.outerHTML.slice(0, 200)"))
    assert any('class="plot"' in one for one in reached)
    assert any(">CSV<" in one for one in reached)
    assert any("summary" in one and "Table" in one for one in reached)
