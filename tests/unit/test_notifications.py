"""Notifications: their wire form, there and back, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.alerts import Told, fingerprint
from shared.errors import PermanentError
from shared.notifications import Notification, NotificationKind, notification_from_json
from shared.rules import Operator, Severity
from shared.series import make_labels
from tests.unit.test_notify import FIRING, RESOLVED

FEW = settings(max_examples=100, deadline=None, derandomize=True, database=None)
SCHEMA = json.loads((Path(__file__).parents[2] / "docs/notification.schema.json").read_text(encoding="utf-8"))
text = st.text(max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False)
minutes = st.integers(0, 10**8).map(lambda minute: datetime.fromtimestamp(60 * minute, UTC))
notifications = st.builds(
    Notification,
    kind=st.sampled_from(NotificationKind),
    fingerprint=text.map(lambda rule: fingerprint(rule, ())),
    rule_id=st.just("users"),
    rule_name=text.map(lambda name: f"n{name}"),
    description=text,
    severity=st.sampled_from(Severity),
    labels=st.dictionaries(text.map(lambda name: f"n{name}"), text, max_size=3).map(make_labels),
    value=st.none() | numbers,
    unit=text,
    operator=st.sampled_from(Operator),
    threshold=numbers,
    fired_at=minutes,
    at=minutes,
    reason=st.sampled_from(["fired", "resolved", "no_data"]),
    channels=st.lists(st.sampled_from(["slack", "email", "inbox"]), unique=True).map(tuple),
    config_hash=st.just("0123456789ab"),
    runbook_url=st.sampled_from(["", "https://runbook.example/users"]),
    tags=st.dictionaries(text, text, max_size=2).map(lambda tags: tuple(sorted(tags.items()))),
)


@FEW
@given(notifications)
def test_round_trip(notification: Notification) -> None:
    """A notification survives its wire form, and its bytes are those of any equal notification."""
    again = notification_from_json(notification.to_json())
    assert again == notification
    assert again.to_json() == notification.to_json()
    assert again.id == notification.id


@FEW
@given(notifications)
def test_the_wire_form_is_as_documented(notification: Notification) -> None:
    """What is sent satisfies docs/notification.schema.json."""
    jsonschema.validate(json.loads(notification.to_json()), SCHEMA)


def test_the_bytes_are_for_ever() -> None:
    """The same notification has the same bytes as when this was written: sorted keys, ASCII, UTC."""
    assert RESOLVED.to_json() == (
        b'{"about": "threshold", "at": "2025-10-18T12:05:00Z", "channels": ["one", "two"], "config_hash": "abc", '
        b'"episode": {"fingerprint": "0123456789abcdef", "fired_at": "2025-10-18T12:00:00Z"}, "follows": [{"channels": '
        b'["one", "two"], "id": "20251018T1200-0123456789abcdef-firing"}], '
        b'"id": "20251018T1200-0123456789abcdef-resolved", '
        b'"kind": "resolved", "labels": {"region": "eu"}, "reason": "resolved", "rule": {"description": "Too many '
        b'users.", "id": "users", "name": "Users", "operator": ">", "runbook_url": "", "severity": "critical", '
        b'"threshold": 100.0, "unit": ""}, "value": 300.0, "version": 1}'
    )


def test_equal_instants_in_any_zone_are_the_same_notification() -> None:
    """The id and the bytes depend on the instant, not on the zone it is written in."""
    zone = timezone(timedelta(hours=5, minutes=30))
    elsewhere = replace(FIRING, fired_at=FIRING.fired_at.astimezone(zone), at=FIRING.at.astimezone(zone))
    assert elsewhere.to_json() == FIRING.to_json()
    assert elsewhere.id == FIRING.id


def test_an_episode_has_one_id_of_each_kind() -> None:
    """Another fingerprint, episode or kind is another id; another value or time of decision is not."""
    later = FIRING.fired_at + timedelta(minutes=1)
    others = [RESOLVED, replace(FIRING, fired_at=later), replace(FIRING, fingerprint="fedcba9876543210")]
    assert len({FIRING.id, *(other.id for other in others)}) == 4
    assert replace(FIRING, value=None, at=later, reason="x", config_hash="y", channels=()).id == FIRING.id


def test_a_notification_knows_what_came_before_on_a_channel() -> None:
    """Of the episode's earlier notifications those count that went to the channel, in their order."""
    later = replace(RESOLVED, follows=(Told("a", ("slack",)), Told("b", ("slack", "pagerduty"))))
    assert (later.before_on("slack"), later.before_on("pagerduty"), later.before_on("email")) == (["a", "b"], ["b"], [])


def changed(*path: str, to: object) -> bytes:
    """The wire form with one value replaced."""
    whole = FIRING.to_dict()
    inner: Any = whole
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = to
    return json.dumps(whole).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"null", b"[]", b"1", b'"text"', b"{}", b"\xff\xfe", b"[" * 100_000, b'{"version": 1}',
        changed("version", to=2), changed("version", to=None), changed("kind", to="other"), changed("kind", to=[]),
        changed("episode", to=None), changed("episode", to=[]), changed("episode", "fired_at", to=5),
        changed("episode", "fired_at", to="2025-10-18T12:00:00"), changed("episode", "fired_at", to="yesterday"),
        changed("episode", "fired_at", to="0001-01-01T00:00:00+14:00"), changed("at", to="9999-12-31T23:59:59-14:00"),
        changed("labels", to=[["a", "b"]]), changed("labels", to="text"), changed("channels", to=None),
        changed("value", to="high"), changed("value", to=[]), changed("value", to=float("nan")),
        changed("value", to=float("inf")), changed("value", to="nan"), changed("value", to=10**400),
        changed("value", to={}), changed("rule", "threshold", to=None), changed("rule", "threshold", to=float("-inf")),
        changed("rule", "operator", to="~"), changed("rule", "severity", to="urgent"), changed("rule", to=7),
    ],
    ids=lambda data: data[:1].decode("ascii", "replace") + str(len(data)),
)  # fmt: skip
def test_malformed_input_is_a_permanent_error(data: bytes) -> None:
    """Whatever is no notification is refused by one name, so that it is dead-lettered and never tried again."""
    with pytest.raises(PermanentError) as raised:
        notification_from_json(data)
    assert raised.value.reason == "malformed_notification"
    assert len(raised.value.detail) <= 200


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
paths = st.sampled_from(
    [(name,) for name in FIRING.to_dict()]
    + [("rule", name) for name in FIRING.to_dict()["rule"]]
    + [("episode", name) for name in FIRING.to_dict()["episode"]]
)


@FEW
@given(paths, json_values)
def test_one_wrong_value_is_refused_or_sendable(path: tuple[str, ...], value: object) -> None:
    """With any JSON in any place the message is refused by name, or is a notification that can be sent on."""
    try:
        notification = notification_from_json(changed(*path, to=value))
    except PermanentError as error:
        assert error.reason == "malformed_notification"  # noqa: PT017 - either outcome is right
        return
    assert notification_from_json(notification.to_json()) == notification


@FEW
@given(st.binary(max_size=40), st.integers(0, 400))
def test_damaged_bytes_are_refused_or_read(junk: bytes, at: int) -> None:
    """Bytes cut or overwritten anywhere raise nothing but the permanent error."""
    whole = FIRING.to_json()
    for data in (junk, whole[:at], whole[:at] + junk + whole[at + len(junk) :]):
        try:
            notification_from_json(data)
        except PermanentError as error:
            assert error.reason == "malformed_notification"  # noqa: PT017 - either outcome is right
