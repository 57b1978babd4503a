"""Charts under the hand: the crosshair by mouse and by keys, zoom by dragging, lines that are put away."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Open

PERFORMANCE = "/dashboards/performance"
OVERVIEW = "/dashboards/overview"
TO_THE_NEXT_ROW = ("Shift+ArrowLeft", *["ArrowLeft"] * 5)
"""Of a chart of 180 minutes, whose table has every fifteenth."""


def plots(page: Page) -> Locator:
    """The charts of a page."""
    return page.locator(".plot")


def across(plot: Locator, share: float) -> tuple[float, float]:
    """The point of the screen at a share of a chart's width, at half of its height."""
    box = plot.locator("> svg").bounding_box()
    assert box is not None
    return box["x"] + share * box["width"], box["y"] + box["height"] / 2


def time_at(plot: Locator, share: float) -> datetime:
    """The end of the step of a chart at a share of its width."""
    begin, size, steps = (float(plot.get_attribute(f"data-{name}") or 0) for name in ("from", "size", "steps"))
    return datetime.fromtimestamp(begin + round(share * steps) * size, UTC)


def clocks(page: Page) -> set[str]:
    """The times at the crosshairs that are shown."""
    return set(page.locator(".cross:visible > text").all_text_contents())


def shown(plot: Locator) -> list[str]:
    """What stands at the ends of a chart's lines, from the first to the last."""
    return plot.locator(".names text").all_text_contents()


def read_out(page: Page) -> str:
    """What was last said to a screen reader."""
    return page.locator("body > [role=status]").last.inner_text()


def test_the_mouse_shows_one_time_over_all_charts(opened: Open) -> None:
    """Over one chart of nine the mouse moves the crosshair of all nine to the same minute, and off it of none."""
    page = opened().open(PERFORMANCE)
    now = [shown(plots(page).nth(index)) for index in range(9)]
    page.mouse.move(*across(plots(page).first, 0.5))
    expect(page.locator(".cross:visible")).to_have_count(9)
    assert clocks(page) == {f"{time_at(plots(page).first, 0.5):%a %H:%M}"}
    assert all(shown(plots(page).nth(index)) != now[index] for index in range(3))
    page.mouse.move(5, 5)
    expect(page.locator(".cross:visible")).to_have_count(0)
    assert [shown(plots(page).nth(index)) for index in range(9)] == now


def test_the_crosshair_shows_the_numbers_of_the_table(opened: Open) -> None:
    """At a row of the chart's table the labels at the lines' ends have that row's values."""
    page = opened().open(OVERVIEW)
    table = page.locator("#table-1 table")
    names, rows = table.locator("thead th").all_text_contents()[1:], table.locator("tbody tr")
    plots(page).first.focus()
    page.keyboard.press("End")
    for row in range(3):
        time, *values = rows.nth(row).locator("th, td").all_text_contents()
        assert clocks(page) == {f"Sat {time}"}
        assert set(shown(plots(page).first)) == {f"{value} {name}" for value, name in zip(values, names, strict=True)}
        for key in TO_THE_NEXT_ROW:
            page.keyboard.press(key)


def test_arrow_keys_move_the_crosshair_and_are_read_out(opened: Open) -> None:
    """Left goes a step back, with Shift ten, Home to the first and End to the last; each is told as time and values."""
    page = opened().open(OVERVIEW)
    chart = plots(page).first
    chart.focus()
    steps = {"ArrowLeft": 179, "Shift+ArrowLeft": 169, "ArrowRight": 170, "Home": 1, "End": 180}
    for key, step in steps.items():
        page.keyboard.press(key)
        time = f"{time_at(chart, step / 180):%a %H:%M}"
        assert clocks(page) == {time}
        assert read_out(page) == ", ".join([time, *shown(chart)])
    page.keyboard.press("Escape")
    expect(page.locator(".cross:visible")).to_have_count(0)


def test_a_drag_zooms_and_the_address_has_it(opened: Open) -> None:
    """A drag over a chart leads to the page of just that time, whose address another reader can open."""
    page = opened().open(f"{OVERVIEW}?range=3h&tz=Europe/Berlin")
    page.mouse.move(*across(plots(page).first, 0.5))
    page.mouse.down()
    page.mouse.move(*across(plots(page).first, 0.75), steps=3)
    expect(page.locator(".cross:visible > rect").first).to_have_attribute("style", re.compile("width: ?25%"))
    begin, end = (time_at(plots(page).first, share) for share in (0.5, 0.75))
    with page.expect_navigation():
        page.mouse.up()
    asked = parse_qs(urlsplit(page.url).query)
    assert asked == {"from": [f"{begin:%Y%m%dT%H%M}"], "to": [f"{end:%Y%m%dT%H%M}"], "tz": ["Europe/Berlin"]}
    assert f"{begin.astimezone(ZoneInfo('Europe/Berlin')):%H:%M}" in page.locator("header").inner_text()


def test_escape_ends_a_drag(opened: Open) -> None:
    """After Escape letting the button go leads nowhere, and nothing is marked."""
    page = opened().open(OVERVIEW)
    before = page.url
    page.mouse.move(*across(plots(page).first, 0.2))
    page.mouse.down()
    page.mouse.move(*across(plots(page).first, 0.6), steps=3)
    page.keyboard.press("Escape")
    expect(page.locator(".cross:visible")).to_have_count(0)
    page.mouse.up()
    page.mouse.move(*across(plots(page).first, 0.7))
    expect(page.locator(".cross:visible > rect").first).to_have_attribute("style", re.compile("width: ?0%"))
    assert page.url == before


def test_a_click_does_not_zoom(opened: Open) -> None:
    """Pressing and letting go at one place stays on the page."""
    page = opened().open(OVERVIEW)
    before = page.url
    page.mouse.click(*across(plots(page).first, 0.4))
    expect(page.locator(".cross:visible")).to_have_count(1)
    assert page.url == before


def test_a_finger_reads_and_does_not_zoom(opened: Open) -> None:
    """On a touch screen a tap shows the crosshair, and no touch changes the range."""
    page = opened(has_touch=True).open(OVERVIEW)
    before = page.url
    page.touchscreen.tap(*across(plots(page).first, 0.4))
    expect(page.locator(".cross:visible")).to_have_count(1)
    page.touchscreen.tap(*across(plots(page).first, 0.8))
    assert page.url == before


@pytest.mark.parametrize("scripted", [True, False])
def test_a_region_is_put_away_and_comes_back(opened: Open, scripted: bool) -> None:
    """A line that is ticked to be hidden is gone from the chart with its label, with JavaScript or without."""
    page = opened(java_script_enabled=scripted).open(OVERVIEW)
    page.locator("#lines-1 summary").click()
    names = page.locator("#lines-1 label").all_inner_texts()
    assert sorted(names) == ["asia-southeast1", "europe-west1", "us-central1"]
    for tick, hidden in ((True, 1), (False, 0)):
        page.get_by_label("europe-west1", exact=True).set_checked(tick)
        label = page.locator(".names text", has_text="europe-west1")
        (expect(label).to_be_hidden if hidden else expect(label).to_be_visible)()
        expect(page.locator(".plot [data-line]:visible")).to_have_count(3 - hidden)
        expect(page.locator(".plot circle:visible")).to_have_count(3 - hidden)
