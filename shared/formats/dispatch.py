"""Which format a message has: its attributes say, and nothing is guessed from its bytes.

====================================== ==================================== ===========================
``ce-type``                            ``content-type``                     format
====================================== ==================================== ===========================
none                                   none, or ``application/json``        native JSON
none                                   ``application/vnd.ion.chunk``        compact chunk
``org.opentelemetry.otlp.metrics.v1``  ends in ``application/protobuf``     OTLP metrics
``org.opentelemetry.otlp.metrics.v1``  ends in ``application/json``         OTLP metrics, JSON
====================================== ==================================== ===========================

``content-encoding: gzip`` goes with each of them. Anything else is ``unknown_format``.
The receiver that goes with the Collector's exporter tells OTLP the same way:
https://github.com/open-telemetry/opentelemetry-collector-contrib/tree/main/receiver/googlecloudpubsubreceiver
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping

from ..bus import MAX_MESSAGE_BYTES
from ..errors import PermanentError
from ..series import Kind
from . import compact, native
from .columns import too_large
from .compact import Chunk, unweighed
from .otlp_labels import LabelRule
from .strict_json import malformed

CONTENT_TYPE_ATTRIBUTE = "content-type"
CONTENT_ENCODING_ATTRIBUTE = "content-encoding"
EVENT_TYPE_ATTRIBUTE = "ce-type"
OTLP_METRICS = "org.opentelemetry.otlp.metrics.v1"
MAX_INFLATED_BYTES = MAX_MESSAGE_BYTES
"""Compressed, a message may say no more than it could uncompressed."""
_GZIP = 31
"""zlib's name for gzip with the largest window."""


def decode(
    data: bytes,
    attributes: Mapping[str, str],
    kinds: Mapping[str, Kind],
    rule: LabelRule,
    weigh: Callable[[int], None] = unweighed,
) -> tuple[Chunk, PermanentError | None]:
    """The chunk that a message says; and where its format takes parts of a message, what of it was refused.

    ``weigh`` is told the message's inflated bytes before it is read, and may raise.

    Raises PermanentError: ``unknown_format``, ``chunk_too_large``, and those of the formats.
    """
    content_type = attributes.get(CONTENT_TYPE_ATTRIBUTE, "")
    event_type = attributes.get(EVENT_TYPE_ATTRIBUTE, "")
    plain = _plain(data, attributes.get(CONTENT_ENCODING_ATTRIBUTE, ""))
    weigh(len(plain))
    if event_type == OTLP_METRICS:
        return _decode_otlp(plain, content_type, rule)
    if not event_type and content_type in ("", native.CONTENT_TYPE):
        return native.decode_native(plain, kinds), None
    if not event_type and content_type == compact.CONTENT_TYPE:
        return compact.decode(plain, weigh=weigh), None
    raise _unknown(f"ce-type {event_type[:80]!r}, content-type {content_type[:80]!r}")


def _decode_otlp(data: bytes, content_type: str, rule: LabelRule) -> tuple[Chunk, PermanentError | None]:
    """Imports what reads OTLP at its first message: the others do without."""
    from . import otlp

    if content_type.endswith("application/protobuf"):
        return otlp.decode_protobuf(data, rule)
    if content_type.endswith("application/json"):
        return otlp.decode_json(data, rule)
    raise _unknown(f"OTLP of content-type {content_type[:80]!r}")


def _plain(data: bytes, encoding: str) -> bytes:
    if not encoding:
        return data
    if encoding != "gzip":
        raise _unknown(f"content-encoding {encoding[:80]!r}")
    inflater = zlib.decompressobj(_GZIP)
    try:
        plain = inflater.decompress(data, MAX_INFLATED_BYTES)
    except zlib.error as error:
        raise malformed("not gzip") from error
    if inflater.unconsumed_tail:
        raise too_large(f"inflates to more than {MAX_INFLATED_BYTES} bytes")
    if not inflater.eof or inflater.unused_data:
        raise malformed("the gzip stream does not end where the message does")
    return plain


def _unknown(detail: str) -> PermanentError:
    return PermanentError("unknown_format", detail)
