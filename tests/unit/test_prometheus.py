"""States agree with Prometheus, minute by minute, on every scenario that it was asked about; no promtool is needed."""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass
from typing import Any

import pytest

from shared.bins import SCALE, error_bound
from shared.conformance import Evaluation, timelines
from shared.conformance.scenario import Scenario, disagreements, play, read_scenario
from shared.series import Labels, make_labels
from shared.timeline import MINUTE_SECONDS, to_us
from tests.prometheus.cases import CASES, Case
from tests.prometheus.record import RECORDED, asked_text
from tests.reference import US

NAMES = [case.name for case in CASES]
DEMANDED = {
    "spike", "sustained", "flapping", "at_threshold", "on_the_minute", "gap", "series_ends", "new_series",
    "two_regions", "zero", "negative", "low_is_bad", "occurrences_1", "occurrences_2", "occurrences_3", "occurrences_5",
    "keep_firing", "sparse", "dense",
}  # fmt: skip
"""What the scenarios must be about: each is the beginning of a name."""


@dataclass(frozen=True)
class Played:
    """A recorded scenario, what Prometheus was asked and answered about it, and what the engine says."""

    scenario: Scenario
    recorded: dict[str, Any]
    evaluations: list[Evaluation]


@functools.cache
def _played(name: str) -> Played:
    text = (RECORDED / f"{name}.json").read_text("utf-8")
    scenario = read_scenario(text)
    return Played(scenario, json.loads(text), play(scenario))


@pytest.mark.parametrize("name", NAMES)
def test_states_agree_with_prometheus(name: str) -> None:
    """Every alert that Prometheus has is in the same state at every minute, and the engine has no other."""
    played = _played(name)
    assert disagreements(played.scenario, played.evaluations) == []
    expected = {(one.rule_id, one.labels) for one in played.scenario.expected}
    others = {key: states for key, states in timelines(played.evaluations).items() if key not in expected}
    assert all(set(states) == {"."} for states in others.values()), others
    assert [one.failures for one in played.evaluations if one.failures] == []


@pytest.mark.parametrize("name", NAMES)
def test_values_agree_with_prometheus(name: str) -> None:
    """Every value that is judged is the one that Prometheus has; a percentile is as near as bins promise."""
    played = _played(name)
    (rule,) = played.scenario.config.list_alert_rules()
    found: dict[Labels, list[float]] = {}
    due = [one for one in played.evaluations if to_us(one.at) // US % rule.evaluation_frequency == 0]
    for alert in (alert for evaluation in due for alert in evaluation.alerts):
        found.setdefault(alert.labels, []).append(_number(alert.value))
    quantile = played.scenario.config.query_for(rule).aggregation.quantile
    tolerance = error_bound(SCALE) + 1e-9 if quantile else 1e-12
    for group in played.recorded["about"]["values"]:
        mine = found.pop(make_labels(group["labels"]))
        before = [math.nan] * (len(due) - len(mine))
        assert before + mine == pytest.approx([*map(_number, group["values"])], rel=tolerance, nan_ok=True)
    assert all(math.isnan(value) for values in found.values() for value in values)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_the_recorded_scenario_is_the_one_that_stands_here(case: Case) -> None:
    """Rule, series and times of a recorded scenario are those of its case: only Prometheus's answers were recorded."""
    text = (RECORDED / f"{case.name}.json").read_text("utf-8")
    assert all(section in text for section in asked_text(case))


def test_nothing_else_is_recorded() -> None:
    """The recorded scenarios are the cases, each with a name of its own; there are more than the forty wanted."""
    assert sorted(path.stem for path in RECORDED.iterdir()) == sorted(NAMES)
    assert len(set(NAMES)) == len(NAMES) >= 40


def test_the_scenarios_are_about_what_was_demanded() -> None:
    """Each situation that an alert engine must get right has a scenario, and most of them see an alert fire."""
    assert {topic for topic in DEMANDED if any(name.startswith(topic) for name in NAMES)} == DEMANDED
    fired = [name for name in NAMES if any("F" in one.states for one in _played(name).scenario.expected)]
    assert len(fired) > len(NAMES) * 3 / 4


def test_closed_ranges_differ_only_on_the_minute() -> None:
    """Where the ranges of Prometheus 2 give other states, the scenario says how, and has samples on the minute."""
    for case in CASES:
        differs = _played(case.name).recorded["about"].get("closed_ranges")
        assert (differs is not None) == bool(case.difference)
        if differs is not None:
            assert any(point.at_us % (MINUTE_SECONDS * US) == 0 for point in case.points), case.name
            assert differs["difference"] == case.difference
