"""Labels of OTLP: which attributes become which labels, by the default rule and by others."""

from __future__ import annotations

import math
from typing import Any

import pytest
from opentelemetry.metrics import Meter
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.metrics.v1.metrics_pb2 import Gauge, Metric, NumberDataPoint

from shared.errors import PermanentError
from shared.formats.otlp import decode_protobuf
from shared.formats.otlp_labels import DEFAULT_RULE, LabelRule, text_of
from shared.series import MAX_LABEL_VALUE_BYTES, MAX_LABELS, Series
from tests.otel import AT_NS, RESOURCE, export, request_of


def _labels_of_export(rule: LabelRule, attributes: dict[str, Any]) -> dict[str, str]:
    """The labels of a point that the SDK exports with some attributes."""

    def record(meter: Meter) -> None:
        meter.create_gauge("level").set(1, attributes)

    chunk, refused = decode_protobuf(export(record).SerializeToString(), rule)
    assert refused is None
    (series,) = chunk.sections[0].cells.series
    return dict(series.labels)


def _refusal(metric: str, *attributes: KeyValue) -> PermanentError | None:
    """Why a point of these attributes is left out beside a sound one, if it is."""
    both: list[tuple[str, tuple[KeyValue, ...]]] = [("ok", ()), (metric, attributes)]
    metrics = [
        Metric(name=name, gauge=Gauge(data_points=[NumberDataPoint(time_unix_nano=AT_NS, as_int=1, attributes=labels)]))
        for name, labels in both
    ]
    chunk, refused = decode_protobuf(request_of(*metrics).SerializeToString(), DEFAULT_RULE)
    assert Series("ok") in chunk.sections[0].cells.series
    return refused


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def test_the_default_rule_takes_service_region_and_what_the_point_says() -> None:
    """Of the resource two attributes, of the scope none, of the point all, with underscores for dots."""
    labels = _labels_of_export(DEFAULT_RULE, {"http.route": "/a", "cache.level.name": "l1", "warm": True})
    assert labels == {
        "service": RESOURCE["service.name"],
        "region": RESOURCE["cloud.region"],
        "http_route": "/a",
        "cache_level_name": "l1",
        "warm": "true",
    }


def test_a_rule_chooses_names_and_drops() -> None:
    """A rule lists attributes of resource and scope, renames those of points and drops some."""
    rule = LabelRule(
        resource={"instance": ("service.instance.id",)},
        scope={"library": ("otel.scope.name",), "version": ("otel.scope.version",), "layer": ("layer",), "no": ("no",)},
        point={"endpoint": ("http.route",)},
        dropped=("user.id",),
    )
    labels = _labels_of_export(rule, {"http.route": "/a", "user.id": "u-1", "other.one": "x"})
    assert labels == {
        "instance": "web-7",
        "library": "shop.cart",
        "version": "1.4",
        "layer": "web",
        "endpoint": "/a",
        "other_one": "x",
    }


def test_the_nearest_attribute_counts() -> None:
    """Where labels meet, the point's counts before the scope's, and that before the resource's."""
    rule = LabelRule(
        resource={"a": ("service.name",), "b": ("service.name",), "c": ("service.name",)},
        scope={"b": ("layer",), "c": ("layer",)},
    )
    assert _labels_of_export(rule, {"c": "point"}) == {"a": "checkout", "b": "web", "c": "point"}


def test_the_first_attribute_that_is_there_counts() -> None:
    """A label may have an attribute's old name to fall back to."""
    names = {"env": ("deployment.environment.name", "service.name", "cloud.region")}
    assert _labels_of_export(LabelRule(resource=names), {}) == {"env": "checkout"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (AnyValue(string_value="x"), "x"),
        (AnyValue(string_value=""), ""),
        (AnyValue(bool_value=False), "false"),
        (AnyValue(int_value=-(2**63)), "-9223372036854775808"),
        (AnyValue(int_value=0), "0"),
        (AnyValue(double_value=0.1), "0.1"),
        (AnyValue(double_value=2.0), "2.0"),
        (AnyValue(double_value=1e300), "1e+300"),
        (AnyValue(double_value=math.nan), "NaN"),
        (AnyValue(double_value=-math.inf), "-Infinity"),
        (AnyValue(), None),
        (AnyValue(bytes_value=b"x"), None),
        (AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1)])), None),
        (AnyValue(kvlist_value=KeyValueList()), None),
    ],
)
def test_values_become_text(value: AnyValue, text: str | None) -> None:
    """Scalars have one text each; arrays, maps, bytes and nothing have none."""
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("metric", "attributes", "problem"),
    [
        ("m", [_text("a.b", "1"), _text("a_b", "2")], "two attributes of 'm' become one label"),
        ("m", [_text("a", "1"), _text("a", "1")], "two attributes of 'm' become one label"),
        ("m", [_text(f"k{at}", "v") for at in range(MAX_LABELS + 1)], "at most 16 labels"),
        ("m", [_text("k", "v" * (MAX_LABEL_VALUE_BYTES + 1))], "is empty or too long"),
        ("m", [_text("", "v")], "is empty or too long"),
        ("", [], "a metric's name has 1 to 200 bytes"),
        ("m" * 201, [], "a metric's name has 1 to 200 bytes"),
    ],
)
def test_a_series_beyond_the_limits_is_left_out_not_cut(metric: str, attributes: list[KeyValue], problem: str) -> None:
    """Too many, too long and ambiguous labels are refused by name; nothing is dropped in silence."""
    refused = _refusal(metric, *attributes)
    assert refused is not None
    assert refused.reason == "invalid_series"
    assert problem in refused.detail


def test_as_many_labels_as_a_series_may_have() -> None:
    """The greatest number of labels, and the longest value, are kept."""
    attributes = [_text(f"k{at}", "v" * MAX_LABEL_VALUE_BYTES) for at in range(MAX_LABELS)]
    assert _refusal("m", *attributes) is None
