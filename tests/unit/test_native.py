"""Native JSON: every message is understood exactly or refused with the path and what is accepted."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import bins
from shared.cells import MAX_MAGNITUDE, Cells, Observation, equal, fold
from shared.errors import PermanentError
from shared.formats.compact import MAX_SECTIONS, Chunk, decode, encode
from shared.formats.native import MAX_OBSERVATIONS, MAX_VALUES, decode_native
from shared.formats.strict_json import MAX_KEYS, MAX_OBJECTS
from shared.series import Kind, Series
from tests.cell_cases import FEW
from tests.events import make

EVENTS = Path(make.__file__).parent
DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = jsonschema.Draft202012Validator(json.loads((DOCS / "native-message.schema.json").read_text()))
TIME = "2025-10-18T12:34:56Z"
TIME_US = 1_760_790_896_000_000
MINUTE = 1_760_790_900


def _message(*points: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"version": 1, "points": list(points), **more}


def _point(**fields: Any) -> dict[str, Any]:
    """A sound point with some fields replaced or added; those that are ``...`` are left out."""
    point = {"metric": "m", "timestamp": TIME, **fields}
    if not {"value", "values", "histogram"} & set(point):
        point["value"] = 1
    return {name: value for name, value in point.items() if value is not ...}


def _histogram(**fields: Any) -> dict[str, Any]:
    """A sound histogram of 1.5 and 3 at scale 0 with some fields replaced."""
    buckets = {"offset": 0, "bucketCounts": [1, 1]}
    sound = {"count": 2, "sum": 4.5, "min": 1.5, "max": 3, "scale": 0, "positive": buckets}
    return {name: value for name, value in {**sound, **fields}.items() if value is not ...}


def _decode(message: object, **kinds: Kind) -> Chunk:
    return decode_native(json.dumps(message).encode(), kinds)


def _cells(*points: dict[str, Any], **kinds: Kind) -> Cells:
    (section,) = _decode(_message(*points), **kinds).sections
    return section.cells


def _refusal(data: bytes) -> PermanentError:
    with pytest.raises(PermanentError) as caught:
        decode_native(data, {})
    return caught.value


def test_the_golden_message_is_read_as_ever() -> None:
    """A message with every form of point gives the cells it gave when the version was fixed."""
    chunk = decode_native((EVENTS / "native.json").read_bytes(), {"requests": Kind.COUNTER})
    assert make.plain(chunk) == json.loads((EVENTS / "native.expected.json").read_text())


def test_the_golden_message_can_be_stored() -> None:
    """What it says survives the compact chunk."""
    chunk = decode_native((EVENTS / "native.json").read_bytes(), {})
    assert make.plain(decode(encode(chunk))) == make.plain(chunk)


def test_the_documents_messages_are_accepted() -> None:
    """Every JSON message in docs/wire-formats.md is accepted, by the schema and by the decoder."""
    messages = re.findall(r"```json\n(.*?)```", (DOCS / "wire-formats.md").read_text(), re.DOTALL)
    assert len(messages) == 2
    for message in messages:
        SCHEMA.validate(json.loads(message))
        assert decode_native(message.encode(), {}).sections


def test_a_value_is_one_observation() -> None:
    """A point's value is what folding that one observation gives, with labels in canonical order."""
    series = Series("m", (("a", "1"), ("b", "2")))
    expected = fold([Observation(series, Kind.GAUGE, TIME_US, 2.5)])
    assert equal(_cells(_point(value=2.5, labels={"b": "2", "a": "1"})), expected)


def test_values_are_observations_of_one_time() -> None:
    """A point's values are what folding them gives; by default they are a distribution."""
    expected = fold([Observation(Series("m"), Kind.DISTRIBUTION, TIME_US, value) for value in (3.0, 0.0, -2.5)])
    assert equal(_cells(_point(values=[3, -0.0, -2.5])), expected)


def test_points_are_sorted_into_their_minutes() -> None:
    """Sections ascend by minute and hold the points up to and including their end."""
    times = ["2025-10-18T12:36:00Z", "2025-10-18T12:35:00.000000001Z", "2025-10-18T12:35:00Z", TIME]
    chunk = _decode(_message(*(_point(timestamp=time) for time in times)))
    assert [(section.minute, section.cells.count.tolist()) for section in chunk.sections] == [
        (MINUTE, [2]),
        (MINUTE + 60, [2]),
    ]


