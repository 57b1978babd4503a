"""The replay of a real CPU series, end to end: on the embedded adapters, and on the emulators by real push."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

import pytest

from shared.adapters.sqlite_store import SqliteStore
from shared.config import Config
from shared.local.backends import PROJECT, Backend, Emulated, Stepped
from shared.local.clock import ManualClock
from shared.local.emulators import missing
from shared.local.hosting import Host
from shared.local.replay import Replay, transitions_of
from shared.local.series_file import Point, read_series, target_of
from shared.local.server import bind
from shared.manifest import load_manifest
from shared.monitoring_config import MonitoringConfig
from shared.store import Store

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests" / "events" / "cpu_sample.csv"
COLLECTION = "cpu_utilization_us"
RULE = "high-cpu-utilization"
LIMIT, WINDOW_MINUTES, OCCURRENCES = 80.0, 5, 5
NO_DATA_AFTER = timedelta(minutes=15)
MINUTE = timedelta(minutes=1)


def expected(points: Sequence[Point]) -> list[tuple[datetime, str]]:
    """What the rule has to do, from the definitions alone: avg over (T - 5 min, T] above 80 % at 5 minutes in a row.

    After the last window that holds a point the alert is frozen, and ends with no data 15 minutes later; if it fired, a
    no-data alert takes its place.
    """
    changes: list[tuple[datetime, str]] = []
    bad, at, last = 0, points[0].at, points[-1].at + WINDOW_MINUTES * MINUTE
    while at < last:
        window = [point.value for point in points if at - WINDOW_MINUTES * MINUTE < point.at <= at]
        before, bad = bad, bad + 1 if sum(window) / len(window) > LIMIT else 0
        if bad in (1, OCCURRENCES):
            changes.append((at, "started" if bad == 1 else "fired"))
        if before and not bad:
            changes.append((at, "resolved" if before >= OCCURRENCES else "cleared"))
        at += MINUTE
    ended = last + NO_DATA_AFTER
    changes += [(ended, "no_data")] if bad else []
    return [*changes, (ended, "data_missing")] if bad >= OCCURRENCES else changes


def embedded(clock: ManualClock) -> Backend:
    """The embedded adapters; a refused push fails the test."""

    def refused(_: object, error: Exception) -> None:
        raise error

    return Stepped(load_manifest(), SqliteStore(":memory:", clock.now, synchronous="OFF"), clock.now, refused, seed=1)


def emulated(_: ManualClock) -> Backend:
    """Emulators of this replay's own."""
    reason = missing()
    if reason is not None:
        pytest.skip(f"the emulators cannot run here: {reason}")
    return Emulated(load_manifest())


def replayed(
    points: Sequence[Point], make: Callable[[ManualClock], Backend], step: int
) -> tuple[list[tuple[datetime, str, str]], list[str]]:
    """Every transition (at, reason, rule), and the ids of the notifications in the inbox."""
    clock = ManualClock(points[0].at - MINUTE)
    config = MonitoringConfig()
    failures: list[BaseException] = []
    host = Host(
        load_manifest(), config, Config(PROJECT), lambda _: None, lambda _, error: failures.append(error), clock.now,
        clock.sleep,
    )  # fmt: skip
    backend = make(clock)
    with host.serving(backend, bind(0)) as hosted:
        Replay(hosted, clock, target_of(config, COLLECTION), lambda _: None, step).run(points)
        store: Store = hosted.services.store
        changes = [(change.at, change.reason.value, change.rule_id) for change in transitions_of(store)]
        assert failures == []
        return changes, [document.id for document in store.list("inbox").documents]


def test_the_rule_acts_at_the_minutes_that_its_definition_says() -> None:
    """On 17 hours of a real series each pending, firing and resolution is where a separate reckoning has it."""
    points = read_series(SAMPLE)
    changes, inbox = replayed(points, embedded, step=5)
    assert [(at, reason) for at, reason, _ in changes] == expected(points)
    assert {rule for _, _, rule in changes} == {RULE}
    reasons = [reason for _, reason, _ in changes]
    assert reasons.count("fired") == reasons.count("resolved") == 4
    assert len(inbox) == 8


def test_one_call_for_five_minutes_decides_what_five_calls_do() -> None:
    """Transitions and notifications are the same whether the evaluator is called every minute or every fifth."""
    points = read_series(SAMPLE)[20:50]
    assert replayed(points, embedded, step=1) == replayed(points, embedded, step=5)


@pytest.mark.parametrize("length", [1, 2, 30])
def test_a_series_that_ends_while_it_fires_ends_its_alert(length: int) -> None:
    """A single bad point counts for five evaluations and fires at the fifth; then the data's end ends the alert.

    What is left is the alert that the data are missing.
    """
    points = read_series(SAMPLE)[:length]
    changes, inbox = replayed(points, embedded, step=5)
    assert [(at, reason) for at, reason, _ in changes] == expected(points)
    assert [reason for _, reason, _ in changes[-2:]] == ["no_data", "data_missing"]
    assert len(inbox) == 2 * [reason for _, reason, _ in changes].count("fired") + 1


def test_the_emulators_give_the_same_outcome() -> None:
    """Real Pub/Sub push and a real Firestore decide and tell what the embedded adapters do."""
    points = read_series(SAMPLE)[24:40]
    backend = replayed(points, emulated, step=5)
    assert backend == replayed(points, embedded, step=5)
    assert [reason for _, reason, _ in backend[0]][:3] == ["started", "fired", "resolved"]


def test_the_command_prints_a_table() -> None:
    """Without serving, ``replay`` ends with what the rule did and with 0, needs no port, and names no address."""
    command = [sys.executable, "-m", "shared.local", "replay", str(SAMPLE), COLLECTION, "--no-serve", "--port", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "2014-04-15 13:28  FIRING    High CPU Utilization region=us-central1 (93.9 %)" in done.stdout
    assert "Open" not in done.stdout
    assert "Port" not in done.stdout
    assert done.stderr == ""


def test_the_dashboard_is_left_at_the_range(tmp_path: Path) -> None:
    """With serving, the last lines name the address of the range, and the page there has its values."""
    series = tmp_path / "series.csv"
    series.write_text("timestamp,value\n2014-04-15 13:24:30,93.9\n2014-04-15 13:29:00,95.5\n", encoding="utf-8")
    command = [sys.executable, "-m", "shared.local", "replay", str(series), COLLECTION, "--port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        link = next(line for line in iter(process.stdout.readline, "") if line.startswith("Open ")).split()[1]
        assert "collection=cpu_utilization_us&from=2014-04-15T13:24:00Z&to=2014-04-15T13:" in link
        with urlopen(f"{link.replace('overview?', 'overview.json?')}", timeout=30) as answer:  # loopback, our own
            page = json.loads(answer.read())
    finally:
        process.kill()
        process.communicate()
    values = page["charts"][0]["lines"][0]["values"]
    assert [value for value in values if value is not None] == [93.9, 95.5]
