"""A rollup never misses a chunk: stories of ingest, two evaluators and misfortune, each decided by its seed.

``make soak`` plays 10,000 of them.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared import ingest, parts, rolling
from shared.buckets import EXPIRY_AFTER
from shared.store import Document
from tests.races import Race, run_race
from tests.rollup_promises import Weakness

STORIES = range(120)
WATCHED_STORIES = 25
AT_MOST = 400
"""Stories until a broken safeguard must have shown; each shows in about one of thirty."""


@pytest.mark.parametrize("block", range(0, len(STORIES), 20))
def test_no_chunk_is_missed(block: int) -> None:
    """Every rollup is the merge of all acknowledged chunks, to the byte also when rebuilt, and no T is judged twice."""
    for seed in STORIES[block : block + 20]:
        run_race(seed)


def _run_races(weakness: Weakness, *, watched: bool = False) -> None:
    for seed in range(AT_MOST):
        run_race(seed, weakness, watched=watched)


@pytest.mark.parametrize(
    "weakness",
    [
        Weakness(forgets_markers=True),
        Weakness(writes_rollups_blindly=True),
        Weakness(deletes_markers_blindly=True),
        Weakness(reads_before_the_end=True),
        Weakness(lags_too_long=True),
    ],
    ids=[
        "no late marker",
        "no condition on the rollup",
        "no condition on deleted markers",
        "read before M + settle",
        "no second left for the lag",
    ],
)
def test_no_safeguard_is_spare(weakness: Weakness) -> None:
    """Without any one of the five safeguards the stories find a rollup that misses a chunk."""
    with pytest.raises(AssertionError, match="all acknowledged chunks are in the rollup"):
        _run_races(weakness)


@pytest.mark.parametrize(
    ("after", "broken"),
    [
        (EXPIRY_AFTER + timedelta(minutes=1), "what came after its minute has expired is a letter"),
        (EXPIRY_AFTER - timedelta(minutes=3), "what came in time is no letter"),
    ],
    ids=["too late", "too early"],
)
def test_what_expires_becomes_a_letter_in_time(monkeypatch: pytest.MonkeyPatch, after: timedelta, broken: str) -> None:
    """Where ingest waits longer, or less long, the stories find what is lost in silence, or a letter too many."""
    monkeypatch.setattr(ingest, "LOST_AFTER", after)
    with pytest.raises(AssertionError, match=broken):
        _run_races(Weakness())


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rollup has several parts, and late markers are read one by one."""
    monkeypatch.setattr(parts, "MAX_PART_BYTES", 120)
    monkeypatch.setattr(rolling, "LATE_AT_ONCE", 1)


@pytest.mark.usefixtures("small_parts")
def test_no_rollup_is_read_torn() -> None:
    """Whoever reads minutes and hours of several parts while they are rewritten has each of them in one version."""
    for seed in range(WATCHED_STORIES):
        run_race(seed, watched=True)


@pytest.mark.usefixtures("small_parts")
def test_parts_that_have_only_numbers_are_read_torn() -> None:
    """Where a part's path does not name its version, the stories find a reader that mixes two."""
    with pytest.raises(AssertionError, match="is read in one version"):
        _run_races(Weakness(mixes_versions=True), watched=True)


def test_a_seed_tells_one_story() -> None:
    """The same seed gives the same documents at the same times."""
    assert _told(7) == _told(7)
    assert _told(7) != _told(8)


def _told(seed: int) -> tuple[Document, ...]:
    race = Race(seed)
    race.play()
    return race.store.list("rollups").documents
