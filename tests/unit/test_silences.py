"""Silences: what they match, from when to when, and what a person is told who writes one wrongly."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.adapters.sqlite_store import SqliteStore
from shared.adapters.strict_store import StrictStore
from shared.alerts import AlertState
from shared.errors import PermanentError
from shared.rules import Severity
from shared.series import MAX_LABELS
from shared.silences import (
    KEPT,
    LONGEST,
    Matcher,
    Silence,
    check_silence,
    matchers_of,
    silence_from_fields,
    silence_path,
    silenced_by,
)
from shared.store import Absent
from tests.fakes import START, Clock
from tests.world import labels

MINUTE = timedelta(minutes=1)
ALERT = AlertState("high-latency", labels(region="eu", zone="a"), Severity.HIGH)
SILENCE = Silence("s1", (Matcher("region", "eu"),), START, START + 10 * MINUTE, "ann", "deploy", START)


@pytest.mark.parametrize(
    ("matchers", "covers"),
    [
        pytest.param([Matcher("region", "eu")], True, id="a label"),
        pytest.param([Matcher("region", "us")], False, id="another value"),
        pytest.param([Matcher("region", "eu"), Matcher("zone", "a")], True, id="both"),
        pytest.param([Matcher("region", "eu"), Matcher("zone", "b")], False, id="only one of both"),
        pytest.param([Matcher("tier", "gold")], False, id="a label that it lacks"),
        pytest.param([Matcher("rule", "high-latency")], True, id="the rule"),
        pytest.param([Matcher("rule", "low-latency")], False, id="another rule"),
        pytest.param([Matcher("severity", "high")], True, id="the severity"),
        pytest.param([Matcher("severity", "critical")], False, id="a worse one"),
        pytest.param([Matcher("rule", "high-latency"), Matcher("region", "us", is_not=True)], True, id="not a region"),
        pytest.param([Matcher("rule", "high-latency"), Matcher("region", "eu", is_not=True)], False, id="not this one"),
        pytest.param(
            [Matcher("rule", "high-latency"), Matcher("tier", "x", is_not=True)], True, id="not what it lacks"
        ),
        pytest.param([Matcher("region", "EU")], False, id="case counts"),
        pytest.param([Matcher("region", "e")], False, id="the whole value"),
        pytest.param([Matcher("tier", "")], False, id="a label that is absent is not empty"),
    ],
)
def test_matchers(matchers: list[Matcher], covers: bool) -> None:
    """All matchers have to hold; one with ``is_not`` holds for any other value and where there is no such label."""
    assert replace(SILENCE, matchers=tuple(matchers)).covers(ALERT, START) is covers


@pytest.mark.parametrize(
    ("minute", "covers"), [(-1, False), (0, True), (9, True), (10, False), (11, False)], ids=lambda one: str(one)
)
def test_times_are_half_open(minute: int, covers: bool) -> None:
    """It holds from its start on, and not at its end any more."""
    assert SILENCE.covers(ALERT, START + minute * MINUTE) is covers


def test_a_label_of_the_name_of_a_rule_is_no_rule() -> None:
    """``rule`` and ``severity`` are always the alert's own, whatever labels its writer chose."""
    hostile = replace(ALERT, labels=labels(rule="high-error-rate", severity="low"))
    assert replace(SILENCE, matchers=(Matcher("rule", "high-latency"),)).matches(hostile)
    assert not replace(SILENCE, matchers=(Matcher("rule", "high-error-rate"),)).matches(hostile)
    assert replace(SILENCE, matchers=(Matcher("severity", "high"),)).matches(hostile)


def test_the_silence_that_ends_last_is_named() -> None:
    """Of several that cover an alert it is the one that an operator has to wait for; None where none does."""
    longer = replace(SILENCE, id="s2", ends_at=START + 20 * MINUTE)
    other = replace(SILENCE, id="s3", matchers=(Matcher("region", "us"),), ends_at=START + 30 * MINUTE)
    assert silenced_by([longer, SILENCE, other], ALERT, START) == longer
    assert silenced_by([SILENCE, other], ALERT, START + 10 * MINUTE) is None
    assert silenced_by([], ALERT, START) is None


def test_the_matchers_of_an_alert_match_it_alone() -> None:
    """They name its rule and all its labels."""
    found = replace(SILENCE, matchers=matchers_of(dict(ALERT.labels), ALERT.rule_id))
    assert found.matches(ALERT)
    assert not found.matches(replace(ALERT, labels=labels(region="eu", zone="b")))
    assert not found.matches(replace(ALERT, rule_id="other"))
    assert check_silence(found) == found


