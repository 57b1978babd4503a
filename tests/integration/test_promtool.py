"""promtool itself: it says what was recorded, and on rules drawn at random what the engine says."""

from __future__ import annotations

import json

import pytest

from shared.conformance import Conformance, timelines
from shared.timeline import from_minute, to_us
from tests.prometheus import promtool
from tests.prometheus.drawn import questions
from tests.prometheus.promtool import Question, ask
from tests.prometheus.record import RECORDED, texts
from tests.reference import US, Group
from tests.stories import native

SEEDS = range(5)


@pytest.fixture(scope="module", autouse=True)
def _promtool() -> None:
    if (reason := promtool.missing()) is not None:
        pytest.skip(reason)


def test_the_recorded_answers_are_those_of_promtool() -> None:
    """Asked again, promtool gives the very files that lie in ``tests/prometheus/recorded``."""
    recorded = {path.stem: path.read_text("utf-8") for path in RECORDED.iterdir()}
    (version,) = {json.loads(text)["about"]["prometheus"] for text in recorded.values()}
    if promtool.version() != version:
        pytest.skip(f"promtool {version} was recorded, and here is {promtool.version()}")
    assert texts() == recorded


def test_promtool_and_the_engine_agree_on_rules_drawn_at_random() -> None:
    """On some fifty rules over random series promtool and the engine have the same states at every evaluation."""
    asked = [question for seed in SEEDS for question in questions(seed)]
    answers = ask(asked)
    for question, answer in zip(asked, answers, strict=True):
        ours = _states(question)
        quiet = "." * len(next(iter(ours.values()), ""))
        assert {group: states for group, states in ours.items() if states != quiet} == {
            group: states for group, states in answer.states.items() if states != quiet
        }, question.rule
    assert len(asked) > 40
    assert sum("F" in states for answer in answers for states in answer.states.values()) > 10


def _states(question: Question) -> dict[Group, str]:
    """The engine's states at every evaluation of a question."""
    run = Conformance([question.rule])
    run.feed(*map(native, question.points))
    evaluations = run.step(from_minute(question.first)) + run.step(from_minute(question.first + question.seconds))
    due = [one for one in evaluations if to_us(one.at) // US % question.rule.evaluation_frequency == 0]
    return {labels: states for (_, labels), states in timelines(due).items()}
