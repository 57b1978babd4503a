"""Publishing over HTTP: one message a call, one connection, and for each failure its kind; against a real server."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import google.auth
import pytest

from shared.adapters import pubsub_http
from shared.adapters.google_credentials import GoogleCredentials
from shared.adapters.pubsub_http import HttpTopic, MetadataServer, Token
from shared.client import publisher_from_environment
from shared.errors import PermanentError, TransientError
from shared.formats.compact import decode
from shared.logs import Captured
from shared.series import Kind


@dataclass
class Google:
    """What was asked of a server that is Pub/Sub and the metadata server in one, and what it answers."""

    port: int = 0
    statuses: list[int] = field(default_factory=list)
    connections: int = 0
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    hang_up: bool = False


@pytest.fixture
def server() -> Iterator[Google]:
    """A server on loopback."""
    found = Google()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            found.connections += 1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self._answer(found.statuses.pop(0) if found.statuses else 200, b'{"messageIds": ["1"]}')

        def do_GET(self) -> None:
            found.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}, b""))
            self._answer(200, json.dumps({"access_token": f"t{len(found.asked)}", "expires_in": 3600}).encode())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = found.hang_up

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


def topic_of(server: Google, **changes: Any) -> HttpTopic:
    """A topic on that server."""
    return HttpTopic("my-project", "metrics", lambda: 0.0, host=f"127.0.0.1:{server.port}", **changes)


LONG = "x" * 300


def test_a_message(server: Google) -> None:
    """Bytes and attributes go to the topic's route as they are, over one connection however many there are."""
    topic = topic_of(server)
    for number in range(3):
        topic(bytes([number, 255]), {"content-type": "a/b"})
    topic.close()
    assert server.connections == 1
    path, headers, body = server.asked[2]
    assert path == "/v1/projects/my-project/topics/metrics:publish"
    assert "authorization" not in headers
    (message,) = json.loads(body)["messages"]
    assert (base64.b64decode(message["data"]), message["attributes"]) == (b"\x02\xff", {"content-type": "a/b"})


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (400, PermanentError, "message_refused"), (413, PermanentError, "message_refused"),
        (401, TransientError, "unavailable"), (403, TransientError, "unavailable"),
        (404, TransientError, "unknown_topic"), (429, TransientError, "unavailable"),
        (500, TransientError, "unavailable"), (503, TransientError, "unavailable"),
        (302, TransientError, "unavailable"),
    ],
)  # fmt: skip
def test_failures(server: Google, status: int, kind: type[Exception], reason: str) -> None:
    """What would be refused again is permanent, all else transient; the next message goes out."""
    topic = topic_of(server)
    server.statuses = [status]
    with pytest.raises(kind) as raised:
        topic(b"1", {})
    assert raised.value.reason == reason  # type: ignore[attr-defined] # both kinds have one
    topic(b"2", {})
    topic.close()


def test_a_kept_connection_that_has_gone(server: Google) -> None:
    """When the server has closed it meanwhile, the message goes over a new one, and nobody hears of it."""
    topic = topic_of(server)
    server.hang_up = True
    for _ in range(3):
        topic(b"1", {})
    topic.close()
    assert (len(server.asked), server.connections) == (3, 3)


def test_nobody_there() -> None:
    """A server that is not there is a transient failure."""
    topic = HttpTopic("p", "t", lambda: 0.0, host="127.0.0.1:1")
    with pytest.raises(TransientError):
        topic(b"1", {})


