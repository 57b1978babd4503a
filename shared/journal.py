"""The journal port: where a publisher keeps what it holds, so that another process can go on in its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from .cells import Observation

NO_LIMIT_US = 2**63 - 1
"""After every observation."""


class Encoded(NamedTuple):
    """One message that the bus has not accepted yet: its number, its bytes, how many observations it holds."""

    seq: int
    data: bytes
    observations: int


class Journal(Protocol):
    """Keeps what a publisher holds past a SIGKILL. No method raises; ``append`` and ``rotate`` are brief.

    A call of ``rotate`` ends a generation of appended observations; the call of ``keep`` after it says what became
    of them.
    """

    def append(self, observation: Observation) -> None:
        """Keep one observation."""
        ...

    def rotate(self) -> None:
        """Begin the next generation."""
        ...

    def keep(self, messages: Sequence[Encoded], next_seq: int, until_us: int) -> None:
        """The ended generation's observations up to ``until_us`` and all of older ones are in these messages."""
        ...

    def forget(self, seq: int) -> None:
        """The bus has accepted a message."""
        ...


@dataclass(frozen=True, slots=True)
class Left:
    """What an earlier process left to a publisher of the same writer and boot."""

    next_seq: int = 0
    messages: tuple[Encoded, ...] = ()
    observations: tuple[Observation, ...] = ()
