"""No message, however hostile, crashes ingest, breaks a limit of the store, or costs another message: at length."""

from __future__ import annotations

import pytest

from tests.hostile_ingest import run_trials
from tests.hostile_messages import KINDS

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("kind", KINDS)
def test_any_message_is_stored_or_dead_lettered(kind: str) -> None:
    """Of each kind 2,500 messages, of which a test elsewhere tries 30."""
    assert run_trials(kind, 2500).total() >= 2000