MISTAKES = [
    pytest.param({"id": ""}, "id: expected 1 to 64 of a-z, 0-9 and -", id="no id"),
    pytest.param({"id": "a/b"}, "id: expected 1 to 64 of a-z, 0-9 and -", id="a path"),
    pytest.param({"id": "a" * 65}, "id: expected 1 to 64 of a-z, 0-9 and -", id="a long id"),
    pytest.param({"matchers": ()}, "matchers: expected 1 to 18, got 0", id="no matcher"),
    pytest.param(
        {"matchers": tuple(Matcher(f"l{number}", "x") for number in range(19))}, "matchers: expected 1 to 18, got 19",
        id="too many",
    ),
    pytest.param(
        {"matchers": (Matcher("", "x"),)}, "matchers: '' has a name or a value that no label has", id="no name"
    ),
    pytest.param(
        {"matchers": (Matcher("n" * 201, "x"),)}, f"matchers: '{'n' * 40}' has a name or a value that no label has",
        id="long name",
    ),
    pytest.param(
        {"matchers": (Matcher("region", "x" * 501),)}, "matchers: 'region' has a name or a value that no label has",
        id="long value",
    ),
    pytest.param(
        {"matchers": (Matcher("region", "\ud800"),)}, "matchers: 'region' has a name or a value that no label has",
        id="no text",
    ),
    pytest.param(
        {"matchers": (Matcher("region", "eu", is_not=True),)},
        "matchers: at least one has to say what is silenced, not only what is not", id="only what is not",
    ),
    pytest.param({"ends_at": START}, "ends_at: expected after starts_at, and at most 30 days after", id="no time"),
    pytest.param(
        {"ends_at": START - MINUTE}, "ends_at: expected after starts_at, and at most 30 days after", id="backwards"
    ),
    pytest.param(
        {"ends_at": START + LONGEST + MINUTE}, "ends_at: expected after starts_at, and at most 30 days after",
        id="for ever",
    ),
    pytest.param(
        {"starts_at": START.replace(tzinfo=None)}, "starts_at: expected a time with an offset", id="start of no zone"
    ),
    pytest.param(
        {"ends_at": START.replace(tzinfo=None)}, "ends_at: expected a time with an offset", id="end of no zone"
    ),
    pytest.param(
        {"starts_at": datetime(9999, 12, 1, tzinfo=UTC), "ends_at": datetime(9999, 12, 2, tzinfo=UTC)},
        "starts_at: expected at most 365 days from now", id="far away",
    ),
    pytest.param(
        {"starts_at": datetime(1, 1, 1, tzinfo=UTC), "ends_at": datetime(1, 1, 2, tzinfo=UTC)},
        "starts_at: expected at most 365 days from now", id="long ago",
    ),
    pytest.param({"author": " "}, "author: expected 1 to 200 bytes of text", id="nobody"),
    pytest.param({"author": "ü" * 101}, "author: expected 1 to 200 bytes of text", id="long author"),
    pytest.param({"comment": ""}, "comment: expected 1 to 1000 bytes of text", id="no reason"),
    pytest.param({"comment": "x" * 1001}, "comment: expected 1 to 1000 bytes of text", id="long reason"),
    pytest.param({"comment": "\udc80"}, "comment: expected 1 to 1000 bytes of text", id="a reason that is no text"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "detail"), MISTAKES)
def test_mistakes(change: dict[str, object], detail: str) -> None:
    """A silence that cannot be meant is refused with what a person has to mend."""
    with pytest.raises(PermanentError) as raised:
        check_silence(replace(SILENCE, **change))  # type: ignore[arg-type] # any of its fields
    assert (raised.value.reason, raised.value.detail) == ("invalid_silence", detail)


@pytest.mark.parametrize(
    "change",
    [
        {"ends_at": START + LONGEST}, {"author": "a" * 200}, {"comment": "x" * 1000},
        {"matchers": (*matchers_of({f"l{one}": "" for one in range(MAX_LABELS)}, "cpu"), Matcher("severity", "low"))},
        {"matchers": (Matcher("n" * 200, "x" * 500), Matcher("region", "eu", is_not=True))},
    ],
    ids=["thirty days", "author", "comment", "an alert of sixteen labels", "long"],
)  # fmt: skip
def test_the_largest_that_is_accepted(change: dict[str, object]) -> None:
    """Whatever is within the limits is accepted, and can be stored."""
    silence = check_silence(replace(SILENCE, **change))  # type: ignore[arg-type] # any of its fields
    store = StrictStore(SqliteStore(":memory:", Clock()), Clock())
    store.commit([silence.write(Absent())])
    (document,) = store.list("silences").documents
    assert silence_from_fields(document.id, document.fields) == silence


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.lists(st.builds(Matcher, texts, texts, st.booleans()), min_size=1, max_size=16), texts, texts)
def test_there_and_back(matchers: list[Matcher], author: str, comment: str) -> None:
    """What is stored is what is read, under a path of its own, and it is shown for seven days after its end."""
    silence = replace(SILENCE, matchers=tuple(matchers), author=author, comment=comment)
    put = silence.write(Absent())
    assert put.path == silence_path("s1") == "silences/s1"
    assert silence_from_fields("s1", put.fields) == silence
    assert put.fields["expires_at"] == silence.ends_at + KEPT
