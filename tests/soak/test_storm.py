"""Exactly once in a storm, at full size."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.emulators import Emulator
from tests.storm import Size, run_storm

pytestmark = pytest.mark.soak


def test_everything_counts_once_in_a_storm(
    pubsub_host: Emulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With 20,000 messages, ingest killed eleven times and Firestore restarted, every cell is the generator's."""
    report = run_storm(Size(messages=20_000, kills=10, evaluations=6), 2, pubsub_host, tmp_path)
    with capsys.disabled():
        sys.stdout.write(f"\n{report}\n")
    report.assert_it_raged()
    assert (report.kills, report.restarts) == (11, 1)
