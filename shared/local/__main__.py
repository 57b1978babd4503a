"""``python -m shared.local run``: the live run; ``python -m shared.local replay FILE COLLECTION``: a recorded series.

Ends with 0 after Ctrl-C or SIGTERM, 2 when it cannot start: then one line on stderr says why.
"""

from __future__ import annotations

import argparse
import math
import signal
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Lock
from types import FrameType
from typing import NoReturn

from ..config import Config, load_config
from ..errors import MonitoringError
from ..wiring import utc_now
from .backends import PROJECT
from .emulators import missing
from .replaying import ReplayOptions, replay
from .run import RunOptions, run
from .server import MAX_PORT

DEFAULT_PORT = 8080
CANNOT_START = 2
_INSTALL = """\
To run on the emulators, install
  - a Java runtime, version 17 or newer (Debian, Ubuntu: sudo apt-get install default-jre-headless)
  - the Google Cloud CLI (https://cloud.google.com/sdk/docs/install) with its emulators:
    gcloud components install beta pubsub-emulator cloud-firestore-emulator
    (from Google's apt packages: google-cloud-cli-pubsub-emulator google-cloud-cli-firestore-emulator)
Without EMULATORS=1 neither is needed."""


def main(arguments: Sequence[str]) -> int:
    """Run what the arguments ask for; the exit status."""
    options = _parser().parse_args(arguments)
    if options.emulators and (reason := missing()) is not None:
        print(f"{reason}\n{_INSTALL}", file=sys.stderr)
        return CANNOT_START
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell that starts a job in the background ignores SIGINT for it
        signal.signal(number, _interrupt)
    try:
        _start(options, load_config(defaults={"ION_PROJECT": PROJECT}))
    except KeyboardInterrupt:
        print("Stopped.", flush=True)
    except MonitoringError as error:
        print(f"Cannot run: {error.detail or error.reason}", file=sys.stderr)
        return CANNOT_START
    except (OSError, RuntimeError) as error:
        print(f"Cannot run: {error}", file=sys.stderr)
        return CANNOT_START
    return 0


def _start(options: argparse.Namespace, config: Config) -> None:
    say, stopping = _Printer(), Event()
    if options.command == "replay":
        wanted = ReplayOptions(options.csv, options.collection, options.speed, options.serve, options.port,
                               options.emulators, options.seed)  # fmt: skip
        replay(wanted, config, say, stopping)
    else:
        live = RunOptions(options.port, options.emulators, options.keep, options.seed, options.folder)
        run(live, config, utc_now, uuid.uuid4().hex[:12], say, stopping)


class _Printer:
    """Prints whole lines, whichever thread they come from."""

    def __init__(self) -> None:
        self._lock = Lock()

    def __call__(self, line: str) -> None:
        with self._lock:
            sys.stdout.write(f"{line}\n")  # at once, so that an interrupt leaves no half a line
            sys.stdout.flush()


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class _Parser(argparse.ArgumentParser):
    """Says in one line what it does not accept."""

    def error(self, message: str) -> NoReturn:
        """End with ``CANNOT_START``."""
        self.exit(CANNOT_START, f"Cannot run: {message}\n")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= MAX_PORT):
        raise argparse.ArgumentTypeError(f"expected a port from 0 (any) to {MAX_PORT}, got {text[:40]!r}")
    return int(text)


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not 0 <= speed < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number from 0 on, got {text[:40]!r}")
    return speed


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m shared.local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    live = commands.add_parser("run", help="everything in one process, with a simulated fleet")
    live.add_argument("--keep", action="store_true", help="go on with the database of the last run")
    live.add_argument("--folder", type=Path, default=Path(".local"), help="where the database lies")
    past = commands.add_parser("replay", help="a recorded series at its own times")
    past.add_argument("csv", type=Path, help="a file of timestamp,value")
    past.add_argument("collection", help="what it is a recording of, such as cpu_utilization_us")
    past.add_argument("--speed", type=_speed, default=0.0, help="times faster than real time; 0: as fast as it goes")
    past.add_argument("--no-serve", dest="serve", action="store_false", help="end after the table")
    for command in (live, past):
        command.add_argument("--port", type=_port, default=DEFAULT_PORT, help="of the server; busy: the next free one")
        command.add_argument("--emulators", action="store_true", help="on the real Pub/Sub and Firestore emulators")
        command.add_argument("--seed", type=int, default=1, help="of everything random")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
