"""``@monitor_performance`` and ``measured``: how long a piece of a service takes, and whether it fails.

A piece is ``function_time`` in milliseconds, under its name; an error is one of ``function_errors``, under its type,
and raised again, unchanged. A piece that is an ``endpoint`` is a request instead: do not measure it with the middleware
as well. Of a generator the time from its first step to its end
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

from .events import Event
from .metrics_collector import ProductionMetricsCollector, own_collector

P = ParamSpec("P")
R = TypeVar("R")
_MS = 1000.0


class Watch:
    """What happens around each measured piece: Sentry's spans, for one. None of it may raise."""

    def begin(self, name: str, *, apart: bool = False) -> object:
        """A piece begins; what is returned is given to ``end``.

        One that is ``apart`` runs in turns with its consumer: what happens until its end is not all within it, and
        the end may come in another context.
        """

    def end(self, begun: object, error: BaseException | None) -> None:
        """It has ended, with an error or without."""

    def happened(self, event: Event) -> Event:
        """Something of note happened; the same event, with what the watch knows of it."""
        return event


WATCHES: list[Watch] = []
"""Of this process; see ``integrations.sentry``."""


class measured:  # noqa: N801 # used as a function is: `with measured("load"):`
    """A context manager that records how long its block takes, and whether it fails."""

    __slots__ = ("_apart", "_begun", "_collector", "_endpoint", "_name", "_region", "_started")

    def __init__(
        self,
        name: str,
        collector: ProductionMetricsCollector | None = None,
        region: str | None = None,
        *,
        endpoint: str = "",
        apart: bool = False,
    ) -> None:
        """``name`` is what it is recorded under; without a ``region`` the process's own. ``apart``: see ``Watch``."""
        self._apart = apart
        self._collector = collector
        self._endpoint = endpoint
        self._name = name
        self._region = region

    def __enter__(self) -> None:
        self._begun = [(watch, _begin(watch, self._name, self._apart)) for watch in WATCHES]
        self._started = perf_counter()

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None = None
    ) -> None:
        elapsed_ms = (perf_counter() - self._started) * _MS
        collector = self._collector or own_collector()
        region = collector.region if self._region is None else self._region
        if not isinstance(error, Exception) or isinstance(error, StopIteration | StopAsyncIteration):
            error = None
        if self._endpoint:
            collector.record_response_time(region, self._endpoint, elapsed_ms)
            if error is not None:
                collector.record_error(self._endpoint, region, type(error).__name__)
        else:
            collector.record_function_time(
                region, self._name, elapsed_ms, "" if error is None else type(error).__name__
            )
        for watch, begun in self._begun:
            _end(watch, begun, error)


def _begin(watch: Watch, name: str, apart: bool) -> object:
    try:
        return watch.begin(name, apart=apart)
    except Exception:  # noqa: BLE001 - a service does not fail for whoever watches it
        return None


def _end(watch: Watch, begun: object, error: BaseException | None) -> None:
    with suppress(Exception):
        watch.end(begun, error)


def record_event(event: Event, collector: ProductionMetricsCollector | None = None) -> Event:
    """Record what an event says as metrics, and tell the watches; the event, with its trace where one is known.

    Raises nothing: a part of an event that is no number or label is counted as dropped.
    """
    with suppress(Exception):
        event.measure(collector or own_collector())
    for watch in WATCHES:
        with suppress(Exception):
            event = watch.happened(event)
    return event


@overload
def monitor_performance(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def monitor_performance(
    *,
    name: str = "",
    endpoint: str = "",
    collector: ProductionMetricsCollector | None = None,
    region: str | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def monitor_performance(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str = "",
    endpoint: str = "",
    collector: ProductionMetricsCollector | None = None,
    region: str | None = None,
) -> Any:
    """Measure each call of a function, coroutine, generator or asynchronous generator: ``measured`` around it.

    ``name`` is the function's own (``module.function``) where none is given.
    """

    def decorate(one: Callable[..., Any]) -> Callable[..., Any]:
        named = name or _name(one)
        apart = inspect.isgeneratorfunction(one) or inspect.isasyncgenfunction(one)
        return _wrapped(one, lambda: measured(named, collector, region, endpoint=endpoint, apart=apart))

    return decorate if function is None else decorate(function)


def _name(function: Callable[..., Any]) -> str:
    """Its own; of a partial that of what it calls, of an object its class's."""
    while isinstance(function, functools.partial):
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{getattr(named, '__module__', None) or 'unknown'}.{named.__qualname__}"


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
