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


class NoJournal:
    """The journal of a process whose spool cannot be opened: it keeps nothing, and counts that in ``unspooled``."""

    def __init__(self) -> None:
        self.unspooled = 0

    def append(self, _: Observation) -> None:
        """One more that SIGKILL would lose."""
        self.unspooled += 1

    def rotate(self) -> None:
        """Nothing ends."""

    def keep(self, _: Sequence[Encoded], __: int, ___: int) -> None:
        """What is not there need not be said to be in messages."""

    def forget(self, _: int) -> None:
        """Nor be removed."""

    def release(self, *, empty: bool) -> None:
        """There is nothing to let go of."""


@dataclass(frozen=True, slots=True)
class Left:
    """What an earlier process left to a publisher of the same writer and boot."""

    next_seq: int = 0
    messages: tuple[Encoded, ...] = ()
    observations: tuple[Observation, ...] = ()
