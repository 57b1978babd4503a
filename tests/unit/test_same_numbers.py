"""All formats of every page show the same values and the same words of age, whatever state the deployment is in."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

import pytest

from shared.dashboard import PageRequest
from shared.monitoring_config import MonitoringConfig
from shared.pages import build_page
from shared.panels import (
    SHOWN_LINES,
    SHOWN_ROWS,
    Board,
    Cell,
    LineChart,
    Overview,
    Shown,
    Signal,
    Status,
    Strips,
    Table,
)
from shared.render import numbers
from shared.render.csv_page import inert
from shared.render.json_page import OVERVIEW_KEYS
from shared.render.plain import value_text
from shared.render.status import TERMINAL_WORDS, WORDS
from shared.render.text import text_name
from shared.urls import parse_view
from tests import shown
from tests.fakes import START
from tests.pages import REGIONS, world
from tests.world import World, point

DASHBOARDS = [f"/dashboards/{one.name}" for one in MonitoringConfig().list_dashboards()]
PAGES = [*DASHBOARDS, "/alerts", "/system"]
PAST = {"from": "2025-10-18T12:01:00Z", "to": "2025-10-18T12:07:00Z"}


@dataclass(frozen=True, slots=True)
class State:
    """A deployment's state: what makes it, and what a page must say of its data."""

    make: Callable[[World, random.Random], None]
    data: str
    """As CSV has it: ``current``, ``stale``, ``past`` or ``no data``."""
    query: tuple[tuple[str, str], ...] = ()


def minute(running: World, drawn: random.Random, *, regions: tuple[str, ...] = REGIONS, skew_seconds: int = 0) -> None:
    """A minute of drawn traffic of some regions, stamped by clocks that are ``skew_seconds`` ahead."""
    at = running.clock() + timedelta(seconds=20 + skew_seconds)
    for region in regions:
        slow = region == "europe-west1"
        for endpoint in ("/process", "/recommend"):
            for _ in range(3):
                value = drawn.uniform(10, 600 if slow else 90)
                running.publish(point("response_time", at, value, region=region, endpoint=endpoint))
            running.publish(point("requests", at, drawn.randrange(500, 9000), region=region, endpoint=endpoint))
        where = {"region": region}
        running.publish(
            point("errors", at, drawn.randrange(0, 60), endpoint="/process", type="timeout", **where),
            point("cpu_utilization", at, drawn.uniform(5, 99), **where),
            point("memory_utilization", at, drawn.uniform(5, 99), **where),
            point("database_lag", at, drawn.uniform(1, 900), **where),
            point("instance_count", at, drawn.randrange(1, 30), **where),
            point("cache_requests", at, drawn.randrange(1, 900), level="l1", result="hit", **where),
            point("cache_requests", at, drawn.randrange(1, 900), level="l1", result="miss", **where),
            point("persona_requests", at, drawn.randrange(1, 900), persona="Lua"),
        )
    running.next_minute()


def fresh(running: World, drawn: random.Random) -> None:
    """Eight minutes of everything."""
    for _ in range(8):
        minute(running, drawn)


def stale(running: World, drawn: random.Random) -> None:
    """Then three minutes in which nothing comes and nothing is evaluated."""
    fresh(running, drawn)
    running.clock.time += timedelta(minutes=3)


def silent(running: World, drawn: random.Random) -> None:
    """Then nine minutes that are evaluated and in which nothing comes."""
    fresh(running, drawn)
    for _ in range(9):
        running.next_minute()


def half(running: World, drawn: random.Random) -> None:
    """Then seven minutes in which only one region is heard of."""
    fresh(running, drawn)
    for _ in range(7):
        minute(running, drawn, regions=REGIONS[:1])


def skewed(running: World, drawn: random.Random) -> None:
    """Eight minutes of writers whose clocks are four minutes behind, two ahead, and right."""
    for skew_seconds in (-240, 120, 0, -60, 240, 30, 0, -240):
        minute(running, drawn, skew_seconds=skew_seconds)


def nothing(_running: World, _drawn: random.Random) -> None:
    """Nothing yet."""


STATES = {
    "fresh": State(fresh, "current"),
    "stale": State(stale, "stale"),
    "silent": State(silent, "stale"),
    "half of the writers gone": State(half, "current"),
    "clocks that are wrong": State(skewed, "current"),
    "nothing yet": State(nothing, "no data"),
    "the past": State(silent, "past", tuple(PAST.items())),
}


