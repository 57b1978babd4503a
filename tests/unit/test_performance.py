"""``@monitor_performance``: whatever is decorated does just what it did, is timed, and its errors are counted."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncGenerator, Generator, Iterator
from typing import Any

import pytest

from shared import performance
from shared.metrics_collector import ProductionMetricsCollector
from shared.performance import Watch, measured, monitor_performance
from tests.unit.test_instruments import Service


class Measured:
    """A service, its collector, and what it has recorded."""

    def __init__(self) -> None:
        self.service = Service()
        self.collector = ProductionMetricsCollector(self.service.metrics, region="us-central1")

    def seen(self) -> dict[tuple[str, ...], int]:
        """How many observations: by metric and endpoint or function, errors by their type as well."""
        found = {}
        for series, count in self.service.counts().items():
            labels = dict(series.labels)
            if series.metric != "requests":
                where = labels.get("endpoint") or labels["function"]
                found[tuple(x for x in (series.metric, where, labels.get("type")) if x)] = count
        return found

    def seen_metrics(self) -> set[str]:
        """The metrics that there are observations of."""
        return {series.metric for series in self.service.counts()}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Measured:
    """What the process's own collector is made of."""
    here = Measured()
    monkeypatch.setattr("shared.metrics_collector._own_collector", [here.collector])
    return here


def test_a_function(here: Measured) -> None:
    """It answers, raises and is named as before; each call is timed, each error one of its type."""

    @monitor_performance
    def divide(a: float, *, by: float) -> float:
        """Divide."""
        return a / by

    assert divide(6, by=3) == 2
    with pytest.raises(ZeroDivisionError):
        divide(6, by=0)
    assert (divide.__name__, divide.__doc__, str(inspect.signature(divide))) == (
        "divide", "Divide.", "(a: 'float', *, by: 'float') -> 'float'"
    )  # fmt: skip
    name = f"{divide.__module__}.{divide.__qualname__}"
    assert here.seen() == {("function_time", name): 2, ("function_errors", name, "ZeroDivisionError"): 1}


