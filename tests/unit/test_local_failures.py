"""What goes wrong in a local run is said: once for each reason, with the exception, and counted."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest
from werkzeug.test import Client

from shared.adapters.sqlite_store import SqliteStore
from shared.config import Config
from shared.dashboard import PageRequest
from shared.errors import ConfigError, TransientError
from shared.local.__main__ import CANNOT_START, main
from shared.local.backends import PROJECT, Stepped
from shared.local.clock import ManualClock
from shared.local.hosting import Host, Hosted
from shared.local.narrator import Narrator
from shared.local.replaying import look_at
from shared.local.scheduler import TUNES_AT, run_daily, run_every_minute
from shared.local.server import bind, named_here, port_of
from shared.manifest import ScheduleTrigger, load_manifest
from shared.monitoring_config import MonitoringConfig
from shared.store import Document
from shared.wiring import Services, services
from tests.fakes import START, CountingStore
from tests.pages import run, world
from tests.world import point

ROOT = Path(__file__).parents[2]
NOON = datetime(2025, 10, 18, 12, 0, 20, tzinfo=UTC)


class Breaking(CountingStore):
    """A store whose reads raise what is asked for, if anything."""

    error: Exception | None = None

    def get(self, paths: Sequence[str]) -> dict[str, Document]:
        """As the port says."""
        if self.error is not None:
            raise self.error
        return super().get(paths)


@contextmanager
def hosted() -> Iterator[tuple[Hosted, Breaking, list[str]]]:
    """A local run on a store that can be broken, and the lines that it says."""
    clock, manifest, said = ManualClock(NOON), load_manifest(), list[str]()
    narrator = Narrator(MonitoringConfig(), said.append)
    store = Breaking(SqliteStore(":memory:", clock.now))
    backend = Stepped(manifest, store, clock.now, narrator.refused, seed=1)
    host = Host(manifest, MonitoringConfig(), Config(PROJECT), said.append, narrator.failed, clock.now, clock.sleep)
    with host.serving(backend, None) as running:
        yield running, store, said


def test_a_failed_evaluation_is_said_once_and_counted() -> None:
    """Of twelve failed calls the first and the tenth are a line each, with the function and the exception's reason."""
    with hosted() as (running, store, said):
        for number in range(12):
            store.error = TransientError("store_unavailable", f"attempt {number}: the disk is full")
            assert running.evaluate() == 500
    assert said == [
        "  failed: evaluate: TransientError: store_unavailable: attempt 0: the disk is full",
        "  failed 10 times: evaluate: TransientError: store_unavailable: attempt 9: the disk is full",
    ]


def test_another_reason_is_another_line() -> None:
    """An exception of another kind is said although one was said before."""
    with hosted() as (running, store, said):
        for error in (ValueError("no such minute"), KeyError("minute"), ValueError("no such minute")):
            store.error = error
            running.evaluate()
    assert said == ["  failed: evaluate: ValueError: no such minute", "  failed: evaluate: KeyError: 'minute'"]


def test_the_scheduler_goes_on_after_a_failure() -> None:
    """After a minute whose five calls failed the next one is called, and ten failures of one reason are two lines."""
    with hosted() as (running, store, said):
        store.error = TransientError("store_unavailable", "gone")
        minutes = iter([False] * 9 + [True])
        run_every_minute(running.evaluate, lambda: NOON, Stopping(lambda: next(minutes)))
    assert said == [
        "  failed: evaluate: TransientError: store_unavailable: gone",
        "  failed 10 times: evaluate: TransientError: store_unavailable: gone",
    ]


def test_what_is_daily_is_called_at_its_minute_and_at_no_other() -> None:
    """Over two days of minutes it is called twice, at five in the morning."""
    clock = [NOON]
    called: list[datetime] = []

    def tick() -> bool:
        clock[0] += timedelta(minutes=1)
        return clock[0] > NOON + timedelta(days=2)

    def call() -> int:
        called.append(clock[0])
        return 200

    run_daily(call, lambda: clock[0], Stopping(tick))
    assert [(at.hour, at.minute) for at in called] == [TUNES_AT] * 2


def test_what_is_daily_is_called_when_the_manifest_says() -> None:
    """The local run's time is the schedule that the cloud has."""
    trigger = load_manifest().functions["tune"].trigger
    assert isinstance(trigger, ScheduleTrigger)
    assert trigger.schedule == f"{TUNES_AT[1]} {TUNES_AT[0]} * * *"


