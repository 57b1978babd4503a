"""All of the worst messages, and those that are stored through the whole of ingest."""

from __future__ import annotations

import pytest

from tests.hostile_ingest import Trial
from tests.unit.test_worst_messages import check_worst
from tests.worst_messages import STORED, WORST

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("name", WORST)
def test_the_worst_messages_are_bounded(name: str) -> None:
    """A message is refused, or stored in at most 5,000 documents and 16 MiB, with 220 MB and bounded CPU."""
    check_worst(name)


@pytest.mark.parametrize("name", [name for name, worst in WORST.items() if worst.outcome == STORED])
def test_the_worst_messages_keep_the_limits_of_the_store(name: str) -> None:
    """Stored, dead-lettered and evaluated beside its neighbours, as every other message is."""
    Trial().run(WORST[name].make())