@pytest.mark.parametrize(
    ("text", "expected_us"),
    [
        (TIME, TIME_US),
        ("2025-10-18t12:34:56z", TIME_US),
        ("2025-10-18T14:34:56+02:00", TIME_US),
        ("2025-10-18T07:04:56-05:30", TIME_US),
        ("2025-10-18T12:34:56-00:00", TIME_US),
        ("2025-10-18T12:34:56.5Z", TIME_US + 500_000),
        ("2025-10-18T12:34:56.000001Z", TIME_US + 1),
        ("2025-10-18T12:34:56.000000001Z", TIME_US + 1),
        ("2025-10-18T12:34:56.000001999Z", TIME_US + 2),
        ("2025-10-18T12:34:56.999999999Z", TIME_US + 1_000_000),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000_000),
        ("1970-01-01T00:00:00Z", 0),
        ("9999-12-31T23:59:00Z", 253_402_300_740_000_000),
    ],
)
def test_times_are_microseconds_rounded_up(text: str, expected_us: int) -> None:
    """Any RFC 3339 offset is understood, and a fraction below a microsecond is rounded up."""
    assert _cells(_point(timestamp=text)).last_at_us.tolist() == [expected_us]


@pytest.mark.parametrize(
    "text",
    [
        "2025-10-18T12:34:56", "2025-10-18 12:34:56Z", "2025-10-18", "2025-10-18T12:34Z", "2025-10-18T12:34:56.Z",
        "2025-10-18T12:34:56.1234567890Z", "2025-10-18T12:34:56,5Z", "2025-13-18T12:34:56Z", "2025-02-29T12:34:56Z",
        "2025-10-18T24:00:00Z", "2025-10-18T12:34:60Z", "2025-10-18T12:34:56+24:00", "2025-10-18T12:34:56+01:60",
        "2025-10-18T12:34:56+0200", "2025-10-18T12:34:56Z\n", " 2025-10-18T12:34:56Z", "٢٠٢٥-10-18T12:34:56Z",
        "0000-10-18T12:34:56Z", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00+00:01", "9999-12-31T23:59:30Z",
        "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "", "now", "1760790896",
    ],
)  # fmt: skip
def test_other_times_are_refused(text: str) -> None:
    """Naive, incomplete, impossible and far times are refused, never guessed."""
    error = _refusal(json.dumps(_message(_point(timestamp=text))).encode())
    assert error.reason == "malformed_message"
    assert error.detail.startswith("points[0].timestamp: expected a")


@pytest.mark.parametrize(
    ("point", "configured", "kind"),
    [
        (_point(value=1), None, Kind.GAUGE),
        (_point(values=[1]), None, Kind.DISTRIBUTION),
        (_point(histogram=_histogram()), None, Kind.DISTRIBUTION),
        (_point(value=1), Kind.COUNTER, Kind.COUNTER),
        (_point(values=[1]), Kind.GAUGE, Kind.GAUGE),
        (_point(value=1), Kind.DISTRIBUTION, Kind.DISTRIBUTION),
        (_point(value=1, kind="gauge"), Kind.DISTRIBUTION, Kind.GAUGE),
        (_point(values=[1], kind="counter"), Kind.GAUGE, Kind.COUNTER),
        (_point(histogram=_histogram(), kind="distribution"), Kind.GAUGE, Kind.DISTRIBUTION),
    ],
)
def test_a_point_has_its_own_kind_or_the_configured_or_the_forms(
    point: dict[str, Any], configured: Kind | None, kind: Kind
) -> None:
    """The kind is the point's own, else the catalogue's, else distribution for many numbers and gauge for one."""
    kinds = {} if configured is None else {"m": configured}
    assert _cells(point, **kinds).kind.tolist() == [kind]


def test_a_histogram_of_a_metric_that_is_no_distribution_is_refused() -> None:
    """A configured gauge cannot be sent as a histogram."""
    with pytest.raises(PermanentError, match=r"points\[0\]\.histogram: expected a metric of kind distribution"):
        _decode(_message(_point(histogram=_histogram())), m=Kind.GAUGE)


