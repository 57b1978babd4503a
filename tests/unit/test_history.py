"""The history of alerts: transitions, who was told and what became of it, what people did; by time, and by alert."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from shared import history_command
from shared.actions import acknowledge, end_silence, silence
from shared.adapters.sqlite_store import SqliteStore
from shared.audit import Entry
from shared.configuration import document
from shared.history import LONGEST, Event, Told, Wanted, read_history
from shared.history_command import event_dict, event_line, main
from shared.monitoring_config import MonitoringConfig
from shared.setup_system import NOTHING_RUNS, System
from shared.silences import Matcher
from shared.store import Put
from shared.tick import Transition
from shared.timeline import from_minute, minute_floor
from shared.wiring import utc_now
from tests.fakes import START, Clock
from tests.ticks import MINUTE, RULE
from tests.world import World, labels, point

BY_REGION = replace(
    document.defaults().rules[7],  # CPU, by region
    evaluation_window=60,
    min_occurrences=1,
    cooldown_period=180,
    notification_channels=("inbox", "slack"),
)
OTHER = replace(RULE, name="Users", query=replace(RULE.query, select=replace(RULE.query.select, metric="users_active"))
                if RULE.query else None)  # fmt: skip
CONFIG = MonitoringConfig(replace(document.defaults(), rules=(BY_REGION, OTHER)))
HOUR = timedelta(hours=1)
EU, US = "europe-west1", "us-central1"


@pytest.fixture
def world() -> World:
    """Eu fires at minute 1, resolves at 2, fires within its cooldown at 3; us and the users fire at 3.

    Ann took the first episode, bob silenced the rule in us for a minute, and cid some other rule.
    """
    clock = Clock(START)
    world = World(SqliteStore(":memory:", clock), clock, config=CONFIG)
    world.store.commit([Put("evaluator/state", {"minute": minute_floor(START)})])
    for number, (eu, us, users) in enumerate([(90, 10, 1), (10, 10, 1), (91, 92, 500), (91, 92, 500)]):
        clock.time = from_minute(minute_floor(clock()) + 60)
        at = clock() - timedelta(seconds=30)
        loads = [point("cpu_utilization", at, value, region=region) for region, value in ((EU, eu), (US, us))]
        world.publish(point("users_active", at, users), *loads)
        world.deliver()
        world.evaluate()
        world.settle_deliveries()
        if number == 0:
            (fired,) = world.alerts()
            acknowledge(world.store, fired.fingerprint, fired.fired_at or START, "ann", "on it", clock())
        if number == 1:
            matchers = [Matcher("region", US), Matcher("rule", BY_REGION.id)]
            silence(world.store, "s1", matchers, START, START + HOUR, "bob", "a deploy", clock())
            silence(world.store, "s2", [Matcher("rule", "none")], START, START + HOUR, "cid", "noise", clock())
        if number == 2:
            end_silence(world.store, "s1", "bob", "", clock())
    return world


def events(world: World, wanted: Wanted | None = None) -> list[Event]:
    """All events of the story."""
    return read_history(world.store, START, START + HOUR, world.clock(), wanted)


def short(found: Sequence[Event]) -> list[str]:
    """Events in few words."""

    def words(one: Event) -> str:
        minute = int((one.at - START) / MINUTE)
        if isinstance(one, Entry):
            return f"{minute} {one.author} {one.deed.value}"
        record = one.announcement if isinstance(one, Told) else one
        where = {EU: "eu", US: "us"}.get(dict(record.labels).get("region", ""), "users")
        if isinstance(one, Transition):
            return f"{minute} {where} {one.reason.value}{f' ({one.held})' if one.held else ''}"
        outcomes = "+".join(f"{each.channel} {each.state}" for each in one.outcomes)
        return f"{minute} {where} told {one.announcement.kind.value}: {outcomes}"

    return [words(one) for one in found]


FIRST = ["1 eu fired", "1 eu told firing: inbox sent+slack skipped", "1 ann acknowledged", "2 eu resolved",
         "2 eu told resolved: inbox sent+slack skipped"]  # fmt: skip


def test_everything_by_time(world: World) -> None:
    """What was decided, whether and why not somebody was told, what became of it on each channel, and who did what."""
    assert short(events(world)) == [
        *FIRST,
        "2 bob silenced",
        "2 cid silenced",
        "3 users fired",
        "3 eu fired (cooldown)",
        "3 us fired (silenced)",
        "3 users told firing: inbox sent",
        "3 bob unsilenced",
        "4 eu told firing: inbox sent+slack skipped",
        "4 us told firing: inbox sent+slack skipped",
    ]


def test_every_record_says_what_was_judged(world: World) -> None:
    """Value, count and configuration hash are those of the evaluation; both records of a firing name one episode."""
    changed, told = events(world)[:2]
    assert isinstance(changed, Transition)
    assert isinstance(told, Told)
    assert (changed.value, changed.count, changed.config_hash) == (90.0, 1, CONFIG.hash)
    said = told.announcement
    assert (said.value, said.config_hash, said.fired_at) == (90.0, CONFIG.hash, changed.episode)
    assert said.fingerprint == changed.fingerprint
    assert all(one.at is not None for one in told.outcomes)


@pytest.mark.parametrize(
    ("wanted", "count", "deeds"),
    [
        pytest.param(Wanted(), 14, ["ann", "bob", "cid", "bob"], id="all"),
        pytest.param(Wanted(rule_id=OTHER.id), 2, [], id="a rule"),
        pytest.param(Wanted(rule_id=BY_REGION.id), 11, ["ann", "bob", "bob"], id="the other"),
        pytest.param(Wanted(labels=labels(region=EU)), 7, ["ann"], id="a label"),
        pytest.param(Wanted(labels=labels(region=US)), 4, ["bob", "bob"], id="another value"),
        pytest.param(Wanted(rule_id=OTHER.id, labels=labels(region=US)), 0, [], id="both, and none has them"),
        pytest.param(Wanted(fingerprint="0" * 16), 0, [], id="no such alert"),
    ],
)
def test_of_some_alerts(world: World, wanted: Wanted, count: int, deeds: list[str]) -> None:
    """A filter keeps what is of those alerts, and of what people did what took or silenced one of them."""
    found = events(world, wanted)
    assert (len(found), [one.author for one in found if isinstance(one, Entry)]) == (count, deeds)


def test_of_one_alert(world: World) -> None:
    """By its fingerprint, an alert's history is that of its labels."""
    (eu,) = {
        one.fingerprint for one in events(world) if isinstance(one, Transition) and one.labels == labels(region=EU)
    }
    assert events(world, Wanted(fingerprint=eu)) == events(world, Wanted(labels=labels(region=EU)))


