"""No message, however hostile, crashes ingest, breaks a limit of the store, or costs another message."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cloudevents.http import CloudEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.ingest import main
from shared import wiring
from shared.bus import PUBLISH_TIME_ATTRIBUTE, REASON_ATTRIBUTE, Message
from shared.logs import Captured
from shared.push import push_body
from shared.timeline import iso
from tests.fakes import START
from tests.hostile_ingest import LETTERS, Trial, run_trials
from tests.hostile_messages import KINDS, PUBLISH_TIMES, Sent, odd, paths, with_value

SOUND = b'{"version":1,"points":[{"metric":"a","timestamp":"2025-10-18T12:00:00Z","value":1}]}'


@pytest.mark.parametrize("kind", KINDS)
def test_any_message_is_stored_or_dead_lettered(kind: str) -> None:
    """It is stored legibly, or lies whole in the dead letters, counted once; its neighbours count exactly once."""
    outcomes = run_trials(kind, 30)
    assert outcomes.total() - outcomes[""] >= 5
    assert kind == "noise" or outcomes[""] >= 5


@pytest.mark.parametrize("told", PUBLISH_TIMES)
def test_an_absurd_first_publish_time_is_refused_by_name(told: str) -> None:
    """Anyone may set the attribute; what is no time, or none that can be, is dead-lettered, and hours ago is late."""
    outcome = Trial().run(Sent(SOUND, {PUBLISH_TIME_ATTRIBUTE: told}))
    believable = {iso(START - timedelta(hours=80)), iso(START), "2000-01-01T00:00:00Z"}
    assert (outcome.reason == "malformed_publish_time") == (told not in believable)


def _points(points: list[str]) -> Sent:
    return Sent(f'{{"version":1,"points":[{",".join(points)}]}}'.encode(), {})


def _minutes() -> Sent:
    """More documents than a commit may have writes."""
    at = [iso(START - timedelta(minutes=minute)) for minute in range(501)]
    return _points([f'{{"metric":"m","timestamp":"{when}","value":1}}' for when in at])


def _labels() -> Sent:
    """More random labels than a commit may have bytes."""
    rng = random.Random(1)
    labels = [",".join(f'"l{at}":"{rng.randbytes(250).hex()}"' for at in range(16)) for _ in range(780)]
    said = f'"timestamp":"{iso(START)}","value":1'
    return _points([f'{{"metric":"m{at}","labels":{{{one}}},{said}}}' for at, one in enumerate(labels)])


def _metrics() -> Sent:
    """More metrics than a rollup may have series."""
    return _points([f'{{"metric":"m{at}","timestamp":"{iso(START)}","value":1}}' for at in range(20_000)])


@pytest.mark.parametrize(("make", "observations"), [(_minutes, 501), (_labels, 780), (_metrics, 20_000)])
def test_a_message_larger_than_a_commit_or_a_rollup_is_stored_whole(
    make: Callable[[], Sent], observations: int
) -> None:
    """More minutes, bytes or series than a commit or a rollup may have cost no other message, and count once."""
    outcome = Trial().run(make())
    assert (outcome.reason, outcome.observations) == ("", observations)


@st.composite
def envelopes(draw: st.DrawFn) -> Any:
    """What Pub/Sub pushes, with up to two odd values anywhere in it, or something else."""
    event = json.loads(push_body(Message(SOUND, {"from": "test"}, "7", START), "ingest", "project"))
    for path in draw(st.lists(st.sampled_from(paths(event)), max_size=2)):
        event = with_value(event, path, draw(odd))
    return event


def test_any_event_is_answered() -> None:
    """Whatever is pushed, ingest returns: a message is stored, and what is none lies whole in the dead letters."""
    outcomes: Counter[str] = Counter()

    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(envelopes())
    def push(event: Any) -> None:
        trial = Trial()
        with pytest.MonkeyPatch.context() as patch, Captured() as logs:
            patch.setattr(wiring, "_services", [trial.world.services])
            main.ingest(CloudEvent({"type": "pushed", "source": "test"}, event))
        letters = [one.message for one in trial.world.bus.pull(LETTERS, 10)]
        reasons = [one.attributes[REASON_ATTRIBUTE] for one in letters]
        assert [one["reason"] for one in logs.events] == reasons
        if reasons == ["malformed_envelope"]:
            assert letters[0].data == json.dumps(event).encode()
        outcomes["".join(reasons)] += 1

    push()
    assert min(outcomes[""], outcomes["malformed_envelope"]) >= 5
