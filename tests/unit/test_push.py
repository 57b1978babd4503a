"""The push envelope: read as functions-framework hands it on, written as Pub/Sub posts it, refused when malformed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from functions_framework.event_conversion import background_event_to_cloud_event
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from shared.bus import Message
from shared.errors import PermanentError
from shared.push import message_from_cloud_event, push_body

INSTANT = datetime(2025, 10, 18, 12, 34, 56, 789000, tzinfo=UTC)
MESSAGE = Message(b"\xff\x00hi", {"kind": "native", "ünïcode": "✓"}, "2070443601311540", INSTANT)
ENVELOPE = {"data": "/wBoaQ==", "attributes": {}, "messageId": "1", "publishTime": "2025-10-18T12:34:56.789Z"}


@dataclass(frozen=True, slots=True)
class Event:
    """What is read of a CloudEvent."""

    data: Any


def _read(**changes: object) -> Message:
    return message_from_cloud_event(Event({"message": {**ENVELOPE, **changes}}))


def _without(field: str) -> Event:
    return Event({"message": {name: value for name, value in ENVELOPE.items() if name != field}})


def test_the_body_is_the_one_pubsub_posts() -> None:
    """The JSON has the names, both spellings of them, and the forms that a Pub/Sub push has."""
    assert json.loads(push_body(MESSAGE, "ingest", "project")) == {
        "message": {
            "attributes": {"kind": "native", "ünïcode": "✓"},
            "data": "/wBoaQ==",
            "messageId": "2070443601311540",
            "message_id": "2070443601311540",
            "publishTime": "2025-10-18T12:34:56.789000Z",
            "publish_time": "2025-10-18T12:34:56.789000Z",
        },
        "subscription": "projects/project/subscriptions/ingest",
    }


@given(
    data=st.binary(max_size=200),
    attributes=st.dictionaries(st.text(min_size=1), st.text(), max_size=5),
    message_id=st.text(min_size=1),
    publish_time=st.datetimes(
        INSTANT.replace(year=2000, tzinfo=None), INSTANT.replace(year=9998, tzinfo=None), timezones=st.just(UTC)
    ),
)
def test_any_message_survives_the_functions_framework(
    data: bytes, attributes: dict[str, str], message_id: str, publish_time: datetime
) -> None:
    """Written, converted by functions-framework to a CloudEvent and read again, every message is equal to itself."""
    message = Message(data, attributes, message_id, publish_time)
    body = push_body(message, "ingest", "project")
    request = Request(EnvironBuilder(method="POST", data=body, content_type="application/json").get_environ())
    assert message_from_cloud_event(background_event_to_cloud_event(request)) == message


@pytest.mark.parametrize("field", ["data", "attributes"])
def test_a_missing_or_null_field_is_empty(field: str) -> None:
    """Without data, or attributes, or with null in their place, the message has none."""
    empty = {"data": b"", "attributes": {}}[field]
    assert getattr(message_from_cloud_event(_without(field)), field) == empty
    assert getattr(_read(**{field: None}), field) == empty


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("2025-10-18T12:34:56Z", 0),
        ("2025-10-18T12:34:56.789Z", 789_000),
        ("2025-10-18T12:34:56.123456789Z", 123_456),
        ("2025-10-18T14:34:56.5+02:00", 500_000),
    ],
    ids=["seconds", "millis", "nanos", "offset"],
)
def test_publish_times_of_any_precision_are_read_as_utc(text: str, microsecond: int) -> None:
    """RFC 3339 with 0 to 9 decimals and any offset is read as UTC, cut to microseconds."""
    read = _read(publishTime=text).publish_time
    assert (read, read.tzinfo) == (INSTANT.replace(microsecond=microsecond), UTC)


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (Event(None), "data"),
        (Event(b"{}"), "data"),
        (Event([]), "data"),
        (Event({}), "data.message"),
        (Event({"message": "text"}), "data.message"),
        (_without("messageId"), "messageId"),
        (_without("publishTime"), "publishTime"),
        *(
            (Event({"message": {**ENVELOPE, name: value}}), name)
            for name, value in (
                ("data", "AAA"),
                ("data", "/wBo*Q=="),
                ("data", "_wBoaQ=="),
                ("data", "é"),
                ("data", "YQ==\n"),
                ("data", "\ud800"),
                ("data", 7),
                ("data", ["YQ=="]),
                ("attributes", []),
                ("attributes", "text"),
                ("attributes", {"k": 1}),
                ("attributes", {"k": None}),
                ("attributes", {"k": "\udfff"}),
                ("attributes", {"\ud800": "v"}),
                ("attributes", {1: "v"}),
                ("messageId", ""),
                ("messageId", 12),
                ("publishTime", ""),
                ("publishTime", "yesterday"),
                ("publishTime", "2025-10-18T12:34:56"),
                ("publishTime", "0001-01-01T00:00:00+14:00"),
                ("publishTime", "1999-12-31T23:59:59Z"),
                ("publishTime", "9999-01-01T00:00:00Z"),
                ("publishTime", 1_760_790_896),
            )
        ),
    ],
)
def test_a_malformed_envelope_is_permanent_and_names_the_field(event: Event, field: str) -> None:
    """Whatever Pub/Sub would not send is refused as ``malformed_envelope`` with the field's name."""
    with pytest.raises(PermanentError) as refused:
        message_from_cloud_event(event)
    assert refused.value.reason == "malformed_envelope"
    assert refused.value.detail.startswith(f"{field}: expected ")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(fields=st.fixed_dictionaries({}, optional={name: _JSON | st.just(value) for name, value in ENVELOPE.items()}))
def test_no_envelope_raises_anything_else(fields: dict[str, object]) -> None:
    """Any JSON in any field gives a message or a ``malformed_envelope``, never another error."""
    assert _outcome(Event({"message": fields})) in {"read", "malformed_envelope"}


def _outcome(event: Event) -> str:
    try:
        message_from_cloud_event(event)
    except PermanentError as error:
        return error.reason
    return "read"
