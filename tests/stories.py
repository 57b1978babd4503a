"""Stories: seeded rules and series of every kind, judged by the engine and by the reference, minute by minute."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from shared.bins import SCALE, error_bound
from shared.configuration import document
from shared.configuration.models import Collection, PagerDuty
from shared.conformance import Alert, Conformance, Evaluation
from shared.monitoring_config import MonitoringConfig
from shared.rules import Aggregation, AlertRule, MetricThreshold, MetricType, OnNoData, Operator, Query, Selection
from shared.rules import Severity as Urgency
from shared.series import make_labels
from shared.timeline import MINUTE_SECONDS, from_minute, from_us, iso, minute_floor, minute_of_us, to_us
from tests.fakes import START
from tests.reference import US, Group, Point, Reference

FIRST = minute_floor(START)
MINUTES = 20
RULES = 12
SERIES = 5
KINDS = {"level": "gauge", "duration": "distribution", "hits": "counter", "misses": "counter"}
LEVELS = {
    "level": [-25.0, 0.0, 0.1, 25.0, 50.0, 50.0, 75.0, 100.0],
    "duration": [10.0, 20.0, 40.0, 80.0, 160.0],
    "hits": [0.0, 1.0, 10.0, 50.0],
    "misses": [0.0, 0.0, 1.0, 7.0],
}
PLACES: list[dict[str, str]] = [
    {"region": "eu", "zone": "a"},
    {"region": "eu", "zone": "b"},
    {"region": "us", "zone": "a"},
    {"region": "us"},
    {},
]
SCALARS = [one for one in Aggregation if one.quantile is None]
QUANTILES = [one for one in Aggregation if one.quantile is not None]


@dataclass(frozen=True)
class Story:
    """A configuration, and the points that its rules see."""

    config: MonitoringConfig
    points: tuple[Point, ...]


def story(seed: int) -> Story:
    """The rules and points of a seed, the same for ever."""
    rng = random.Random(seed)
    rules = [draw_rule(rng, number) for number in range(RULES)]
    points = tuple(point for _ in range(SERIES) for point in _series(rng))
    return Story(_config(rng, rules), points)


def _config(rng: random.Random, rules: Sequence[AlertRule]) -> MonitoringConfig:
    """The rules, some of which ask their query as a collection; alerts escalate while a story lasts."""
    views: list[Collection] = []
    asking: list[AlertRule] = []
    for number, rule in enumerate(rules):
        if rng.random() < 0.2:
            view = Collection(f"view_{number}", "", "", MonitoringConfig().query_for(rule), 60 * rng.choice([0, 1, 2]))
            views.append(view)
            rule = replace(rule, query=None, collection=view.name)
        asking.append(rule)
    urgent = (Urgency.CRITICAL, Urgency.HIGH)
    bundled = document.defaults()
    pager = PagerDuty("service", high_urgency=urgent, escalation_minutes=6)
    return MonitoringConfig(
        replace(
            bundled, rules=tuple(asking), collections=tuple(views), channels={**bundled.channels, "pagerduty": pager}
        )
    )


def _series(rng: random.Random) -> list[Point]:
    """A series that stays at one level for some minutes, dense, sparse, on the minute or silent, then at another."""
    metric, place = rng.choice(list(KINDS)), make_labels(rng.choice(PLACES))
    points: list[Point] = []
    minute = FIRST + MINUTE_SECONDS * rng.randrange(6)
    while minute < FIRST + MINUTE_SECONDS * MINUTES:
        level, often = rng.choice(LEVELS[metric]), rng.choice([0, 1, 1, 2, 3])
        for _ in range(rng.randint(1, 6)):
            times = [_instant_us(rng, minute) for _ in range(often)]
            points += [_point(rng, metric, place, at_us, level) for at_us in times]
            minute += MINUTE_SECONDS
    return points


def _instant_us(rng: random.Random, minute: int) -> int:
    """Anywhere in a minute, often at its very edges."""
    edges = [0, 0, -1, 1 - MINUTE_SECONDS * US]
    return minute * US + rng.choice([*edges, -rng.randrange(MINUTE_SECONDS * US), -rng.randrange(60) * US])


def _point(rng: random.Random, metric: str, place: Group, at_us: int, level: float) -> Point:
    value = level if rng.random() < 0.8 else rng.choice(LEVELS[metric])
    late = rng.choice([0] * 20 + [1, 2, 5])
    return Point(metric, KINDS[metric], place, at_us, value, minute_of_us(at_us) + MINUTE_SECONDS * late)


def draw_rule(rng: random.Random, number: int) -> AlertRule:
    """A rule with any of its fields."""
    query = _query(rng)
    threshold, levels = _thresholds(rng, query)
    earlier = {f"rule-{rng.randrange(number)}" for _ in range(rng.choice([0, 0, 1, 2]))} if number else set()
    return AlertRule(
        name=f"rule {number}",
        description="",
        metric_type=MetricType.BUSINESS,
        threshold=threshold,
        levels=levels,
        inhibited_by=tuple(sorted(earlier)),
        notification_channels=rng.choice([(), (), ("inbox",), ("slack", "email")]),
        message=rng.choice(["", "{rule} is {value} {unit}, above {threshold}: {severity}"]),
        evaluation_window=MINUTE_SECONDS * rng.choice([1, 1, 2, 3, 5]),
        evaluation_frequency=MINUTE_SECONDS * rng.choice([1, 1, 1, 2, 3]),
        min_occurrences=rng.choice([1, 1, 2, 3, 5]),
        cooldown_period=rng.choice([0, 0, 180, 600]),
        query=query,
        evaluation_delay_seconds=MINUTE_SECONDS * rng.choice([0, 0, 0, 1, 3]),
        keep_firing_for=rng.choice([0, 0, 60, 90, 300]),
        on_no_data=rng.choice(list(OnNoData)),
        no_data_after=rng.choice([0, 60, 180, 900]),
    )


def _query(rng: random.Random) -> Query:
    names = rng.choice([(), (), ("region",), ("zone",), ("region", "zone")])
    where = make_labels(rng.choice([{}, {}, {"region": "eu"}, {"zone": "a"}, {"region": "mars"}]))
    if rng.random() < 0.2:
        hits, misses = Selection("hits", where), Selection("misses", where)
        needed = float(rng.choice([0, 0, 10, 100]))
        return Query(misses, per=hits, scale=100.0, complement=rng.random() < 0.5, group_by=names, min_count=needed)
    metric = rng.choice(list(KINDS))
    among = {"level": SCALARS, "duration": SCALARS + QUANTILES}.get(metric, ["sum", "count", "rate"])
    aggregation = Aggregation(rng.choice(among))
    scale = 1.0 if aggregation.quantile else rng.choice([1.0, 1.0, 2.0, -0.5])
    return Query(Selection(metric, where), aggregation, None, scale, False, names, float(rng.choice([0, 0, 0, 2, 4])))


def _thresholds(rng: random.Random, query: Query) -> tuple[MetricThreshold, tuple[MetricThreshold, ...]]:
    """A limit that values often equal, and now and then further ones; of a percentile, which bins blur, between values.

    The worse lies beyond the milder, and which of them is the rule's own is anybody's guess.
    """
    limits = [30.0, 60.0, 120.0] if query.aggregation.quantile else [0.0, 0.1, 1.0, 7.0, 50.0, 75.0, 90.0, 100.0]
    operator = rng.choice(list(Operator))
    if operator in (Operator.EQUAL, Operator.NOT_EQUAL):
        return MetricThreshold(rng.choice(limits), operator, rng.choice(list(Urgency))), ()
    rising = operator in (Operator.GREATER, Operator.GREATER_EQUAL)
    values = sorted(rng.sample(limits, rng.choice([1, 1, 1, 2, 3])), reverse=rising)
    urgencies = sorted(rng.sample(list(Urgency), len(values)), key=lambda one: one.rank)
    harder = min if rising else max
    found = [
        MetricThreshold(value, operator, urgency, recovery_value=harder(value, rng.choice([value, rng.choice(limits)])))
        for value, urgency in zip(values, urgencies, strict=True)
    ]
    found = [one if rng.random() < 0.5 else replace(one, recovery_value=None) for one in found]
    rng.shuffle(found)
    return found[0], tuple(found[1:])


def check_story(seed: int) -> Counter[str]:
    """Tell a story to both, compare them at every minute; what was said in it, by kind and by what it is about."""
    told = story(seed)
    rng = random.Random(seed)
    run = Conformance(told.config)
    references = [Reference(rule, run.config, told.points) for rule in run.config.list_alert_rules()]
    for minute in range(FIRST, FIRST + MINUTE_SECONDS * MINUTES, MINUTE_SECONDS):
        _feed(rng, run, [point for point in told.points if first_known(point) == minute])
        (evaluation,) = run.step(from_minute(minute))
        judged = [reference.evaluate(minute) for reference in references]
        assert evaluation.failures == ()
        for reference, values in zip(references, judged, strict=True):
            reference.say(references, minute)
            _compare(seed, reference, values, evaluation)
    groups = [group for one in references for group in one.groups.values()]
    kinds = Counter(said.kind for one in groups for said in one.said)
    return kinds + Counter({"no_data": sum(len(one.said_of_missing) for one in groups)})


def first_known(point: Point) -> int:
    """What is known before the first evaluation is fed before it."""
    return max(point.known_from, FIRST)


def _feed(rng: random.Random, run: Conformance, points: Sequence[Point]) -> None:
    """Some points in any order, in one message or several."""
    shuffled = rng.sample(points, len(points))
    cut = rng.randint(0, len(shuffled))
    for some in (shuffled[:cut], shuffled[cut:]):
        run.feed(*map(native, some))


def native(point: Point) -> dict[str, object]:
    """A point as the native format has it."""
    at, labels = iso(from_us(point.at_us)), dict(point.labels)
    return {"metric": point.metric, "kind": point.kind, "labels": labels, "timestamp": at, "value": point.value}


def _compare(seed: int, reference: Reference, values: dict[Group, float], evaluation: Evaluation) -> None:
    """States, severities, counts, values and notifications of one rule at one minute are the same."""
    rule = reference.rule
    alerts = {alert.labels: alert for alert in evaluation.alerts if alert.rule_id == rule.id}
    where = f"seed {seed}, {evaluation.at:%H:%M}, {rule}"
    assert _states(alerts) == {
        group: (one.state, one.count, one.severity)
        for group, one in reference.groups.items()
        if one.state != "inactive"
    }, where
    found = {group: alert.value for group, alert in alerts.items() if alert.value is not None}
    quantile = reference.query.aggregation.quantile
    assert found == pytest.approx(values, rel=error_bound(SCALE) + 1e-9 if quantile else 1e-12), where
    at = to_us(evaluation.at) // US
    said = {
        (group, about, *one)
        for group, so in reference.groups.items()
        for about, some in (("threshold", so.said), ("no_data", so.said_of_missing))
        for one in some
        if one.at == at
    }
    notified = {
        (one.labels, one.about, one.kind.value, to_us(one.at) // US, to_us(one.fired_at) // US, one.severity.value,
         one.channels)
        for one in evaluation.notifications
        if one.rule_id == rule.id
    }  # fmt: skip
    assert notified == said, where


def _states(alerts: dict[Group, Alert]) -> dict[Group, tuple[str, int, str]]:
    return {
        group: (one.state.value, one.count, one.severity.value)
        for group, one in alerts.items()
        if one.state.value != "inactive"
    }
