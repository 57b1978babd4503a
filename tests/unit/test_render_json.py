"""The overview as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from shared.panels import Cell, Overview, Row, Status
from shared.render import render_json
from tests import samples
from tests.hostile import WHOLE_PAGES, hostile_strings, poisoned


def parsed(page: Overview) -> dict[str, Any]:
    """The page, parsed strictly."""
    loaded: dict[str, Any] = json.loads(render_json(page), parse_constant=_refuse)
    return loaded


def _refuse(name: str) -> float:
    raise AssertionError(f"{name} is not JSON")


def test_specified_keys() -> None:
    """The specification's keys are there, with its names and numbers without noise."""
    page = parsed(samples.overview())
    assert page["timestamp"] == "2025-10-18T14:31:12Z"
    assert page["dashboard"]["overview"] == {
        "availability": 99.97,
        "error_rate": 0.31,
        "response_time_avg": 46.4,
        "response_time_p95": 456.48,
        "cache_hit_rate": 80.3,
        "throughput": 9270,
    }
    assert list(page["dashboard"]) == ["overview", "regions"]
    assert list(page["dashboard"]["regions"]) == ["europe_west1", "asia_southeast1", "us_central1"]
    central = page["dashboard"]["regions"]["us_central1"]
    assert (central["response_time"], central["cpu_utilization"], central["memory_utilization"]) == (14, 47, 60)


def test_overview_takes_the_first_signal_of_an_id() -> None:
    """The P95 of the overview is the worst region's, which stands first, not the last one's."""
    page = parsed(samples.overview())
    p95 = [signal["value"] for signal in page["signals"] if signal["id"] == "response_time_p95"]
    assert p95 == [456.48, 58.9, 23.6]


def test_empty_page_keeps_the_keys() -> None:
    """Without data the six overview keys are null, and the page says that it is stale."""
    page = parsed(samples.empty())
    assert set(page["dashboard"]["overview"].values()) == {None}
    assert len(page["dashboard"]["overview"]) == 6
    assert page["stale"] is True
    assert page["data_to"] is None
    assert page["age_seconds"] is None


def test_what_is_needed_to_judge() -> None:
    """Status, age, alerts and own health stand beside the specification's keys."""
    page = parsed(samples.overview())
    assert (page["status"], page["age_seconds"], page["stale"]) == ("critical", 12, False)
    assert page["checks"] == {"critical": 1, "warning": 1, "low": 1, "pending": 1, "silenced": 1, "ok": 31}
    assert page["alerts"][0]["limit"] == {"operator": ">", "value": 200, "severity": "critical"}
    assert page["alerts"][0]["since"] == "2025-10-18T14:05:07Z"
    assert page["monitoring"]["ok"] is True


def test_not_finite_is_null() -> None:
    """NaN and infinity, which JSON cannot hold, become null."""
    page = samples.overview()
    odd = tuple(replace(signal, value=float("nan"), change=float("inf")) for signal in page.signals)
    signal = parsed(replace(page, signals=odd))["signals"][0]
    assert (signal["value"], signal["change"]) == (None, None)


def test_no_binary_noise() -> None:
    """A sum of tenths is printed as a person would."""
    page = samples.overview()
    odd = (replace(page.signals[0], value=0.1 + 0.2),)
    assert '"availability": 0.3,' in render_json(replace(page, signals=odd))


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (("us-central1", "us_central1"), {"us-central1", "us_central1"}),
        (("us_central1", "us-central1"), {"us-central1", "us_central1"}),
        (("a-b_c", "a_b-c", "a-b-c", "a_b_c"), {"a-b_c", "a_b-c", "a-b-c", "a_b_c"}),
        (("a-b", "c-d"), {"a_b", "c_d"}),
    ],
)
def test_no_region_hides_another(names: tuple[str, ...], keys: set[str]) -> None:
    """Regions whose names differ in a hyphen are all there with their own values, in any order."""
    page = samples.overview()
    cells = [(Cell("cpu", "CPU", float(number), "%"),) for number in range(len(names))]
    rows = tuple(Row(name, Status.OK, cell) for name, cell in zip(names, cells, strict=True))
    regions = parsed(replace(page, regions=rows))["dashboard"]["regions"]
    assert set(regions) == keys
    assert sorted(region["cpu"] for region in regions.values()) == [float(number) for number in range(len(names))]
    assert all(regions[name]["cpu"] == float(number) for number, name in enumerate(names) if name in regions)


@WHOLE_PAGES
@given(hostile_strings())
def test_hostile_strings_are_data(text: str) -> None:
    """Whatever the names, the page is ASCII without control characters, and gives every name back."""
    rendered = render_json(poisoned(samples.overview(), text))
    assert rendered.isascii()
    assert all(character.isprintable() or character == "\n" for character in rendered)
    loaded = json.loads(rendered)
    assert loaded["headline"]["sentence"] == text
    assert loaded["alerts"][0]["rule"] == text