@cache
def running_in(name: str) -> World:
    """A deployment in a state; what is drawn depends on the state's name alone."""
    made = world()
    STATES[name].make(made, random.Random(name))
    made.clock.time += timedelta(seconds=6)
    return made


@cache
def model_of(name: str, path: str) -> Shown:
    """What the page says, before any format."""
    running = running_in(name)
    view = parse_view(path, dict(STATES[name].query), None, running.clock())
    return build_page(running.services.config, running.services.reader, view, running.clock())


@cache
def told_of(name: str, path: str, form: str) -> str:
    """The page in a format."""
    asked = PageRequest(f"{path}.{form}", query=dict(STATES[name].query))
    answer = running_in(name).services.dashboard()(asked)
    assert answer.status == 200
    return answer.body.decode()


def of_every_page(name: str) -> list[str]:
    """The pages that can be asked for in a state: the monitoring's own are about now."""
    return [path for path in PAGES if not (STATES[name].query and path == "/system")]


every_state = pytest.mark.parametrize("name", STATES)


def number(value: float | None, unit: str, limit: object = None) -> str:
    """A number as terminals and Markdown show it."""
    return numbers.terminal_number(value, unit, limit).replace(numbers.NARROW, " ")  # type: ignore[arg-type] # a Limit


def spaced(text: str) -> str:
    """A text with every space a plain one."""
    return re.sub(r"[\s\u202f]+", " ", text)


def words_of(cell: Cell) -> str:
    """A cell in a column whose head names the unit."""
    told = " ".join(numbers.short(cell.value, cell.unit, cell.limit)).strip()
    return spaced(cell.note if cell.value is None and cell.note else told)


def in_a_terminal(cell: Cell) -> str:
    """A cell with its unit."""
    return cell.note if cell.value is None and cell.note else number(cell.value, cell.unit, cell.limit)


def exact(value: float | None) -> str:
    """A number as CSV and JSON have it."""
    return "" if value is None else f"{value:.9g}"


@every_state
def test_signals(name: str) -> None:
    """Each signal has the same value and the same word in HTML, text, Markdown, JSON and CSV."""
    for path in of_every_page(name):
        page = model_of(name, path)
        html = shown.html_signals(told_of(name, path, "html"))
        terminal = shown.text_signals(told_of(name, path, "txt"))
        tables = shown.markdown_tables(told_of(name, path, "md"))
        told = shown.json_page(told_of(name, path, "json"))["signals"]
        rows = shown.csv_values(told_of(name, path, "csv"))
        markdown = [
            row
            for signal_section in dict.fromkeys(s.section.capitalize() for s in page.signals)
            for row in tables[signal_section]
        ]
        assert sorted(html) == sorted(_in_html(one) for one in page.signals if not one.detail)
        assert len(terminal) == len(markdown) == len(told) == len(page.signals)
        for signal, (line, word), row, plain in zip(page.signals, terminal, markdown, told, strict=True):
            value = number(signal.value, signal.unit, signal.limit)
            assert word == TERMINAL_WORDS[signal.status]
            assert f" {value}" in line
            assert row[0] == text_name(signal, 60)
            assert row[1] == value
            assert WORDS[signal.status] in row[-2]
            assert (exact(plain["value"]), plain["status"]) == (exact(signal.value), signal.status.value)
            panel = signal.section.capitalize()
            mine = inert(f"{signal.name}, {signal.scope}" if signal.scope else signal.name)
            assert rows[panel, f"{mine}, value"] == exact(signal.value)
            assert rows[panel, f"{mine}, status"] == signal.status.value


def _in_html(signal: Signal) -> tuple[str, str, str]:
    digits, unit = numbers.figure(signal.value, signal.unit, signal.limit)
    word = "" if signal.status is Status.OK else WORDS[signal.status]
    return signal.name, f"{digits}{unit}", word


