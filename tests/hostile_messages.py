"""Hostile messages, drawn: every format, sound in most of its parts, and a lie somewhere.

``messages`` draws what may stand in a publish: data and attributes. Names are hostile strings, numbers lie at and
beyond every limit, columns lie about their lengths, and of what is sound some bytes are changed.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
from google.protobuf.json_format import MessageToDict
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
    Summary,
    SummaryDataPoint,
)

from shared.adapters.message_limits import MAX_ATTRIBUTE_KEY_BYTES, MAX_ATTRIBUTE_VALUE_BYTES
from shared.bus import PUBLISH_TIME_ATTRIBUTE
from shared.formats.columns import Writer
from shared.formats.compact import CONTENT_TYPE, Chunk, Section, encode
from shared.formats.dispatch import OTLP_METRICS
from shared.formats.series_table import encode_table
from shared.series import Series
from shared.timeline import iso, to_us
from tests.cell_cases import cells
from tests.fakes import START
from tests.hostile import hostile_strings

T = TypeVar("T")
COMPACT = {"content-type": CONTENT_TYPE}
PROTOBUF = {"ce-type": OTLP_METRICS, "content-type": "application/protobuf"}
JSON = {"ce-type": OTLP_METRICS, "content-type": "application/json"}
MINUTE = to_us(START) // 60_000_000
ODD_NAMES = ("/", ".", "..", "__x__", "a/b", "`a`.b", "x" * 200, "x" * 201, "x" * 1501, "é" * 101, "c.s0_00000000")
BIG = (2**31, 2**32, 2**32 + 1, 2**53, 2**53 + 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
DOUBLES = (
    0.0,
    -0.0,
    5e-324,
    1e-300,
    -1.0,
    1e200,
    -1e200,
    1.0000001e200,
    1e308,
    float("inf"),
    float("-inf"),
    float("nan"),
)
OTHER: tuple[Any, ...] = (None, True, False, -1, "1", "NaN", "1e5", "0x10", "１", "", [], {}, [[]], 10**400)
WIDTHS = (0, 1, 2, 4, 8, 3, 255)


@dataclass(frozen=True, slots=True)
class Sent:
    """What a publisher may put on the topic."""

    data: bytes
    attributes: Mapping[str, str]


def mostly(sound: SearchStrategy[Any], odd: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """Sound in some fifteen of sixteen draws."""
    return rarely().flatmap(lambda lot: odd if lot else sound)


def rarely() -> SearchStrategy[bool]:
    """True in some of sixteen draws; by a number in the middle, for hypothesis likes both ends."""
    return st.integers(0, 15).map(lambda lot: lot == 6)


names = st.sampled_from(ODD_NAMES) | hostile_strings()
text = mostly(st.sampled_from(("a", "b", "region")), names.map(lambda one: one.encode("utf-8", "replace").decode()))
doubles = st.sampled_from((1.5, 2.0, 3.5, *DOUBLES))
uint64 = st.sampled_from((0, 1, 2, 3, *BIG))
odd = st.sampled_from((*OTHER, *BIG, *DOUBLES)) | names
instants = st.builds(
    lambda end, ms: START + end + timedelta(milliseconds=ms),
    st.sampled_from([timedelta(0)] * 8 + [timedelta(minutes=5), timedelta(minutes=6), timedelta(hours=-72)]),
    st.sampled_from((-9, 0, 9)),
)
"""About the running minute, and about both ends of what is taken."""


@st.composite
def native(draw: DrawFn) -> Sent:
    """Native JSON with up to two odd values anywhere; NaN, lone surrogates and integers without end included."""
    histogram = {
        "count": 3,
        "sum": 3.5,
        "min": 1,
        "max": 2,
        "scale": 0,
        "zeroCount": 1,
        "positive": {"bucketCounts": [2]},
    }
    said = st.fixed_dictionaries(
        {
            "metric": st.sampled_from("ab"),
            "timestamp": instants.map(iso),
            "labels": st.dictionaries(names, names, max_size=2),
        }
    )
    counted = st.sampled_from(
        ({"value": 1.5}, {"values": [1, 2.5]}, {"histogram": histogram}, {"value": 2, "kind": "counter"})
    )
    points = st.lists(st.builds(lambda a, b: {**a, **b}, said, counted), min_size=1, max_size=4)
    envelope = st.sampled_from(({}, {"writer": "w", "seq": 1}, {"writer": "w", "boot": "b", "seq": 2**53 - 1}))
    message = {"version": 1, "points": draw(points), **draw(envelope)}
    return Sent(_json(draw, message), {})


def _json(draw: DrawFn, message: Any) -> bytes:
    """A message as JSON, with up to two odd values somewhere in it."""
    for path in draw(st.lists(st.sampled_from(paths(message)), max_size=2)):
        message = with_value(message, path, draw(odd))
    if draw(rarely()):
        return json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return json_bytes(message)


def json_bytes(message: Any) -> bytes:
    """A message as JSON, with numbers beyond any double where it holds infinities."""
    return json.dumps(message).replace("Infinity", "1e400").encode()


def deflate(body: bytes, header: bytes = b"\2\0") -> bytes:
    """A compact message of some body."""
    deflater = zlib.compressobj(1, zlib.DEFLATED, -15)
    return header + deflater.compress(body) + deflater.flush()


@st.composite
def damaged(draw: DrawFn, data: bytes) -> bytes:
    """Bytes with up to four pieces cut, overwritten, doubled or added."""
    result = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at, length = draw(st.integers(0, len(result))), draw(st.integers(0, 9))
        piece = draw(st.binary(max_size=9) | st.sampled_from((b"", b"\xff" * 8, bytes(8), bytes(result[at : at + 20]))))
        result[at : at + length] = piece
    return bytes(result)


@st.composite
def compact(draw: DrawFn) -> Sent:
    """A compact chunk of any cells, as it is or damaged above or below its compression."""
    minutes = draw(st.lists(st.sampled_from((0, -1, 5, 6, 7, -4320, -4321)), unique=True, max_size=3).map(sorted))
    sections = tuple(_section(draw(cells()), minute) for minute in minutes)
    seq = draw(st.none() | st.integers(0, 2**56 - 2))
    whole = encode(Chunk("w" if seq is not None else draw(text), draw(text), seq, sections))
    body = zlib.decompress(whole[2:], -15)
    return Sent(draw(st.sampled_from((whole, deflate(body))) | damaged(whole) | damaged(body).map(deflate)), COMPACT)


def _section(drawn: Any, minute: int) -> Section:
    """Drawn cells moved to a minute counted from the running one."""
    end_us = (MINUTE + minute) * 60_000_000
    at_us = end_us - np.abs(drawn.last_at_us % 60_000_000)
    columns = {name: getattr(drawn, name) for name in drawn.__slots__}
    return Section(end_us // 1_000_000, type(drawn)(**columns | {"last_at_us": at_us}))


@st.composite
def lying(draw: DrawFn) -> Sent:
    """A compact chunk whose counts and columns do not say the same, built piece by piece."""
    out, series = Writer(), draw(st.integers(0, 3))
    for _ in range(2):
        out.blob(draw(mostly(st.just(b"w"), st.binary(max_size=300))))
    out.varint(draw(mostly(st.integers(0, 40), st.integers(0, 2**56 - 1))))
    table = encode_table(tuple(Series(f"m{at}") for at in range(series)))
    out.blob(draw(mostly(st.just(table), damaged(table))))
    count = draw(st.integers(0, 2))
    out.varint(draw(mostly(st.just(count), st.sampled_from((0, 5000, 5001, 2**56 - 1)))))
    version = draw(st.sampled_from((1, 2)))
    for at in range(count):
        out.varint(draw(mostly(st.just(MINUTE + at), st.sampled_from((0, 2**56 - 1)))))
        rows = draw(mostly(st.just(series), st.sampled_from((0, 1, 20_000, 2**40))))
        out.varint(rows)
        out.varint(draw(mostly(st.just(1), st.integers(0, 3))))
        counts = draw(st.sampled_from((1, 1, 1, 3, 2**33)))
        for kind, value, length in _columns(series, draw(st.integers(0, 2)), counts, version):
            _column(draw, out, kind, value, draw(mostly(st.just(length), st.integers(0, 5))))
    header = draw(mostly(st.just(bytes([version, 0])), st.binary(min_size=2, max_size=2)))
    return Sent(deflate(out.done(), header), COMPACT)


def _columns(rows: int, kind: int, count: int, version: int) -> Iterator[tuple[str, int, int]]:
    """The columns of a section of equal rows, each as its type, its value and its length."""
    yield from (("unsigned", kind, rows), ("unsigned", count, rows), ("unsigned", 0, rows), ("floats", 1, rows))
    many = rows if count > 1 else 0
    yield from [("floats", 1, many)] * 3
    counted = many if kind == 2 else 0
    if counted or version == 1:
        yield from (("unsigned", 10, counted), ("unsigned", 1, counted))
    if version == 1:
        yield from (("unsigned", 0, counted), ("unsigned", 1, counted))
    elif counted:
        yield from (("unsigned", 0, counted), ("bytes", 0, counted), ("unsigned", 0, 0), ("unsigned", 0, 0))


def _column(draw: DrawFn, out: Writer, kind: str, value: int, length: int) -> None:
    if kind == "floats":
        out.floats(np.array([draw(mostly(st.just(value), doubles)) for _ in range(length)], np.float64))
    elif kind == "bytes":
        out.raw(bytes(draw(mostly(st.just(value), st.integers(0, 255))) for _ in range(length)))
    elif draw(rarely()):
        width = draw(st.sampled_from(WIDTHS))
        out.raw(bytes([width]) + draw(st.binary(min_size=width * length % 64, max_size=width * length % 64)))
    else:
        out.unsigned(np.full(length, draw(mostly(st.just(value), st.integers(0, 2**63 - 1)))))


NESTED = AnyValue(array_value=ArrayValue(values=[AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="k")]))]))
VALUES = (
    AnyValue(), AnyValue(string_value="v"), AnyValue(string_value="\x00/.__x__" * 60), AnyValue(bool_value=True),
    AnyValue(int_value=-(2**63)), AnyValue(double_value=float("nan")), AnyValue(bytes_value=b"\xff"), NESTED,
)  # fmt: skip
attributes = st.lists(
    st.builds(KeyValue, key=text | st.just("service.name"), value=st.sampled_from(VALUES)), max_size=2
)
times = mostly(instants.map(lambda at: to_us(at) * 1000), uint64)


def _optional(**fields: SearchStrategy[Any]) -> SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


def _points(build: Callable[..., T], more: SearchStrategy[dict[str, Any]]) -> SearchStrategy[list[T]]:
    common = st.fixed_dictionaries(
        {"time_unix_nano": times, "attributes": attributes, "flags": st.sampled_from((0,) * 6 + (1, 2**32 - 1))}
    )
    return st.lists(st.builds(lambda a, b: build(**a, **b), common, more), min_size=1, max_size=2)


@st.composite
def _explicit(draw: DrawFn) -> dict[str, Any]:
    bounds = draw(
        mostly(st.lists(st.floats(-9, 9), max_size=4, unique=True).map(sorted), st.lists(doubles, max_size=4))
    )
    counts = draw(st.lists(mostly(st.integers(0, 3), uint64), min_size=len(bounds) + 1, max_size=len(bounds) + 1))
    count = draw(mostly(st.just(min(sum(counts), 2**64 - 1)), uint64))
    measured = draw(_optional(sum=doubles, min=mostly(st.just(-9.0), doubles), max=mostly(st.just(9.0), doubles)))
    return {"count": count, "bucket_counts": counts, "explicit_bounds": bounds, **measured}


@st.composite
def _exponential(draw: DrawFn) -> dict[str, Any]:
    sides = [draw(st.lists(mostly(st.integers(0, 3), uint64), max_size=4)) for _ in range(2)]
    zeros = draw(mostly(st.integers(0, 3), uint64))
    offsets = [draw(mostly(st.integers(-40, 40), st.sampled_from((-(2**31), 2**31 - 1)))) for _ in range(2)]
    positive, negative = [
        ExponentialHistogramDataPoint.Buckets(offset=offset, bucket_counts=counts)
        for offset, counts in zip(offsets, sides, strict=True)
    ]
    count = draw(mostly(st.just(min(zeros + sum(map(sum, sides)), 2**64 - 1)), uint64))
    scale = draw(mostly(st.integers(-10, 20), st.integers(-(2**31), 2**31 - 1)))
    measured = draw(_optional(sum=doubles, min=mostly(st.just(-9.0), doubles), max=mostly(st.just(9.0), doubles)))
    sizes = {"count": count, "scale": scale, "zero_count": zeros}
    return {**sizes, "positive": positive, "negative": negative, **measured}


def _metrics() -> SearchStrategy[Metric]:
    number: SearchStrategy[dict[str, Any]] = st.one_of(
        st.builds(dict, as_double=doubles), st.builds(dict, as_int=st.integers(-(2**63), 2**63 - 1)), st.just({})
    )
    temporality = st.integers(0, 2)
    numbers = _points(NumberDataPoint, number)
    sums = st.builds(Sum, data_points=numbers, aggregation_temporality=temporality, is_monotonic=st.booleans())
    explicit = st.builds(
        Histogram,
        data_points=_points(HistogramDataPoint, _explicit()),
        aggregation_temporality=st.just(1) | temporality,
    )
    exponential = st.builds(
        ExponentialHistogram,
        data_points=_points(ExponentialHistogramDataPoint, _exponential()),
        aggregation_temporality=st.just(1) | temporality,
    )
    summary = st.builds(Summary, data_points=_points(SummaryDataPoint, st.just({})))
    return st.one_of(
        st.builds(Metric, name=text, gauge=st.builds(Gauge, data_points=numbers)),
        st.builds(Metric, name=text, sum=sums),
        st.builds(Metric, name=text, histogram=explicit),
        st.builds(Metric, name=text, exponential_histogram=exponential),
        st.builds(Metric, name=text, summary=summary),
        st.builds(Metric, name=text),
    )


@st.composite
def otlp(draw: DrawFn) -> Sent:
    """OTLP as protobuf or JSON, as it is or damaged."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    resource.resource.attributes.extend(draw(attributes))
    for _ in range(draw(st.integers(1, 2))):
        resource.scope_metrics.add(metrics=draw(st.lists(_metrics(), min_size=1, max_size=2)))
    data, named = request.SerializeToString(), PROTOBUF
    if draw(st.booleans()):
        data, named = _json(draw, MessageToDict(request, use_integers_for_enums=draw(st.booleans()))), JSON
    return Sent(draw(mostly(st.just(data), damaged(data))), named)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values inside a JSON value."""
    items = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    return [path, *(found for key, inner in items for found in paths(inner, (*path, key)))]


def with_value(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """The same JSON with another value at a path; unchanged where the path has gone."""
    if not path:
        return new
    inside = isinstance(value, dict) and path[0] in value
    if not inside and not (isinstance(value, list) and isinstance(path[0], int) and path[0] < len(value)):
        return value
    copy = value.copy()
    copy[path[0]] = with_value(value[path[0]], path[1:], new)
    return copy


PUBLISH_TIMES = (
    "", "yesterday", "2025-10-18", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "1999-12-31T23:59:59Z",
    "2000-01-01T00:00:00Z", iso(START - timedelta(hours=80)), iso(START), iso(START + timedelta(minutes=6)), "\ud800",
)  # fmt: skip


KINDS: Mapping[str, SearchStrategy[Sent]] = {
    "native": native(),
    "compact": compact(),
    "lying": lying(),
    "otlp": otlp(),
    "noise": st.builds(Sent, st.binary(max_size=60), st.sampled_from(({}, COMPACT, PROTOBUF, JSON))),
}


@st.composite
def messages(draw: DrawFn, kind: str) -> Sent:
    """A hostile message of a kind, under attributes that may lie about it."""
    sent = draw(KINDS[kind])
    data, attributes = sent.data, dict(sent.attributes)
    if draw(rarely() | rarely()):
        data = draw(st.just(gzip.compress(data, mtime=0)) | damaged(gzip.compress(data, mtime=0)) | st.just(data))
        attributes["content-encoding"] = draw(mostly(st.just("gzip"), names))
    if draw(rarely()):
        lie = draw(st.sampled_from((COMPACT, PROTOBUF, JSON, {"content-type": "text/plain"})))
        attributes |= lie
    if draw(rarely()):
        attributes[PUBLISH_TIME_ATTRIBUTE] = draw(st.sampled_from(PUBLISH_TIMES))
    if draw(rarely()):
        attributes |= draw(st.dictionaries(names, names, max_size=3))
    kept = {
        cut(name, MAX_ATTRIBUTE_KEY_BYTES): cut(said, MAX_ATTRIBUTE_VALUE_BYTES) for name, said in attributes.items()
    }
    return Sent(data, {name or "k": said for name, said in kept.items()})


def cut(said: str, most_bytes: int) -> str:
    """Text that Pub/Sub takes: at most so many bytes of UTF-8, without lone surrogates."""
    return said.encode("utf-8", "replace")[:most_bytes].decode("utf-8", "ignore")
