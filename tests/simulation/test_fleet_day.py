"""Night and day of the simulated fleet through the rules; `tests/soak` runs the whole day."""

from __future__ import annotations

import pytest

from shared.local.fleet import Fleet
from tests.unit.test_fleet import NOON_SECONDS, evaluations


@pytest.mark.parametrize("hour", [0, 8, 16])
def test_all_nine_rules_are_quiet_without_an_incident(hour: int) -> None:
    """No alert becomes even pending in forty minutes of the morning, the evening and the night, and no rule fails."""
    start = NOON_SECONDS + hour * 3600
    results = list(evaluations(Fleet(1), start, start + 39 * 60))
    assert len(results) == 40
    assert [change for result in results for change in result.transitions] == []
    assert [failure for result in results for failure in result.failures] == []
