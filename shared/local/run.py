"""The live run: everything in one process on the real clock, with the simulated fleet and its incident."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from threading import Event, Thread

from ..adapters.sqlite_store import SqliteStore
from ..buckets import SETTLE
from ..config import Config
from ..evaluator import STATE_PATH
from ..logs import Redirected
from ..manifest import load_manifest
from ..store import Store
from ..timeline import MINUTE_SECONDS, minute_floor
from ..wiring import monitoring_config, use
from .backends import Backend, Embedded, Emulated
from .fleet import Fleet
from .hosting import Host, Hosted, listen
from .incident import incident_at_start
from .narrator import Narrator
from .scheduler import run_every_minute
from .server import port_of
from .traffic import Traffic, run_traffic

FIRST_MINUTES = 15
"""Published before the first page: what the rules look back to, and a little more."""
MORE_MINUTES = 165
"""Published right after it, the newest first, so that the charts have a past."""
_DELIVERED_WITHIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a live run was asked for. ``port`` 0 is any free one; ``folder`` holds the database, kept with ``keep``."""

    port: int
    emulators: bool
    keep: bool
    seed: int
    folder: Path


def run(
    options: RunOptions,
    config: Config,
    now: Callable[[], datetime],
    boot: str,
    say: Callable[[str], None],
    stopping: Event,
) -> None:
    """Run until ``stopping`` is set, or an exception such as KeyboardInterrupt.

    Raises MonitoringError, OSError (no free port) and RuntimeError (an emulator that does not start).
    """
    monitoring = monitoring_config(config)
    narrator = Narrator(monitoring, say)
    manifest = load_manifest()

    def sleep(seconds: float) -> None:
        stopping.wait(seconds)

    with closing(listen(options.port, say)) as listener, Redirected(narrator.event):
        backend: Backend
        if options.emulators:
            say("Starting the Pub/Sub and Firestore emulators ...")
            backend = Emulated(manifest)
        else:
            backend = Embedded(manifest, _sqlite(options, port_of(listener), now), now, narrator.refused)
        with Host(manifest, monitoring, config, say, narrator.failed, now, sleep).serving(backend, listener) as hosted:
            _live(hosted, options, boot, narrator, stopping)


def _sqlite(options: RunOptions, port: int, now: Callable[[], datetime]) -> SqliteStore:
    """The run's database: a file for each port, new unless it is to be kept."""
    options.folder.mkdir(parents=True, exist_ok=True)
    path = options.folder / f"run-{port}.sqlite"
    if not options.keep:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
    return SqliteStore(path, now, synchronous="NORMAL")


def _live(hosted: Hosted, options: RunOptions, boot: str, narrator: Narrator, stopping: Event) -> None:
    say = narrator.say
    now = hosted.services.now
    started = now()
    newest = minute_floor(started)
    kept_until = _judged_until(hosted.services.store)
    fleet = Fleet(options.seed, incident_at_start(started))
    traffic = Traffic(
        fleet, boot, lambda data, attributes: hosted.services.bus.publish("metrics", data, attributes), newest
    )
    first = max(newest - FIRST_MINUTES * MINUTE_SECONDS, min(kept_until, newest))
    traffic.publish_past(first, newest)
    traffic.publish_until(now())
    if not hosted.backend.deliver(_DELIVERED_WITHIN_SECONDS):
        say("  The past is still being stored; the first charts are incomplete.")
    held: list[str] = []  # what happens there is said after the address
    with Redirected(held.append):
        evaluate_what_is_settled(hosted)
    say(f"Open {hosted.url} (Ctrl-C ends it). In the next three minutes a rule goes pending, fires and resolves:")
    for event in held:
        narrator.event(event)

    def more_of_the_past() -> None:
        if not kept_until:
            traffic.publish_past(first - MORE_MINUTES * MINUTE_SECONDS, first, stopping.is_set)

    threads = [
        Thread(target=run_every_minute, args=(hosted.evaluate, now, stopping), name="scheduler", daemon=True),
        Thread(target=run_traffic, args=(traffic, now, stopping), name="traffic", daemon=True),
        Thread(target=more_of_the_past, name="past", daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        stopping.wait()
    finally:
        stopping.set()
        for thread in threads:
            thread.join(2.0)


def evaluate_what_is_settled(hosted: Hosted) -> None:
    """Have a first evaluation for the first page to show, without waiting for a minute that ended just now.

    That minute is the scheduler's, right after. The function is called as always, by a clock that is a little behind.
    """
    services = hosted.services
    use(replace(services, now=lambda: services.now() - SETTLE))
    try:
        hosted.evaluate()
    finally:
        use(services)


def _judged_until(store: Store) -> int:
    """The last minute that a kept database knows of (Unix seconds), which is not published again; 0 for a new one."""
    state = store.get([STATE_PATH]).get(STATE_PATH)
    return 0 if state is None else int(state.fields["minute"])
