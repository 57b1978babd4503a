"""The decoders, fuzzed by coverage for 16 minutes in all."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.unit.test_fuzz import NEEDS_ATHERIS, ROOT

pytestmark = [pytest.mark.soak, NEEDS_ATHERIS]
TARGETS = ("compact", "compact_body", "compact_body_1", "native", "otlp_protobuf", "otlp_json", "gzip", "envelope")


@pytest.mark.parametrize("target", TARGETS)
def test_two_minutes_find_nothing(target: str) -> None:
    """A decoder stores legibly, or refuses under a known reason, whatever coverage leads to in two minutes."""
    command = [sys.executable, "-m", "tests.fuzz", target, "--seconds", "120", "--seed", "7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
