"""A whole day of the simulated fleet through the rules."""

from __future__ import annotations

import pytest

from shared.local.fleet import Fleet
from tests.unit.test_fleet import NOON_SECONDS, evaluations

pytestmark = pytest.mark.soak


def test_all_nine_rules_are_quiet_for_a_day_without_an_incident() -> None:
    """No alert becomes even pending in 24 hours, night and day of every region included, and no rule fails."""
    results = list(evaluations(Fleet(1), NOON_SECONDS, NOON_SECONDS + 86_400 - 60))
    assert len(results) == 1440
    assert [change for result in results for change in result.transitions] == []
    assert [failure for result in results for failure in result.failures] == []
