"""What a stranger would try against the alert engine, through its conformance entry point.

Every answer here was derived by hand from the definitions, and says why; none was copied from what the engine said.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.conformance import Evaluation, timelines
from shared.conformance.report import report
from shared.conformance.scenario import disagreements, play, read_scenario
from shared.errors import ConfigError
from shared.timeline import minute_floor
from tests.fakes import START

FIRST = minute_floor(START)


def rule(name: str = "Rule", **fields: Any) -> dict[str, Any]:
    """A rule on ``level`` that is bad above 100, for one minute and at once, to which no data say nothing."""
    query = {"select": {"metric": "level"}, "aggregation": "max", **fields.pop("query", {})}
    threshold = {"value": 100, "operator": ">", **fields.pop("threshold", {})}
    return {
        "name": name, "metric_type": "business", "threshold": threshold, "evaluation_window": 60,
        "min_occurrences": 1, "cooldown_period": 0, "query": query, **fields,
    }  # fmt: skip


def minutes(*values: float | list[float] | None, **labels: str) -> dict[str, Any]:
    """A series: what it has 30 s into each minute from 12:00 on, None for nothing."""
    samples = [[60 * number + 30, value] for number, value in enumerate(values) if value is not None]
    return {"metric": "level", "labels": labels, "samples": samples}


def says(states: str, name: str = "rule", **labels: str) -> dict[str, Any]:
    """What is expected of an alert, a letter an evaluation from 12:01 on."""
    return {"rule": name, "labels": labels, "states": states}


def played(
    rules: list[dict[str, Any]], points: list[dict[str, Any]], *expected: dict[str, Any], **more: Any
) -> list[Evaluation]:
    """The evaluations of a scenario whose states are as expected."""
    last = 60 * max(len(one["states"]) for one in expected)
    document = {"start": START.isoformat(), "rules": rules, "points": points, "from": 60, "to": last}
    scenario = read_scenario(json.dumps({**document, "expected": list(expected), **more}))
    evaluations = play(scenario)
    assert disagreements(scenario, evaluations) == []
    assert json.loads(report(scenario, evaluations))["disagreements"] == []
    return evaluations


def changes(evaluations: list[Evaluation]) -> list[tuple[int, str, str]]:
    """Each transition: how many minutes after 12:00, its reason, and how bad the alert is then."""
    return [
        ((minute_floor(one.at) - FIRST) // 60, one.reason.value, one.severity)
        for evaluation in evaluations
        for one in evaluation.transitions
    ]


def told(evaluations: list[Evaluation]) -> list[tuple[int, str]]:
    """Each notification: how many minutes after 12:00, and its kind."""
    return [
        ((minute_floor(one.at) - FIRST) // 60, one.kind.value)
        for evaluation in evaluations
        for one in evaluation.notifications
    ]


@pytest.mark.parametrize(
    ("aggregation", "limit", "states"),
    [
        pytest.param("last", 299, "F.", id="last: the greater of equal times"),
        pytest.param("avg", 174, "F.", id="avg: both, (300 + 50) / 2 = 175"),
        pytest.param("avg", 175, "..", id="avg: 175 is not above 175"),
        pytest.param("sum", 349, "F.", id="sum: both"),
        pytest.param("count", 1, "F.", id="count: two observations"),
        pytest.param("min", 49, "F.", id="min: the lesser"),
    ],
)
def test_two_points_at_one_time(aggregation: str, limit: float, states: str) -> None:
    """Points of one series at the same time are observations of their own."""
    one = rule(query={"aggregation": aggregation}, threshold={"value": limit}, on_no_data="ok")
    points = [{"metric": "level", "samples": [[30, 300], [30, 50]]}]
    played([one], points, says(states))


def test_a_point_from_the_future() -> None:
    """What is stamped 12:03:20 counts at 12:04 alone, whose minute holds it, though it came at 12:00:10."""
    points = [{"metric": "level", "timestamp": 200, "value": 300, "arrives": 10}]
    played([rule(on_no_data="ok")], points, says("...F."))


def test_points_out_of_order() -> None:
    """An evaluation judges what has come by then, in whatever order: two at 12:03, and one of them at 12:04."""
    points = [
        {"metric": "level", "timestamp": 150, "value": 1, "arrives": 100},
        {"metric": "level", "timestamp": 30, "value": 1, "arrives": 130},
    ]
    count = rule(query={"aggregation": "count"}, threshold={"value": 2, "operator": ">="}, evaluation_window=180)
    played([{**count, "on_no_data": "ok"}], points, says("..F."))


def test_equal_and_not_equal() -> None:
    """They are each other's opposite wherever there is a value; where there is none, neither holds."""
    same = rule("Same", threshold={"operator": "==", "value": 5}, on_no_data="ok")
    other = rule("Other", threshold={"operator": "!=", "value": 5}, on_no_data="ok")
    points = [minutes(5, 4, None, 5, -5, 5.000000001)]
    played([same, other], points, says("F..F..", "same"), says(".F..FF", "other"))


