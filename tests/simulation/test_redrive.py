"""Redrive: dead letters go through the same path again, harmlessly where part had already counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest

from shared.adapters.sqlite_store import SqliteStore
from shared.bus import Received
from shared.redrive import main, redrive
from shared.series import Series
from shared.timeline import minute_of_us, to_us
from shared.wiring import use
from tests.fakes import Clock
from tests.world import World, point

LETTERS = "metrics-dead-letter-pull"


@pytest.fixture
def world() -> World:
    """A deployment with two dead letters: one malformed, one of which half counted."""
    clock = Clock()
    running = World(SqliteStore(":memory:", clock), clock)
    at = clock() - timedelta(seconds=20)
    running.bus.publish("metrics", b"no json", {"from": "a"})
    running.publish(point("users_active", at, 7.0), point("users_active", at - timedelta(hours=73), 8.0))
    running.deliver()
    return running


def counted(world: World) -> tuple[int, float]:
    """Count and sum of the active users in the minute that had just ended."""
    minute = minute_of_us(to_us(world.clock() - timedelta(minutes=10, seconds=20)))
    found = world.totals(range(minute - 300, minute + 900, 60))
    return found[Series("users_active")]


def test_sent_again_and_counted_once(world: World) -> None:
    """Both letters are sent again; what had counted counts no second time, and they become letters again."""
    world.clock.sleep(600)
    result = redrive(world.bus, LETTERS, "metrics", 100, now=world.clock())
    assert (dict(result.found), result.published) == ({"malformed_message": 1, "point_too_old": 1}, 2)
    world.deliver()
    world.evaluate()
    world.next_minute()
    assert counted(world) == (1, 7.0)
    assert redrive(world.bus, LETTERS, "metrics", 100, now=world.clock(), list_only=True).found == result.found


def test_only_one_reason(world: World) -> None:
    """With a reason, only its letters are sent again, and the others stay where they are."""
    result = redrive(world.bus, LETTERS, "metrics", 100, now=world.clock(), reason="point_too_old")
    assert result.published == 1
    world.clock.sleep(700)
    assert set(redrive(world.bus, LETTERS, "metrics", 100, now=world.clock(), list_only=True).found) == {
        "malformed_message"
    }


def test_first_publish_time_is_kept(world: World) -> None:
    """A letter that is redriven a week later is judged by when it was first published: its points are not too old."""
    world.clock.sleep(7 * 86_400)
    redrive(world.bus, LETTERS, "metrics", 100, now=world.clock())
    world.deliver()
    letters = redrive(world.bus, LETTERS, "metrics", 100, now=world.clock(), list_only=True)
    assert letters.found == {"malformed_message": 1, "point_too_old": 1}


def test_command_says_what_it_did(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints each reason with its number, and what it sent."""
    use(world.services)
    assert main(["--list"]) == 0
    assert "1  malformed_message" in capsys.readouterr().out
    world.clock.sleep(700)
    assert main([]) == 0
    assert "2 found, 2 sent again" in capsys.readouterr().out


@dataclass(frozen=True)
class Answering:
    """The world's bus, whose functions have run by the time that a publish returns."""

    world: World

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str] | None = None) -> str:
        """Publish a moment later, and deliver it."""
        self.world.clock.sleep(0.01)
        message_id = self.world.bus.publish(topic, data, attributes)
        self.world.deliver()
        return message_id

    def pull(self, subscription: str, limit: int) -> Sequence[Received]:
        """As the bus."""
        return self.world.bus.pull(subscription, limit)

    def ack(self, subscription: str, ack_ids: Sequence[str]) -> None:
        """As the bus."""
        self.world.bus.ack(subscription, ack_ids)

    def nack(self, subscription: str, ack_ids: Sequence[str]) -> None:
        """As the bus."""
        self.world.bus.nack(subscription, ack_ids)


def test_what_comes_back_while_it_sends_is_left_for_the_next_redrive(world: World) -> None:
    """Letters that are refused again at once are each sent once, and still lie there."""
    world.clock.sleep(600)
    bus = Answering(world)
    result = redrive(bus, LETTERS, "metrics", 100, now=world.clock())
    assert (dict(result.found), result.published) == ({"malformed_message": 1, "point_too_old": 1}, 2)
    world.clock.sleep(700)
    assert redrive(world.bus, LETTERS, "metrics", 100, now=world.clock(), list_only=True).found == result.found
