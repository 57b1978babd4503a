"""What queries gave over windows, remembered: a page that is drawn again asks the cells only for what is new.

A value is remembered under its window and query, with the serials of the minutes that it came from: when a minute was
read again, it is asked for again. Values of one window share the list of their groups with all windows that have the
same ones, so a thousand groups cost 8 kB a window. At most ``MAX_NUMBERS`` numbers are held, about 20 MB.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Hashable, ItemsView, Iterator, Mapping
from threading import Lock
from typing import NamedTuple, TypeVar, overload

from .series import Labels

T = TypeVar("T")

MAX_NUMBERS = 1_000_000
MAX_GROUPS = 500
"""Lists of groups that are shared."""
_OVERHEAD_NUMBERS = 30
"""What an entry costs besides its numbers."""


class Window(NamedTuple):
    """(end - seconds, end], Unix seconds; both are multiples of 60."""

    end: int
    seconds: int


class Values(Mapping[Labels, float]):
    """A number for each group; the groups may be shared with other windows."""

    __slots__ = ("_numbers", "groups")

    def __init__(self, groups: Mapping[Labels, int], numbers: array[float]) -> None:
        self.groups = groups
        self._numbers = numbers

    def __getitem__(self, labels: Labels) -> float:
        return self._numbers[self.groups[labels]]

    @overload
    def get(self, labels: Labels, /) -> float | None: ...
    @overload
    def get(self, labels: Labels, /, default: float | T) -> float | T: ...
    def get(self, labels: Labels, /, default: object = None) -> object:
        """As of a dict, without an exception for what is not there."""
        place = self.groups.get(labels)
        return default if place is None else self._numbers[place]

    def items(self) -> ItemsView[Labels, float]:
        """As of a dict; a page asks for each value of a hundred windows."""
        return dict(zip(self.groups, self._numbers, strict=True)).items()

    def __iter__(self) -> Iterator[Labels]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)


class _Entry(NamedTuple):
    serials: tuple[int, ...]
    values: Values


class ValueCache:
    """Values by window and query. Safe to share between threads."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[Window, int], _Entry] = OrderedDict()
        self._tokens: dict[Hashable, int] = {}
        self._groups: dict[tuple[Labels, ...], Mapping[Labels, int]] = {}
        self._size = 0
        self._lock = Lock()

    def token(self, asked: Hashable) -> int:
        """A number that stands for what is asked: questions are long, and a page asks each of them a hundred times."""
        with self._lock:
            return self._tokens.setdefault(asked, len(self._tokens))

    def values(
        self, window: Window, token: int, serials: tuple[int, ...], compute: Callable[[], Mapping[Labels, float]]
    ) -> Values:
        """What a token stands for, of a window of minutes with these serials, computed when it is not held."""
        key = window, token
        with self._lock:
            held = self._entries.get(key)
            if held is not None and held.serials == serials:
                self._entries.move_to_end(key)
                return held.values
        computed = compute()
        with self._lock:
            values = Values(self._shared(tuple(computed)), array("d", computed.values()))
            self._forget(key)
            self._entries[key] = _Entry(serials, values)
            self._size += len(values) + _OVERHEAD_NUMBERS
            while self._size > MAX_NUMBERS and len(self._entries) > 1:
                self._forget(next(iter(self._entries)))
        return values

    def _shared(self, labels: tuple[Labels, ...]) -> Mapping[Labels, int]:
        if labels not in self._groups:
            if len(self._groups) >= MAX_GROUPS:
                self._groups.clear()
            self._groups[labels] = {one: place for place, one in enumerate(labels)}
        return self._groups[labels]

    def _forget(self, key: tuple[Window, int]) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._size -= len(entry.values) + _OVERHEAD_NUMBERS
