"""Fields as Firestore's protobuf values, and back. Times are cut to microseconds, which is all that Firestore keeps."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from google.cloud.firestore_v1 import types
from google.protobuf.timestamp_pb2 import Timestamp

from ..store import Document, Fields
from ..timeline import US_PER_SECOND, from_us, to_us

# The raw classes below the client's wrappers, which are many times slower to fill and to read.
RawDocument: Any = types.Document.pb()
_Value: Any = types.Value.pb()
_MapValue: Any = types.MapValue.pb()
_ArrayValue: Any = types.ArrayValue.pb()


def to_timestamp(instant: datetime) -> Timestamp:
    """The exact timestamp of an aware datetime."""
    seconds, micros = divmod(to_us(instant), US_PER_SECOND)
    return Timestamp(seconds=seconds, nanos=micros * 1000)


def from_timestamp(timestamp: Any) -> datetime:
    """The aware UTC datetime of a raw timestamp."""
    return from_us(timestamp.seconds * US_PER_SECOND + timestamp.nanos // 1000)


def encode_document(name: str, fields: Fields) -> Any:
    """A raw document with its full resource name, for checked fields (see ``limits``)."""
    return RawDocument(name=name, fields={key: _encode(value) for key, value in fields.items()})


def decode_document(path: str, document: Any) -> Document:
    """The document at ``path`` from its raw form."""
    fields = {key: _decode(value) for key, value in document.fields.items()}
    return Document(path, fields, from_timestamp(document.update_time))


def _encode(value: Any) -> Any:
    if isinstance(value, dict):
        return _Value(map_value=_MapValue(fields={key: _encode(inner) for key, inner in value.items()}))
    if isinstance(value, list):
        return _Value(array_value=_ArrayValue(values=[_encode(inner) for inner in value]))
    return _encode_scalar(value)


def _encode_scalar(value: Any) -> Any:
    if value is None:
        return _Value(null_value=0)
    if isinstance(value, bool):
        return _Value(boolean_value=value)
    if isinstance(value, int):
        return _Value(integer_value=value)
    if isinstance(value, float):
        return _Value(double_value=value)
    if isinstance(value, str):
        return _Value(string_value=value)
    if isinstance(value, bytes):
        return _Value(bytes_value=value)
    return _Value(timestamp_value=to_timestamp(value))


def _decode(value: Any) -> Any:
    kind = value.WhichOneof("value_type")
    content = getattr(value, kind)
    if kind == "map_value":
        return {key: _decode(inner) for key, inner in content.fields.items()}
    if kind == "array_value":
        return [_decode(inner) for inner in content.values]
    if kind == "timestamp_value":
        return from_timestamp(content)
    return None if kind == "null_value" else content
