"""Conversations under hundreds of seeds of misfortune."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.conversations import RESOLVED, RIGS, STORY, Rig, Talk
from tests.fakes import Countdown


@pytest.mark.soak
@pytest.mark.parametrize("make", RIGS.values(), ids=RIGS)
def test_killed_again_and_again_in_any_order(make: Callable[..., Rig]) -> None:
    """Deliveries in a random order, some twice, with the process killed at any call: one conversation, ended."""
    for seed in range(3000):
        rng = random.Random(seed)
        talk = Talk(make, Countdown(rng.randrange(40), after=rng.random() < 0.5), chart=rng.random() < 0.3)
        talk.clock.time = RESOLVED.at
        order = list(STORY)
        rng.shuffle(order)
        talk.play(order, rng)
        talk.check()