@every_state
def test_charts(name: str) -> None:
    """The newest, least and greatest value of each line are those of the model in every format that shows them."""
    for path in of_every_page(name):
        page = model_of(name, path)
        markdown, screen = shown.markdown_tables(told_of(name, path, "md")), told_of(name, path, "txt")
        rows, labels = shown.csv_values(told_of(name, path, "csv")), shown.html_ends(told_of(name, path, "html"))
        for chart in _charts(page):
            assert {line.name: rows[chart.title, inert(line.name)] for line in chart.lines} == {
                line.name: exact(line.values[-1]) for line in chart.lines
            }
            if isinstance(page, Board):
                expected = _ends(chart)
                assert [row[2:] for row in markdown[chart.title]] == expected
                for told, values in zip(shown.text_rows(screen, chart.title), expected, strict=False):
                    assert re.search(" +".join(map(re.escape, values)), told)
            if page.data_to is not None or page.has_own:
                known = [line for line in chart.lines if any(value is not None for value in line.values)]
                assert sorted(labels.get(chart.title, [])) == sorted(
                    _label(one.values[-1], one.name, chart.unit) for one in known
                )


def _charts(page: Shown) -> list[LineChart]:
    return [one for one in (page.charts if isinstance(page, Overview) else page.panels) if isinstance(one, LineChart)]


def _ends(chart: LineChart) -> list[list[str]]:
    """The newest, least and greatest value of each line that is shown."""
    limit = chart.limits[0] if chart.limits else None
    told = []
    for line in chart.lines[:SHOWN_LINES]:
        known = [value for value in line.values if value is not None]
        ends = line.values[-1], min(known, default=None), max(known, default=None)
        told.append([number(one, chart.unit, limit) for one in ends])
    return told


def _label(value: float | None, name: str, unit: str) -> str:
    """What stands at a line's end: whole counts of things have no decimals."""
    is_count = not unit and value is not None and value == int(value)
    digits = spaced(numbers.tick(value) if is_count and value is not None else numbers.figure(value, "ms")[0])
    room = 19 - len(digits)
    return f"{digits} {name if len(name) <= room else name[: room - 1].rstrip() + '…'}"


@every_state
def test_tables(name: str) -> None:
    """Each cell of each table is the same in HTML, text, Markdown and CSV."""
    for path in of_every_page(name):
        page = model_of(name, path)
        html = shown.html_tables(told_of(name, path, "html"))
        markdown, screen = shown.markdown_tables(told_of(name, path, "md")), told_of(name, path, "txt")
        rows = shown.csv_values(told_of(name, path, "csv"))
        for table in _tables(page):
            assert _in_csv(rows, table) == _told(table)
            kept = [index for index, cell in enumerate(table.rows[0].cells) if not cell.spark] if table.rows else []
            expected = [[value_text(row.name), *(words_of(row.cells[i]) for i in kept)] for row in table.rows]
            if table.rows and (page.data_to is not None or page.has_own):
                drawn = [[row[0], *(row[index + 1] for index in kept)] for row in html[table.title]]
                assert drawn == expected[: len(drawn)]
            cells = [[in_a_terminal(row.cells[index]) for index in kept] for row in table.rows[:SHOWN_ROWS]]
            assert [row[2:] for row in markdown.get(table.title, [])] == cells
            lines = shown.text_rows(screen, table.title)[0 if isinstance(page, Overview) else 1 :]
            for told, words in zip(lines, expected, strict=False):
                assert re.search(".* +".join(map(re.escape, words[:2])), spaced(told))


def _tables(page: Shown) -> list[Table]:
    """The tables of a page, those with rows of one name left out: a series of CSV has a name."""
    regions = [Table("regions", "Regions", "Region", page.regions)] if isinstance(page, Overview) else []
    found = [one for one in (regions or (page.panels if isinstance(page, Board) else ())) if isinstance(one, Table)]
    return [one for one in found if len({row.name for row in one.rows}) == len(one.rows)]


def _in_csv(rows: dict[tuple[str, str], str], table: Table) -> list[str]:
    return [rows[table.title, inert(f"{row.name}, {cell.title}")] for row in table.rows for cell in row.cells]


def _told(table: Table) -> list[str]:
    cells = [cell for row in table.rows for cell in row.cells]
    newest = [cell.spark[-1] if cell.spark else cell.value for cell in cells]
    notes = ["" if cell.spark else inert(cell.note) for cell in cells]
    return [note if value is None else exact(value) for value, note in zip(newest, notes, strict=True)]


