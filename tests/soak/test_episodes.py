"""Fifty whole episodes on the emulators."""

from __future__ import annotations

import pytest

from shared.local.backends import Emulated
from shared.manifest import load_manifest
from tests.episodes import play


@pytest.mark.soak
def test_fifty_episodes_on_the_emulators() -> None:
    """Fifty episodes, one after the other, are fifty messages, incidents and threads; each is taken and ended."""
    play(lambda _: Emulated(load_manifest()), 50)