def test_tokens(server: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token of the metadata server is kept until shortly before its end, and asked for anew when it is refused."""
    monkeypatch.setattr(pubsub_http, "_connect", lambda _: HTTPConnection("127.0.0.1", server.port))
    now = [0.0]
    topic = HttpTopic("p", "t", lambda: now[0], credentials=MetadataServer(f"127.0.0.1:{server.port}"))
    for seconds in (0.0, 3000.0, 3600.0):
        now[0] = seconds
        topic(b"1", {})
    server.statuses = [401]
    with suppress(TransientError):
        topic(b"2", {})
    topic(b"2", {})
    topic.close()
    tokens = [headers["authorization"] for path, headers, _ in server.asked if path.endswith(":publish")]
    assert tokens == ["Bearer t1", "Bearer t1", "Bearer t4", "Bearer t4", "Bearer t7"]
    assert [headers["metadata-flavor"] for path, headers, _ in server.asked if path.endswith("token")] == ["Google"] * 3


def test_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a metadata server, or with a key that cannot be read, the failure is transient and has its name."""
    monkeypatch.setattr(google.auth, "default", _unreadable)
    for credentials in (MetadataServer("127.0.0.1:1"), GoogleCredentials()):
        with pytest.raises(TransientError) as raised:
            credentials.token()
        assert raised.value.reason == "no_credentials"


def _unreadable(**_: object) -> None:
    raise OSError("no such file")


class Fixed:
    """Credentials that need nobody."""

    def token(self) -> Token:
        """Always the same."""
        return Token("t", 1.0)


def test_a_forked_child_has_its_own_connection(server: Google) -> None:
    """Another process never writes to a connection that it has inherited."""
    topic = topic_of(server)
    topic(b"1", {})
    inherited = topic._connection.get()
    topic._connection._built[os.getpid() + 1] = topic._connection._built.pop(os.getpid())
    topic(b"2", {})
    topic.close()
    inherited.close()
    assert server.connections == 2


@pytest.mark.parametrize(
    ("environ", "event"),
    [
        ({}, "publishing_off"), ({"ION_PROJECT": "?"}, "invalid_configuration"),
        ({"ION_PROJECT": "my-project", "PUBSUB_EMULATOR_HOST": "127.0.0.1:1", "ION_WRITER": LONG}, "writer_refused"),
    ],
)  # fmt: skip
def test_an_environment_that_is_wrong(environ: dict[str, str], event: str) -> None:
    """Whatever is missing or malformed is logged once, and recording works all the same."""
    with Captured() as logs:
        publisher = publisher_from_environment(environ)
        publisher.record("m", 1.0, Kind.GAUGE)
        assert publisher.stats().dropped_observations == 0
        publisher.close()
    assert event in [one["message"] for one in logs.events]


def test_a_refused_name_keeps_the_spool(tmp_path: Path) -> None:
    """A writer's name that is refused costs the name alone: what is recorded is in the spool all the same."""
    environ = {"ION_PROJECT": "my-project", "PUBSUB_EMULATOR_HOST": "127.0.0.1:1", "ION_WRITER": LONG}
    with Captured() as logs:
        publisher = publisher_from_environment({**environ, "ION_SPOOL": str(tmp_path)})
        publisher.record("m", 1.0, Kind.GAUGE)
        assert list(tmp_path.glob("*.owner"))
        assert publisher.stats().unspooled_observations == 0
        publisher.close()
    assert "writer_refused" in [one["message"] for one in logs.events]


def test_from_the_environment_to_the_topic(server: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a project and an emulator what is recorded arrives on the topic, readable."""
    made: list[HTTPConnection] = []

    def connect(host: str) -> HTTPConnection:
        made.append(HTTPConnection(host))
        return made[-1]

    monkeypatch.setattr(pubsub_http, "_connect", connect)
    environ = {"ION_PROJECT": "my-project", "ION_PREFIX": "dev-", "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{server.port}"}
    publisher = publisher_from_environment(environ)
    publisher.record("m", 1.0, Kind.GAUGE)
    assert publisher.close(20)
    made[0].close()
    ((path, _, body),) = server.asked
    assert path == "/v1/projects/my-project/topics/dev-metrics:publish"
    chunk = decode(base64.b64decode(json.loads(body)["messages"][0]["data"]))
    assert chunk.sections[0].cells.series[0].metric == "m"


def test_credentials_of_a_file(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are application default credentials, they are used and not the metadata server's."""
    key = tmp_path / "application_default_credentials.json"
    key.write_text("{}")
    for environ in ({"CLOUDSDK_CONFIG": str(tmp_path)}, {"GOOGLE_APPLICATION_CREDENTIALS": str(key)}):
        asked: list[str] = []
        monkeypatch.setattr(GoogleCredentials, "token", lambda _, asked=asked: asked.append("asked") or Fixed().token())
        monkeypatch.setattr(pubsub_http, "_connect", lambda _: HTTPConnection("127.0.0.1", 1))
        publisher = publisher_from_environment({"ION_PROJECT": "my-project", **environ})
        publisher.record("m", 1.0, Kind.GAUGE)
        with Captured():
            publisher.close(20)
        assert asked
