"""Formats are told apart by attributes alone, and no bytes under any of them do more than be refused."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_DELTA,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)

from shared.buckets import commits_of, names_parts
from shared.errors import PermanentError
from shared.formats import compact, dispatch
from shared.formats.compact import Chunk
from shared.formats.dispatch import OTLP_METRICS, decode
from shared.formats.otlp_json import MAX_DEPTH
from shared.formats.otlp_labels import DEFAULT_RULE
from shared.identity import identify
from tests.cell_cases import FEW
from tests.events import otlp_make
from tests.hostile_messages import json_bytes, paths, with_value
from tests.otel import AT_NS, attributes, export, json_of, request_of

ROOT = Path(__file__).parents[2]
NATIVE = b'{"version":1,"points":[{"metric":"native","timestamp":"2025-10-18T12:34:56Z","value":1}]}'
COMPACT = compact.encode(Chunk("web-1", "b7", 4, ()))
REQUEST = export(otlp_make.record)
PROTOBUF, JSON = REQUEST.SerializeToString(), json_of(REQUEST)
OTLP_JSON = attributes(content_type="application/json")
REASONS = {"malformed_message", "chunk_too_large", "unknown_format"}


def _decode(data: bytes, named: dict[str, str]) -> tuple[Chunk, PermanentError | None]:
    return decode(data, named, {}, DEFAULT_RULE)


def _refusal(data: bytes, named: dict[str, str]) -> PermanentError:
    with pytest.raises(PermanentError) as caught:
        _decode(data, named)
    return caught.value


@pytest.mark.parametrize(
    ("named", "data", "metric"),
    [
        ({}, NATIVE, "native"),
        ({"content-type": "application/json"}, NATIVE, "native"),
        ({"content-type": "application/json", "trace": "anything"}, NATIVE, "native"),
        (attributes(), PROTOBUF, "cache.hit_ratio"),
        (attributes(content_type="application/x-foo+application/protobuf"), PROTOBUF, "cache.hit_ratio"),
        ({"ce-type": OTLP_METRICS, "content-type": "application/protobuf"}, PROTOBUF, "cache.hit_ratio"),
        (attributes(content_type="application/json"), JSON, "cache.hit_ratio"),
    ],
)
@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_attributes_tell_the_format(named: dict[str, str], data: bytes, metric: str, encoding: str) -> None:
    """``ce-type`` and ``content-type`` choose the reader; ``content-encoding`` goes with each."""
    if encoding:
        named, data = {**named, "content-encoding": encoding}, gzip.compress(data)
    chunk, refused = _decode(data, named)
    assert refused is None
    assert chunk.sections[0].cells.series[0].metric == metric


def test_a_compact_chunk_has_its_own_type() -> None:
    """The Python client's messages carry no event type."""
    assert _decode(COMPACT, {"content-type": compact.CONTENT_TYPE}) == (Chunk("web-1", "b7", 4, ()), None)


@pytest.mark.parametrize(
    "named",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/protobuf"},
        {"ce-type": "org.opentelemetry.otlp.traces.v1", "content-type": "application/protobuf"},
        {"ce-type": "org.opentelemetry.otlp.logs.v1", "content-type": "application/json"},
        {"ce-type": OTLP_METRICS},
        {"ce-type": OTLP_METRICS, "content-type": "text/plain"},
        {"ce-type": "com.example.mine", "content-type": "application/json"},
        {"ce-type": OTLP_METRICS, "content-type": compact.CONTENT_TYPE},
        attributes(content_encoding="zstd"),
    ],
)
def test_what_no_attribute_names_is_not_guessed(named: dict[str, str]) -> None:
    """Traces, logs, other events, types and encodings are refused, whatever the bytes would parse as."""
    for data in (NATIVE, PROTOBUF, JSON, COMPACT):
        assert _refusal(data, named).reason == "unknown_format"


def test_a_gzip_bomb_is_refused_before_it_is_inflated() -> None:
    """40 KB that stand for more than a message may say are too large; so is OTLP beyond its own bound."""
    bomb = gzip.compress(bytes(dispatch.MAX_INFLATED_BYTES + 1))
    assert len(bomb) < 40_000
    assert _refusal(bomb, attributes(content_encoding="gzip")).reason == "chunk_too_large"
    assert _refusal(bytes(4_000_001), attributes()).reason == "chunk_too_large"
    assert _refusal(b'{"a":[' + b"{}," * 250_000 + b"{}]}", OTLP_JSON).reason == "chunk_too_large"


@pytest.mark.parametrize(
    "data", [b"", b"\x1f\x8b", gzip.compress(PROTOBUF)[:-1], gzip.compress(PROTOBUF) + b"x", PROTOBUF]
)
def test_what_is_not_one_whole_gzip_stream_is_refused(data: bytes) -> None:
    """Nothing, a cut stream, trailing bytes and plain data under the name of gzip are malformed."""
    assert _refusal(data, attributes(content_encoding="gzip")).reason == "malformed_message"


