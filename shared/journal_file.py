"""The journal: the observations that are in no message yet, in files that outlive their process.

Recording copies a few bytes into a mapped file: no system call, no wait for a disk, and yet what was copied is the
kernel's, so SIGKILL loses none of it. A power cut may lose what was recorded since the last message. A file grows by
parts of 128 KiB, about 4,000 observations, whose room is claimed by writing zeros: a full disk is an error there,
never a fault at the mapping.

A part is records from its start: length and CRC-32 of a body (both 32 bits, little-endian), then the body. A body is
an observation (kind 8, series number 32, Unix microseconds 64, value a double), or a byte 255, a series number and
the series as JSON. A length of 0 or a wrong CRC ends a part.
"""

from __future__ import annotations

import itertools
import json
import mmap
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import Struct, error

from .cells import Observation
from .errors import PermanentError
from .series import Kind, Series, check_series

PART_BYTES = 128 * 1024
_HEAD = Struct("<II")
_OBSERVATION = Struct("<BIqd")
_SERIES = Struct("<BI")
_IS_SERIES = 255


class Disk:
    """The calls that change the disk. Each raises OSError."""

    def create(self, path: Path) -> int:
        """A new file for reading and writing, of this user alone; its descriptor."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, file: int, data: bytes, offset: int) -> None:
        """Write all of ``data`` at ``offset``."""
        while data:
            written = os.pwrite(file, data, offset)
            data, offset = data[written:], offset + written

    def sync(self, file: int) -> None:
        """Wait until a file, or a folder's entries, are safe from a power cut."""
        os.fsync(file)

    def rename(self, source: Path, target: Path) -> None:
        """Give a file another name, in one step."""
        source.rename(target)

    def remove(self, path: Path) -> None:
        """Remove a file; one that is gone is no error."""
        path.unlink(missing_ok=True)


class Segment:
    """One generation's journal. ``room`` says whether so many bytes more are allowed."""

    def __init__(self, path: Path, disk: Disk, room: Callable[[int], bool]) -> None:
        """Raises OSError, and leaves no file, when there is no room for the first part."""
        self._disk = disk
        self._room = room
        self._numbers: dict[Series, int] = {}
        self._next_number = itertools.count()
        self._part: mmap.mmap | None = None
        self._parts = 0
        self._end = 0
        self._file = disk.create(path)
        try:
            self._grow()
        except OSError:
            self.close()
            disk.remove(path)
            raise

    def append(self, observation: Observation) -> bool:
        """Keep an observation; False when there is no room: it is not kept, nor will any later one be."""
        if self._part is None:
            return False
        try:
            number = self._numbers.get(observation.series)
            if number is None:
                number = self._define(observation.series)
            self._write(_OBSERVATION.pack(observation.kind, number, observation.at_us, observation.value))
        except OSError:
            self._part = None
            return False
        return True

    def close(self) -> None:
        """Let go of the file; what is in it stays."""
        self._part = None
        file, self._file = self._file, -1  # first: a child forked in the midst of this must not close it again
        if file >= 0:
            os.close(file)

    def _define(self, series: Series) -> int:
        number = next(self._next_number)
        text = json.dumps([series.metric, series.labels], ensure_ascii=False)
        self._write(_SERIES.pack(_IS_SERIES, number) + text.encode())
        self._numbers[series] = number
        return number

    def _write(self, body: bytes) -> None:
        size = _HEAD.size + len(body)
        if self._end + size > PART_BYTES:
            self._grow()
        part, start = self._part, self._end
        self._end = start + size  # first, for whoever records in the midst of this
        if part is not None:
            part[start : start + size] = _HEAD.pack(len(body), zlib.crc32(body)) + body

    def _grow(self) -> None:
        if not self._room(PART_BYTES):
            raise OSError("the spool is full")
        offset = self._parts * PART_BYTES
        self._disk.write(self._file, bytes(PART_BYTES), offset)
        self._part = mmap.mmap(self._file, PART_BYTES, offset=offset)
        self._parts += 1
        self._end = 0


def read_segment(data: bytes) -> list[Observation]:
    """The observations in a journal, in order. What was not written to its end, or is damaged, is left out."""
    names: dict[int, Series] = {}
    found: list[Observation] = []
    for start in range(0, len(data), PART_BYTES):
        for body in _bodies(data[start : start + PART_BYTES]):
            try:
                if body[0] == _IS_SERIES:
                    names[_SERIES.unpack_from(body)[1]] = _read_series(body[_SERIES.size :])
                else:
                    kind, number, at_us, value = _OBSERVATION.unpack(body)
                    found.append(Observation(names[number], Kind(kind), at_us, value))
            except (PermanentError, KeyError, TypeError, ValueError, error):
                continue
    return found


def _bodies(part: bytes) -> Iterator[bytes]:
    at = 0
    while at + _HEAD.size <= len(part):
        length, crc = _HEAD.unpack_from(part, at)
        at += _HEAD.size
        body = part[at : at + length]
        if not length or len(body) < length or zlib.crc32(body) != crc:
            return
        yield body
        at += length


def _read_series(text: bytes) -> Series:
    metric, labels = json.loads(text)
    return check_series(Series(metric, tuple((name, value) for name, value in labels)))
