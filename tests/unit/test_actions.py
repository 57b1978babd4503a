"""What people do about alerts: who has one, who is silent about what, and that it is all on record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from shared.acks import ack_path
from shared.actions import ATTEMPTS, Taken, acknowledge, end_silence, silence
from shared.adapters.sqlite_store import SqliteStore
from shared.adapters.strict_store import StrictStore
from shared.alerts import AlertState
from shared.audit import KEPT, Deed, Entry, read_entries
from shared.decided import decided
from shared.errors import PermanentError, TransientError
from shared.reader import Reader
from shared.silences import Matcher, Silence, read_silences
from shared.store import Store
from shared.timeline import minute_floor
from tests.fakes import START, Clock, Countdown, Crash, CrashingStore, Hook
from tests.ticks import GROUPED, MINUTE, RULE, config_of, minutes_of, run

LATER = START + timedelta(days=1)
EU = [Matcher("region", "eu")]


@pytest.fixture
def store() -> Store:
    """A store in which the alert of region eu fires since START."""
    store = StrictStore(SqliteStore(":memory:", Clock()), Clock())
    (result,) = run(config_of(replace(RULE, query=GROUPED)), minutes_of("B", "eu"), 1)
    store.commit(decided((), result))
    return store


@pytest.fixture
def alert() -> AlertState:
    """That alert."""
    (result,) = run(config_of(replace(RULE, query=GROUPED)), minutes_of("B", "eu"), 1)
    return result.states[0]


def quiet(
    store: Store, silence_id: str = "s1", now: datetime = START, author: str = "ann", minutes: int = 30
) -> Silence:
    """Somebody silences eu for some minutes."""
    return silence(store, silence_id, EU, START, START + minutes * MINUTE, author, "a deploy", now)


def deeds(store: Store) -> list[tuple[str, str, str]]:
    """All that is on record: who did what, and to what."""
    return [(one.author, one.deed.value, one.target) for one in read_entries(store, START, LATER, START)]


def test_acknowledging(store: Store, alert: AlertState) -> None:
    """Who takes an alert that fires has it, and it is on record with its rule, labels and comment."""
    taken = acknowledge(store, alert.fingerprint, START, "ann", "on it", START + MINUTE)
    assert (taken.is_new, taken.ack.author, taken.ack.comment) == (True, "ann", "on it")
    (entry,) = read_entries(store, START, LATER, START)
    path = ack_path(alert.fingerprint, START)
    assert entry == Entry(START + MINUTE, "ann", Deed.ACKNOWLEDGED, path, "level: region=eu", "on it")


def test_the_second_is_told_who_has_it(store: Store, alert: AlertState) -> None:
    """Whoever comes later learns who was first, changes nothing, and is not on record; nor is the first, again."""
    first = acknowledge(store, alert.fingerprint, START, "ann", "on it", START + MINUTE)
    for author in ("bob", "ann"):
        later = acknowledge(store, alert.fingerprint, START, author, "me too", START + 2 * MINUTE)
        assert (later.is_new, later.ack) == (False, first.ack)
    assert deeds(store) == [("ann", "acknowledged", ack_path(alert.fingerprint, START))]


@pytest.mark.parametrize(
    ("rule_id", "fired_at"),
    [
        pytest.param("other", START, id="no such alert"),
        pytest.param("level", START - MINUTE, id="an episode before"),
        pytest.param("level", START + MINUTE, id="an episode to come"),
    ],
)
def test_only_what_fires_can_be_taken(store: Store, alert: AlertState, rule_id: str, fired_at: datetime) -> None:
    """An acknowledgement of what does not fire is refused by name, and nothing is written."""
    with pytest.raises(PermanentError) as raised:
        acknowledge(store, replace(alert, rule_id=rule_id).fingerprint, fired_at, "ann", "", START)
    assert raised.value.reason == "not_firing"
    assert (store.list("acks").documents, deeds(store)) == ((), [])


def test_what_has_ended_cannot_be_taken(store: Store, alert: AlertState) -> None:
    """An alert that is remembered for its cooldown alone does not fire."""
    rule = replace(RULE, query=GROUPED, cooldown_period=600)
    first, second = run(config_of(rule), minutes_of("Bg", "eu"), 2)
    store.commit(decided(first.states, second))
    with pytest.raises(PermanentError, match="not_firing"):
        acknowledge(store, alert.fingerprint, START, "ann", "", START)


def test_silencing(store: Store) -> None:
    """A silence holds from then on, and is on record with what it reaches."""
    made = quiet(store)
    assert read_silences(store, START) == [made]
    (entry,) = read_entries(store, START, LATER, START)
    about = "region=eu from 2025-10-18T12:00:00Z until 2025-10-18T12:30:00Z"
    assert entry == Entry(START, "ann", Deed.SILENCED, "silences/s1", about, "a deploy")


def test_the_same_request_again_is_the_silence_as_it_is_by_then(store: Store) -> None:
    """A form that is sent twice makes one silence, and does not begin again one that was ended meanwhile."""
    first = quiet(store)
    assert quiet(store, now=START + MINUTE) == first
    ended = end_silence(store, "s1", "bob", "", START + 2 * MINUTE)
    assert quiet(store, now=START + 3 * MINUTE) == ended
    assert deeds(store) == [("ann", "silenced", "silences/s1"), ("bob", "unsilenced", "silences/s1")]


@pytest.mark.parametrize(
    ("minutes", "now", "detail"),
    [
        (30, START + 30 * MINUTE, "ends_at: expected a time that is not over"),
        (0, START, "ends_at: expected after starts_at, and at most 30 days after"),
    ],
    ids=["over", "empty"],
)
def test_a_silence_that_silences_nothing_is_refused(store: Store, minutes: int, now: datetime, detail: str) -> None:
    """What is over before it is asked for is a mistake, and nothing is written."""
    with pytest.raises(PermanentError) as raised:
        quiet(store, now=now, minutes=minutes)
    assert (raised.value.reason, raised.value.detail) == ("invalid_silence", detail)
    assert (read_silences(store, START), deeds(store)) == ([], [])


@pytest.mark.parametrize(
    ("minute", "ends"),
    [
        pytest.param(5, 5, id="while it holds"),
        pytest.param(0, 0, id="as soon as it began"),
        pytest.param(-5, 0, id="before it begins"),
        pytest.param(30, 30, id="when it is over"),
        pytest.param(90, 30, id="long after"),
    ],
)
def test_ending_a_silence(store: Store, minute: int, ends: int) -> None:
    """It ends at once, or never begins; one that is over stays as it was, and then nothing is on record."""
    quiet(store, now=START - 10 * MINUTE)
    ended = end_silence(store, "s1", "bob", "done", START + minute * MINUTE)
    assert ended.ends_at == START + ends * MINUTE
    assert read_silences(store, START) == [ended]
    assert (ended.author, ended.comment) == ("ann", "a deploy")
    entries = [one for one in read_entries(store, START - 10 * MINUTE, LATER, START) if one.author == "bob"]
    assert [(one.deed, one.comment) for one in entries] == ([(Deed.UNSILENCED, "done")] if minute < 30 else [])
    again = end_silence(store, "s1", "cid", "", START + 91 * MINUTE)
    assert again == ended


@pytest.mark.parametrize(
    ("silence_id", "author", "reason"),
    [("s2", "ann", "unknown_silence"), ("s1", "", "invalid_silence"), ("s1", "x" * 201, "invalid_silence")],
    ids=["unknown", "nobody", "long name"],
)
def test_an_end_that_is_refused(store: Store, silence_id: str, author: str, reason: str) -> None:
    """A silence that is not there, and a person who is not named, are refused by name."""
    quiet(store)
    with pytest.raises(PermanentError) as raised:
        end_silence(store, silence_id, author, "", START)
    assert raised.value.reason == reason


def test_two_who_end_a_silence_at_once(store: Store) -> None:
    """Whoever comes second between the other's read and write ends nothing anew, and is not on record."""
    quiet(store)
    hook = Hook(1, lambda: end_silence(store, "s1", "bob", "", START + MINUTE))
    ended = end_silence(CrashingStore(store, hook), "s1", "cid", "", START + 2 * MINUTE)
    assert ended.ends_at == START + MINUTE
    assert [author for author, deed, _ in deeds(store) if deed == "unsilenced"] == ["bob"]