def test_a_configured_counter_refuses_what_it_cannot_add() -> None:
    """A counter's value is what was added, so a negative one is refused by its place."""
    with pytest.raises(PermanentError, match=r"points\[0\]\.values\[1\]: expected what was added .* got -2"):
        _decode(_message(_point(values=[1, -2])), m=Kind.COUNTER)


def _bins(cells: Cells) -> list[tuple[int, int]]:
    return list(zip(cells.bin_key.tolist(), cells.bin_count.tolist(), strict=True))


@pytest.mark.parametrize("scale", [-10, -3, 0, 4, 5, 6, 9, 20])
def test_a_histogram_is_the_cell_of_its_observations(scale: int) -> None:
    """At any scale the bins are those of the observations themselves, brought to the same scale, exactly."""
    values = np.array([0.25, 0.26, 1.0, 7.5, 7.6, 1e3] if scale < 7 else [0.25, 0.2500001, 0.25004])
    index = bins.keys_of(values, scale) - bins.OFFSET
    offset = int(index.min())
    width = int(index.max()) - offset + 1
    side = {"offset": offset, "bucketCounts": np.bincount(index - offset, minlength=width).tolist()}
    twice, count = 2 * float(values.sum()), 2 * len(values) + 3
    mirrored = _histogram(
        count=count, sum=twice, min=-float(values.max()), max=float(values.max()), scale=scale, zeroCount=3,
        positive=side, negative=side,
    )  # fmt: skip
    cells = _cells(_point(histogram=mirrored))
    keys = bins.keys_of(np.concatenate([values, -values, np.zeros(3)]), min(scale, bins.SCALE))
    expected = sorted({int(key): int((keys == key).sum()) for key in keys}.items())
    assert _bins(cells) == expected
    assert (cells.scale.tolist(), cells.count.tolist(), cells.sum.tolist()) == ([min(scale, 5)], [count], [twice])
    assert cells.last.tolist() == [twice / count]


def test_a_histogram_of_one_observation_is_that_observation() -> None:
    """Count 1 gives the same cell as the value itself, at full scale, so that it can be stored."""
    one = _histogram(count=1, sum=7.3, min=7.3, max=7.3, scale=-2, positive={"bucketCounts": [1]})
    assert equal(_cells(_point(histogram=one)), _cells(_point(values=[7.3])))


def test_counts_may_be_decimal_strings() -> None:
    """Counts as JSON of protobuf writes them are the same counts."""
    text = _histogram(count="2", zeroCount="0", positive={"offset": 0, "bucketCounts": ["1", "1"]})
    assert equal(_cells(_point(histogram=text)), _cells(_point(histogram=_histogram())))


def test_histograms_and_values_of_a_series_are_merged() -> None:
    """Observations and histograms of one minute become one cell per series, and it can be stored."""
    points = [_point(values=[1.5]), _point(histogram=_histogram(scale=5)), _point(value=9, kind="gauge")]
    cells = _cells(*points, _point(histogram=_histogram(), metric="z"))
    assert cells.count.tolist() == [4, 2]
    assert cells.sum.tolist() == [15.0, 4.5]
    chunk = _decode(_message(*points))
    assert equal(decode(encode(chunk)).sections[0].cells, chunk.sections[0].cells)


def test_a_histogram_of_too_many_bins_becomes_coarser() -> None:
    """More populated buckets than a cell may keep are joined; no observation is lost."""
    side = {"offset": -1024, "bucketCounts": [1] * bins.MAX_BINS}
    wide = _histogram(count=2 * bins.MAX_BINS, sum=0, min=-1e9, max=1e9, scale=5, positive=side, negative=side)
    cells = _cells(_point(histogram=wide))
    assert cells.scale.tolist() == [4]
    assert (len(cells.bin_key), int(cells.bin_count.sum())) == (bins.MAX_BINS, 2 * bins.MAX_BINS)