def test_other_formats_do_without_what_reads_otlp() -> None:
    """The protobuf classes of OTLP are imported by its first message and by nothing before."""
    code = (
        "import sys; from shared.wiring import Services; from shared.formats.dispatch import decode;"
        "from shared.formats.otlp_labels import DEFAULT_RULE as rule;"
        f"decode({NATIVE!r}, {{}}, {{}}, rule); before = 'opentelemetry' in sys.modules;"
        f"decode({PROTOBUF!r}, {attributes()!r}, {{}}, rule); print(before, 'opentelemetry' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "False True", done.stderr


def _settle(data: bytes, named: dict[str, str]) -> str:
    """Decode whatever it is: stored and read back, or refused under a reason that is known."""
    try:
        chunk, _ = _decode(data, named)
    except PermanentError as error:
        return error.reason
    for put in (put for commit in commits_of(chunk, identify(data)) for put in commit.puts):
        for stored in put.fields["c"].values():
            if not names_parts(stored):
                compact.decode(stored)
    return "stored"


def _small() -> ExportMetricsServiceRequest:
    """A point of each type that is stored, as small as can be."""
    delta = AGGREGATION_TEMPORALITY_DELTA
    labels = [KeyValue(key="k", value=AnyValue(int_value=1))]
    number = NumberDataPoint(time_unix_nano=AT_NS, as_double=1.5, attributes=labels)
    explicit = HistogramDataPoint(
        time_unix_nano=AT_NS, count=3, sum=4.0, min=1.0, max=2.0, explicit_bounds=[1.5], bucket_counts=[2, 1]
    )
    buckets = ExponentialHistogramDataPoint.Buckets(offset=1, bucket_counts=[1, 2])
    exponential = ExponentialHistogramDataPoint(time_unix_nano=AT_NS, count=4, scale=2, zero_count=1, positive=buckets)
    return request_of(
        Metric(name="level", gauge=Gauge(data_points=[number])),
        Metric(name="added", sum=Sum(data_points=[number], aggregation_temporality=delta, is_monotonic=True)),
        Metric(name="time", histogram=Histogram(data_points=[explicit], aggregation_temporality=delta)),
        Metric(
            name="fine",
            exponential_histogram=ExponentialHistogram(data_points=[exponential], aggregation_temporality=delta),
        ),
        service_name="shop",
    )


@FEW
@given(st.binary(max_size=200), st.sampled_from(["protobuf", "json"]), st.booleans())
def test_any_bytes_are_refused(data: bytes, kind: str, compressed: bool) -> None:
    """Bytes that are no OTLP raise nothing but a PermanentError with a reason of its own."""
    named = attributes(content_type=f"application/{kind}", **({"content_encoding": "gzip"} if compressed else {}))
    assert _settle(gzip.compress(data) if compressed else data, named) in REASONS


def test_damaged_protobuf_is_read_or_refused() -> None:
    """Changed, missing and additional bytes are stored soundly or refused; a good many of each."""
    rng = random.Random(3)
    sound = _small().SerializeToString()
    outcomes = []
    for _ in range(1500):
        damaged = bytearray(sound)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(damaged))
            damaged[at : at + rng.choice([0, 1, 1, 1, 8])] = rng.randbytes(rng.choice([0, 1, 1, 1, 8]))
        outcomes.append(_settle(bytes(damaged), attributes()))
    assert set(outcomes) == {"stored", "malformed_message"}
    assert min(outcomes.count("stored"), outcomes.count("malformed_message")) > 100


ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**64,
    1e400,
    "",
    "x",
    "NaN",
    "Infinity",
    "-5",
    "\ud800",
    [],
    {},
    [[]],
    [{}],
    {"a": 1},
    [None],
)


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_json_with_an_odd_value_anywhere_is_read_or_refused(odd: Any) -> None:
    """Every value of a sound message in turn, replaced by what does not belong there."""
    message = json.loads(json_of(_small()))
    outcomes = {_settle(json_bytes(with_value(message, path, odd)), OTLP_JSON) for path in paths(message)}
    assert outcomes <= REASONS | {"stored"}
    assert "malformed_message" in outcomes


def test_json_is_read_as_otlp_writes_it() -> None:
    """Unknown keys are ignored, integers may be numbers or strings, and hex trace ids do no harm."""
    point = {"timeUnixNano": AT_NS, "asInt": "7", "new": [1], "exemplars": [{"traceId": "not base64!", "asInt": "1"}]}
    message = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "m", "gauge": {"dataPoints": [point]}}]}]}]}
    chunk, refused = _decode(json.dumps({**message, "more": {"deep": [{}]}}).encode(), OTLP_JSON)
    assert (refused, chunk.sections[0].cells.last.tolist()) == (None, [7.0])


@pytest.mark.parametrize("depth", [MAX_DEPTH, 500, 5_000, 100_000])
@pytest.mark.parametrize("inner", ['{"arrayValue":{"values":[%s]}}', "[%s]", '{"exemplars":%s}'])
def test_deep_json_is_refused(depth: int, inner: str) -> None:
    """Nesting ends in a refusal, not in the interpreter's own limit."""
    head, tail = inner.split("%s")
    value = head * depth + "{}" + tail * depth
    data = '{"resourceMetrics":[{"resource":{"attributes":[{"key":"k","value":' + value + "}]}}]}"
    assert _refusal(data.encode(), OTLP_JSON).reason == "malformed_message"
