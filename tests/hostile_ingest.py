"""What was promised of any message whatever, checked of one on a deployment of its own.

A sound message comes before it and another after; the hostile one is delivered twice, and its letter redriven. The
store refuses what production refuses.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

from hypothesis import HealthCheck, given, settings

from shared.adapters.sqlite_store import SqliteStore
from shared.adapters.strict_store import StrictStore
from shared.buckets import stored_in
from shared.bus import REASON_ATTRIBUTE, Message
from shared.cells import total_count
from shared.dead_letters import REJECTED_METRIC
from shared.formats.compact import decode
from shared.identity import identify, rejection
from shared.ingest import Outcome
from shared.monitoring_config import MonitoringConfig
from shared.store import Fields
from shared.timeline import minute_of_us, to_us
from tests.fakes import START, Clock, CountingStore
from tests.hostile_messages import Sent, messages
from tests.world import World, point

REASONS = frozenset({
    "chunk_too_large", "cumulative_temporality", "invalid_series", "malformed_chunk", "malformed_message",
    "malformed_point", "malformed_publish_time", "nonmonotonic_delta", "point_expired", "point_too_early",
    "point_too_old", "unknown_format", "unknown_version", "unspecified_temporality", "unsupported_metric",
})  # fmt: skip
"""Why a message may be refused; a limit of the store is not among them."""
EXEMPT = ("writers/*", "late/*", "rollups/*")
LETTERS = "metrics-dead-letter-pull"
FORMAT = ("ce-type", "content-encoding", "content-type")
CONFIG = MonitoringConfig()


class Trial:
    """One hostile message against one deployment."""

    def __init__(self) -> None:
        self.clock = Clock(START - timedelta(seconds=15))
        self.store = CountingStore(StrictStore(SqliteStore(":memory:", self.clock, "OFF"), self.clock, EXEMPT))
        self.world = World(self.store, self.clock, config=CONFIG)
        self.neighbours: set[str] = set()

    def run(self, sent: Sent) -> Outcome:
        """Deliver the message and check what became of it, of its neighbours, and of the minute."""
        self._neighbour(1)
        message = Message(sent.data, sent.attributes, "id", self.clock())
        outcome = self._ingest(message)
        left = self._contents()
        assert self._ingest(message) == replace(outcome, late_minutes=0) or outcome.late_minutes
        assert self._contents() == left, "a redelivery changes nothing"
        self._neighbour(2)
        assert outcome.reason in REASONS | {""}
        assert self._observations(sent) == outcome.observations, "what is said to be stored is stored, and legible"
        self._check_rejection(sent, outcome)
        self._check_neighbours()
        return outcome

    def _ingest(self, message: Message) -> Outcome:
        return self.world.services.ingest()(message)

    def _neighbour(self, number: int) -> None:
        """A sound message of another writer in the same minute."""
        data = self.world.publish(point("neighbour", self.clock(), float(number)), writer="neighbour", seq=number)
        self.neighbours.add(identify(data, "neighbour", "", number).document)
        self.world.deliver()

    def _contents(self) -> dict[str, Fields]:
        """All chunks, by path."""
        paths = [path for path in self.store.written if path.startswith("buckets/")]
        return {path: document.fields for path, document in self.store.get(paths).items()}

    def _observations(self, sent: Sent) -> int:
        """The observations of all chunks but the neighbours' and the count of the rejection."""
        others = {*self.neighbours, rejection(sent.data).document}
        paths = [path for path in self._contents() if path.rpartition("/")[2] not in others]
        return total_count(cells for chunk in stored_in(self.store.get(paths).values()) for cells in chunk.cells())

    def _check_rejection(self, sent: Sent, outcome: Outcome) -> None:
        """Refused, it lies whole in the dead letters under its reason, is counted once, and can be redriven."""
        received = self.world.bus.pull(LETTERS, 10)
        assert {one.message.data for one in received} == ({sent.data} if outcome.reason else set())
        counted = [
            (section.cells.series[0].metric, dict(section.cells.series[0].labels), section.cells.count.tolist())
            for path, fields in self._contents().items()
            if path.endswith(rejection(sent.data).document)
            for data in fields["c"].values()
            for section in decode(data).sections
        ]
        assert counted == ([(REJECTED_METRIC, {"reason": outcome.reason}, [1])] if outcome.reason else [])
        for one in received:
            told = one.message.attributes
            assert told[REASON_ATTRIBUTE] == outcome.reason
            assert all(told.get(name) == sent.attributes.get(name) for name in FORMAT if name in told)
        if received and outcome.reason != "malformed_publish_time":  # which the letter has mended
            left = self._contents()
            assert self._ingest(received[0].message).reason == outcome.reason
            assert self._contents() == left, "a redriven letter changes nothing"

    def _check_neighbours(self) -> None:
        """Both sound messages count once, in the rollup that the evaluator makes of the minute."""
        minute = minute_of_us(to_us(self.clock()))
        self.world.next_minute()
        counts = {name.metric: count for name, (count, _) in self.world.totals([minute]).items()}
        assert counts["neighbour"] == 2


def run_trials(kind: str, number: int) -> Counter[str]:
    """Try so many messages of a kind, the same at every run; how many there were of each reason, "" for none."""
    outcomes: Counter[str] = Counter()

    @settings(
        max_examples=number, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(messages(kind))
    def run(sent: Sent) -> None:
        outcomes[Trial().run(sent).reason] += 1

    run()
    return outcomes