def test_alerts_that_were_told_together_are_announced_each(world: World) -> None:
    """One message told of both regions at minute 4; each alert's history has it, with its own value and that one id."""
    told = [one for one in events(world) if isinstance(one, Told) and one.at == START + 4 * MINUTE]
    assert len({one.announcement.id for one in told}) == 1
    assert [(one.announcement.labels, one.announcement.value) for one in told] == [
        (labels(region=EU), 91.0), (labels(region=US), 92.0)
    ]  # fmt: skip
    assert [short(events(world, Wanted(labels=labels(region=name))))[-1] for name in (EU, US)] == [
        f"4 {name} told firing: inbox sent+slack skipped" for name in ("eu", "us")
    ]


def test_both_ends_are_included(world: World) -> None:
    """A range of one instant holds what happened then; what has expired is gone, each kind at its own age."""

    def at(first: int, last: int, later: timedelta = timedelta()) -> list[str]:
        return short(read_history(world.store, START + first * MINUTE, START + last * MINUTE, world.clock() + later))

    assert at(1, 1) == FIRST[:2]
    assert at(2, 2) == FIRST[3:]
    assert at(5, 5) == []
    assert at(1, 1, timedelta(days=31)) == ["1 eu fired", "1 eu told firing: inbox None+slack None"]
    assert at(1, 2, timedelta(days=91)) == ["1 ann acknowledged"]


