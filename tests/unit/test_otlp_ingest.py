"""OTLP through ingest: counted once, kept in part where a part is refused, and dead-lettered whole."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from opentelemetry.metrics import Meter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from shared import buckets
from shared.adapters.sqlite_store import SqliteStore
from shared.bus import REASON_ATTRIBUTE, Message
from shared.dead_letters import REJECTED_METRIC
from shared.monitoring_config import MonitoringConfig
from shared.rollups import read_live
from shared.series import Series
from shared.wiring import Services
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


def _with_rule(world: World, **rule: object) -> Services:
    """The same deployment under a configuration with another rule of labels."""
    return replace(
        world.services, config=MonitoringConfig.from_dict({**MonitoringConfig().to_dict(), "otlp_labels": rule})
    )


def test_the_rule_of_labels_is_the_configurations(world: World) -> None:
    """Ingest reads OTLP by the rule in the configuration."""
    services = _with_rule(world, resource={"instance": ["service.instance.id"]})
    services.ingest()(_message(world, export(_record).SerializeToString()))
    assert Series("requests", (("instance", "web-7"),)) in _stored(world)


@pytest.mark.parametrize("chunk_bytes", [buckets.MAX_CHUNK_BYTES, 400], ids=["one chunk", "in parts"])
@pytest.mark.parametrize("back", [False, True], ids=["fewer labels", "more labels"])
def test_what_comes_again_under_another_rule_counts_once(
    world: World, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int, back: bool
) -> None:
    """A redelivery after a deploy that drops a label, or names one, leaves each point once, under the new rule."""
    monkeypatch.setattr(buckets, "MAX_CHUNK_BYTES", chunk_bytes)

    def record(meter: Meter) -> None:
        for at in range(40):
            meter.create_counter("clicks").add(1, {"user.id": str(uuid.uuid5(uuid.NAMESPACE_DNS, str(at)))})

    message = _message(world, export(record).SerializeToString())
    rules = [world.services, _with_rule(world, dropped=["user.id"])]
    first, second = reversed(rules) if back else rules
    first.ingest()(message)
    second.ingest()(message)
    found = {name: value for name, value in _stored(world).items() if name.metric == "clicks"}
    assert (len(found), sum(found.values())) == (40 if back else 1, 40.0)


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
