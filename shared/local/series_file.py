"""A recorded series in a file of ``timestamp,value``, and the metric that it stands for."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..cells import MAX_MAGNITUDE
from ..errors import ConfigError
from ..monitoring_config import MonitoringConfig
from ..series import Kind, Series

HEADER = ["timestamp", "value"]


@dataclass(frozen=True, slots=True)
class Point:
    """One measured number at ``at`` (aware UTC)."""

    at: datetime
    value: float


@dataclass(frozen=True, slots=True)
class Target:
    """What a file's numbers are observations of."""

    series: Series
    kind: Kind


def read_series(path: Path) -> list[Point]:
    """The file's points, oldest first; rows that share a time are all kept. Never empty.

    Times without an offset are UTC. Raises ``ConfigError`` naming the line for anything that is not such a file, and
    OSError.
    """
    with path.open(encoding="utf-8-sig", newline="") as lines:
        points = list(_points(path.name, lines))
    if not points:
        raise ConfigError(f"{path.name}: expected at least one row of timestamp,value")
    return sorted(points, key=lambda point: point.at)


def target_of(config: MonitoringConfig, collection: str) -> Target:
    """The series that a collection selects.

    Raises ``ConfigError`` for an unknown collection and for a ratio, which no single series makes.
    """
    query = config.get_collection(collection).query
    metric = config.metric(query.select.metric)
    if query.per is not None or metric is None:
        plain = [one.name for one in config.list_collections() if one.query.per is None]
        raise ConfigError(f"{collection} is a ratio of two metrics, and a file holds one; replay {', '.join(plain)}")
    return Target(Series(query.select.metric, query.select.labels), metric.kind)


def _points(name: str, lines: Iterable[str]) -> Iterator[Point]:
    rows = csv.reader(lines)
    header = [column.strip() for column in next(rows, [])]
    if header != HEADER:
        raise ConfigError(f"{name}, line 1: expected timestamp,value")
    for row in rows:
        if row:
            yield _point(f"{name}, line {rows.line_num}", row)


def _point(place: str, row: list[str]) -> Point:
    if len(row) != len(HEADER):
        raise ConfigError(f"{place}: expected timestamp,value")
    return Point(_instant(place, row[0].strip()), _number(place, row[1].strip()))


def _instant(place: str, text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{place}: expected a time such as 2014-04-10 00:04:00, got {text[:40]!r}") from error
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _number(place: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not abs(number) <= MAX_MAGNITUDE:  # also what is no number at all
        raise ConfigError(f"{place}: expected a number, got {text[:40]!r}")
    return number
