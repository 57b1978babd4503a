"""One collection as a chart of its own, in every format that a chart has."""

from __future__ import annotations

from datetime import UTC, datetime

from .checks import newest_minute
from .configuration.models import Collection
from .line_charts import collection_chart
from .monitoring_config import MonitoringConfig
from .panels import LineChart
from .reader import Reader
from .render.caption import Caption
from .render.csv_page import chart_csv
from .render.json_page import chart_page_json
from .render.standalone import picture, render_svg
from .render.text_panels import chart_text
from .sources import Sources, read_sources
from .timeline import from_minute
from .urls import Format, View


def build_chart(
    config: MonitoringConfig, reader: Reader, collection: Collection, view: View, now: datetime
) -> tuple[LineChart, Caption]:
    """The chart of a collection over the view's range at ``now`` (aware UTC), and what a picture of it says beside."""
    sources, _ = read_sources(config, reader, view.start, view.end, now, view.region)
    return collection_chart(sources, collection), caption_of(sources)


def caption_of(sources: Sources) -> Caption:
    """What a picture of these sources says beside its lines."""
    newest = newest_minute(sources)
    return Caption(
        service=sources.config.settings.service,
        environment=sources.config.settings.environment,
        now=sources.now,
        data_to=None if newest is None else from_minute(newest),
        until=sources.until,
        range_seconds=sources.end - sources.start,
    )


def render_chart(chart: LineChart, caption: Caption, view: View) -> bytes:
    """A chart in the format of its view; only pictures know other zones than UTC."""
    match view.format:
        case Format.PNG:
            return picture(render_svg(chart, caption, view.zone, view.tz, view.theme))
        case Format.CSV:
            return chart_csv(chart, caption).encode()
        case Format.JSON:
            return chart_page_json(chart, caption).encode()
        case Format.TEXT:
            return chart_text(chart, caption, UTC).encode()
        case _:
            return render_svg(chart, caption, view.zone, view.tz, view.theme).encode()
