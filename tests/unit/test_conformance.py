"""The conformance entry point: its manual is true, points count when and as it says, and mistakes are named."""

from __future__ import annotations

import io
import json
import math
import random
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from shared.alerts import State
from shared.conformance import Conformance, Evaluation, timelines
from shared.conformance.__main__ import main
from shared.conformance.report import report
from shared.conformance.scenario import play, read_scenario
from shared.errors import ConfigError, PermanentError
from shared.monitoring_config import MonitoringConfig
from shared.rules import Aggregation, AlertRule, MetricThreshold, MetricType, OnNoData, Query, Selection
from shared.timeline import iso
from tests.fakes import START

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/conformance.md").read_text("utf-8")
NOTIFICATION = json.loads((ROOT / "docs/notification.schema.json").read_text("utf-8"))
MINUTE = timedelta(minutes=1)
RULE: dict[str, Any] = {
    "name": "rule",
    "metric_type": "business",
    "threshold": {"value": 100},
    "evaluation_window": 60,
    "min_occurrences": 1,
    "on_no_data": "ok",
    "query": {"select": {"metric": "level"}, "aggregation": "max"},
}
POINT: dict[str, Any] = {"metric": "level", "samples": [[30, 300]]}
SCENARIO: dict[str, Any] = {"start": iso(START), "rules": [RULE], "points": [POINT], "from": 0, "to": 240}


def block(language: str) -> str:
    """The manual's only example in a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def states(scenario: Mapping[str, Any], rule_id: str = "rule") -> str:
    """The states of the only alert of a rule."""
    found = timelines(play(read_scenario(json.dumps(scenario))))
    (word,) = [states for (rule, _), states in found.items() if rule == rule_id]
    return word


def of(run: Conformance, to: datetime) -> dict[str, str]:
    """The states at T of all alerts, by the values of their labels."""
    return {"".join(value for _, value in one.labels): one.state.value for one in run.step(to)[-1].alerts}


def test_the_manuals_scenario_says_what_the_manual_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The example runs as it stands there, agrees with what it expects, and ends with the lines that are shown."""
    path = tmp_path / "scenario.json"
    path.write_text(block("json"), "utf-8")
    assert main([str(path)]) == 0
    said = capsys.readouterr().out
    assert said.endswith(block("text") + "}\n")
    assert [one["at"] for one in json.loads(said)["evaluations"]][:2] == [iso(START + MINUTE), iso(START + 2 * MINUTE)]


def test_the_manuals_python_runs() -> None:
    """The example in Python runs as it stands there, and what it asserts holds."""
    assert block("python").count("assert") == 3
    exec(compile(block("python"), "docs/conformance.md", "exec"), {})


def test_a_scenario_on_stdin() -> None:
    """``python -m shared.conformance -`` reads stdin and prints the report."""
    command = [sys.executable, "-m", "shared.conformance", "-"]
    run = subprocess.run(command, cwd=ROOT, input=json.dumps(SCENARIO), capture_output=True, text=True, check=True)
    assert json.loads(run.stdout)["timelines"] == [{"rule": "rule", "labels": {}, "states": ".F..."}]