class Stopping(Event):
    """An event whose waits end at once; it is set when it says so."""

    def __init__(self, is_set: Callable[[], bool]) -> None:
        super().__init__()
        self._stops = is_set

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it is set by now."""
        assert timeout is not None
        return self._stops()


def test_a_failed_push_is_said_with_its_exception() -> None:
    """What ingest raises is in the one line that says that its message comes again, however often it does."""
    with hosted() as (running, store, said):
        object.__setattr__(store, "commit", broken)
        data = json.dumps({"version": 1, "points": [point("up", NOON, 1.0)]}).encode()
        running.services.bus.publish("metrics", data, {})
        for _ in range(3):
            running.backend.deliver(1.0)
            running.services.sleep(600)
    assert said == [
        "  failed: metrics-ingest, which comes again: ingest answered 500: OSError: No space left on device"
    ]


def broken(_: object) -> datetime:
    """A commit that the disk has no room for."""
    raise OSError("No space left on device")


def test_a_page_that_fails_is_said() -> None:
    """What the dashboard raises over HTTP is said as well."""
    with hosted() as (running, store, said):
        store.error = ZeroDivisionError("division by zero")
        assert Client(running.functions.app("dashboard")).get("/").status_code == 500
    assert said == ["  failed: dashboard: ZeroDivisionError: division by zero"]


def test_what_is_said_of_a_failure_is_short_and_harmless() -> None:
    """A reason of many lines with control characters is one line without any."""
    said: list[str] = []
    Narrator(MonitoringConfig(), said.append).failed("evaluate", ValueError("\x1b[31m" + "x\n" * 5000))
    assert len(said) == 1
    assert len(said[0]) <= 400
    assert said[0].isprintable() or "\ufffd" in said[0]
    assert "\n" not in said[0]


@pytest.mark.parametrize(
    ("host", "answered"),
    [
        ("127.0.0.1:8080", True),
        ("localhost:8080", True),
        ("LOCALHOST:8080", True),
        ("127.0.0.1", False),
        ("127.0.0.1:80", False),
        ("localhost:8081", False),
        ("evil.example:8080", False),
        ("127.0.0.1.evil.example:8080", False),
        ("localhost.evil.example", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("path", ["/", "/v1/projects/ion-local/topics/metrics:publish"])
def test_another_name_is_refused(host: str, answered: bool, path: str) -> None:
    """A request is answered under the server's own names only, so that no other site's page can reach it."""
    client = Client(named_here(lambda _, start: (start("200 OK", []), [b"here"])[1], 8080))
    answer = client.get(path, headers={"Host": host})
    assert (answer.status_code, answer.data == b"here") == ((200, True) if answered else (403, False))


def test_the_server_itself_refuses_another_name() -> None:
    """A server that listens answers to its own port and to no other name."""
    clock, manifest = ManualClock(NOON), load_manifest()
    backend = Stepped(manifest, SqliteStore(":memory:", clock.now), clock.now, lambda *_: None, seed=1)
    host = Host(manifest, MonitoringConfig(), Config(PROJECT), print, lambda *_: None, clock.now, clock.sleep)
    listener = bind(0)
    with host.serving(backend, listener):
        assert status_of(port_of(listener), f"127.0.0.1:{port_of(listener)}") == 200
        assert status_of(port_of(listener), "evil.example") == 403


def status_of(port: int, host: str) -> int:
    """The status that a request with a Host is answered with."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/healthz", headers={"Host": host})
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "--port", "-1"], "expected a port from 0 (any) to 65535, got '-1'"),
        (["run", "--port", "65536"], "expected a port from 0 (any) to 65535, got '65536'"),
        (["run", "--port", "http"], "expected a port from 0 (any) to 65535, got 'http'"),
        (["run", "--seed", "x"], "invalid int value: 'x'"),
        (["replay", "a.csv", "cpu_utilization_us", "--speed", "-2"], "expected a number from 0 on, got '-2'"),
        (["replay", "a.csv", "cpu_utilization_us", "--speed", "nan"], "expected a number from 0 on, got 'nan'"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_a_line(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A port, seed or speed that is none ends with 2 and one line that says what is accepted."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    said = capsys.readouterr().err
    assert ended.value.code == CANNOT_START
    assert said.count("\n") == 1
    assert said.startswith("Cannot run: ")
    assert expected in said


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cpu_utilisation_us", 'did you mean "cpu_utilization_us"?'),
        ("CPU_UTILIZATION_US", 'did you mean "cpu_utilization_us"?'),
        ("cpu_us", 'did you mean "cpu_utilization_us"?'),
        ("cpu", 'did you mean "cpu_utilization_us" or "cpu_utilization_eu" or "cpu_utilization_asia"?'),
        ("zzz", 'unknown collection "zzz"'),
    ],
)
def test_a_near_miss_is_suggested(name: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown collection is one line without an internal name, with what may have been meant."""
    assert main(["replay", "none.csv", name]) == CANNOT_START
    said = capsys.readouterr().err
    assert said.startswith("Cannot run: unknown collection")
    assert said.rstrip("\n").endswith(expected)


def test_a_long_replay_leaves_its_range_to_look_at() -> None:
    """A range whose minutes are past their time to live at the end of the replay is on the page that is named."""
    running = world()
    run(running, 5)
    running.clock.sleep(timedelta(days=10).total_seconds())
    hosted_run = Hosted("http://here", running.services, None, None)  # type: ignore[arg-type]  # not needed to look
    address = look_at(hosted_run, "throughput_global", START, START + timedelta(hours=72), [])
    query = dict(pair.split("=") for pair in address.partition("?")[2].split("&"))
    answer = services().dashboard()(PageRequest("/dashboards/overview.txt", query=query))
    assert "3,000 r/s" not in dashboard_at(running.services, query)
    assert "Requests, 5 min 900,000" in answer.body.decode()


def dashboard_at(old: Services, query: dict[str, str]) -> str:
    """The page as it is ten days later."""
    return replace(old).dashboard()(PageRequest("/dashboards/overview.txt", query=query)).body.decode()


class TestEnvironment:
    """How ``make`` makes the virtual environment."""

    def made(self, folder: Path, python: str | None) -> list[str]:
        """What the interpreter is asked to do when ``.venv/bin/python`` is the script ``python`` (None: absent)."""
        for name in ("Makefile", "requirements.txt"):
            (folder / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
        fake = folder / "fake"
        fake.write_text('#!/bin/sh\necho "$@" >> calls\n[ "$2" = venv ] || exit 0\n'
                        "rm -rf .venv; mkdir -p .venv/bin; cp fake .venv/bin/python\n")  # fmt: skip
        fake.chmod(0o755)
        if python is not None:
            (folder / ".venv" / "bin").mkdir(parents=True)
            (folder / ".venv" / "bin" / "python").write_text(python)
            (folder / ".venv" / "bin" / "python").chmod(0o755)
        subprocess.run(["make", ".venv/.runs", "PYTHON=./fake"], cwd=folder, check=True, capture_output=True)
        assert (folder / ".venv" / ".runs").exists()
        return (folder / "calls").read_text().splitlines()

    @pytest.mark.parametrize("left", [None, "#!/bin/sh\nexit 1\n", "no program\n"])
    def test_an_environment_without_pip_is_made_again(self, tmp_path: Path, left: str | None) -> None:
        """What a first try left behind, cut off or without python3-venv, does not keep the second from succeeding."""
        calls = self.made(tmp_path, left)
        assert calls[0] == "-m venv --clear .venv"
        assert calls[-1].endswith("-r requirements.txt")

    def test_a_sound_environment_is_kept(self, tmp_path: Path) -> None:
        """An environment with pip is not made again."""
        calls = self.made(tmp_path, '#!/bin/sh\necho "$@" >> calls\n')
        assert not [call for call in calls if "venv --clear" in call]

    def test_the_help_needs_nothing_special(self) -> None:
        """No recipe hands sed an escape that only GNU's knows, and each target's name stands apart."""
        recipes = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert not [line for line in recipes.splitlines() if "sed" in line.split() and "\\t" in line]
        command = ["make", "--no-print-directory"]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert all(line.startswith("  make ") and "  " in line[7:] for line in said.splitlines())


def test_an_unknown_collection_is_an_error_of_configuration() -> None:
    """The error keeps its reason for programs; only what a person reads has none."""
    with pytest.raises(ConfigError) as error:
        MonitoringConfig().get_collection("cpu_us")
    assert error.value.reason == "invalid_configuration"
