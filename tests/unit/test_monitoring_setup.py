"""The setup command: what runs, checked and explained; nothing changed unseen; one clear line where nothing runs."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import socket
from typing import Any

import pytest

from shared import monitoring_setup as command
from shared.adapters.sqlite_store import SqliteStore
from shared.errors import TransientError
from shared.evaluator import STATE_PATH
from shared.exports import CONFIGURATION, DASHBOARDS, RECOMMENDATIONS, imported
from shared.hours import roll_up_hour
from shared.monitoring_config import MonitoringConfig
from shared.permissions import Permissions
from shared.rollups import roll_up
from shared.setup_system import NOTHING_RUNS, find_system
from shared.store import Put
from shared.timeline import minute_floor
from shared.verification import Check, Verification, Verifier, verify_configuration
from tests.fakes import Clock
from tests.world import World, point

END = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
REGION = "us-central1"
Run = Callable[..., tuple[int, str, str]]


def _fill(world: World, clock: Clock) -> None:
    """Seven hours of CPU of one region, rolled up, of which the last five minutes are evaluated."""
    drawn = random.Random(3)
    for hour in range(7, 0, -1):
        times = [END - timedelta(hours=hour) + timedelta(minutes=step + 1) for step in range(60)]
        clock.time = times[-1] + timedelta(seconds=6)
        world.publish(*(point("cpu_utilization", at, 40 + drawn.gauss(0, 2), region=REGION) for at in times))
        world.deliver()
        for at in times:
            roll_up(world.store, minute_floor(at), clock.time, timedelta(0))
        roll_up_hour(world.store, minute_floor(times[-1]), clock.time)
    world.store.commit([Put(STATE_PATH, {"minute": minute_floor(END) - 300})])
    world.evaluate()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs the command in an empty folder and environment: its status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    for name in ("ION_PROJECT", "ION_CONFIG", "FIRESTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(command, "utc_now", lambda: END + timedelta(seconds=6))

    def call(*arguments: object) -> tuple[int, str, str]:
        status = command.main([str(one) for one in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a local run with seven hours of data."""
    path = tmp_path_factory.mktemp("run") / "run-8080.sqlite"
    clock = Clock(END)
    _fill(World(SqliteStore(path, clock, synchronous="OFF"), clock), clock)
    return path


@pytest.fixture
def local(run: Run, tmp_path: Path, database: Path) -> Run:
    """The command beside a copy of that database."""
    (tmp_path / ".local").mkdir()
    for path in database.parent.iterdir():
        shutil.copy(path, tmp_path / ".local")
    return run


@pytest.mark.parametrize("arguments", [(), ("verify",), ("cost",), ("digest",), ("apply", "x")])
def test_where_nothing_runs_one_line_says_how_to_start(run: Run, arguments: tuple[str, ...]) -> None:
    """The command ends with 2 and that line alone."""
    assert run(*arguments) == (2, "", f"{NOTHING_RUNS}\n")


def test_why_there_is_nothing_to_learn_from_is_said(local: Run, tmp_path: Path) -> None:
    """Tuning ends with that line alone; an export says it, and writes its three files without recommendations."""
    status, out, err = local("tuning", "--hours", "0")
    assert (status, out) == (2, "")
    assert err.splitlines()[-1].startswith("hours: expected more than 0")
    assert local("tuning", "--folder", tmp_path / "nowhere")[2].splitlines()[-1] == NOTHING_RUNS
    status, out, err = local("export", "--output", tmp_path / "out", "--folder", tmp_path / "nowhere")
    assert (status, len(out.splitlines()), err) == (0, 3, f"No recommendations: {NOTHING_RUNS}\n")


def test_without_a_subcommand_it_prints_the_text_dashboard(local: Run) -> None:
    """The dashboard of what runs, as the specification's example shows it."""
    status, out, err = local()
    assert (status, err) == (0, "")
    assert out.startswith("ION MENTORING PRODUCTION DASHBOARD\nUpdated: 2026-03-03 12:00:06 UTC")
    assert local("--format", "json")[1].startswith("{")
    assert local("--format", "html")[1].startswith("<!doctype html>")


@pytest.mark.parametrize("name", ["summary", "dashboards", "tuning", "check", "cost", "digest"])
@pytest.mark.parametrize(
    ("form", "begins"), [("text", ""), ("json", ("{", "[")), ("markdown", "# "), ("html", "<!doc")]
)
def test_every_report_has_every_format(local: Run, name: str, form: str, begins: str | tuple[str, ...]) -> None:
    """Each is text, JSON that can be read, Markdown or an HTML document."""
    status, out, _ = local(name, "--format", form, *(("--hours", "1") if name == "tuning" else ()))
    assert status == 0
    assert out.startswith(begins)
    if form == "json":
        json.loads(out)
    if name in ("cost", "digest"):
        assert "ingest" in out
        assert "$ " in out.replace("\\", "")


