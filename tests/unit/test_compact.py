"""The compact chunk: what is written can be read, equal chunks are equal bytes, and hostile bytes are only refused."""

from __future__ import annotations

import itertools
import json
import random
import re
import tracemalloc
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cells import MAX_MAGNITUDE, Cells, Observation, equal, fold, merge, merge_writers
from shared.errors import PermanentError
from shared.formats.bin_columns import MAX_CHUNK_BINS
from shared.formats.columns import Writer
from shared.formats.compact import (
    MAX_BODY_BYTES,
    MAX_MESSAGE_COUNT,
    MAX_SECTIONS,
    VERSION,
    Chunk,
    Section,
    decode,
    encode,
)
from shared.formats.series_table import MAX_SERIES, encode_table
from shared.series import Kind, Series
from tests.cell_cases import END_US, FEW, MINUTE, SERIES, chunks_of_cells, observations
from tests.events import make
from tests.hostile_messages import deflate

EVENTS = Path(make.__file__).parent
DOCS = Path(__file__).parents[2] / "docs"
REASONS = {"malformed_chunk", "chunk_too_large", "unknown_version", "invalid_series"}
names = st.text(st.characters(codec="utf-8"), max_size=20)
seqs = st.none() | st.integers(0, 2**53)


def _inflate(data: bytes) -> bytes:
    return zlib.decompress(data[2:], -15)


def _deflate(body: bytes, flags: int = 0, version: int = VERSION) -> bytes:
    return deflate(body, bytes([version, flags]))


def _refusal(data: bytes) -> str:
    with pytest.raises(PermanentError) as caught:
        decode(data)
    return caught.value.reason


def _same(a: Chunk, b: Chunk) -> bool:
    heads = [(one.writer, one.boot, one.seq, [section.minute for section in one.sections]) for one in (a, b)]
    sections = zip(a.sections, b.sections, strict=True)
    return heads[0] == heads[1] and all(equal(x.cells, y.cells) for x, y in sections)


def _outcome(data: bytes) -> Chunk | PermanentError:
    """What bytes say, of a message or of a rollup, whichever their flags name."""
    try:
        return decode(data, rollup=data[1:2] == b"\x01")
    except PermanentError as error:
        return error


def _survives(data: bytes) -> bool:
    """Whether bytes decode; then they must encode to what decodes the same. Anything but a refusal is raised."""
    outcome = _outcome(data)
    if isinstance(outcome, PermanentError):
        assert outcome.reason in REASONS
        return False
    assert _same(decode(encode(outcome, rollup=bool(data[1])), rollup=bool(data[1])), outcome)
    return True


def _moved(part: Cells, minutes: int) -> Cells:
    return replace(part, last_at_us=part.last_at_us + minutes * 60_000_000)


def _chunk(parts: list[Cells], writer: str = "w", boot: str = "", seq: int | None = None) -> Chunk:
    sections = [Section(MINUTE + 60 * at, _moved(part.written_by(0), at)) for at, part in enumerate(parts)]
    return Chunk(writer, boot, seq, tuple(sections))


@FEW
@given(chunks_of_cells(), names, names, seqs)
def test_what_is_written_can_be_read(parts: list[Cells], writer: str, boot: str, seq: int | None) -> None:
    """Any cells over any minutes come back equal to the bit, with writer, boot and seq."""
    chunk = _chunk(parts, writer, boot, seq if writer else None)
    assert _same(decode(encode(chunk)), chunk)


@FEW
@given(chunks_of_cells())
def test_a_rollup_keeps_its_writers(parts: list[Cells]) -> None:
    """With rollup columns, merged writers come back too: last_sum, how many, and the newest one's id."""
    merged = merge_writers([part.written_by(2**64 - 1 - at) for at, part in enumerate(parts)])
    chunk = Chunk("", "", None, (Section(MINUTE, merged),))
    assert _same(decode(encode(chunk, rollup=True), rollup=True), chunk)


@FEW
@given(st.lists(observations, max_size=20), st.randoms())
def test_equal_chunks_are_equal_bytes(observed: list[Observation], rng: random.Random) -> None:
    """The order in which observations came leaves no trace, nor does a trip through the format."""
    data = encode(_chunk([fold(observed)]))
    assert encode(_chunk([fold(rng.sample(observed, len(observed)))])) == data
    assert encode(decode(data)) == data


