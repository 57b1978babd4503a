"""The owner's file of a spool: whose files they are, whether it lives, and how far it has come.

28 bytes, the commit: generation and time in microseconds (both 64 bits, signed), next sequence number (64 bits), all
little-endian, and their CRC-32. Then writer and boot as JSON. The process holds the file locked (``flock``) while it
lives; the kernel lets go of it however it ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from struct import Struct, error

from .journal import NO_LIMIT_US

_COMMIT = Struct("<qqQ")
_CRC = Struct("<I")
_HEAD_BYTES = _COMMIT.size + _CRC.size
_NOTHING_YET = -1


@dataclass(frozen=True, slots=True)
class Commit:
    """What a process has in messages: generations below ``generation``, and of that one all up to ``until_us``."""

    generation: int = _NOTHING_YET
    until_us: int = NO_LIMIT_US
    next_seq: int = 0

    def to_bytes(self) -> bytes:
        """28 bytes with a checksum."""
        raw = _COMMIT.pack(self.generation, self.until_us, self.next_seq)
        return raw + _CRC.pack(zlib.crc32(raw))


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose files they are, and how far it had come."""

    writer: str
    boot: str
    commit: Commit

    def to_bytes(self) -> bytes:
        """The commit, then the names as JSON."""
        return self.commit.to_bytes() + json.dumps([self.writer, self.boot], ensure_ascii=False).encode()


def lock_file(path: Path) -> int | None:
    """The descriptor of a file that nobody holds locked, locked; None when it is another's, or gone."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file).st_nlink:
            return file
    except OSError:
        pass
    os.close(file)
    return None


def read_owner(file: int) -> Owner | None:
    """Whose file it is; None when it is damaged."""
    try:
        raw = os.pread(file, 4096, 0)
        commit = Commit(*_COMMIT.unpack_from(raw))
        writer, boot = json.loads(raw[_HEAD_BYTES:])
        return Owner(writer, boot, commit) if raw[:_HEAD_BYTES] == commit.to_bytes() else None
    except (OSError, TypeError, ValueError, error):
        return None