def test_the_preview_of_the_digest_is_its_mail(local: Run) -> None:
    """As HTML it is what is sent, with the overview's picture in it."""
    _, out, _ = local("digest", "--format", "html")
    assert '<img src="data:image/png;base64,' in out
    assert "Daily digest of 2026-03-02" in out
    assert "INCIDENTS" in out


def test_the_three_files_are_written_and_come_back_the_same(local: Run, tmp_path: Path) -> None:
    """What is exported is what runs, with recommendations from its minutes."""
    status, out, _ = local("export", "--output", tmp_path / "out", "--hours", "7")
    files = {path.name: path.read_text("utf-8") for path in (tmp_path / "out").iterdir()}
    assert (status, len(out.splitlines())) == (0, 3)
    assert set(files) == {CONFIGURATION, RECOMMENDATIONS, DASHBOARDS}
    assert imported(files).configuration == MonitoringConfig()
    assert imported(files).recommendations.find("high-cpu-utilization").recommended is not None


def test_a_recommendation_is_applied_only_after_it_was_shown_and_agreed_to(local: Run, tmp_path: Path) -> None:
    """Without an answer nothing is written; with --yes both are shown before the file is."""
    asked = ("apply", "high-cpu-utilization", "--hours", "7")
    status, out, err = local(*asked)
    assert status == 1
    assert "Nothing was written." in err
    assert not (tmp_path / "monitoring_config.json").exists()
    status, again, _ = local(*asked, "--yes")
    assert (status, again) == (0, out)
    assert out.index("The configuration changes:") < out.index("Backtest:")
    written = MonitoringConfig.from_json((tmp_path / "monitoring_config.json").read_text("utf-8"))
    assert written.get_rule("high-cpu-utilization").threshold.value != 80
    assert local("diff", "monitoring_config.json")[0] == 1
    assert local("diff", "monitoring_config.json", "monitoring_config.json")[:2] == (0, "No difference.\n")


def test_labelled_windows_decide_what_is_recommended(local: Run, tmp_path: Path) -> None:
    """The report and what is applied are by the file of windows; a file of something else is one line."""
    path = tmp_path / "windows.json"
    path.write_text('{"high-cpu-utilization": [["2026-03-03 08:00:00", "2026-03-03 08:10:00"]]}')
    assert "F-score" in local("tuning", "--hours", "7", "--windows", path)[1]
    assert local("apply", "high-cpu-utilization", "--hours", "7", "--windows", path)[0] == 1
    path.write_text('{"nothing": []}')
    status, _, err = local("tuning", "--hours", "7", "--windows", path)
    assert (status, err.splitlines()[-1].partition(";")[0]) == (2, 'windows: "nothing" is no enabled rule')


def test_what_cannot_be_applied_is_one_line(local: Run, run: Run, tmp_path: Path) -> None:
    """An unknown rule, a rule without advice, and a setting that changes nothing end with 2."""
    assert local("apply", "nothing", "--hours", "1")[0] == 2
    assert local("apply", "high-error-rate-critical", "--hours", "1")[2].startswith("nothing is recommended")
    assert "changes nothing" in local("apply", "high-cpu-utilization", "--set", "threshold=80", "--hours", "1")[2]
    assert run("check", tmp_path / "absent.json")[::2] == (
        2,
        f"{tmp_path / 'absent.json'}: No such file or directory\n",
    )
    (tmp_path / "bad.json").write_text("{}")
    assert run("check", tmp_path / "bad.json")[2].startswith("version: missing")


