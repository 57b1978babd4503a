"""Large messages take turns: as many at once as an instance takes requests would need more memory than it has.

Reading a message takes up to some 25 times its inflated bytes, and of the largest 200 MB. Small ones never wait.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from .errors import TransientError

LARGE_BYTES = 256 * 1024
"""Inflated. Larger messages take turns; those of a publisher with thousands of series are smaller."""
WAIT_SECONDS = 20.0
"""How long a message waits for its turn, well below the 60 s within which it must be acknowledged."""

_MALLOC_OPTIONS = {-8: 1, -3: LARGE_BYTES, -1: LARGE_BYTES}
"""M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD of glibc's malloc.h."""

_turn = Lock()


def give_memory_back() -> None:
    """Have glibc return freed memory to the system, and keep one heap for all threads; elsewhere nothing happens.

    Each thread's heap would else keep what the largest message took there. To be called before threads start.
    """
    with contextlib.suppress(AttributeError):
        for option, value in _MALLOC_OPTIONS.items():
            ctypes.CDLL(None).mallopt(option, value)


@contextmanager
def in_turn() -> Iterator[Callable[[int], None]]:
    """Gives a function that is told a message's inflated bytes: from then on, a large one is the only one.

    It raises TransientError ``too_many_large_messages`` where that takes too long.
    """
    held = False

    def weigh(size_bytes: int) -> None:
        nonlocal held
        if held or size_bytes <= LARGE_BYTES:
            return
        if not _turn.acquire(timeout=WAIT_SECONDS):
            raise TransientError("too_many_large_messages", f"{size_bytes} bytes, after {WAIT_SECONDS:g} s")
        held = True
        gc.collect()  # the web framework leaves requests in cycles, bodies and all

    try:
        yield weigh
    finally:
        if held:
            _turn.release()
