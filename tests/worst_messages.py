"""The worst messages there are, by hand: each as large as it may be, and made to cost the most time, memory or writes.

``python -m tests.worst_messages`` reads each in a process of its own and prints what it took: seconds of CPU to read
it and to make the commits that store it, the most memory above what the process had before, documents and bytes.
"""

from __future__ import annotations

import gzip
import json
import math
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import ExponentialHistogramDataPoint, NumberDataPoint

from shared.buckets import commits_of
from shared.bus import MAX_MESSAGE_BYTES
from shared.errors import PermanentError
from shared.formats.columns import Writer
from shared.formats.dispatch import decode
from shared.formats.otlp_labels import DEFAULT_RULE
from shared.formats.series_table import encode_table
from shared.identity import identify
from shared.limits import check_commit
from shared.series import Series
from shared.timeline import iso, to_us
from tests.fakes import START
from tests.hostile_messages import COMPACT, JSON, MINUTE, PROTOBUF, Sent, deflate

ROOT = Path(__file__).parents[1]
CPU_SECONDS = 40
"""After so much CPU a measured process is killed: about ten times what the worst message takes."""
MEBIBYTE = 1024 * 1024
AT = iso(START)
AT_NS = to_us(START) * 1000
STORED = "stored"


@dataclass(frozen=True, slots=True)
class Figures:
    """What a message took, and became."""

    outcome: str
    sent_bytes: int
    read_seconds: float
    store_seconds: float
    peak_bytes: int
    documents: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class Worst:
    """How to make a message, what becomes of it, and the CPU that it may take: many times what it does."""

    make: Callable[[], Sent]
    outcome: str = STORED
    cpu_seconds: int = CPU_SECONDS


def _native(points: Iterable[str]) -> Sent:
    data = f'{{"version":1,"points":[{",".join(points)}]}}'.encode()
    assert len(data) <= MAX_MESSAGE_BYTES
    return Sent(data, {})


def _native_small_objects() -> Sent:
    """Three million objects of two bytes, which would take a hundred times that."""
    return _native(["{}"] * 3_300_000)


def _native_strings() -> Sent:
    """Two million strings, four bytes a character for one that needs them."""
    return _native(['"\U0001f600"', *['"ab"'] * 1_990_000])


def _native_keys() -> Sent:
    """As many objects as are allowed, and the rest keys of one object."""
    keys = ",".join(f'"{at:06x}":0' for at in range(690_000))
    return _native([*['{"a":[]}'] * 249_000, "{" + keys + "}"])


def _native_minutes() -> Sent:
    """A minute for every point: each would be a document."""
    at = [iso(START - timedelta(minutes=minute)) for minute in range(99_000)]
    return _native(f'{{"metric":"m","timestamp":"{when}","value":1}}' for when in at)


def _native_backfill() -> Sent:
    """25 series in each of nearly all minutes that are not too old."""
    at = [iso(START - timedelta(minutes=minute)) for minute in range(4000)]
    return _native(f'{{"metric":"m{one}","timestamp":"{when}","value":{one}.5}}' for when in at for one in range(25))


def _native_histograms() -> Sent:
    """As many histograms as there is room for."""
    said = f'"timestamp":"{AT}","histogram":{{"count":2,"sum":2,"min":1,"max":1,"scale":0,"zeroCount":2}}'
    return _native(f'{{"metric":"m{at % 9000}",{said}}}' for at in range(79_000))


def _native_distributions() -> Sent:
    """20,000 series, each five times."""
    said = f'"timestamp":"{AT}","kind":"distribution"'
    return _native(f'{{"metric":"m{at % 19_900}",{said},"value":{at}}}' for at in range(99_000))


def _field(number: int, data: bytes) -> bytes:
    """A field of bytes of a protobuf."""
    size, length = b"", len(data)
    while length > 127:
        size, length = size + bytes([length & 127 | 128]), length >> 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + data


def _gauge(points: bytes, name: bytes = b"m", resource_: bytes = b"") -> Sent:
    metric = _field(1, name) + _field(5, points)
    return Sent(_field(1, resource_ + _field(2, _field(2, metric))), PROTOBUF)


def _numbers(count: int) -> bytes:
    points = [
        NumberDataPoint(time_unix_nano=AT_NS, attributes=[KeyValue(key="k", value=AnyValue(int_value=at))], as_int=at)
        for at in range(count)
    ]
    return b"".join(_field(1, point.SerializeToString()) for point in points)


def _otlp_attributes() -> Sent:
    """Two million empty attributes of one point."""
    point = NumberDataPoint(time_unix_nano=AT_NS, as_double=1.0).SerializeToString()
    return _gauge(_field(1, point + _field(7, b"") * 1_990_000))