def test_help_names_every_subcommand(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """The help ends with 0 and says what each does, and an unknown subcommand ends with 2."""
    with pytest.raises(SystemExit) as ended:
        run("--help")
    out = capsys.readouterr().out
    assert ended.value.code == 0
    for name in ("verify", "summary", "dashboards", "tuning", "export", "check", "diff", "cost", "digest"):
        assert name in out
    assert "Ends with 0; with 1 when" in out
    assert "examples:" in out
    with pytest.raises(SystemExit) as unknown:
        run("nothing")
    assert unknown.value.code == 2


def _verifier(clock: Clock, **changes: Any) -> tuple[World, Verifier]:
    """A verifier of a world in which time passes, and the functions run, while it waits."""
    world = World(SqliteStore(":memory:", clock), clock)
    world.next_minute()

    def publish(topic: str, data: bytes, attributes: Mapping[str, str]) -> None:
        world.bus.publish(topic, data, dict(attributes))

    def sleep(_seconds: float) -> None:
        before = minute_floor(clock())
        clock.time += timedelta(seconds=5)
        world.deliver()
        if minute_floor(clock()) != before:
            world.evaluate()

    made = Verifier(world.services.config, world.store, publish, clock, sleep, lambda _line: None)
    return world, replace(made, **changes)


def _of(found: Verification, name: str) -> Check:
    return next(one for one in found.checks if one.name == name)


def test_a_system_that_works_is_verified_end_to_end() -> None:
    """The probe is stored, reaches where pages read, and a test notification is delivered; all is well."""
    world, verifier = _verifier(Clock(END))
    found = verifier()
    assert found
    assert _of(found, "ingest").found.startswith("arrived after")
    assert _of(found, "page").found.startswith("arrived after")
    assert _of(found, "test notification on inbox").found == "sent"
    assert _of(found, "test notification on pagerduty").found == "not set up here"
    assert [one.rule_name for one in world.inbox()] == ["Test notification"]


def test_each_failure_has_a_fix_to_try() -> None:
    """A stopped evaluator, another configuration and a bus that refuses are each told with what to do."""

    def refuses(_topic: str, _data: bytes, _attributes: Mapping[str, str]) -> None:
        raise TransientError("unavailable", "permission denied")

    clock = Clock(END)
    _, verifier = _verifier(clock, publish=refuses)
    clock.time += timedelta(minutes=10)
    plain: dict[str, Any] = MonitoringConfig().to_dict()
    plain["environment"] = "staging"
    found = replace(verifier, config=MonitoringConfig.from_dict(plain))()
    failed = {one.name for one in found.checks if not one.ok}
    assert failed == {"evaluator", "deployed configuration", "publish", "notify"}
    assert all(one.fix for one in found.checks if not one.ok)
    assert not found
    assert "FAILED" in found.report("x").render("text")


def test_what_parts_may_do_is_looked_at_before_the_probe() -> None:
    """A permission that is missing is a failed check with its fix, and the probe goes on all the same."""
    lacking = Check("permissions of ingest", False, "ingest lacks a role", "grant it")
    _, verifier = _verifier(Clock(END), parts=lambda: [lacking])
    found = verifier()
    names = [one.name for one in found.checks]
    assert names.index("storage") < names.index("permissions of ingest") < names.index("publish")
    assert not found
    assert "permissions of ingest: grant it" in found.report("x").render("text")


def test_a_local_run_whose_process_has_gone_is_told_so(local: Run, tmp_path: Path) -> None:
    """Its database is there and nothing answers on its port: the check fails, and says how to start it."""
    with socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can answer there
        port = taken.getsockname()[1]
        for path in (tmp_path / ".local").iterdir():
            path.rename(path.with_name(path.name.replace("8080", str(port))))
        status, out, _ = local("verify", "--no-probe")
    assert status == 1
    assert "FAILED  process" in out
    assert f"process: make run PORT={port}" in out


def test_a_deployment_has_its_permissions_looked_at_and_emulators_have_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is asked before the first check; on emulators there is nobody to ask."""
    monkeypatch.setenv("ION_PROJECT", "my-project")
    assert isinstance(find_system(tmp_path).parts, Permissions)
    for name in ("FIRESTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST"):
        monkeypatch.setenv(name, "127.0.0.1:1")
    assert tuple(find_system(tmp_path).parts()) == ()


def test_what_never_arrives_is_told_after_a_while() -> None:
    """With nobody to ingest or notify, both are named, and the page is not waited for."""
    clock = Clock(END)
    _, verifier = _verifier(clock, publish=lambda _topic, _data, _attributes: None)
    found = verifier()
    assert _of(found, "ingest").found == "did not arrive"
    assert not [one for one in found.checks if one.name == "page"]
    assert _of(found, "notify").found == "nothing was delivered"


def test_a_system_that_never_ran_is_told_so() -> None:
    """An empty store has no evaluator yet; nothing is published without a probe."""
    clock = Clock(END)
    world, verifier = _verifier(clock)
    found = replace(verifier, store=SqliteStore(":memory:", clock))(probe=False)
    assert _of(found, "evaluator").found == "has never run"
    assert world.inbox() == []


def test_storage_that_does_not_answer_ends_the_checks() -> None:
    """The reason is named with its fix, and no probe is sent."""

    class Dead(SqliteStore):
        def get(self, paths: Any) -> Any:
            raise TransientError("unavailable", f"no answer about {paths}")

    clock = Clock(END)
    _, verifier = _verifier(clock)
    found = replace(verifier, store=Dead(":memory:", clock))()
    assert found.checks[-1].name == "storage"
    assert "datastore.user" in found.checks[-1].fix


def test_a_rule_that_nobody_hears_of_is_no_sound_configuration() -> None:
    """Routing that leaves a severity out is found."""
    plain: dict[str, Any] = MonitoringConfig().to_dict()
    plain["routing"] = {name: ["critical"] for name in plain["routing"]}
    found = verify_configuration(MonitoringConfig.from_dict(plain))
    assert not found
    assert "nobody hears of High Response Time - Warning" in _of(found, "routing").found


def test_publishing_to_a_run_that_has_ended_is_a_transient_failure(tmp_path: Path, run: Run) -> None:
    """A database without its process is found, and publishing says why it fails."""
    SqliteStore(tmp_path / "run-1.sqlite", Clock(END)).list("alerts")
    assert run("check")[0] == 0
    system = find_system(tmp_path)
    with pytest.raises(TransientError, match="port 1"):
        system.publish("metrics", b"{}", {})
