"""``python -m shared.local.terminal [NAME]``: a dashboard in the terminal, of a local run or of a deployment's proxy.

Asks for the text format over HTTP, in colour where it is looked at on a terminal, in ASCII where that terminal knows
nothing else. With ``--watch`` it asks again every ten seconds; when nothing answers, what was shown stays, and a line
under it says since when. Ends with 0 after Ctrl-C, with 2 when the first request is not answered or refused.
"""

from __future__ import annotations

import argparse
import http.client
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TextIO
from urllib.parse import urlencode, urlsplit

from ..render.plain import clean
from ..wiring import utc_now

EVERY_SECONDS = 10.0
TIMEOUT_SECONDS = 8.0
NOT_SHOWN = 2
_MOST_BYTES = 1_000_000
_HOME_AND_CLEAR = "\x1b[H\x1b[J"


class NotAnsweredError(Exception):
    """Nobody answered, or the answer is no page; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to show: ``url`` is the address of the server, ``parameters`` those of the page."""

    url: str
    name: str = "overview"
    parameters: dict[str, str] = field(default_factory=dict)


def fetch(wanted: Wanted) -> str:
    """The page as text. Raises ``NotAnsweredError``."""
    address = urlsplit(wanted.url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise NotAnsweredError(f"{clean(wanted.url)} is no address such as http://127.0.0.1:8080")
    secure = address.scheme == "https"
    connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = connect(address.hostname, address.port, timeout=TIMEOUT_SECONDS)
    path = f"/dashboards/{wanted.name}.txt?{urlencode(wanted.parameters)}".rstrip("?")
    try:
        connection.request("GET", path, headers={"Accept": "text/plain"})
        answer = connection.getresponse()
        text = answer.read(_MOST_BYTES).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise NotAnsweredError(f"Nothing answers at {wanted.url}: is `make run` running there?") from error
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise NotAnsweredError(clean(text.strip().splitlines()[0] if text.strip() else f"HTTP {answer.status}"))
    return text


def watch(
    wanted: Wanted,
    out: TextIO,
    now: Callable[[], datetime],
    sleep: Callable[[float], None],
    rounds: int | None = None,
    get: Callable[[Wanted], str] = fetch,
) -> None:
    """Show the page again and again, ``rounds`` times (None: until interrupted)."""
    shown, since = "", None
    done = 0
    while rounds is None or done < rounds:
        try:
            shown, since = get(wanted), None
            told = ""
        except NotAnsweredError as error:
            since = since or now()
            told = f"{error} Since {since:%H:%M:%S} UTC; trying again every {EVERY_SECONDS:g} s.\n"
        out.write(f"{_HOME_AND_CLEAR}{shown}{told}")
        out.flush()
        done += 1
        if done != rounds:
            sleep(EVERY_SECONDS)


def parameters(options: argparse.Namespace, out: TextIO) -> dict[str, str]:
    """What the page is asked for: its range and region, and what the terminal can show."""
    found = {name: value for name in ("range", "region") if (value := getattr(options, name))}
    if not options.plain and out.isatty():
        found["colour"] = "1"
    if "utf" not in (out.encoding or "").lower():
        found["ascii"] = "1"
    return found


def main(arguments: Sequence[str], out: TextIO) -> int:
    """Show what the arguments ask for; the exit status."""
    options = _parser().parse_args(arguments)
    url = options.url or f"http://127.0.0.1:{options.port}"
    wanted = Wanted(url, options.name, parameters(options, out))
    try:
        out.write(fetch(wanted))
        if options.watch:
            watch(wanted, out, utc_now, time.sleep)
    except KeyboardInterrupt:
        return 0
    except NotAnsweredError as error:
        sys.stderr.write(f"{error}\n")
        return NOT_SHOWN
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m shared.local.terminal", description=__doc__)
    parser.add_argument("name", nargs="?", default="overview", help="which dashboard")
    parser.add_argument("--url", default="", help="of a deployment, or of what proxies it")
    parser.add_argument("--port", type=int, default=8080, help="of a local run")
    parser.add_argument("--range", default="", help="1h, 3h, 24h or 72h")
    parser.add_argument("--region", default="", help="that region alone")
    parser.add_argument("--plain", action="store_true", help="no colour")
    parser.add_argument("--watch", action="store_true", help="again every ten seconds")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdout))