def _otlp_exemplars() -> Sent:
    """Two million empty exemplars, which nobody reads."""
    point = NumberDataPoint(time_unix_nano=AT_NS, as_double=1.0).SerializeToString()
    return _gauge(_field(1, point + _field(5, b"") * 1_990_000))


def _otlp_long_name() -> Sent:
    """3 MB of name, which 19,900 points share."""
    return _gauge(_numbers(19_900), b"m" * 3_200_000)


def _otlp_long_label() -> Sent:
    """3 MB of a resource's label, which 19,900 points share."""
    value = AnyValue(string_value="x" * 3_200_000)
    attribute = KeyValue(key="service.name", value=value).SerializeToString()
    return _gauge(_numbers(19_900), resource_=_field(1, _field(1, attribute)))


def _otlp_histograms() -> Sent:
    """20,000 exponential histograms of 48 buckets, just below the bound of a chunk's bins."""
    buckets = ExponentialHistogramDataPoint.Buckets(bucket_counts=[1] * 48)
    points = b"".join(
        _field(
            1,
            ExponentialHistogramDataPoint(
                time_unix_nano=AT_NS, count=48, scale=5, positive=buckets,
                attributes=[KeyValue(key="k", value=AnyValue(int_value=at))],
            ).SerializeToString(),
        )
        for at in range(19_900)
    )  # fmt: skip
    metric = _field(1, b"m") + _field(10, points + b"\x10\x01")
    return Sent(_field(1, _field(2, _field(2, metric))), PROTOBUF)


def _otlp_counts() -> Sent:
    """A million bucket counts as strings of JSON."""
    point = '{"bucketCounts":[' + ",".join(['"1"'] * 980_000) + "]}"
    metric = f'{{"name":"m","histogram":{{"aggregationTemporality":1,"dataPoints":[{point}]}}}}'
    return Sent(f'{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{metric}]}}]}}]}}'.encode(), JSON)


def _body(series: Sequence[Series], sections: int) -> Writer:
    out = Writer()
    out.blob(b"")
    out.blob(b"")
    out.varint(0)
    out.blob(encode_table(tuple(series)))
    out.varint(sections)
    return out


def _gauges(out: Writer, minute: int, rows: int, of: Sequence[int] | None = None) -> None:
    """A section of gauges of 0: of all series, or of some."""
    out.varint(minute)
    out.varint(rows)
    out.varint(int(of is None))
    if of is not None:
        out.unsigned(np.diff(np.array(of), prepend=-1) - 1)
    for value in (0, 1, 0):
        out.unsigned(np.full(rows, value))
    out.floats(np.zeros(rows))


def _sections(series: Sequence[Series], count: int) -> Sent:
    """All series in each of some minutes."""
    out = _body(series, count)
    for at in range(count):
        _gauges(out, MINUTE - count + at, len(series))
    return Sent(deflate(out.done()), COMPACT)


def _compact_bomb() -> Sent:
    """400 KB that inflate to 400 MB."""
    return Sent(deflate(bytes(400 * MEBIBYTE)), COMPACT)


def _compact_shared_labels() -> Sent:
    """20,000 series whose labels are chosen from 9 MB of strings, in ten minutes: 1.6 GB, were each written out."""
    rng = random.Random(1)
    pool = sorted(rng.randbytes(250).hex() for _ in range(18_000))
    labels = [tuple((f"l{at:02}", rng.choice(pool)) for at in range(16)) for _ in range(20_000)]
    return _sections(sorted(Series("m", one) for one in labels), 10)


def _compact_amplified() -> Sent:
    """20 KB: 46 series with 8 KB of labels each, which nearly all minutes share."""
    names = [tuple((f"l{at:02}", f"{one * 16 + at:04}".ljust(500, "x")) for at in range(16)) for one in range(46)]
    return _sections(sorted(Series("m", one) for one in names), 4300)


def _compact_most_text() -> Sent:
    """As many random labels as a message may store: every part of it is compressed several times."""
    rng = random.Random(1)
    names = [tuple((f"l{at:02}", rng.randbytes(250).hex()) for at in range(16)) for _ in range(2000)]
    return _sections([Series(f"m{at:05}", one) for at, one in enumerate(names)], 1)


def _compact_most_labels() -> Sent:
    """As many labels as a message may store, each of one byte."""
    labels = tuple((f"{at:x}", "") for at in range(16))
    return _sections([Series(f"m{at:05}", labels) for at in range(18_000)], 6)


def _compact_most_minutes() -> Sent:
    """46 series in each of nearly all minutes: 198,000 rows."""
    return _sections([Series(f"m{at:02}") for at in range(46)], 4300)


def _compact_no_rows() -> Sent:
    """A minute without a row for each document that it must not become."""
    return _sections([], 4300)