def test_an_end_that_others_keep_overtaking(store: Store) -> None:
    """After five lost races it is a transient failure."""
    quiet(store)
    ends = iter(range(29, 0, -1))
    hook = Hook(None, lambda: None)

    def overtake() -> None:
        if hook.calls % 2 == 0:
            end_silence(store, "s1", "bob", "", START + next(ends) * MINUTE)

    hook.run = overtake
    with pytest.raises(TransientError, match="contended"):
        end_silence(CrashingStore(store, hook), "s1", "cid", "", START)
    assert hook.calls == 2 * ATTEMPTS


@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
def test_a_crash_at_any_call(alert: AlertState, after: bool) -> None:
    """What is asked again after a crash is done once, with its one entry on record."""
    todo: list[Callable[[Store], object]] = [
        quiet,
        lambda store: end_silence(store, "s1", "ann", "", START + MINUTE),
        lambda store: acknowledge(store, alert.fingerprint, START, "ann", "", START + 2 * MINUTE),
    ]
    (result,) = run(config_of(replace(RULE, query=GROUPED)), minutes_of("B", "eu"), 1)
    for number in range(len(todo)):
        for call in range(4):
            store: Store = SqliteStore(":memory:", Clock())
            store.commit(decided((), result))
            for done in todo[:number]:
                done(store)
            try:
                todo[number](CrashingStore(store, Countdown(call, after=after)))
            except Crash:
                todo[number](store)
            assert [deed for _, deed, _ in deeds(store)] == ["silenced", "unsilenced", "acknowledged"][: number + 1]