@pytest.mark.parametrize(
    ("fields", "path", "expected"),
    [
        ({"writer": "w", "seq": 0}, "", ("w", "", 0)),
        ({"writer": "ü" * 100, "boot": "b" * 200, "seq": 2**53 - 1}, "", ("ü" * 100, "b" * 200, 2**53 - 1)),
        ({}, "", ("", "", None)),
        ({"seq": 0}, "writer and seq together", None),
        ({"writer": "w"}, "writer and seq together", None),
        ({"boot": "b"}, "boot: expected with a writer", None),
        ({"writer": "", "seq": 0}, "writer: expected a string of 1 to 200 bytes", None),
        ({"writer": "ü" * 101, "seq": 0}, "writer: expected a string of at most 200 bytes", None),
        ({"writer": None, "seq": 0}, "writer: expected a string", None),
        ({"writer": "\ud800", "seq": 0}, "writer: expected text without lone surrogates", None),
        ({"writer": "w", "boot": 7, "seq": 0}, "boot: expected a string", None),
        ({"writer": "w", "seq": -1}, "seq: expected an integer from 0", None),
        ({"writer": "w", "seq": True}, "seq: expected an integer from 0 to 9007199254740991, got true", None),
        ({"writer": "w", "seq": 1.0}, "seq: expected an integer", None),
        ({"writer": "w", "seq": 2**53}, "seq: expected an integer", None),
        ({"writer": "w", "seq": None}, "seq: expected an integer", None),
    ],
)
def test_writer_and_seq_go_together(
    fields: dict[str, Any], path: str, expected: tuple[str, str, int | None] | None
) -> None:
    """A writer is named with a seq or not at all; a boot belongs to a writer."""
    message = _message(_point(), **fields)
    if expected is not None:
        chunk = _decode(message)
        assert (chunk.writer, chunk.boot, chunk.seq) == expected
        return
    assert path in _refusal(json.dumps(message).encode()).detail


BROKEN: list[tuple[object, str]] = [
    ([], "message: expected an object, got an array"),
    ("x", 'message: expected an object, got "x"'),
    ({"points": [_point()]}, "version: expected an integer from 1 to 1, got nothing"),
    ({"version": 2, "points": [_point()]}, "version: expected an integer from 1 to 1, got 2"),
    ({"version": "1", "points": [_point()]}, 'version: expected an integer from 1 to 1, got "1"'),
    ({"version": 1}, "points: expected an array of at least one point, got nothing"),
    (_message(), "points: expected an array of at least one point, got an array"),
    ({"version": 1, "points": {}}, "points: expected an array of at least one point, got an object"),
    (_message(_point(), extra=1), "extra: unknown key, expected one of boot, points, seq, version, writer"),
    (_message(_point(), 7), "points[1]: expected an object, got 7"),  # type: ignore[arg-type]
    (_message(_point(metrics="x")), "points[0].metrics: unknown key"),
    (_message(_point(**{"a b\n": 1})), 'points[0]["a b\\n"]: unknown key'),
    (_message(_point(metric=...)), "points[0].metric: expected a name, got nothing"),
    (_message(_point(metric=None)), "points[0].metric: expected a name, got null"),
    (_message(_point(metric=["m"])), "points[0].metric: expected a name, got an array"),
    (_message(_point(labels=None)), "points[0].labels: expected an object, got null"),
    (_message(_point(labels=[["a", "b"]])), "points[0].labels: expected an object, got an array"),
    (_message(_point(labels={"region": 5})), "points[0].labels.region: expected a string, got 5"),
    (_message(_point(labels={"a": {"b": "c"}})), "points[0].labels.a: expected a string, got an object"),
    (_message(_point(timestamp=...)), "points[0].timestamp: expected an RFC 3339 time"),
    (_message(_point(timestamp=1760790896)), "points[0].timestamp: expected an RFC 3339 time"),
    (_message(_point(value=...)), "points[0]: expected exactly one of value, values, histogram"),
    (_message(_point(value=1, values=[1])), "points[0]: expected exactly one of value, values, histogram"),
    (_message(_point(value=1, histogram=_histogram())), "points[0]: expected exactly one of"),
    (_message(_point(), _point(), _point(), _point(value="abc")),
     'points[3].value: expected a finite number, got "abc"'),
    (_message(_point(value=True)), "points[0].value: expected a finite number, got true"),
    (_message(_point(value=None)), "points[0].value: expected a finite number, got null"),
    (_message(_point(value=[1])), "points[0].value: expected a finite number, got an array"),
    (_message(_point(value=1.1e200)), "points[0].value: expected a number from -1e+200 to 1e+200, got 1.1e+200"),
    (_message(_point(value=-(10**300))), "points[0].value: expected a number from -1e+200 to 1e+200, got -1e+300"),
    (_message(_point(values=[])), "points[0].values: expected an array of 1 to 10000 numbers, got 0 of them"),
    (_message(_point(values=3)), "points[0].values: expected an array of 1 to 10000 numbers, got 3"),
    (_message(_point(values=[1, 2, False])), "points[0].values[2]: expected a finite number, got false"),
    (_message(_point(values=[1, "2"])), 'points[0].values[1]: expected a finite number, got "2"'),
    (_message(_point(values=[1] * (MAX_VALUES + 1))), "points[0].values: expected an array of 1 to 10000 numbers, got"),
    (_message(_point(kind="histogram")), "points[0].kind: expected one of gauge, counter, distribution, got"),
    (_message(_point(kind=None)), "points[0].kind: expected one of gauge, counter, distribution, got null"),
    (_message(_point(kind=["gauge"])), "points[0].kind: expected one of gauge, counter, distribution, got an array"),
    (_message(_point(value=-1, kind="counter")), "points[0].value: expected what was added to a counter, at least 0"),
    (_message(_point(values=[0, -1], kind="counter")), "points[0].values[1]: expected what was added"),
    (_message(_point(histogram=_histogram(), kind="gauge")), "points[0].histogram: expected a metric of kind"),
]  # fmt: skip

