"""Writes the golden messages of OTLP, and what they say, next to this file.

``python -m tests.events.otlp_make``: the SDK's export, once as protobuf, plain and gzip, and once as JSON. Run it only
when what OTLP becomes is meant to change.
"""

from __future__ import annotations

import json
from pathlib import Path

from opentelemetry.metrics import Meter

from shared.formats.dispatch import decode
from shared.formats.otlp_labels import DEFAULT_RULE
from tests.events.make import plain
from tests.otel import AT_NS, TRACED, export, message_of

HERE = Path(__file__).parent
FORMS = {"protobuf": "otlp.pb", "protobuf+gzip": "otlp.pb.gz", "json": "otlp.json"}
EXPECTED = "otlp.expected.json"


def record(meter: Meter) -> None:
    """One instrument of every type that has a place here, with labels of every type and some exemplars."""
    meter.create_gauge("cache.hit_ratio").set(0.75, {"cache.level": "l1", "http.port": 8080, "warm": True})
    meter.create_counter("requests").add(7, {"http.route": "/process"})
    meter.create_counter("requests.bytes").add(1234.5)
    meter.create_up_down_counter("requests.active").add(-2)
    for value in (0, 3, 12, 12, 480.5, 12_000):
        meter.create_histogram("response_time").record(value, {"http.route": "/process"}, context=TRACED)
    for value in (0, 0.001, 1, 1.5, 1000):
        meter.create_histogram("fine.response_time").record(value)


def main() -> None:
    """Write the messages, and what they say."""
    request = export(record, at_ns=AT_NS + 123_456_789)
    for form, name in FORMS.items():
        data, _ = message_of(request, form)
        (HERE / name).write_bytes(data)
    data, attributes = message_of(request, "protobuf")
    chunk, _ = decode(data, attributes, {}, DEFAULT_RULE)
    (HERE / EXPECTED).write_text(json.dumps(plain(chunk), indent=1) + "\n")


if __name__ == "__main__":
    main()
