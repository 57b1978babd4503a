"""Nights on call: exactly one firing and one resolution an episode, whatever happens; and no safeguard is spare.

``make soak`` plays 10,000 of them.
"""

from __future__ import annotations

import pytest

from tests.fakes import Countdown
from tests.nights import Night, run_night
from tests.safeguards import SHOWN_SOON, Breakage, expect

NIGHTS = range(120)
AT_MOST = 100
"""Nights until a broken safeguard must have shown."""
CRASHES = 60
"""A crash at every so many calls of a night."""


@pytest.mark.parametrize("block", range(0, len(NIGHTS), 20))
def test_nights_on_call(block: int) -> None:
    """Each episode is told once to fire and once to end, in order, and nothing is judged twice, skipped or lost."""
    for seed in NIGHTS[block : block + 20]:
        run_night(seed)


@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
def test_a_crash_at_calls_in_turn(after: bool) -> None:
    """Wherever in a night the one crash is, of an evaluator, an instance or a person, what was promised holds."""
    calls = 0
    for call in range(17, 10_000, CRASHES):
        countdown = Countdown(call, after=after)
        run_night(0, countdown)
        if countdown.calls <= call:
            break
        calls += 1
    assert calls > 3


@pytest.mark.parametrize(("breakage", "found"), SHOWN_SOON.values(), ids=list(SHOWN_SOON))
def test_no_safeguard_is_spare(breakage: Breakage, found: str) -> None:
    """Without any one of the safeguards the nights find what it guards broken, and say how to play that night again."""
    expect(breakage, found, AT_MOST)


def test_a_seed_tells_one_night() -> None:
    """The same seed gives the same notifications to the same channels at the same times."""
    assert _seen(7) == _seen(7)
    assert _seen(7) != _seen(8)


def _seen(seed: int) -> list[tuple[object, ...]]:
    night = Night(seed)
    night.play()
    return [(one.number, one.at, one.channel, one.notification.id) for one in night.ledger.sightings]
