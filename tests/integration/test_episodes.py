"""Whole episodes on the emulators, whose Pub/Sub pushes to the functions."""

from __future__ import annotations

import pytest

from shared.local.backends import Emulated
from shared.manifest import load_manifest
from tests import emulators
from tests.episodes import play


def test_episodes_on_the_emulators() -> None:
    """Two episodes are two messages, two incidents and two threads, each taken by a signed button and ended."""
    reason = emulators.missing()
    if reason is not None:
        pytest.skip(f"the emulators cannot run here: {reason}")
    play(lambda _: Emulated(load_manifest()), 2)
