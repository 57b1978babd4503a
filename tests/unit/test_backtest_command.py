"""The command of the backtest: files, a local run's database, labelled windows, history, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from shared.adapters.sqlite_store import SqliteStore
from shared.backtest import __main__ as command
from shared.backtest.causes import MEANINGS, Cause
from shared.records import packed
from shared.store import Put
from shared.timeline import from_minute
from tests.fakes import START, Clock
from tests.world import World, point

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests" / "events" / "cpu_sample.csv"
CPU = "cpu_utilization_us"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs the command in an empty folder and environment: its status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    for name in ("ION_PROJECT", "ION_CONFIG", "FIRESTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: object) -> tuple[int, str, str]:
        status = command.main([str(one) for one in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A local run's database, with an episode of High CPU Utilization in its last hour; it is ten minutes later now."""
    clock = Clock(START)
    (tmp_path / ".local").mkdir()
    world = World(SqliteStore(tmp_path / ".local" / "run-8080.sqlite", clock, synchronous="OFF"), clock)
    for value in [50.0] * 5 + [90.0] * 12 + [50.0] * 15:
        world.publish(point("cpu_utilization", clock() + timedelta(seconds=30), value, region="eu"))
        world.next_minute()
    world.settle_deliveries()
    later = Clock(clock() + timedelta(minutes=10))
    monkeypatch.setattr(command, "utc_now", later)
    return world


def test_a_rule_that_does_not_look_at_the_collection_is_told_so_by_name(run: Run) -> None:
    """Nothing would fire, whatever the file holds: the line says what the rule looks at, and what would do."""
    asked = ("--csv", SAMPLE, "--collection", CPU, "--rule")
    status, out, err = run(*asked, "high-response-time-critical")
    assert (status, out) == (2, "")
    assert err.startswith(f"high-response-time-critical does not look at {CPU}, it looks at response_time; try --coll")
    assert "response_time_us" in err
    assert "it looks at errors and requests" in run(*asked, "high-error-rate-critical")[2]


def test_a_file_is_tried_and_scored(run: Run, tmp_path: Path) -> None:
    """A folder of files is tried one by one, beside the present rule, and scored against labelled windows together."""
    folder = tmp_path / "series"
    folder.mkdir()
    for name in ("one.csv", "two.csv"):
        (folder / name).write_text(SAMPLE.read_text("utf-8"), "utf-8")
    windows = tmp_path / "windows.json"
    window = ["2014-04-15 13:00:00", "2014-04-15 15:00:00"]
    windows.write_text(json.dumps({"series/one.csv": [window], "series/two.csv": []}), "utf-8")
    status, out, err = run(
        "--rule", "high-cpu-utilization", "--set", "threshold=95", "--set", "min_occurrences=3",
        "--csv", folder, "--collection", CPU, "--windows", windows,
    )  # fmt: skip
    assert (status, err) == (0, "")
    assert out.count("200 points of cpu_utilization_us") == 2
    assert "High CPU Utilization with threshold=95, min_occurrences=3, 2014-04-15 13:24 to 2014-04-16 05:59 UTC" in out
    scored = out[out.index("PRECISION") :].splitlines()
    assert scored[0].split("  ")[0] == "PRECISION"
    changed, present = (line.split() for line in scored[1:])
    assert changed[0] == "changed"
    assert present[:4] == ["as", "it", "is", "12%"]
    assert "(1 of 1 windows)" in scored[1]
    assert "22 min (median)" in scored[1]
    assert "4 min (median)" in scored[2]


def test_stored_minutes_are_tried_beside_what_was_told(run: Run, world: World) -> None:
    """Over a local run's database the changed rule stands beside the present one and what history says was told."""
    assert len(world.inbox()) == 2
    status, out, err = run("--rule", "High CPU Utilization", "--set", "threshold=60,min_occurrences=2", "--hours", "1")
    assert (status, err) == (0, "")
    heading, line = out.splitlines()[2:4]
    assert heading.split()[-4:] == ["AS", "IT", "IS", "HISTORY"]
    assert line.startswith("2025-10-18 12:08  13 min  region=eu  low        74 %  ")
    assert line.endswith("12:13 for 6 min  12:13 for 6 min")
    assert "history        1   6 min  2 (inbox 2)" in out
    status, out, _ = run()
    assert "2025-10-18 11:01 to 2025-10-18 12:32 UTC" in out, "the hour before the first evaluation, and all after it"
    assert (status, "all 9 rules and 1 source, " in out, out.count("High CPU Utilization")) == (0, True, 1)


@pytest.mark.usefixtures("world")
def test_stored_minutes_are_scored_by_rule(run: Run, tmp_path: Path) -> None:
    """Labelled windows of stored minutes stand under the rule's id."""
    windows = tmp_path / "windows.json"
    first = START + timedelta(minutes=6)
    windows.write_text(json.dumps({"high-cpu-utilization": [[str(first), str(first + timedelta(minutes=9))]]}), "utf-8")
    status, out, _ = run("--rule", "high-cpu-utilization", "--windows", windows)
    assert status == 0
    assert "100% (1 of 1 alerts)" in out
    assert "7 min (median)" in out
    status, _, err = run("--windows", windows)
    assert (status, err) == (2, "windows of stored minutes are about a rule: name it\n")
    assert run("--rule", "low-cache-hit-rate", "--windows", windows)[0] == 2


