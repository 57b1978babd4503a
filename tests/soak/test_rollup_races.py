"""A rollup never misses a chunk, at length."""

from __future__ import annotations

import pytest

from tests.races import run_race

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("block", range(1000, 11_000, 500))
def test_no_chunk_is_missed(block: int) -> None:
    """Ten thousand stories, of which a test elsewhere plays a hundred, find no rollup that misses a chunk."""
    for seed in range(block, block + 500):
        run_race(seed)
