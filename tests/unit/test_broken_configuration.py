"""A configuration that cannot be used: it changes nothing that runs, and one message says what to mend."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from shared import wiring
from shared.adapters.local_bus import LocalBus
from shared.adapters.sqlite_store import SqliteStore
from shared.bus import Message
from shared.channels.setup import set_up
from shared.config import Config, load_config
from shared.errors import ConfigError, TransientError
from shared.local.__main__ import CANNOT_START, main
from shared.local.functions import Functions
from shared.logs import Captured
from shared.manifest import load_manifest
from shared.monitoring_config import MonitoringConfig
from shared.rules import Aggregation, Query, Selection
from shared.timeline import from_minute, minute_floor
from shared.wiring import Services, check_at_start, monitoring_config
from tests.fakes import START, Clock, Countdown, CrashingBus
from tests.ticks import RULE, config_of
from tests.world import World, point

ROOT = Path(__file__).parents[2]
MISTAKE = 'ION_CONFIG: rules[0].threshold.value: expected a number, got "abc"'


def text_of(config: MonitoringConfig, change: Callable[[dict[str, object]], object] = lambda _: None) -> str:
    """A configuration as text, after its first rule was changed."""
    plain = json.loads(config.to_json())
    change(plain["rules"][0])
    return json.dumps(plain)


def broken(rule: dict[str, object]) -> None:
    """One mistake."""
    rule["threshold"] = {"value": "abc"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that holds a broken configuration."""
    file = tmp_path / "ion.json"
    file.write_text(text_of(MonitoringConfig(), broken), encoding="utf-8")
    return file


@pytest.fixture
def environment(path: Path) -> dict[str, str]:
    """What a function runs in; no server listens where its services are."""
    nowhere = {"FIRESTORE_EMULATOR_HOST": "127.0.0.1:1", "PUBSUB_EMULATOR_HOST": "127.0.0.1:1"}
    return {"ION_PROJECT": "ion-test", "ION_CONFIG": str(path), **nowhere}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(text_of(MonitoringConfig(), broken).encode(), [MISTAKE], id="a value"),
        pytest.param(
            text_of(MonitoringConfig(), lambda rule: rule.update(threshold={"value": "abc"}, treshold=1)).encode(),
            ['ION_CONFIG: rules[0].treshold: unknown key; did you mean "threshold"?', MISTAKE],
            id="two mistakes",
        ),
        pytest.param(b'{"version": 1', ["ION_CONFIG: "], id="no JSON"),
        pytest.param(b"", ["ION_CONFIG: "], id="empty"),
        pytest.param(b'{"a": "\xff"}', ["ION_CONFIG: expected UTF-8, got invalid start byte at byte 7"], id="no text"),
    ],
)  # fmt: skip
def test_each_mistake_is_a_line_with_its_path(path: Path, content: bytes, expected: list[str]) -> None:
    """Every line begins with the variable that names the file, and goes on with the place in it."""
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        monitoring_config(Config("ion-test", config_path=path))
    lines = caught.value.detail.splitlines()
    assert len(lines) == len(expected)
    assert all(line.startswith(start) for line, start in zip(lines, expected, strict=True))


@pytest.mark.parametrize("name", ["absent.json", "."])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    """What cannot be opened is said so, without a path that may be a secret in the wrong place."""
    with pytest.raises(ConfigError, match=r"^invalid_configuration: ION_CONFIG: cannot be read: [A-Z][a-z ]+$"):
        monitoring_config(Config("ion-test", config_path=tmp_path / name))


