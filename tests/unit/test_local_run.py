"""The local run in parts, and as a whole on a clock that is stepped by hand."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path

import pytest
from werkzeug.test import Client, EnvironBuilder
from werkzeug.wrappers import Request

from shared.adapters.sqlite_store import SqliteStore
from shared.channels.slack_blocks import ACKNOWLEDGE
from shared.config import Config, Secret
from shared.errors import ConfigError
from shared.formats.compact import decode
from shared.local.__main__ import CANNOT_START, main
from shared.local.backends import PROJECT, Stepped, local_bus
from shared.local.clock import ManualClock
from shared.local.fleet import REGIONS, Fleet
from shared.local.hosting import Host, Hosted
from shared.local.incident import incident_at_start
from shared.local.narrator import Narrator, transition_line
from shared.local.publishing import MAX_MESSAGES, PublishRoute
from shared.local.replay import shown_range, table, transitions_of
from shared.local.run import evaluate_what_is_settled
from shared.local.scheduler import RETRY_SECONDS, call_with_retries, seconds_to_next_minute
from shared.local.series_file import Point, read_series, target_of
from shared.local.server import HOST, bind, port_of, router
from shared.local.traffic import MAX_CATCH_UP_SECONDS, Traffic, seconds_to_next_slice
from shared.manifest import load_manifest
from shared.monitoring_config import MonitoringConfig
from shared.notifications import notification_from_json
from shared.timeline import minute_floor
from tests.hook_requests import SLACK_SECRET, button, headers_of

ROOT = Path(__file__).parents[2]
NOON = datetime(2025, 10, 18, 12, 0, tzinfo=UTC)
NOON_SECONDS = int(NOON.timestamp())
TOPIC = f"/v1/projects/{PROJECT}/topics/metrics:publish"
GOOD = {"messages": [{"data": base64.b64encode(b"{}").decode(), "attributes": {"a": "b"}}]}


def request(path: str, body: bytes, method: str = "POST", headers: Mapping[str, str] | None = None) -> Request:
    """A request as the server receives it."""
    return Request(
        EnvironBuilder(path=path, method=method, data=body, headers=list((headers or {}).items())).get_environ()
    )


def route(max_held_bytes: int = 100_000) -> PublishRoute:
    """The route on a bus that holds little."""
    manifest = load_manifest()
    bus = type(local_bus(manifest, lambda: NOON))(
        manifest.topics, manifest.subscriptions(), lambda: NOON, max_held_bytes=max_held_bytes
    )
    return PublishRoute(bus, PROJECT, manifest.topics)


def test_a_published_message_is_on_the_bus() -> None:
    """The route answers with the id under which the message lies on its topic, data and attributes as they came."""
    manifest = load_manifest()
    bus = local_bus(manifest, lambda: NOON)
    path = TOPIC.replace("metrics", "metrics-dead-letter")
    response = PublishRoute(bus, PROJECT, manifest.topics)(request(path, json.dumps(GOOD).encode()))
    (received,) = bus.pull("metrics-dead-letter-pull", 10)
    assert json.loads(response.data) == {"messageIds": [received.message.message_id]}
    assert (received.message.data, received.message.attributes) == (b"{}", {"a": "b"})


@pytest.mark.parametrize(
    ("path", "body", "code", "status"),
    [
        pytest.param(TOPIC, "{", 400, "INVALID_ARGUMENT", id="no JSON"),
        pytest.param(TOPIC, "[]", 400, "INVALID_ARGUMENT", id="no object"),
        pytest.param(TOPIC, "{}", 400, "INVALID_ARGUMENT", id="no messages"),
        pytest.param(TOPIC, '{"messages": []}', 400, "INVALID_ARGUMENT", id="none"),
        pytest.param(TOPIC, json.dumps({"messages": [{}]}), 400, "INVALID_ARGUMENT", id="empty message"),
        pytest.param(TOPIC, '{"messages": [{"data": "%%"}]}', 400, "INVALID_ARGUMENT", id="no base64"),
        pytest.param(TOPIC, '{"messages": [{"data": 1}]}', 400, "INVALID_ARGUMENT", id="data is a number"),
        pytest.param(TOPIC, '{"messages": [{"attributes": {"a": 1}}]}', 400, "INVALID_ARGUMENT", id="attribute"),
        pytest.param(
            TOPIC, json.dumps({"messages": [{"data": "aa=="}] * (MAX_MESSAGES + 1)}), 400, "INVALID_ARGUMENT", id="many"
        ),
        pytest.param(TOPIC.replace("metrics", "nothing"), json.dumps(GOOD), 404, "NOT_FOUND", id="topic"),
        pytest.param(TOPIC.replace(PROJECT, "another"), json.dumps(GOOD), 404, "NOT_FOUND", id="project"),
        pytest.param(TOPIC.replace(":publish", ":pull"), json.dumps(GOOD), 404, "NOT_FOUND", id="verb"),
    ],
)
def test_a_bad_publish_request_is_refused_as_pubsub_does(path: str, body: str, code: int, status: str) -> None:
    """Nothing is published, and the answer is Google's error document under the status code."""
    refusing = route()
    response = refusing(request(path, body.encode()))
    error = json.loads(response.data)["error"]
    assert (response.status_code, error["code"], error["status"]) == (code, code, status)
    assert error["message"]