@every_state
def test_strips(name: str) -> None:
    """What each strip comes to is the same in HTML, Markdown and CSV, and each of its states is in JSON and CSV."""
    for path in DASHBOARDS:
        page = model_of(name, path)
        html, markdown = (reader(told_of(name, path, form)) for reader, form in READERS)
        rows = shown.csv_values(told_of(name, path, "csv"))
        for panel in (one for one in (page.panels if isinstance(page, Board) else ()) if isinstance(one, Strips)):
            told = [spaced(numbers.number(one.value, one.unit, one.limit)) for one in panel.strips]
            assert [row[2] for row in markdown[panel.title]] == [
                number(one.value, one.unit, one.limit) for one in panel.strips
            ]
            assert [rows[panel.title, inert(one.name)] for one in panel.strips] == [
                exact(one.value) for one in panel.strips
            ]
            assert [rows[panel.title, f"{inert(one.name)}, status"] for one in panel.strips] == [
                one.states[-1].value for one in panel.strips
            ]
            if page.data_to is not None:
                values = [row[1] for row in html[panel.title]]
                assert values == told[: len(values)]


READERS = ((shown.html_tables, "html"), (shown.markdown_tables, "md"))


@every_state
def test_age(name: str) -> None:
    """How old the data is, and whether it is current, is said in every format, and alike."""
    for path in of_every_page(name):
        page = model_of(name, path)
        plain, rows = shown.json_page(told_of(name, path, "json")), shown.csv_values(told_of(name, path, "csv"))
        assert rows["Page", "Data"] == STATES[name].data
        assert plain["stale"] is (STATES[name].data in ("stale", "no data"))
        assert (rows["Page", "Age of the data"], exact(plain["age_seconds"])) == (exact(page.age_seconds),) * 2
        text, markdown, html = (told_of(name, path, form) for form in ("txt", "md", "html"))
        for told in (text, markdown):
            if STATES[name].data == "no data":
                assert "no data yet" in told
            else:
                assert f"data to {page.data_to:%H:%M:%S}" in told
            if page.age_seconds is not None and page.until is None:
                assert f"{numbers.age(page.age_seconds)} old" in told
        fresh_at = shown.html_tree(html).first("span", "fresh")
        assert fresh_at is not None
        assert ("warning" in fresh_at.classes) is page.stale
        body = shown.html_tree(html).first("main")
        assert body is not None
        assert ("old" in body.classes) is (STATES[name].data == "stale")


@every_state
def test_old_data_is_never_current(name: str) -> None:
    """Of stale data no signal and no row is OK or healthy in any format; of past data the page says that it is past."""
    for path in of_every_page(name):
        page = model_of(name, path)
        if page.stale:
            assert {signal.status for signal in page.signals} <= {Status.STALE, Status.UNKNOWN, Status.EMPTY}
            assert "[HEALTHY]" not in told_of(name, path, "txt")
            if path in DASHBOARDS:
                now = [row for table in _tables(page) for row in table.rows]
                assert Status.OK not in {row.status for row in now}
        if page.until is not None:
            assert "12:01 to 12:07 UTC" in told_of(name, path, "txt")
            assert shown.json_page(told_of(name, path, "json"))["until"] == "2025-10-18T12:07:00Z"


@every_state
def test_the_six_numbers_of_the_specification(name: str) -> None:
    """JSON's six overview keys are the values of the signals, null where there is none."""
    page, told = model_of(name, "/dashboards/overview"), shown.json_page(told_of(name, "/dashboards/overview", "json"))
    values = {signal.id: signal.value for signal in page.signals}
    assert told["dashboard"]["overview"] == {
        key: values[key] if values[key] is None else float(exact(values[key])) for key in OVERVIEW_KEYS
    }


def test_the_states_are_what_they_are_called() -> None:
    """The states differ: one region is gone in half of them, alerts fire in the fresh one, and none before any data."""
    regions = {name: {row.name: row.cells[0].value for row in _overview(name).regions} for name in STATES}
    assert None in regions["half of the writers gone"].values()
    assert None not in regions["fresh"].values()
    assert any(alert.status is not Status.PENDING for alert in _overview("fresh").alerts)
    assert _overview("nothing yet").data_to is None
    assert _overview("the past").at < running_in("the past").clock() - timedelta(minutes=9)
    assert running_in("fresh").clock() > START


def _overview(name: str) -> Overview:
    page = model_of(name, "/dashboards/overview")
    assert isinstance(page, Overview)
    return page
