"""What docs/alerting.md shows is what happens: each rule of the page, over the values beside it, minute by minute."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.alerts import TRANSITIONS
from shared.configuration.rules_reader import MAX_RULES
from shared.conformance import Conformance, Evaluation, timelines
from shared.monitoring_config import MonitoringConfig
from shared.notifications import Notification
from shared.people import MAX_AUTHOR_BYTES, MAX_COMMENT_BYTES
from shared.room import MAX_GROUPS
from shared.silences import MAX_MATCHERS
from shared.telling import Quiet
from tests.fakes import START
from tests.ticks import MINUTE

PAGE = (Path(__file__).parents[2] / "docs" / "alerting.md").read_text("utf-8")
EXAMPLES = re.findall(r"```json\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)


def rows_of(table: str) -> dict[str, list[str]]:
    """The rows of a table by their names: one word, or two of which the second is a rule's id."""
    lines = [line.split() for line in table.splitlines()]
    minutes = len(lines[0]) - 1
    return {" ".join(words[:-minutes]): words[-minutes:] for words in lines}


def word(told: Notification) -> str:
    """A notification in a word."""
    kind = told.kind.value
    return {"firing": "no_data", "resolved": "back"}[kind] if told.about == "no_data" else kind


def told_of(evaluation: Evaluation, rule_id: str) -> str:
    """What was told of a rule at an evaluation; a dot for nothing."""
    return "+".join(word(one) for one in evaluation.notifications if one.rule_id == rule_id) or "."


def played(rules: list[dict[str, Any]], values: list[str]) -> list[Evaluation]:
    """The evaluations of some rules over one value in each minute, or none."""
    run = Conformance(rules)
    found: list[Evaluation] = []
    for number, value in enumerate(values, start=1):
        end = START + number * MINUTE
        if value != ".":
            run.feed({"metric": "temperature", "timestamp": end - timedelta(seconds=30), "value": float(value)})
        found += run.step(end)
    return found


@pytest.mark.parametrize(("rules", "table"), EXAMPLES, ids=range(1, len(EXAMPLES) + 1))
def test_examples(rules: str, table: str) -> None:
    """States and what is told are, at every minute of every example, what the page says."""
    read = json.loads(rules)
    some: list[dict[str, Any]] = read if isinstance(read, list) else [read]
    rows = rows_of(table)
    evaluations = played(some, rows.pop("value"))
    assert rows.pop("minute") == [str(number + 1) for number in range(len(evaluations))]
    states = timelines(evaluations)
    for rule in some:
        rule_id = rule["name"].lower()
        mark = f" {rule_id}" if len(some) > 1 else ""
        assert "".join(rows.pop(f"state{mark}")) == states.get((rule_id, ()), "." * len(evaluations))
        assert rows.pop(f"told{mark}") == [told_of(one, rule_id) for one in evaluations]
    assert rows == {}


def test_every_rule_of_the_page_is_played() -> None:
    """No rule stands there without the minutes that show it."""
    assert len(EXAMPLES) == PAGE.count("```json") == PAGE.count("```text") == 8


def test_every_name_is_on_the_page() -> None:
    """Each reason of a transition, each reason to be quiet, each field about evaluation."""
    reasons = [reason.value for reason in TRANSITIONS] + [quiet.value for quiet in Quiet if quiet.value]
    fields = ["min_occurrences", "keep_firing_for", "recovery_value", "levels", "on_no_data", "no_data_after",
              "cooldown_period", "inhibited_by", "evaluation_window", "evaluation_frequency", "message", "runbook_url",
              "notification_channels", "min_count"]  # fmt: skip
    assert [name for name in (*reasons, *fields) if f"`{name}" not in PAGE] == []


def test_its_numbers_are_those_of_the_program() -> None:
    """What the page bounds is bounded so."""
    rule = MonitoringConfig().list_alert_rules()[0]
    after, severities = MonitoringConfig().escalation
    said = [
        f"| Rules | {MAX_RULES} |",
        f"remembered at once | {MAX_GROUPS:,};",
        f"| {MAX_MATCHERS} matchers,",
        f"| {MAX_AUTHOR_BYTES} and {MAX_COMMENT_BYTES:,} bytes;",
        f"`cooldown_period` ({rule.cooldown_period} s)",
        f"`no_data_after` seconds ({rule.no_data_after})",
        f"a second time after {after // MINUTE} minutes",
        f"A {severities[0]} alert that was told",
    ]
    assert [words for words in said if words not in " ".join(PAGE.split())] == []
