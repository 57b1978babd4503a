"""Ask promtool about every scenario and keep what it says: ``python -m tests.prometheus.record``.

Writes ``recorded/{name}.json``, each a scenario of ``docs/conformance.md``; what Prometheus was asked and answered
beyond the states stands in ``about``. Every case is asked twice: with windows as (T - w, T], which is what it expects,
and with promtool's own, closed ranges; where the two differ, the case says how. The same promtool gives the same bytes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from shared.conformance.run import with_rules
from shared.timeline import MINUTE_SECONDS, from_minute, iso
from tests.prometheus.cases import CASES, FIRST, Case
from tests.prometheus.promtool import Answer, Question, ask, missing, version
from tests.reference import US, Group, Point

RECORDED = Path(__file__).with_name("recorded")
PARALLEL = 4
"""promtool mostly waits for its disk."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A case, what promtool was asked, and what it says with ranges as (T - w, T] and with its own, closed ones."""

    case: Case
    question: Question
    open: Answer
    closed: Answer


def texts() -> dict[str, str]:
    """The file of every case, by name."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        parts = pool.map(_recordings, [CASES[start::PARALLEL] for start in range(PARALLEL)])
        recordings = {made.case.name: made for part in parts for made in part}
    return {case.name: text_of(recordings[case.name]) for case in CASES}


def _recordings(cases: Sequence[Case]) -> list[Recording]:
    """Ask about some cases. Raises RuntimeError when one does not say how closed ranges differ, or says it idly."""
    questions = [question_of(case) for case in cases]
    answers = ask([*questions, *(replace(question, left_open=False) for question in questions)])
    recordings = [*map(Recording, cases, questions, answers[: len(cases)], answers[len(cases) :])]
    for made in recordings:
        if (made.open != made.closed) != bool(made.case.difference):
            raise RuntimeError(f"{made.case.name} says {made.case.difference!r}: {made.open}, closed {made.closed}")
    return recordings


def question_of(case: Case) -> Question:
    """What is asked about a case."""
    rule = case.alert_rule()
    return Question(rule, with_rules((rule,)).query_for(rule), case.points, FIRST, case.minutes * MINUTE_SECONDS)


def text_of(made: Recording) -> str:
    """The scenario file of a recording."""
    expected = [{"rule": made.question.rule.id, **one} for one in _states(made.question, made.open)]
    answered = _sections({"about": _about(made), "expected": expected})
    return "{\n" + ",\n".join([*asked_text(made.case), *answered]) + "\n}\n"


def asked_text(case: Case) -> list[str]:
    """The sections that are the case's own."""
    return _sections(
        {
            "description": case.says,
            "start": iso(from_minute(FIRST)),
            "rules": [case.rule],
            "points": list(_written(case.points)),
            "from": 0,
            "to": question_of(case).seconds,
        }
    )


def _about(made: Recording) -> dict[str, object]:
    """What was asked, and what was answered beyond the states."""
    closed = replace(made.question, left_open=False)
    asked = made.question if made.case.difference else closed
    values = sorted(made.open.values.items())
    about: dict[str, object] = {
        "prometheus": version(),
        "evaluation_interval": f"{asked.rule.evaluation_frequency}s",
        "alert": asked.alert,
        "value": asked.value,
        "values": [{"labels": dict(group), "values": numbers} for group, numbers in values],
    }
    if made.case.difference:
        states = _states(made.question, made.closed)
        about["closed_ranges"] = {"difference": made.case.difference, "alert": closed.alert, "states": states}
    return about


def _states(question: Question, answer: Answer) -> list[dict[str, object]]:
    """A letter a minute: between two evaluations a state stays."""
    times = question.rule.evaluation_frequency // MINUTE_SECONDS
    return [
        {"labels": dict(group), "states": "".join(letter * times for letter in states)[: 1 - times or None]}
        for group, states in sorted(answer.states.items())
    ]


def _written(points: Sequence[Point]) -> Iterable[dict[str, object]]:
    """The points of each series as samples: seconds after the start, and the value."""
    series: dict[tuple[str, str, Group], list[list[float]]] = {}
    for point in points:
        seconds = (point.at_us - FIRST * US) / US
        series.setdefault((point.metric, point.kind, point.labels), []).append([_short(seconds), _short(point.value)])
    for (metric, kind, labels), samples in series.items():
        yield {"metric": metric, "labels": dict(labels), "kind": kind, "samples": samples}


def _short(number: float) -> float:
    """A whole number without its ``.0``."""
    return int(number) if number.is_integer() else number


def _sections(sections: Mapping[str, object]) -> list[str]:
    return [f"{json.dumps(name)}: {_section(value)}" for name, value in sections.items()]


def _section(value: object) -> str:
    """A section's JSON, an entry a line."""
    if isinstance(value, dict):
        return "{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(item)}" for name, item in value.items()) + "\n}"
    if isinstance(value, list):
        return "[\n" + ",\n".join(json.dumps(item) for item in value) + "\n]"
    return json.dumps(value)


def main() -> int:
    """Record every case in place of what was recorded; the exit status."""
    if (reason := missing()) is not None:
        sys.stderr.write(f"{reason}\n")
        return 2
    recorded = texts()
    RECORDED.mkdir(exist_ok=True)
    for path in RECORDED.glob("*.json"):
        path.unlink()
    for name, text in recorded.items():
        (RECORDED / f"{name}.json").write_text(text, "utf-8")
    sys.stdout.write(f"{len(recorded)} scenarios recorded\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
