"""Exactly once in a storm, scaled; the full one is in the long runs."""

from __future__ import annotations

from pathlib import Path

from tests.emulators import Emulator
from tests.storm import Size, run_storm


def test_everything_counts_once_in_a_storm(pubsub_host: Emulator, tmp_path: Path) -> None:
    """With 600 messages, ingest killed three times and Firestore restarted, every cell is the generator's exactly."""
    report = run_storm(Size(messages=600, kills=2, evaluations=1), 1, pubsub_host, tmp_path)
    report.assert_it_raged()
    assert (report.kills, report.restarts) == (3, 1)
