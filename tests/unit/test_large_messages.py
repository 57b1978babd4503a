"""Large messages take turns, small ones never wait, and a turn always ends."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from shared import large_messages
from shared.errors import PermanentError, TransientError
from shared.formats import dispatch
from shared.formats.otlp_labels import DEFAULT_RULE
from shared.large_messages import LARGE_BYTES, in_turn
from tests.hostile_messages import COMPACT, deflate


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a turn."""
    monkeypatch.setattr(large_messages, "WAIT_SECONDS", 0.0)


def _weigh(size_bytes: int) -> str:
    """What another thread is told of a message of some bytes."""

    def message() -> str:
        try:
            with in_turn() as weigh:
                weigh(size_bytes)
                return "read"
        except TransientError as error:
            return error.reason

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(message).result()


def test_one_large_message_is_read_at_a_time() -> None:
    """While one is read another has to come again, and a small one does not; afterwards it is its turn."""
    with in_turn() as weigh:
        assert _weigh(LARGE_BYTES + 1) == "read"
        weigh(LARGE_BYTES + 1)
        weigh(LARGE_BYTES + 1)  # a message is weighed again when it is inflated further
        assert _weigh(LARGE_BYTES + 1) == "too_many_large_messages"
        assert _weigh(LARGE_BYTES) == "read"
    assert _weigh(LARGE_BYTES + 1) == "read"


def test_a_turn_ends_with_any_failure() -> None:
    """What is raised while a large message is read takes no other's turn."""

    def read(failure: type[BaseException]) -> None:
        with in_turn() as weigh:
            weigh(LARGE_BYTES + 1)
            raise failure

    for failure in (ValueError, KeyboardInterrupt):
        with pytest.raises(failure):
            read(failure)
    assert _weigh(LARGE_BYTES + 1) == "read"


def test_a_message_is_weighed_before_it_is_read() -> None:
    """Of a small message that stands for a large one, the inflated bytes count, and none of them is read before."""
    weighed: list[int] = []
    with pytest.raises(PermanentError, match="malformed_chunk"):
        dispatch.decode(deflate(bytes(5_000_000)), COMPACT, {}, DEFAULT_RULE, weighed.append)
    assert weighed == [len(deflate(bytes(5_000_000))), 5_000_000]

    def refuse(size_bytes: int) -> None:
        if size_bytes > LARGE_BYTES:
            raise TransientError("not now")

    with pytest.raises(TransientError, match="not now"):
        dispatch.decode(deflate(bytes(5_000_000)), COMPACT, {}, DEFAULT_RULE, refuse)
