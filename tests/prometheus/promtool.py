"""promtool: what it says of rules over series, minute by minute.

``promtool test rules`` only compares. So it is first asked what can never be, and says for every evaluation what it
got instead; then it is asked to confirm exactly that, and must.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Any, TypeAlias

from shared.rules import AlertRule, Query
from shared.timeline import MINUTE_SECONDS
from tests.prometheus.promql import Ranges, alert_expression, for_seconds, value_expression
from tests.reference import Group, Point, grouped

Samples: TypeAlias = list[tuple[dict[str, str], str]]
"""Labels and values."""
NEVER = [{"labels": '{never="true"}', "value": 12345}]
ALERTS_LABELS = {"__name__", "alertname", "alertstate"}
LETTERS = {"pending": "p", "firing": "F"}
_SAMPLE = re.compile(r'\{((?:\w+="(?:[^"\\]|\\.)*"(?:, )?)*)\} (\S+?)(?=, \{|$)')
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def missing() -> str | None:
    """Why promtool cannot be asked here; None when it can."""
    return None if shutil.which("promtool") else "promtool is not installed (Debian, Ubuntu: the package prometheus)"


def version() -> str:
    """``2.42.0`` of ``promtool, version 2.42.0+ds (...)``."""
    said = subprocess.run(["promtool", "--version"], capture_output=True, text=True, check=True).stdout
    return said.split()[2].partition("+")[0]


@dataclass(frozen=True, slots=True)
class Question:
    """One rule over series, evaluated at its frequency from ``first`` (Unix seconds) for some seconds.

    ``left_open``: with windows as (T - w, T]; otherwise with promtool's own ranges.
    """

    rule: AlertRule
    query: Query
    points: tuple[Point, ...]
    first: int
    seconds: int
    left_open: bool = True

    @property
    def ranges(self) -> Ranges:
        """How its windows are asked for."""
        sizes = [len({point.labels for point in some}) for some in grouped(self.points, self.query).values()]
        return Ranges(self.left_open, pooled=max(sizes, default=1) > 1)

    @property
    def alert(self) -> dict[str, str]:
        """The rule as Prometheus has it."""
        return {
            "alert": self.rule.id,
            "expr": alert_expression(self.rule, self.query, self.ranges),
            "for": f"{for_seconds(self.rule)}s",
            "keep_firing_for": f"{self.rule.keep_firing_for}s",
        }

    @property
    def value(self) -> str:
        """What it judges, as Prometheus has it."""
        return value_expression(self.rule, self.query, self.ranges)

    @property
    def asked(self) -> list[tuple[str, int]]:
        """All expressions with seconds after ``first``: the alerts at every evaluation, then the values."""
        times = range(0, self.seconds + 1, self.rule.evaluation_frequency)
        return [(expression, at) for expression in ("ALERTS", self.value) for at in times]


@dataclass(frozen=True, slots=True)
class Answer:
    """The states of each group, a letter an evaluation, and the values that were judged.

    Groups that never had a value nor an alert are not there.
    """

    states: dict[Group, str]
    values: dict[Group, list[float | None]]


def ask(questions: Sequence[Question]) -> list[Answer]:
    """What promtool says, confirmed by itself. Raises RuntimeError when it does not confirm, or is not understood."""
    said = _run([(question, [NEVER] * len(question.asked)) for question in questions])
    got = _got(said, [len(question.asked) for question in questions])
    confirmed = _run([(one, [*map(_written, some)]) for one, some in zip(questions, got, strict=True)])
    if confirmed.returncode:
        raise RuntimeError(f"promtool does not confirm what it said:\n{confirmed.stderr}")
    return [_answer(some) for some in got]


def _run(wanted: Iterable[tuple[Question, Sequence[object]]]) -> subprocess.CompletedProcess[str]:
    """One run over many questions, each with the samples that are expected of what it asks."""
    with tempfile.TemporaryDirectory() as folder:
        names = [_write(Path(folder), number, *one) for number, one in enumerate(wanted)]
        command = ["promtool", "test", "rules", *names]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def _write(folder: Path, number: int, question: Question, expected: Sequence[object]) -> str:
    """The rule file and the test file of a question, whose name it returns; JSON is YAML."""
    milliseconds = _interval_ms(question)
    test = {
        "interval": f"{milliseconds}ms",
        "input_series": _input(question, milliseconds),
        "promql_expr_test": [
            {"expr": expression, "eval_time": f"{at}s", "exp_samples": samples}
            for (expression, at), samples in zip(question.asked, expected, strict=True)
        ],
    }
    rules, name = f"{number}.rules.json", f"{number}.test.json"
    every = f"{question.rule.evaluation_frequency}s"
    files = {
        rules: {"groups": [{"name": "rules", "rules": [question.alert]}]},
        name: {"rule_files": [rules], "evaluation_interval": every, "tests": [test]},
    }
    for file, content in files.items():
        (folder / file).write_text(json.dumps(content), "utf-8")
    return name


def _offset_ms(question: Question, point: Point) -> int:
    return point.at_us // 1000 - question.first * 1000


def _interval_ms(question: Question) -> int:
    return gcd(MINUTE_SECONDS * 1000, *(_offset_ms(question, point) for point in question.points))


def _input(question: Question, milliseconds: int) -> list[dict[str, str]]:
    """Each series as promtool reads it: a value every interval, runs of missing ones as ``_x59``."""
    series: dict[str, dict[int, float]] = {}
    for point in question.points:
        slots = series.setdefault(f"{point.metric}{_text(dict(point.labels))}", {})
        slots[_offset_ms(question, point) // milliseconds] = point.value
    return [{"series": name, "values": " ".join(_values(slots))} for name, slots in series.items()]


def _values(slots: Mapping[int, float]) -> Iterator[str]:
    for before, slot in itertools.pairwise([-1, *sorted(slots)]):
        if slot - before > 1:
            yield f"_x{slot - before - 1}"
        yield repr(slots[slot])


def _got(said: subprocess.CompletedProcess[str], counts: Sequence[int]) -> list[list[Samples]]:
    """What each question got, in the order in which it asked."""
    lines = [line.strip() for line in said.stderr.splitlines()]
    got = iter([line.removeprefix("got:").strip() for line in lines if line.startswith("got:")])
    answers = [[_parsed(line) for line in itertools.islice(got, count)] for count in counts]
    if [*map(len, answers)] != [*counts] or next(got, None) is not None:
        raise RuntimeError(f"promtool did not answer {sum(counts)} questions:\n{said.stderr}\n{said.stdout}")
    return answers


def _parsed(line: str) -> Samples:
    found = [(dict(_LABEL.findall(labels)), value) for labels, value in _SAMPLE.findall(line)]
    if (", ".join(f"{_text(labels)} {value}" for labels, value in found) or "nil") != line:
        raise RuntimeError(f"cannot read {line}")
    return found


def _text(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


def _written(samples: Samples) -> list[dict[str, Any]]:
    return [{"labels": _text(labels), "value": float(value)} for labels, value in samples]


def _answer(got: Sequence[Samples]) -> Answer:
    """The first half of what was got are alerts, the second values."""
    evaluations = len(got) // 2
    states: dict[Group, list[str]] = {}
    values: dict[Group, list[float | None]] = {}
    for number, (alerts, found) in enumerate(zip(got[:evaluations], got[evaluations:], strict=True)):
        for labels, _ in alerts:
            group = tuple(sorted((name, text) for name, text in labels.items() if name not in ALERTS_LABELS))
            states.setdefault(group, ["."] * evaluations)[number] = LETTERS[labels["alertstate"]]
        for labels, text in found:
            values.setdefault(tuple(sorted(labels.items())), [None] * evaluations)[number] = float(text)
    groups = sorted({*states, *values})
    return Answer({group: "".join(states.get(group, "." * evaluations)) for group in groups}, values)