def test_every_function_names_the_mistake_and_takes_nothing(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Called with a broken configuration, each function answers 500 and names it before anything is connected.

    So what is pushed meanwhile is not acknowledged, and comes again.
    """
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(wiring, "_services", [])
    failed: list[tuple[str, str]] = []
    manifest = load_manifest()
    functions = Functions.load(manifest, "ion-test", lambda name, error: failed.append((name, str(error))))
    message = Message(b"{}", {}, "1", START)
    for subscription in manifest.subscriptions():
        if subscription.push is not None:
            with pytest.raises(TransientError, match=r"answered 500: ConfigError: .*rules\[0\]"):
                functions.push(message, subscription)
    assert [functions.call("evaluate"), functions.call("dashboard")] == [500, 500]
    assert failed == [(name, f"invalid_configuration: {MISTAKE}") for name in ("evaluate", "dashboard")]


def test_a_new_revision_with_a_broken_configuration_does_not_start(environment: dict[str, str]) -> None:
    """On Cloud Run, one event names every mistake and the process ends; elsewhere nothing is said."""
    with Captured() as logs:
        with pytest.raises(SystemExit) as ended:
            check_at_start({**environment, "K_REVISION": "evaluate-00002"})
        check_at_start(environment)
    assert ended.value.code == 1
    assert logs.events == [{"severity": "CRITICAL", "message": "configuration_refused", "problems": [MISTAKE]}]


def test_a_broken_environment_does_not_start_either(environment: dict[str, str]) -> None:
    """Every variable that cannot be used is a problem of that event."""
    with Captured() as logs, pytest.raises(SystemExit):
        check_at_start({**environment, "ION_PROJECT": "", "ION_PREFIX": "?", "K_REVISION": "evaluate-00002"})
    ((problems, named),) = [(event["problems"], event["message"]) for event in logs.events]
    assert named == "configuration_refused"
    assert isinstance(problems, list)
    assert [problem.partition(":")[0] for problem in problems] == ["ION_PROJECT", "ION_PREFIX"]


def test_a_channel_whose_secret_is_none_does_not_start(environment: dict[str, str], path: Path) -> None:
    """A revision of notify that could not set up its channels does not start: the one before goes on with them all."""
    path.write_text(MonitoringConfig().to_json(), encoding="utf-8")
    mistaken = {**environment, "ION_SENTRY_DSN": "https://5ecret.example", "K_REVISION": "notify-00002"}
    with Captured() as logs, pytest.raises(SystemExit):
        check_at_start(mistaken, also=set_up)
    assert [event["problems"] for event in logs.events] == [["ION_SENTRY_DSN: expected https://KEY@HOST/PROJECT"]]


def test_a_message_waits_for_a_secret_to_be_mended(
    environment: dict[str, str], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a secret that is none a notification is delivered again, and no dead letter; the evaluator only logs it."""
    path.write_text(MonitoringConfig().to_json(), encoding="utf-8")
    settings = load_config({**environment, "ION_SENTRY_DSN": "https://5ecret.example"})
    clock, published = Clock(), Countdown()
    bus = CrashingBus(LocalBus([], [], clock), published)
    services = Services(MonitoringConfig(), SqliteStore(":memory:", clock), bus, {}, now=clock, settings=settings)
    monkeypatch.setattr(wiring, "_services", [services])
    failed: list[str] = []
    manifest = load_manifest()
    functions = Functions.load(manifest, "ion-test", lambda name, error: failed.append(f"{name}: {error}"))
    pushed = next(one for one in manifest.subscriptions() if one.push == "notify")
    with pytest.raises(TransientError, match="answered 500: ConfigError"):
        functions.push(Message(b"{}", {}, "1", START), pushed)
    assert published.calls == 0
    with Captured() as logs:
        assert services.evaluate() is not None
    assert [event["message"] for event in logs.events] == ["watch_refused"]


def test_a_sound_configuration_starts(environment: dict[str, str], path: Path) -> None:
    """A revision whose configuration can be used says nothing and goes on."""
    path.write_text(MonitoringConfig().to_json(), encoding="utf-8")
    with Captured() as logs:
        check_at_start({**environment, "K_REVISION": "evaluate-00002"})
    assert logs.events == []


def test_the_server_of_such_a_revision_never_listens(environment: dict[str, str]) -> None:
    """Served as in the cloud, it ends with 1 before it answers anything, and its only line is that event."""
    command = [str(Path(sys.executable).parent / "functions-framework"), "--target=evaluate", "--host=127.0.0.1",
               f"--source={ROOT / 'functions' / 'evaluate' / 'main.py'}", "--port=0"]  # fmt: skip
    variables = {**environment, "PATH": os.defpath, "PYTHONPATH": str(ROOT), "K_REVISION": "evaluate-00002"}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert json.loads(line)["problems"] == [MISTAKE]


def test_nothing_that_cannot_run_is_bundled(tmp_path: Path) -> None:
    """With a broken configuration of its own, ``make bundle`` ends with 1 and a line; what was built stays."""
    for folder in ("shared", "functions"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    own = tmp_path / "shared" / "configuration" / "defaults.json"
    own.write_text(text_of(MonitoringConfig(), broken), encoding="utf-8")
    built = tmp_path / "build" / "evaluate.zip"
    built.parent.mkdir()
    built.write_bytes(b"what was built before")
    command = [sys.executable, "-m", "shared.bundle"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    mistake = MISTAKE.replace("ION_CONFIG", "defaults.json")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"invalid_configuration: {mistake}\n")
    assert [(one.name, one.read_bytes()) for one in built.parent.iterdir()] == [
        ("evaluate.zip", b"what was built before")
    ]


@pytest.mark.parametrize("command", [["run", "--keep"], ["replay", "none.csv", "cpu_utilization_us", "--no-serve"]])
def test_a_local_run_is_refused_before_it_touches_anything(
    command: list[str],
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With a broken configuration it ends with 2 and names the mistake; the last run's database stays as it is."""
    kept = tmp_path / "run-8080.sqlite"
    kept.write_bytes(b"what the last run left")
    monkeypatch.setenv("ION_CONFIG", str(path))
    monkeypatch.chdir(tmp_path)
    assert main([*command, *(["--folder", str(tmp_path)] if command[0] == "run" else [])]) == CANNOT_START
    assert capsys.readouterr().err == f"Cannot run: {MISTAKE}\n"
    assert kept.read_bytes() == b"what the last run left"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["ion.json", "run-8080.sqlite"]


def test_what_was_running_goes_on_when_the_configuration_is_mended(path: Path) -> None:
    """Three minutes under a broken configuration leave the store as it was; mended, every T of them is judged once.

    An alert that fired before stays through them, and its end and what began meanwhile are told as if nothing had been.
    """
    by_region = Query(Selection("cpu_utilization"), Aggregation.LAST, group_by=("region",))
    text = text_of(config_of(replace(RULE, query=by_region)))
    assert _play(path, text, mended_at=5) == _play(path, text, mended_at=2)


def _play(path: Path, text: str, mended_at: int) -> tuple[object, ...]:
    """History, states and what was told of a story whose minutes from the third to ``mended_at`` fail."""
    clock = Clock(START)
    sound = Config("ion-test", config_path=path)
    path.write_text(text, encoding="utf-8")
    world = World(SqliteStore(":memory:", clock), clock, config=monitoring_config(sound))
    for number in range(7):
        values = {"us-central1": 300.0 if number < 3 else 1.0, "europe-west1": 300.0 if number >= 3 else 1.0}
        clock.time = from_minute(minute_floor(clock()) + 60)
        at = clock() - timedelta(seconds=30)
        world.publish(*(point("cpu_utilization", at, value, region=region) for region, value in values.items()))
        world.deliver()
        if 2 <= number < mended_at:
            path.write_text(text.replace('"severity": "critical"', '"severity": "worst"'), encoding="utf-8")
            before = _alerts_side(world)
            with pytest.raises(ConfigError, match=r"rules\[0\]\.threshold\.severity"):
                replace(world.services, config=monitoring_config(sound)).evaluate()()
            assert _alerts_side(world) == before
            continue
        path.write_text(text, encoding="utf-8")
        world.evaluate(replace(world.services, config=monitoring_config(sound)))
        world.settle_deliveries()
    history = [(one.path, one.fields["d"]) for one in world.store.list("history").documents]
    assert len(history) == 4, "transitions and announcements of two evaluations"
    return history, list(world.alerts()), [one.id for one in world.inbox()]


def _alerts_side(world: World) -> list[object]:
    """All that evaluations write."""
    collections = ("alerts", "history", "outbox", "evaluator", "rollups")
    return [document for name in collections for document in world.store.list(name).documents]