BROKEN_HISTOGRAMS: list[tuple[object, str]] = [
    (5, ": expected an object, got 5"),
    (_histogram(count=0), ".count: expected an integer from 1 to 4294967296, got 0"),
    (_histogram(count=...), ".count: expected an integer"),
    (_histogram(count=2.0), ".count: expected an integer"),
    (_histogram(count=True), ".count: expected an integer"),
    (_histogram(count="two"), ".count: expected an integer"),
    (_histogram(count="9" * 21), ".count: expected an integer"),
    (_histogram(count=2**32 + 1), ".count: expected an integer"),
    (_histogram(sum=...), ".sum: expected a finite number, got nothing"),
    (_histogram(min=...), ".min: expected a finite number, got nothing"),
    (_histogram(max=1e201), ".max: expected a number from"),
    (_histogram(scale=21), ".scale: expected an integer from -10 to 20, got 21"),
    (_histogram(scale=-11), ".scale: expected an integer from -10 to 20, got -11"),
    (_histogram(scale=...), ".scale: expected an integer"),
    (_histogram(zeroThreshold=0.1), ".zeroThreshold: unknown key"),
    (_histogram(zeroCount=-1), ".zeroCount: expected an integer"),
    (_histogram(positive=[]), ".positive: expected an object, got an array"),
    (_histogram(positive={"counts": []}), ".positive.counts: unknown key"),
    (_histogram(positive={"offset": 0.5}), ".positive.offset: expected an integer"),
    (_histogram(positive={"offset": 2**31}), ".positive.offset: expected an integer"),
    (_histogram(positive={"bucketCounts": 7}), ".positive.bucketCounts: expected an array of at most 2048 counts"),
    (_histogram(positive={"bucketCounts": [0] * 2049}), ".positive.bucketCounts: expected an array of at most 2048"),
    (_histogram(positive={"bucketCounts": [2, -1, 1]}), ".positive.bucketCounts[1]: expected an integer"),
    (_histogram(positive={"bucketCounts": [1, 10**30]}), ".positive.bucketCounts[1]: expected an integer"),
    (_histogram(negative={"bucketCounts": [1, None]}), ".negative.bucketCounts[1]: expected an integer"),
]

SUMS: list[tuple[object, str]] = [
    (_histogram(count=3), ": the buckets hold 2, count is 3"),
    (_histogram(zeroCount=1), ": the buckets hold 3, count is 2"),
    (_histogram(positive=...), ": the buckets hold 0, count is 2"),
    (_histogram(min=4), ": min 4 is above max 3"),
    (_histogram(sum=3e200), ".sum: expected a number from -2e+200 to 2e+200"),
    (_histogram(count="99999"), ": the buckets hold 2, count is 99999"),
    (_histogram(positive={"offset": 2**31 - 1, "bucketCounts": [1, 1]}), ".positive: expected buckets of finite"),
    (_histogram(positive={"offset": -(2**31), "bucketCounts": [1, 1]}), ".positive: expected buckets of finite"),
]
"""Faults that a JSON Schema cannot express."""