def test_too_few_observations_are_no_value() -> None:
    """Below ``min_count`` a window is empty, so two bad values end nothing and begin nothing, and three do."""
    points = [minutes([300, 300], [300, 300, 300], [0, 0], [0, 0, 0])]
    evaluations = played([rule(query={"min_count": 3})], points, says(".FF."))
    assert [one.alerts[0].value for one in evaluations] == [None, 300.0, None, 0.0]


@pytest.mark.parametrize(
    ("on_no_data", "no_data_after", "states", "reasons"),
    [
        pytest.param("keep", 120, "FFF..", [(1, "fired"), (4, "no_data"), (4, "data_missing"), (5, "data_back")],
                     id="keep: frozen at 12:02 and 12:03, ended two minutes after the first empty one"),
        pytest.param("keep", 0, "F....", [(1, "fired"), (2, "no_data"), (2, "data_missing"), (5, "data_back")],
                     id="keep, no patience: ended at the first empty one"),
        pytest.param("keep", 900, "FFFF.", [(1, "fired"), (5, "resolved")], id="keep, patient: frozen throughout"),
        pytest.param("ok", 120, "F....", [(1, "fired"), (2, "resolved")], id="ok: as a good value"),
        pytest.param("alert", 120, "FFFF.", [(1, "fired"), (5, "resolved")], id="alert: a violation"),
    ],
)  # fmt: skip
def test_no_data(on_no_data: str, no_data_after: int, states: str, reasons: list[tuple[int, str]]) -> None:
    """One bad minute, three empty ones, one good one."""
    one = rule(on_no_data=on_no_data, no_data_after=no_data_after)
    evaluations = played([one], [minutes(300, None, None, None, 10)], says(states))
    assert [(at, reason) for at, reason, _ in changes(evaluations)] == reasons


def test_no_data_while_pending() -> None:
    """Silence neither counts nor ends the count: bad, silent, bad is two in a row, unless patience is over before."""
    points = [minutes(300, None, 300, None, None, None, 300, 10)]
    patient, hasty = rule("Patient", min_occurrences=3), rule("Hasty", min_occurrences=3, no_data_after=120)
    evaluations = played([patient, hasty], points, says("ppppppF.", "patient"), says("ppppp.p.", "hasty"))
    counts = [[one.count for one in evaluation.alerts] for evaluation in evaluations]
    assert [patient for patient, _ in counts] == [1, 1, 2, 2, 2, 2, 3, 0]


def test_levels() -> None:
    """A level holds when its own run is long enough: 250 twice makes it high, 450 twice critical; it never sinks."""
    levels = [{"value": 200, "severity": "high"}, {"value": 400, "severity": "critical"}]
    one = rule(threshold={"severity": "low"}, levels=levels, min_occurrences=2)
    points = [minutes(150, 250, 450, 450, 150, 50)]
    evaluations = played([one], points, says("pFFFF."))
    assert changes(evaluations) == [
        (1, "started", "low"), (2, "fired", "low"), (3, "raised", "high"), (4, "raised", "critical"),
        (6, "resolved", "critical"),
    ]  # fmt: skip


def test_recovery() -> None:
    """An alert fires on between its limit and its recovery value, and ends at it; between them none begins."""
    one = rule(threshold={"recovery_value": 80})
    played([one], [minutes(90, 150, 90, 81, 80, 90, 150, 79)], says(".FFF..F."))