@pytest.mark.parametrize(("since", "until"), [(0, -1), (0, LONGEST // MINUTE + 1)], ids=["backwards", "too long"])
def test_ranges_are_bounded(world: World, since: int, until: int) -> None:
    """A range that ends before it begins or is longer than history is kept is a mistake."""
    with pytest.raises(ValueError, match="expected up to 90 days"):
        read_history(world.store, START + since * MINUTE, START + until * MINUTE, START)


@pytest.fixture
def used(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The world as what runs, and is found by the command."""
    found = System("the world", world.store, lambda _topic, _data, _attributes: None, "")
    monkeypatch.setattr(history_command, "find_system", lambda _folder: found)
    monkeypatch.setattr(history_command, "utc_now", world.clock)
    return world


def test_the_command_finds_a_local_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no deployment is named it reads the newest database of the folder; without one, a line says so."""
    for name in ("ION_PROJECT", "FIRESTORE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    assert main(["--folder", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"{NOTHING_RUNS}\n"
    store = SqliteStore(tmp_path / "run-8080.sqlite", utc_now)
    silence(store, "s", [Matcher("rule", "x")], utc_now(), utc_now() + HOUR, "ann", "deploy", utc_now())
    assert main(["--folder", str(tmp_path)]) == 0
    assert "ann silenced" in capsys.readouterr().out


@pytest.mark.usefixtures("used")
def test_the_command_prints_a_line_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    """It reads the last hours, oldest first, of the rule that is asked for."""
    assert main(["--rule", BY_REGION.id, "--label", f"region={EU}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    where, hash_ = f"{BY_REGION.id} (region={EU})", CONFIG.hash
    assert lines[:3] == [
        f"2025-10-18T12:01:00Z  {where}  fired  inactive > firing  90  1 in a row  by {hash_}",
        f"2025-10-18T12:01:00Z  {where}  told firing (low)  inbox sent, slack skipped",
        f"2025-10-18T12:01:05.050000Z  ann acknowledged {BY_REGION.id}: region={EU}: on it",
    ]
    assert lines[5].endswith(f"fired  inactive > firing  91  1 in a row  by {hash_}  not told: cooldown")


def test_the_command_prints_json(used: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A line is an object that names its kind, and holds what was judged."""
    assert main(["--json", "--hours", "1"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["event"] for one in found[:3]] == ["transition", "notification", "deed"]
    assert (found[0]["value"], found[0]["count"], found[0]["config_hash"]) == (90.0, 1, CONFIG.hash)
    assert found[1]["channels"]["slack"] == {
        "state": "skipped",
        "detail": "not set up",
        "at": "2025-10-18T12:01:05.050000Z",
    }
    assert found == [json.loads(json.dumps(event_dict(one))) for one in events(used)]


@pytest.mark.parametrize("arguments", [["--hours", "0"], ["--hours", "x"], ["--hours", "1e9"], ["--label", "region"]])
def test_mistakes_in_the_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be asked is said before anything is read."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "expected" in capsys.readouterr().err


def test_hostile_words_are_one_inert_line(world: World) -> None:
    """Whatever labels and silences say, a line is a line and moves no cursor."""
    hostile = "x\n\x1b[2J\u202e"
    silence(world.store, "s3", [Matcher("pod", hostile)], START, START + HOUR, "eve", "why", world.clock())
    lines = [event_line(one) for one in events(world)]
    assert not any(set("\n\x1b\u202e") & set(line) for line in lines)
    assert any("pod=x" in line for line in lines)
