"""A storm: every misfortune at once between a publisher and the store, on the real emulators and the real server.

``run_storm`` publishes the messages of thirty writers, each one to four times, in any order. Pub/Sub's emulator pushes
them to ingest, which runs as in the cloud, behind functions-framework's gunicorn; and ingest commits to Firestore's
emulator. Each time when a share of them that the seed decides is acknowledged, something happens in the midst of the
others: all processes of ingest are killed, the evaluator runs, or Firestore ends and begins again with its data, and
ingest is killed once more meanwhile. A front end loses answers. When all is acknowledged, what was promised must hold
to the last bit.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shared.adapters.firestore_store import FirestoreStore
from shared.adapters.pubsub_bus import PubSubBus, create_resources
from shared.bus import REASON_ATTRIBUTE
from shared.errors import TransientError
from shared.evaluator import STATE_PATH
from shared.local.server import Server, bind
from shared.manifest import load_manifest
from shared.timeline import minute_of_us, to_us
from shared.wiring import Services
from tests.emulators import Emulator, firestore_emulator
from tests.rollup_promises import CONFIG
from tests.serving import ROOT, Served, free_port, listens, serving
from tests.storm_front import FrontEnd
from tests.storm_messages import Said
from tests.storm_traffic import Traffic
from tests.storm_truth import Checked, check

DATABASE = "storm"
FUNCTION = "ingest"
TOPICS = tuple(f"metrics-{number}" for number in range(4))
DEAD_LETTERS = "metrics-dead-letter-pull"
OUTSTANDING = 150
"""Messages that are published and not yet acknowledged, at most."""
PUBLISHERS = 4
BEHIND = timedelta(seconds=6)
"""The evaluator's clock is this slow, so that it never has to wait until a minute has settled."""