def test_a_full_bus_is_unavailable_and_another_site_may_not_publish() -> None:
    """A publisher is asked to try again by 503; a web page of another site gets 403."""
    body = json.dumps(GOOD).encode()
    assert route(max_held_bytes=10)(request(TOPIC, body)).status_code == 503
    foreign = request(TOPIC, body, headers={"Sec-Fetch-Site": "cross-site"})
    assert route()(foreign).status_code == 403


def test_a_busy_port_gives_the_next_free_one() -> None:
    """Of two runs on one port the second listens on a higher one."""
    with closing(bind(0)) as first, closing(bind(port_of(first))) as second:
        assert port_of(second) > port_of(first)


def test_the_server_tells_its_four_parts_apart() -> None:
    """Publishing, pushes to known functions, vendors' requests and everything else go to their own applications."""

    def named(name: str) -> object:
        return lambda environ, start: (start("200 OK", []), [f"{name} {environ['PATH_INFO']}".encode()])[1]

    app = router(
        named("dashboard"),  # type: ignore[arg-type]
        route(),
        lambda name: named("ingest") if name == "ingest" else None,  # type: ignore[arg-type,return-value]
        named("hooks"),  # type: ignore[arg-type]
    )
    client = Client(app)
    assert client.post("/hooks/slack").text == "hooks /slack"
    assert client.get("/hooks").text == "dashboard /hooks"
    assert client.get("/").text == "dashboard /"
    assert client.post("/functions/ingest").text == "ingest /functions/ingest"
    assert client.post("/functions/unknown").text == "dashboard /functions/unknown"
    assert client.get("/v1/projects").status_code == 404


def test_a_failed_call_is_tried_again_with_pauses() -> None:
    """Two failures are followed by one and two seconds' pause, and a success ends it."""
    answers, pauses = iter([500, 503, 200]), []

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        return False

    assert call_with_retries(lambda: next(answers), wait)
    assert pauses == [1.0, 2.0]


def test_calls_are_given_up_after_five_or_when_the_run_ends() -> None:
    """Nothing is tried a sixth time; and once stopping, not a second time."""
    calls: list[int] = []

    def failing() -> int:
        calls.append(500)
        return 500

    assert not call_with_retries(failing, lambda _: False)
    assert len(calls) == len(RETRY_SECONDS) + 1
    assert not call_with_retries(failing, lambda _: True)
    assert len(calls) == len(RETRY_SECONDS) + 2


def test_the_next_minute_and_slice_are_past_when_their_wait_ends() -> None:
    """A wait ends just behind the whole minute, or ten seconds, wherever in it it began."""
    at = NOON + timedelta(seconds=37, milliseconds=250)
    assert seconds_to_next_minute(at) == pytest.approx(22.76)
    assert seconds_to_next_minute(NOON) == pytest.approx(60.01)
    assert seconds_to_next_slice(at) == pytest.approx(2.8)


