"""What a night on call is drawn from: rules before and after a deploy, what series do, and what may happen to calls."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from shared.configuration import document
from shared.configuration.models import PagerDuty
from shared.monitoring_config import MonitoringConfig
from shared.rules import Aggregation, AlertRule, OnNoData, Query, Selection, Severity
from shared.timeline import MINUTE_SECONDS, from_minute
from tests.ticks import GROUPED, LEVELLED, RULE, VALUES
from tests.world import point

REGIONS = ("eu", "us")
AWAY = timedelta(minutes=13)
"""Longer than evaluations may be late without being catch-up."""
_TO_SLACK = (tuple(Severity), tuple(Severity), tuple(Severity)[1:])
"""All severities, or all but the worst."""
TOTAL = replace(RULE, name="Total", query=Query(Selection("level"), Aggregation.MAX))


@dataclass(frozen=True, slots=True)
class Misfortune:
    """What may happen in a night, as chances of a call.

    That of an evaluator, of an instance that is pushed to, and of what a person asks for; ``freeze`` is that an
    instance is frozen for minutes, ``twice`` that what is published arrives twice. In ``store_away`` (from, until) the
    store and the bus answer nobody, though what is asked of them may take effect.
    """

    evaluator: float = 0.0
    instance: float = 0.0
    person: float = 0.0
    freeze: float = 0.0
    twice: float = 0.0
    store_away: tuple[datetime, datetime] | None = None

    def store_is_away(self, at: datetime) -> bool:
        """Whether the store answers nobody."""
        return self.store_away is not None and self.store_away[0] <= at < self.store_away[1]


def draw_misfortune(rng: random.Random, began: datetime) -> Misfortune:
    """A quiet night or a bad one."""
    away = began + timedelta(minutes=rng.uniform(1, 10))
    return Misfortune(
        evaluator=rng.choice([0.0, 0.02, 0.05]),
        instance=rng.choice([0.0, 0.03, 0.1]),
        person=rng.choice([0.0, 0.1]),
        freeze=rng.choice([0.0, 0.02]),
        twice=rng.choice([0.0, 0.5]),
        store_away=(away, away + timedelta(seconds=rng.uniform(20, 90))) if rng.random() < 0.1 else None,
    )


def draw_away(rng: random.Random) -> timedelta:
    """For how long nobody evaluates in the middle of the night; mostly not at all."""
    return AWAY if rng.random() < 0.05 else timedelta(0)


def draw_configs(rng: random.Random) -> tuple[MonitoringConfig, MonitoringConfig]:
    """Before and after the deploy.

    A rule is taken away or added, groups otherwise, or has a milder limit; mostly only escalation changes.
    """
    level = _rule(rng, replace(rng.choice([RULE, LEVELLED]), query=GROUPED))
    inhibited_by = (level.id,) if rng.random() < 0.3 else ()
    total = _rule(rng, replace(TOTAL, evaluation_frequency=rng.choice([60, 120]), inhibited_by=inhibited_by))
    both = [level, total]
    whole = [replace(level, query=replace(GROUPED, group_by=())), total]
    others = [(both, [level]), ([level], both), (both, [_milder(level), total]), (both, whole), (whole, both)]
    before, after = rng.choice([(both, both)] * 6 + others)
    return _config(rng, before), _config(rng, after)


def _rule(rng: random.Random, rule: AlertRule) -> AlertRule:
    return replace(
        rule,
        notification_channels=(),
        evaluation_window=rng.choice([60, 60, 120]),
        min_occurrences=rng.choice([1, 1, 2]),
        cooldown_period=rng.choice([0, 120, 300]),
        keep_firing_for=rng.choice([0, 0, 60]),
        on_no_data=rng.choice([OnNoData.KEEP, OnNoData.KEEP, OnNoData.KEEP, OnNoData.OK, OnNoData.ALERT]),
        no_data_after=rng.choice([0, 60, 900]),
    )


def _milder(rule: AlertRule) -> AlertRule:
    """The same rule, to which some of what was bad is good."""
    return replace(rule, threshold=replace(rule.threshold, value=VALUES["l"]))


def _config(rng: random.Random, rules: list[AlertRule]) -> MonitoringConfig:
    """Everything goes to one channel, what is worst also or only to another; it escalates after some minutes."""
    urgent = (Severity.CRITICAL, Severity.HIGH)
    pager = PagerDuty("service", high_urgency=urgent, escalation_minutes=rng.choice([2, 3, 30]))
    return MonitoringConfig(
        replace(
            document.defaults(),
            rules=tuple(rules),
            metrics=(),
            collections=(),
            dashboards=(),
            channels={"pagerduty": pager},
            routing={"slack": rng.choice(_TO_SLACK), "pagerduty": (Severity.CRITICAL,)},
        )
    )


def draw_letters(rng: random.Random) -> dict[str, str]:
    """A letter of ``VALUES`` a minute for each region, ``.`` for no data; it ends well.

    In half of the nights all regions begin alike, and their alerts fire together; in some they get worse in turn.
    """
    if rng.random() < 0.1:
        first, then = rng.randrange(1, 3), rng.randrange(1, 3)
        worse = [f"h{'c' * first}gg{'g' * then}", f"h{'h' * (first + then)}cc"]
        return {region: f"{letters}ggg" for region, letters in zip(REGIONS, worse, strict=True)}
    length, alike = rng.randrange(6, 10), rng.choice(["", "h", "hh", "lh", "c", ""])
    return {region: f"{(alike + _letters(rng, length))[:length]}ggg" for region in REGIONS}


def _letters(rng: random.Random, length: int) -> str:
    found = ""
    while len(found) < length:
        found += rng.choice("ggBBlhc..") * rng.randrange(1, 4)
    return found[:length]


def draw_points(rng: random.Random, began: int, letters: str, region: str) -> Iterator[tuple[datetime, dict[str, Any]]]:
    """When each point of a region is published, mostly at once: now and then twice, or minutes late."""
    for number, letter in enumerate(letters, 1):
        at = from_minute(began + MINUTE_SECONDS * number) - timedelta(seconds=rng.uniform(0, 50))
        if letter != ".":
            yield from _published(rng, at, VALUES[letter], region, rng.choice([0, 1, 3]))
        if rng.random() < 0.1:
            yield from _published(rng, at, VALUES[rng.choice("gB")], region, rng.uniform(30, 200))


def _published(
    rng: random.Random, at: datetime, value: float, region: str, late_seconds: float
) -> Iterator[tuple[datetime, dict[str, Any]]]:
    for _ in range(rng.choice([1, 1, 1, 2])):
        yield at + timedelta(seconds=late_seconds), point("level", at, value, region=region)