def test_disagreement_is_said_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where states are not the expected ones both are printed, with the first evaluation that differs."""
    expected = [{"rule": "rule", "states": ".FF.."}, {"rule": "rule", "labels": {"a": "b"}, "states": "....."}]
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({**SCENARIO, "expected": expected})))
    assert main(["-"]) == 1
    assert json.loads(capsys.readouterr().out)["disagreements"] == [
        {"rule": "rule", "labels": {}, "states": ".F...", "expected": ".FF..", "at": iso(START + 2 * MINUTE)}
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": None}, "points: expected a list, got null"),
        ({"point": []}, 'point: unknown key; did you mean "points"?'),
        ({"configuration": {}}, "document: expected either rules or configuration"),
        ({"rules": [{**RULE, "evaluation_window": 90}]}, "rules[0].evaluation_window: expected a multiple of 60"),
        ({"rules": [RULE, RULE]}, 'rules[1].name: the id "rule" is taken by the rule before it, number 0'),
        ({"start": "noon"}, "start: expected an RFC 3339 time with Z or an offset, such as 2025-10-18T12:34:56Z"),
        ({"start": "0001-01-01T00:00:00Z"}, "points[0].samples[0].timestamp: expected a time from 1970"),
        ({"points": [{**POINT, "samples": [[0, math.nan]]}]}, "points[0].samples[0]: NaN is not JSON"),
        ({"points": [{**POINT, "metric": ""}]}, "points[0].samples[0]: a metric's name has 1 to 200 bytes"),
        ({"from": 1}, "from: expected a whole minute, got 1"),
        ({"to": -60}, "document: expected 1 to 10000 evaluations, got 0"),
        ({"from": None}, "from: expected an RFC 3339 time, or seconds after the start, got null"),
        ({"start": "2025-10-18T12:00:00Z", "points": [{"metric": "m"}]}, "points[0].timestamp: expected an RFC 3339"),
        ({"points": [{**POINT, "value": 1}]}, "points[0].value: expected no such key beside samples"),
        ({"points": [{**POINT, "samples": [[1]]}]}, "points[0].samples[0]: expected a time and a value"),
        ({"points": [{**POINT, "samples": [[1, 2], [3, "x"]]}]}, "points[0].samples[1].value: expected a finite"),
        ({"points": [{**POINT, "kind": "counter", "samples": [[1, -2]]}]}, "points[0].samples[0].value: expected"),
        ({"points": [POINT, {**POINT, "unit": "ms"}]}, "points[1].unit: unknown key"),
        ({"expected": [{"rule": "rules", "states": "....."}]}, 'expected[0].rule: unknown rule "rules"; did you mean'),
        ({"expected": [{"rule": "rule", "states": ".F"}]}, "expected[0].states: expected 5 letters of . F p, got 2"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_and_ends_with_2(
    change: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be read is one line that begins with its path, and nothing is printed as a result."""
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps({**SCENARIO, **change}), "utf-8")
    assert main([str(path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.removeprefix("invalid_configuration: ").startswith(message)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"points": [], "points": []}', '{"points": [{"labels": {"a": "b", "a": "c"}}]}', "\x00"]
)
def test_what_is_no_scenario_ends_with_2(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Text that is no JSON object, or says a thing twice, is refused with a line; so is a file that is not there."""
    path = tmp_path / "scenario.json"
    path.write_text(text, "utf-8")
    assert (main([str(path)]), main([str(tmp_path / "none.json")])) == (2, 2)
    assert capsys.readouterr().err.count("\n") >= 2


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(60.000000, ".F..."), (60.000001, "..F.."), (119.999999, "..F.."), (120, "..F.."), (0, "F...."), (1e-6, ".F...")],
)
def test_a_point_on_the_edge(seconds: float, expected: str) -> None:
    """A point exactly on the minute belongs to the evaluation at that minute, one a microsecond later to the next."""
    assert states({**SCENARIO, "points": [{"metric": "level", "samples": [[seconds, 300]]}]}) == expected


@pytest.mark.parametrize(
    ("arrives", "expected"),
    [(59, ".FFF."), (65, ".FFF."), (65.000001, "..FF."), (170, "...F."), (240, ".....")],
)
def test_a_late_point_counts_in_later_windows_alone(arrives: float, expected: str) -> None:
    """An evaluation at T sees what arrives by T + 5 s; no T is judged again, and later windows hold the point."""
    rules = [{**RULE, "evaluation_window": 180}]
    assert states({**SCENARIO, "rules": rules, "points": [{**POINT, "arrives": arrives}]}) == expected


def test_seconds_need_a_start() -> None:
    """Without a start a number says no time, and without points a scenario needs from and to."""
    scenario = {"rules": [RULE], "points": [POINT]}
    with pytest.raises(
        ConfigError, match=re.escape("points[0].samples[0].timestamp: expected an RFC 3339 time, got 30")
    ):
        read_scenario(json.dumps(scenario))
    with pytest.raises(ConfigError, match="document: expected from and to, or points"):
        read_scenario(json.dumps({**scenario, "points": []}))
    assert states({**scenario, "points": [{"metric": "level", "timestamp": iso(START), "value": 300}]}) == "F"


def test_the_order_of_points_changes_nothing() -> None:
    """However points are ordered and split into messages, the report is the same to the byte."""
    rng = random.Random(1)
    points = [
        {
            "metric": "level",
            "labels": {"region": rng.choice("ab")},
            "timestamp": 20 * number,
            "value": rng.uniform(0, 200),
        }
        for number in range(60)
    ]
    scenario = {
        **SCENARIO,
        "rules": [{**RULE, "query": {**RULE["query"], "aggregation": "avg", "group_by": ["region"]}}],
    }
    reports = set()
    for _ in range(5):
        rng.shuffle(points)
        read = read_scenario(json.dumps({**scenario, "to": 1200, "points": points}))
        reports.add(report(read, play(read)))
    assert len(reports) == 1
    assert "firing" in reports.pop()


def test_notifications_are_as_they_are_sent() -> None:
    """Each notification of the report satisfies the schema of what is sent."""
    read = read_scenario(json.dumps(SCENARIO))
    said = [
        one for evaluation in json.loads(report(read, play(read)))["evaluations"] for one in evaluation["notifications"]
    ]
    assert [one["kind"] for one in said] == ["firing", "resolved"]
    for one in said:
        jsonschema.validate(one, NOTIFICATION)


def test_a_whole_configuration() -> None:
    """A scenario may bring its own configuration, checked as a whole, in place of rules."""
    document = {**MonitoringConfig().to_dict()}
    points = [{"metric": "cpu_utilization", "labels": {"region": "us-central1"}, "samples": [[30, 95], [90, 95]]}]
    scenario = {"start": iso(START), "configuration": document, "points": points}
    found = timelines(play(read_scenario(json.dumps(scenario))))
    assert found["high-cpu-utilization", (("region", "us-central1"),)] == "pp"
    document["rules"] = [{**RULE, "query": {"select": {"metric": "level"}}}]
    with pytest.raises(ConfigError, match='unknown metric "level"'):
        read_scenario(json.dumps(scenario))


def test_rules_are_the_same_in_every_form() -> None:
    """Objects, JSON and a whole configuration are judged alike, under one hash."""
    (rule,) = Conformance([RULE]).config.list_alert_rules()
    forms: list[Any] = [[RULE], [rule], (rule for _ in range(1)), Conformance([rule]).config]
    seen: list[list[Evaluation]] = []
    for form in forms:
        run = Conformance(form)
        run.feed({"metric": "level", "timestamp": START, "value": 300})
        seen.append(run.step(START) + run.step(START + 2 * MINUTE))
    assert all(one == seen[0] for one in seen)
    assert [one.alerts[0].state for one in seen[0]] == [State.FIRING, State.INACTIVE, State.INACTIVE]


def test_rule_objects_are_checked_like_json() -> None:
    """An object with a window of 90 seconds is refused by path, as it would be in a configuration."""
    rule = AlertRule(
        "x", "", MetricType.BUSINESS, MetricThreshold(1), evaluation_window=90, query=Query(Selection("m"))
    )
    with pytest.raises(ConfigError, match=r"rules\[0\].evaluation_window: expected a multiple of 60, got 90"):
        Conformance([rule])


@pytest.mark.parametrize(
    ("query", "value", "expected"),
    [
        (Query(Selection("m"), Aggregation.P50), {"value": 7}, 7.0),
        (Query(Selection("m"), Aggregation.P50), {"values": [7, 7]}, 7.0),
        (Query(Selection("m"), Aggregation.SUM), {"value": 7}, 7.0),
        (Query(Selection("m"), per=Selection("m")), {"value": 7}, 1.0),
        (Query(Selection("m"), Aggregation.RATE), {"value": 6, "kind": "counter"}, 0.1),
        (Query(Selection("m"), Aggregation.RATE), {"value": 6, "kind": "gauge"}, 1 / 60),
        (Query(Selection("m"), Aggregation.P50), {"value": 7, "kind": "gauge"}, None),
        (Query(Selection("requests"), Aggregation.RATE), {"metric": "requests", "value": 6}, 0.1),
    ],
)
def test_the_kind_of_a_point(query: Query, value: dict[str, Any], expected: float | None) -> None:
    """A point's kind is its own, else the catalogue's, else what the rules need of the metric."""
    rule = AlertRule("x", "", MetricType.BUSINESS, MetricThreshold(1e6), evaluation_window=60, query=query)
    run = Conformance([rule])
    run.feed({"metric": "m", "timestamp": START, **value})
    assert run.step(START)[0].alerts[0].value == expected


def test_writers_are_told_apart_by_last_sum() -> None:
    """The newest value of each writer is added up; points without a writer are one writer's."""
    query = Query(Selection("m"), Aggregation.LAST_SUM)
    rule = AlertRule("x", "", MetricType.BUSINESS, MetricThreshold(1e6), evaluation_window=60, query=query)
    run = Conformance([rule])
    for second, writer, value in [(0, "a", 1), (1, "a", 2), (0, "b", 10), (5, "", 100), (3, "", 200)]:
        run.feed({"metric": "m", "timestamp": START + timedelta(seconds=second), "value": value}, writer=writer)
    assert run.step(START + MINUTE)[0].alerts[0].value == 2 + 100


def test_a_refused_feed_counts_nothing() -> None:
    """When one of the points is refused, none of them counts; feeding none does nothing."""
    run = Conformance([RULE])
    sound = {"metric": "level", "timestamp": START, "value": 300}
    with pytest.raises(PermanentError, match=r"points\[1\].value: expected a finite number"):
        run.feed(sound, {**sound, "value": True})
    run.feed()
    assert of(run, START) == {"": "inactive"}


@pytest.mark.parametrize(
    ("to", "message"),
    [
        (START.replace(tzinfo=None), "expected an aware datetime"),
        (START + timedelta(seconds=1), "expected a whole minute, got 2025-10-18T12:00:01Z"),
        (START, "expected a minute after 2025-10-18T12:00:00Z, got 2025-10-18T12:00:00Z"),
    ],
)
def test_a_step_that_cannot_be(to: datetime, message: str) -> None:
    """A step needs an aware whole minute after the last one; what it refuses changes nothing."""
    run = Conformance([RULE])
    run.step(START)
    with pytest.raises(ValueError, match=message):
        run.step(to)
    assert [one.at for one in run.step(START + 2 * MINUTE)] == [START + MINUTE, START + 2 * MINUTE]


def test_other_rules_from_now_on() -> None:
    """After ``configure`` the next evaluation is by the new rules, and a rule that stays keeps its alert."""
    run = Conformance([{**RULE, "min_occurrences": 3}])
    run.feed(*({"metric": "level", "timestamp": START + number * MINUTE, "value": 300} for number in range(4)))
    assert of(run, START + MINUTE) == {"": "pending"}
    run.configure([{**RULE, "min_occurrences": 2}])
    assert of(run, START + 2 * MINUTE) == {"": "firing"}
    run.configure([{**RULE, "name": "another"}])
    (evaluation,) = run.step(START + 3 * MINUTE)
    assert [(one.rule_id, one.state, one.count) for one in evaluation.alerts] == [("another", State.FIRING, 1)]


def test_alerts_are_shown_from_when_they_are_seen() -> None:
    """A group is there from its first value on, also when it is inactive or silent; an ungrouped rule is at once."""
    grouped = {**RULE, "query": {**RULE["query"], "group_by": ["region"]}}
    run = Conformance([RULE, {**grouped, "name": "grouped"}])
    run.feed({"metric": "level", "timestamp": START + MINUTE, "labels": {"region": "eu"}, "value": 5})
    evaluations = run.step(START) + run.step(START + 2 * MINUTE)
    assert [[(one.rule_id, one.value) for one in evaluation.alerts] for evaluation in evaluations] == [
        [("rule", None)],
        [("rule", 5.0), ("grouped", 5.0)],
        [("rule", None), ("grouped", None)],
    ]


def test_a_rule_that_is_not_due_judges_nothing() -> None:
    """Between its evaluations a rule's alerts stand as they were, with no value."""
    run = Conformance([{**RULE, "evaluation_frequency": 120}])
    run.feed(*({"metric": "level", "timestamp": START + number * MINUTE, "value": 300} for number in range(3)))
    evaluations = run.step(START) + run.step(START + 2 * MINUTE)
    found = [(one.state, one.value, one.count) for evaluation in evaluations for one in evaluation.alerts]
    assert found == [(State.FIRING, 300.0, 1), (State.FIRING, None, 1), (State.FIRING, 300.0, 2)]


def test_a_rule_that_fails_is_named_and_stops_no_other() -> None:
    """A rule that cannot be evaluated is a failure by name; the alerts of the others are judged."""
    sound = Conformance([RULE]).config
    broken = replace(sound.list_alert_rules()[0], name="broken", query=None, on_no_data=OnNoData.ALERT)
    settings = replace(sound.settings, rules=(broken, *sound.list_alert_rules()), metric_types={})
    run = Conformance(MonitoringConfig(settings))
    run.feed({"metric": "level", "timestamp": START, "value": 300})
    (evaluation,) = run.step(START)
    assert [failure.rule_id for failure in evaluation.failures] == ["broken"]
    assert [(one.rule_id, one.state) for one in evaluation.alerts] == [("rule", State.FIRING)]
