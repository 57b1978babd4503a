"""Whatever ingest accepts, the evaluator's cursor moves, at length."""

from __future__ import annotations

import pytest

from tests.hostile_minutes import check_marked_minutes, check_minutes

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("block", range(100, 200, 10))
def test_the_cursor_moves(block: int) -> None:
    """A hundred stories of eight minutes each, of which a test elsewhere plays four, stop no evaluation."""
    for seed in range(block, block + 10):
        check_minutes(seed, 8)


def test_a_message_that_marks_all_minutes_holds_nothing_up() -> None:
    """One message marks 4,260 minutes, three days: rules are judged in time, and in the end all are rolled up."""
    assert check_marked_minutes(4260, seconds_per_call=0.02) > 5
