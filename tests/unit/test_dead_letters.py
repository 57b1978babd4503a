"""Dead letters: the whole message, its reason, and room for both."""

from __future__ import annotations

from datetime import timedelta

from shared.adapters.local_bus import LocalBus
from shared.bus import PUBLISH_TIME_ATTRIBUTE, REASON_ATTRIBUTE, Message, Subscription
from shared.dead_letters import DETAIL_ATTRIBUTE, dead_letter
from shared.errors import PermanentError
from tests.fakes import START, Clock


def lettered(attributes: dict[str, str], detail: str = "why") -> Message:
    """The dead letter of a message that was published five minutes ago."""
    bus = LocalBus(["dead"], [Subscription("pull", "dead")], now=Clock())
    message = Message(b"\x00data", attributes, "id", START)
    dead_letter(bus, "dead", message, PermanentError("malformed_message", detail), START - timedelta(minutes=5))
    (received,) = bus.pull("pull", 2)
    return received.message


def test_a_letter_is_the_message_and_why() -> None:
    """The letter has the message's bytes and attributes, the reason, and the time of the first publish."""
    letter = lettered({"from": "test"})
    assert letter.data == b"\x00data"
    assert letter.attributes == {
        "from": "test",
        REASON_ATTRIBUTE: "malformed_message",
        DETAIL_ATTRIBUTE: "why",
        PUBLISH_TIME_ATTRIBUTE: "2025-10-18T11:55:00Z",
    }
    assert letter.first_publish_time() == START - timedelta(minutes=5)


def test_a_message_full_of_attributes_has_a_letter() -> None:
    """Of a hundred attributes, which is all that a message may have, those that say how to read it are kept."""
    letter = lettered({f"a{number:02}": "x" for number in range(99)} | {"content-type": "application/vnd.ion.chunk"})
    assert letter.attributes["content-type"] == "application/vnd.ion.chunk"
    assert letter.attributes[REASON_ATTRIBUTE] == "malformed_message"
    assert len(letter.attributes) <= 100


def test_any_detail_fits() -> None:
    """A detail of any length and with any characters is cut to what an attribute holds."""
    detail = lettered({}, "é\ud800" * 5000).attributes[DETAIL_ATTRIBUTE]
    assert 1000 < len(detail.encode()) <= 1024
