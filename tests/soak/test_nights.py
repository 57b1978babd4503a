"""Nights on call, at length."""

from __future__ import annotations

import pytest

from tests.fakes import Countdown
from tests.nights import run_night
from tests.safeguards import SHOWN_LATE, Breakage, expect

pytestmark = pytest.mark.soak

AT_MOST = 1000
"""Nights until a broken safeguard must have shown."""


@pytest.mark.parametrize("block", range(1000, 11_000, 250))
def test_nights_on_call(block: int) -> None:
    """Ten thousand nights, of which a test elsewhere plays 120, find no episode that is not told once, in order."""
    for seed in range(block, block + 250):
        run_night(seed)


@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
@pytest.mark.parametrize("seed", range(5))
def test_a_crash_at_every_call_in_turn(seed: int, after: bool) -> None:
    """Whichever call of a night is the one that crashes, what was promised holds."""
    for call in range(10_000):
        countdown = Countdown(call, after=after)
        run_night(seed, countdown)
        if countdown.calls <= call:
            break
    assert 100 < call < 9_999


@pytest.mark.parametrize(("breakage", "found"), SHOWN_LATE.values(), ids=list(SHOWN_LATE))
def test_no_safeguard_is_spare(breakage: Breakage, found: str) -> None:
    """Without the safeguards that are seldom needed the nights find what they guard broken, too."""
    expect(breakage, found, AT_MOST)
