"""What reads strangers' bytes, fuzzed by coverage: ``python -m tests.fuzz compact_body --seconds 60``.

atheris changes bytes so that they reach code that none has reached before, beginning with the golden messages. Bytes
are stored legibly or refused under a known reason; anything else ends the run with a line that repeats it:
``python -m tests.fuzz compact_body --input BASE64``. ``all`` takes the target from the first byte.
https://github.com/google/atheris
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import tempfile
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import atheris  # type: ignore[import-untyped]  # it has no annotations

with atheris.instrument_imports(include=["shared"]):
    from shared.buckets import commits_of, names_parts
    from shared.bus import Message
    from shared.errors import PermanentError
    from shared.formats import (
        compact,
        dispatch,
        otlp,  # noqa: F401 — a message imports it, too late for it to be instrumented
    )
    from shared.formats.otlp_labels import DEFAULT_RULE
    from shared.identity import identify
    from shared.limits import check_commit
    from shared.push import message_from_cloud_event, push_body

from tests.fakes import START
from tests.hostile_ingest import REASONS
from tests.hostile_messages import COMPACT, JSON, PROTOBUF, deflate

EVENTS = Path(__file__).parent / "events"
MAX_LENGTH = 4096
MAX_MEMORY_MIB = 4096
"""Of the fuzzer, whose own bookkeeping grows; what a message may take is measured in `worst_messages`."""
WORDS = (
    "version", "points", "metric", "labels", "timestamp", "value", "values", "histogram", "kind", "writer", "boot",
    "seq", "count", "sum", "min", "max", "scale", "zeroCount", "positive", "offset", "bucketCounts",
    "resourceMetrics", "scopeMetrics", "metrics", "name", "gauge", "dataPoints", "asInt",
)  # fmt: skip
DICTIONARY = (*(f'\\"{word}\\"' for word in WORDS), "NaN", "1e400", "-0", "2025-10-18T12:00:00Z", "distribution")
"""In libFuzzer's form, where quotes are escaped."""


@dataclass(frozen=True, slots=True)
class Event:
    """What is read of a CloudEvent."""

    data: object


@dataclass(frozen=True, slots=True)
class Target:
    """What reads bytes, and bytes to begin with."""

    read: Callable[[bytes], None]
    seeds: Sequence[bytes]


def _ingest(data: bytes, attributes: dict[str, str]) -> None:
    """Decode as ingest does; what is to be stored keeps the store's limits and can be read back."""
    chunk, refused = dispatch.decode(data, attributes, {}, DEFAULT_RULE)
    for commit in commits_of(chunk, identify(data, chunk.writer, chunk.boot, chunk.seq)):
        check_commit(commit.puts)
        for put in commit.puts:
            for stored in put.fields["c"].values():
                if not names_parts(stored):
                    compact.decode(stored)
    if refused is not None:
        raise refused


def _envelope(data: bytes) -> None:
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        return
    message_from_cloud_event(Event(event))


def _read(name: str) -> bytes:
    return (EVENTS / name).read_bytes()


def _body(name: str) -> bytes:
    return zlib.decompress(_read(name)[2:], -15)


ENVELOPE = push_body(Message(b"\xff\x00hi", {"a": "b"}, "1", START), "ingest", "project")
TARGETS = {
    "compact": Target(lambda data: _ingest(data, COMPACT), [_read("chunk.bin"), _read("chunk-1.bin")]),
    "compact_body": Target(lambda data: _ingest(deflate(data), COMPACT), [_body("chunk.bin")]),
    "compact_body_1": Target(lambda data: _ingest(deflate(data, b"\1\0"), COMPACT), [_body("chunk-1.bin")]),
    "native": Target(lambda data: _ingest(data, {}), [_read("native.json")]),
    "otlp_protobuf": Target(lambda data: _ingest(data, PROTOBUF), [_read("otlp.pb")]),
    "otlp_json": Target(lambda data: _ingest(data, JSON), [_read("otlp.json")]),
    "gzip": Target(lambda data: _ingest(data, PROTOBUF | {"content-encoding": "gzip"}), [_read("otlp.pb.gz")]),
    "envelope": Target(_envelope, [ENVELOPE]),
}
NAMES = tuple(TARGETS)


def read(name: str, data: bytes) -> str:
    """Give bytes to a target; the reason for which they were refused, "" for none. Raises whatever else it does."""
    if name == "all":
        return read(NAMES[data[0] % len(NAMES)], data[1:]) if data else ""
    try:
        TARGETS[name].read(data)
    except PermanentError as error:
        if error.reason in REASONS | {"malformed_envelope"}:
            return error.reason
        raise
    return ""


def _seeds(name: str) -> list[bytes]:
    if name == "all":
        return [bytes([at]) + seed for at, one in enumerate(NAMES) for seed in TARGETS[one].seeds]
    return list(TARGETS[name].seeds)


def _one(name: str) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        try:
            read(name, data)
        except BaseException:
            sys.stderr.write(f"python -m tests.fuzz {name} --input {base64.b64encode(data).decode()}\n")
            raise

    return run


def fuzz(name: str, seconds: int, runs: int, seed: int) -> None:
    """Fuzz a target until the time or the runs are over; the process ends here."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        for at, data in enumerate(_seeds(name)):
            (corpus / str(at)).write_bytes(data)
        words = Path(folder, "words")
        words.write_text("".join(f'"{word}"\n' for word in DICTIONARY))
        options = [f"-max_total_time={seconds}", f"-runs={runs}", f"-seed={seed}", f"-max_len={MAX_LENGTH}"]
        options += ["-timeout=60", f"-rss_limit_mb={MAX_MEMORY_MIB}", f"-dict={words}", f"-artifact_prefix={folder}/"]
        atheris.Setup([sys.argv[0], str(corpus), *options], _one(name))
        atheris.Fuzz()


def main(arguments: Sequence[str]) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("target", choices=("all", *TARGETS))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--runs", type=int, default=-1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--input", help="bytes in base64: read these and nothing else")
    chosen = parser.parse_args(arguments)
    warnings.simplefilter("error")
    if chosen.input is None:
        fuzz(chosen.target, chosen.seconds, chosen.runs, chosen.seed)
    else:
        sys.stdout.write(f"{read(chosen.target, base64.b64decode(chosen.input)) or 'stored'}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