def test_the_record_by_time(store: Store, alert: AlertState) -> None:
    """A page reads what people did in some minutes, both included, oldest first, for as long as it is kept."""
    acknowledge(store, alert.fingerprint, START, "ann", "", START)
    quiet(store, "a", now=START + MINUTE)
    quiet(store, "b", now=START + MINUTE + timedelta(microseconds=1))
    quiet(store, "c", now=START + 3 * MINUTE)
    reader, minute = Reader(store), minute_floor(START)

    def seen(first: int, last: int, now: datetime = START) -> str:
        found = reader.actions(minute + 60 * first, minute + 60 * last, now)
        return "".join("!" if one.deed is Deed.ACKNOWLEDGED else one.target[-1] for one in found)

    assert (seen(0, 9), seen(0, 0), seen(1, 1), seen(2, 2), seen(2, 3), seen(4, 9)) == ("!abc", "!", "a", "b", "bc", "")
    assert (seen(0, 9, START + KEPT), seen(0, 9, START + 2 * MINUTE + KEPT)) == ("abc", "c")


def test_two_deeds_of_one_microsecond(store: Store, alert: AlertState) -> None:
    """Neither entry takes the other's place."""
    acknowledge(store, alert.fingerprint, START, "ann", "", START)
    quiet(store)
    quiet(store, "s2", author="bob")
    assert len(deeds(store)) == 3


def test_hostile_text_is_kept_as_it_is(store: Store) -> None:
    """Labels are whatever writers send, so a matcher may name anything; it is stored and read unchanged.

    What people write of themselves has no hidden characters, but markup of any kind: rendering it is the page's.
    """
    hostile, markup = "<b>{x}\n\x1b[31m\u202e", "<b>{x}</b> | *a* `b`"
    made = silence(store, "s", [Matcher("pod", hostile)], START, START + MINUTE, markup, markup, START)
    assert read_silences(store, START) == [made]
    (entry,) = read_entries(store, START, LATER, START)
    assert (entry.author, entry.comment) == (markup, markup)
    assert entry.about.startswith(f"pod={hostile} from ")


def refusals(store: Store, fingerprint: str, author: str, comment: str) -> list[str]:
    """Why each of the three is refused."""
    asked: list[Callable[[], object]] = [
        lambda: acknowledge(store, fingerprint, START, author, comment, START),
        lambda: silence(store, "s", EU, START, START + MINUTE, author, comment, START),
        lambda: end_silence(store, "s", author, comment, START),
    ]
    found: list[str] = []
    for ask in asked:
        with pytest.raises(PermanentError) as raised:
            ask()
        found.append(f"{raised.value.reason}: {raised.value.detail.partition(':')[0]}")
    return found


@pytest.mark.parametrize("hidden", ["\x1b[2J", "\x00", "\u202e", "\u2066", "\x85"])
def test_nothing_hidden_is_written(store: Store, alert: AlertState, hidden: str) -> None:
    """A name or comment with control characters or marks of direction is refused by each of the three, by field."""
    reasons = ["invalid_acknowledgement", "invalid_silence", "invalid_silence"]
    for name, words in (("author", (f"ann{hidden}", "why")), ("comment", ("ann", f"why{hidden}"))):
        assert refusals(store, alert.fingerprint, *words) == [f"{reason}: {name}" for reason in reasons]
    assert (store.list("acks").documents, read_silences(store, START), deeds(store)) == ((), [], [])


def test_asked_again_after_the_episode_ended(store: Store, alert: AlertState) -> None:
    """Whoever lost the answer to an acknowledgement gets it again, though the alert has resolved meanwhile."""
    first = acknowledge(store, alert.fingerprint, START, "ann", "on it", START)
    results = run(config_of(replace(RULE, query=GROUPED)), minutes_of("Bg", "eu"), 2)
    store.commit(decided(results[0].states, results[1]))
    again = acknowledge(store, alert.fingerprint, START, "ann", "on it", START + 2 * MINUTE)
    assert (again.is_new, again.ack) == (False, first.ack)
    with pytest.raises(PermanentError, match="not_firing"):
        acknowledge(store, alert.fingerprint, START + MINUTE, "ann", "", START + 2 * MINUTE)
    assert len(deeds(store)) == 1


@pytest.mark.parametrize("call", range(3))
def test_two_who_acknowledge_at_once(store: Store, alert: AlertState, call: int) -> None:
    """Wherever the second comes in, one of them has the alert, both are told who, and one entry is on record."""
    path = ack_path(alert.fingerprint, START)
    others: list[Taken] = []
    hook = Hook(call, lambda: others.append(acknowledge(store, alert.fingerprint, START, "bob", "", START + MINUTE)))
    mine = acknowledge(CrashingStore(store, hook), alert.fingerprint, START, "ann", "", START + MINUTE)
    assert (mine.ack.author, mine.is_new) == ("bob", False)
    assert (others[0].ack.author, others[0].is_new) == ("bob", True)
    assert deeds(store) == [("bob", "acknowledged", path)]


def test_the_same_silence_asked_twice_at_once(store: Store) -> None:
    """Two copies of a request make one silence, and one entry on record; both are answered with it."""
    others: list[Silence] = []
    hook = Hook(0, lambda: others.append(quiet(store, author="bob")))
    mine = quiet(CrashingStore(store, hook))
    assert read_silences(store, START) == others == [mine]
    assert [author for author, *_ in deeds(store)] == ["bob"]
