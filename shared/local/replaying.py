"""``make replay``: reads a file, replays it, prints what each rule did, and leaves the dashboard at that range."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from socket import socket
from threading import Event
from urllib.parse import urlencode

from ..adapters.sqlite_store import SqliteStore
from ..alerts import Reason
from ..config import Config
from ..logs import Redirected
from ..manifest import load_manifest
from ..tick import Transition
from ..timeline import iso
from ..wiring import monitoring_config, use
from .backends import Backend, Emulated, Stepped
from .clock import ManualClock
from .hosting import Host, Hosted, listen
from .narrator import Narrator
from .replay import MINUTES_PER_CALL, Progress, Replay, shown_range, table, transitions_of
from .series_file import read_series, target_of
from .server import bind

_SECONDS_PER_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """How a replay was asked for.

    ``speed`` is how many times faster than real time the clock walks, 0 for as fast as it goes; with ``serve`` the
    dashboard stays until the end is asked for.
    """

    csv: Path
    collection: str
    speed: float
    serve: bool
    port: int
    emulators: bool
    seed: int


def replay(options: ReplayOptions, config: Config, say: Callable[[str], None], stopping: Event) -> None:
    """Replay, print the table, and serve. Raises as ``run`` does, and ``ConfigError`` for the file or collection."""
    monitoring = monitoring_config(config)
    target = target_of(monitoring, options.collection)
    points = read_series(options.csv)
    clock = ManualClock(points[0].at - timedelta(minutes=1))
    manifest = load_manifest()
    narrator = Narrator(monitoring, say, quiet=True)

    with _listener(options, say) as listener, Redirected(narrator.event):
        backend: Backend
        if options.emulators:
            say("Starting the Pub/Sub and Firestore emulators ...")
            backend = Emulated(manifest)
        else:
            store = SqliteStore(":memory:", clock.now, synchronous="OFF")
            backend = Stepped(manifest, store, clock.now, narrator.refused, options.seed)
        host = Host(manifest, monitoring, config, _ignore, narrator.failed, clock.now, clock.sleep)
        with host.serving(backend, listener) as hosted:
            say(f"{options.csv.name}: {len(points)} points of {options.collection}, "
                f"{iso(points[0].at)} to {iso(points[-1].at)}")  # fmt: skip
            step = 1 if options.speed > 0 else MINUTES_PER_CALL
            Replay(hosted, clock, target, _pacer(options.speed, say, stopping), step).run(points)
            transitions = transitions_of(hosted.services.store)
            for line in table(monitoring, transitions):
                say(line)
            if options.serve:
                say(f"Open {look_at(hosted, options.collection, points[0].at, clock.now(), transitions)}")
                say("The clock stands still there. Ctrl-C ends it.")
                stopping.wait()


@contextmanager
def _listener(options: ReplayOptions, say: Callable[[str], None]) -> Iterator[socket | None]:
    """Where the dashboard is served, or the emulators push; None when neither is."""
    if not options.serve and not options.emulators:
        yield None
        return
    with closing(listen(options.port, say) if options.serve else bind(0)) as listener:
        yield listener


def look_at(hosted: Hosted, collection: str, first: datetime, last: datetime, transitions: Sequence[Transition]) -> str:
    """The address of the range to look at; from now on the dashboard's clock stands still at its end.

    At the end of a long replay the beginning would be past its time to live.
    """
    fired = [change.at for change in transitions if change.reason is Reason.FIRED]
    start, end = shown_range(first, last, fired)
    use(replace(hosted.services, now=lambda: end))
    query = urlencode({"collection": collection, "from": iso(start), "to": iso(end)}, safe=":")
    return f"{hosted.url}/dashboards/overview?{query}"


def _pacer(speed: float, say: Callable[[str], None], stopping: Event) -> Callable[[Progress], None]:
    """Called after each minute: says each day that has passed, and waits where a speed is asked for."""

    def pace(progress: Progress) -> None:
        if progress.at.hour == progress.at.minute == 0:
            say(f"  {progress.at:%Y-%m-%d}, {progress.done * 100 // progress.minutes} %")
        if speed > 0:
            stopping.wait(_SECONDS_PER_MINUTE / speed)

    return pace


def _ignore(_: str) -> None:
    """Deliveries of the past are not said one by one: the table has them."""
