"""Columns of integers and floats as bytes: the alphabet of the compact chunk.

An unsigned column of n values is one width byte (0, 1, 2, 4 or 8) and n little-endian integers of that width;
width 0 means that all are 0. A signed column is the same after zigzag (0, -1, 1, -2 -> 0, 1, 2, 3). A float column
is n little-endian IEEE 754 doubles, none NaN or infinite; -0.0 is read as 0.0. A count is a LEB128 varint of at most
8 bytes.
"""

from __future__ import annotations

import itertools

import numpy as np

from ..bins import Floats, Ints
from ..errors import PermanentError

_MAX_VARINT_BYTES = 8
_WIDTHS = ((0, 0), (1, 0xFF), (2, 0xFFFF), (4, 0xFFFFFFFF), (8, 0x7FFFFFFFFFFFFFFF))


class Writer:
    """Appends columns to a growing buffer."""

    def __init__(self) -> None:
        self._out = bytearray()
        self._cuts: list[int] = []

    def __len__(self) -> int:
        return len(self._out)

    def cut(self) -> None:
        """Say that what follows looks different from what was appended until now."""
        self._cuts.append(len(self._out))

    def varint(self, number: int) -> None:
        """A count, 0 <= number < 2**56."""
        while number > 0x7F:
            self._out.append(number & 0x7F | 0x80)
            number >>= 7
        self._out.append(number)

    def raw(self, data: bytes) -> None:
        """Bytes as they are."""
        self._out += data

    def blob(self, data: bytes) -> None:
        """A length and that many bytes."""
        self.varint(len(data))
        self._out += data

    def unsigned(self, column: Ints) -> None:
        """A column of integers 0 .. 2**63 - 1, in the narrowest width that holds them."""
        top = int(column.max()) if len(column) else 0
        width = next(width for width, limit in _WIDTHS if top <= limit)
        self._out.append(width)
        if width:
            self._out += column.astype(f"<u{width}").tobytes()

    def signed(self, column: Ints) -> None:
        """A column of integers -2**62 .. 2**62 - 1."""
        self.unsigned((column << 1) ^ (column >> 63))

    def floats(self, column: Floats) -> None:
        """A column of doubles, bit for bit."""
        self._out += column.astype("<f8").tobytes()

    def done(self) -> bytes:
        """Everything appended."""
        return bytes(self._out)

    def pieces(self) -> list[bytes]:
        """Everything appended, from cut to cut."""
        whole = memoryview(self._out)
        return [bytes(whole[begin:end]) for begin, end in itertools.pairwise([0, *self._cuts, len(whole)])]


class Reader:
    """Reads columns back; anything but what ``Writer`` can have written is a ``malformed_chunk``."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, length: int) -> bytes:
        """The next ``length`` bytes."""
        end = self._at + length
        if length < 0 or end > len(self._data):
            raise malformed("ends early")
        piece = self._data[self._at : end]
        self._at = end
        return piece

    def varint(self) -> int:
        """A count, 0 <= number < 2**56."""
        number = 0
        for length, byte in enumerate(self._data[self._at : self._at + _MAX_VARINT_BYTES], start=1):
            number |= (byte & 0x7F) << 7 * (length - 1)
            if byte < 0x80:
                self._at += length
                return number
        raise malformed("a count ends early or is longer than 8 bytes")

    def count(self, limit: int) -> int:
        """A count of at most ``limit``."""
        number = self.varint()
        if number > limit:
            raise malformed(f"{number} items where {limit} are allowed")
        return number

    def blob(self) -> bytes:
        """A length and that many bytes."""
        return self.take(self.varint())

    def string(self, length: int) -> str:
        """That many bytes of UTF-8."""
        try:
            return self.take(length).decode()
        except UnicodeDecodeError as error:
            raise malformed("a string is not UTF-8") from error

    def text(self) -> str:
        """A length and that many bytes of UTF-8."""
        return self.string(self.varint())

    def unsigned(self, length: int) -> Ints:
        """A column of ``length`` integers 0 .. 2**63 - 1, as int64."""
        width = self.take(1)[0]
        if width not in (0, 1, 2, 4, 8):
            raise malformed(f"a column is {width} bytes wide")
        if not width:
            return np.zeros(length, np.int64)
        column = np.frombuffer(self.take(width * length), f"<u{width}").astype(np.int64)
        if width == 8 and length and column.min() < 0:
            raise malformed("an integer is above 2**63 - 1")
        return column

    def signed(self, length: int) -> Ints:
        """A column of ``length`` signed integers, as int64."""
        column = self.unsigned(length)
        return (column >> 1) ^ -(column & 1)

    def floats(self, length: int) -> Floats:
        """A column of ``length`` finite doubles; -0.0 is read as 0.0, so that equal cells have equal bytes."""
        column = np.frombuffer(self.take(8 * length), "<f8")
        if not np.isfinite(column).all():
            raise malformed("a number is not finite")
        return column + 0.0

    def end(self) -> None:
        """Nothing may be left."""
        if self._at != len(self._data):
            raise malformed(f"{len(self._data) - self._at} bytes are left over")


def differences(column: Ints, before: int = 0) -> Ints:
    """Each number less the one before it; the first, less ``before``."""
    steps = column.copy()
    steps[1:] -= column[:-1]
    steps[:1] -= before
    return steps


def malformed(detail: str) -> PermanentError:
    """The error of bytes that are no chunk."""
    return PermanentError("malformed_chunk", detail)


def too_large(detail: str) -> PermanentError:
    """The error of a chunk above the format's bounds."""
    return PermanentError("chunk_too_large", detail)