def _compact_most_bins() -> Sent:
    """A million bins in some KB."""
    series = [Series(f"m{at:03}") for at in range(500)]
    out, rows, size = _body(series, 1), np.ones(500, np.int64), 2000
    out.varint(MINUTE)
    out.varint(500)
    out.varint(1)
    for column in (2 * rows, size * rows, 0 * rows):
        out.unsigned(column)
    for _ in range(4):
        out.floats(np.zeros(500))
    out.signed(5 * rows)
    out.unsigned(size * rows)
    out.signed(0 * rows)
    out.raw(bytes(500 * size) + bytes(2))  # steps of 1, with one observation each; none that are more
    return Sent(deflate(out.done()), COMPACT)


def _gzip_bomb() -> Sent:
    """10 KB that inflate to as much as a message may have."""
    return Sent(gzip.compress(bytes(MAX_MESSAGE_BYTES)), {"content-encoding": "gzip"})


WORST = {
    "native_small_objects": Worst(_native_small_objects, "chunk_too_large"),
    "native_strings": Worst(_native_strings, "malformed_message"),
    "native_keys": Worst(_native_keys, "malformed_message"),
    "native_minutes": Worst(_native_minutes, "malformed_message"),
    "native_backfill": Worst(_native_backfill),
    "native_histograms": Worst(_native_histograms),
    "native_distributions": Worst(_native_distributions),
    "otlp_attributes": Worst(_otlp_attributes),
    "otlp_exemplars": Worst(_otlp_exemplars),
    "otlp_long_name": Worst(_otlp_long_name, "invalid_series", 3),
    "otlp_long_label": Worst(_otlp_long_label, "invalid_series", 3),
    "otlp_histograms": Worst(_otlp_histograms),
    "otlp_counts": Worst(_otlp_counts, "malformed_point"),
    "compact_bomb": Worst(_compact_bomb, "chunk_too_large"),
    "compact_shared_labels": Worst(_compact_shared_labels, "chunk_too_large"),
    "compact_amplified": Worst(_compact_amplified, "chunk_too_large"),
    "compact_most_text": Worst(_compact_most_text),
    "compact_most_labels": Worst(_compact_most_labels),
    "compact_most_minutes": Worst(_compact_most_minutes),
    "compact_no_rows": Worst(_compact_no_rows),
    "compact_most_bins": Worst(_compact_most_bins),
    "gzip_bomb": Worst(_gzip_bomb, "malformed_message"),
}


def measured(name: str) -> Figures:
    """What a message takes, in a process of its own. Raises CalledProcessError where it takes far too long."""
    sent = WORST[name].make()
    most, said = str(WORST[name].cpu_seconds), json.dumps(dict(sent.attributes))
    command = [sys.executable, "-m", "tests.worst_messages", most, said]
    done = subprocess.run(command, input=sent.data, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return Figures(**json.loads(done.stdout))


def _take(sent: Sent) -> Figures:
    """Read a message and make the commits that store it; in a fresh process, for its memory is what it ever had."""
    before, started, read_at = _peak_bytes(), time.process_time(), 0.0
    outcome, documents, stored_bytes = STORED, 0, 0
    try:
        chunk, refused = decode(sent.data, sent.attributes, {}, DEFAULT_RULE)
        read_at = time.process_time()
        for commit in list(commits_of(chunk, identify(sent.data))):
            check_commit(commit.puts)
            documents += len(commit.puts)
            stored_bytes += sum(len(data) for put in commit.puts for data in put.fields["c"].values())
        outcome = refused.reason if refused else STORED
    except PermanentError as error:
        outcome = error.reason
    ended = time.process_time()
    read_at = read_at or ended
    peak = _peak_bytes() - before
    return Figures(outcome, len(sent.data), read_at - started, ended - read_at, peak, documents, stored_bytes)


def _peak_bytes() -> int:
    """The most memory that this program has had; where Linux does not tell, with what its parent had."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(arguments: Sequence[str]) -> None:
    """Without arguments measure all and print a table; with CPU seconds and attributes, what comes as input."""
    if arguments:
        most = math.ceil(time.process_time()) + int(arguments[0])
        resource.setrlimit(resource.RLIMIT_CPU, (most, most))
        sys.stdout.write(json.dumps(asdict(_take(Sent(sys.stdin.buffer.read(), json.loads(arguments[1]))))))
        return
    heads = f"{'sent':>9}{'read':>8}{'store':>8}{'memory':>9}{'documents':>11}{'stored':>9}  outcome"
    sys.stdout.write(f"{'message':24}{heads}\n")
    for name in WORST:
        one = measured(name)
        sys.stdout.write(
            f"{name:24}{one.sent_bytes / 1e6:6.2f} MB{one.read_seconds:6.2f} s{one.store_seconds:6.2f} s"
            f"{one.peak_bytes / 1e6:6.0f} MB{one.documents:11}{one.stored_bytes / 1e6:6.2f} MB  {one.outcome}\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
