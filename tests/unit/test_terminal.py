"""A dashboard in the terminal."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import timedelta

import pytest
from werkzeug.wrappers import Request, Response

from shared.dashboard import PageRequest
from shared.local.server import Server, bind
from shared.local.terminal import EVERY_SECONDS, NOT_SHOWN, NotAnsweredError, Wanted, fetch, main, watch
from tests.fakes import START, Clock
from tests.pages import run, world


class Screen(io.StringIO):
    """A terminal that keeps what was written."""

    encoding = "utf-8"

    def __init__(self, *, tty: bool = True) -> None:
        super().__init__()
        self._tty = tty

    def isatty(self) -> bool:
        return self._tty


class AsciiScreen(Screen):
    """A terminal of the old kind."""

    encoding = "ascii"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server with the dashboards of a deployment that has worked for three minutes."""
    running = world()
    run(running, 3)

    @Request.application
    def app(request: Request) -> Response:
        asked = PageRequest(request.path, query=request.args.to_dict(), accept=request.headers.get("Accept"))
        answer = running.services.dashboard()(asked)
        return Response(answer.body, answer.status, content_type=answer.content_type)

    server = Server(bind(0), app)
    server.start()
    yield server.port
    server.stop()


def test_it_shows_the_page_in_colour(port: int) -> None:
    """On a terminal the page is the text of the dashboard, in colour."""
    screen = Screen()
    assert main(["--port", str(port)], screen) == 0
    assert "ION MENTORING PRODUCTION DASHBOARD" in screen.getvalue()
    assert "\x1b[36m" in screen.getvalue()


@pytest.mark.parametrize(
    ("arguments", "screen"), [(["--plain"], Screen()), ([], Screen(tty=False))], ids=["asked", "no terminal"]
)
def test_without_colour(port: int, arguments: list[str], screen: Screen) -> None:
    """Into a file, or when asked so, there is no escape sequence."""
    assert main(["--port", str(port), *arguments], screen) == 0
    assert "\x1b" not in screen.getvalue()


def test_ascii(port: int) -> None:
    """A terminal that knows only ASCII gets nothing else."""
    screen = AsciiScreen()
    assert main(["cache", "--port", str(port), "--range", "1h"], screen) == 0
    assert screen.getvalue().isascii()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["nope"], "404 Not Found: unknown dashboard"), (["--range", "9h"], "400 Bad Request: range must be"),
     (["--url", "http://127.0.0.1:1"], "Nothing answers at"), (["--url", "file:///etc/passwd"], "is no address")],
)  # fmt: skip
def test_what_is_refused(port: int, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A page that is not there, a mistake and a server that is not there are one line, and the status is 2."""
    assert main(["--port", str(port), *arguments], Screen()) == NOT_SHOWN
    assert told in capsys.readouterr().err


def test_fetch_is_the_page(port: int) -> None:
    """What is fetched is what the page says."""
    assert "Global Throughput" in fetch(Wanted(f"http://127.0.0.1:{port}"))


def test_watching_keeps_what_was_shown() -> None:
    """Every ten seconds the page is shown again; while nothing answers the last one stays, and since when is said."""
    clock, screen = Clock(), Screen()
    answers = iter(["first\n", "", "", "second\n"])

    def get(_: Wanted) -> str:
        answer = next(answers)
        if not answer:
            raise NotAnsweredError("Nothing answers.")
        return answer

    watch(Wanted("http://x"), screen, clock, clock.sleep, rounds=4, get=get)
    _, first, lost, still, second = screen.getvalue().split("\x1b[H\x1b[J")
    since = f"{START + timedelta(seconds=EVERY_SECONDS):%H:%M:%S}"
    assert first == "first\n"
    assert lost == f"first\nNothing answers. Since {since} UTC; trying again every 10 s.\n"
    assert still == lost
    assert second == "second\n"
    assert clock() == START + 3 * timedelta(seconds=EVERY_SECONDS)