class Sent:
    """Collects what is published, decoded."""

    def __init__(self) -> None:
        self.sections: list[tuple[str, str, int | None, int]] = []

    def __call__(self, data: bytes, attributes: Mapping[str, str]) -> None:
        """Keep the writer, boot, sequence number and minute of every section."""
        assert attributes
        chunk = decode(data)
        self.sections += [(chunk.writer, chunk.boot, chunk.seq, section.minute) for section in chunk.sections]


def test_traffic_publishes_every_slice_once() -> None:
    """Slices go out when they have ended, none twice, each region as one writer under the run's boot id."""
    sent = Sent()
    traffic = Traffic(Fleet(1), "boot", sent, NOON_SECONDS)
    assert traffic.publish_until(NOON + timedelta(seconds=9)) == 0
    assert traffic.publish_until(NOON + timedelta(seconds=25)) == 2
    assert traffic.publish_until(NOON + timedelta(seconds=26)) == 0
    assert traffic.publish_until(NOON + timedelta(seconds=30)) == 1
    assert {section[:2] for section in sent.sections} == {(region.writer, "boot") for region in REGIONS}
    assert [section[2] for section in sent.sections if section[0] == REGIONS[0].writer] == [0, 1]


def test_traffic_leaves_out_what_a_sleeping_machine_missed() -> None:
    """After a night asleep an hour is published, not the night."""
    sent = Sent()
    traffic = Traffic(Fleet(1), "boot", sent, NOON_SECONDS)
    assert traffic.publish_until(NOON + timedelta(hours=8)) == MAX_CATCH_UP_SECONDS // 10


def test_the_past_is_published_newest_first_and_whole() -> None:
    """Every minute of the range is there once for each region, and the newest five come in the first message."""
    sent = Sent()
    Traffic(Fleet(1), "boot", sent, NOON_SECONDS).publish_past(NOON_SECONDS - 720, NOON_SECONDS)
    minutes = [minute for writer, _, _, minute in sent.sections if writer == REGIONS[0].writer]
    assert sorted(minutes) == list(range(NOON_SECONDS - 660, NOON_SECONDS + 60, 60))
    assert set(minutes[:5]) == set(range(NOON_SECONDS - 240, NOON_SECONDS + 60, 60))


def test_what_a_person_reads_holds_nothing_hostile() -> None:
    """Control characters of a label or a log field reach no terminal."""
    lines: list[str] = []
    narrator = Narrator(MonitoringConfig(), lines.append)
    narrator.event(json.dumps({"severity": "WARNING", "message": "message_rejected", "detail": "a\x1b[31mb\nc"}))
    narrator.event(json.dumps({"severity": "INFO", "message": "delivered", "detail": "kept"}))
    lines.append(transition_line(NOON, "fired", "Rule", "region=\x1b]0;x\x07", 4.0211, "%"))
    assert lines[1].startswith("  12:00  FIRING    Rule region=")
    assert lines[1].endswith("(4.021 %)")
    assert len(lines) == 2
    assert not [character for line in lines for character in line if ord(character) < 32]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1: expected timestamp,value"),
        ("time,value\n", "line 1: expected timestamp,value"),
        ("timestamp,value\n", "expected at least one row"),
        ("timestamp,value\n2014-04-10 00:04:00,1\nyesterday,2\n", "line 3: expected a time such as"),
        ("timestamp,value\n2014-04-10 00:04:00,\n", "line 2: expected a number, got ''"),
        ("timestamp,value\n2014-04-10 00:04:00,nan\n", "line 2: expected a number, got 'nan'"),
        ("timestamp,value\n2014-04-10 00:04:00,1,2\n", "line 2: expected timestamp,value"),
    ],
)
def test_a_file_that_is_no_series_is_refused_by_line(tmp_path: Path, text: str, problem: str) -> None:
    """The error names the file, the line and the form that is accepted."""
    path = tmp_path / "series.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"series\.csv") as caught:
        read_series(path)
    assert problem in caught.value.detail


