"""Message identity: where a message's chunks are stored is a pure function of the message.

That is why ingest is exactly once without reading anything: a redelivery, a parallel duplicate, a publisher's retry
and a copy from the dead-letter topic all write the same bytes under the same keys.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from .errors import PermanentError

MAX_WRITER_BYTES = 200
SEQS_PER_DOCUMENT = 12
"""Chunks of at most 64 KiB, so that a document stays under 1 MiB; 12 x 15 s is three minutes of one writer."""


@dataclass(frozen=True, slots=True)
class Identity:
    """``wid`` is 16 hex digits of the writer and its boot (of the message itself when it names none).

    ``document`` is the id below ``buckets/{shard}-{minute}/writers``, ``key`` the chunk's key in its map ``c``.
    """

    wid: str
    document: str
    key: str

    @property
    def writer(self) -> int:
        """``wid`` as the unsigned 64-bit number that cells carry."""
        return int(self.wid, 16)


def identify(data: bytes, writer: str = "", boot: str = "", seq: int | None = None) -> Identity:
    """The identity of a message with these bytes; ``seq`` None when its writer keeps no count.

    Two messages of one writer with equal ``seq`` and different bytes have different keys: both are kept. Two byte
    for byte equal messages without a writer are one message.
    """
    digest = hashlib.sha256(data).hexdigest()
    if seq is None:
        wid = _wid("message", digest)
        return Identity(wid, f"{wid}~0", f"s0_{digest[:8]}")
    wid = _wid("writer", writer, boot)
    return Identity(wid, f"{wid}~{seq // SEQS_PER_DOCUMENT}", f"s{seq}_{digest[:8]}")


def rejection(data: bytes) -> Identity:
    """The identity of the record that a message was rejected: apart from the message's own chunks."""
    digest = hashlib.sha256(data).hexdigest()
    wid = _wid("rejection", digest)
    return Identity(wid, f"{wid}~0", f"s0_{digest[:8]}")


def _wid(*parts: str) -> str:
    """16 hex digits of strings; lengths keep ("a", "bc") and ("ab", "c") apart."""
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def check_writer(writer: str, boot: str = "") -> None:
    """Raises PermanentError ``invalid_writer`` for a name or boot id that no message can carry."""
    if max(_utf8_bytes(writer), _utf8_bytes(boot)) > MAX_WRITER_BYTES:
        raise PermanentError("invalid_writer", f"writer and boot have at most {MAX_WRITER_BYTES} bytes")


def _utf8_bytes(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise PermanentError("invalid_writer", "not UTF-8") from error
