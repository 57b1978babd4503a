"""Writes the golden messages of both formats, and what they say, next to this file.

Run it only when a format gains a version: ``python -m tests.events.make``. Until then the files are the contract. Those
of an earlier version, such as ``chunk-1.bin``, are kept as they were written: they can be read for ever.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from shared.cells import Cells, Observation, fold, merge_writers
from shared.formats.compact import Chunk, Section, decode, encode
from shared.formats.native import decode_native
from shared.series import Kind, Series
from shared.timeline import US_PER_SECOND

HERE = Path(__file__).parent
MINUTE = 1_760_790_900
"""2025-10-18T12:35:00Z."""
REQUESTS = Series("requests", (("region", "us-central1"),))
RESPONSE_TIME = Series("response_time", (("region", "us-central1"),))


def plain(chunk: Chunk) -> dict[str, Any]:
    """A chunk as JSON can say it; writers as hex, bins as pairs of key and count."""
    sections = [{"minute": section.minute, "rows": _rows(section.cells)} for section in chunk.sections]
    return {"writer": chunk.writer, "boot": chunk.boot, "seq": chunk.seq, "sections": sections}


def _rows(cells: Cells) -> list[dict[str, Any]]:
    return [_row(cells, row) for row in range(len(cells))]


def _row(cells: Cells, row: int) -> dict[str, Any]:
    mine = slice(cells.bin_start[row], cells.bin_start[row + 1])
    pairs = zip(cells.bin_key[mine].tolist(), cells.bin_count[mine].tolist(), strict=True)
    return {
        "metric": cells.series[row].metric,
        "labels": dict(cells.series[row].labels),
        "kind": Kind(int(cells.kind[row])).name.lower(),
        "count": int(cells.count[row]),
        "sum": float(cells.sum[row]),
        "min": float(cells.min[row]),
        "max": float(cells.max[row]),
        "last_at_us": int(cells.last_at_us[row]),
        "last": float(cells.last[row]),
        "last_writer": f"{int(cells.last_writer[row]):016x}",
        "last_sum": float(cells.last_sum[row]),
        "writers": int(cells.writers[row]),
        "scale": int(cells.scale[row]),
        "bins": [list(pair) for pair in pairs],
    }


def chunk() -> Chunk:
    """The chunk that ``docs/wire-formats.md`` takes apart: two series, one minute."""
    at_us = MINUTE * US_PER_SECOND
    observed = [
        Observation(REQUESTS, Kind.COUNTER, at_us - 1, 3.0),
        Observation(RESPONSE_TIME, Kind.DISTRIBUTION, at_us - 3, 1.0),
        Observation(RESPONSE_TIME, Kind.DISTRIBUTION, at_us - 2, 8.0),
        Observation(RESPONSE_TIME, Kind.DISTRIBUTION, at_us, 2.0),
    ]
    return Chunk("web-1", "b7", 4, (Section(MINUTE, fold(observed)),))


def rollup() -> Chunk:
    """Two writers' minute, merged."""
    cells = chunk().sections[0].cells
    merged = merge_writers([cells.written_by(0x0123456789ABCDEF), cells.written_by(0xFEDCBA9876543210)])
    return Chunk("", "", None, (Section(MINUTE, merged),))


def main() -> None:
    """Write every golden file that is made rather than written by hand."""
    for name, said in (("chunk", chunk()), ("rollup", rollup())):
        data = encode(said, rollup=name == "rollup")
        (HERE / f"{name}.bin").write_bytes(data)
        _write(f"{name}.expected.json", decode(data, rollup=name == "rollup"))
    _write("native.expected.json", decode_native((HERE / "native.json").read_bytes(), {"requests": Kind.COUNTER}))


def _write(name: str, said: Chunk) -> None:
    (HERE / name).write_text(json.dumps(plain(said), indent=1) + "\n")


if __name__ == "__main__":
    main()
