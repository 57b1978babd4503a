"""Hostile labels from a writer to every page in every format, and hostile addresses: all are inert."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import timedelta
from functools import cache

import pytest
from markdown_it import MarkdownIt

from shared.actions import acknowledge, silence
from shared.dashboard import PageRequest, PageResponse
from shared.monitoring_config import MonitoringConfig
from shared.render.plain import clean, columns
from shared.silences import Matcher
from tests.hostile import ATTACKS
from tests.pages import world
from tests.shown import Node, html_tree
from tests.world import World, point

NAMES = [text for text in ATTACKS if 0 < len(text.encode("utf-8", "replace")) <= 120 and "\ud800" not in text]
"""Those that fit into a label; what does not is refused by ingest."""
DASHBOARDS = [f"/dashboards/{one.name}" for one in MonitoringConfig().list_dashboards()]
CHARTS = [f"/charts/{name}" for name in ("response_time_process", "error_count_by_region", "throughput_by_region")]
SGR = re.compile(r"\x1b\[[0-9;]*m")
ACTS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
INLINE = {"text", "strong_open", "strong_close", "softbreak", "text_special"}
FORMULA = ("=", "+", "-", "@", "|", "%", "\t", "\r", "\n")


def traffic(running: World, names: list[str]) -> None:
    """A minute in which every label that any panel asks for has each of some names."""
    at = running.clock() + timedelta(seconds=20)
    for text in names:
        where = {"region": text, "endpoint": text}
        running.publish(
            point("response_time", at, 900.0, **where),
            point("requests", at, 90_000.0, **where),
            point("errors", at, 60_000.0, type=text, **where),
            point("deploys", at, 1.0, service=text, version=text, region=text),
        )
        running.publish(
            point("cpu_utilization", at, 99.0, region=text),
            point("memory_utilization", at, 99.0, region=text),
            point("database_lag", at, 900.0, region=text),
            point("database_query_time", at, 9.0, region=text),
            point("database_connections", at, 9.0, region=text, pool=text),
            point("instance_count", at, 3.0, region=text),
            point("cache_requests", at, 3.0, level="l2", result="miss", region=text),
            point("cache_evictions", at, 3.0, level=text, region=text),
            point("persona_requests", at, 3.0, persona=text),
            point(f"own_{len(text)}", at, 3.0, x=text),
        )
    running.deliver()
    running.next_minute()


@cache
def deployment(hostile: bool) -> World:
    """Five minutes of hostile or of harmless names, whose alerts fire; one is taken and one silenced, in such words."""
    running = world()
    names = NAMES if hostile else [f"r{number}" for number in range(len(NAMES))]
    for _ in range(5):
        traffic(running, names)
    fired = [one for one in running.services.reader.alerts() if one.is_firing and one.fired_at is not None]
    assert len(fired) > len(NAMES)
    words = iter(names * 9)
    for one in fired[: len(names)]:
        assert one.fired_at is not None
        acknowledge(
            running.store, one.fingerprint, one.fired_at, _said(next(words)), _said(next(words)), running.clock()
        )
    for number, text in enumerate(names[:12]):
        matchers = [Matcher("region", text)]
        until = running.clock() + timedelta(hours=2)
        silence(
            running.store, f"s{number}", matchers, running.clock(), until, _said(text), _said(text), running.clock()
        )
    running.next_minute()
    return running


def _said(text: str) -> str:
    """What a person may say: on one line, and something."""
    return clean(text).strip() or "x"


def alerts_of(running: World) -> list[str]:
    """The pages of a few alerts, taken ones among them."""
    return [f"/alerts/{one.fingerprint}" for one in running.services.reader.alerts() if one.is_firing][:6]


def pages_of(running: World) -> list[str]:
    """Every page there is."""
    return [*DASHBOARDS, "/alerts", "/system", "/silences", "/audit", "/configuration", *alerts_of(running)]


def get(running: World, path: str, **query: str) -> PageResponse:
    """What the dashboard answers."""
    return running.services.dashboard()(PageRequest(path, query=query, accept="text/html"))


def documents(hostile: bool, form: str) -> Iterator[tuple[str, str]]:
    """Every page in a format."""
    running = deployment(hostile)
    for path in pages_of(running):
        answer = get(running, f"{path}.{form}")
        assert answer.status == 200
        yield path, answer.body.decode()


def signatures(node: Node) -> set[tuple[str, ...]]:
    """The elements in a tree, each with the names of its attributes."""
    inside = [one for one in node.inside if isinstance(one, Node)]
    found = {(one.tag, *sorted(one.attributes)) for one in inside}
    return found.union(*(signatures(one) for one in inside))


def links(node: Node) -> Iterator[str]:
    """Where a tree leads."""
    for one in (one for one in node.inside if isinstance(one, Node)):
        yield from (one.attributes[name] for name in ("href", "src", "action") if name in one.attributes)
        yield from links(one)


def test_html() -> None:
    """The pages have no element, attribute, handler or address that pages of harmless names have not."""
    harmless = set[tuple[str, ...]]().union(*(signatures(html_tree(told)) for _, told in documents(False, "html")))
    for path, told in documents(True, "html"):
        tree = html_tree(told)
        assert signatures(tree) <= harmless | {("small",), ("b", "class")}, path
        assert not ACTS.search(told.replace("\n", "")), path
        for address in links(tree):
            assert address.startswith(("#", "data:image/svg+xml,")) or re.match(r"/(?![/\\])", address), path


def test_text() -> None:
    """No line is wider than 100 columns or has a character that acts; with colour only whole settings of ours."""
    for path, told in documents(True, "txt"):
        for line in told.split("\n"):
            assert columns(line) <= 100, path
            assert clean(line) == line, path
        coloured = get(deployment(True), f"{path}.txt", colour="1", ascii="1").body.decode()
        assert not ACTS.search(SGR.sub("", coloured).replace("\n", "")), path
        assert coloured.isascii()


def test_markdown() -> None:
    """Markdown has text and bold words in headings, paragraphs and tables, and neither HTML nor links nor images."""
    for path, told in documents(True, "md"):
        tokens = MarkdownIt("gfm-like").parse(told)
        assert not ACTS.search(told.replace("\n", "")), path
        assert {one.type.rpartition("_")[0] for one in tokens} <= {
            "heading", "paragraph", "table", "thead", "tbody", "tr", "th", "td", "", "bullet_list", "list_item",
        }, path  # fmt: skip
        assert {child.type for one in tokens for child in one.children or ()} <= INLINE, path


def test_json() -> None:
    """JSON is ASCII and one object, of a page and of its route, and gives the names back."""
    for path, told in documents(True, "json"):
        assert told.isascii(), path
        assert isinstance(json.loads(told), dict)
    regions = json.loads(get(deployment(True), "/dashboards/overview.json").body)["regions"]
    assert {row["name"] for row in regions} >= set(NAMES)


def test_csv() -> None:
    """Every record has five fields, none of which begins as a formula does unless it is a number."""
    for path, told in documents(True, "csv"):
        for record in csv.reader(io.StringIO(told)):
            assert len(record) == 5, path
            for field in record:
                plain = re.fullmatch(r"-?[0-9.]+(?:e[-+][0-9]+)?", field)
                assert plain or not field.lstrip(" '\"").startswith(FORMULA) or field.startswith("'"), path
                assert not ACTS.search(field), path


@pytest.mark.parametrize("path", CHARTS)
def test_pictures(path: str) -> None:
    """An SVG is well-formed and has the elements of one of harmless names; a PNG of it can be drawn."""
    found = []
    for hostile in (True, False):
        root = ET.fromstring(get(deployment(hostile), f"{path}.svg").body)
        found.append({(one.tag, *sorted(one.attrib)) for one in root.iter()})
    assert found[0] <= found[1]
    assert get(deployment(True), f"{path}.png").body.startswith(b"\x89PNG")


@pytest.mark.parametrize("form", ["html", "txt", "json", "md", "csv", "svg"])
def test_parameters(form: str) -> None:
    """Whatever stands in any parameter, the answer is a page or a 400, and nothing of it acts."""
    running = deployment(False)
    path = f"/charts/throughput_global.{form}" if form == "svg" else f"/dashboards/cache.{form}"
    names = ("range", "from", "to", "region", "tz", "collection", "ascii", "colour", "fragment", "theme", "<x>", "=1+1")
    for name in names:
        for text in ATTACKS:
            answer = get(running, path, **{name: text})
            assert answer.status in (200, 400)
            if answer.status == 400:
                assert_inert(answer)


@pytest.mark.parametrize("accept", ["text/html", "text/plain", "application/json", "text/html;q=\x00", "<script>"])
def test_paths(accept: str) -> None:
    """An address that consists of an attack is a 404 that does not act, whatever is accepted."""
    running = deployment(False)
    for text in ATTACKS:
        for path in (
            f"/{text}",
            f"/dashboards/{text}",
            f"/charts/{text}.svg",
            f"/alerts/{text}",
            f"/api/{text}",
            f"/assets/{text}",
        ):
            asked = PageRequest(path.replace("{}", text), accept=accept)
            answer = running.services.dashboard()(asked)
            assert answer.status == 404 or text == ""
            if text:
                assert_inert(answer)


@cache
def harmless_failure() -> set[tuple[str, ...]]:
    """The elements of a page that says what is wrong with a harmless address."""
    return signatures(html_tree(get(deployment(False), "/nope").body.decode()))


def assert_inert(answer: PageResponse) -> None:
    """What says what is wrong: in HTML without an element of the attack, in text and JSON without what acts."""
    told = answer.body.decode()
    assert not ACTS.search(told.replace("\n", "").replace("\r", ""))
    for name, value in answer.headers.items():
        assert "\n" not in f"{name}{value}"
        assert "\r" not in f"{name}{value}"
    if answer.content_type.startswith("text/html"):
        assert signatures(html_tree(told)) <= harmless_failure()
    if answer.content_type == "application/json":
        assert told.isascii()
        assert isinstance(json.loads(told), dict)
    assert answer.content_type.startswith("text/html") or "<html" not in told
    assert len(told) < 20_000


def test_a_region_of_a_hostile_name_has_no_address() -> None:
    """A region whose name no address can hold is a row without a link, and asking for it is refused."""
    tree = html_tree(get(deployment(True), "/dashboards/overview").body.decode())
    assert not [one for one in tree.all("a") if "evil" in one.attributes["href"]]
    assert get(deployment(True), "/dashboards/overview", region="//evil.example/x").status == 400
