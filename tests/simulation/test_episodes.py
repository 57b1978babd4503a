"""Whole episodes in one process: measured, told everywhere, taken in Slack, ended everywhere."""

from __future__ import annotations

from shared.adapters.sqlite_store import SqliteStore
from shared.local.backends import Stepped
from shared.local.clock import ManualClock
from shared.manifest import load_manifest
from tests.episodes import play


def _stepped(clock: ManualClock) -> Stepped:
    def failed(_: object, error: Exception) -> None:
        raise AssertionError from error

    return Stepped(load_manifest(), SqliteStore(":memory:", clock.now), clock.now, failed, seed=1)


def test_episodes_in_one_process() -> None:
    """Three episodes are three messages, three incidents and three threads, each taken by a signed button and ended."""
    play(_stepped, 3)