def test_an_hour_is_a_section_of_a_rollup() -> None:
    """A rollup's newest value may lie up to an hour before the end of its section; a message's only a minute."""
    cells = fold([Observation(SERIES[3], Kind.GAUGE, END_US - 3_599_999_999, 1.0)])
    chunk = Chunk("", "", None, (Section(MINUTE, cells),))
    assert _same(decode(encode(chunk, rollup=True), rollup=True), chunk)
    with pytest.raises(PermanentError, match="outside its interval"):
        encode(chunk)


def test_kinds_that_disagree_are_stored_and_read() -> None:
    """A gauge of one writer merged with a distribution of another has fewer bins than observations, and is legible."""
    gauge = fold([Observation(SERIES[0], Kind.GAUGE, END_US, value) for value in (1.0, 2.0)], 1)
    distribution = fold([Observation(SERIES[0], Kind.DISTRIBUTION, END_US, 3.0)], 2)
    chunk = Chunk("", "", None, (Section(MINUTE, merge_writers([gauge, distribution])),))
    read = decode(encode(chunk, rollup=True), rollup=True)
    assert _same(read, chunk)
    assert (read.sections[0].cells.count.tolist(), read.sections[0].cells.bin_count.tolist()) == ([3], [1])


def test_the_greatest_values_are_stored_and_read() -> None:
    """The rounded mean of many greatest values may be above the greatest value, and is legible."""
    for count in (*range(1, 40), 1000):
        observed = [Observation(SERIES[0], Kind.COUNTER, END_US, MAX_MAGNITUDE)] * count
        chunk = _chunk([merge([fold(observed), fold(observed[: count // 2])])])
        assert _same(decode(encode(chunk)), chunk)


def test_negative_zero_is_read_as_zero() -> None:
    """-0.0 in a message becomes 0.0, so that what is equal has equal bytes."""
    zero = encode(_chunk([fold([Observation(SERIES[3], Kind.GAUGE, END_US, 0.0)])]))
    body = _inflate(zero)
    assert body.endswith(bytes(8))
    negative = _deflate(body[:-1] + b"\x80")
    assert encode(decode(negative)) == zero


@pytest.mark.parametrize("name", ["chunk", "rollup"])
@pytest.mark.parametrize("version", [1, VERSION])
def test_golden_chunks_are_read_as_ever(name: str, version: int) -> None:
    """Bytes of every version say what they said when it was fixed, and the newest is written but for DEFLATE."""
    newest = (EVENTS / f"{name}.bin").read_bytes()
    data = newest if version == VERSION else (EVENTS / f"{name}-{version}.bin").read_bytes()
    rollup = name == "rollup"
    chunk = decode(data, rollup=rollup)
    assert data[0] == version
    assert make.plain(chunk) == json.loads((EVENTS / f"{name}.expected.json").read_text())
    again = encode(chunk, rollup=rollup)
    assert (again[:2], _inflate(again)) == (newest[:2], _inflate(newest))
    assert _same(decode(again, rollup=rollup), chunk)


def test_a_rollup_is_no_message() -> None:
    """Rollup columns are refused where none belong, so that no message can claim other writers' values."""
    with pytest.raises(PermanentError, match="malformed_chunk: expected flags 0, got 1"):
        decode((EVENTS / "rollup.bin").read_bytes())
    with pytest.raises(PermanentError, match="malformed_chunk: expected flags 1, got 0"):
        decode((EVENTS / "chunk.bin").read_bytes(), rollup=True)


def test_the_documents_bytes_are_the_golden_chunks() -> None:
    """The chunk that docs/wire-formats.md takes apart is the golden one, byte for byte."""
    table = re.search(r"```hex\n(.*?)```", (DOCS / "wire-formats.md").read_text(), re.DOTALL)
    assert table is not None
    documented = bytes.fromhex("".join(line[:42] for line in table[1].splitlines()))
    assert documented == _inflate((EVENTS / "chunk.bin").read_bytes())


def _valid() -> list[bytes]:
    rng = random.Random(5)
    observed = [
        Observation(series, kind, END_US - rng.randrange(60_000_000), rng.lognormvariate(3, 2))
        for series, kind in zip(SERIES * 6, [*Kind] * 8, strict=True)
    ]
    chunk = _chunk([fold(observed), fold(observed[:2])], "writer", "boot", 7)
    golden = [(EVENTS / f"{name}.bin").read_bytes() for name in ("rollup", "chunk-1", "rollup-1")]
    return [encode(chunk), *golden, encode(Chunk("", "", None, ()))]


def test_a_chunk_cut_anywhere_is_refused() -> None:
    """Every proper prefix of a chunk, and a chunk with a byte more, is refused; so is every prefix of its body."""
    for data in _valid():
        assert all(_refusal(data[:end]) in REASONS for end in range(len(data)))
        assert _refusal(data + b"\0") == "malformed_chunk"
        body = _inflate(data)
        assert all(_refusal(_deflate(body[:end], data[1], data[0])) in REASONS for end in range(len(body)))
        assert _refusal(_deflate(body + b"\0", data[1], data[0])) == "malformed_chunk"


def _flips(data: bytes, most: int) -> Iterator[bytes]:
    """The data with one bit flipped, for at most that many bits."""
    bits = range(8 * len(data))
    for bit in random.Random(1).sample(bits, min(most, len(bits))):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bytes(flipped)


def test_any_flipped_bit_is_refused_or_legible() -> None:
    """With one bit of the message flipped, it is refused, or what it says can be stored and read."""
    for data in _valid():
        for flipped in _flips(data, 600):
            _survives(flipped)


def test_any_flipped_bit_of_the_body_is_refused_or_legible() -> None:
    """The same of the body below the compression, where nothing but our own checks stands guard."""
    legible = 0
    for data in _valid():
        for flipped in _flips(_inflate(data), 600):
            legible += _survives(_deflate(flipped, data[1], data[0]))
    assert legible > 100


def test_mangled_bodies_are_refused_or_legible() -> None:
    """Bodies with pieces overwritten, dropped, doubled or swapped are refused or legible; never anything else."""
    rng = random.Random(99)
    bodies = [(_inflate(data), data[1], data[0]) for data in _valid()[:4]]
    for _ in range(1200):
        body, flags, version = rng.choice(bodies)
        mangled = bytearray(body)
        for _ in range(rng.randint(1, 3)):
            at, length = rng.randrange(len(mangled) + 1), rng.randrange(9)
            piece = rng.choice((rng.randbytes(length), b"\xff" * length, bytes(length), bytes(body[:length])))
            mangled[at : at + rng.randrange(9)] = piece
        _survives(_deflate(bytes(mangled), flags, version))


@FEW
@given(st.binary(max_size=200))
def test_random_bytes_are_refused_or_legible(noise: bytes) -> None:
    """Noise, as a message, as a stream behind a header, and as a body, brings out a refusal at most."""
    headed = [bytes(head) for head in itertools.product((1, 2), (0, 1))]
    for data in (noise, *(head + noise for head in headed), *(deflate(noise, head) for head in headed)):
        _survives(data)


def test_another_version_is_named() -> None:
    """A chunk of a later version is refused as such, and one with flags of a later version too."""
    data = _valid()[0]
    assert _refusal(bytes([VERSION + 1]) + data[1:]) == "unknown_version"
    assert _refusal(b"\0" + data[1:]) == "unknown_version"
    assert _refusal(data[:1] + b"\2" + data[2:]) == "malformed_chunk"


def _body(table: bytes, *, writer: bytes = b"", seq: int = 0, sections: int = 0) -> Writer:
    out = Writer()
    out.blob(writer)
    out.blob(b"")
    out.varint(seq)
    out.blob(table)
    out.varint(sections)
    return out


def _table(strings: list[bytes], metrics: list[int]) -> bytes:
    out = Writer()
    out.varint(len(strings))
    out.unsigned(np.array([len(text) for text in strings], np.int64))
    out.raw(b"".join(strings))
    out.varint(len(metrics))
    out.unsigned(np.array(metrics, np.int64))
    for length in (len(metrics), 0, 0):
        out.unsigned(np.zeros(length, np.int64))
    return out.done()


@pytest.mark.parametrize(
    ("strings", "metrics"),
    [
        pytest.param([], [0], id="a metric of no strings"),
        pytest.param([b"a"], [1], id="a string that is not there"),
        pytest.param([b"a", b"a"], [0, 1], id="a string twice"),
        pytest.param([b"b", b"a"], [0, 1], id="strings that descend"),
        pytest.param([b"a"], [0, 0], id="a series twice"),
        pytest.param([b""], [0], id="a metric without a name"),
        pytest.param([b"\xff"], [0], id="a name that is not UTF-8"),
        pytest.param([b"\xed\xa0\x80"], [0], id="a lone surrogate"),
        pytest.param([b"a" * 201], [0], id="a name that is too long"),
    ],
)
def test_broken_series_tables_are_refused(strings: list[bytes], metrics: list[int]) -> None:
    """A table that no writer makes is refused, small (remembered) or not."""
    assert _refusal(_deflate(_body(_table(strings, metrics)).done())) in {"malformed_chunk", "invalid_series"}


def test_a_writer_is_bounded_and_named() -> None:
    """A writer has at most 200 bytes, and a seq needs one."""
    empty = _table([], [])
    assert decode(_deflate(_body(empty, writer=b"w" * 200, seq=1).done())).seq == 0
    assert _refusal(_deflate(_body(empty, writer=b"w" * 201).done())) == "malformed_chunk"
    assert _refusal(_deflate(_body(empty, seq=1).done())) == "malformed_chunk"


def _zeros(out: Writer, rows: int, minute: int, bins: int = 0, *, whole: bool) -> None:
    """A section of zeros: gauges, or distributions of ``bins`` bins of one observation each."""
    one, none = np.ones(rows, np.int64), np.zeros(rows, np.int64)
    out.varint(minute)
    out.varint(rows)
    out.varint(int(whole))
    if not whole:
        out.unsigned(none)
    out.unsigned(2 * one if bins else none)
    out.unsigned(bins * one if bins else one)
    out.unsigned(none)
    for _ in range(4 if bins else 1):
        out.floats(none.astype(np.float64))
    if bins:
        out.signed(5 * one)
        out.unsigned(bins * one)
        out.signed(none)
        out.raw(bytes(rows * bins) + bytes(2))  # steps of 1, with one observation each; none that are more


def _distribution(version: int, **replaced: Any) -> bytes:
    """A chunk of one distribution of 1, 2 and 4, with some of what it says replaced."""
    said: dict[str, Any] = {
        "minute": 9, "whole": 1, "kind": 2, "count": 3, "age": 0, "last": 2.0, "sum": 7.0, "min": 1.0, "max": 4.0,
        "scale": 5, "sizes": 3, "steps": [2 * 131_071, 31, 31], "counts": [1, 1, 1],
        "first": [-1], "pairs": [0x00, 0xF0, 0xF0], "more_steps": [16, 16], "more_counts": [],
    } | replaced  # fmt: skip
    out = _body(encode_table((Series("m"),)), sections=len(said.get("minutes", [9])))
    for minute in said.get("minutes", [9]):
        out.varint(minute)
        out.varint(1)
        out.varint(said["whole"])
        for name in ("kind", "count", "age"):
            out.unsigned(np.array([said[name]]))
        for name in ("last", "sum", "min", "max"):
            out.floats(np.array([said[name]]))
        out.signed(np.array([said["scale"]]))
        out.unsigned(np.array([said["sizes"]]))
        if version == VERSION:
            out.signed(np.array(said["first"], np.int64))
            out.raw(bytes(said["pairs"]))
        for name in ("steps", "counts") if version == 1 else ("more_steps", "more_counts"):
            out.unsigned(np.array(said[name], np.int64))
    return _deflate(out.done(), 0, version)


@pytest.mark.parametrize("version", [1, VERSION])
@pytest.mark.parametrize(
    "replaced",
    [
        {"minutes": [9, 9]},
        {"minutes": [9, 8]},
        {"minutes": [253_402_300_800 // 60]},
        {"whole": 2},
        {"kind": 3},
        {"count": 0},
        {"count": 2},
        {"count": MAX_MESSAGE_COUNT + 1},
        {"age": 60_000_000},
        {"last": 0.5},
        {"last": 4.5},
        {"min": 5.0},
        {"max": 1.2e200},
        {"min": -1.2e200},
        {"sum": 3.1e200},
        {"scale": 6},
        {"scale": -11},
        {"sizes": 0, "steps": [], "counts": [], "first": [], "pairs": [], "more_steps": []},
        {"sizes": 2049, "count": 2049, "steps": [1] * 2049, "counts": [1] * 2049, "pairs": [16] * 2049},
    ],
    ids=str,
)
def test_broken_sections_are_refused(replaced: dict[str, Any], version: int) -> None:
    """A section that is sound as it stands is refused once one of its numbers is out of range or does not add up."""
    assert _survives(_distribution(version))
    assert _refusal(_distribution(version, **replaced)) == "malformed_chunk"


@pytest.mark.parametrize(
    ("version", "replaced"),
    [
        (1, {"counts": [1, 2, 1]}),
        (1, {"counts": [1, 0, 1]}),
        (1, {"counts": [2**62, 2**62, 2**62]}),
        (1, {"steps": [2 * 262_144, 1, 1]}),
        (1, {"steps": [2 * 131_071, 262_144, 1]}),
        (1, {"steps": [0, 2**63 - 1, 2**63 - 1]}),
        (2, {"pairs": [0x00, 0xF1, 0xF0]}),
        (2, {"pairs": [0x0F, 0xFF, 0xFF], "more_counts": [2**62, 2**62, 2**62]}),
        (2, {"pairs": [0x0F, 0xF0, 0xF0], "more_counts": [2**63 - 1]}),
        (2, {"more_steps": [2**63 - 1, 16]}),
        (2, {"more_steps": [262_144, 16]}),
        (2, {"first": [131_072]}),
        (2, {"first": [-3 * 131_072]}),
        (2, {"first": [2**61]}),
    ],
    ids=str,
)
def test_broken_bins_are_refused(version: int, replaced: dict[str, Any]) -> None:
    """So is one whose bins lie outside the doubles, overflow on the way there, or hold more or less than they may."""
    assert _refusal(_distribution(version, **replaced)) == "malformed_chunk"


@FEW
@given(st.lists(st.tuples(st.integers(-400, 400), st.sampled_from((1, 2, 15, 16, 17, 300, 70_000))), min_size=1))
def test_bins_of_any_distance_and_count_are_written(pairs: list[tuple[int, int]]) -> None:
    """Steps and counts around 15, where a half byte ends, and far above it come back as they were."""
    bins = sorted(dict(pairs).items())
    total = sum(count for _, count in bins) + 1
    cells = replace(
        fold([Observation(SERIES[0], Kind.DISTRIBUTION, END_US, value) for value in (1.0, 2.0)]),
        count=np.array([total]),
        bin_start=np.array([0, len(bins)]),
        bin_key=np.array([131_072 + key for key, _ in bins]),
        bin_count=np.array([count for _, count in bins]),
    )
    assert _same(decode(encode(_chunk([cells]))), _chunk([cells]))


def _bomb(rows: int, sections: int, bins: int = 0) -> bytes:
    out = _body(encode_table(tuple(Series(f"m{at:05}") for at in range(rows))), sections=sections)
    for minute in range(1, sections + 1):
        _zeros(out, rows, minute, bins, whole=True)
    return _deflate(out.done())


def _peak_bytes(data: bytes) -> tuple[int, str]:
    """The most memory that decoding takes, and what becomes of it."""
    tracemalloc.start()
    try:
        outcome = _outcome(data)
        return tracemalloc.get_traced_memory()[1], outcome.reason if isinstance(outcome, PermanentError) else "legible"
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("data", "outcome"),
    [
        pytest.param(_deflate(bytes(20 * MAX_BODY_BYTES)), "chunk_too_large", id="320 MiB of zeros"),
        pytest.param(_bomb(MAX_SERIES, 11), "chunk_too_large", id="220,000 rows"),
        pytest.param(_bomb(500, 3, 2000), "chunk_too_large", id="three million bins"),
        pytest.param(_bomb(500, 1, 2000), "legible", id="the most bins"),
        pytest.param(_bomb(1, MAX_SECTIONS + 1), "malformed_chunk", id="too many sections"),
    ],
)
def test_bombs_take_bounded_memory(data: bytes, outcome: str) -> None:
    """A few KB that inflate to far more are refused, or read, within 150 MB."""
    peak, became = _peak_bytes(data)
    assert became == outcome
    assert peak < 150_000_000


def _cell(count: int) -> Cells:
    cells = fold([Observation(SERIES[3], Kind.GAUGE, END_US, 1.0)])
    return replace(cells, count=np.array([count]), sum=np.array([float(count)]))


def test_what_could_not_be_read_is_not_written() -> None:
    """Writing refuses what reading would: counts, series, bins and sections above the bounds of a chunk."""
    assert decode(encode(_chunk([_cell(MAX_MESSAGE_COUNT)]))).sections[0].cells.count[0] == MAX_MESSAGE_COUNT
    series = [Observation(Series(f"m{at}"), Kind.GAUGE, END_US, 1.0) for at in range(MAX_SERIES + 1)]
    wide = fold([Observation(SERIES[0], Kind.DISTRIBUTION, END_US, 1.01**at) for at in range(1200)])
    refused = {
        "malformed_chunk": [[_cell(MAX_MESSAGE_COUNT + 1)], [_cell(0)], [_moved(_cell(1), -1)], [_moved(_cell(1), 1)]],
        "chunk_too_large": [
            [fold(series)],
            [wide] * (MAX_CHUNK_BINS // len(wide.bin_key) + 1),
            [fold([])] * (MAX_SECTIONS + 1),
        ],
    }
    for reason, cases in refused.items():
        for parts in cases:
            with pytest.raises(PermanentError) as caught:
                encode(_chunk(parts))
            assert caught.value.reason == reason


def test_equal_tables_are_one_object() -> None:
    """Chunks of one writer share their series, which makes merging them fast."""
    first, second = (decode(data).sections[0].cells.series for data in [_valid()[0]] * 2)
    assert first is second
