"""The fuzzed decoders, for seconds; `make soak` runs them for minutes."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDS_ATHERIS = pytest.mark.skipif(
    not importlib.util.find_spec("atheris"), reason="atheris is built for Linux on x86-64"
)
pytestmark = NEEDS_ATHERIS


def _fuzz(*arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
    """Run the fuzzer to its end; ``code`` runs before it in its process."""
    program = f"import sys, tests.fuzz as fuzz\n{code}\nfuzz.main(sys.argv[1:])"
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_some_thousand_runs_find_nothing() -> None:
    """Every decoder stores legibly, or refuses under a known reason, what coverage leads to in 4,000 runs."""
    done = _fuzz("all", "--runs", "4000")
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Done 4000 runs" in done.stderr


def test_what_is_found_can_be_repeated() -> None:
    """A decoder that fails on some word is found out, and the line that is printed fails again."""
    broken = (
        "def read(data):\n    if b'\"seq\"' in data: raise IndexError('broken')\n"
        "fuzz.TARGETS['native'] = fuzz.Target(read, [b'{}'])"
    )
    found = _fuzz("native", "--seconds", "60", "--runs", "1000000", code=broken)
    assert found.returncode != 0
    (line,) = [line for line in found.stderr.splitlines() if line.startswith("python -m tests.fuzz")]
    again = _fuzz(*line.split()[3:], code=broken)
    assert again.returncode != 0
    assert "IndexError: broken" in again.stderr
