"""Scenarios: rules, points and times in one JSON document, played evaluation by evaluation.

``docs/conformance.md`` describes the document. A point counts from the first evaluation that could see it: one at T
sees what has arrived by T + settle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from ..alerts import State
from ..buckets import SETTLE
from ..configuration import document
from ..configuration.reader import Fields, Node
from ..configuration.settings import read_settings
from ..errors import ConfigError, PermanentError
from ..formats.compact import MAX_MINUTE
from ..monitoring_config import MonitoringConfig
from ..series import MAX_LABEL_VALUE_BYTES, MAX_LABELS, Labels, make_labels
from ..timeline import MINUTE_SECONDS, US_PER_SECOND, from_minute, from_us, iso, minute_of_us, parse_iso, to_us
from .run import LETTERS, Conformance, Evaluation, timelines, with_rules

MAX_POINTS = 1_000_000
MAX_EVALUATIONS = 10_000
"""A week of minutes."""
_MAX_SECONDS = 1e9
_MAX_US = MAX_MINUTE * US_PER_SECOND
_VALUES = ("timestamp", "value", "values", "histogram")
_OPTIONAL = ("description", "about", "rules", "configuration", "start", "from", "to", "restarts", "expected")
_STATES = frozenset(LETTERS.values())


@dataclass(frozen=True, slots=True)
class Arrival:
    """A point in the native format, when and from whom it comes, and where in the document it stands."""

    observed_us: int
    arrives_us: int
    writer: str
    path: str
    point: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a scenario says of one alert: a letter an evaluation."""

    rule_id: str
    labels: Labels
    states: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is fed, in the order in which it arrives, and evaluated every minute from ``first`` to ``last``.

    After each of the evaluations in ``restarts`` the process ends, and another goes on.
    """

    config: MonitoringConfig
    arrivals: tuple[Arrival, ...]
    first: datetime
    last: datetime
    expected: tuple[Expected, ...] = ()
    restarts: frozenset[datetime] = frozenset()


@dataclass(frozen=True, slots=True)
class Disagreement:
    """An alert whose states are not the expected ones; ``at`` is the first evaluation that differs."""

    rule_id: str
    labels: Labels
    expected: str
    states: str
    at: datetime


def read_scenario(text: str) -> Scenario:
    """The scenario in a JSON text. Raises ``ConfigError`` with one problem a line, each with its path."""
    return document.checked(document.parse_json(text), "", _scenario)


def play(scenario: Scenario) -> list[Evaluation]:
    """Every evaluation of a scenario, oldest first. Raises ``ConfigError`` for a point that the format refuses."""
    run = Conformance(scenario.config)
    waiting = list(reversed(scenario.arrivals))
    evaluations: list[Evaluation] = []
    at = scenario.first
    while at <= scenario.last:
        seen_us = to_us(at + SETTLE)
        arrived: list[Arrival] = []
        while waiting and waiting[-1].arrives_us <= seen_us:
            arrived.append(waiting.pop())
        for writer, some in groupby(arrived, lambda arrival: arrival.writer):
            _feed(run, writer, list(some))
        evaluations += run.step(at)
        if at in scenario.restarts:
            run.restart()
        at += timedelta(seconds=MINUTE_SECONDS)
    return evaluations


def _feed(run: Conformance, writer: str, arrivals: Sequence[Arrival]) -> None:
    """Feed them at once; when the format refuses that, one by one, so that the error names the point."""
    try:
        run.feed(*(arrival.point for arrival in arrivals), writer=writer)
    except PermanentError as error:
        if len(arrivals) == 1:
            path, detail = arrivals[0].path, error.detail
            named = detail.replace("points[0]", path) if "points[0]" in detail else f"{path}: {detail}"
            raise ConfigError(named) from error
        for arrival in arrivals:
            _feed(run, writer, [arrival])


def disagreements(scenario: Scenario, evaluations: Sequence[Evaluation]) -> list[Disagreement]:
    """The alerts whose states are not the expected ones; those of which nothing is expected are passed over."""
    found = timelines(evaluations)
    never = LETTERS[State.INACTIVE] * len(evaluations)
    result: list[Disagreement] = []
    for one in scenario.expected:
        states = found.get((one.rule_id, one.labels), never)
        differing = [evaluation.at for evaluation, a, b in zip(evaluations, one.states, states, strict=True) if a != b]
        if differing:
            result.append(Disagreement(one.rule_id, one.labels, one.states, states, differing[0]))
    return result


def _scenario(node: Node) -> Scenario:
    f = node.fields(["points"], _OPTIONAL)
    if ("rules" in f.entries) == ("configuration" in f.entries):
        node.fail("expected either rules or configuration")
    config = _config(f)
    times = _Times(f.get("start", _instant, None))
    arrivals = tuple(arrival for item in _items(f, "points", MAX_POINTS) for arrival in _arrivals(item, times))
    first, last = _range(node, f, times, [arrival.observed_us for arrival in arrivals])
    return Scenario(
        config=config,
        arrivals=tuple(sorted(arrivals, key=lambda arrival: (arrival.arrives_us, arrival.writer))),
        first=from_minute(first),
        last=from_minute(last),
        expected=tuple(
            _expected(item, config, (last - first) // MINUTE_SECONDS + 1) for item in _items(f, "expected", 1000)
        ),
        restarts=frozenset(from_minute(times.read_minute(one)) for one in _items(f, "restarts", MAX_EVALUATIONS)),
    )


def _config(f: Fields) -> MonitoringConfig:
    if "configuration" in f.entries:
        return MonitoringConfig(read_settings(f.entries["configuration"]))
    return with_rules(f.get("rules", document.read_rules, ()))


def _items(f: Fields, name: str, limit: int) -> list[Node]:
    return f.get(name, lambda n: n.items(limit), [])


def _instant(node: Node) -> int:
    """An RFC 3339 time in Unix microseconds. Placeholder: 0."""
    try:
        return to_us(parse_iso(node.value if isinstance(node.value, str) else ""))
    except (ValueError, OverflowError):
        node.expected("an RFC 3339 time with Z or an offset, such as 2025-10-18T12:34:56Z")
    return 0


@dataclass(frozen=True, slots=True)
class _Times:
    """Reads times: RFC 3339 text, or seconds after ``start_us``."""

    start_us: int | None

    def read(self, node: Node) -> int:
        """Unix microseconds, from 1970 to 9999. Placeholder: 0."""
        at_us = self._read(node)
        if 0 <= at_us <= _MAX_US:
            return at_us
        node.expected("a time from 1970 to 9999")
        return 0

    def _read(self, node: Node) -> int:
        if isinstance(node.value, str):
            return _instant(node)
        if self.start_us is None or isinstance(node.value, bool) or not isinstance(node.value, int | float):
            node.expected("an RFC 3339 time" + (", or seconds after the start" if self.start_us is not None else ""))
            return 0
        return self.start_us + round(node.number(-_MAX_SECONDS, _MAX_SECONDS) * US_PER_SECOND)

    def read_minute(self, node: Node) -> int:
        """A whole minute in Unix seconds."""
        at_us = self.read(node)
        if at_us % (MINUTE_SECONDS * US_PER_SECOND):
            node.expected("a whole minute")
        return at_us // US_PER_SECOND


def _arrivals(node: Node, times: _Times) -> Iterator[Arrival]:
    """The points of one element: itself, or one for each of its samples."""
    f = node.fields(["metric"], ["labels", "kind", *_VALUES, "samples", "writer", "arrives"])
    if "labels" in f.entries:
        _labels(f.entries["labels"])
    writer = f.get("writer", Node.text, "")
    arrives_us = f.get("arrives", times.read, None)
    common = {name: f.entries[name].value for name in ("metric", "labels", "kind") if name in f.entries}
    if "samples" not in f.entries:
        own = {name: f.entries[name].value for name in _VALUES if name in f.entries}
        yield _arrival(node, times, arrives_us, writer, common | own)
        return
    for name in _VALUES:
        if name in f.entries:
            f.entries[name].fail("expected no such key beside samples")
    for sample in _items(f, "samples", MAX_POINTS):
        if not isinstance(sample.value, list) or len(sample.value) != 2:
            sample.expected("a time and a value, or a time and a list of values")
            continue
        at, value = sample.value
        measured = {"timestamp": at, "values" if isinstance(value, list) else "value": value}
        yield _arrival(sample, times, arrives_us, writer, common | measured)


def _arrival(
    node: Node, times: _Times, arrives_us: int | None, writer: str, point: dict[str, object]
) -> Arrival:  # fmt: skip
    at = point.get("timestamp")
    observed_us = times.read(node.child("timestamp", at))
    if not isinstance(at, str):
        point["timestamp"] = iso(from_us(observed_us))
    return Arrival(observed_us, observed_us if arrives_us is None else arrives_us, writer, node.path, point)


def _range(node: Node, f: Fields, times: _Times, observed_us: list[int]) -> tuple[int, int]:
    """The first and last evaluation in Unix seconds; by default the minutes of the oldest and the newest point."""
    if not observed_us and not {"from", "to"} <= f.entries.keys():
        node.fail("expected from and to, or points")
        return 0, 0
    first = f.get("from", times.read_minute, None)
    last = f.get("to", times.read_minute, None)
    first = minute_of_us(min(observed_us)) if first is None else first
    last = minute_of_us(max(observed_us)) if last is None else last
    evaluations = (last - first) // MINUTE_SECONDS + 1
    if not 1 <= evaluations <= MAX_EVALUATIONS:
        node.fail(f"expected 1 to {MAX_EVALUATIONS} evaluations, got {max(evaluations, 0)}")
        return 0, 0
    return first, last


def _expected(node: Node, config: MonitoringConfig, evaluations: int) -> Expected:
    f = node.fields(["rule", "states"], ["labels"])
    rules = [rule.id for rule in config.list_alert_rules(enabled_only=True)]
    states = f.get("states", lambda n: n.text(MAX_EVALUATIONS), "")
    if states and (len(states) != evaluations or not _STATES.issuperset(states)):
        f.entries["states"].fail(f"expected {evaluations} letters of {' '.join(sorted(_STATES))}, got {len(states)}")
    return Expected(f.get("rule", lambda n: n.reference("rule", rules), ""), f.get("labels", _labels, ()), states)


def _labels(node: Node) -> Labels:
    return make_labels({name: value.string(MAX_LABEL_VALUE_BYTES) for name, value in node.entries(MAX_LABELS).items()})
