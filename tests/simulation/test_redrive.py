"""Redrive: dead letters go through the same path again, harmlessly where part had already counted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest

from shared.adapters.sqlite_store import SqliteStore
from shared.buckets import EXPIRY_AFTER, LOST_AFTER
from shared.bus import Message, Received
from shared.dead_letters import REJECTED_METRIC
from shared.evaluator import STATE_PATH
from shared.ingest import Outcome
from shared.redrive import main, redrive
from shared.series import Series
from shared.store import Put
from shared.timeline import from_minute, iso, minute_floor, minute_of_us, to_us
from shared.wiring import use
from tests.fakes import Clock
from tests.world import World, labels, point

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


def _sent(world: World, value: float) -> Message:
    data = json.dumps({"version": 1, "points": [point("users_active", world.clock(), value)]}).encode()
    return Message(data, {}, "late", world.clock())


def test_what_comes_after_its_minute_has_expired_becomes_a_letter(world: World) -> None:
    """A message that waited for 76 h is a letter, counted where that is seen, and is one again when redriven."""
    minute = from_minute(minute_of_us(to_us(world.clock())))
    message = _sent(world, 9.0)
    world.clock.time = minute + LOST_AFTER - timedelta(microseconds=1)
    assert world.services.ingest()(message) == Outcome(1, late_minutes=1)
    world.clock.time = came = minute + EXPIRY_AFTER + timedelta(hours=1)
    assert world.services.ingest()(message) == Outcome(
        0, "point_expired", f"1 minutes, first {iso(minute)}, stored {iso(came)}", late_minutes=1
    )
    world.next_minute()
    count = world.totals([minute_of_us(to_us(came))])[Series(REJECTED_METRIC, labels(reason="point_expired"))]
    assert count == (1, 1.0)
    assert redrive(world.bus, LETTERS, "metrics", 100, now=world.clock(), reason="point_expired").published == 1
    world.deliver()
    world.clock.sleep(700)
    assert redrive(world.bus, LETTERS, "metrics", 100, now=world.clock(), list_only=True).found["point_expired"] == 1


def test_what_comes_in_its_minutes_last_moment_is_rolled_up_while_it_can_be_read(world: World) -> None:
    """In the minute before its own expires a point is both a letter and, where the evaluator is in time, rolled up."""
    minute = minute_of_us(to_us(world.clock()))
    message = _sent(world, 9.0)
    world.clock.time = from_minute(minute) + EXPIRY_AFTER - timedelta(seconds=2)
    world.store.commit([Put(STATE_PATH, {"minute": minute_floor(world.clock()) - 60})])
    assert world.services.ingest()(message).reason == "point_expired"
    world.evaluate()
    assert world.totals([minute])[Series("users_active")] == (2, 16.0)


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
