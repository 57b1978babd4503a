"""The part of the store contract that only shows when several threads use one store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from shared.errors import PreconditionFailed, TransientError
from shared.store import Absent, Listing, Precondition, Put, Store, Unchanged
from tests.store_contract import read

T = TypeVar("T")
_ATTEMPTS = 50


def together(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Run all calls at once, a thread for each, and return their results in order."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def insist(call: Callable[[], T]) -> T:
    """The result of a call that may be repeated, through any number of passing failures up to a bound."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return call()
        except TransientError:
            continue
    return call()


class StoreRaceContract:
    """Every adapter passes these too. ``lag`` is how young a commit must be for a listing to lack it."""

    lag = timedelta(0)

    def test_blind_merges_lose_nothing(self, store: Store) -> None:
        """Eight threads that merge into one document at once all find their keys in it."""

        def merge(thread: int) -> None:
            for i in range(8):
                put = Put("a/1", {"c": {f"{thread}.{i}": b"x"}}, merge=True)
                insist(partial(store.commit, [put]))

        together([partial(merge, thread) for thread in range(8)])
        assert set(read(store, "a/1").fields["c"]) == {f"{thread}.{i}" for thread in range(8) for i in range(8)}

    def test_a_race_to_create_has_one_winner(self, store: Store) -> None:
        """Of eight threads that create a document exactly one does."""
        assert self._winners(store, Absent()) == 1

    def test_a_race_to_update_has_one_winner(self, store: Store) -> None:
        """Of eight threads that update what all of them read exactly one does."""
        assert self._winners(store, Unchanged(store.commit([Put("a/1", {"by": -1})]))) == 1

    @staticmethod
    def _winners(store: Store, precondition: Precondition) -> int:
        def claim(thread: int) -> bool:
            try:
                insist(lambda: store.commit([Put("a/1", {"by": thread}, precondition=precondition)]))
            except PreconditionFailed:
                return False
            return True

        won = together([partial(claim, thread) for thread in range(8)])
        winner = read(store, "a/1").fields["by"]
        return sum(won) if won[winner] else 0

    def test_a_listing_holds_exactly_the_commits_up_to_its_read_time(self, store: Store) -> None:
        """While four threads commit, a listing lacks no older commit, but for the adapter's lag, and holds no newer."""
        committed: dict[str, datetime] = {}
        listings: list[Listing] = []
        finished: list[int] = []
        amid: list[Listing] = []

        def write(thread: int) -> None:
            for i in range(1000):
                is_last = i >= 14 and bool(amid)  # there is one more commit after a listing amid the others
                path = f"a/{thread}-{i}"
                committed[path] = store.commit([Put(path, {"x": b"x" * 200}), Put(f"b/{thread}", {"i": i})])
                if is_last:
                    break
            finished.append(thread)

        def watch() -> None:
            while len(finished) < 4:
                listings.append(store.list("a"))
                if listings[-1].documents and not finished:
                    amid.append(listings[-1])

        writers: list[Callable[[], None]] = [partial(write, thread) for thread in range(4)]
        together([*writers, watch, watch])
        for listing in [*listings, store.list("a")]:
            found = {document.path: document.update_time for document in listing.documents}
            due = {path for path, time in committed.items() if time <= listing.read_time - self.lag}
            assert due <= found.keys()
            assert found == {path: committed[path] for path in found}
            assert all(time <= listing.read_time for time in found.values())
        assert any(0 < len(listing.documents) < len(committed) for listing in listings)
