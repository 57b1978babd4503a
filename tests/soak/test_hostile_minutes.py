"""Whatever ingest accepts, the evaluator's cursor moves, at length."""

from __future__ import annotations

import pytest

from tests.hostile_minutes import check_minutes

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("block", range(100, 200, 10))
def test_the_cursor_moves(block: int) -> None:
    """A hundred stories of eight minutes each, of which a test elsewhere plays four, stop no evaluation."""
    for seed in range(block, block + 10):
        check_minutes(seed, 8)