def test_history_is_compared(run: Run, world: World) -> None:
    """A comparison ends with 0 where all is explained, and with 1 where something is not."""
    status, out, err = run("--compare", "history")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "history and its replay, 2025-10-18 12:01 to 2025-10-18 12:32 UTC",
        "",
        "               LIVE  REPLAYED",
        "transitions       3         3",
        "notifications     2         2",
        "",
        "No difference.",
    ]
    document = world.store.list("history").documents[0]
    world.store.commit([Put(document.path, {**document.fields, "d": packed([])})])
    status, out, _ = run("--compare", "history")
    assert status == 1
    assert out.splitlines()[-2:] == ["differences:", f"1  unexplained  {MEANINGS[Cause.UNEXPLAINED]}"]


def test_what_no_minutes_are_kept_of_is_not_compared(run: Run, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of four days ago has no minutes to replay, which is said in one line."""
    monkeypatch.setattr(command, "utc_now", Clock(world.clock() + timedelta(days=4)))
    status, out, err = run("--compare", "history")
    assert (status, out, err) == (2, "", "minutes are kept for 76 hours, and the last was judged before that\n")


@pytest.mark.parametrize("hours", ["nan", "inf", "0"])
def test_hours_of_a_file_are_a_number(run: Run, hours: str) -> None:
    """Hours that are no positive number are refused in one line."""
    status, out, err = run("--csv", SAMPLE, "--collection", CPU, "--hours", hours)
    assert (status, out, err) == (2, "", "expected data and a positive number of hours\n")


def test_of_a_file_nothing_is_usual(run: Run) -> None:
    """Over a file a rule on a baseline does not fire, and the output says why; of other rules it says nothing."""
    asked = ("--rule", "high-cpu-utilization", "--csv", SAMPLE, "--collection", CPU)
    line = "Of a file nothing is known that is usual: a rule on a baseline does not fire."
    assert line not in run(*asked)[1]
    status, out, _ = run(*asked, "--set", "threshold.baseline=3_sigma")
    assert (status, out.splitlines()[0]) == (0, line)


def test_what_is_past_its_minutes_comes_from_its_hours(run: Run, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five days later the minutes have expired: what is kept by the hour is tried, and the output says so."""
    clock = world.clock
    clock.time = from_minute(int(clock().timestamp()) // 3600 * 3600 + 3600)
    world.evaluate()
    late = Clock(clock() + timedelta(days=5))
    monkeypatch.setattr(command, "utc_now", late)
    status, out, _ = run("--rule", "high-cpu-utilization", "--hours", "2")
    assert status == 0
    assert "2025-10-18 12:13  6 min" in out
    assert "only hours are kept" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rule", "high-cpu"], 'unknown rule "high-cpu"; did you mean "high-cpu-utilization"?'),
        (["--rule", "high-cpu-utilization", "--set", "threshold=x"], "rules[7].threshold.value: expected a number"),
        (["--set", "threshold=1"], "a setting changes a rule: name it"),
        (["--csv", SAMPLE], "a file needs a collection"),
        (["--csv", SAMPLE, "--collection", "error_rate"], "error_rate"),
        (["--csv", "nothing.csv", "--collection", CPU], "No such file"),
        (["--csv", ".", "--collection", CPU], "no CSV file in ."),
        (["--csv", SAMPLE, "--collection", CPU, "--hours", "0"], "a positive number of hours"),
        (["--compare", "history", "--rule", "high-cpu-utilization"], "a comparison is of stored minutes"),
        ([], "no database in .local: `make run` makes one; ION_PROJECT names a deployment"),
    ],
    ids=lambda one: " ".join(map(str, one)) if isinstance(one, list) else "",
)
def test_what_cannot_run_is_said_in_a_line(run: Run, arguments: list[object], message: str) -> None:
    """Every mistake ends with 2 and a sentence on stderr, before anything is printed."""
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert message in err


@pytest.mark.usefixtures("world")
def test_hours_are_within_what_is_kept(run: Run) -> None:
    """More than 30 days, and none, are refused."""
    for hours in ("0", "721"):
        assert run("--hours", hours)[::2] == (2, f"hours: expected more than 0 and at most 720, got {hours}\n")


def test_a_bar_is_drawn_on_a_terminal_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal stderr shows how far it is and is clean in the end; elsewhere it stays empty."""
    asked = ("--csv", SAMPLE, "--collection", CPU)
    assert run(*asked)[2] == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    _, out, err = run(*asked)
    assert "%" not in out.splitlines()[0]
    assert err.startswith("\r[#")
    assert err.endswith("[##############################] 100 %\r\x1b[K")
    drawn = [int(part.partition(" %")[0].rpartition("]")[2]) for part in err.split("\r") if "%" in part]
    assert drawn == sorted(drawn)
    assert len(drawn) > 10