def test_recovery_of_a_level() -> None:
    """While a value has not recovered from a worse level the alert stays, whatever the milder one says."""
    levels = [{"value": 200, "severity": "high", "recovery_value": 50}]
    one = rule(threshold={"severity": "low"}, levels=levels)
    played([one], [minutes(150, 60, 50, 40)], says("FF.."))


def test_cooldown() -> None:
    """The second episode waits until five minutes after the first was told, and its end is told only if it was."""
    one = rule(cooldown_period=300)
    evaluations = played([one], [minutes(300, 10, 300, 10, 300, 300, 300, 10)], says("F.F.FFF."))
    assert told(evaluations) == [(1, "firing"), (2, "resolved"), (6, "firing"), (8, "resolved")]


@pytest.mark.parametrize(
    ("on_no_data", "values", "states"),
    [
        pytest.param("keep", (300, 10, None, 10, 10), "FFF..", id="a gap is no evaluation, but time passes"),
        pytest.param("ok", (300, None, None, None), "FFF.", id="gaps that are good begin and end it"),
        pytest.param("ok", (300, 10, 300, None, None, 10), "FFFFF.", id="a bad value begins it anew"),
        pytest.param("alert", (300, 10, None, 10, 10, 10), "FFFFF.", id="a gap that violates begins it anew"),
    ],
)
def test_keep_firing_through_gaps(on_no_data: str, values: tuple[float | None, ...], states: str) -> None:
    """Two minutes after the first good evaluation in a row an alert resolves."""
    played([rule(keep_firing_for=120, on_no_data=on_no_data)], [minutes(*values)], says(states))


def test_evaluation_delay() -> None:
    """A rule two minutes behind judges 12:00 to 12:01 at 12:03, with what came late meanwhile, and nothing before."""
    points = [{"metric": "level", "timestamp": 30, "value": 300, "arrives": 180}]
    prompt, behind = rule("Prompt", on_no_data="ok"), rule("Behind", on_no_data="ok", evaluation_delay_seconds=120)
    played([prompt, behind], points, says("....", "prompt"), says("..F.", "behind"))


@pytest.mark.parametrize("restarts", [[], [60], [120], [180], [60, 120, 180, 240, 300]], ids=str)
def test_a_restart_changes_nothing(restarts: list[int]) -> None:
    """A process that ends while an alert is pending, fires, or is held by its cooldown leaves it as it is."""
    one = rule(min_occurrences=3, keep_firing_for=60, cooldown_period=240)
    points = [minutes(300, 300, 300, 10, 10, 300, 300, 300)]
    evaluations = played([one], points, says("ppFF.ppF"), restarts=restarts)
    assert told(evaluations) == [(3, "firing"), (5, "resolved"), (8, "firing")]


def test_groups_by_two_labels_of_which_series_lack_some() -> None:
    """A series belongs to the group of the labels it has: four groups, each with its own state, none of them all."""
    points = [
        minutes(300, 10, 10, 10, region="eu", zone="a"),
        minutes(10, 300, 10, 10, region="eu"),
        minutes(10, 10, 300, 10, zone="a"),
        minutes(10, 10, 10, 300),
        minutes(None, 10, 10, 300, host="h"),
    ]
    evaluations = played(
        [rule(query={"group_by": ["zone", "region"]})], points,
        says("F...", region="eu", zone="a"), says(".F..", region="eu"), says("..F.", zone="a"), says("...F"),
    )  # fmt: skip
    assert len(timelines(evaluations)) == 4


@pytest.mark.parametrize("value", ["null", "NaN", "Infinity", "-Infinity", '"5"', "true", "1e999"])
def test_what_is_no_number_is_no_point(value: str) -> None:
    """It is refused by its path, so that nothing is judged as if it had not been there."""
    text = json.dumps({"start": START.isoformat(), "rules": [rule()], "points": [minutes(5, 7)]})
    with pytest.raises(ConfigError, match=r"points\[0\].samples\[1\]"):
        play(read_scenario(text.replace("[90, 7]", f"[90, {value}]")))
