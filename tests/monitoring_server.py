"""A local server of Cloud Monitoring's gRPC interface: real messages, alignment, reduction, paging, delay, errors.

It holds what services measured, minute by minute, and shows a minute only once it is older than its metric's ingest
delay. Answers can be made to fail, by metric type.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

import grpc
import numpy as np
from google.api import distribution_pb2, metric_pb2  # type: ignore[import-untyped]  # it has no types
from google.cloud import monitoring_v3
from google.rpc import status_pb2  # type: ignore[import-untyped]  # it has no types

from shared.timeline import MINUTE_SECONDS

GROWTH = 1.4
FINITE_BUCKETS = 66
BOUNDS = tuple(GROWTH**power for power in range(FINITE_BUCKETS + 1))
"""Exponential buckets as Google's own latencies have them: scale 1, growth 1.4."""
_Reducer = monitoring_v3.Aggregation.Reducer
_Point: TypeAlias = tuple[tuple[tuple[str, str], ...], int, monitoring_v3.TypedValue]


@dataclass(frozen=True)
class Measured:
    """One series as it was measured: a number for each minute, or the values that a distribution holds."""

    metric_type: str
    labels: Mapping[str, str]
    minutes: Mapping[int, float | Sequence[float]]


@dataclass
class Script:
    """How the next ``times`` answers about a metric type fail with ``code``; with ``partial`` they say so inside."""

    code: grpc.StatusCode
    times: int = 1
    partial: bool = False


@dataclass
class MonitoringServer:
    """The service. ``delays`` are ingest delays in seconds by metric type; a type that is not in it is unknown."""

    clock: Callable[[], datetime]
    delays: dict[str, int]
    page_points: int = 7
    measured: list[Measured] = field(default_factory=list)
    scripts: dict[str, Script] = field(default_factory=dict)
    requests: list[monitoring_v3.ListTimeSeriesRequest] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    host: str = ""

    def __enter__(self) -> MonitoringServer:
        self._pool = ThreadPoolExecutor(4)
        self._server = grpc.server(self._pool)
        calls = {
            "ListTimeSeries": grpc.unary_unary_rpc_method_handler(
                self._list,
                request_deserializer=monitoring_v3.ListTimeSeriesRequest.deserialize,
                response_serializer=monitoring_v3.ListTimeSeriesResponse.serialize,
            ),
            "GetMetricDescriptor": grpc.unary_unary_rpc_method_handler(
                self._describe,
                request_deserializer=monitoring_v3.GetMetricDescriptorRequest.deserialize,
                response_serializer=metric_pb2.MetricDescriptor.SerializeToString,
            ),
        }
        handler = grpc.method_handlers_generic_handler("google.monitoring.v3.MetricService", calls)
        self._server.add_generic_rpc_handlers((handler,))
        self.host = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()
        self._pool.shutdown()

    def measure(self, metric_type: str, minutes: Mapping[int, float | Sequence[float]], **labels: str) -> None:
        """Add a series; a label is called ``resource_location`` or ``metric_state``."""
        self.measured.append(
            Measured(metric_type, {name.replace("_", ".", 1): labels[name] for name in labels}, minutes)
        )

    def _describe(
        self, request: monitoring_v3.GetMetricDescriptorRequest, context: grpc.ServicerContext
    ) -> metric_pb2.MetricDescriptor:
        metric_type = request.name.split("/metricDescriptors/", 1)[1]
        if metric_type not in self.delays:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Could not find descriptor for metric '{metric_type}'.")
        found = metric_pb2.MetricDescriptor(type=metric_type)
        found.metadata.ingest_delay.FromSeconds(self.delays[metric_type])
        return found

    def _list(
        self, request: monitoring_v3.ListTimeSeriesRequest, context: grpc.ServicerContext
    ) -> monitoring_v3.ListTimeSeriesResponse:
        matched = re.match(r'metric\.type = "([^"]+)"', request.filter)
        metric_type = matched[1] if matched else ""
        _check(request, context)
        if metric_type not in self.delays:
            context.abort(grpc.StatusCode.NOT_FOUND, f'Cannot find metric(s) that match type = "{metric_type}".')
        script = self.scripts.get(metric_type)
        if script is not None and script.times:
            script.times -= 1
            if not script.partial:
                context.abort(script.code, "made to fail")
            error = status_pb2.Status(code=script.code.value[0], message="made to lack something")
            return monitoring_v3.ListTimeSeriesResponse(execution_errors=[error])
        self.requests.append(request)
        return self._page(metric_type, list(self._answer(metric_type, request)), request)

    def _page(
        self, metric_type: str, points: list[_Point], request: monitoring_v3.ListTimeSeriesRequest
    ) -> monitoring_v3.ListTimeSeriesResponse:
        """A page of at most ``page_points`` points, so that a series may begin on one page and end on another."""
        first = int(request.page_token or 0)
        shown = points[first : first + min(self.page_points, request.page_size)]
        after = first + len(shown)
        self.asked.update(f"{metric_type} {labels} {minute}" for labels, minute, _ in shown)
        return monitoring_v3.ListTimeSeriesResponse(
            time_series=[
                _time_series(labels, [*more]) for labels, more in itertools.groupby(shown, lambda one: one[0])
            ],
            next_page_token=str(after) if after < len(points) else "",
        )

    def _answer(self, metric_type: str, request: monitoring_v3.ListTimeSeriesRequest) -> Iterator[_Point]:
        """Every group's points that are visible by now, both ends included, the newest first, as the service does."""
        interval = monitoring_v3.TimeInterval.pb(request.interval)
        newest = min(interval.end_time.seconds, int(self.clock().timestamp()) - self.delays[metric_type])
        groups: dict[tuple[tuple[str, str], ...], list[Measured]] = {}
        kept = [one.replace(".labels.", ".") for one in request.aggregation.group_by_fields]
        for one in self.measured:
            if one.metric_type == metric_type:
                labels = tuple((name, one.labels[name]) for name in kept if name in one.labels)
                groups.setdefault(labels, []).append(one)
        for labels, members in groups.items():
            minutes = {minute for one in members for minute in one.minutes}
            for minute in sorted(minutes, reverse=True):
                if interval.start_time.seconds <= minute <= newest:
                    values = [one.minutes[minute] for one in members if minute in one.minutes]
                    yield labels, minute, _reduced(values, request.aggregation.cross_series_reducer)


