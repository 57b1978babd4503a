"""Cloud Monitoring's interface for reading: descriptors, and aligned time series from all pages of an answer.

The service aligns to whole minutes and reduces to the labels that are kept, so one point comes for each series and
minute, and only those are charged for. An answer with execution errors may lack something and is no answer. Failures
are named as ``google_calls`` says, ``partial_`` before it where an answer says so itself.
https://cloud.google.com/monitoring/api/ref_v3/rpc/google.monitoring.v3#google.monitoring.v3.MetricService
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import grpc
from google.cloud import monitoring_v3
from google.cloud.monitoring_v3.services.metric_service import MetricServiceClient
from google.cloud.monitoring_v3.services.metric_service.transports import MetricServiceGrpcTransport

from ..collector.port import Align, Distribution, Reduce, Request, TimeSeries, Value
from ..errors import PermanentError, TransientError
from ..timeline import MINUTE_SECONDS, from_minute
from .channels import emulator_channel, google_transport
from .google_calls import retries, translated
from .per_process import PerProcess

DEFAULT_DELAY_SECONDS = 240
"""For a metric whose descriptor does not say; the greatest delay of Google's own metrics."""
MAX_POINTS = 20_000
"""Of one answer; 15 minutes of 1,300 series."""
PAGE_SIZE = 5_000

_Aligner = monitoring_v3.Aggregation.Aligner
_Reducer = monitoring_v3.Aggregation.Reducer
_ALIGNERS = {
    Align.DELTA: _Aligner.ALIGN_DELTA,
    Align.MEAN: _Aligner.ALIGN_MEAN,
    Align.MAX: _Aligner.ALIGN_MAX,
    Align.MIN: _Aligner.ALIGN_MIN,
}
_REDUCERS = {
    Reduce.SUM: _Reducer.REDUCE_SUM,
    Reduce.MEAN: _Reducer.REDUCE_MEAN,
    Reduce.MAX: _Reducer.REDUCE_MAX,
    Reduce.MIN: _Reducer.REDUCE_MIN,
}


class CloudMonitoring:
    """One project's metrics. Connects on first use, never on construction; safe between threads.

    ``deadline_seconds`` bounds every page with its retries.
    """

    def __init__(self, project: str, emulator_host: str | None = None, *, deadline_seconds: float = 10.0) -> None:
        self._project = project
        self._deadline_seconds = deadline_seconds
        self._retry = retries(deadline_seconds)
        self._client = PerProcess(lambda: _connect(emulator_host))
        self._delays: dict[str, int] = {}

    def ingest_delay_seconds(self, metric_type: str) -> int:
        """See ``MonitoringApi``; asked for once in the life of an instance."""
        if metric_type not in self._delays:
            name = f"projects/{self._project}/metricDescriptors/{metric_type}"
            with translated():
                found = self._client.get().get_metric_descriptor(
                    name=name, retry=self._retry, timeout=self._deadline_seconds
                )
            seconds = int(_delay(found).total_seconds())
            self._delays[metric_type] = seconds or DEFAULT_DELAY_SECONDS
        return self._delays[metric_type]

    def list(self, request: Request) -> tuple[TimeSeries, ...]:
        """See ``MonitoringApi``."""
        found: list[TimeSeries] = []
        points = 0
        with translated():
            pager = self._client.get().list_time_series(
                self._request(request), retry=self._retry, timeout=self._deadline_seconds
            )
            for page in pager.pages:
                _check_whole(page)
                for one in page.time_series:
                    found.append(_series(one))
                    points += len(found[-1].points)
                if points > MAX_POINTS:
                    raise PermanentError("too_many_points", f"more than {MAX_POINTS} of {request.metric_type}")
        return tuple(found)

    def close(self) -> None:
        """Close the connection, if any; a later call connects again."""
        client = self._client.drop()
        if client is not None:
            client.transport.close()  # type: ignore[no-untyped-call]  # the library leaves it unannotated

    def _request(self, wanted: Request) -> monitoring_v3.ListTimeSeriesRequest:
        chosen = f'metric.type = "{wanted.metric_type}"'
        return monitoring_v3.ListTimeSeriesRequest(
            name=f"projects/{self._project}",
            filter=f"{chosen} AND ({wanted.filter})" if wanted.filter else chosen,
            interval=monitoring_v3.TimeInterval(start_time=from_minute(wanted.start), end_time=from_minute(wanted.end)),
            aggregation=monitoring_v3.Aggregation(
                alignment_period=timedelta(seconds=MINUTE_SECONDS),
                per_series_aligner=_ALIGNERS[wanted.align],
                cross_series_reducer=_REDUCERS[wanted.reduce],
                group_by_fields=[_field(one) for one in wanted.group_by],
            ),
            view=monitoring_v3.ListTimeSeriesRequest.TimeSeriesView.FULL,
            page_size=PAGE_SIZE,
        )


def _connect(emulator_host: str | None) -> MetricServiceClient:
    if emulator_host is None:
        return MetricServiceClient(transport=google_transport(MetricServiceGrpcTransport))
    return MetricServiceClient(transport=MetricServiceGrpcTransport(channel=emulator_channel(emulator_host)))


def _delay(descriptor: Any) -> timedelta:
    """The ingest delay that a metric's descriptor tells; zero where it tells none."""
    delay: timedelta | None = (
        descriptor.metadata.ingest_delay.ToTimedelta() if descriptor.HasField("metadata") else None
    )
    return delay or timedelta(0)


def _field(origin: str) -> str:
    """``resource.location`` as the service writes it."""
    kind, _, label = origin.partition(".")
    return f"{kind}.labels.{label}"


def _check_whole(page: Any) -> None:
    """Raises TransientError for an answer that says itself that it may lack something."""
    for error in page.execution_errors:
        name = next((one.name.lower() for one in grpc.StatusCode if one.value[0] == error.code), "unknown")
        raise TransientError(f"partial_{name}", error.message)


def _series(found: monitoring_v3.TimeSeries) -> TimeSeries:
    raw: Any = monitoring_v3.TimeSeries.pb(found)
    labels = {f"resource.{name}": value for name, value in raw.resource.labels.items()}
    labels |= {f"metric.{name}": value for name, value in raw.metric.labels.items()}
    return TimeSeries(labels, {one.interval.end_time.seconds: _value(one.value) for one in raw.points})


def _value(raw: Any) -> Value:
    match raw.WhichOneof("value"):
        case "distribution_value":
            return _distribution(raw.distribution_value)
        case "int64_value" | "double_value" | "bool_value" as kind:
            return float(getattr(raw, kind))
    raise PermanentError("unexpected_value", "expected a number or a distribution")


def _distribution(raw: Any) -> Distribution:
    has_range = raw.HasField("range")
    return Distribution(
        count=int(raw.count),
        mean=float(raw.mean),
        bounds=tuple(_bounds(raw.bucket_options)),
        counts=tuple(map(int, raw.bucket_counts)),
        low=float(raw.range.min) if has_range else None,
        high=float(raw.range.max) if has_range else None,
    )


def _bounds(options: Any) -> Sequence[float]:
    """The bounds of a distribution's buckets, however they are told; none where they are not."""
    match options.WhichOneof("options"):
        case "linear_buckets":
            linear = options.linear_buckets
            return [linear.offset + linear.width * at for at in range(linear.num_finite_buckets + 1)]
        case "exponential_buckets":
            powers = options.exponential_buckets
            return [powers.scale * powers.growth_factor**at for at in range(powers.num_finite_buckets + 1)]
        case "explicit_buckets":
            return list(options.explicit_buckets.bounds)
    return []
