"""OTLP's JSON: protobuf's JSON with numbers for enums, decimal strings for 64-bit integers and hex for trace ids.

Read strictly as JSON (UTF-8, no duplicate keys, no NaN literals), leniently as OTLP asks: unknown keys are ignored.
Exemplars, which hold the trace ids, are not read.
Source: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from .strict_json import MAX_QUOTED, malformed, parse

MAX_DEPTH = 50
"""Of messages in messages. A point lies 6 deep and its attributes' values 8; deeper are only nested attributes."""


def request_of_json(data: bytes) -> ExportMetricsServiceRequest:
    """The request that some JSON says. Raises PermanentError: ``malformed_message``, ``chunk_too_large``."""
    message = parse(data)
    try:
        if b"\\u" in data:
            json.dumps(message, ensure_ascii=False).encode()  # lone surrogates, on which protobuf's reader trips
        _drop_exemplars(message)
        return ParseDict(
            message, ExportMetricsServiceRequest(), ignore_unknown_fields=True, max_recursion_depth=MAX_DEPTH
        )
    except RecursionError as error:
        raise malformed("nested too deeply") from error
    except (ParseError, ValueError, TypeError, AttributeError, ArithmeticError, LookupError) as error:
        raise malformed(f"not OTLP: {str(error)[:MAX_QUOTED]}") from error


def _drop_exemplars(value: Any) -> None:
    """Remove every list of exemplars below a value."""
    if isinstance(value, dict):
        value.pop("exemplars", None)
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            if isinstance(one, dict | list):
                _drop_exemplars(one)
