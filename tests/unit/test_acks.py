"""Acknowledgements: one for each episode, and the first that is given."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.acks import KEPT, Ack, ack_from_fields, ack_path, ack_path_of, check_ack, read_acks
from shared.adapters.sqlite_store import SqliteStore
from shared.alerts import AlertState, State
from shared.errors import PermanentError, PreconditionFailed
from shared.rules import Severity
from shared.store import Put
from tests.fakes import START, Clock, CountingStore
from tests.ticks import MINUTE, RULE, play

ACK = Ack("0123456789abcdef", START, "ann", START + MINUTE, "on it")


def test_there_and_back() -> None:
    """What is stored is what is read, and it is kept for ninety days."""
    put = ACK.write()
    assert ack_from_fields(put.fields) == ACK
    assert put.path == "acks/0123456789abcdef~20251018T1200"
    assert put.fields["expires_at"] == ACK.at + KEPT


def test_the_first_one_has_it() -> None:
    """A second acknowledgement of an episode is refused by the store, and the first stays."""
    store = SqliteStore(":memory:", Clock())
    store.commit([ACK.write()])
    with pytest.raises(PreconditionFailed):
        store.commit([replace(ACK, author="bob").write()])
    (document,) = store.list("acks").documents
    assert ack_from_fields(document.fields).author == "ann"


def test_one_that_cannot_be_read_costs_no_other() -> None:
    """An acknowledgement of another version acknowledges nothing, and those beside it are read."""
    store = SqliteStore(":memory:", Clock())
    other = ack_path("f" * 16, START)
    store.commit([ACK.write(), Put(other, {"fingerprint": "f" * 16, "by": "ann", "expires_at": START + KEPT})])
    assert read_acks(store, [ACK.write().path, other], START) == {ACK.write().path: ACK}


def test_an_acknowledgement_ends_with_its_episode() -> None:
    """The next episode of the same alert has a path of its own, and one that does not fire has none."""
    fired, ended, again = (one.states[0] for one in play(replace(RULE, cooldown_period=120), "BgB"))
    assert ack_path_of(fired) == ack_path(fired.fingerprint, START)
    assert ack_path_of(ended) is None
    assert ack_path_of(again) == ack_path(fired.fingerprint, START + 2 * MINUTE)
    pending = AlertState("level", (), Severity.HIGH, State.PENDING, pending_since=START)
    assert ack_path_of(pending) is None


def test_paths_differ_by_the_minute() -> None:
    """Episodes of one alert fire at different minutes, and so never share a path."""
    paths = {ack_path("f" * 16, START + timedelta(minutes=minute)) for minute in range(1500)}
    assert len(paths) == 1500


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"author": ""}, "author: expected 1 to 200 bytes of text"),
        ({"author": "\t"}, "author: expected 1 to 200 bytes of text"),
        ({"author": "x" * 201}, "author: expected 1 to 200 bytes of text"),
        ({"comment": "x" * 1001}, "comment: expected 0 to 1000 bytes of text"),
        ({"comment": "\ud800"}, "comment: expected 0 to 1000 bytes of text"),
        ({"fingerprint": "0123456789ABCDEF"}, "fingerprint: expected 16 of 0-9 and a-f"),
        ({"fingerprint": "../../evaluator"}, "fingerprint: expected 16 of 0-9 and a-f"),
        ({"fired_at": START + timedelta(seconds=1)}, "fired_at: expected a whole minute with an offset"),
        ({"fired_at": START.replace(tzinfo=None)}, "fired_at: expected a whole minute with an offset"),
    ],
    ids=["nobody", "space", "long author", "long comment", "no text", "capitals", "a path", "seconds", "no zone"],
)
def test_mistakes(change: dict[str, object], detail: str) -> None:
    """Somebody and an episode have to be named; a comment is not asked for, but it is bounded."""
    with pytest.raises(PermanentError) as raised:
        check_ack(replace(ACK, **change))  # type: ignore[arg-type] # any of its fields
    assert (raised.value.reason, raised.value.detail) == ("invalid_acknowledgement", detail)
    assert check_ack(replace(ACK, comment="")).comment == ""


def test_what_was_given_is_read() -> None:
    """Of some paths those that were acknowledged are found; of none, none, without a question."""
    store = SqliteStore(":memory:", Clock())
    store.commit([ACK.write()])
    path = ack_path(ACK.fingerprint, ACK.fired_at)
    assert read_acks(store, [path, ack_path("f" * 16, START)], START) == {path: ACK}
    counted = CountingStore(store)
    assert read_acks(counted, [], START) == {}
    assert counted.reads.total() == 0
