"""Messages of a storm: how each kind of publisher says the same points, in every wire format.

Every number is n / 64 with a whole n, so that all sums are exact in whatever order they are made, and so are bins: at
scale s the bin of n / 64 is the i with n ** 2**s in (2 ** (i + 6 * 2**s), 2 ** (i + 1 + 6 * 2**s)].
"""

from __future__ import annotations

import gzip
import itertools
import json
import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_DELTA,
    ExponentialHistogramDataPoint,
    Metric,
)

from shared.bins import OFFSET, SCALE
from shared.journal import Left
from shared.publisher import ATTRIBUTES, Publisher
from shared.series import Kind, Series
from shared.timeline import from_us, iso
from tests.otel import attributes, request_of

PARTS = 64


@dataclass(frozen=True, slots=True)
class Point:
    """Some numbers, in 64ths, of one series at one instant; ``summarised`` into a histogram by who sends them."""

    series: Series
    kind: Kind
    at_us: int
    numbers: tuple[int, ...]
    summarised: bool

    @property
    def last(self) -> float:
        """The newest value: the greatest, or the mean of a histogram, which tells no more."""
        if self.summarised:
            return sum(self.numbers) / PARTS / len(self.numbers)
        return max(self.numbers) / PARTS


def _index(number: int, scale: int) -> int:
    """The bin of number / 64 above 0, without rounding."""
    return int((number**2**scale - 1).bit_length() - 1 - 6 * 2**scale)


def key_of(number: int) -> int:
    """A number's bin with its sign, as cells have it."""
    return 0 if not number else int(math.copysign(_index(abs(number), SCALE) + OFFSET, number))


@dataclass(frozen=True, slots=True)
class Said:
    """One message, as its publisher hands it to Pub/Sub, once or again."""

    data: bytes
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Name:
    """Who says a message: the process, its boot, and the number that it gives the message."""

    writer: str
    boot: str
    seq: int


def _compact(name: Name, points: Sequence[Point], _: random.Random) -> Said:
    sent: list[Said] = []
    publisher = Publisher(
        name.writer,
        name.boot,
        lambda data, attributes: sent.append(Said(data, attributes)),
        left=Left(next_seq=name.seq),
    )
    for point in points:
        for number in point.numbers:
            publisher.record_us(point.series.metric, number / PARTS, point.at_us, point.kind, dict(point.series.labels))
    publisher.flush()
    (message,) = sent
    assert message.attributes == ATTRIBUTES
    return message


def _native(name: Name, points: Sequence[Point], rng: random.Random) -> Said:
    return _json(points, rng, writer=name.writer, boot=name.boot, seq=name.seq)


def _anonymous(_: Name, points: Sequence[Point], rng: random.Random) -> Said:
    return _json(points, rng)


def _json(points: Sequence[Point], rng: random.Random, **envelope: object) -> Said:
    data = json.dumps({"version": 1, "points": [_json_point(point) for point in points], **envelope}).encode()
    return Said(data, rng.choice(({}, {"content-type": "application/json"})))


def _json_point(point: Point) -> dict[str, Any]:
    told: dict[str, Any] = {
        "metric": point.series.metric,
        "labels": dict(point.series.labels),
        "timestamp": iso(from_us(point.at_us)),
        "kind": point.kind.name.lower(),
    }
    if point.summarised:
        return told | {"histogram": _json_histogram(point.numbers)}
    values = [number / PARTS for number in point.numbers]
    return told | ({"value": values[0]} if len(values) == 1 else {"values": values})


def _json_histogram(numbers: Sequence[int]) -> dict[str, Any]:
    over, under = _buckets(numbers, SCALE + 1), _buckets([-number for number in numbers], SCALE + 1)
    return {
        "count": len(numbers),
        "sum": sum(numbers) / PARTS,
        "min": min(numbers) / PARTS,
        "max": max(numbers) / PARTS,
        "scale": SCALE + 1,
        "zeroCount": numbers.count(0),
        "positive": {"offset": over[0], "bucketCounts": over[1]},
        "negative": {"offset": under[0], "bucketCounts": under[1]},
    }


def _buckets(numbers: Sequence[int], scale: int) -> tuple[int, list[int]]:
    """The offset and the counts of the numbers above 0."""
    counts = Counter(_index(number, scale) for number in numbers if number > 0)
    if not counts:
        return 0, []
    return min(counts), [counts[index] for index in range(min(counts), max(counts) + 1)]


def _otlp(name: Name, points: Sequence[Point], rng: random.Random) -> Said:
    """As the Collector sends it: the region is the resource's, so each region's points are a request's own part."""
    requests = []
    for region, some in itertools.groupby(sorted(points, key=_region), _region):
        metrics = [_otlp_metric(point, rng.randint(SCALE, SCALE + 2)) for point in some]
        requests.append(request_of(*metrics, cloud_region=region, service_instance_id=name.writer))
    request = requests[0]
    for other in requests[1:]:
        request.MergeFrom(other)
    data = request.SerializeToString()
    if rng.random() < 0.5:
        return Said(data, attributes())
    return Said(gzip.compress(data, mtime=0), attributes(content_encoding="gzip"))


def _region(point: Point) -> str:
    return dict(point.series.labels)["region"]


def _otlp_metric(point: Point, scale: int) -> Metric:
    metric = Metric(name=point.series.metric)
    at_ns = point.at_us * 1000
    if point.kind is Kind.DISTRIBUTION:
        metric.exponential_histogram.aggregation_temporality = AGGREGATION_TEMPORALITY_DELTA
        data: Any = metric.exponential_histogram.data_points.add(time_unix_nano=at_ns)
        _fill(data, point.numbers, scale)
    elif point.kind is Kind.COUNTER:
        metric.sum.aggregation_temporality = AGGREGATION_TEMPORALITY_DELTA
        metric.sum.is_monotonic = True
        data = metric.sum.data_points.add(time_unix_nano=at_ns, as_double=point.numbers[0] / PARTS)
    else:
        data = metric.gauge.data_points.add(time_unix_nano=at_ns, as_double=point.numbers[0] / PARTS)
    for label, value in point.series.labels:
        if label != "region":
            data.attributes.add(key=label).value.string_value = value
    return metric


def _fill(data: ExponentialHistogramDataPoint, numbers: Sequence[int], scale: int) -> None:
    data.count, data.sum, data.scale = len(numbers), sum(numbers) / PARTS, scale
    data.min, data.max, data.zero_count = min(numbers) / PARTS, max(numbers) / PARTS, numbers.count(0)
    for side, signed in ((data.positive, numbers), (data.negative, [-number for number in numbers])):
        side.offset, counts = _buckets(signed, scale)
        side.bucket_counts.extend(counts)


@dataclass(frozen=True, slots=True)
class Format:
    """How a kind of publisher says points, how often it summarises a distribution, and whether it names itself."""

    say: Callable[[Name, Sequence[Point], random.Random], Said]
    summarised: float
    named: bool


_CLIENT = Format(_compact, 0.0, named=True)
_NATIVE = Format(_native, 0.3, named=True)
_ANONYMOUS = Format(_anonymous, 0.3, named=False)
_COLLECTOR = Format(_otlp, 1.0, named=False)
FORMATS = (_CLIENT,) * 14 + (_NATIVE,) * 8 + (_ANONYMOUS,) * 3 + (_COLLECTOR,) * 5
"""Of thirty writers, each one's."""