def test_a_series_is_read_in_utc_and_in_order(tmp_path: Path) -> None:
    """Naive times are UTC, others are converted, rows may come in any order and share a time."""
    path = tmp_path / "series.csv"
    path.write_text("timestamp,value\n2014-04-10 00:10:00,3\n2014-04-10T02:04:00+02:00,1\n2014-04-10 00:04:00,2\n\n")
    first = datetime(2014, 4, 10, 0, 4, tzinfo=UTC)
    assert read_series(path) == [Point(first, 1.0), Point(first, 2.0), Point(first + timedelta(minutes=6), 3.0)]


def test_a_collection_decides_metric_and_labels() -> None:
    """A file is what its collection selects; a ratio and an unknown name are refused with what there is."""
    config = MonitoringConfig()
    target = target_of(config, "cpu_utilization_us")
    assert (target.series.metric, target.series.labels) == ("cpu_utilization", (("region", "us-central1"),))
    with pytest.raises(ConfigError, match="is a ratio of two metrics"):
        target_of(config, "error_rate_global")
    with pytest.raises(ConfigError, match="unknown collection"):
        target_of(config, "cpu_utilisation_us")


@pytest.mark.parametrize(
    ("hours", "fired", "expected"),
    [
        pytest.param(10, [], (0, 10), id="short"),
        pytest.param(10, [5], (0, 10), id="short with a firing"),
        pytest.param(100, [], (28, 100), id="long: its end"),
        pytest.param(100, [10, 90], (8, 80), id="long: from before the first firing"),
        pytest.param(100, [90], (28, 100), id="long: never less than 72 h"),
    ],
)
def test_the_range_to_look_at(hours: int, fired: list[int], expected: tuple[int, int]) -> None:
    """All of a replay, or 72 hours of a longer one: from two hours before the first firing, unless that is too late."""
    start, end = shown_range(
        NOON, NOON + timedelta(hours=hours, seconds=5), [NOON + timedelta(hours=hour) for hour in fired]
    )
    assert (start, end) == tuple(NOON + timedelta(hours=hour) for hour in expected)