@pytest.mark.parametrize(("message", "detail"), BROKEN, ids=[detail[:50] for _, detail in BROKEN])
def test_broken_messages_are_refused_by_path(message: object, detail: str) -> None:
    """A fault is refused with its path and the accepted form, and the schema refuses it too."""
    error = _refusal(json.dumps(message).encode())
    assert error.reason == "malformed_message"
    assert error.detail.startswith(detail)
    assert not SCHEMA.is_valid(message)


@pytest.mark.parametrize(("histogram", "detail"), BROKEN_HISTOGRAMS + SUMS)
def test_broken_histograms_are_refused_by_path(histogram: object, detail: str) -> None:
    """A histogram that is incomplete, out of range, or does not add up is refused with its path."""
    message = _message(_point(), _point(histogram=histogram))
    error = _refusal(json.dumps(message).encode())
    assert error.reason == "malformed_message"
    assert error.detail.startswith(f"points[1].histogram{detail}")
    beyond_schemas = (histogram, detail) in SUMS or histogram == _histogram(count=2.0)
    assert SCHEMA.is_valid(message) == beyond_schemas


@pytest.mark.parametrize(
    ("point", "detail"),
    [
        (_point(metric=""), "a metric's name has 1 to 200 bytes"),
        (_point(metric="ü" * 101), "a metric's name has 1 to 200 bytes"),
        (_point(labels={f"l{at}": "" for at in range(17)}), "a series has at most 16 labels"),
        (_point(labels={"": "x"}), "label '' of 'm' is empty or too long"),
        (_point(labels={"n" * 201: "x"}), "is empty or too long"),
        (_point(labels={"n": "v" * 501}), "is empty or too long"),
    ],
)
def test_series_beyond_their_limits_are_refused_by_path(point: dict[str, Any], detail: str) -> None:
    """A series that breaks a limit is an invalid_series, with the path of its point."""
    error = _refusal(json.dumps(_message(_point(), point)).encode())
    assert error.reason == "invalid_series"
    assert error.detail.startswith("points[1]: ")
    assert detail in error.detail


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        (b"", "not JSON: "),
        (b"{", "not JSON: "),
        (b"{} x", "not JSON: "),
        (b"\xef\xbb\xbf{}", "not JSON: "),
        ('{"version": 1}'.encode("utf-16"), "not UTF-8 at byte 0"),
        (b'{"version": 1, "points": [{"metric": "\xff"}]}', "not UTF-8 at byte 38"),
        (b'{"version": 1, "points": [{"metric": "\xed\xa0\x80"}]}', "not UTF-8 at byte 38"),
        (b'{"a": "\x00"}', "not JSON: "),
        (b"\x1f\x8b\x08\x00", "not UTF-8 at byte 1"),
        (b"[" * 250_000, "nested too deeply"),
        (b'{"a":' * 250_000, "nested too deeply"),
        (b'{"version": ' + b"9" * 5000 + b"}", "not JSON: Exceeds the limit"),
        (b'{"version": 1, "version": 1}', 'the key "version" occurs twice in one object'),
        (b'{"version": 1, "points": [{"labels": {"a": "b", "a": "c"}}]}', 'the key "a" occurs twice in one object'),
        (b'{"version": 1, "points": [{"value": NaN}]}', "NaN is not JSON"),
        (b'{"version": 1, "points": [{"value": -Infinity}]}', "-Infinity is not JSON"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
def test_what_is_not_strict_json_is_refused(text: bytes, detail: str) -> None:
    """Bytes that are not UTF-8 JSON with unique keys and finite numbers are malformed, however deep or long."""
    error = _refusal(text)
    assert error.reason == "malformed_message"
    assert error.detail.startswith(detail)


@pytest.mark.parametrize(
    ("field", "path"),
    [
        ({"metric": "a\ud800"}, "points[0].metric"),
        ({"labels": {"a": "\udc00"}}, "points[0].labels.a"),
        ({"labels": {"\ud800": "x"}}, 'points[0].labels["\\ud800"]'),
    ],
)
def test_lone_surrogates_are_refused(field: dict[str, Any], path: str) -> None:
    """Names that no UTF-8 can hold are refused by path, and the refusal itself can be written down."""
    error = _refusal(json.dumps(_message(_point(**field))).encode())
    assert error.reason == "malformed_message"
    assert error.detail.startswith(f"{path}: expected text without lone surrogates")
    assert error.detail.encode()


def test_an_exponent_beyond_doubles_is_refused() -> None:
    """1e400 reads as infinity, which is no number of ours."""
    data = json.dumps(_message(_point())).replace('"value": 1', '"value": 1e400').encode()
    assert _refusal(data).detail == "points[0].value: expected a finite number, got Infinity"


@pytest.mark.parametrize("value", ["x" * 10_000, "\x1b[31m\n" * 1000, 10**4000])
def test_hostile_text_is_cut_in_refusals(value: object) -> None:
    """A refusal quotes at most 80 characters, all of them printable."""
    error = _refusal(json.dumps(_message(_point(value=value))).encode())
    path, quoted = error.detail.split(", got ")
    assert path.startswith("points[0].value: ")
    assert len(quoted) <= 80
    assert quoted.isprintable()


def test_hostile_keys_are_cut_in_refusals() -> None:
    """A path quotes at most 80 characters of a key."""
    detail = _refusal(json.dumps(_message(_point(labels={"k\n" * 5000: 5}))).encode()).detail
    assert len(detail) < 150
    assert detail.isprintable()


@pytest.mark.parametrize("value", [0, -0.0, 10**200, -(10**200), MAX_MAGNITUDE, 5e-324, 2**63, 12345678901234567890])
def test_numbers_up_to_the_limit_are_taken(value: float) -> None:
    """Integers of any size and doubles up to 1e200 are taken, and none keeps a negative zero."""
    (stored,) = _cells(_point(value=value)).sum.tolist()
    assert stored == float(value)
    assert math.copysign(1, stored) == (1 if value >= 0 else -1)


def test_a_message_has_at_most_100_000_observations() -> None:
    """The limit holds over all points together, and a histogram is one."""
    full = [_point(values=[1] * MAX_VALUES)] * (MAX_OBSERVATIONS // MAX_VALUES)
    assert _decode(_message(*full)).sections[0].cells.count.tolist() == [MAX_OBSERVATIONS]
    for one_more in (_point(), _point(histogram=_histogram())):
        error = _refusal(json.dumps(_message(*full, one_more)).encode())
        assert error.detail == "points[10]: expected at most 100000 observations a message"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("metric", "labels", "timestamp", "kind", "value", "values", "histogram", "other")


def _outcome(message: object) -> Chunk | PermanentError:
    try:
        return _decode(message)
    except PermanentError as error:
        return error


def test_a_message_has_so_many_minutes() -> None:
    """5,000 minutes are read, one more is refused before any is summarised."""
    points = [
        _point(timestamp=f"2025-{1 + at // 28 // 24:02}-{1 + at // 24 % 28:02}T{at % 24:02}:00:00Z")
        for at in range(5001)
    ]
    assert len(_decode(_message(*points[:5000])).sections) == MAX_SECTIONS
    error = _refusal(json.dumps(_message(*points)).encode())
    assert (error.reason, error.detail) == ("malformed_message", "expected at most 5000 minutes a message, got 5001")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"a":[' + b"{}," * MAX_OBJECTS + b"1]}", "chunk_too_large"),
        (b'{"a":[' + b"[]," * MAX_OBJECTS + b"1]}", "chunk_too_large"),
        (b"{" + b",".join(b'"%d":1' % at for at in range(MAX_KEYS + 1)) + b"}", "malformed_message"),
    ],
    ids=["objects", "arrays", "keys"],
)
def test_json_that_would_swell_is_refused(text: bytes, reason: str) -> None:
    """More objects, arrays or keys than a message can need are refused: each would take many times its bytes."""
    assert _refusal(text).reason == reason


@FEW
@given(st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=3), json_values)
def test_any_json_is_understood_or_refused(fields: dict[str, Any], other: object) -> None:
    """Whatever JSON stands in whatever place, a message is understood or refused as malformed or invalid_series."""
    sound = json.loads((EVENTS / "native.json").read_text())["points"][-1]
    for message in (_message(_point(**fields)), _message({**sound, **fields}), other, _message(_point(), writer=other)):
        outcome = _outcome(message)
        if isinstance(outcome, Chunk):
            assert equal(decode(encode(outcome)).sections[0].cells, outcome.sections[0].cells)
            SCHEMA.validate(message)
        else:
            assert outcome.reason in {"malformed_message", "invalid_series"}
            assert outcome.detail.encode()
