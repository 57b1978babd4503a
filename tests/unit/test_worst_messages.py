"""The worst messages that there are take bounded time, memory and writes. `make soak` measures the others."""

from __future__ import annotations

import pytest

from tests.worst_messages import WORST, measured

QUICK = ("otlp_long_name", "compact_amplified")
"""Two that would take seconds for each KB, were they not bounded."""
MAX_MEMORY_BYTES = 220_000_000
MAX_DOCUMENTS = 5_000
MAX_STORED_BYTES = 16 * 1024 * 1024


def check_worst(name: str) -> None:
    """Measure a message, in a process that is killed if it takes far too much CPU, and check what it took."""
    figures = measured(name)
    assert figures.outcome == WORST[name].outcome
    assert figures.peak_bytes <= MAX_MEMORY_BYTES
    assert figures.documents <= MAX_DOCUMENTS
    assert figures.stored_bytes <= MAX_STORED_BYTES


@pytest.mark.parametrize("name", QUICK)
def test_the_worst_messages_are_bounded(name: str) -> None:
    """A message is refused, or stored in at most 5,000 documents and 16 MiB, with 220 MB and bounded CPU."""
    check_worst(name)
