"""``@monitor_performance`` and ``measured``: how long a piece of a service takes, and whether it fails.

Errors are counted by their type and raised again, unchanged. Of a generator the time from its first step to its end
counts, what its consumer does in between included; one that is dropped half-way has ended without an error.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import suppress
from time import perf_counter
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, overload

from .metrics_collector import ProductionMetricsCollector, own_collector

P = ParamSpec("P")
R = TypeVar("R")
_MS = 1000.0


class Watch:
    """What happens around each measured piece: Sentry's spans, for one. None of it may raise."""

    def begin(self, name: str) -> object:
        """A piece begins; what is returned is given to ``end``."""

    def end(self, begun: object, error: BaseException | None) -> None:
        """It has ended, with an error or without."""


WATCHES: list[Watch] = []
"""Of this process; see ``integrations.sentry``."""


class measured:  # noqa: N801 # used as a function is: `with measured("load"):`
    """A context manager that records how long its block takes, as an endpoint's response time."""

    __slots__ = ("_begun", "_collector", "_name", "_region", "_started")

    def __init__(
        self, name: str, collector: ProductionMetricsCollector | None = None, region: str | None = None
    ) -> None:
        """``name`` is what it is recorded under; without a ``region`` the process's own."""
        self._collector = collector
        self._name = name
        self._region = region

    def __enter__(self) -> None:
        self._begun = [(watch, _begin(watch, self._name)) for watch in WATCHES]
        self._started = perf_counter()

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None = None
    ) -> None:
        elapsed_ms = (perf_counter() - self._started) * _MS
        collector = self._collector or own_collector()
        region = collector.region if self._region is None else self._region
        collector.record_response_time(region, self._name, elapsed_ms)
        if isinstance(error, Exception) and not isinstance(error, StopIteration | StopAsyncIteration):
            collector.record_error(self._name, region, type(error).__name__)
        else:
            error = None
        for watch, begun in self._begun:
            _end(watch, begun, error)


def _begin(watch: Watch, name: str) -> object:
    try:
        return watch.begin(name)
    except Exception:  # noqa: BLE001 - a service does not fail for whoever watches it
        return None


def _end(watch: Watch, begun: object, error: BaseException | None) -> None:
    with suppress(Exception):
        watch.end(begun, error)


@overload
def monitor_performance(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def monitor_performance(
    *, name: str = "", collector: ProductionMetricsCollector | None = None, region: str | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def monitor_performance(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str = "",
    collector: ProductionMetricsCollector | None = None,
    region: str | None = None,
) -> Any:
    """Measure each call of a function, coroutine, generator or asynchronous generator: ``measured`` around it.

    ``name`` is the function's own (``module.function``) where none is given.
    """
    if function is None:
        return lambda one: _wrapped(one, lambda: measured(name or _name(one), collector, region))
    one = function
    return _wrapped(one, lambda: measured(_name(one), collector, region))


def _name(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _wrapped(function: Callable[..., Any], measure: Callable[[], measured]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):
        wrap = _coroutine
    elif inspect.isasyncgenfunction(function):
        wrap = _async_generator
    elif inspect.isgeneratorfunction(function):
        wrap = _generator
    else:
        wrap = _call
    return functools.wraps(function)(wrap(function, measure))


def _call(function: Callable[..., Any], measure: Callable[[], measured]) -> Callable[..., Any]:
    def call(*args: Any, **named: Any) -> Any:
        with measure():
            return function(*args, **named)

    return call


def _coroutine(function: Callable[..., Any], measure: Callable[[], measured]) -> Callable[..., Any]:
    async def call(*args: Any, **named: Any) -> Any:
        with measure():
            return await function(*args, **named)

    return call


def _generator(function: Callable[..., Any], measure: Callable[[], measured]) -> Callable[..., Any]:
    def call(*args: Any, **named: Any) -> Generator[Any, Any, Any]:
        with measure():
            return (yield from function(*args, **named))

    return call


def _async_generator(function: Callable[..., Any], measure: Callable[[], measured]) -> Callable[..., Any]:
    async def call(*args: Any, **named: Any) -> AsyncGenerator[Any, Any]:
        with measure():
            inner = function(*args, **named)
            step = inner.asend(None)
            try:
                while True:
                    given = await step
                    try:
                        step = inner.asend((yield given))
                    except GeneratorExit:
                        raise
                    except BaseException as error:  # noqa: BLE001 - thrown in by the consumer, for the function
                        step = inner.athrow(error)
            except StopAsyncIteration:
                return
            finally:
                await inner.aclose()

    return call