@dataclass(frozen=True, slots=True)
class Size:
    """How many messages there are, how often ingest is killed besides, and how often the evaluator runs meanwhile."""

    messages: int
    kills: int
    evaluations: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a storm was like. ``fates`` counts the pushes by what became of them."""

    messages: int
    observations: int
    copies: int
    fates: Counter[str]
    kills: int
    restarts: int
    checked: Checked
    dead_letters: int
    seconds: float

    def assert_it_raged(self) -> None:
        """Check that the misfortune was real: every fate has come to some push, and much was compared."""
        assert self.fates.keys() >= {"200", "500", "answer lost", "cut off"}
        assert self.fates.total() > self.copies, "some messages were pushed again"
        assert self.checked.rollups >= 15
        assert self.checked.hours >= 5
        assert self.dead_letters > 0


class Storm:
    """One storm on a Pub/Sub emulator; ``folder`` is empty, and holds Firestore's data and ingest's log."""

    def __init__(self, size: Size, seed: int, pubsub: Emulator, folder: Path) -> None:
        self._size = size
        self._rng = random.Random(seed)
        self._pubsub = pubsub
        self._folder = folder
        self._project = f"{pubsub.project}-storm-{seed}"
        self._traffic = Traffic(seed, size.messages, minute_of_us(to_us(datetime.now(UTC))))
        self._copies = self._traffic.copies()
        self._store_port, self._ingest_port = free_port(), free_port()
        self._front = FrontEnd(self._ingest_port, random.Random(seed))
        self._store = FirestoreStore(self._project, DATABASE, f"127.0.0.1:{self._store_port}")
        self._bus = PubSubBus(self._project, pubsub.host, pull_wait_seconds=1.0)
        services = Services(CONFIG, self._store, self._bus, {}, now=lambda: datetime.now(UTC) - BEHIND)
        self._evaluator = services.evaluate()
        self._give_up = time.monotonic() + 120.0 + 0.05 * size.messages
        self._publishing = 0
        self._ids: set[str] = set()
        self._firestore, self._ingest = contextlib.ExitStack(), contextlib.ExitStack()
        self._kills = self._restarts = 0

    def run(self) -> Report:
        """Let it rage, and check what it left. Raises AssertionError, with the end of ingest's log in a note."""
        began = time.monotonic()
        try:
            with self._everything():
                self._rage()
                return self._report(began)
        except AssertionError as error:
            error.add_note(self._log.read_text("utf-8", "replace")[-3000:])
            raise

    @property
    def _log(self) -> Path:
        return self._folder / "ingest.log"

    @contextlib.contextmanager
    def _everything(self) -> Iterator[None]:
        """All that runs, before Pub/Sub's subscriptions are made, and ended in the opposite order."""
        with contextlib.ExitStack() as stack:
            listener = bind(0)
            server = Server(listener, self._front)
            server.start()
            stack.callback(server.stop)
            stack.callback(self._bus.close)
            stack.callback(self._store.close)
            stack.push(self._firestore)
            stack.push(self._ingest)
            self._start_firestore()
            self._start_ingest()
            self._subscribe(f"http://127.0.0.1:{server.port}/")
            yield

    def _subscribe(self, url: str) -> None:
        """What the manifest has, but that ``metrics`` is four topics, each with a subscription.

        The emulator pushes two messages of a subscription at a time: together eight, as many as ingest takes at once.
        """
        manifest = load_manifest()
        (pushed,) = (one for one in manifest.subscriptions() if one.push == FUNCTION)
        four = [replace(pushed, name=f"{pushed.name}-{topic}", topic=topic) for topic in TOPICS]
        subscriptions = [*manifest.pull_subscriptions, *four]
        create_resources(self._project, self._pubsub.host, [*manifest.topics, *TOPICS], subscriptions, {FUNCTION: url})

    def _start_firestore(self) -> None:
        data = self._folder / "firestore"
        data.mkdir(exist_ok=True)
        self._firestore.enter_context(firestore_emulator(project=self._project, port=self._store_port, data=data))

    def _start_ingest(self) -> None:
        environment = {
            "PYTHONPATH": str(ROOT),
            "ION_PROJECT": self._project,
            "ION_DATABASE": DATABASE,
            "FIRESTORE_EMULATOR_HOST": f"127.0.0.1:{self._store_port}",
            "PUBSUB_EMULATOR_HOST": self._pubsub.host,
            "THREADS": str(load_manifest().functions[FUNCTION].sizing.concurrency),
        }
        source = ROOT / "functions" / FUNCTION / "main.py"
        running = serving(source, FUNCTION, "cloudevent", environment, self._log, port=self._ingest_port)
        self._served: Served = self._ingest.enter_context(running)

    def _rage(self) -> None:
        """Publish everything, with all misfortunes in between, and wait until everything is acknowledged."""
        with ThreadPoolExecutor(PUBLISHERS) as publishers, ThreadPoolExecutor(1) as evaluators:
            running = [publishers.submit(self._publish, *numbered) for numbered in enumerate(self._copies)]

            def evaluate_meanwhile() -> None:
                running.append(evaluators.submit(self._evaluate))

            try:
                for share, happen in self._misfortunes(evaluate_meanwhile):
                    self._until_acknowledged(share)
                    happen()
                self._until_acknowledged(1.0)
            except BaseException:
                for one in running:
                    one.cancel()
                raise
            for one in running:
                one.result()
        assert self._front.acknowledged == self._ids

    def _misfortunes(self, evaluate: Callable[[], None]) -> list[tuple[float, Callable[[], None]]]:
        """What happens, and after which share of all copies has been acknowledged; in order."""
        happens = [self._kill] * self._size.kills + [evaluate] * self._size.evaluations
        due = [(self._rng.uniform(0.02, 0.85), one) for one in happens]
        return sorted([*due, (self._rng.uniform(0.3, 0.7), self._restart_firestore)], key=lambda one: one[0])

    def _publish(self, number: int, said: Said) -> None:
        front = self._front
        self._until(lambda: self._publishing - len(front.acknowledged) < OUTSTANDING)
        with front.changed:
            self._publishing += 1
        message_id = self._bus.publish(TOPICS[number % len(TOPICS)], said.data, said.attributes)
        with front.changed:
            self._ids.add(message_id)

    def _until_acknowledged(self, share: float) -> None:
        self._until(lambda: len(self._front.acknowledged) >= int(share * len(self._copies)))

    def _until(self, condition: Callable[[], bool]) -> None:
        """Wait until something holds of the front end, which says whenever it changes."""
        front = self._front
        with front.changed:
            while not condition():
                assert front.changed.wait(self._give_up - time.monotonic()), (
                    f"{len(front.acknowledged)} of {len(self._copies)} are acknowledged in time: {front.fates}"
                )

    def _kill(self) -> None:
        """End all processes of ingest, at an instant when some push is on its way, and start it again."""
        with self._front.changed:
            self._until(lambda: self._front.in_flight > 0)
            os.killpg(self._served.pid, signal.SIGKILL)
        self._ingest.close()
        while listens(self._ingest_port):  # the last of the processes is still ending
            time.sleep(0.01)
        self._kills += 1
        self._start_ingest()

    def _restart_firestore(self) -> None:
        """End Firestore, when it has left its data, and start it again with them; ingest is killed meanwhile."""
        self._until(lambda: self._front.in_flight > 0)
        self._firestore.close()
        self._kill()
        self._start_firestore()
        self._restarts += 1

    def _evaluate(self) -> None:
        """Call the evaluator; while its store is away, it is called again, as Cloud Scheduler does."""
        while True:
            try:
                self._evaluator()
            except TransientError:
                assert time.monotonic() < self._give_up
                time.sleep(0.5)
            else:
                return

    def _settle(self) -> int:
        """Call the evaluator until no minute that it has judged is marked as late; the newest such minute."""
        while True:
            self._evaluate()
            judged = int(self._store.get([STATE_PATH])[STATE_PATH].fields["minute"])
            if all(marker.fields["minute"] > judged for marker in self._store.list("late").documents):
                return judged
            assert time.monotonic() < self._give_up

    def _dead_letters(self) -> int:
        """Check that ingest, and nobody else, has rejected just what is malformed; how many copies there are."""
        pulled = []
        while some := self._bus.pull(DEAD_LETTERS, 1000):
            pulled += [one.message for one in some]
            self._bus.ack(DEAD_LETTERS, [one.ack_id for one in some])
        assert {one.data for one in pulled} == {said.data for said in self._traffic.rejected}
        assert {one.attributes.get(REASON_ATTRIBUTE) for one in pulled} == {"malformed_message"}
        return len(pulled)

    def _report(self, began: float) -> Report:
        judged = self._settle()
        now = datetime.now(UTC)
        checked = check(self._store, self._traffic.ledger, judged, now)
        return Report(
            messages=len(self._traffic.messages),
            observations=self._traffic.ledger.observations(),
            copies=len(self._copies),
            fates=self._front.fates,
            kills=self._kills,
            restarts=self._restarts,
            checked=checked,
            dead_letters=self._dead_letters(),
            seconds=time.monotonic() - began,
        )


def run_storm(size: Size, seed: int, pubsub: Emulator, folder: Path) -> Report:
    """Let a storm of some size rage and check what it left. Raises AssertionError."""
    return Storm(size, seed, pubsub, folder).run()