def test_a_coroutine(here: Measured) -> None:
    """The time until it is done counts; an error is counted, being cancelled is none."""

    @monitor_performance(name="load")
    async def load(what: str) -> str:
        await asyncio.sleep(0)
        if what == "broken":
            raise KeyError(what)
        if what == "slow":
            await asyncio.sleep(60)
        return what

    async def run() -> None:
        assert await load("x") == "x"
        with pytest.raises(KeyError):
            await load("broken")
        task = asyncio.create_task(load("slow"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert inspect.iscoroutinefunction(load)
    asyncio.run(run())
    assert here.seen() == {("function_time", "load"): 3, ("function_errors", "load", "KeyError"): 1}


def test_a_generator(here: Measured) -> None:
    """What is sent, thrown, returned and closed goes through it; it is one call, from its first step to its end."""
    closed = []

    @monitor_performance(name="steps")
    def steps(error: bool = False) -> Generator[int, int, str]:
        try:
            got = yield 1
            try:
                yield got
            except ValueError:
                yield 99
            if error:
                raise OSError("broken")
            return "done"
        finally:
            closed.append(1)

    one = steps()
    assert (next(one), one.send(5), one.throw(ValueError())) == (1, 5, 99)
    with pytest.raises(StopIteration) as ended:
        next(one)
    assert ended.value.value == "done"
    with pytest.raises(OSError, match="broken"):
        list(steps(error=True))
    dropped = steps()
    next(dropped)
    dropped.close()
    assert inspect.isgeneratorfunction(steps)
    assert len(closed) == 3
    assert here.seen() == {("function_time", "steps"): 3, ("function_errors", "steps", "OSError"): 1}


def test_an_asynchronous_generator(here: Measured) -> None:
    """What is sent, thrown and closed goes through it, too."""
    closed = []

    @monitor_performance(name="steps")
    async def steps(error: bool = False) -> AsyncGenerator[int, int]:
        try:
            got = yield 1
            try:
                yield got
            except ValueError:
                yield 99
            if error:
                raise OSError("broken")
        finally:
            closed.append(1)

    async def run() -> None:
        one = steps()
        assert (await anext(one), await one.asend(5), await one.athrow(ValueError())) == (1, 5, 99)
        assert [left async for left in one] == []
        with pytest.raises(OSError, match="broken"):
            [got async for got in steps(error=True)]
        dropped = steps()
        await anext(dropped)
        await dropped.aclose()

    assert inspect.isasyncgenfunction(steps)
    asyncio.run(run())
    assert len(closed) == 3
    assert here.seen() == {("function_time", "steps"): 3, ("function_errors", "steps", "OSError"): 1}


def test_a_block(here: Measured) -> None:
    """A block is measured as a function is, under a region of its own where one is given."""
    with measured("load"):
        pass
    with pytest.raises(LookupError), measured("load", here.collector, region="europe-west1"):
        raise LookupError
    assert here.seen() == {("function_time", "load"): 1, ("function_errors", "load", "LookupError"): 1}
    assert {dict(series.labels)["region"] for series in here.service.counts()} == {"us-central1", "europe-west1"}


def test_an_endpoint(here: Measured) -> None:
    """A function that is an endpoint is a request with its response time, and no other piece is one."""

    @monitor_performance(endpoint="/process")
    def process(value: int) -> float:
        with measured("inner"):
            return 1 / value

    assert process(2) == 0.5
    with pytest.raises(ZeroDivisionError):
        process(0)
    assert here.seen() == {
        ("response_time", "/process"): 2, ("errors", "/process", "ZeroDivisionError"): 1,
        ("function_time", "inner"): 2, ("function_errors", "inner", "ZeroDivisionError"): 1,
    }  # fmt: skip
    assert here.collector.get_metric_statistics("requests_total")["value"] == 2


def test_methods(here: Measured) -> None:
    """Decorated methods get their object."""

    class Cart:
        def __init__(self) -> None:
            self.items = [1]

        @monitor_performance(name="total")
        def total(self) -> int:
            return sum(self.items)

        @staticmethod
        @monitor_performance(name="fixed")
        def fixed() -> int:
            return 3

    assert (Cart().total(), Cart.fixed()) == (1, 3)
    assert here.seen() == {("function_time", "total"): 1, ("function_time", "fixed"): 1}


class Doubling:
    """An object that can be called."""

    def __call__(self, value: int) -> int:
        return 2 * value


def test_what_has_no_name(here: Measured) -> None:
    """A partial is named for what it calls, an object for its class, and both are called as before."""
    twice = monitor_performance(functools.partial(functools.partial(pow), exp=2))
    doubled = monitor_performance(endpoint="")(Doubling())
    assert (twice(3), doubled(4), monitor_performance(len)("abc")) == (9, 8, 3)
    names = ("builtins.pow", f"{__name__}.Doubling", "builtins.len")
    assert here.seen() == {("function_time", name): 1 for name in names}


@pytest.fixture
def watches() -> Iterator[list[Watch]]:
    """The process's watches, and as they were again afterwards."""
    before = list(performance.WATCHES)
    yield performance.WATCHES
    performance.WATCHES[:] = before


def test_watches(here: Measured, watches: list[Watch]) -> None:
    """A watch is told of the beginning and the end of each piece; whatever it raises, the service hears nothing."""
    told: list[Any] = []

    class Telling(Watch):
        def begin(self, name: str, *, apart: bool = False) -> object:
            told.append(("apart", name) if apart else name)
            return 7

        def end(self, begun: object, error: BaseException | None) -> None:
            told.append((begun, type(error)))

    class Failing(Watch):
        def begin(self, name: str, *, apart: bool = False) -> object:
            raise OSError(name, apart)

        def end(self, begun: object, error: BaseException | None) -> None:
            raise OSError(begun, error)

    watches[:] = [Failing(), Telling(), Watch()]
    with measured("a"):
        pass
    with pytest.raises(KeyError), measured("b"):
        raise KeyError
    assert list(monitor_performance(name="c")(lambda: (yield 1))()) == [1]
    assert told == ["a", (7, type(None)), "b", (7, KeyError), ("apart", "c"), (7, type(None))]
    assert here.seen()["function_time", "a"] == 1
