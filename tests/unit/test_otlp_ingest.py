"""OTLP through ingest: counted once, kept in part where a part is refused, and dead-lettered whole."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from opentelemetry.metrics import Meter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from shared.adapters.sqlite_store import SqliteStore
from shared.bus import REASON_ATTRIBUTE, Message
from shared.dead_letters import REJECTED_METRIC
from shared.formats.otlp_labels import LabelRule
from shared.ingest import Ingest
from shared.rollups import read_live
from shared.series import Series
from tests.fakes import Clock
from tests.otel import AT_NS, LABELS, MINUTE, attributes, export
from tests.world import World

DEAD_LETTERS = "metrics-dead-letter-pull"
REQUESTS = Series("requests", LABELS)
RATIO = Series("ratio", LABELS)


def _record(meter: Meter) -> None:
    meter.create_counter("requests").add(7)
    meter.create_gauge("ratio").set(0.5)


@pytest.fixture
def world() -> World:
    """A deployment, a few seconds after the export."""
    clock = Clock(datetime(2025, 10, 18, 12, 34, 58, tzinfo=UTC))
    return World(SqliteStore(":memory:", now=clock), clock)


def _message(world: World, data: bytes) -> Message:
    """A publish of its own: the exporter gives every one a fresh event id."""
    return Message(data, attributes(str(uuid.uuid4())), str(uuid.uuid4()), world.clock())


def _stored(world: World, minute: int = MINUTE) -> dict[Series, float]:
    cells = read_live(world.store, minute, world.clock())
    return dict(zip(cells.series, cells.sum.tolist(), strict=True))


def test_an_export_that_is_published_again_counts_once(world: World) -> None:
    """Redelivered, or sent again by the Collector with the same bytes and another event id, it is one message."""
    data = export(_record).SerializeToString()
    outcomes = [world.services.ingest()(_message(world, data)) for _ in range(3)]
    assert [(one.observations, one.reason) for one in outcomes] == [(2, "")] * 3
    assert _stored(world) == {RATIO: 0.5, REQUESTS: 7.0}


def test_two_exports_add_up(world: World) -> None:
    """The next interval's delta is another message, also when it says the same numbers."""
    for at_ns in (AT_NS, AT_NS + 1_000_000):
        world.services.ingest()(_message(world, export(_record, at_ns=at_ns).SerializeToString()))
    assert _stored(world)[REQUESTS] == 14.0


def test_what_is_sound_is_stored_and_the_whole_message_is_dead_lettered(world: World) -> None:
    """Beside cumulative metrics the gauge is kept; the message goes to the dead letters with the reason, counted."""
    message = _message(world, export(_record, delta=False).SerializeToString())
    outcome = world.services.ingest()(message)
    assert (outcome.observations, outcome.reason) == (1, "cumulative_temporality")
    assert 'metric "requests": cumulative' in outcome.detail
    (received,) = world.bus.pull(DEAD_LETTERS, 10)
    letter = received.message
    assert (letter.data, letter.attributes[REASON_ATTRIBUTE]) == (message.data, "cumulative_temporality")
    assert letter.attributes.items() >= message.attributes.items()
    rejected = Series(REJECTED_METRIC, (("reason", "cumulative_temporality"),))
    assert _stored(world) == {RATIO: 0.5, rejected: 1.0}


def test_a_dead_letter_that_is_redriven_changes_nothing(world: World) -> None:
    """What had counted counts no second time, and neither does the refusal."""
    world.services.ingest()(_message(world, export(_record, delta=False).SerializeToString()))
    before = _stored(world)
    (received,) = world.bus.pull(DEAD_LETTERS, 10)
    world.services.ingest()(received.message)
    assert _stored(world) == before


def test_a_message_refused_for_two_things_names_the_refused_metric(world: World) -> None:
    """Where a point is too old besides, the reason is that of the metric, and nothing is stored."""
    old = export(_record, delta=False, at_ns=AT_NS - 100 * 3600 * 10**9)
    outcome = world.services.ingest()(_message(world, old.SerializeToString()))
    assert (outcome.observations, outcome.reason) == (0, "cumulative_temporality")


def test_a_rule_of_labels_can_be_given(world: World) -> None:
    """Ingest reads OTLP by the rule that it was wired with."""
    rule = LabelRule(resource=(("service.instance.id", "instance"),))
    ingest = Ingest(world.store, world.bus, "metrics-dead-letter", {}, world.clock, rule)
    ingest(_message(world, export(_record).SerializeToString()))
    assert Series("requests", (("instance", "web-7"),)) in _stored(world)


def test_a_dead_letter_can_be_read_again_whatever_attributes_it_came_with(world: World) -> None:
    """A letter has room for 90 of a message's attributes; those that tell the format are among them."""
    message = _message(world, export(_record, delta=False).SerializeToString())
    crowd = {f"a{at}": "x" for at in range(100)}
    world.services.ingest()(replace(message, attributes={**message.attributes, **crowd, "content-encoding": ""}))
    (received,) = world.bus.pull(DEAD_LETTERS, 10)
    assert {"ce-type", "content-type", "content-encoding"} <= received.message.attributes.keys()
    assert world.services.ingest()(received.message).reason == "cumulative_temporality"


def test_histograms_of_one_series_that_are_too_many_together_cost_no_other_metric(world: World) -> None:
    """The point that no longer fits is refused by its metric's name; the one before it and the gauge are stored."""
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    histogram = metrics.add(name="huge").histogram
    histogram.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
    for at in range(2):
        histogram.data_points.add(
            time_unix_nano=AT_NS + at, count=2**32, sum=1.0, explicit_bounds=[1.0], bucket_counts=[2**32, 0]
        )
    metrics.add(name="sound").gauge.data_points.add(time_unix_nano=AT_NS, as_double=3.0)
    outcome = world.services.ingest()(_message(world, request.SerializeToString()))
    assert (outcome.observations, outcome.reason) == (2**32 + 1, "malformed_point")
    assert 'metric "huge": with it the series has more than 4294967296 observations' in outcome.detail
    assert _stored(world)[Series("sound")] == 3.0