def test_without_gcloud_and_java_the_emulators_are_not_tried(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run says what to install and ends with 2."""
    monkeypatch.setenv("PATH", "")
    assert main(["run", "--emulators"]) == CANNOT_START
    said = capsys.readouterr().err
    assert "not installed: gcloud, java" in said
    assert "default-jre-headless" in said
    assert "gcloud components install" in said


def test_a_replay_that_cannot_start_says_why(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A ratio and a missing file end with 2 and one line."""
    assert main(["replay", str(tmp_path / "none.csv"), "error_rate_global"]) == CANNOT_START
    assert main(["replay", str(tmp_path / "none.csv"), "cpu_utilization_us"]) == CANNOT_START
    ratio, absent = capsys.readouterr().err.splitlines()
    assert "error_rate_global is a ratio" in ratio
    assert "none.csv" in absent


def test_make_prints_help_for_every_target() -> None:
    """Plain ``make`` names each public target with a sentence."""
    said = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = ["run", "replay", "install", "test", "format", "lint", "types", "test-unit", "test-integration"]
    for target in [*targets, "bundle", "plan"]:
        assert f"make {target} " in said


def fail(function: str, error: BaseException) -> None:
    """Nothing may fail."""
    raise AssertionError(function) from error


def test_the_whole_run_on_a_manual_clock() -> None:
    """Fleet, bus, the functions behind functions-framework and the store: pending, firing, told, resolved, told."""
    clock = ManualClock(NOON + timedelta(seconds=20))
    manifest = load_manifest()
    failures: list[Exception] = []
    store = SqliteStore(":memory:", clock.now)
    backend = Stepped(manifest, store, clock.now, lambda _, error: failures.append(error), seed=1)
    said: list[str] = []
    host = Host(manifest, MonitoringConfig(), Config(PROJECT), said.append, fail, clock.now, clock.sleep)
    with host.serving(backend, bind(0)) as hosted:
        _walk(hosted, clock, minutes=3)
        rows = table(hosted.services.config, transitions_of(store))
        pages = [Client(hosted.functions.app("dashboard")).get(path) for path in ("/", "/inbox", "/healthz")]
    kinds = [notification_from_json(one.fields["notification"]).kind.value for one in store.list("inbox").documents]
    changes = [line[11:26] for line in rows if "High Error Rate - Critical" in line]
    assert changes == ["12:00  pending ", "12:01  FIRING  ", "12:02  resolved"]
    assert kinds[:2] == ["firing", "resolved"]
    assert any("inbox told: High Error Rate - Critical firing" in line for line in said)
    assert [page.status_code for page in pages] == [200, 200, 200]
    assert "High Error Rate - Critical" in pages[1].text
    assert failures == []


@pytest.mark.parametrize("second", [2, 20])
def test_the_first_page_has_numbers_without_a_wait(second: int) -> None:
    """The newest settled minute is evaluated before the first page, and no time passes, just after a minute neither."""
    clock = ManualClock(NOON + timedelta(seconds=second))
    manifest = load_manifest()
    backend = Stepped(manifest, SqliteStore(":memory:", clock.now), clock.now, lambda *_: None, seed=1)
    host = Host(manifest, MonitoringConfig(), Config(PROJECT), lambda _: None, fail, clock.now, clock.sleep)
    with host.serving(backend, bind(0)) as hosted:
        traffic = Traffic(Fleet(1), "boot", lambda *message: backend.bus.publish("metrics", *message), NOON_SECONDS)
        traffic.publish_past(NOON_SECONDS - 720, NOON_SECONDS)
        assert backend.deliver(1.0)
        evaluate_what_is_settled(hosted)
        page = Client(hosted.functions.app("dashboard")).get("/dashboards/overview.json")
    assert page.json is not None
    assert page.json["dashboard"]["overview"]["throughput"] > 1000
    assert clock.now() == NOON + timedelta(seconds=second)


@pytest.mark.parametrize(("secret", "status"), [(SLACK_SECRET, 200), ("another", 401), (None, 404)])
def test_a_signed_press_is_taken_here_too(secret: str | None, status: int) -> None:
    """Below /hooks the server answers what Slack signed; with another secret it is refused, without one unknown."""
    clock = ManualClock(NOON)
    manifest = load_manifest()
    backend = Stepped(manifest, SqliteStore(":memory:", clock.now), clock.now, lambda *_: None, seed=1)
    environment = Config(PROJECT, slack_signing_secret=Secret(secret) if secret else None)
    host = Host(manifest, MonitoringConfig(), environment, lambda _: None, fail, clock.now, clock.sleep)
    body = button(ACKNOWLEDGE, "20251018T1200-0123456789abcdef-firing")
    listener = bind(0)
    here = HTTPConnection(HOST, port_of(listener), timeout=10)
    with host.serving(backend, listener), closing(here) as connection:
        connection.request("POST", "/hooks/slack", body, headers_of(body, clock.now()))
        assert connection.getresponse().status == status


def _walk(hosted: Hosted, clock: ManualClock, minutes: int) -> None:
    """Publish and evaluate as the live run does, minute by minute."""
    started = clock.now()
    bus = hosted.services.bus
    fleet = Fleet(1, incident_at_start(started))
    traffic = Traffic(fleet, "boot", lambda *message: bus.publish("metrics", *message), minute_floor(started))
    traffic.publish_past(minute_floor(started) - 720, minute_floor(started))
    for _ in range(minutes):
        traffic.publish_until(clock.now())
        assert hosted.backend.deliver(1.0)
        assert hosted.evaluate() == 200
        assert hosted.backend.deliver(1.0)
        clock.move_to(datetime.fromtimestamp(minute_floor(clock.now()) + 60, UTC))