def _check(request: monitoring_v3.ListTimeSeriesRequest, context: grpc.ServicerContext) -> None:
    """Refuse what the service refuses, and what would not give one point for each minute."""
    raw: Any = monitoring_v3.ListTimeSeriesRequest.pb(request)
    times = raw.interval.start_time.seconds, raw.interval.end_time.seconds
    whole = all(time % MINUTE_SECONDS == 0 for time in times) and times[0] < times[1]
    if not whole or raw.aggregation.alignment_period.seconds != MINUTE_SECONDS:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"not whole minutes: {times}")


def _reduced(
    values: Sequence[float | Sequence[float]], reducer: monitoring_v3.Aggregation.Reducer
) -> monitoring_v3.TypedValue:
    """What the reducer makes of one minute's values; of distributions what they hold together, or its mean."""
    held = [number for one in values for number in ([one] if isinstance(one, float) else one)]
    if all(isinstance(one, float) for one in values):
        return monitoring_v3.TypedValue(double_value=_NUMBERS[reducer](held))
    if reducer == _Reducer.REDUCE_MEAN:
        return monitoring_v3.TypedValue(double_value=float(np.mean(held)))
    counts = np.bincount(np.searchsorted(BOUNDS, held, side="right"), minlength=len(BOUNDS) + 1)
    return monitoring_v3.TypedValue(
        distribution_value=distribution_pb2.Distribution(
            count=len(held),
            mean=float(np.mean(held)) if held else 0.0,
            bucket_options=distribution_pb2.Distribution.BucketOptions(
                exponential_buckets=distribution_pb2.Distribution.BucketOptions.Exponential(
                    num_finite_buckets=FINITE_BUCKETS, growth_factor=GROWTH, scale=1.0
                )
            ),
            bucket_counts=np.trim_zeros(counts, "b").tolist(),
        )
    )


_NUMBERS: Mapping[int, Callable[[list[float]], float]] = {
    _Reducer.REDUCE_SUM: math.fsum,
    _Reducer.REDUCE_MEAN: lambda numbers: float(np.mean(numbers)),
    _Reducer.REDUCE_MAX: max,
    _Reducer.REDUCE_MIN: min,
}


def _time_series(labels: tuple[tuple[str, str], ...], points: Sequence[_Point]) -> monitoring_v3.TimeSeries:
    found = monitoring_v3.TimeSeries()
    raw: Any = monitoring_v3.TimeSeries.pb(found)
    for name, value in labels:
        kind, _, label = name.partition(".")
        getattr(raw, kind).labels[label] = value
    for _, minute, value in points:
        point = raw.points.add()
        point.interval.end_time.seconds = minute
        point.value.CopyFrom(monitoring_v3.TypedValue.pb(value))
    return found
